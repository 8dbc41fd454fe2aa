"""Results of single tests: a statistic of the battery and a classifier, each with the sentence that tells it."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, TypeAlias

from reverie.core.measured import Measured

__all__ = ["ClassifierResult", "Row", "TestResult", "p_text", "strongest"]

Row: TypeAlias = dict[str, Any]  # of a table, by the names of its columns
_Z95 = 1.6448536269514722  # one-sided 95 %
_ROW = ("statistic", "feature", "value", "error", "noise_low", "noise_high", "real_vs_real", "p_value", "p_adjusted")
_ROW += ("q_value", "detectable", "distinguishes", "detail")


def p_text(p: float) -> str:
    """Return a p-value as the end of "p = 0.012"."""
    if p < 1e-10:  # so far out the normal approximation behind it is not to be quoted
        return "< 1e-10"
    return f"= {p:.3f}" if p >= 0.0995 else f"= {p:.2g}"


@dataclass(frozen=True)
class TestResult:
    """One statistic of generated against real, with all that is needed to judge it.

    Parameters
    ----------
    name : Name of the statistic, such as "KS".
    feature : the feature it looked at, None for all together.
    value : the statistic of generated against real.
    noise_low, noise_high : 5 % and 95 % quantiles of the permutations: what chance gives.
    real_vs_real : the same statistic of real against real at equal size, None if unknown.
    p_value, p_adjusted : The p-value of this test alone, and the same corrected for the others of its group.
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
        of = f" of {self.feature}" if self.feature else ""
        real = "" if self.real_vs_real is None else f", real against real {self.real_vs_real:.3g}"
        p = f"p {p_text(self.p_value)}"
        if self.p_adjusted != self.p_value:
            p += f" (adjusted {p_text(self.p_adjusted)})"
        detail = f"; {self.detail}" if self.detail else ""
        error = "" if self.error is None else f" ± {self.error:.2g}"
        return (
            f"{self.name[:1].upper()}{self.name[1:]}{of}: {self.value:.3g}{error} (chance {self.noise_low:.3g} to "
            f"{self.noise_high:.3g}{real}), {p}{detail}."
        )

    @property
    def excess(self) -> float:
        """How far `value` lies from the middle of the band of chance, in half widths of it."""
        half = 0.5 * (self.noise_high - self.noise_low)
        return abs(self.value - 0.5 * (self.noise_low + self.noise_high)) / half if half > 0 else math.inf

    @property
    def score(self) -> float:
        """Q = (value - real against real) / (standard deviation of chance); nan where one is not known."""
        width = (self.noise_high - self.noise_low) / (2 * _Z95)
        if self.real_vs_real is None or not width > 0:
            return math.nan
        return (self.value - self.real_vs_real) / width

    def row(self) -> Row:
        """Return the test as a row of a table, with the keys of `ValidationResult.table`."""
        return {"statistic": self.name, **{key: getattr(self, key) for key in _ROW[1:]}}


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
    learner : what was trained: "boosting", "forest", "mlp", "cnn" or "sets".
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
        losses = sorted(self.importances.items(), key=lambda item: -item[1])[:3]
        top = [name for name, loss in losses if loss > self.error]
        used = f"; it used mostly {', '.join(top)}" if top and self.p_value <= 0.05 else ""
        beside = "" if math.isnan(self.real_vs_real) else f", real against real {self.measured_real}"
        return (
            f"Classifier ({self.learner}): AUC {self.measured} on events it has not seen{beside}, "
            f"p {p_text(self.p_value)}{used}."
        )

    def row(self, alpha: float) -> Row:
        """Return the test at level `alpha` as a row of a table, with the keys of `ValidationResult.table`."""
        return dict.fromkeys(_ROW) | {
            "statistic": "classifier AUC" if self.learner == "boosting" else f"classifier AUC ({self.learner})",
            "value": self.value,
            "error": self.error,
            "real_vs_real": self.real_vs_real,
            "p_value": self.p_value,
            "p_adjusted": self.p_value,
            "distinguishes": self.p_value <= alpha,
            "detail": f"real against real {self.measured_real}",
        }


def strongest(classifiers: Sequence[ClassifierResult]) -> ClassifierResult | None:
    """Return the one with the smallest p-value, of several with equal ones that of largest AUC; None of none."""
    return min(classifiers, key=lambda one: (one.p_value, -one.value), default=None)
