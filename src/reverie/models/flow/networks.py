r"""The network of a normalizing flow: an invertible map of features to noise, made of splines and perceptrons.

Every f_t changes coordinate i by a monotonic function h whose parameters come from a masked perceptron that sees the
coordinates before i (and the condition y):

    "spline"            h a rational-quadratic spline on [-5, 5], the identity outside (Durkan et al., 2019);
                        coordinates one after the other, in turn from the first and from the last
    "maf"               h affine, the same order (Papamakarios et al., 2017)
    "spline_coupling"   one half of the coordinates given the other half: a sample takes two passes a layer
    "realnvp"           the same with h affine (Dinh et al., 2017)

An angle is one coordinate on the circle, uniform at the end: h is a rotation in a direction that the perceptron gives,
then a spline from -pi to pi (Rezende et al., 2020); the perceptron sees its cosine and sine, so nothing is special
about the place where the period is cut. Before training every spline is the identity.

Maps, masks and splines are those of zuko, an optional library; samples come from the same maps undone place by place
(`reverie.models.flow.sampling`), which is compared with them once for the installed version of zuko: where the two
disagree, samples come from zuko's own inverse, which is slower, and a warning says so.

References
----------
Papamakarios, Pavlakou and Murray, arXiv:1705.07057; Dinh, Sohl-Dickstein and Bengio, arXiv:1605.08803.
Durkan, Bekasov, Murray and Papamakarios, arXiv:1906.04032; Rezende et al., arXiv:2002.02428.
"""

import copy
import math
import warnings
from collections.abc import Sequence
from functools import cache
from types import ModuleType
from typing import Any

import torch
from torch import Tensor, nn
from torch.distributions import Transform, constraints

from reverie.core.checks import check_choice
from reverie.core.errors import MissingDependencyError
from reverie.models.density_features import Coordinates, wrapped
from reverie.models.flow.sampling import LEAST_SLOPE, Stages, solve, spline_inverse, stages_of

__all__ = ["FlowNetwork", "KINDS", "Rotation", "inverse_holds", "need_zuko"]

KINDS = {  # name -> (whether h is a spline, whether by halves)
    "spline": (True, False),
    "spline_coupling": (True, True),
    "maf": (False, False),
    "realnvp": (False, True),
}
_AGREE = 1e-6  # between z and the noise of its sample in float64: rounding leaves 1e-9, another formula 0.01 and more


def need_zuko() -> ModuleType:
    """Return the library zuko; missing, raise the error that names the extra to install."""
    try:
        import zuko
    except ImportError:
        raise MissingDependencyError("zuko", "flow", "train a normalizing flow") from None
    return zuko


@cache
@torch.no_grad()
def inverse_holds(kind: str) -> bool:
    """Return whether maps of `kind`, undone place by place, are undone on the installed version of zuko.

    A small network of large random weights, whose least slopes matter, carries samples back to their noise or warns.
    """
    noise = torch.Generator().manual_seed(0)
    with torch.random.fork_rng(devices=[]):
        network = FlowNetwork(4, [(2, 3)], kind=kind, n_transforms=2, hidden=(8, 8), n_bins=4).double()
    for p in network.parameters():
        p.normal_(generator=noise)
    z = torch.rand(64, 3, generator=noise, dtype=torch.float64) * 6 - 3  # within both splines and circle
    x = network.event(z[:, :2], z[:, 2:] / (2 * math.pi) + 0.5, stages=network._own_stages())
    holds = bool((network.noise(x) - z).abs().max() < _AGREE)
    if not holds:
        warnings.warn(
            f"zuko {need_zuko().__version__} computes maps of {kind!r} flows by other formulas than reverie undoes: "
            "samples come from zuko's own inverse, which is slower, and a model that was trained with another version "
            "of zuko may mean another density. Use the version it was trained with, or train it anew.",
            stacklevel=2,
        )
    return holds


