r"""Values that occur with a probability of their own: integers, categories, bits, and atoms among real numbers.

Dequantise   y = x + u, u uniform in (0, 1); x = floor(y): the density of y is that of x, in steps
             (B. Uria, I. Murray, H. Larochelle, NIPS 2013). Its log-determinant is 0. Level k of a list may have a
             wider cell, [e_k, e_k + w_k) with e_k = w_0 + ... + w_{k-1}, of which the noise fills the middle, y = e_k +
             (w_k - 1)/2 + u: it is hit by numbers that miss the noise. The density beside the noise is probability of
             the level too, and left out: log p comes out too low, never too high. Noise may also be normal, about
             the middle of the cell: y = e_k + w_k/2 + s z, z = Phi^-1(a + (1 - 2 a) u) with a = Phi(-1/(2 s)), cut off
             1/2 from the middle. Its log-determinant is that of y(u), log((1 - 2 a) s / phi(z)): the mean over u of
             p(y) |dy/du| is again probability of the level.
OneHot       category k of K as the k-th unit vector; back by the largest component.
Bits         the smaller of two values as 0 (or -1), the larger as 1; grey values as probabilities.
PointMass    a real number with an atom, such as the exact zeros of a calorimeter cell.
ConstantCells    cells of images that have one value in all training events, such as those of a dead detector.

u lies on the midpoints of 2^20 cells: x + u is then exact in floating point and never rounds up to
x + 1, and a transform that follows may err by 5e-7 without changing the integer. Where integers
pass 2^31, u = 1/2.

The atom a of `PointMass` is opened to a gap of width w, filled evenly by noise u in (0, 1), and a base transform
follows:

    s(x, u) = x            x < a
              a + w u      x = a          y = base(s)
              x + w        x > a

s is increasing and inverted exactly: x = s below the gap, a inside it, s - w above. With f the
fraction of atoms, w is such that the gap is filled as densely as the rest is where it is dense:

    w = f / (1 - f) * (interquartile range of the other values) * 2

so that on the normal scale the gap takes the share f of the probability. With `Quantile` as base,
y is one standard normal variable, atoms and all, without a step. With narrow normal noise in place of u, cut off at the
edges of the gap as above, the atoms are a peak in the middle of it, with room on both sides.

The atom is the value found in the data: float32 data hold 0.1 as 0.10000000149.

log_det is that of the base at s; for an atom also log w, because the probability of the atom is the
integral over the gap, w E_u[p(y) |dy/ds|], and with normal noise that of the noise.
"""

import copy
import math
from dataclasses import KW_ONLY, dataclass
from typing import Self

import torch
from torch import Tensor

from reverie.core.checks import check_positive
from reverie.core.clip import clip
from reverie.core.errors import InputError
from reverie.core.types import Json
from reverie.data.transforms.base import (
    TOLERANCE,
    Elementwise,
    InvertibleTransform,
    Output,
    check_within,
    has_any,
    noise_grid,
    straight_through,
)

__all__ = ["Bits", "ConstantCells", "Dequantise", "OneHot", "PointMass"]

LARGEST_NOISY = 2.0**31  # beyond, x + u would need more than the 53 bits of a float64: u = 1/2
LARGEST_INTEGER = 2.0**50
MOST_SPARSE_LEVELS = 32
MOST_CELLS = 1_000_000  # of images, that a gap and its base are fitted to
WIDEST_NOISE = 0.25  # standard deviation of normal noise in a cell, which it should not fill
ROUNDING = 4e-16  # of a difference of numbers of size one
LEAST_PER_LEVEL = 10  # the holes in a thin tail of counts are chance


