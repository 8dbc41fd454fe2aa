"""How far a classifier sees: areas under the ROC curve and numbers of events.

A rank test on N test events per class rejects an area A at level alpha with the wanted power when

    N = (z_alpha + z_power)^2 / (6 (A - 1/2)^2) = 1.03 / (A - 1/2)^2        at alpha = 5 %, power = 80 %

since the null variance of the area is about 1/(6N). Analyses of fewer events are not likely to notice the
difference that this classifier found; a better classifier might. When the area is compatible with 1/2, N is
infinite, and its 95 % lower limit is what the test can promise.
"""

import math

from scipy.special import ndtri

from reverie.core.checks import check_positive
from reverie.core.errors import InputError

__all__ = ["TARGET", "check_levels", "detectable_auc", "events_for_auc", "events_to_distinguish"]

TARGET = 0.8  # power that is asked for
_Z95 = 1.6448536269514722  # one-sided 95 %


def events_for_auc(auc: float, *, power: float = TARGET, alpha: float = 0.05) -> float:
    """Return the test events per class at which a classifier of area `auc` > 1/2 rejects with that power.

    Raises
    ------
    InputError
        For an area outside (1/2, 1], or power or alpha outside (0, 1).
    """
    if not 0.5 < auc <= 1:
        raise InputError(f"Expected auc above 1/2 and at most 1, got {auc!r}. At 1/2 no number of events is enough.")
    return _quantiles(power, alpha) ** 2 / (6 * (auc - 0.5) ** 2)


def detectable_auc(n_test: float, *, power: float = TARGET, alpha: float = 0.05) -> float:
    """Return the smallest area that is told from 1/2 with that power by `n_test` test events per class; at most 1."""
    check_positive("n_test", n_test)
    return min(1.0, 0.5 + _quantiles(power, alpha) / math.sqrt(6 * n_test))


def events_to_distinguish(auc: float, error: float, p_value: float, alpha: float) -> tuple[float, float, float]:
    """Return N = 1.03 / (AUC - 1/2)^2 with its interval from AUC ± error (see the module).

    When p_value > alpha the AUC is compatible with 1/2: N is inf, and the interval runs from the
    one-sided 95 % lower limit to inf.
    """
    if p_value > alpha or auc <= 0.5:
        return math.inf, _events(max(auc, 0.5) + _Z95 * error), math.inf
    return _events(auc), _events(min(auc + error, 1.0)), _events(auc - error)


def _events(auc: float) -> float:
    return events_for_auc(min(auc, 1.0)) if auc > 0.5 else math.inf


def check_levels(power: float, alpha: float) -> None:
    """Raise `InputError` unless both lie between 0 and 1."""
    for name, value in (("power", power), ("alpha", alpha)):
        if not 0 < value < 1:
            raise InputError(f"Expected {name} between 0 and 1, got {value!r}. Usual values are 0.8 and 0.05.")


def _quantiles(power: float, alpha: float) -> float:
    check_levels(power, alpha)
    return float(ndtri(1 - alpha) + ndtri(power))