class FlowNetwork(nn.Module):
    """A density of vectors of features; pairs of them that lie on circles count as one angle each.

    Parameters
    ----------
    n_features, circles : features of an event, and pairs of them (column of the cosine, column of the sine).
    n_context : numbers in a condition.
    kind, n_transforms, hidden, n_bins : as in `reverie.Flow`.
    """

    def __init__(
        self,
        n_features: int,
        circles: Sequence[tuple[int, int]] = (),
        n_context: int = 0,
        *,
        kind: str = "spline",
        n_transforms: int = 3,
        hidden: Sequence[int] = (128, 128),
        n_bins: int = 12,
    ) -> None:
        super().__init__()
        self.kind = kind
        self.is_spline, by_halves = check_choice("kind of flow", kind, KINDS)
        self.coordinates, self.n_bins = Coordinates(n_features, circles), n_bins
        self.lines, self.circles = self.coordinates.lines, [list(pair) for pair in circles]
        n = len(self.lines) + len(self.circles)
        self.passes = min(2, n) if by_halves else n
        self._widths = [count for count in (len(self.lines), len(self.circles)) if count]
        self._n_line = 3 * n_bins - 1 if self.is_spline else 2  # parameters of one coordinate
        self._n_circle = 3 * n_bins + 1
        self._places = [_places(n, t, by_halves=by_halves) for t in range(n_transforms)]
        self.perceptrons = nn.ModuleList(self._perceptron(place, n_context, hidden) for place in self._places)

    def log_prob(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        """Return log q (batch,) of features x (batch, n_features), per unit of length along each circle."""
        z, stretch = self.forward(self.coordinates.of(x), context)
        return self.coordinates.log_noise(z) + stretch

    def draw(
        self, n: int, generator: torch.Generator, context: Tensor | None = None, stages: Sequence[Stages] | None = None
    ) -> Tensor:
        """Return `n` samples (n, n_features) in the type of the weights, given context (n, n_context)."""
        dtype, device = next(self.parameters()).dtype, generator.device
        normal = torch.randn(n, len(self.lines), generator=generator, dtype=dtype, device=device)
        turns = torch.rand(n, len(self.circles), generator=generator, dtype=dtype, device=device)
        return self.event(normal, turns, context, stages)

    def event(
        self, normal: Tensor, turns: Tensor, context: Tensor | None = None, stages: Sequence[Stages] | None = None
    ) -> Tensor:
        """Return the samples that normal numbers, one per line, and uniform ones on [0, 1), one per circle, make.

        `stages` are those of `stages()`, which many samples of the same weights can share.
        """
        u = torch.cat([normal, self.coordinates.angles(turns)], dim=1)
        stages = self.stages() if stages is None else stages
        if not stages:
            return self.coordinates.features(self.undone_by_zuko(u, context))
        beside = self._beside(u, context)
        for of_map in reversed(stages):
            u = solve(of_map, u, beside, self._undone)
        return self.coordinates.features(u)

    def stages(self) -> list[Stages]:
        """Return what each place adds to each map, constants of the present weights; none to take zuko's inverse."""
        return self._own_stages() if inverse_holds(self.kind) else []

    @torch.no_grad()
    def _own_stages(self) -> list[Stages]:
        sizes = self._n_line, self._n_circle
        pairs = zip(self.perceptrons, self._places, strict=True)
        return [stages_of(perceptron, place, len(self.lines), sizes) for perceptron, place in pairs]

    def in_float64(self) -> "FlowNetwork":
        """Return a copy in float64, in which f^-1 undoes f to about 1e-9, in evaluation mode."""
        return copy.deepcopy(self).double().eval()

    def noise(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        """Return z = f(x) of features x: normal coordinates, then angles in [-pi, pi]."""
        return self.forward(self.coordinates.of(x), context)[0]

    def _perceptron(self, place: Tensor, n_context: int, hidden: Sequence[int]) -> nn.Module:
        """Return the masked perceptron of a map: a coordinate depends on those of lower `place`, and on the context."""
        n_lines, n = len(self.lines), len(place)
        sees = place[:, None] > place  # (coordinate, coordinate)
        beside = torch.ones(n, n_context if n > 1 or n_context else 1, dtype=torch.bool)
        inputs = torch.cat([sees, sees[:, n_lines:], beside], dim=1)  # an angle enters as cosine and sine
        rows = torch.arange(n).repeat_interleave(
            torch.tensor([self._n_line] * n_lines + [self._n_circle] * (n - n_lines))
        )
        perceptron = need_zuko().nn.MaskedMLP(inputs[rows], hidden_features=list(hidden), activation=nn.SiLU)
        perceptron[-1].zero_init = True
        return perceptron

    def forward(self, u: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Return f(u) of coordinates u (batch, n), map after map, and log |det df/du| (batch,)."""
        stretch = u.new_zeros(len(u))
        for perceptron in self.perceptrons:
            parts = zip(self._changes(perceptron, context, u), u.split(self._widths, dim=1), strict=True)
            changed = [h.call_and_ladj(part) for h, part in parts]
            u = torch.cat([y for y, _ in changed], dim=1)
            stretch = stretch + torch.cat([ladj for _, ladj in changed], dim=1).sum(1)
        return u, stretch

    def undone_by_zuko(self, z: Tensor, context: Tensor | None = None) -> Tensor:
        """Return f^-1(z) by zuko's own inverses of the maps, with a pass of the whole perceptron for each place."""
        for perceptron in reversed(self.perceptrons):
            u = torch.zeros_like(z)
            for _ in range(self.passes):
                parts = zip(self._changes(perceptron, context, u), z.split(self._widths, dim=1), strict=True)
                u = torch.cat([h.inv(part) for h, part in parts], dim=1)
            z = u
        return z

    def _changes(self, perceptron: nn.Module, context: Tensor | None, u: Tensor) -> list[Any]:
        """Return the elementwise maps h of lines and of circles, given the coordinates u that each one may see."""
        transforms, n = need_zuko().transforms, len(self.lines)
        angles = u[:, n:]
        raw = perceptron(torch.cat([u[:, :n], angles.cos(), angles.sin(), self._beside(u, context)], dim=1))
        lines, circles = raw.split([n * self._n_line, len(self.circles) * self._n_circle], dim=1)
        maps = []
        parts = [self.n_bins, self.n_bins, self.n_bins - 1]  # raw widths, heights and inner slopes of a spline
        if n:
            line = lines.unflatten(1, (n, self._n_line))
            if self.is_spline:
                maps.append(transforms.MonotonicRQSTransform(*line.split(parts, dim=-1), slope=LEAST_SLOPE))
            else:
                maps.append(_affine(line, dim=-1))
        if self.circles:
            circle = circles.unflatten(1, (len(self.circles), self._n_circle))
            raw = circle[..., 2:].split(parts, dim=-1)
            spline = transforms.MonotonicRQSTransform(*raw, bound=math.pi, slope=LEAST_SLOPE)
            maps.append(transforms.ComposedTransform(Rotation(_direction(circle, dim=-1)), spline))
        return maps

    def _undone(self, raw: Tensor, z: Tensor, n_lines: int) -> Tensor:
        """Return the coordinates u that maps of parameters raw (parameter, batch) carry to z; u, z (coordinate, batch).

        The first `n_lines` of them are lines.
        """
        done, cut = [], n_lines * self._n_line
        if n_lines:
            line = raw[:cut].unflatten(0, (n_lines, self._n_line))
            done.append(spline_inverse(z[:n_lines], line) if self.is_spline else _affine(line, dim=1).inv(z[:n_lines]))
        if n_lines < len(z):
            circle = raw[cut:].unflatten(0, (len(z) - n_lines, self._n_circle))
            angle = spline_inverse(z[n_lines:], circle[:, 2:], math.pi)
            done.append(Rotation(_direction(circle, dim=1)).inv(angle))
        return torch.cat(done)

    def _beside(self, u: Tensor, context: Tensor | None) -> Tensor:
        """Return what a perceptron sees besides coordinates u (batch, n)."""
        if context is not None:
            return context.to(u)
        return u.new_ones(len(u), 1) if u.shape[1] == 1 else u[:, :0]  # it needs something to see


def _affine(raw: Tensor, *, dim: int) -> Any:
    return need_zuko().transforms.MonotonicAffineTransform(raw.select(dim, 0), raw.select(dim, 1), slope=LEAST_SLOPE)


def _direction(raw: Tensor, *, dim: int) -> Tensor:
    """Return the angle of a rotation, a direction, which may wind round as the inputs do."""
    return torch.atan2(raw.select(dim, 1), 1 + raw.select(dim, 0))


def _places(n: int, t: int, *, by_halves: bool) -> Tensor:
    """Return the place of each of n coordinates in the order of map t; coordinates of one half share a place."""
    place = torch.arange(n)
    if by_halves:  # neighbours apart, then the first from the last: pixels and columns meet in both ways
        place = place % 2 if t // 2 % 2 == 0 else (place >= n / 2).long()
    return place if t % 2 == 0 else place.max() - place


class Rotation(Transform):
    """Angles in [-pi, pi) turned by `shift`, elementwise."""

    domain, codomain, bijective = constraints.real, constraints.real, True

    def __init__(self, shift: Tensor) -> None:
        super().__init__()
        self.shift = shift

    def _call(self, x: Tensor) -> Tensor:
        return wrapped(x + self.shift)

    def _inverse(self, y: Tensor) -> Tensor:
        return wrapped(y - self.shift)

    def log_abs_det_jacobian(self, x: Tensor, y: Tensor) -> Tensor:
        """Return zeros of the shape of x."""
        return torch.zeros_like(x)
