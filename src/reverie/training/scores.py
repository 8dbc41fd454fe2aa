r"""How far generated samples are from held-out ones: one number with an error, cheap enough to repeat.

Held-out x_1 ... x_m with weights w_i of mean one, generated y_1 ... y_n, and

    phi(x, y) = log(1 + |x - y|^2 / s^2)

    D = [2 <phi(x, y)> - <phi(x, x')> - <phi(y, y')>] / <phi(x, x')>

with means over distinct pairs (a U-statistic: its mean is 0 when both samples have one law, so it may be
negative). phi is the logarithm of one plus a negative definite function and so negative definite
itself, D is a generalised energy distance (Szekely and Rizzo 2013), and with

    log(1 + r^2 / s^2) = integral_0^inf du/u e^-u [1 - exp(-u r^2 / s^2)]

it is a maximum mean discrepancy over Gaussian kernels of all widths above s, evenly in the logarithm of the width
(Gretton et al. 2012). It sees the shape of a narrow mode as well as the weights of distant ones, without a bandwidth to
choose. D is about 1 where all y sit on one point.

The error comes from the influence of each sample on D,

    h(x_i) = 2 w_i [<phi(x_i, y)> - <phi(x_i, x')> - mean],    h(y_j) = 2 [<phi(x, y_j)> - <phi(y_j, y')> - mean]
    error^2 = <h(x)^2> / m + <h(y)^2> / n

(both in units of <phi(x, x')>; Hoeffding 1948). Where D vanishes this is the jackknife of a degenerate U-statistic, on
average 2^(1/2) too wide. Two checks of one run share the held-out samples and the noise, and the error of the
*difference* of their scores follows from the differences of the influences; it is far smaller than either error while
the generator changes little.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from reverie.core.errors import InputError
from reverie.core.statistics import weighted_mean

__all__ = ["HeldOut", "Score", "log_distances"]

_FINEST = 0.01  # smallest width s in units of the median distance; single precision resolves it
_PERMUTATIONS = 100


@dataclass(frozen=True)
class Score:
    """A score with what each sample contributes to it.

    Attributes
    ----------
    value : D, 0 in expectation for a perfect generator.
    of_real, of_generated : influences h(x) (m,) and h(y) (n,).
    """

    value: float
    of_real: Tensor
    of_generated: Tensor

    @property
    def error(self) -> float:
        """Standard error of `value` over held-out samples and noise."""
        return _error(self.of_real, self.of_generated)

    def error_against(self, other: "Score") -> float:
        """Return the standard error of the difference of two scores of the same held-out samples and noise."""
        if self.of_generated.shape != other.of_generated.shape or self.of_real.shape != other.of_real.shape:
            return (self.error**2 + other.error**2) ** 0.5
        return _error(self.of_real - other.of_real, self.of_generated - other.of_generated)


class HeldOut:
    """The held-out side of the score, rows x (m, d), m >= 2, of the size of one, prepared once.

    The width s > 0 is `scale`; None takes the median distance to the nearest other row, at least 1 % of the median
    distance.
    """

    def __init__(self, x: Tensor, weight: Tensor | None = None, *, scale: float | None = None) -> None:
        if x.ndim != 2 or len(x) < 2:
            raise InputError(f"Expected two held-out rows (m, d) or more, got shape {tuple(x.shape)}. Hold out more.")
        self.x, self.weight = x, None if weight is None else weight.to(x.dtype) / weight.to(x.dtype).mean()
        if scale is None:
            distances = torch.cdist(x, x)
            median = float(distances.median())
            nearest = distances.fill_diagonal_(torch.inf).amin(dim=1)
            scale = max(float(nearest.median()), _FINEST * median, 1e-12)
        self.scale = scale
        phi = log_distances(x, x, self.scale)
        if self.weight is None:
            self._row_means = phi.sum(dim=1) / (len(phi) - 1)
        else:
            self._row_means = phi @ self.weight / (self.weight.sum() - self.weight)
        self._within = max(float(weighted_mean(self._row_means, self.weight)), 1e-12)

    def score(self, y: Tensor) -> Score:
        """Return the score of the generated rows y (n, d), n >= 2."""
        return self.compare(y)[0]

    def compare(self, y: Tensor) -> tuple[Score, Tensor]:
        """Return the score of y (n, d) and phi between held-out rows and y, (m, n)."""
        n = len(y)
        across, among = log_distances(self.x, y, self.scale), log_distances(y, y, self.scale)
        of_y = among.sum(dim=1) / (n - 1)
        from_x, from_y = across.mean(dim=1), weighted_mean(across, self.weight)
        value = (2 * from_y.mean() - of_y.mean() - self._within) / self._within
        h_x, h_y = (from_x - self._row_means) * (2 / self._within), (from_y - of_y) * (2 / self._within)
        h_x = h_x - weighted_mean(h_x, self.weight)
        h_x = h_x if self.weight is None else h_x * self.weight
        return Score(float(value), h_x, h_y - h_y.mean()), across

    def null_width(self, others: Tensor, generator: torch.Generator) -> float:
        """Return the standard deviation of the score of a perfect generator of as many samples as there are rows.

        Other real rows (k, d) are pooled with the held-out ones, and the pool is then dealt anew 100 times.
        """
        pool = torch.cat([self.x, others])
        m = min(len(self.x), len(pool) // 2)
        deals = torch.stack([torch.randperm(len(pool), generator=generator) for _ in range(_PERMUTATIONS)], dim=1)
        signs = torch.where(deals < m, 1.0, torch.where(deals < 2 * m, -1.0, 0.0))
        first, second = (signs > 0).to(signs.dtype), (signs < 0).to(signs.dtype)
        phi = log_distances(pool, pool, self.scale)
        with_first, with_second = phi @ first, phi @ second
        across = (first * with_second).sum(dim=0) / m**2
        within = ((first * with_first).sum(dim=0) + (second * with_second).sum(dim=0)) / (m * (m - 1))
        width = (2 * across - within).square().mean().sqrt() / self._within
        inflation = 1.0 if self.weight is None else float(self.weight.square().mean())
        return float(width) * m / len(self.x) * inflation


def log_distances(x: Tensor, y: Tensor, scale: float) -> Tensor:
    """Return phi (n, m) of all pairs of x (n, d) and y (m, d), with the smallest width s = `scale`.

    Rows should be centred: |x - y|^2 = |x|^2 + |y|^2 - 2 x.y loses what is below 1e-7 of the first two, which
    is 0.1 % of the smallest s^2.
    """
    squares = x.square().sum(dim=1)[:, None] + y.square().sum(dim=1)
    return torch.addmm(squares, x, y.T, alpha=-2).clamp_(min=0).mul_(scale**-2).log1p_()


def _error(of_real: Tensor, of_generated: Tensor) -> float:
    return float((of_real.square().mean() / len(of_real) + of_generated.square().mean() / len(of_generated)).sqrt())
