"""The laws of invertible transforms, for the whole family in one table.

Each law is a function that takes a fitted case and raises AssertionError; each has a twin, a
transform broken on purpose, that must fail it.
"""

import functools
import json
import math
from collections.abc import Callable
from dataclasses import dataclass

import pytest
import torch
from torch import Tensor

from reverie.core.protocols import Transform
from reverie.data.schema import Column, Schema
from reverie.data.transforms import (
    TRANSFORMS,
    Asinh,
    Bits,
    Chain,
    Columns,
    ConstantCells,
    Dequantise,
    Elementwise,
    Identity,
    InvertibleTransform,
    Log,
    Logit,
    ObservableCoordinate,
    ObservablesBeside,
    OneHot,
    Particles,
    Periodic,
    PointMass,
    Quantile,
    Rescale,
    Separated,
    Standardise,
    transform_from_json,
)

SEED = 20240607


def generator(*, seed: int = SEED) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def normal(n: int, d: int = 1, seed: int = SEED) -> Tensor:
    return torch.randn(n, d, generator=generator(seed=seed), dtype=torch.float64)


def uniform(n: int, d: int = 1, seed: int = SEED) -> Tensor:
    return torch.rand(n, d, generator=generator(seed=seed), dtype=torch.float64)


def exponential(n: int, d: int = 1, seed: int = SEED) -> Tensor:
    return -torch.log1p(-uniform(n, d, seed))


def counts(n: int, d: int = 1, seed: int = SEED) -> Tensor:
    return torch.floor(4 * exponential(n, d, seed))


def piled(n: int, seed: int = SEED) -> Tensor:
    """Return a column with a fifth of its values on its end, and one with piles on both."""
    x = torch.cat([exponential(n, 1, seed).clamp(max=1.6), normal(n, 1, seed).clamp(-0.7, 1.1)], dim=1)
    x[:3] = torch.tensor([[1.6, -0.7], [0.5, 1.1], [0.1, 0.1]], dtype=torch.float64)
    return x


def zero_inflated(n: int, seed: int = SEED) -> Tensor:
    return torch.where(uniform(n, 1, seed + 1) < 0.3, 0.0, exponential(n, 1, seed))


def clusters(n: int) -> Tensor:
    return (3 * uniform(n, seed=SEED + 2)).floor() + 0.05 * normal(n)


def spins(n: int, d: int = 1, seed: int = SEED) -> Tensor:
    return torch.where(uniform(n, d, seed) < 0.3, -1.0, 1.0).double()


def partly_constant(n: int) -> Tensor:
    x = normal(n, 12).reshape(n, 3, 4)
    x[:, 0] = 0.5
    return x


def touching(n: int) -> Tensor:
    x = uniform(n, 2) ** 3
    x[0], x[1] = 0.0, 1.0
    return x


def mixed(n: int) -> Tensor:
    return torch.cat([normal(n, 1), 6 * uniform(n, 1, 5) - 3, counts(n), zero_inflated(n), spins(n)], dim=1)


def table() -> Columns:
    parts = [
        ("x", Quantile()),
        ("phi", Periodic(origin=-math.pi)),
        ("n", Chain([Dequantise(lower=0), Quantile()])),
        ("e", PointMass(0.0, Quantile(), lower=0.0)),
        ("q", OneHot(levels=(-1, 1))),
    ]
    return Columns(parts, names=["x", "phi", "n", "e", "q"])


def pairs(n: int) -> Tensor:
    """Return (pt, eta, phi) of two particles, whose mass is thinner than any column."""
    angles = torch.stack([normal(n, 1, 2), 6 * uniform(n, 1, 3) - 3, normal(n, 1, 4), 6 * uniform(n, 1, 5) - 3])[..., 0]
    ratio, mass = torch.exp(0.5 * normal(n, 1, 6))[:, 0], 91 + normal(n, 1, 7)[:, 0]
    eta1, phi1, eta2, phi2 = angles
    pt = mass / torch.sqrt(2 * (torch.cosh(eta1 - eta2) - torch.cos(phi1 - phi2)))
    return torch.stack([pt * ratio, eta1, phi1, pt / ratio, eta2, phi2], dim=1)