@dataclass(eq=False, repr=False, kw_only=True)
class Dequantise(InvertibleTransform):
    """Spread each integer x evenly over [x, x + 1).

    The inverse is floor, cut to the bounds, so always one of lower, lower + 1, ..., upper; its gradient is that
    without floor. An end without a bound is open by the width of the training range: counts beyond the largest one
    seen can be generated. Few values with holes between them (charges -1 and +1, or 0.5 and 2.5) are numbered
    0, 1, 2, ... first, so that the inverse gives only values that occur.

    Parameters
    ----------
    lower, upper : smallest and largest integer allowed; None where there is none.
    levels : the allowed values, ascending, instead of integers from lower to upper; None takes the
        values of the data where they are at most 32 and not all integers, or integers with holes
        between them, each met 10 times.
    ends : smallest and largest number that the type of the column holds; an end without a bound stays within.
    widths : widths >= 1 of the cells of the `levels`, as many; None for 1 each.
    noise_std : standard deviation of normal noise about the middle of the cells of the `levels`, in (0, 1/4]; None
        spreads evenly.
    """

    lower: float | None = None
    upper: float | None = None
    levels: tuple[float, ...] | None = None
    ends: tuple[float, float] | None = None
    widths: tuple[float, ...] | None = None
    noise_std: float | None = None

    @property
    def n_noise(self) -> int:
        """One number per feature."""
        return int(torch.Size(self.event_shape_).numel())

    def _fit(self, x: Tensor) -> None:
        self.levels_ = None
        n_levels, widths = len(self.levels or ()), self.widths
        if widths is not None and not (len(widths) == n_levels and all(1 <= width < math.inf for width in widths)):
            raise InputError(
                f"Expected a width of at least 1 for each of the {n_levels} levels, got {len(widths)} widths, the "
                f"least {min(widths, default=math.nan):g}. Give `levels` and as many `widths`, or leave both out."
            )
        if self.noise_std is not None and not (n_levels and 0 < self.noise_std <= WIDEST_NOISE):
            raise InputError(
                f"Expected `noise_std` within (0, 0.25] and `levels`, got {self.noise_std:g} and {n_levels} levels. "
                "Leave it out for noise that fills the cells of whole numbers evenly."
            )
        if self.levels is not None:
            self.levels_ = _sorted_levels(self.levels)
        else:
            found, met = torch.unique(x.detach(), return_counts=True)
            whole = bool(((found - found.round()).abs() < TOLERANCE).all())
            holes = bool((found.diff() > 1.5).any()) and int(met.min()) >= LEAST_PER_LEVEL
            if 1 < len(found) <= MOST_SPARSE_LEVELS and (holes or not whole):
                self.levels_ = found.cpu()
        if self.levels_ is not None:
            self.lower_, self.upper_, self.largest_ = 0.0, float(len(self.levels_) - 1), 0.0
            _codes(x, self.levels_)
            return
        low, high = x.amin().round().item(), x.amax().round().item()
        least, most = (-math.inf, math.inf) if self.ends is None else self.ends
        self.lower_ = max(low - (high - low), least) if self.lower is None else float(self.lower)
        self.upper_ = min(high + (high - low), most) if self.upper is None else float(self.upper)
        self.largest_ = max(abs(self.lower_), abs(self.upper_))
        if self.largest_ > LARGEST_INTEGER:
            raise InputError(
                f"Expected integers up to 2^50 in size, got {low:.6g} to {high:.6g}. "
                "Make the kind of the column continuous."
            )
        self._integers(x)

    def _forward(self, x: Tensor, u: Tensor) -> Tensor:
        codes = self._integers(x)
        if self.noise_std is not None:
            y = codes + _normal_noise(u, self.noise_std)[0].reshape(x.shape)
        else:
            y = codes + (noise_grid(u).reshape(x.shape) if self.largest_ <= LARGEST_NOISY else 0.5)
        for k, width in self._wide():
            y = y + (width - 1) * ((codes > k).to(y.dtype) + (codes == k).to(y.dtype) / 2)
        return y

    def _inverse(self, y: Tensor) -> Tensor:
        for k, width in self._wide():  # cells below k have the width 1 by now, and so has k then
            y = y - (1 - 1 / width) * clip(y - k, 0.0, width)
        x = clip(torch.floor(y.detach()), self.lower_, self.upper_)
        soft = clip(y, self.lower_, self.upper_ + 1)
        if self.levels_ is None:
            return straight_through(x, soft)
        levels = self.levels_.to(y.device)
        return straight_through(levels[x.long()], soft * ((levels[-1] - levels[0]) / max(len(levels) - 1, 1)))

    def _log_det(self, x: Tensor, u: Tensor) -> Tensor:
        return x.new_zeros(len(x)) if self.noise_std is None else _normal_noise(u, self.noise_std)[1].sum(1)

    def _wide(self) -> list[tuple[int, float]]:
        """Return place and width of each cell that is wider than 1, in ascending order."""
        return [(k, width) for k, width in enumerate(self.widths or ()) if width > 1]

    def _integers(self, x: Tensor) -> Tensor:
        if self.levels_ is not None:
            return _codes(x, self.levels_)
        whole = x + (torch.round(x) - x).detach()
        off = (x - whole).abs() > TOLERANCE
        off |= torch.zeros_like(off) if self.lower is None else whole < self.lower
        off |= torch.zeros_like(off) if self.upper is None else whole > self.upper
        if has_any(off):
            ends = (
                "-inf" if self.lower is None else f"{self.lower:.0f}",
                "inf" if self.upper is None else f"{self.upper:.0f}",
            )
            raise InputError(
                f"Expected integers within [{', '.join(ends)}], got {int(off.sum())} others, such as "
                f"{x[off][0].item():.6g}. Widen the bounds of the column, or make its kind continuous."
            )
        return whole


