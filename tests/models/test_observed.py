"""Observables as the discriminator sees them: standardised, differentiable, bounded, the same after loading."""

import json
import math
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from reverie.core.errors import CheckpointError, InputError, UnknownNameError
from reverie.data.dataset import Dataset
from reverie.data.kinematics import invariant_mass
from reverie.data.observables import Observable, resolve_observables
from reverie.data.schema import Column, Schema
from reverie.data.transforms import auto_transform
from reverie.models.observables import ObservedFeatures

NAMES = ("pt1", "eta1", "phi1", "pt2", "eta2", "phi2")
N = 4000


def decays(n: int = N, seed: int = 8) -> np.ndarray:
    """Two massless particles, nearly back to back, with a peak in their mass."""
    rng = np.random.default_rng(seed)
    mass = np.where(rng.random(n) < 0.8, rng.normal(91, 2, n), rng.uniform(60, 120, n))
    eta, y = rng.uniform(-1.5, 1.5, n), rng.normal(0, 0.5, n)
    phi, pull = rng.uniform(-math.pi, math.pi, n), rng.exponential(0.1, n)
    pt = mass / 2 / np.cosh(eta)
    opposite = np.mod(phi + rng.normal(0, 0.3, n) + 2 * math.pi, 2 * math.pi) - math.pi
    x = np.stack([pt * np.exp(pull), eta + y, phi, pt * np.exp(-pull), y - eta, opposite], axis=1)
    return np.round(x, 5)


def schema() -> Schema:
    columns = [Column(name, "periodic" if name.startswith("phi") else "continuous") for name in NAMES]
    return Schema(tuple(Column("pt" + c.name[2:], lower=0) if c.name[:2] == "pt" else c for c in columns), (6,))


def fitted(values: np.ndarray, of: Schema) -> Any:
    return auto_transform(of).fit(torch.from_numpy(values.astype("float64")))


@pytest.fixture(scope="module")
def muons() -> tuple[np.ndarray, Any, ObservedFeatures]:
    values = decays()
    transform = fitted(values, schema())
    observables = resolve_observables(["mass", "delta_r", lambda x: x[:, 0] + x[:, 3]], schema())
    return values, transform, ObservedFeatures(observables, transform, values)


def test_real_values_become_standard_normal(muons):
    values, _, observed = muons
    z = observed.of_values(values)
    assert z.shape == (N, 3)
    assert z.dtype == torch.float32
    assert observed.names == ["mass", "delta_r", "<lambda>"]
    p = torch.special.ndtr(z.double().sort(0).values)
    steps = (torch.arange(N)[:, None] + 0.5) / N
    assert (p - steps).abs().max() < 0.02


def test_generated_features_of_real_events_give_the_same(muons):
    values, transform, observed = muons
    features = transform.forward(torch.from_numpy(values)).float()
    torch.testing.assert_close(observed(features), observed.of_values(values), rtol=0, atol=1e-3)
    mass = invariant_mass(*torch.from_numpy(values).T)
    assert torch.equal(mass.argsort()[::100], observed.of_values(values)[:, 0].argsort()[::100])


