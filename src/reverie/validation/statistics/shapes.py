"""How one feature differs, in words: its place, its width, its tails.

The tails of feature j are what lies outside [q_.01, q_.99] of x, y and other rows of their kind together, so the
edges depend on no label. Their share in x minus that in y, in absolute value, is a test of its own:
distances between whole distributions hardly see the outer two per cent.

The edges move with the rows: more rows of y in a tail push its edge outwards, and fewer are counted. The error needs
this. A share c of x minus that of y beyond an edge, and the share p of all rows beyond it, become without a group g

    c_(g) + s (TAIL - p_(g)),      s = dc/dp, the contrast per share of all rows at the edge,

since the edge moves until p is TAIL again. s is taken from the rows between half and one and a half times as far in
rank as the edge. To leave the groups out of the quantiles themselves would take s from the next row or two.

Place and width are the weighted median and interquartile range, in units of the real interquartile range
divided by 1.349, the standard deviation of a normal law.
"""

import numpy as np
import torch
from torch import Tensor

from reverie.validation.permutation.relabelling import Computed, Relabellings, jackknife_error

__all__ = ["change_of_shape", "tail_columns", "weighted_quantile"]

TAIL = 0.01  # on either side
_ROWS = 4096


def tail_columns(z: Tensor, relabel: Relabellings, edges: Tensor, others: Tensor | None = None) -> list[Computed]:
    """Return for each feature |share of x - share of y| beyond its edges, under every labelling.

    Parameters
    ----------
    z : (N, d), the pooled rows.
    edges : (2, d), lower and upper edge of each feature, not from these rows' labels.
    others : (M, d), the rows that with z gave the edges as `TAIL` quantiles; None for edges that these rows have no
        part in.
    """
    outside = (z < edges[0]) | (z > edges[1])
    values = torch.zeros(z.shape[1], relabel.labels.shape[1], dtype=torch.float64)
    for start in range(0, len(z), _ROWS):
        rows = slice(start, start + _ROWS)
        values += outside[rows].T.double() @ relabel.contrasts(rows).double()
    results = []
    for j in range(z.shape[1]):
        x, y = _shares(outside[:, j], relabel)
        detail = f"{y:.2%} of generated and {x:.2%} of real events lie beyond its outer {2 * TAIL:.0%}"
        left_out = relabel.jackknife(outside[:, j].nonzero()[:, 0]).sum(0, dtype=torch.float64)
        if others is not None:
            for side, edge in ((1, edges[0, j]), (-1, -edges[1, j])):
                left_out += _moved_edge(side * z[:, j], side * others[:, j], edge, relabel)
        error = jackknife_error(left_out.numpy() * relabel.unit)
        results.append(Computed(values[j].abs().numpy() * relabel.unit, error, detail=detail))
    return results


def _moved_edge(z: Tensor, others: Tensor, edge: Tensor, relabel: Relabellings) -> Tensor:
    """Return what a lower edge adds to the contrast (2J,) by moving when one group each is left out."""
    pool, sizes = torch.cat([z, others]), torch.bincount(relabel.groups)
    inner, outer = (max(1, round(part * TAIL * len(pool))) for part in (0.5, 1.5))
    near = pool.topk(min(outer + 1, len(pool)), largest=False).indices[inner:]
    contrast = relabel.contrasts(near[near < len(z)])[:, 0].sum()
    below = torch.bincount(relabel.groups[z < edge], minlength=len(sizes))
    share = ((pool < edge).sum() - below) / (len(pool) - sizes).double()
    return contrast / (len(near) / len(pool)) * (TAIL - share)


def _shares(outside: Tensor, relabel: Relabellings) -> tuple[float, float]:
    w = torch.ones(len(outside), dtype=torch.float64) if relabel.weights is None else relabel.weights
    of_x = relabel.labels[:, 0]
    x, y = (float(w[side & outside].sum() / w[side].sum()) for side in (of_x, ~of_x))
    return x, y


def change_of_shape(x: np.ndarray, y: np.ndarray, w_x: np.ndarray | None = None, w_y: np.ndarray | None = None) -> str:
    """Return how y (m,) lies relative to x (n,): moved and wider, in units of the width of x."""
    (a, b, c), (p, q, r) = (weighted_quantile(v, w, (0.25, 0.5, 0.75)) for v, w in ((x, w_x), (y, w_y)))
    width = (c - a) / 1.349
    if width <= 0:
        return ""
    moved, ratio = (q - b) / width, (r - p) / (c - a)
    parts = [f"median {abs(moved):.2g} widths {'higher' if moved > 0 else 'lower'}"] if abs(moved) >= 0.005 else []
    if abs(ratio - 1) >= 0.01:
        parts.append(f"core {abs(ratio - 1):.0%} {'wider' if ratio > 1 else 'narrower'}")
    return ", ".join(parts)


def weighted_quantile(x: np.ndarray, w: np.ndarray | None, levels: tuple[float, ...]) -> np.ndarray:
    """Return quantiles of x (n,) with weights (n,) of positive sum; negative ones take away what lies below."""
    if w is None:
        return np.quantile(x, levels)
    order = np.argsort(x, kind="stable")
    total = np.maximum.accumulate(np.cumsum(w[order]))  # rising, as a distribution function is
    return np.interp(np.asarray(levels) * total[-1], total, x[order])
