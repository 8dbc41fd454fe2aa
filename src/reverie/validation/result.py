"""What a validation found: frozen results that print sentences and travel as JSON.

The AUC of a classifier, A, turns into a number of events: a rank test on N test events per class
rejects at 5 % with 80 % power when

    N = (z_.95 + z_.80)^2 / (6 (A - 1/2)^2) = 1.03 / (A - 1/2)^2

(null variance of the AUC about 1/(6N)). Analyses of fewer events are not likely to notice the
difference that this classifier found; a better classifier might. When the AUC is compatible with
1/2, N is infinite, and its 95 % lower limit is what the test can promise.
"""

import math
from dataclasses import asdict, dataclass, field
from typing import Any, ClassVar

from reverie.core.errors import InputError
from reverie.core.measured import Measured
from reverie.validation import sentences

__all__ = ["ClassifierResult", "TestResult", "ValidationResult", "events_to_distinguish"]

_EVENTS = 1.03  # (z_.95 + z_.80)^2 / 6
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

    def __str__(self) -> str:
        return sentences.check_sentence(self)


@dataclass(frozen=True)
class ClassifierResult:
    """A classifier two-sample test: how well a machine tells real from generated.

    Parameters
    ----------
    value, error : AUC on test events, and its standard error with the fluctuations of both test samples.
    real_vs_real, real_vs_real_error, real_vs_real_p : the same for real against real.
    p_value : one-sided, Mann-Whitney on the test events.
    importances : feature -> loss of AUC when that feature is shuffled among the test events.
    n_train, n_test : events of both classes together.
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


@dataclass(frozen=True)
class ValidationResult:
    """The verdict on a generated sample.

    Parameters
    ----------
    p_value : global, over all statistics and the classifier.
    battery_p : of the statistics alone (min-P over shared permutations).
    checks : one `TestResult` per statistic and feature.
    auc : the classifier test, None if it was not asked for.
    n_distinguish : events per class at which the classifier tells the samples apart; inf when the AUC
        is compatible with 1/2, None without classifier.
    n_distinguish_low, n_distinguish_high : its interval, from AUC ± one standard error; when
        n_distinguish is inf, the 95 % lower limit and inf.
    sizes : n_real, n_generated, n_calibration (used); given_... (before cuts); n_features.
    alpha : the level of the verdict.
    warnings : what to keep in mind, in sentences.
    settings : every option that was in force.
    """

    p_value: float
    battery_p: float
    checks: tuple[TestResult, ...]
    auc: ClassifierResult | None
    n_distinguish: float | None
    n_distinguish_low: float | None
    n_distinguish_high: float | None
    sizes: dict[str, int]
    seed: int
    n_permutations: int
    alpha: float = 0.05
    warnings: tuple[str, ...] = ()
    settings: dict[str, Any] = field(default_factory=dict)
    version: str = ""

    @property
    def distinguishes(self) -> bool:
        """Whether the generated sample can be told from the real one at level `alpha`."""
        return self.p_value <= self.alpha

    @property
    def verdict(self) -> str:
        """One to three sentences: the answer, the number behind it, and what it means for an analysis."""
        return sentences.verdict(self)

    @property
    def references(self) -> list[str]:
        """Citation keys of the methods used, for `reverie.validation.REFERENCES`."""
        keys = {check.reference for check in self.checks} | {"phipson2010", "westfall1993", "holm1979"}
        keys |= {"kolmogorov1933"} if "smirnov1948" in keys else set()
        keys |= {"rabin2012"} if "bonneel2015" in keys else set()
        return sorted(keys | ({"lopezpaz2017", "mann1947", "delong1988"} if self.auc else set()))

    def __str__(self) -> str:
        return sentences.full_text(self)

    def table(self) -> list[dict[str, Any]]:
        """Return one row per check, the classifier last.

        The keys are statistic, feature, value, error, noise_low, noise_high, real_vs_real, p_value, p_adjusted,
        distinguishes, detail.
        """
        rows = [_row(check) for check in self.checks]
        if self.auc is not None:
            rows.append(_classifier_row(self.auc, self.alpha))
        return rows

    def to_json(self) -> dict[str, Any]:
        """Return plain dictionaries, lists, numbers and strings; what is not finite becomes None."""
        content = asdict(self) | {"checks": [asdict(check) for check in self.checks]}
        content |= {
            "verdict": self.verdict,
            "distinguishes": self.distinguishes,
            "n_distinguish_is_lower_bound": self.n_distinguish == math.inf,
            "references": self.references,
        }
        return _plain(content)

    @classmethod
    def from_json(cls, content: dict[str, Any]) -> "ValidationResult":
        """Return the result that `to_json` wrote.

        Raises
        ------
        InputError
            When keys are missing or unknown.
        """
        try:
            kept: dict[str, Any] = {k: v for k, v in content.items() if k in cls.__dataclass_fields__}
            if content.get("n_distinguish_is_lower_bound"):
                kept["n_distinguish"] = math.inf
            if kept["n_distinguish"] is not None and kept["n_distinguish_high"] is None:
                kept["n_distinguish_high"] = math.inf
            kept["checks"] = tuple(TestResult(**check) for check in kept["checks"])
            kept["auc"] = None if kept["auc"] is None else ClassifierResult(**kept["auc"])
            kept["warnings"] = tuple(kept["warnings"])
            return cls(**kept)
        except (KeyError, TypeError, AttributeError) as error:
            raise InputError(
                f"Expected the content of a validation.json, got something else ({error}). Run the validation again."
            ) from None


def events_to_distinguish(auc: float, error: float, p_value: float, alpha: float) -> tuple[float, float, float]:
    """Return N = 1.03 / (AUC - 1/2)^2 with its interval from AUC ± error (see the module).

    When p_value > alpha the AUC is compatible with 1/2: N is inf, and the interval runs from the
    one-sided 95 % lower limit to inf.
    """
    if p_value > alpha or auc <= 0.5:
        return math.inf, _events(max(auc, 0.5) + _Z95 * error), math.inf
    return _events(auc), _events(min(auc + error, 1.0)), _events(auc - error)


def _events(auc: float) -> float:
    return _EVENTS / (min(auc, 1.0) - 0.5) ** 2 if auc > 0.5 else math.inf


def _row(check: TestResult) -> dict[str, Any]:
    return {
        "statistic": check.name,
        "feature": check.feature,
        "value": check.value,
        "error": None,
        "noise_low": check.noise_low,
        "noise_high": check.noise_high,
        "real_vs_real": check.real_vs_real,
        "p_value": check.p_value,
        "p_adjusted": check.p_adjusted,
        "distinguishes": check.distinguishes,
        "detail": check.detail,
    }


def _classifier_row(auc: ClassifierResult, alpha: float) -> dict[str, Any]:
    return {
        "statistic": "classifier AUC",
        "feature": None,
        "value": auc.value,
        "error": auc.error,
        "noise_low": None,
        "noise_high": None,
        "real_vs_real": auc.real_vs_real,
        "p_value": auc.p_value,
        "p_adjusted": auc.p_value,
        "distinguishes": auc.p_value <= alpha,
        "detail": f"real against real {auc.measured_real}",
    }


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(k): _plain(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(v) for v in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
