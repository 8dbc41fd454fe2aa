"""What a validation found: frozen results that print sentences and travel as JSON."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

from reverie.core.errors import InputError
from reverie.core.measured import Measured
from reverie.validation.classifiers.regions import Region
from reverie.validation.inputs.chains import ChainReport
from reverie.validation.inputs.large_samples import Streamed
from reverie.validation.power.biases import Bias
from reverie.validation.power.events_needed import EventsNeeded
from reverie.validation.results import sentences
from reverie.validation.results.findings import Finding
from reverie.validation.results.serialisation import from_plain, to_plain
from reverie.validation.statistics.constraints import ConstraintResult
from reverie.validation.statistics.memorisation import MemorisationResult
from reverie.validation.statistics.observables import ObservableMeans
from reverie.validation.statistics.occupancy import Occupancy

__all__ = ["ClassifierResult", "Located", "TestResult", "ValidationResult", "strongest"]

_Z95 = 1.6448536269514722  # one-sided 95 %


@dataclass(frozen=True)
class TestResult:
    """One statistic of generated against real, with all that is needed to judge it.

    Parameters
    ----------
    name : of the statistic, such as "KS".
    feature : the feature it looked at, None for all together.
    value : the statistic of generated against real.
    noise_low, noise_high : 5 % and 95 % quantiles of the permutations: what chance gives.
    real_vs_real : the same statistic of real against real at equal size, None if unknown.
    p_value, p_adjusted : of this test alone, and corrected for the others of its group (Holm).
    distinguishes : whether p_adjusted is at most the level of the validation.
    description, reference : what it does, and the key of its citation.
    detail : what else it saw, such as the pair of features that changed most.
    error : standard error of `value`, of the fluctuations of both samples (jackknife); None if not defined.
    q_value : p corrected by Benjamini and Hochberg, which bounds the share of false discoveries, not their chance.
    detectable : the value that would be found with 80 % power at this size: the 95 % quantile of chance plus 0.84
        of its standard deviations.
    """

    __test__: ClassVar[bool] = False  # the name is not for test collectors

    name: str
    feature: str | None
    value: float
    noise_low: float
    noise_high: float
    real_vs_real: float | None
    p_value: float
    p_adjusted: float
    distinguishes: bool
    description: str
    reference: str
    detail: str = ""
    error: float | None = None
    q_value: float | None = None
    detectable: float | None = None

    def __str__(self) -> str:
        return sentences.check_sentence(self)

    @property
    def excess(self) -> float:
        """How far `value` lies from the middle of the band of chance, in half widths of it."""
        half = 0.5 * (self.noise_high - self.noise_low)
        return abs(self.value - 0.5 * (self.noise_low + self.noise_high)) / half if half > 0 else math.inf

    @property
    def score(self) -> float:
        """Q = (value - real against real) / (standard deviation of chance); nan where one is not known."""
        width = (self.noise_high - self.noise_low) / (2 * _Z95)
        known = self.real_vs_real is not None and width > 0
        return (self.value - self.real_vs_real) / width if known else math.nan  # pyright: ignore[reportOperatorIssue]


@dataclass(frozen=True)
class ClassifierResult:
    """A classifier two-sample test: how well a machine tells real from generated.

    Parameters
    ----------
    value, error : AUC on test events, and its standard error with the fluctuations of both test samples.
    real_vs_real, real_vs_real_error, real_vs_real_p : the same for real against real.
    p_value : one-sided, Mann-Whitney on the test events; with weights or chains from permutations of blocks of them.
    importances : feature -> loss of AUC when that feature is shuffled among the test events.
    n_train, n_test : events of both classes together.
    n_effective : test events of each class, real first: of chains and weighted events as many independent ones as
        would give the AUC its error.
    deflection, deflection_error : difference of the mean log-odds of both classes of test events over the root of the
        sum of their variances. These three are None in results of older versions.
    learner : what was trained: "boosting", "forest", "mlp" or "cnn".
    """

    value: float
    error: float
    real_vs_real: float
    real_vs_real_error: float
    real_vs_real_p: float
    p_value: float
    importances: dict[str, float]
    n_train: int
    n_test: int
    description: str
    reference: str
    learner: str = "boosting"
    n_effective: tuple[float, float] | None = None
    deflection: float | None = None
    deflection_error: float | None = None

    @property
    def measured(self) -> Measured:
        """AUC of generated against real, with error and number of test events."""
        return Measured(self.value, self.error, self.n_test)

    @property
    def measured_real(self) -> Measured:
        """AUC of real against real, with error."""
        return Measured(self.real_vs_real, self.real_vs_real_error)

    def __str__(self) -> str:
        return sentences.classifier_sentence(self)


def strongest(classifiers: Sequence[ClassifierResult]) -> ClassifierResult | None:
    """Return the one with the smallest p-value, of several with equal ones that of largest AUC; None of none."""
    return min(classifiers, key=lambda one: (one.p_value, -one.value), default=None)


@dataclass(frozen=True)
class Located:
    """Where the strongest classifier finds its evidence.

    Parameters
    ----------
    sentence : the calibrated weights w = p_real/p_generated in words.
    boxes : ranges of features with too many or too few generated events, the most significant first.
    edges, real, generated : histogram of log w, (k + 1,) and (k,) each, as shares of the events of each sample.
    divergence : lower bound of the Jensen-Shannon divergence in nats, 0 to ln 2.
    mean_weight : mean of w over generated events; 1 if the calibration holds.
    """

    sentence: str
    boxes: tuple[Region, ...]
    edges: tuple[float, ...]
    real: tuple[float, ...]
    generated: tuple[float, ...]
    divergence: Measured
    mean_weight: Measured


@dataclass(frozen=True)
class ValidationResult:
    """The verdict on a generated sample.

    Parameters
    ----------
    p_value : global, over all statistics, classifiers and constraints.
    battery_p : of the statistics alone (min-P over shared permutations).
    checks : one `TestResult` per statistic and feature.
    classifiers : one result per learner.
    n_distinguish : events per class at which the best of all tests rejects at 5 % with 80 % power
        (`reverie.validation.power.events_needed`); inf when the global test does not tell the samples apart, or they
        are too close for an estimate; None when no test has such a number.
    n_distinguish_low, n_distinguish_high : its 95 % interval for all tests at once; when n_distinguish is inf, the
        95 % lower limit and inf.
    n_distinguish_test, n_distinguish_of : the test with this number, and of how many it is the smallest; "" and 0 in
        results of older versions, where the numbers are those of the classifier within one standard error.
    needs : the same number of the strongest tests, the fewest events first.
    biases : of mean, width and tails of each column and observable, beside the statistical error of an analysis.
    findings : what is wrong, in sentences, the plainest first.
    constraints : hard constraints that were given, or that some event breaks.
    regions : occupancy of the bins; None if unknown.
    observables : means of the observables in both samples.
    memorisation : whether training events were copied; None without training events.
    located : where the strongest classifier finds its evidence; None if it finds none.
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

    @property
    def verdict(self) -> str:
        """A few sentences: the answer, the number behind it, what it means for an analysis, and what is wrong."""
        return sentences.verdict(self)

    @property
    def references(self) -> list[str]:
        """Citation keys of the methods used, for `reverie.validation.REFERENCES`."""
        keys = {check.reference for check in self.checks} | {"phipson2010", "westfall1993", "benjamini1995", "holm1979"}
        keys |= {"rabin2012"} if "bonneel2015" in keys else set()
        keys |= {"lopezpaz2017", "mann1947", "delong1988"} if self.classifiers else set()
        keys |= {"clopper1934"} if self.constraints or self.memorisation is not None else set()
        keys |= {"meehan2020"} if self.memorisation is not None else set()
        keys |= {"das2023", "platt1999"} if self.located is not None else set()
        keys |= {"puri1971"} if "hotelling1931" in keys else set()
        keys |= {"wolff2004"} if self.chains.is_chain else set()
        return sorted(keys)

    def __str__(self) -> str:
        return sentences.full_text(self)

    def table(self) -> list[dict[str, Any]]:
        """Return one row per check, the classifiers last.

        The keys are statistic, feature, value, error, noise_low, noise_high, real_vs_real, p_value, p_adjusted,
        q_value, detectable, distinguishes, detail.
        """
        return [_row(check) for check in self.checks] + [_classifier_row(one, self.alpha) for one in self.classifiers]

    def to_json(self) -> dict[str, Any]:
        """Return plain dictionaries, lists, numbers and strings; what is not finite becomes None."""
        more = {
            "verdict": self.verdict,
            "distinguishes": self.distinguishes,
            "auc": self.auc,
            "n_distinguish_is_lower_bound": self.n_distinguish == math.inf,
            "references": self.references,
        }
        return to_plain(self) | to_plain(more)

    @classmethod
    def from_json(cls, content: dict[str, Any], *, file: str = "validation.json") -> "ValidationResult":
        """Return the result that `to_json` wrote; the error names the `file`.

        Raises
        ------
        InputError
            When keys are missing or unknown.
        """
        try:
            kept = dict(content)
            if kept.get("n_distinguish_is_lower_bound"):
                kept["n_distinguish"] = math.inf
            if kept.get("n_distinguish") is not None and kept.get("n_distinguish_high") is None:
                kept["n_distinguish_high"] = math.inf
            return from_plain(cls, kept)
        except (KeyError, TypeError, AttributeError, ValueError, OverflowError) as error:
            said = str(error).rstrip(".")
            raise InputError(
                f"Expected a validation in {file}, got something else ({said}). Make it anew: reverie validate RUN"
            ) from None


def _row(check: TestResult) -> dict[str, Any]:
    keys = ("feature", "value", "error", "noise_low", "noise_high", "real_vs_real", "p_value", "p_adjusted")
    keys += ("q_value", "detectable", "distinguishes", "detail")
    return {"statistic": check.name} | {key: getattr(check, key) for key in keys}


def _classifier_row(auc: ClassifierResult, alpha: float) -> dict[str, Any]:
    return {
        "statistic": "classifier AUC" if auc.learner == "boosting" else f"classifier AUC ({auc.learner})",
        "feature": None,
        "value": auc.value,
        "error": auc.error,
        "noise_low": None,
        "noise_high": None,
        "real_vs_real": auc.real_vs_real,
        "p_value": auc.p_value,
        "p_adjusted": auc.p_value,
        "q_value": None,
        "detectable": None,
        "distinguishes": auc.p_value <= alpha,
        "detail": f"real against real {auc.measured_real}",
    }