@dataclass(eq=False, repr=False, kw_only=True)
class OneHot(InvertibleTransform):
    """Each categorical code becomes a unit vector, one feature per level.

    A column with K levels gives K features, one column after the other. The inverse takes the
    largest of the K numbers (the first of equal ones), so it gives a level for any y. It has no gradient: the
    codes of categories have no order.

    Parameters
    ----------
    levels : the codes, ascending; None takes those of the data, of all columns together.
    """

    levels: tuple[float, ...] | None = None
    takes_tables_only = True

    @property
    def output_shape(self) -> tuple[int, ...]:
        """(features * levels,)."""
        return (self.event_shape_[0] * len(self.levels_),)

    @property
    def outputs(self) -> tuple[Output, ...]:
        """A group of tags "simplex" per column."""
        return tuple(Output("simplex", j) for j in range(self.event_shape_[0]) for _ in range(len(self.levels_)))

    def _fit(self, x: Tensor) -> None:
        self.levels_ = torch.unique(x.detach()).cpu() if self.levels is None else _sorted_levels(self.levels)
        _codes(x, self.levels_)

    def _forward(self, x: Tensor, u: Tensor) -> Tensor:
        codes = _codes(x, self.levels_).long()
        return torch.nn.functional.one_hot(codes, len(self.levels_)).to(torch.float64).flatten(1)

    def _inverse(self, y: Tensor) -> Tensor:
        return self.levels_.to(y.device)[y.unflatten(1, (-1, len(self.levels_))).argmax(-1)]

    def _log_det(self, x: Tensor, u: Tensor) -> Tensor:
        return x.new_zeros(len(x))


@dataclass(eq=False, repr=False, kw_only=True)
class Bits(Elementwise):
    """The smaller of two values becomes 0 and the larger 1; the inverse takes the nearer one.

    Features are judged one by one in a table, and together in events of more axes. Probabilities of states are not
    changed, so `log_det` is 0.

    Parameters
    ----------
    centred : whether the bits are -1 and 1 instead.
    grey : the values that stand for the probabilities 0 and 1 of a bit, where those between them stand for
        probabilities too and stay between; None allows two values.
    """

    centred: bool = False
    grey: tuple[float, float] | None = None

    def means(self, y: Tensor) -> Tensor:
        """Return the mean values (batch, *event) where the bits have the means y (batch, *event)."""
        low, high = self._ends(y)
        return low + (high - low) * ((y + 1) / 2 if self.centred else y)

    def _fit(self, x: Tensor) -> None:
        if self.grey is None:
            axes = 0 if x.ndim == 2 else tuple(range(x.ndim))
            ones = x.shape[1:] if x.ndim == 2 else (1,) * (x.ndim - 1)
            self.low_, self.high_ = x.amin(axes).reshape(ones), x.amax(axes).reshape(ones)
        else:
            low, high = self.grey
            if not low < high:
                raise InputError(f"Expected grey values from low to high, got {low:g} and {high:g}. Give other bounds.")
            self.low_, self.high_ = (torch.full((1,) * (x.ndim - 1), float(end), dtype=x.dtype) for end in (low, high))
        self._bits(x)

    def _forward(self, x: Tensor, u: Tensor) -> Tensor:
        bits = self._bits(x)
        return 2 * bits - 1 if self.centred else bits

    def _inverse(self, y: Tensor) -> Tensor:
        low, high = self._ends(y)
        return torch.where(y > (0 if self.centred else 0.5), high, low).expand(y.shape)

    def _log_derivative(self, x: Tensor) -> Tensor:
        return torch.zeros_like(x)

    def _bits(self, x: Tensor) -> Tensor:
        low, high = self._ends(x)
        if self.grey is not None:
            return (check_within(x, *self.grey) - low) / (high - low)
        bits = (x > (low + high) / 2).to(x.dtype)
        off = (x - torch.where(bits > 0, high, low)).abs() > TOLERANCE * torch.maximum(low.abs(), high.abs())
        if has_any(off):
            raise InputError(
                f"Expected two values per column, bits, got {int(off.sum())} others, such as "
                f"{x[off][0].item():.6g}. Make two values of them, as X > threshold does, or take real numbers."
            )
        return bits

    def _ends(self, x: Tensor) -> tuple[Tensor, Tensor]:
        return self.low_.to(x.device), self.high_.to(x.device)


