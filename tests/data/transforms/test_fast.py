"""The fast inverse and quantile map agree with the exact ones, values and gradients."""

import math

import pytest
import torch
from torch import Tensor

from reverie.data.transforms import (
    Asinh,
    Chain,
    Columns,
    Dequantise,
    InvertibleTransform,
    Logit,
    OneHot,
    Periodic,
    PointMass,
    Quantile,
    Rescale,
    Standardise,
    fast,
)
from reverie.data.transforms.fast import FastInverse, FastQuantile

N = 3000


def draw(d: int = 1, seed: int = 11) -> Tensor:
    return torch.rand(N, d, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def normal(d: int = 1, seed: int = 12) -> Tensor:
    return torch.randn(N, d, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def cauchy() -> Tensor:
    return torch.tan(3.14 * (draw() - 0.5))


def peak() -> Tensor:
    return torch.where(draw() < 0.7, 91.2 + 1.3 * normal().clamp(-4, 4), 60 + 60 * draw(seed=5))


MAPS: dict[str, tuple[Quantile, Tensor]] = {
    "normal": (Quantile(), normal(2)),
    "exponential": (Quantile(), -draw().log()),
    "exponential, bound": (Quantile(lower=0), -draw().log()),
    "bounds": (Quantile(lower=0, upper=1), draw() ** 3),
    "on the bounds": (Quantile(lower=0, upper=1), (1.2 * draw() - 0.1).clamp(0, 1)),
    "heavy tails": (Quantile(), cauchy()),
    "far from 0": (Quantile(), 1e6 + normal()),
    "ties": (Quantile(), (5 * normal()).round()),
    "constant": (Quantile(), torch.full((N, 1), 7.0)),
    "five values": (Quantile(), normal()[:5]),
    "mass peak": (Quantile(), peak()),
    "modes with gaps": (Quantile(), 20 * torch.round(2 * draw(seed=6)) + 0.1 * normal()),
}


def law_quantile(t: Quantile, x: Tensor) -> None:
    """Both directions, within 1e-5 of the width of the data and of one unit of z; slopes within 1e-3."""
    t.fit(x)
    fast = FastQuantile([t])
    low, high = torch.tensor(t.range_, dtype=torch.float64).T
    width = torch.maximum((x.amax(0) - x.amin(0)), torch.ones(1) * 1e-12)
    z = torch.cat([4 * normal(x.shape[1], seed=3), torch.zeros(1, x.shape[1]), torch.full((2, x.shape[1]), 1e6)])
    z[-1] *= -1
    got, slope = (part.T for part in fast.x_and_slope(z.T.contiguous()))
    assert ((got - t.inverse(z)).abs() / width).max() < 1e-5
    assert (got >= low).all()
    assert (got <= high).all()
    inner = (z.abs() < 3.5) & (got > low) & (got < high)
    expected = torch.exp(-t._log_derivative(got))
    assert ((slope / expected - 1).abs()[inner] < 1e-3).all()
    back, rise = (part.T for part in fast.z_and_slope(x.T.contiguous()))
    if (low < high).all():
        # in a pile the map draws z, and the spline stands at its end
        in_pile = ((x == low) | (x == high)) & (t.n_noise > 0)
        assert (back - t.forward(x)).abs()[~in_pile].max() < 1e-5
        assert ((rise * torch.exp(-t._log_derivative(x)) - 1).abs() < 1e-3).all()


@pytest.mark.parametrize("name", MAPS)
def test_quantile_maps_agree(name):
    law_quantile(*MAPS[name])


def test_tails_of_too_few_cells_would_be_noticed(monkeypatch):
    monkeypatch.setattr(fast, "LOG_SLOPE_STEP", 100.0)
    monkeypatch.setattr(fast, "LEAST_CELLS", 1)
    with pytest.raises(AssertionError):
        law_quantile(*MAPS["heavy tails"])


def test_beyond_its_range_the_map_goes_on_straight():
    fast = FastQuantile([Quantile().fit(normal())])
    far = torch.tensor([[-1e3, -500.0, 500.0, 1e3]], dtype=torch.float64)
    z, slope = fast.z_and_slope(far)
    assert (z.diff() > 0).all()
    torch.testing.assert_close(z.diff()[0, [0, 2]], 500 * slope[0, [0, 2]])


def counts() -> Tensor:
    return torch.floor(-5 * draw(seed=21).log())


def zero_inflated() -> Tensor:
    return torch.where(draw(seed=22) < 0.3, 0.0, -draw(seed=23).log())


def table(*parts: tuple[InvertibleTransform, Tensor]) -> tuple[Columns, Tensor]:
    first, pairs = 0, []
    for t, x in parts:
        pairs.append((list(range(first, first + x.shape[1])), t))
        first += x.shape[1]
    return Columns(pairs), torch.cat([x for _, x in parts], dim=1)


TABLES: dict[str, tuple[InvertibleTransform, Tensor]] = {
    "muons": table(
        (Quantile(lower=0), -draw().log()),
        (Quantile(), normal()),
        (Periodic(origin=-math.pi), 6 * draw(2) - 3),
        (Quantile(), peak()),
    ),
    "all sorts": table(
        (Chain([Dequantise(lower=0), Quantile()]), counts()),
        (Periodic(period=360), 360 * draw(seed=31)),
        (OneHot(), torch.floor(3 * draw(seed=32))),
        (Quantile(), normal(seed=33)),
        (PointMass(0.0, Quantile(), lower=0.0), zero_inflated()),
        (Periodic(period=1, scaling="unit_variance"), draw(seed=34)),
        (Chain([Logit(lower=0, upper=1), Standardise()]), draw(2, seed=35)),
        (Chain([Dequantise(levels=(-1, 1)), Quantile()]), 2 * torch.round(draw(seed=36)) - 1),
        (Rescale(lower=0, upper=1), draw(3, seed=37)),
        (Quantile(lower=0, upper=1), draw(2, seed=38)),
    ),
    "no maps or angles": table((Standardise(), normal(2)), (Asinh(), cauchy())),
    "angles only": table((Periodic(), 6 * draw(3))),
    "not a table": (Rescale(lower=-1, upper=1, step=2), (2 * torch.round(draw(6)) - 1).reshape(N, 2, 3)),
    "one map": (Quantile(), normal(3)),
}


@pytest.mark.parametrize("name", TABLES)
@pytest.mark.parametrize("scale", [1.0, 3.0, 1e6])
def test_fast_inverse_agrees(name, scale):
    t, x = TABLES[name]
    t.fit(x)
    y = (scale * torch.randn(500, *t.output_shape, generator=torch.Generator().manual_seed(1))).float()
    fast, exact = FastInverse(t)(y), t.inverse(y)
    assert fast.dtype == torch.float64
    off = (fast - exact).abs() > 1e-5 * (x.amax(0) - x.amin(0))
    assert off.double().mean() < 1e-3  # a whole number where the error of 1e-7 crosses its edge


@pytest.mark.parametrize("name", TABLES)
def test_gradients_agree(name):
    t, x = TABLES[name]
    t.fit(x)
    way = torch.randn(400, *t.event_shape_, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    slopes = []
    for inverse in (FastInverse(t), t.inverse):
        y = torch.randn(400, *t.output_shape, generator=torch.Generator().manual_seed(1)).requires_grad_()
        (inverse(y) / (x.amax(0) - x.amin(0)) * way).sum().backward()
        assert y.grad is not None
        assert y.grad.dtype == torch.float32
        slopes.append(y.grad)
    off = (slopes[0] - slopes[1]).abs() > 1e-3 * (slopes[1].abs() + 1e-3)
    assert off.double().mean() < 5e-3


def test_gradients_are_finite_for_any_features():
    t, x = TABLES["all sorts"]
    fast = FastInverse(t.fit(x))
    y = torch.randn(300, *t.output_shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    for wild in (y * 1e30, 0 * y, 0 * y + 1e6, 0 * y - 1e6, y * 1e-20):
        wild = wild.clone().requires_grad_()
        assert torch.isfinite(torch.autograd.grad(fast(wild).sum(), wild)[0]).all()


def test_a_transform_of_the_user_is_asked_as_it_is():
    class Twice:
        def inverse(self, y: Tensor) -> Tensor:
            return y / 2

    assert torch.equal(FastInverse(Twice())(torch.ones(3, 2)), torch.full((3, 2), 0.5, dtype=torch.float64))


def test_nothing_is_saved_with_the_weights():
    assert not FastInverse(TABLES["all sorts"][0].fit(TABLES["all sorts"][1])).state_dict()
