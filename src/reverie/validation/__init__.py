"""Validation: arrays in, results out. It answers whether generated events can be told from real ones.

`validate` is the one call. Beside it stand its parts, for those who want one number:

    distances         reverie.validation.statistics, frechet_distance, likelihood_ratio_test
    the field's own   fpd_jetnet, kpd_jetnet, kid; of jets w1m, w1p, w1efp, and jet_efps for the first two
    neighbourhoods    precision_recall_density_coverage, mode_occupancy, compare_bins
    divergences       histogram_divergences, knn_divergences, discriminator_divergences
    copies, rules     memorisation, check_constraints, conserved, mass_shell
    power             power_study, detectable_auc, events_for_auc, and the faults it plants
    any statistic     permutation_test
"""

from reverie.core.bibliography import BIBLIOGRAPHY as REFERENCES
from reverie.validation import statistics
from reverie.validation.permutation.multiple_testing import benjamini_hochberg, holm
from reverie.validation.permutation.permutation_test import permutation_test
from reverie.validation.power import faults
from reverie.validation.power.events_needed import detectable_auc, events_for_auc
from reverie.validation.power.study import power_study
from reverie.validation.results.result import ValidationResult
from reverie.validation.results.tests import ClassifierResult, TestResult
from reverie.validation.statistics.constraints import check_constraints, conserved, mass_shell
from reverie.validation.statistics.divergences import discriminator_divergences, histogram_divergences, knn_divergences
from reverie.validation.statistics.fpd_kpd_kid import fpd_jetnet, kid, kpd_jetnet
from reverie.validation.statistics.frechet import frechet_distance
from reverie.validation.statistics.jet_distances import JetDistance, jet_efps, w1efp, w1m, w1p
from reverie.validation.statistics.likelihood_ratio import likelihood_ratio_test
from reverie.validation.statistics.memorisation import MemorisationResult, memorisation
from reverie.validation.statistics.occupancy import compare_bins, mode_occupancy
from reverie.validation.statistics.precision_recall import precision_recall_density_coverage
from reverie.validation.suite import validate

__all__ = [
    "REFERENCES",
    "ClassifierResult",
    "JetDistance",
    "MemorisationResult",
    "TestResult",
    "ValidationResult",
    "benjamini_hochberg",
    "check_constraints",
    "compare_bins",
    "conserved",
    "detectable_auc",
    "discriminator_divergences",
    "events_for_auc",
    "faults",
    "fpd_jetnet",
    "frechet_distance",
    "histogram_divergences",
    "holm",
    "jet_efps",
    "kid",
    "knn_divergences",
    "kpd_jetnet",
    "likelihood_ratio_test",
    "mass_shell",
    "memorisation",
    "mode_occupancy",
    "permutation_test",
    "power_study",
    "precision_recall_density_coverage",
    "statistics",
    "validate",
    "w1efp",
    "w1m",
    "w1p",
]
