r"""The path from noise to an event, and what its velocity is when the data are Gaussian.

An event is a vector of coordinates: some on a line, some angles on a circle. With noise x_0, an event x_1 and a time t
from 0 to 1 the path is straight (Lipman et al., arXiv:2210.02747; Liu et al., arXiv:2209.03003; Albergo and
Vanden-Eijnden, arXiv:2209.15571),

    line      x_t = (1 - t) x_0 + t x_1,              x_0 ~ N(0, 1),         dx_t/dt = x_1 - x_0
    circle    x_t = x_0 + t d,  d = [x_1 - x_0],      x_0 ~ U(-pi, pi),      dx_t/dt = d

where [.] takes an angle into [-pi, pi): the shorter way round (Chen and Lipman, arXiv:2302.03660). The velocity field

    v(x, t) = E[dx_t/dt | x_t = x]

carries the law of the noise at t = 0 to that of the events at t = 1, by dx/dt = v(x, t). A network learns it by least
squares, without ever following a path. On lines it also gives the gradient of the log density at time t,

    s(x, t) = (t v - x) / (1 - t),

with which a random walk keeps the same law at all times (`reverie.models.flow_matching.sampling`).

Levels and point masses are spread over cells by normal noise about their middles, x_1 = c + s n. All of that noise can
be taken into account at once, and in place of one draw of it a network is shown

    x_t = t c + sigma x_0,     sigma^2 = (1 - t)^2 + t^2 s^2,     E[dx_t/dt | x_t, c] = c + (t s^2 - 1 + t) x_0 / sigma

which has the law of x_t and the velocity field of above, with less scatter and no draw that could be learnt by heart.

Of a batch of events, drawn at random, the paths that lead through x_t end at x_1j with the probability

    p_j ~ prod_lines N(x_t; t x_1j, (1 - t)^2) prod_circles 1(|[x_1j - x_t]| <= pi (1 - t)),

so that sum_j p_j [x_1j - x_t] / (1 - t) is the mean of dx_t/dt given x_t and the batch. Regression on it, in place of
dx_t/dt itself, has the same answer (Rao-Blackwell) and far less scatter where many events are within reach of x_t: of
few coordinates at all but late times, of many at early ones (Xu, Tong and Jaakkola, arXiv:2302.00670).

For events that are themselves N(0, 1), v = b(t) x with

    b(t) = (2 t - 1) / q,        q = t^2 + (1 - t)^2,        Var(dx_t/dt | x_t) = 1 / q

so a network learns what remains, (v - b x) sqrt(q), which is of size one at all times. Its inputs are x / sqrt(q), of
size one too. Before training it then draws independent normal coordinates and uniform angles, which are the right
marginals where the preprocessing made every column normal.
"""

import math
from typing import TypeVar

import torch
from torch import Tensor

from reverie.models.density_features import wrapped

__all__ = ["gaussian_velocity", "in_turn", "late", "mean_over_batch", "path"]

_MOST_EVENTS = 512  # that a path may lead to
_ROUNDING = 1e-4  # share of its reach by which its own event may be out of it
_LATEST = 0.99  # the time until which it may lead to any of them; later, rounding of distances would count

Numbers = TypeVar("Numbers", float, Tensor)


def late(u: Numbers, power: float) -> Numbers:
    """Return the times 1 - (1 - u)^power of u in [0, 1]: equal steps of u come ever closer towards the events.

    What is thin in the events, of width w, is made while 1 - t is of the order of w. Steps of one length would pass
    over it.
    """
    return u if power == 1 else 1 - (1 - u) ** power


