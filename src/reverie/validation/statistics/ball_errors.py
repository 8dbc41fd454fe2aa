"""Errors of precision, recall, density and coverage: halves of the samples instead of a jackknife.

Whether a row lies in a ball depends on many rows at once. Write such a statistic T as a sum of parts that depend on
1, 2, 3, ... rows (Hoeffding 1948), with variances V_1, V_2, ... A jackknife that leaves few rows out counts V_s
about s times (Efron and Stein 1981), however many events there are; for these four statistics the error is then 1.2
to twice the true one. Two disjoint halves A and B of the rows share no part of any order:

    E[(T_A - T_B)^2] / 2 = Var(T of half the rows),      half of which is Var(T),

since n Var(T) settles as n grows: balls are local, and only rows near each other depend on each other. The mean over
many random halvings uses all rows. Both samples are halved together. So come the errors of density and coverage.

Precision is the mean over generated rows of f = 1 inside the balls of the real rows, else 0. Given the balls this is
a mean of m rows, and its share of the variance is exact without halves:

    Var(precision) = E[f (1 - f)] / m + Var(P),      P = probability of the balls under the law of the generated rows

Only Var(P) comes from balls of halves A and B of the real rows. With d = f_A - f_B of each generated row,

    (mean of d)^2 - Var(mean of d)

has mean E[(P_A - P_B)^2] = 2 Var(P of half the real rows). Recall is the same with the samples exchanged. This
matters where a share is close to one: f (1 - f) then falls with n, and is not that of half the rows. E[f (1 - f)] is
at least p (1 - p) with p = (count + 1/2) / (rows + 1), Jeffreys' estimate: when all rows are inside, the share is not
certain.

Rows of a Markov chain stay together: halves are made of blocks (`reverie.validation.permutation.relabelling`), and
variances of means are those of block sums. An odd block is left out of both halves, which counts in the factor kept =
2 b / n.

What falls short: n Var(T) has not settled at every n. Measured with 800 + 800 events, errors of precision and recall
are about an eighth too large under the null hypothesis, and for samples far apart, where a few balls of outliers
hold much of the other sample, those of precision, recall and density are up to a fifth too small.
"""

import math

import numpy as np
import torch

from reverie.validation.permutation.relabelling import Relabellings
from reverie.validation.statistics.ball_walk import Walk, column_sums, packed, unpacked, walk
from reverie.validation.statistics.neighbours import NeighbourGraph

__all__ = ["N_SPLITS", "ball_errors", "halves"]

N_SPLITS = 32  # both halves of all of them fill one word


def ball_errors(graph: NeighbourGraph, relabel: Relabellings, k: int, inside: np.ndarray) -> dict[str, float]:
    """Return the errors of "precision", "recall", "density" and "coverage" of the observed labelling.

    They are nan if half a sample has no two blocks to choose from, or not more than k rows.

    Parameters
    ----------
    graph : lists long enough for balls of half the rows.
    inside : (N,) zeros and ones, the row lies in a ball of the other sample.
    """
    parts = halves(relabel)
    of_x, columns = relabel.labels[:, 0].numpy(), parts.shape[1]
    if min(parts[of_x].sum(0).min(), parts[~of_x].sum(0).min()) <= k:
        return dict.fromkeys(("precision", "recall", "density", "coverage"), math.nan)
    present = np.concatenate([parts, parts | ~of_x[:, None], parts | of_x[:, None]], axis=1)  # both, x, y halved
    label = packed(np.repeat(of_x[:, None], present.shape[1], axis=1))
    balls = walk(graph, label, packed(present), k)
    halved = [unpacked(balls.inside, slice(c * columns, (c + 1) * columns)) for c in (1, 2)]
    shares = {
        name: _error_of_share(inside[rows], by_half[rows], relabel.block, kept=_kept(parts[~rows]))
        for name, rows, by_half in zip(("precision", "recall"), (~of_x, of_x), halved, strict=True)
    }
    return shares | _errors_of_both(balls, label, parts, of_x, k)


def halves(relabel: Relabellings) -> np.ndarray:
    """Return (N, 2 N_SPLITS) booleans: columns 2 s and 2 s + 1 are two disjoint halves of each sample, at random.

    The choice is a fixed function of the number of blocks, and so is the error of the rows.
    """
    generator = torch.Generator().manual_seed(0)
    sides = []
    for n in (relabel.n, relabel.m):
        block = torch.arange(n) // relabel.block
        n_blocks = int(block[-1]) + 1
        place = torch.stack([torch.randperm(n_blocks, generator=generator) for _ in range(N_SPLITS)], dim=1)
        half = n_blocks // 2
        both = torch.stack([place < half, (place >= half) & (place < 2 * half)], dim=2).flatten(1)
        sides.append(both[block])
    return torch.cat(sides).numpy()


def _kept(parts: np.ndarray) -> float:
    return float(2 * parts.mean())


def _error_of_share(inside: np.ndarray, by_half: np.ndarray, block: int, *, kept: float) -> float:
    # rows (r,) and (r, 2 splits) of the sample that is not halved
    _, of_blocks = _mean_and_variance(inside[:, None].astype(np.float32), block)
    share = (float(inside.sum()) + 0.5) / (len(inside) + 1)
    of_rows = max(float(of_blocks[0]), share * (1 - share) / len(inside))
    mean, variance = _mean_and_variance(np.subtract(by_half[:, ::2], by_half[:, 1::2], dtype=np.float32), block)
    of_balls = kept * float((mean**2 - variance).mean()) / 4
    return math.sqrt(of_rows + max(0.0, of_balls))


def _mean_and_variance(values: np.ndarray, block: int) -> tuple[np.ndarray, np.ndarray]:
    # mean of each column (c,) and the variance of this mean, from sums over blocks of rows
    starts = np.arange(0, len(values), block)
    mean = values.mean(0, dtype=float)
    sums = np.add.reduceat(values - mean.astype(np.float32), starts, axis=0)
    return mean, len(starts) / (len(starts) - 1) * np.square(sums).sum(0, dtype=float) / len(values) ** 2


def _errors_of_both(balls: Walk, label: np.ndarray, parts: np.ndarray, of_x: np.ndarray, k: int) -> dict[str, float]:
    columns = slice(parts.shape[1])
    found = {
        "density": balls.held[columns] / (k * parts[~of_x].sum(0)),
        "coverage": column_sums(balls.covered & label)[columns] / parts[of_x].sum(0),
    }
    return {
        name: math.sqrt(_kept(parts) * float(np.square(values[::2] - values[1::2]).mean()) / 4)
        for name, values in found.items()
    }
