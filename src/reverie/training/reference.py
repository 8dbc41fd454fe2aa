"""What the health of a generator is measured against, computed once per run.

Real rows are brought into a space of at most 32 dimensions (principal components of the training rows),
and in it are kept: the held-out rows with their distances among themselves, the regions of the training
rows with their shares, and the neighbours of the training rows. What is measured of generated rows at a
check, without any verdict, is `Measures`.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from reverie.core.errors import InputError
from reverie.core.random import child_generator
from reverie.core.statistics import expected_coverage, weighted_mean
from reverie.training.regions import Copies, Neighbours, Regions
from reverie.training.scores import HeldOut, Score, log_distances

__all__ = ["HealthReference", "Measures"]

_MOST_COMPONENTS = 32
_NEIGHBOUR = 5  # the radius of the coverage reaches to this neighbour
_TIED = 0.01  # share of held-out rows on top of each other from which on data count as discrete
_SOFTENED = 0.1  # radius among discrete rows, in units of the median distance
_MOST_CELLS, _ROWS_PER_CELL = 20, 50
_MOST_QUERIES = 500  # samples whose neighbours are searched
_FARTHEST = 100.0  # in units of the spread of the training rows: what lies beyond is moved there


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
    copies : how near they lie to training rows.
    """

    score: Score
    coverage: float
    plausible: float
    shares: Tensor
    copies: Copies


class HealthReference:
    """Held-out and training rows, prepared.

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

    Raises
    ------
    InputError
        Unless both are finite tables of equal width with two rows at least, and held-out weights have a positive sum.
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
        self._centre, self._axes = _components(train)
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
        covered = float(weighted_mean(near.any(dim=1).float(), self._weight))
        return Measures(
            score=score,
            coverage=covered / expected_coverage(len(self._radii), len(y), _NEIGHBOUR),
            plausible=float(near.any(dim=0).float().mean()),
            shares=self.regions.shares_of(y),
            copies=self._neighbours.copies(y[:_MOST_QUERIES]),
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


def _components(train: Tensor) -> tuple[Tensor, Tensor | None]:
    """Return the centre (d,) of the rows and their first principal axes (d, 32), or None for few columns."""
    centre = train.mean(dim=0)
    if train.shape[1] <= _MOST_COMPONENTS:
        return centre, None
    values, vectors = torch.linalg.eigh(torch.cov(train.T.double()))
    return centre, vectors[:, values.argsort(descending=True)[:_MOST_COMPONENTS]].float()


def _checked(x: Tensor) -> Tensor:
    x = x.detach().flatten(1).to("cpu", torch.float32) if x.ndim > 1 else x
    if x.ndim != 2 or len(x) < 2 or not bool(torch.isfinite(x).all()):
        raise InputError(f"Expected finite rows (n, d), n >= 2, got shape {tuple(x.shape)}. Check the held-out events.")
    return x