@dataclass(eq=False, repr=False)
class ConstantCells(Elementwise):
    """Leave events as they are, and give those that come back the constants of the cells that never varied.

    Cells outside a mask, of dead channels or at the empty rim of an image have the same value in each training event;
    without this step samples would have it only up to what the network misses. Events with other values there are
    taken as they are, and keep their density.
    """

    def _fit(self, x: Tensor) -> None:
        self.constants_ = x[0].detach().cpu()
        self.varies_ = (x != x[:1]).any(dim=0).to(torch.float64).cpu()  # 0 or 1: a file of transforms holds numbers

    def _forward(self, x: Tensor, u: Tensor) -> Tensor:
        return x

    def _inverse(self, y: Tensor) -> Tensor:
        return torch.where(self.varies_.to(y.device) > 0, y, self.constants_.to(y.device))

    def _log_derivative(self, x: Tensor) -> Tensor:
        return torch.zeros_like(x)


def _sorted_levels(levels: tuple[float, ...]) -> Tensor:
    found = torch.tensor([float(level) for level in levels], dtype=torch.float64)
    if not len(found) or (found.diff() <= 0).any():
        raise InputError(f"Expected different levels in ascending order, got {tuple(levels)}. Sort them.")
    return found


def _codes(x: Tensor, levels: Tensor) -> Tensor:
    """Number the values x by their place among the levels, as float64."""
    levels = levels.to(x.device)
    if len(levels) == 1:
        codes = torch.zeros_like(x)
    else:
        codes = torch.searchsorted((levels[1:] + levels[:-1]) / 2, x.detach().contiguous()).to(x.dtype)
    off = (x - levels[codes.long()]).abs() > TOLERANCE * x.abs().clamp(min=1)
    if has_any(off):
        shown = ", ".join(f"{level:g}" for level in levels[:8].tolist()) + (", ..." if len(levels) > 8 else "")
        raise InputError(
            f"Expected one of the levels {shown}, got {int(off.sum())} other values, such as {x[off][0].item():.6g}. "
            "Add the level to the column, or drop those rows."
        )
    return codes


