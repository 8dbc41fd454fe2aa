"""Relabellings: the pooled rows of two samples, and every way in which they are called x or y.

Two samples x (n rows) and y (m rows) are pooled into z (N rows, x first). A labelling calls n of the
rows x and the others y. Column 0 is the observed labelling, columns 1 ... B are permutations: under the
null hypothesis of one common law all B + 1 are equally likely, so any statistic, computed for all of
them, gives an exact p-value. All statistics share the same columns (`reverie.validation.permutation.multiple_testing`).

A statistic that is a function of the two empirical measures sees a labelling as one signed measure,

    s_i = w_i l_i / W_x - w_i (1 - l_i) / W_y,      W_x = sum w l,   W_y = sum w (1 - l)

with l = 1 for x; `contrasts` gives s, scaled by h = nm/N so that n = m without weights gives +-1/2.

Event weights w stay with their events; they are normalised to mean one in each sample. Without weights
the permutations are exact. With weights they are right asymptotically when n = m: the variance of the
observed s-measure, E[w^2 f^2]/n + E[v^2 f^2]/m, is then that of the permuted one. Negative weights do not
change the argument as long as every permuted sum of weights stays well above zero. n_eff = (sum w)^2 / sum w^2.

Rows of a Markov chain are not exchangeable one by one. With `block` > 1 whole runs of that many
neighbouring rows change their label together; blocks of at least ten autocorrelation times make
neighbouring blocks all but independent (validation reference, section 4.1). The number of rows called x
stays n: the one block that would exceed it is cut.

Errors come from the jackknife: each sample is divided into J groups, of neighbouring rows where blocks of a chain are
exchanged and at random otherwise (tables sorted by a column would have groups as unlike as can be), each is left out
in turn, and

    error^2 = sum over both samples of (J - 1)/J sum_j (t_(j) - mean t_(.))^2          (Efron and Tibshirani 1993)

which holds both samples' fluctuations, without the bias that resampling with replacement adds to distances.
"""

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from reverie.core.errors import InputError

__all__ = ["N_GROUPS", "Computed", "Relabellings", "jackknife_error", "relabellings"]

N_GROUPS = 20  # of the jackknife, in each sample
_ROWS = 4096


@dataclass(frozen=True)
class Relabellings:
    """All labellings of N pooled rows, x first.

    Parameters
    ----------
    labels : (N, B + 1) booleans, True for x; column 0 is the observed labelling.
    weights : (N,) float64 with mean one in each observed sample, or None for rows that all count alike.
    weight_of_x : (B + 1,) float64, W_x of each column.
    groups : (N,) int64, the jackknife group of each row: 0 ... J - 1 in x, J ... 2J - 1 in y.
    block : number of neighbouring rows that change their label together.
    """

    labels: Tensor
    weights: Tensor | None
    weight_of_x: Tensor
    groups: Tensor
    block: int = 1

    @property
    def n(self) -> int:
        """Number of rows called x, the same in every labelling."""
        return int(self.labels[:, 0].sum())

    @property
    def m(self) -> int:
        """Number of rows called y."""
        return len(self.labels) - self.n

    @property
    def unit(self) -> float:
        """1/h = 1/n + 1/m, by which statistics that are linear in the contrasts are multiplied."""
        return 1 / self.n + 1 / self.m

    @property
    def row_weights(self) -> Tensor:
        """The weights of the rows, shape (N,), float64: ones for rows that all count alike."""
        return torch.ones(len(self.labels), dtype=torch.float64) if self.weights is None else self.weights

    @property
    def n_groups(self) -> int:
        """2J, the number of jackknife groups of both samples."""
        return int(self.groups.max()) + 1

    def contrasts(self, rows: Tensor | slice = slice(None)) -> Tensor:
        """Return h s (rows, B + 1), float32, of the given rows: column sums over all N rows are zero."""
        share = self.labels[rows].to(torch.float32)
        if self.weights is None:
            return share.sub_(self.n / len(self.labels))
        total = float(self.weights.sum())
        to_x, to_y = (1 / (self.unit * w).float() for w in (self.weight_of_x, total - self.weight_of_x))
        return self.weights[rows, None].float() * (share * (to_x + to_y) - to_y)

    def jackknife(self, rows: Tensor | slice = slice(None)) -> Tensor:
        """Return h s (rows, 2J), float32, of the observed labelling, with one group left out in each column."""
        x_only, y_only = self.jackknife_masses(rows)
        return ((x_only - y_only) / self.unit).float()

    def jackknife_masses(self, rows: Tensor | slice = slice(None)) -> tuple[Tensor, Tensor]:
        """Return the normalised masses (rows, 2J) of x and of y, float64, with one group left out in each column."""
        w = self.row_weights
        total = torch.zeros(self.n_groups, dtype=torch.float64).index_add_(0, self.groups, w)
        of_x = torch.arange(self.n_groups) < self.n_groups // 2
        kept = w[rows, None] * (self.groups[rows, None] != torch.arange(self.n_groups))
        here = self.labels[rows, :1]
        return (
            torch.where(here, kept, 0.0) / (total[of_x].sum() - total * of_x),
            torch.where(here, 0.0, kept) / (total[~of_x].sum() - total * ~of_x),
        )