def test_gradient_is_that_of_finite_differences(muons):
    values, transform, observed = muons
    y = transform.forward(torch.from_numpy(values))[:300]
    way = torch.randn(y.shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    weight = torch.randn(300, 3, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    start = y.clone().requires_grad_()
    (slope,) = torch.autograd.grad((observed(start) * weight).sum(), start)
    step = 1e-6

    def exact(y: Tensor) -> Tensor:  # before it is float32
        return (observed._z_and_slope(observed._of_events(observed._inverse(y)))[0].T * weight).sum(1)

    ahead, behind = (exact(y + sign * step * way) for sign in (1, -1))
    change, expected = (ahead - behind) / (2 * step), (slope * way).sum(1)
    off = (change - expected).abs() > 1e-3 * (expected.abs() + 1)
    assert off.double().mean() < 0.02  # kinks of the absolute azimuth
    assert ((change - 1.01 * expected).abs() > 1e-3 * (expected.abs() + 1)).double().mean() > 0.5


@pytest.mark.parametrize("scale", [0.0, 1.0, 1e3, 1e6])
def test_wild_features_stay_on_scale_with_finite_gradients(muons, scale):
    _, transform, observed = muons
    y = (scale * torch.randn(500, 8, generator=torch.Generator().manual_seed(1))).requires_grad_()
    z = observed(y)
    assert z.abs().max() < 60
    assert torch.isfinite(torch.autograd.grad(z.sum(), y)[0]).all()


def test_far_values_are_squeezed_and_keep_their_order(muons):
    _, _, observed = muons
    raw = torch.linspace(-3e4, 3e4, 100_001, dtype=torch.float64)[None].expand(3, -1).contiguous()
    z, slope = observed._z_and_slope(raw)
    assert (z.diff(dim=1) > 0).all()
    assert z.abs().max() < 30
    around = torch.stack([raw[0, k] + torch.tensor([-0.01, 0.01], dtype=torch.float64) for k in (10, 30_000, 99_000)])
    for j, k in enumerate((10, 30_000, 99_000)):
        rise = observed._z_and_slope(around[j].expand(3, -1).contiguous())[0].diff(dim=1)[:, 0] / 0.02
        torch.testing.assert_close(rise, slope[:, k], rtol=1e-2, atol=1e-9)


def test_json_gives_the_same_bits(muons):
    values, transform, observed = muons
    record = json.loads(json.dumps(observed.to_json(), allow_nan=False))
    read = ObservedFeatures.from_json(record, observed.observables, transform)
    y = torch.randn(50, 8, generator=torch.Generator().manual_seed(1))
    assert torch.equal(read(y), observed(y))
    assert torch.equal(read.of_values(values[:50]), observed.of_values(values[:50]))
    assert read.to_json() == observed.to_json()
    with pytest.raises(CheckpointError, match="observables mass, delta_r, <lambda>, got mass"):
        ObservedFeatures.from_json(record, observed.observables[:1], transform)


def test_standardise_is_shift_and_scale(muons):
    values, transform, observed = muons
    straight = ObservedFeatures(observed.observables, transform, values, standardise="standardise")
    mass = invariant_mass(*torch.from_numpy(values).T)
    expected = ((mass - mass.mean()) / mass.std(correction=0)).float()
    torch.testing.assert_close(straight.of_values(values)[:, 0], expected, rtol=1e-5, atol=1e-5)
    y = torch.randn(20, 8, generator=torch.Generator().manual_seed(1)).requires_grad_()
    straight(y).sum().backward()
    assert y.grad is not None
    assert torch.isfinite(y.grad).all()
    read = ObservedFeatures.from_json(straight.to_json(), observed.observables, transform)
    assert torch.equal(read(y), straight(y))
    with pytest.raises(UnknownNameError, match="Did you mean 'quantile'"):
        ObservedFeatures(observed.observables, transform, values, standardise="quantil")


def test_values_are_needed_to_fit(muons):
    _, transform, observed = muons
    with pytest.raises(InputError, match="got none"):
        ObservedFeatures(observed.observables, transform, None)


@pytest.mark.parametrize(
    ("function", "words"),
    [
        (lambda x: x[:, :1], "'f' on events of the data, got shape"),
        (lambda x: (x[:, 0] - 3).log(), "finite values from .* on events that a generator can make"),
        (lambda x: (x[:, 0] - x[:, 0].detach()).abs().sqrt(), "finite gradients"),
        (lambda x: torch.round(x[:, 0]).detach(), "a gradient"),
    ],
)
def test_unsuitable_functions_are_refused_before_training(muons, function, words):
    values, transform, _ = muons
    with pytest.raises(InputError, match=words):
        ObservedFeatures([Observable("f", function)], transform, values[values[:, 0] > 10])


def lattices(shape: tuple[int, ...]) -> tuple[np.ndarray, Schema]:
    rng = np.random.default_rng(4)
    spins = np.where(rng.random((600, *shape)) < rng.uniform(0.2, 0.8, (600, *[1] * len(shape))), 1.0, -1.0)
    return spins, Dataset(spins).schema


@pytest.mark.parametrize("shape", [(4, 4), (1, 4, 4), (2, 3, 4)])
def test_lattices_of_spins(shape):
    values, of = lattices(shape)
    transform = fitted(values, of)
    observables = resolve_observables(["energy", "magnetisation", "abs_magnetisation"], of)
    observed = ObservedFeatures(observables, transform, values)
    y = torch.tanh(torch.randn(100, *shape, generator=torch.Generator().manual_seed(1))).requires_grad_()
    spins = torch.where(y > 0, 1.0, -1.0).numpy()
    torch.testing.assert_close(observed(y), observed.of_values(spins), rtol=0, atol=1e-5)
    (slope,) = torch.autograd.grad(observed(y)[:, 1].sum(), y)
    assert (slope > 0).double().mean() > 0.9  # more spin up, more magnetisation: through the rounding


def test_a_constant_observable_does_no_harm():
    values, of = lattices((4, 4))
    observed = ObservedFeatures([Observable("one", lambda x: 1 + 0 * x.sum((1, 2)))], fitted(values, of), values)
    assert torch.isfinite(observed.of_values(values)).all()


class Count(TorchDispatchMode):
    """Number of tensor operations, which is what a small batch costs."""

    n = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.n += 1
        return func(*args, **(kwargs or {}))


def operations(f: Any, y: Tensor) -> int:
    with Count() as count:
        torch.autograd.grad(f(y).sum(), y)
    return count.n


def test_a_step_costs_few_operations(muons):
    values, transform, _ = muons
    observed = ObservedFeatures(resolve_observables("mass", schema()), transform, values)
    y = torch.randn(256, 8, generator=torch.Generator().manual_seed(1)).requires_grad_()
    fast = operations(observed, y)
    assert fast <= 200  # 158 when written
    assert 5 * fast < operations(
        lambda y: observed._fitted.forward(invariant_mass(*transform.inverse(y).T)[:, None]), y
    )


def test_sixty_times_the_columns_cost_no_more_operations():
    values = np.random.default_rng(0).normal(size=(200, 60))
    of = Dataset(values).schema
    transform = fitted(values, of)
    observed = ObservedFeatures([Observable("sum", lambda x: x.sum(1))], transform, values)
    y = torch.randn(64, transform.output_shape[0], generator=torch.Generator().manual_seed(1)).requires_grad_()
    assert operations(observed, y) < 200
