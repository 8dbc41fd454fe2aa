"""What the health of a generator is measured against, computed once per run.

Real rows are brought into a space of at most 32 dimensions (principal components of the training rows), and in it are
kept: the held-out rows with their distances among themselves, the regions of the training rows with their shares, and
the neighbours of the training rows. What is measured of generated rows at a check, without any verdict, is `Measures`.

Regions are the cells of k-means (Lloyd 1982, seeded as by Arthur and Vassilvitskii 2007). A generator that has lost
part of the data leaves some of them empty, whatever their shape.

A generator that copies its training rows is found by two signs together. Within each region the distance of a sample to
the nearest training row is ranked among the distances of the training rows to each other: u = 0.05 means that 5 % of
them have a nearer neighbour (after Meehan, Chaudhuri and Dasgupta, arXiv:2004.05675). Samples crowded where data are
dense have small u without being copies. So it is also counted how often the nearest real row is a training row and not
a held-out one: without copying, both are exchangeable from the sample's point of view, wherever it lies, and the share
of training rows is p = N / (N + m). Samples with one nearest row in common count together as one: of
1/e^2 = sum_r (c_r / n)^2 independent ones,

    z = (share - p) / (e (p (1 - p))^(1/2)).
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from reverie.core.errors import InputError
from reverie.core.random import child_generator
from reverie.core.statistics import NeighbourSearch, expected_coverage, weighted_mean
from reverie.training.scores import HeldOut, Score, log_distances

__all__ = ["HealthReference", "Measures", "Neighbours", "Regions"]

_LLOYD_STEPS = 12
_TREE_DIMENSIONS = 10  # up to here a tree finds neighbours faster than all distances
_CLOSE = 0.05  # rank below which a sample counts as close to its training row
_MOST_COMPONENTS = 32
_NEIGHBOUR = 5  # the radius of the coverage reaches to this neighbour
_TIED = 0.01  # share of held-out rows on top of each other from which on data count as discrete
_SOFTENED = 0.1  # radius among discrete rows, in units of the median distance
_MOST_CELLS, _ROWS_PER_CELL = 20, 50
_MOST_QUERIES = 500  # samples whose neighbours are searched
_FARTHEST = 100.0  # in units of the spread of the training rows: what lies beyond is moved there


class Regions:
    """Cells of k-means of real rows (n, d), at most `n_cells`; fewer come out where rows coincide.

    Attributes
    ----------
    shares : (cells,) weighted share of the rows in each cell.
    """

    def __init__(self, rows: Tensor, n_cells: int, *, generator: torch.Generator, weight: Tensor | None = None) -> None:
        chosen = [int(torch.randint(len(rows), (), generator=generator))]
        squared = torch.cdist(rows, rows[chosen]).square().amin(dim=1)
        while len(chosen) < n_cells and float(squared.max()) > 0:  # drawn in proportion to it
            chosen.append(int(torch.multinomial(squared, 1, generator=generator)))
            squared = torch.minimum(squared, (rows - rows[chosen[-1]]).square().sum(dim=1))
        centres = rows[chosen]
        for _ in range(_LLOYD_STEPS):
            numbers = torch.cdist(rows, centres).argmin(dim=1)
            sums = torch.zeros_like(centres).index_add_(0, numbers, rows)
            counts = torch.bincount(numbers, minlength=len(centres))[:, None]
            centres = torch.where(counts > 0, sums / counts.clamp(min=1), centres)
        self.centres = centres
        self.shares = self.shares_of(rows, weight)

    def __len__(self) -> int:
        return len(self.centres)

    def numbers(self, rows: Tensor) -> Tensor:
        """Return the number of the cell of each of `rows` (n, d), (n,)."""
        return torch.cdist(rows, self.centres).argmin(dim=1)

    def shares_of(self, rows: Tensor, weight: Tensor | None = None) -> Tensor:
        """Return the share of `rows` (n, d) in each cell, not negative, (cells,)."""
        weight = torch.ones(len(rows)) if weight is None else weight.to(torch.float32)
        sums = torch.zeros(len(self)).index_add_(0, self.numbers(rows), weight).clamp(min=0)
        return sums / sums.sum()


class Neighbours:
    """Training rows (N, d) and held-out ones (m, d), prepared for the search of the nearest.

    Distances are ranked within regions, among those of `max_rows` training rows that the generator picks.
    """

    def __init__(
        self, train: Tensor, held_out: Tensor, regions: Regions, *, generator: torch.Generator, max_rows: int = 2000
    ) -> None:
        self._regions = regions
        self._train, self._held_out = (
            NeighbourSearch(rows.double().numpy(), tree_dimensions=_TREE_DIMENSIONS) for rows in (train, held_out)
        )
        measure = train[torch.randperm(len(train), generator=generator)[:max_rows]]
        distances, _ = _nearest(self._train, measure, but_itself=True)
        cells = regions.numbers(measure)
        self._ladders = [distances[cells == k].sort().values for k in range(len(regions))]
        self._share = len(train) / (len(train) + len(held_out))

    def copies(self, y: Tensor) -> tuple[float, float, float]:
        """Return how near the rows y (n, d) lie to training rows: `close`, `excess` and `copies_z` of `Measures`."""
        to_train, row = _nearest(self._train, y)
        to_held_out, other = _nearest(self._held_out, y)
        first = (to_train < to_held_out).double()
        first = torch.where((to_train - to_held_out).abs() <= 1e-6 * to_held_out, self._share, first)
        excess = float(first.mean()) - self._share
        nearest = torch.where(to_train <= to_held_out, row, -1 - other)
        counts = nearest.unique(return_counts=True)[1].double() / len(y)
        deviation = float(counts.square().sum().sqrt()) * (self._share * (1 - self._share)) ** 0.5
        ranks = torch.full((len(y),), 0.5, dtype=torch.float64)  # u, ties in the middle
        cells = self._regions.numbers(y)
        for k, ladder in enumerate(self._ladders):
            inside = cells == k
            if len(ladder) and bool(inside.any()):
                d = to_train[inside]
                below = torch.searchsorted(ladder, d) + torch.searchsorted(ladder, d, right=True)
                ranks[inside] = below.double() / (2 * len(ladder))
        return float((ranks < _CLOSE).double().mean()), excess, excess / deviation


def _nearest(search: NeighbourSearch, y: Tensor, *, but_itself: bool = False) -> tuple[Tensor, Tensor]:
    """Return distance and number of the row nearest to each of y (n, d); `but_itself` leaves one equal row out."""
    squared, rows = search.nearest(2 if but_itself and len(search.points) > 1 else 1, y.double().numpy())
    return torch.from_numpy(squared[:, -1]).sqrt(), torch.from_numpy(rows[:, -1]).long()


@dataclass(frozen=True)
class Measures:
    """What is measured of generated rows.

    Attributes
    ----------
    score : two-sample score against the held-out rows.
    coverage : share of held-out rows with a generated one nearer than their fifth real neighbour, over its
        expectation for a perfect generator (Naeem et al., arXiv:2002.09797).
    plausible : share of generated rows nearer to a held-out row than this one's fifth real neighbour.
    shares : (cells,) share of the generated rows in each region.
    close : share of samples nearer to a training row than 5 % of its region's training rows are to each other.
    excess, copies_z : share of samples whose nearest real row is a training row, minus its expectation; the same in
        standard deviations.
    """

    score: Score
    coverage: float
    plausible: float
    shares: Tensor
    close: float
    excess: float
    copies_z: float


class HealthReference:
    """Held-out and training rows, prepared.

    Raises `InputError` unless both are finite tables of equal width with two rows at least, and held-out weights have a
    positive sum.

    Parameters
    ----------
    train : (N, d) training rows, all of them or a sample.
    held_out : (m, d) rows that training never sees, m >= 2.
    seed : root of the random choices made here.
    weight : (m,) event weights of `held_out`, or None.
    train_weight : (N,) event weights of `train`, or None.
    max_rows : rows of either side that enter statistics of pairs.

    Attributes
    ----------
    dimension : of the space, at most 32.
    real_against_real : score of training rows.
    regions : cells of the training rows.
    """

    def __init__(
        self,
        train: Tensor,
        held_out: Tensor,
        *,
        seed: int,
        weight: Tensor | None = None,
        train_weight: Tensor | None = None,
        max_rows: int = 2000,
    ) -> None:
        train, held_out = _checked(train), _checked(held_out)
        if weight is not None and not float(weight.sum()) > 0:
            raise InputError(
                f"Expected held-out events whose weights have a positive sum, got {float(weight.sum()):.3g} for "
                f"{len(weight)} events: negative weights prevail among them. Give a larger validation_fraction, or 0 "
                "to train without checks."
            )
        random = child_generator(seed, "health")
        self._centre, self._axes = train.mean(dim=0), None
        if train.shape[1] > _MOST_COMPONENTS:
            values, vectors = torch.linalg.eigh(torch.cov(train.T.double()))
            self._axes = vectors[:, values.argsort(descending=True)[:_MOST_COMPONENTS]].float()
        self._reach = float("inf")
        train = self.project(train)
        self._reach = _FARTHEST * max(float(train.norm(dim=1).square().mean().sqrt()), 1e-12)
        real = self.project(held_out)[:max_rows]
        some = torch.randperm(len(train), generator=random)[:max_rows]
        rows, row_weight = train[some], None if train_weight is None else train_weight[some].float()
        self.dimension, self._weight = train.shape[1], None if weight is None else weight[:max_rows].float()
        self._held_out = HeldOut(real, self._weight)
        n = min(len(rows), len(real))
        self.real_against_real = self._held_out.score(rows[:n]).value
        self._null_width = self._held_out.null_width(rows[:n], random)
        self._radii = _radii(real, self._held_out.scale)
        n_cells = min(_MOST_CELLS, max(1, len(rows) // _ROWS_PER_CELL))
        self.regions = Regions(rows, n_cells, generator=random, weight=row_weight)
        self._neighbours = Neighbours(train, real, self.regions, generator=random, max_rows=max_rows)

    def project(self, x: Tensor) -> Tensor:
        """Return rows (n, d) in the space of the reference, (n, dimension), none absurdly far out."""
        y = x.detach().flatten(1).to("cpu", torch.float32) - self._centre
        y = y if self._axes is None else y @ self._axes
        return y.clamp(-self._reach, self._reach)

    def null_width(self, n: int) -> float:
        """Return the standard deviation of the score of `n` samples of a perfect generator.

        It was measured for as many samples as there are held-out rows, m, and goes with 1/m + 1/n.
        """
        return self._null_width * (1 + len(self._radii) / n) / 2

    def measure(self, generated: Tensor) -> Measures:
        """Return what can be measured of finite generated rows (n, d), n >= 2."""
        y = self.project(generated)
        score, phi = self._held_out.compare(y)
        near = phi <= self._radii[:, None]
        close, excess, z = self._neighbours.copies(y[:_MOST_QUERIES])
        covered = float(weighted_mean(near.any(dim=1).float(), self._weight))
        return Measures(
            score=score,
            coverage=covered / expected_coverage(len(self._radii), len(y), _NEIGHBOUR),
            plausible=float(near.any(dim=0).float().mean()),
            shares=self.regions.shares_of(y),
            close=close,
            excess=excess,
            copies_z=z,
        )


def _radii(real: Tensor, scale: float) -> Tensor:
    """Return phi at the distance of each row to its fifth neighbour; more among rows on top of each other."""
    phi = log_distances(real, real, scale)
    k = min(_NEIGHBOUR, len(real) - 1)
    radii = phi.fill_diagonal_(-1.0).kthvalue(k + 1, dim=1).values
    if float((radii <= 1e-6).float().mean()) > _TIED:
        median = torch.cdist(real, real).median() * _SOFTENED
        radii = radii.clamp(min=float((median / scale).square().log1p()))
    return radii


def _checked(x: Tensor) -> Tensor:
    x = x.detach().flatten(1).to("cpu", torch.float32) if x.ndim > 1 else x
    if x.ndim != 2 or len(x) < 2 or not bool(torch.isfinite(x).all()):
        raise InputError(f"Expected finite rows (n, d), n >= 2, got shape {tuple(x.shape)}. Check the held-out events.")
    return x
