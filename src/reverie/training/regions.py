"""Regions of the data and how many samples fall into each; neighbours and what they give away.

Regions are the cells of k-means (Lloyd 1982, seeded as by Arthur and Vassilvitskii 2007). A generator that
has lost part of the data leaves some of them empty, whatever their shape.

A generator that copies its training rows is found by two signs together. Within each region the distance
of a sample to the nearest training row is ranked among the distances of the training rows to each other:
u = 0.05 means that 5 % of them have a nearer neighbour (after Meehan, Chaudhuri and Dasgupta,
arXiv:2004.05675). Samples crowded where data are dense have small u without being copies. So it is also
counted how often the nearest real row is a training row and not a held-out one: without copying, both are
exchangeable from the sample's point of view, wherever it lies, and the share of training rows is
p = N / (N + m). Samples with one nearest row in common count together as one: of 1/e^2 = sum_r (c_r / n)^2
independent ones,

    z = (share - p) / (e (p (1 - p))^(1/2)).
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from reverie.core.statistics import NeighbourSearch

__all__ = ["Copies", "Neighbours", "Regions"]

_LLOYD_STEPS = 12
_TREE_DIMENSIONS = 10  # up to here a tree finds neighbours faster than all distances
CLOSE = 0.05  # rank below which a sample counts as close to its training row


class Regions:
    """Cells of k-means.

    Parameters
    ----------
    rows : (n, d) real rows.
    n_cells : how many, at least 1; fewer come out where rows coincide.
    generator : source of the first centres.
    weight : (n,) weights, or None.

    Attributes
    ----------
    shares : (cells,) share of the rows in each cell.
    """

    def __init__(self, rows: Tensor, n_cells: int, *, generator: torch.Generator, weight: Tensor | None = None) -> None:
        centres = _spread_rows(rows, n_cells, generator)
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


@dataclass(frozen=True)
class Copies:
    """How near samples lie to training rows.

    Attributes
    ----------
    close : share of samples nearer to a training row than 5 % of its region's training rows are to each other.
    excess : share of samples whose nearest real row is a training row, minus its expectation.
    z : the same in standard deviations.
    """

    close: float
    excess: float
    z: float


class Neighbours:
    """Training and held-out rows, prepared for the search of the nearest.

    Parameters
    ----------
    train, held_out : (N, d) and (m, d).
    regions : within which distances are ranked.
    generator : picks the training rows whose distances are the measure.
    max_rows : how many of them.
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

    def copies(self, y: Tensor) -> Copies:
        """Return how near the rows y (n, d) lie to training rows."""
        to_train, row = _nearest(self._train, y)
        to_held_out, other = _nearest(self._held_out, y)
        first = (to_train < to_held_out).double()
        first = torch.where((to_train - to_held_out).abs() <= 1e-6 * to_held_out, self._share, first)
        excess = float(first.mean()) - self._share
        nearest = torch.where(to_train <= to_held_out, row, -1 - other)
        counts = nearest.unique(return_counts=True)[1].double() / len(y)
        deviation = float(counts.square().sum().sqrt()) * (self._share * (1 - self._share)) ** 0.5
        return Copies(float((self._ranks(y, to_train) < CLOSE).double().mean()), excess, excess / deviation)

    def _ranks(self, y: Tensor, distances: Tensor) -> Tensor:
        """Return the rank in [0, 1] of each distance among those of its region, ties in the middle."""
        ranks = torch.full((len(y),), 0.5, dtype=torch.float64)
        cells = self._regions.numbers(y)
        for k, ladder in enumerate(self._ladders):
            inside = cells == k
            if len(ladder) and bool(inside.any()):
                d = distances[inside]
                below = torch.searchsorted(ladder, d) + torch.searchsorted(ladder, d, right=True)
                ranks[inside] = below.double() / (2 * len(ladder))
        return ranks


def _nearest(search: NeighbourSearch, y: Tensor, *, but_itself: bool = False) -> tuple[Tensor, Tensor]:
    """Return distance and number of the row nearest to each of y (n, d); `but_itself` leaves one equal row out."""
    squared, rows = search.nearest(2 if but_itself and len(search.points) > 1 else 1, y.double().numpy())
    return torch.from_numpy(squared[:, -1]).sqrt(), torch.from_numpy(rows[:, -1]).long()


def _spread_rows(rows: Tensor, n: int, generator: torch.Generator) -> Tensor:
    """Return up to `n` of `rows`, each drawn with probability proportional to its squared distance to those before."""
    chosen = [int(torch.randint(len(rows), (), generator=generator))]
    squared = torch.cdist(rows, rows[chosen]).square().amin(dim=1)
    while len(chosen) < n and float(squared.max()) > 0:
        chosen.append(int(torch.multinomial(squared, 1, generator=generator)))
        squared = torch.minimum(squared, (rows - rows[chosen[-1]]).square().sum(dim=1))
    return rows[chosen]
