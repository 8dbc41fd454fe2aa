"""All numbers of a validation, without words."""

from dataclasses import dataclass, field
from typing import Any

from reverie.validation.classifiers.regions import Located
from reverie.validation.inputs.chains import ChainReport
from reverie.validation.inputs.large_samples import Streamed
from reverie.validation.power.biases import Bias
from reverie.validation.power.events_needed import EventsNeeded
from reverie.validation.results.findings import Finding
from reverie.validation.results.tests import ClassifierResult, TestResult, strongest
from reverie.validation.statistics.constraints import ConstraintResult
from reverie.validation.statistics.memorisation import MemorisationResult
from reverie.validation.statistics.observables import ObservableMeans
from reverie.validation.statistics.occupancy import Occupancy

__all__ = ["Evidence"]


@dataclass(frozen=True)
class Evidence:
    """What the tests of a generated sample gave.

    Parameters
    ----------
    p_value : The global p-value, over all statistics, classifiers and constraints.
    battery_p : The p-value of the statistics alone (min-P over shared permutations).
    checks : The results of the statistics, one per statistic and feature.
    classifiers : The results of the classifiers.
    n_distinguish : events per class at which the best of all tests rejects at 5 % with 80 % power
        (`reverie.validation.power.events_needed`); inf when the global test does not tell the samples apart, or they
        are too close for an estimate; None when no test has such a number.
    n_distinguish_low, n_distinguish_high : its 95 % interval for all tests at once; when n_distinguish is inf, the
        95 % lower limit and inf.
    n_distinguish_test, n_distinguish_of : the test with this number, and of how many it is the smallest; "" and 0 in
        results of older versions, where the numbers are those of the classifier within one standard error.
    needs : the same number of the strongest tests, the fewest events first.
    biases : Biases of mean, width and tails of each column and observable, beside the statistical error of an analysis.
    findings : what is wrong, in sentences, the plainest first.
    constraints : hard constraints that were given, or that some event breaks.
    regions : occupancy of the bins; None if unknown.
    observables : means of the observables in both samples.
    memorisation : whether training events were copied; None without training events.
    located : The place where the strongest classifier finds its evidence; None if it finds none.
    chains : whether rows depend on their neighbours.
    sizes : n_real, n_generated, n_calibration (used); given_... (before cuts, of large samples the part); n_features.
    streamed : what one pass over all rows of large samples found; None where the tests could draw from all rows.
    left_out : tests that did not run, for want of time or since they would not end with so many rows.
    alpha : the level of the verdict.
    warnings : what to keep in mind, in sentences.
    settings : every option that was in force.
    """

    p_value: float
    battery_p: float
    checks: tuple[TestResult, ...]
    classifiers: tuple[ClassifierResult, ...]
    n_distinguish: float | None
    n_distinguish_low: float | None
    n_distinguish_high: float | None
    sizes: dict[str, int]
    seed: int
    n_permutations: int
    findings: tuple[Finding, ...] = ()
    constraints: tuple[ConstraintResult, ...] = ()
    regions: Occupancy | None = None
    observables: tuple[ObservableMeans, ...] = ()
    memorisation: MemorisationResult | None = None
    located: Located | None = None
    chains: ChainReport = ChainReport()
    streamed: Streamed | None = None
    n_distinguish_test: str = ""
    n_distinguish_of: int = 0
    needs: tuple[EventsNeeded, ...] = ()
    biases: tuple[Bias, ...] = ()
    left_out: tuple[str, ...] = ()
    alpha: float = 0.05
    warnings: tuple[str, ...] = ()
    settings: dict[str, Any] = field(default_factory=dict)
    version: str = ""

    @property
    def auc(self) -> ClassifierResult | None:
        """The classifier with the smallest p-value, of several with equal ones that of largest AUC; None without."""
        return strongest(self.classifiers)

    @property
    def distinguishes(self) -> bool:
        """Whether the generated sample can be told from the real one at level `alpha`."""
        return self.p_value <= self.alpha
