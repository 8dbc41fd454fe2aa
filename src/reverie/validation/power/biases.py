"""Biases beside the statistical error of an analysis: the N at which mean, width or tails of a column are off by it.

An analysis of N independent events of weight one measures a quantity q of one column with the error s/sqrt(N). Taken
from generated instead of real events it is off by b = q(generated) - q(real) besides, and both are equal at

    N = (s / b)^2

    quantity   q                                                     s^2 (of the real events)
    mean       mean                                                  sigma^2
    width      standard deviation sigma                              Var((x - mean)^2) / (4 sigma^2)
    tails      share beyond the 1 % and 99 % quantiles of real       p (1 - p)
    share      share of events with one word of a column of words    p (1 - p)

Of two values the width is that of the mean already, and its s vanishes where both are equally many: it is left out.

The error of b has the fluctuations of both samples, from the influences of the events, x - mean, ((x - mean)^2 -
sigma^2)/(2 sigma) and the indicator less its mean, with weights, and in blocks for chains
(`reverie.validation.classifiers.auc.mean_and_error`). Limits of N hold with 95 % for all quantities of all columns at
once (Bonferroni): from b ± z errors where b differs from 0, and the global test sees a difference; else the lower
limit alone, one-sided.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from scipy.special import ndtri

from reverie.core.statistics import mean_and_error
from reverie.validation.comparison import Comparisons
from reverie.validation.permutation.relabelling import Relabellings
from reverie.validation.statistics.marginal import TAIL, weighted_quantile

__all__ = ["QUANTITIES", "Bias", "biases"]

QUANTITIES = ("mean", "width", "tails")
_LEVEL = 0.05


@dataclass(frozen=True)
class Bias:
    """The bias of one quantity of one column.

    Parameters
    ----------
    column : name of the column or observable, or a column and one of its words.
    quantity : "mean", "width" or "tails"; "share" of a word.
    value, error : generated minus real and its standard error, in units of s (see the module).
    events : N at which bias and statistical error are equal; None where the bias is compatible with 0.
    low, high : 95 % limits for all at once; high is None without upper limit. Without estimate low is one-sided.
    """

    column: str
    quantity: str
    value: float
    error: float
    events: float | None
    low: float
    high: float | None


def biases(comparisons: Comparisons, *, seen: bool) -> tuple[Bias, ...]:
    """Return mean, width and tails of all columns and observables that the battery looks at one by one.

    Of an observable of several numbers each is a column. What does not vary is left out. Without a difference `seen` by
    the global test there are lower limits only.
    """
    here = comparisons.generated
    columns, measured = [], []
    for name, values in zip(comparisons.single_names, here.single.T.numpy(), strict=True):
        words = comparisons.labels.get(name)
        if words is None:
            columns.append((name, values))
            continue
        for code, word in enumerate(words):
            of_word = list(_measured((values == code).astype(float), here.relabel))
            measured += [(f"{name} = {word}", "share", *rest) for what, *rest in of_word if what == "mean"]
    for name, values in here.observables.items():
        if values.shape[1] > 1:
            columns += [(f"{name}[{k}]", column) for k, column in enumerate(values.T.numpy())]
    measured += [(name, *one) for name, values in columns for one in _measured(values, here.relabel)]
    # z of both limits, and of the one limit of what is not seen
    two_sided, one_sided = (float(ndtri(1 - level / max(1, len(measured)))) for level in (_LEVEL / 2, _LEVEL))
    results = []
    for name, quantity, value, error in measured:
        size = abs(value)
        if not seen or size <= two_sided * error:
            results.append(Bias(name, quantity, value, error, None, (size + one_sided * error) ** -2, None))
        else:
            events, low, high = (b**-2 for b in (size, size + two_sided * error, size - two_sided * error))
            results.append(Bias(name, quantity, value, error, events, low, high))
    return tuple(results)


def _measured(values: np.ndarray, relabel: Relabellings) -> Iterator[tuple[str, float, float]]:
    """Yield each quantity with its bias and error in units of s."""
    samples, w = np.split(values, [relabel.n]), np.split(relabel.row_weights.numpy(), [relabel.n])
    means = [float(u @ s / u.sum()) for s, u in zip(samples, w, strict=True)]
    squares = [np.square(s - mean) for s, mean in zip(samples, means, strict=True)]
    widths = [float(np.sqrt(max(u @ s / u.sum(), 0.0))) for s, u in zip(squares, w, strict=True)]
    low, high = weighted_quantile(samples[0], None if relabel.weights is None else w[0], (TAIL, 1 - TAIL))
    outside = [((s < low) | (s > high)).astype(float) for s in samples]
    parts = {"mean": samples, "tails": outside}
    if min(widths) > 0 and ((values > values.min()) & (values < values.max())).any():
        parts["width"] = [s / (2 * width) + width / 2 for s, width in zip(squares, widths, strict=True)]
    for quantity in [one for one in QUANTITIES if one in parts]:
        measured = [mean_and_error(s, u, block=relabel.block) for s, u in zip(parts[quantity], w, strict=True)]
        (a, error_a), (b, error_b) = measured
        centred = np.square(parts[quantity][0] - a)
        spread = float(np.sqrt(max(w[0] @ centred / w[0].sum(), 0.0)))
        if spread > 0:
            yield quantity, (b - a) / spread, float(np.hypot(error_a, error_b)) / spread