@dataclass(eq=False, repr=False)
class PointMass(InvertibleTransform):
    """Open a gap for the atom of one zero-inflated column, or of all cells of an image, then apply the base transform.

    The inverse gives exactly the atom inside the gap, and is cut to the bounds.

    Parameters
    ----------
    atom : the value with a point mass, in units of x; None takes the largest one, beyond which there is nothing.
    base : transform of the column with its gap, or of the cells of all images as one column. `fit` works on a copy,
        ``base_``. Give the bounds here rather than there: the gap shifts them.
    lower, upper : hard bounds of the column; None where there is none.
    noise_std : standard deviation of normal noise about the middle of the gap, in widths of it, in (0, 1/4]; None
        fills the gap evenly.
    gap : width of the gap in interquartile ranges of the other values, > 0; None makes it so wide that the density is
        the same within and without, were the other values spread evenly.
    """

    atom: float | None
    base: InvertibleTransform
    _: KW_ONLY
    lower: float | None = None
    upper: float | None = None
    noise_std: float | None = None
    gap: float | None = None

    @property
    def output_shape(self) -> tuple[int, ...]:
        """That of the base, or of the image."""
        return self.base_.output_shape if len(self.event_shape_) == 1 else self.event_shape_

    @property
    def outputs(self) -> tuple[Output, ...]:
        """Those of the base."""
        return self.base_.outputs

    @property
    def n_noise(self) -> int:
        """One number, and those of the base, for each cell."""
        return math.prod(self.event_shape_) * (1 + self.base_.n_noise)

    def _fit(self, x: Tensor) -> None:
        if x.ndim == 2 and x.shape[1] != 1:
            raise InputError(
                f"Expected one column (batch, 1) or images for PointMass, got shape {tuple(x.shape)}. "
                "Give each column its own in Columns."
            )
        if self.noise_std is not None and not 0 < self.noise_std <= WIDEST_NOISE:
            raise InputError(
                f"Expected `noise_std` within (0, {WIDEST_NOISE:g}], got {self.noise_std:g}. "
                "Leave it out for noise that fills the gap evenly."
            )
        if self.gap is not None:
            check_positive("gap", self.gap)
        every = -(-x.numel() // MOST_CELLS) if math.prod(self.event_shape_) > 1 else 1  # event, with all its cells
        x = check_within(x[::every], self.lower, self.upper).reshape(-1, 1)
        if self.atom is None:
            self.atom_ = x.amax().item()
        else:  # the commonest of those near it, up to rounding
            near = x[(x - self.atom).abs() <= TOLERANCE * abs(self.atom)]
            self.atom_ = near.mode().values.item() if len(near) else float(self.atom)
        others, n = x[x != self.atom_].sort().values, len(x)
        self.fraction_, self.width_, self.top_ = 1 - len(others) / n, 1.0, self.atom_
        if len(others):
            self.top_ = others[-1].item()
            low, high = others[len(others) // 4].item(), others[(3 * len(others)) // 4].item()
            spread = (high - low) or (others[-1] - others[0]).item() or 1.0
            by_share = 2 * max(self.fraction_, 1 / n) / (1 - self.fraction_)
            self.width_ = spread * (by_share if self.gap is None else self.gap)
        u = (torch.arange(len(x), dtype=x.dtype, device=x.device) * (math.sqrt(5) - 1) / 2).frac()[:, None]
        self.base_ = copy.deepcopy(self.base)
        self.base_.fit(self._opened(x, noise_grid(u)))

    def _forward(self, x: Tensor, u: Tensor) -> Tensor:
        cells, u = check_within(x, self.lower, self.upper).reshape(-1, 1), u.reshape(x.numel(), 1 + self.base_.n_noise)
        noise = noise_grid(u[:, :1]) if self.noise_std is None else _normal_noise(u[:, :1], self.noise_std)[0]
        return self.base_.forward(self._opened(cells, noise), noise=u[:, 1:]).reshape(-1, *self.output_shape)

    def _inverse(self, y: Tensor) -> Tensor:
        if len(self.event_shape_) == 1:
            return self.close(self.base_.inverse(y))
        return self.close(self.base_.inverse(y.reshape(-1, 1))).reshape(y.shape)

    def close(self, s: Tensor) -> Tensor:
        """Return x (batch, 1) of s with the gap: the atom for all of the gap, and never out of bounds."""
        x = torch.where(s < self.atom_, s, clip(s - self.width_, self.atom_, self.atom_ if self.atom is None else None))
        if self.top_ > self.atom_:  # where values may pile up, and the difference is out by its rounding
            x = torch.where((x - self.top_).abs() <= ROUNDING * (abs(self.top_) + self.width_), self.top_, x)
        return x if self.lower is None and self.upper is None else clip(x, self.lower, self.upper)

    def _log_det(self, x: Tensor, u: Tensor) -> Tensor:
        cells, u = check_within(x, self.lower, self.upper).reshape(-1, 1), u.reshape(x.numel(), 1 + self.base_.n_noise)
        noise, stretch = noise_grid(u[:, :1]), torch.zeros_like(cells)
        if self.noise_std is not None:
            noise, stretch = _normal_noise(u[:, :1], self.noise_std)
        gap = torch.where(cells == self.atom_, math.log(self.width_) + stretch, 0.0)[:, 0]
        return (gap + self.base_.log_det(self._opened(cells, noise), noise=u[:, 1:])).reshape(len(x), -1).sum(1)

    def _opened(self, x: Tensor, noise: Tensor) -> Tensor:
        """Return s (batch, 1) of x, with `noise` in (0, 1) as places within the gap."""
        s = torch.where(x > self.atom_, x + self.width_, x)
        return torch.where(x == self.atom_, self.atom_ + self.width_ * noise, s)

    def _restore(self, state: Json) -> Self:
        if state:  # one that was written before the atom was looked for in the data, or the largest value kept
            state = state if "atom_" in state or self.atom is None else {**state, "atom_": float(self.atom)}
            state = state if "top_" in state else {**state, "top_": state["atom_"]}
        return super()._restore(state)


def _normal_noise(u: Tensor, std: float) -> tuple[Tensor, Tensor]:
    """Return noise in (0, 1), normal about 1/2 and cut off at the ends, of u uniform in [0, 1); and log |dnoise/du|."""
    below = 0.5 * math.erfc(0.5 / std / math.sqrt(2))
    z = torch.special.ndtri(below + (1 - 2 * below) * noise_grid(u))
    return 0.5 + std * z, 0.5 * z.square() + math.log((1 - 2 * below) * std * math.sqrt(2 * math.pi))