@dataclass(frozen=True)
class Computed:
    """One statistic of two samples under every labelling.

    Parameters
    ----------
    values : (B + 1,) float64, the observed one first; large means different.
    error : jackknife error of the observed value; nan where it is not defined.
    shift : what is added to `values` before they are shown, such as minus a known bias.
    detail : what else it saw, as the end of a sentence.
    """

    values: np.ndarray
    error: float = math.nan
    shift: float = 0.0
    detail: str = ""

    @property
    def value(self) -> float:
        """The observed value as it is shown."""
        return float(self.values[0]) + self.shift


def relabellings(
    n: int,
    m: int,
    n_permutations: int,
    generator: torch.Generator,
    *,
    weights: Tensor | None = None,
    block: int = 1,
    n_groups: int = N_GROUPS,
) -> Relabellings:
    """Return the observed labelling of n rows of x and m of y, pooled in this order, with its permutations.

    Parameters
    ----------
    weights : (n + m,), any unit, each sample with a positive sum; needs n = m. None without weights.
    block : rows that change their label together; 1 for rows whose order means nothing.
    n_groups : J, jackknife groups in each sample; at most its number of rows.

    Raises
    ------
    InputError
        For weights of samples of unequal size, or of a sum that is not positive in some permutation.
    """
    N, labels = n + m, torch.zeros(n_permutations + 1, n + m, dtype=torch.bool)
    labels[0, :n] = True
    n_blocks, within = -(-N // block), torch.arange(block)
    for column in labels[1:]:
        rows = torch.randperm(n_blocks, generator=generator)
        if block > 1:
            rows = (block * rows[:, None] + within).flatten()
            rows = rows[rows < N]
        column[rows[:n]] = True
    labels = labels.T.contiguous()
    of_x = torch.full((n_permutations + 1,), float(n)).double()
    if weights is not None:
        x, y = weights.double().split([n, m])
        if n != m or x.sum() <= 0 or y.sum() <= 0:
            raise InputError(
                f"Expected weights of two samples of one size, each with a positive sum, got {n} rows with sum "
                f"{float(x.sum()):.4g} and {m} with {float(y.sum()):.4g}. Cut the larger sample to the smaller one."
            )
        weights, of_x = torch.cat([x / x.mean(), y / y.mean()]), torch.zeros(n_permutations + 1, dtype=torch.float64)
        # in blocks of rows: labels in double precision would be eight times as large
        for rows, w in zip(labels.split(_ROWS), weights.split(_ROWS), strict=True):
            of_x += w @ rows.double()
        n_bad = int(((of_x <= 0) | (of_x >= weights.sum())).sum())
        if n_bad:
            raise InputError(
                f"Expected weights of a positive sum in both samples however their rows are exchanged, got none in "
                f"{n_bad:,} of {n_permutations:,} permutations. Give more events, or fewer with negative weights."
            )
    J = min(n_groups, n, m)
    of_rows = [torch.arange(size) * J // size for size in (n, m)]
    if block == 1:
        of_rows = [groups[torch.randperm(len(groups), generator=generator)] for groups in of_rows]
    groups = torch.cat([of_rows[0], J + of_rows[1]])
    return Relabellings(labels, weights, of_x, groups, block)


def jackknife_error(values: np.ndarray) -> float:
    """Return the error of a statistic from its 2J jackknife values, those of x first."""
    halves = np.split(np.asarray(values, dtype=float), 2)
    return float(np.sqrt(sum((len(h) - 1) / len(h) * np.square(h - h.mean()).sum() for h in halves)))
