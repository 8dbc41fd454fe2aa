"""Gradients through every inverse: finite for whatever a network emits, and those of the map."""

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from reverie.data.transforms import (
    Asinh,
    Chain,
    Columns,
    Dequantise,
    Elementwise,
    InvertibleTransform,
    Log,
    Logit,
    OneHot,
    Periodic,
    PointMass,
    Quantile,
    Rescale,
    Standardise,
)


def draw(*shape: int, seed: int = 3) -> Tensor:
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def exponential(n: int) -> Tensor:
    return -torch.log1p(-draw(n, 1))


def counts(n: int) -> Tensor:
    return torch.floor(6 * exponential(n))


SMOOTH: dict[str, tuple[InvertibleTransform, Tensor]] = {
    "standardise": (Standardise(), draw(300, 2)),
    "rescale": (Rescale(lower=0, upper=1), draw(300, 2)),
    "log": (Log(), exponential(300)),
    "asinh": (Asinh(), exponential(300)),
    "logit": (Logit(lower=0, upper=1), draw(300, 2)),
    "logit, lower": (Logit(lower=0), exponential(300)),
    "logit, upper": (Logit(upper=1), 1 - exponential(300)),
    "periodic": (Periodic(), 2 * math.pi * draw(300, 2)),
    "periodic, unit variance": (Periodic(scaling="unit_variance"), draw(300, 2)),
    "quantile": (Quantile(), torch.cat([exponential(300), draw(300, 1)], dim=1)),
    "quantile, heavy tails": (Quantile(), torch.tan(3.1 * (draw(300, 1) - 0.5))),
    "quantile, bounds": (Quantile(lower=0, upper=1), draw(300, 2) ** 3),
    "point mass": (PointMass(0.0, Quantile(), lower=0.0), (exponential(300) - 0.3).clamp(min=0)),
    "chain": (Chain([Asinh(), Standardise()]), exponential(300)),
    "columns": (Columns([(1, Periodic()), (0, Quantile())]), draw(300, 2)),
}

ROUNDED: dict[str, tuple[InvertibleTransform, Tensor]] = {
    "rescale, pixels": (Rescale(lower=0, upper=16, step=1), torch.floor(17 * draw(300, 3, 4))),
    "rescale, spins": (Rescale(lower=-1, upper=1, step=2), 2 * torch.round(draw(300, 3, 4)) - 1),
    "asinh, counts": (Asinh(step=1), counts(300)),
    "dequantise": (Dequantise(lower=0), counts(300)),
    "dequantise, levels": (Dequantise(levels=(-1, 1)), 2 * torch.round(draw(300, 1)) - 1),
    "dequantise, quantile": (Chain([Dequantise(lower=0), Quantile()]), counts(300)),
}
EVERY = SMOOTH | ROUNDED


def features(t: InvertibleTransform, n: int = 400) -> Tensor:
    return torch.randn(n, *t.output_shape, generator=torch.Generator().manual_seed(5), dtype=torch.float64)


def gradient(f: Callable[[Tensor], Tensor], y: Tensor) -> tuple[Tensor, Tensor]:
    y = y.clone().requires_grad_()
    x = f(y)
    return x.detach(), torch.autograd.grad(x.sum(), y)[0]


def law_finite(t: InvertibleTransform) -> None:
    """Any features have a finite gradient, and asking for it changes no value."""
    y = features(t)
    scale = torch.logspace(-3, 6, len(y), dtype=torch.float64).reshape(-1, *[1] * len(t.output_shape))
    for wild in (y, y * scale, y * 1e40, 0 * y, -0.0 * y, 0 * y + 1e6, 0 * y - 1e6):
        x, slope = gradient(t.inverse, wild)
        assert torch.equal(x, t.inverse(wild))
        assert torch.isfinite(slope).all()


def law_slope(t: InvertibleTransform) -> None:
    """The gradient is that of central differences, but for a few rows where the map has an edge."""
    y = features(t)
    way = features(t).flip(0)
    _, slope = gradient(t.inverse, y)
    step = 1e-6
    change = (t.inverse(y + step * way) - t.inverse(y - step * way)).flatten(1).sum(1) / (2 * step)
    expected = (slope * way).flatten(1).sum(1)
    off = (change - expected).abs() > 1e-4 * (change.abs() + expected.abs() + 1e-3)
    assert off.double().mean() < 0.02


@pytest.mark.parametrize("name", EVERY)
def test_gradients_are_finite(name):
    t, x = EVERY[name]
    law_finite(t.fit(x))


@pytest.mark.parametrize("name", SMOOTH)
def test_gradients_are_those_of_the_map(name):
    t, x = SMOOTH[name]
    law_slope(t.fit(x))


@pytest.mark.parametrize("name", ROUNDED)
def test_rounding_is_passed_straight_through(name):
    """The rounded value follows the straight line on average, so over a wide step the slopes agree."""
    t, x = ROUNDED[name]
    t.fit(x)
    inside = t.forward(x)[:200].clamp(-0.99, 0.99) if isinstance(t, Rescale) else t.forward(x)[:200]
    _, slope = gradient(t.inverse, inside)
    assert (slope > 0).double().mean() > 0.9
    if name == "rescale, pixels":
        assert torch.equal(slope, torch.full_like(slope, 8.0))
    if name == "dequantise, levels":
        assert torch.equal(slope, torch.full_like(slope, 2.0))


def test_categories_have_no_gradient():
    t = OneHot(levels=(0, 1, 2)).fit(torch.tensor([[0.0], [1.0], [2.0]]))
    assert not t.inverse(features(t).requires_grad_()).requires_grad


class RootTrap(Elementwise):
    """Right values, but torch.where lets the infinite slope of the branch not taken through as NaN."""

    def _fit(self, x: Tensor) -> None: ...

    def _forward(self, x: Tensor, u: Tensor) -> Tensor:
        return torch.where(x > 0, x.square(), x)

    def _inverse(self, y: Tensor) -> Tensor:
        return torch.where(y > 0, y.abs().sqrt(), y)

    def _log_derivative(self, x: Tensor) -> Tensor:
        return torch.zeros_like(x)


class WrongSlope(RootTrap):
    def _inverse(self, y: Tensor) -> Tensor:
        return y.detach() + 1.01 * (y - y.detach())


def test_wrong_gradients_would_be_noticed():
    with pytest.raises(AssertionError):
        law_finite(RootTrap().fit(draw(10, 1)))
    with pytest.raises(AssertionError):
        law_slope(WrongSlope().fit(draw(10, 1)))