def in_turn(rows: Tensor, n: int) -> Tensor:
    """Return (n, c): the `rows` (k, c) again and again, where k divides n; one row, which fits any n, as it is."""
    k = rows.shape[0]  # `len` would fix the size of a batch that is exported as free
    return rows if k in (1, n) else rows.repeat(n // k, 1)


def path(x0: Tensor, x1: Tensor, t: Tensor, n_lines: int, std: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """Return the point x_t and the velocity dx_t/dt of the paths from `x0` to `x1`, (batch, n) each.

    Parameters
    ----------
    x0, x1 : Noise and events, (batch, n), coordinates on lines first.
    t : Times in [0, 1], (batch, 1).
    n_lines : Number of coordinates on lines; the others are angles.
    std : s of coordinates on lines that are x1 + s n, (batch, n_lines), 0 for none; their velocity is the mean over n.
    """
    d = x1 - x0
    if n_lines < d.shape[1]:
        d = torch.cat([d[:, :n_lines], wrapped(d[:, n_lines:])], dim=1)
    x = x0 + t * d
    if std is not None:
        noise, middle = x0[:, :n_lines], x1[:, :n_lines]
        sigma = ((1 - t).square() + (t * std).square()).sqrt()
        mean = torch.where(std > 0, middle + (t * std.square() - 1 + t) * noise / sigma, d[:, :n_lines])
        x, d = (torch.cat([new, old[:, n_lines:]], 1) for new, old in ((t * middle + sigma * noise, x), (mean, d)))
    return x, d


def mean_over_batch(x: Tensor, d: Tensor, x1: Tensor, t: Tensor, n_lines: int) -> Tensor:
    """Return the mean velocity (batch, n) of the paths that lead through each point to any event of the batch.

    Of large batches each 512 events are taken for one, which bounds the cost.

    Parameters
    ----------
    x, d : Points x_t and velocities dx_t/dt of the paths to the events, (batch, n) each; after t = 0.99, when hardly
        another event is within reach, d is returned.
    x1 : The events (batch, n), in random order, each as likely as another; coordinates on lines first.
    t : Times in [0, 1], (batch, 1).
    n_lines : Number of coordinates on lines; the others are angles.
    """
    if len(x) > _MOST_EVENTS:
        rows = [slice(k, k + _MOST_EVENTS) for k in range(0, len(x), _MOST_EVENTS)]
        return torch.cat([mean_over_batch(x[r], d[r], x1[r], t[r], n_lines) for r in rows])
    rest = (1 - t).clamp(min=1 - _LATEST)
    # rows in one piece: of rows with a gap, some products of matrices take a hundred times as long
    slope, line, ends = t / rest, x[:, :n_lines].contiguous(), x1[:, :n_lines].contiguous()
    logits = slope * (line @ ends.T) / rest - 0.5 * slope.square() * ends.square().sum(1)
    turns = []
    for k in range(n_lines, x.shape[1]):
        turn = x1[:, k] - x[:, k, None]  # from each point to each event, in [-pi, pi] after the next line
        turn = turn - 2 * math.pi * (turn / (2 * math.pi)).round()
        logits = torch.where(turn.abs() > math.pi * (1 + _ROUNDING) * rest, -math.inf, logits)
        turns.append(turn)
    p = logits.softmax(dim=1)
    mean = torch.cat([p @ ends - line, *((p * turn).sum(1, keepdim=True) for turn in turns)], dim=1)
    return torch.where(t < _LATEST, mean / rest, d)


def gaussian_velocity(x: Tensor, t: Tensor, mean: Tensor, covariance: Tensor) -> Tensor:
    """Return v(x, t), (batch, n), when events are N(mean, covariance) on lines.

    With S_t = (1 - t)^2 + t^2 S the velocity is m + (t S - (1 - t)) S_t^-1 (x - t m): the regression of x_1 - x_0 on
    x_t.

    Parameters
    ----------
    x : Points (batch, n).
    t : One time in [0, 1], a scalar.
    mean, covariance : Of the events, (n,) and (n, n).
    """
    one = torch.eye(len(mean), dtype=x.dtype, device=x.device)
    of_path = (1 - t) ** 2 * one + t**2 * covariance
    slope = torch.linalg.solve(of_path, t * covariance - (1 - t) * one, left=False)
    return mean + (x - t * mean) @ slope.T
