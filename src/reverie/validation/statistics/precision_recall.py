"""Precision, recall, density and coverage: balls around the rows of one sample that hold rows of the other.

The ball of a row ends at its k-th nearest neighbour within its own sample, the boundary included. With n real
rows x and m generated rows y,

    precision   share of generated rows in some ball of a real row             (Kynkaanniemi et al. 2019)
    recall      share of real rows in some ball of a generated row
    density     sum over real rows of the generated rows in their balls, divided by k m   (Naeem et al. 2020)
    coverage    share of real rows whose ball holds a generated row

Under the null hypothesis, for continuous data of any law and dimension, E[density] = 1 and

    E[coverage] = 1 - prod_{i < k} (n - 1 - i) / (n + m - 1 - i)

since a real row is not covered when its first k pooled neighbours are all real. Precision and recall have no
such value: read them against real data. `<=` at the boundary matters only for tied rows: if all rows are equal,
all balls hold everything, so precision = recall = coverage = 1 and density = n / k.

All labellings at once: one walk along the lists of pooled neighbours finds the balls of all (`ball_walk`). A ball that
would reach beyond its list is cut there; `list_length` makes that rarer than one ball in 10,000 under the null
hypothesis, and the result says how often it happened. Coverage is never affected; precision and density then come
out too low.

Errors come from halves of the samples (`ball_errors`), not from a jackknife, which would be up to twice too large.
There is no weighted form: balls are counts of events. Resample weighted events first.
"""

from dataclasses import dataclass

import numpy as np
import torch
from scipy.special import bdtr
from torch import Tensor

from reverie.core.arguments import Count, checked
from reverie.core.errors import InputError
from reverie.core.statistics import expected_coverage
from reverie.core.types import ArrayLike
from reverie.validation.inputs.tables import as_rows
from reverie.validation.permutation.relabelling import Computed, Relabellings
from reverie.validation.statistics.ball_errors import ball_errors
from reverie.validation.statistics.ball_walk import TIE, column_sums, packed, unpacked, walk
from reverie.validation.statistics.neighbours import NeighbourGraph, nearest

__all__ = [
    "PRDC",
    "BallStatistic",
    "ball_statistics",
    "list_length",
    "precision_recall_density_coverage",
]


@dataclass(frozen=True)
class PRDC:
    """Precision, recall, density and coverage (see the module).

    Parameters
    ----------
    tie_fraction : share of the balls that have a row of the other sample exactly on their boundary.
    """

    precision: float
    recall: float
    density: float
    coverage: float
    tie_fraction: float

    def __str__(self) -> str:
        return (
            f"precision {self.precision:.3g}, recall {self.recall:.3g}, density {self.density:.3g}, "
            f"coverage {self.coverage:.3g}"
        )


@dataclass(frozen=True)
class BallStatistic:
    """One of the four under every labelling.

    Parameters
    ----------
    name : "precision", "recall", "density" or "coverage".
    computed : values for the test, large means different: expected minus value.
    value : the observed precision, recall, density or coverage itself.
    expected : its mean under the null hypothesis: exact for density and coverage, else the mean of all labellings.
    truncated : share of the observed balls that were cut at the end of the list of neighbours.
    """

    name: str
    computed: Computed
    value: float
    expected: float
    truncated: float


def list_length(n: int, m: int, k: int = 5, *, miss: float = 1e-4) -> int:
    """Return the length of the neighbour lists with which at most `miss` of the balls are cut under the null.

    That holds for balls of half the rows too, from which the errors come.
    """
    share = min(n, m) / (n + m) / 2
    length = k
    while length < n + m - 1 and bdtr(k - 1, length, share) > miss:
        length += 1
    return length