def observed(*, beside: bool = False) -> ObservableCoordinate | ObservablesBeside:
    """Return features one coordinate of which is the mass, or with the mass and a distance beside them."""
    names = ("pt1", "eta1", "phi1", "pt2", "eta2", "phi2")
    parts = [(k, Periodic(origin=-math.pi) if name[:3] == "phi" else Quantile()) for k, name in enumerate(names)]
    schema = Schema(tuple(Column(name) for name in names), (6,)).to_json()
    if beside:
        return ObservablesBeside(base=Columns(parts), observables=("mass", "delta_r"), schema=schema)
    return ObservableCoordinate(base=Columns(parts), observable="mass", schema=schema)


def sets(n: int) -> Tensor:
    """Return sets of up to four particles (x, phi, n, e, q) anywhere among four places; the first is empty."""
    mask = (uniform(n, 4, 7) < 0.6).double()
    mask[0], mask[1] = 0.0, 1.0
    return torch.cat([mixed(4 * n).reshape(n, 4, 5) * mask[..., None], mask[..., None]], dim=2)


def sets_allowed(x: Tensor) -> Tensor:
    is_there = x[..., -1] == 1
    kept = mixed_allowed(x[..., :-1].flatten(0, 1)).reshape(is_there.shape)
    return torch.where(is_there, kept, (x == 0).all(-1))


@dataclass(frozen=True)
class Case:
    make: Callable[[], InvertibleTransform]
    data: Callable[[int], Tensor]
    allowed: Callable[[Tensor], Tensor] | None = None  # what every inverse must fulfil
    exact: bool = False
    smooth: bool = True  # J is that of a differentiable map
    atom: float | None = None  # a value where it is not


def within(low: float, high: float) -> Callable[[Tensor], Tensor]:
    return lambda x: (x >= low) & (x <= high)


def among(*levels: float) -> Callable[[Tensor], Tensor]:
    return lambda x: torch.isin(x, torch.tensor(levels, dtype=torch.float64))


def mixed_allowed(x: Tensor) -> Tensor:
    angle = (x[:, 1] >= -math.pi) & (x[:, 1] < math.pi)
    whole = (x[:, 2] == x[:, 2].round()) & (x[:, 2] >= 0)
    return angle & whole & (x[:, 3] >= 0) & (x[:, 4].abs() == 1)