def ball_statistics(graph: NeighbourGraph, relabel: Relabellings, k: int = 5) -> list[BallStatistic]:
    """Return precision, recall, density and coverage under every labelling; x is the real sample.

    Parameters
    ----------
    graph : lists of `list_length(n, m, k)` neighbours or more.

    Raises
    ------
    InputError
        For weighted samples, or lists shorter than k.
    """
    if relabel.weights is not None or graph.length < min(k, len(graph.rows) - 1):
        got = "event weights" if relabel.weights is not None else f"{graph.length} neighbours"
        raise InputError(
            f"Expected events without weights and lists of at least k = {k} neighbours, got {got}. Draw events in "
            "proportion to their weights first, and make the graph with list_length(n, m, k)."
        )
    n, m, columns = relabel.n, relabel.m, relabel.labels.shape[1]
    labels = packed(relabel.labels.numpy())
    everyone = np.broadcast_to(packed(np.ones((1, columns), dtype=bool)), labels.shape)
    balls = walk(graph, labels, everyone, k)
    plain = {
        "precision": column_sums(balls.inside & ~labels)[:columns] / m,
        "recall": column_sums(balls.inside & labels)[:columns] / n,
        "density": balls.held[:columns] / (k * m),
        "coverage": column_sums(balls.covered & labels)[:columns] / n,
    }
    errors = ball_errors(graph, relabel, k, unpacked(balls.inside, slice(0, 8))[:, 0])
    exact = {"density": 1.0, "coverage": expected_coverage(n, m, k)}
    return [
        _statistic(name, values, exact.get(name, float(values.mean())), errors[name], balls.cut)
        for name, values in plain.items()
    ]


@checked
def precision_recall_density_coverage(
    real: ArrayLike, generated: ArrayLike, k: Count = 5, *, block_size: Count = 64
) -> PRDC:
    """Return precision, recall, density and coverage of real (n, d) and generated (m, d), in blocks of rows.

    Raises
    ------
    InputError
        Unless both samples have the same features and more than k rows.
    """
    real, generated = (rows.detach() for rows in as_rows(real=real, generated=generated))
    n, m = len(real), len(generated)
    if min(n, m) <= k:
        raise InputError(f"Expected more than k = {k} rows in each sample, got {n} and {m}.")
    centre = real.double().median(0).values  # not the mean, which one row far out would move
    x, y = real.double() - centre, generated.double() - centre
    (low_x, high_x), (low_y, high_y) = _boundaries(x, k), _boundaries(y, k)
    norms_x, norms_y = x.square().sum(1), y.square().sum(1)
    in_real, on_edge = torch.zeros(m, dtype=torch.bool), torch.zeros(m, dtype=torch.bool)
    held, recalled, covered, ties = 0, 0, 0, 0
    for start in range(0, n, block_size):
        rows = slice(start, start + block_size)
        norms = norms_x[rows, None] + norms_y
        squared, rounding = torch.addmm(norms, x[rows], y.T, alpha=-2.0), 1e-14 * norms
        least, most = squared - rounding, squared + rounding
        within = least <= high_x[rows, None]
        in_real |= within.any(0)
        held += int(torch.count_nonzero(within))
        covered += int(torch.count_nonzero(within.any(1)))
        ties += int(torch.count_nonzero((within & (most >= low_x[rows, None])).any(1)))
        within = least <= high_y
        recalled += int(torch.count_nonzero(within.any(1)))
        on_edge |= (within & (most >= low_y)).any(0)
    ties += int(torch.count_nonzero(on_edge))
    return PRDC(float(in_real.double().mean()), recalled / n, held / (k * m), covered / n, ties / (n + m))


def _statistic(name: str, values: np.ndarray, expected: float, error: float, cut: float) -> BallStatistic:
    # one-sided: copies of real events make all four larger, and are no difference of laws
    return BallStatistic(name, Computed(expected - values, error), float(values[0]), expected, cut)


def _boundaries(x: Tensor, k: int) -> tuple[Tensor, Tensor]:
    # squared distance to the k-th nearest other row of x, a little less and a little more
    distances, _ = nearest(x, x, k + 1, torch.Generator().manual_seed(0))  # the row itself is one, at distance 0
    squared = torch.from_numpy(distances[:, k]).square()
    return squared * (1 - TIE), squared * (1 + TIE)