CASES: dict[str, Case] = {
    "identity": Case(Identity, lambda n: normal(n, 3), exact=True),
    "standardise": Case(Standardise, lambda n: 5 + 2 * normal(n, 3)),
    "standardise, median": Case(lambda: Standardise(method="median"), lambda n: exponential(n, 2)),
    "standardise, shared": Case(lambda: Standardise(shared=True), lambda n: normal(n, 12).reshape(n, 3, 4)),
    "standardise, constant": Case(Standardise, lambda n: torch.full((n, 2), 0.1)),
    "rescale": Case(lambda: Rescale(lower=-2, upper=3), lambda n: 5 * uniform(n, 2) - 2, within(-2, 3)),
    "rescale, images": Case(
        lambda: Rescale(lower=0, upper=16, step=1),
        lambda n: torch.floor(17 * uniform(n, 12)).reshape(n, 3, 4),
        among(*range(17)),
        exact=True,
    ),
    "rescale, spins": Case(
        lambda: Rescale(lower=-1, upper=1, step=2), lambda n: spins(n, 4).reshape(n, 2, 2), among(-1, 1), exact=True
    ),
    "constant cells": Case(ConstantCells, partly_constant, lambda x: x[:, 0] == 0.5, exact=True),
    "constant cells, standardised": Case(
        lambda: Chain([ConstantCells(), Standardise(shared=True)]), partly_constant, lambda x: x[:, 0] == 0.5
    ),
    "log": Case(Log, lambda n: torch.exp(3 * normal(n, 2)), lambda x: x > 0),
    "asinh": Case(Asinh, lambda n: torch.sinh(2 * normal(n, 2))),
    "asinh, centred": Case(lambda: Asinh(centre=None, scale=0.5), lambda n: 100 + normal(n, 1)),
    "logit": Case(lambda: Logit(lower=0, upper=1), touching, within(0, 1)),
    "logit, lower": Case(lambda: Logit(lower=2), lambda n: 2 + exponential(n, 2), within(2, 1e30)),
    "logit, upper": Case(lambda: Logit(upper=0.1), lambda n: 0.1 - exponential(n, 1), within(-1e30, 0.1)),
    "periodic": Case(Periodic, lambda n: 2 * math.pi * uniform(n, 2), lambda x: (x >= 0) & (x < 2 * math.pi)),
    "periodic, degrees": Case(
        lambda: Periodic(period=360, origin=-180),
        lambda n: 360 * uniform(n, 1) - 180,
        lambda x: (x >= -180) & (x < 180),
    ),
    "periodic, images": Case(
        Periodic, lambda n: 2 * math.pi * uniform(n, 12).reshape(n, 2, 2, 3), lambda x: (x >= 0) & (x < 2 * math.pi)
    ),
    "periodic, unit variance": Case(
        lambda: Periodic(period=1, scaling="unit_variance"),
        lambda n: (0.1 * normal(n, 2)).clamp(-0.5, 0.49),
        lambda x: (x >= -0.5) & (x < 0.5),
    ),
    "quantile": Case(Quantile, lambda n: torch.cat([normal(n), exponential(n)], dim=1)),
    "quantile, heavy tails": Case(Quantile, lambda n: torch.tan(3.1 * (uniform(n, 1) - 0.5))),
    "quantile, bounds": Case(lambda: Quantile(lower=0, upper=1), touching, within(0, 1)),
    "quantile, one bound": Case(lambda: Quantile(lower=0), lambda n: exponential(n), within(0, 1e30)),
    "quantile, ties": Case(Quantile, lambda n: (5 * normal(n)).round() / 5),
    "quantile, far from 0": Case(Quantile, lambda n: 1e6 + normal(n)),
    "quantile, piles": Case(
        Quantile, piled, lambda x: (x[:, 0] <= 1.6) & (x[:, 1] >= -0.7) & (x[:, 1] <= 1.1), smooth=False
    ),
    "quantile, constant": Case(Quantile, lambda n: torch.full((n, 1), 3.3, dtype=torch.float64), within(3.3, 3.3)),
    "quantile, five values": Case(Quantile, lambda n: normal(5)),
    "dequantise": Case(
        lambda: Dequantise(lower=0, upper=60),
        lambda n: counts(n, 2),
        lambda x: (x == x.round()) & within(0, 60)(x),
        exact=True,
    ),
    "dequantise, holes": Case(Dequantise, lambda n: spins(n, 2), among(-1, 1), exact=True, smooth=False),
    "dequantise, widths": Case(
        lambda: Dequantise(levels=(0, 1, 2, 3, 4), widths=(5.0, 1.0, 1.5, 1.0, 2.0)),
        lambda n: counts(n, 2).clamp(max=4),
        among(0, 1, 2, 3, 4),
        exact=True,
        smooth=False,
    ),
    "dequantise, normal noise": Case(
        lambda: Dequantise(levels=(-1, 1), noise_std=0.125),
        lambda n: spins(n, 2),
        among(-1, 1),
        exact=True,
        smooth=False,
    ),
    "dequantise, quantile": Case(
        lambda: Chain([Dequantise(lower=0), Quantile()]),
        lambda n: counts(n, 2),
        lambda x: (x == x.round()) & (x >= 0),
        exact=True,
    ),
    "bits": Case(Bits, lambda n: spins(n, 3), among(-1, 1), exact=True, smooth=False),
    "bits, grey": Case(
        lambda: Bits(centred=True, grey=(0, 255)), lambda n: 255 * spins(n, 2).clamp(min=0), among(0, 255), smooth=False
    ),
    "bits, lattice": Case(Bits, lambda n: spins(n, 4).reshape(n, 2, 2), among(-1, 1), exact=True, smooth=False),
    "one-hot": Case(OneHot, lambda n: counts(n).clamp(max=4), among(0, 1, 2, 3, 4), exact=True, smooth=False),
    "point mass, largest": Case(
        lambda: PointMass(None, PointMass(0.0, Identity(), lower=0, noise_std=0.125), noise_std=0.125, gap=1.0),
        lambda n: zero_inflated(n).clamp(max=0.9),
        within(0, 0.9),
        smooth=False,
    ),
    "point mass, pile": Case(
        lambda: PointMass(0.0, Quantile(), lower=0, upper=0.9),
        lambda n: zero_inflated(n).clamp(max=0.9),
        within(0, 0.9),
        smooth=False,
    ),
    "point mass": Case(lambda: PointMass(0.0, Quantile(), lower=0), zero_inflated, within(0, 1e30), atom=0.0),
    "point mass, inside": Case(
        lambda: PointMass(0.5, Chain([Asinh(), Standardise()])),
        lambda n: torch.where(uniform(n, 1, 3) < 0.2, 0.5, normal(n)),
        atom=0.5,
    ),
    "point mass, narrow, of images": Case(
        lambda: PointMass(0.0, Quantile(), lower=0, noise_std=0.125),
        lambda n: torch.cat([zero_inflated(n, SEED + k) for k in range(4)], dim=1).reshape(n, 2, 2),
        within(0, 1e30),
        atom=0.0,
        smooth=False,
    ),
    "point mass, narrow": Case(
        lambda: PointMass(0.0, Quantile(), lower=0, noise_std=0.125), zero_inflated, within(0, 1e30), atom=0.0
    ),
    "separated": Case(lambda: Separated(Quantile()), clusters),
    "chain": Case(lambda: Chain([Logit(lower=0, upper=2), Standardise()]), lambda n: 2 * uniform(n, 3), within(0, 2)),
    "columns": Case(table, mixed, mixed_allowed, smooth=False),
    "sets of particles": Case(lambda: Particles(table()), sets, sets_allowed, smooth=False),
    "observables": Case(observed, lambda n: pairs(n // 4)),  # its inverse searches, row by row
    "observables beside": Case(lambda: observed(beside=True), pairs),
}

every_case = pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
SMOOTH = {name: case for name, case in CASES.items() if case.smooth}  # levels have no derivative


@functools.cache
def fitted(case: Case, n: int) -> tuple[InvertibleTransform, Tensor]:
    """Return the transform of a case, fitted to n rows, and these; the laws only look at both."""
    x = case.data(n)
    return case.make().fit(x), x


def law_inverse(case: Case) -> None:
    t, x = fitted(case, 700)
    back = t.inverse(t.forward(x))
    assert back.dtype == torch.float64
    if case.exact:
        assert torch.equal(back, x.double())
    else:
        size = max(1.0, x.abs().amax().item())
        assert (back - x).abs().amax().item() < 1e-9 * size


def law_log_det(case: Case) -> None:
    t, x = fitted(case, 700)
    rows = (x if case.atom is None else x[(x != case.atom).all(1)])[:6].double()
    noise = torch.rand(len(rows), t.n_noise, generator=generator(), dtype=torch.float64)
    got = t.log_det(rows, noise=noise)
    assert got.shape == (len(rows),)
    for i in range(len(rows)):
        row, u = rows[i : i + 1], noise[i : i + 1]
        jacobian = torch.autograd.functional.jacobian(lambda v, u=u: t.forward(v, noise=u), row)
        assert isinstance(jacobian, Tensor)
        J = jacobian.reshape(t.n_outputs, row.numel())
        expected = 0.5 * torch.linalg.slogdet(J.T @ J).logabsdet
        assert abs(got[i] - expected) < 1e-8 * max(1.0, abs(expected.item()))


def law_json(case: Case) -> None:
    t, x = fitted(case, 300)
    text = json.dumps(t.to_json(), allow_nan=False)
    read = transform_from_json(json.loads(text))
    y = t.forward(x)
    assert torch.equal(read.forward(x), y)
    assert torch.equal(read.inverse(y), t.inverse(y))
    assert torch.equal(read.log_det(x), t.log_det(x))
    assert json.dumps(read.to_json(), allow_nan=False) == text
    assert repr(read) == repr(t)
    assert read.outputs == t.outputs


def law_forgets(case: Case) -> None:
    once, x = fitted(case, 300)
    twice = case.make().fit(x[:5]).fit(x)
    assert json.dumps(twice.to_json()) == json.dumps(once.to_json())


def law_total(case: Case) -> None:
    t, _ = fitted(case, 300)
    shape = (400, *t.output_shape)
    scale = torch.logspace(-3, 6, 400, dtype=torch.float64).reshape(-1, *[1] * len(t.output_shape))
    y = torch.randn(shape, generator=generator(), dtype=torch.float64) * scale
    for wild in (y, y.float(), torch.full(shape, 1e6), torch.full(shape, -1e6), torch.zeros(shape), y * 1e40):
        x = t.inverse(wild)
        assert x.shape == (400, *t.event_shape_)
        assert torch.isfinite(x).all()
        if case.allowed is not None:
            assert case.allowed(x).all()


def law_noise(case: Case) -> None:
    t, x = fitted(case, 300)
    assert torch.equal(t.forward(x), t.forward(x))
    same = [t.forward(x, generator(seed=3)) for _ in range(2)]
    assert torch.equal(*same)
    if t.n_noise:
        assert not torch.equal(t.forward(x, generator(seed=4)), same[0])


def law_batches(case: Case) -> None:
    t, x = fitted(case, 300)
    stream = generator(seed=3)
    cuts = list(torch.split(x, [1, 99, 200])) if len(x) == 300 else [x[:1], x[1:]]
    whole = t.forward(x, generator(seed=3))
    torch.testing.assert_close(torch.cat([t.forward(part, stream) for part in cuts]), whole, rtol=1e-12, atol=1e-12)
    parts = torch.cat([t.inverse(part) for part in torch.split(whole, [1, len(x) - 1])])
    torch.testing.assert_close(parts, t.inverse(whole), rtol=1e-12, atol=1e-12)


def law_float32(case: Case) -> None:
    x = case.data(300).float()
    t = case.make().fit(x)
    y = t.forward(x)
    assert y.dtype == torch.float64
    back = t.inverse(y.float())
    assert back.dtype == torch.float64
    assert torch.isfinite(back).all()


@every_case
def test_inverse_undoes_forward(case):
    law_inverse(case)


@pytest.mark.parametrize("case", SMOOTH.values(), ids=SMOOTH.keys())
def test_log_det_is_that_of_the_jacobian(case):
    law_log_det(case)


@every_case
def test_json_gives_the_same_bits(case):
    law_json(case)


@every_case
def test_fit_forgets_the_past(case):
    law_forgets(case)


@every_case
def test_inverse_is_total_and_keeps_the_promises(case):
    law_total(case)


@every_case
def test_noise_is_seeded(case):
    law_noise(case)


@every_case
def test_batches_do_not_matter(case):
    law_batches(case)


@every_case
def test_float32_is_accepted(case):
    law_float32(case)


@every_case
def test_tags_and_shapes_agree(case):
    t, x = fitted(case, 300)
    assert isinstance(t, Transform)
    assert t.forward(x).shape == (len(x), *t.output_shape)
    of_images = 1 if not isinstance(t, Particles) else t.output_shape[1]  # of sets one for each column of a particle
    has_own = len(t.output_shape) == 1 or isinstance(t, Periodic)  # of images of angles each cosine and each sine
    assert len(t.outputs) == (t.n_outputs if has_own else of_images)


def test_a_set_is_transformed_particle_by_particle_and_fitted_on_what_is_there():
    """log_det is the sum over particles; padding moved far away changes nothing."""
    x = sets(300)
    t, is_there = Particles(table()).fit(x), x[..., -1] == 1
    alone = table().fit(x[..., :-1][is_there])
    noise = torch.rand(300, t.n_noise, generator=generator(), dtype=torch.float64)
    own = noise.reshape(300, 4, -1)[is_there]
    assert torch.equal(t.forward(x, noise=noise)[..., :-1][is_there], alone.forward(x[..., :-1][is_there], noise=own))
    assert (t.forward(x, noise=noise)[~is_there] == 0).all()
    summed = torch.zeros(300, 4, dtype=torch.float64)
    summed[is_there] = alone.log_det(x[..., :-1][is_there], noise=own)
    torch.testing.assert_close(t.log_det(x, noise=noise), summed.sum(1))
    far = torch.cat([x[..., :-1] + 1e3 * (1 - x[..., -1:]), x[..., -1:]], dim=2)
    assert json.dumps(Particles(table()).fit(far).to_json()) == json.dumps(t.to_json())


def test_a_map_fitted_on_padding_too_is_seen():
    """The twin: zeros of padding move the map of the particles."""
    x = sets(300)[..., [0, -1]]
    own, of_all = Particles(Quantile()).fit(x).particle_, Quantile().fit(x[..., :-1].flatten(0, 1))
    assert json.dumps(of_all.to_json()) != json.dumps(own.to_json())


def test_every_transform_is_in_the_table_of_laws():
    def names(t: InvertibleTransform) -> set[str]:
        inner = [
            *vars(t).get("steps", []),
            *(part for _, part in vars(t).get("parts", [])),
            vars(t).get("base"),
            vars(t).get("particle"),
        ]
        return {type(t).__name__}.union(*(names(child) for child in inner if child is not None))

    assert set().union(*(names(case.make()) for case in CASES.values())) == set(TRANSFORMS)


class Broken(Elementwise):
    """y = 2 x, right as it stands; the twins below each spoil one thing."""

    def _fit(self, x: Tensor) -> None:
        self.slope_ = 2.0

    def _forward(self, x: Tensor, u: Tensor) -> Tensor:
        return self.slope_ * x

    def _inverse(self, y: Tensor) -> Tensor:
        return y / self.slope_

    def _log_derivative(self, x: Tensor) -> Tensor:
        return torch.full_like(x, math.log(self.slope_))


class WrongInverse(Broken):
    def _inverse(self, y: Tensor) -> Tensor:
        return y / self.slope_ * (1 + 1e-8)


class WrongSign(Broken):
    def _log_derivative(self, x: Tensor) -> Tensor:
        return -super()._log_derivative(x)


class SecretState(Broken):
    def _fit(self, x: Tensor) -> None:
        self.slope_, self.secret = 2.0, 1.0

    def _forward(self, x: Tensor, u: Tensor) -> Tensor:
        return super()._forward(x, u) + getattr(self, "secret", 0.0)


class Remembers(Broken):
    def _fit(self, x: Tensor) -> None:
        self.seen = getattr(self, "seen", 0) + 1
        self.slope_ = float(self.seen)


class Unbounded(Broken):
    def _inverse(self, y: Tensor) -> Tensor:
        return torch.exp(y)


class Outside(Broken):
    def _inverse(self, y: Tensor) -> Tensor:
        return y.clamp(0, 1 + 1e-9)


class Unseeded(Broken):
    def _forward(self, x: Tensor, u: Tensor) -> Tensor:
        return x + torch.rand(x.shape)


class BatchMean(Broken):
    def _forward(self, x: Tensor, u: Tensor) -> Tensor:
        return x - x.mean(0)


class KeepsFloat32(Broken):
    def forward(self, x: Tensor, generator: torch.Generator | None = None, *, noise: Tensor | None = None) -> Tensor:
        return super().forward(x, generator, noise=noise).to(x.dtype)


TWINS = {
    "inverse": (law_inverse, WrongInverse),
    "log_det": (law_log_det, WrongSign),
    "json": (law_json, SecretState),
    "forgets": (law_forgets, Remembers),
    "total, overflow": (law_total, Unbounded),
    "total, bounds": (law_total, Outside),
    "noise": (law_noise, Unseeded),
    "batches": (law_batches, BatchMean),
    "float32": (law_float32, KeepsFloat32),
}


@pytest.mark.parametrize(("law", "broken"), TWINS.values(), ids=TWINS.keys())
def test_law_fails_for_a_broken_transform(law, broken, monkeypatch):
    monkeypatch.setitem(TRANSFORMS, "Broken", Broken)
    monkeypatch.setitem(TRANSFORMS, broken.__name__, broken)
    data: Callable[[int], Tensor] = lambda n: uniform(n, 2)  # noqa: E731 - one line per law
    if broken is not Outside:
        law(Case(Broken, data))
    with pytest.raises(AssertionError):
        law(Case(broken, data, within(0, 1) if broken is Outside else None))
