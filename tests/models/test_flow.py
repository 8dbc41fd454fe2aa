"""Normalizing flows: inverse, volume and seam of untrained networks, then densities that are known."""

import math
import sys
from functools import partial
from typing import Any

import numpy as np
import pytest
import torch
from scipy.integrate import trapezoid
from scipy.stats import binomtest, norm, vonmises

from reverie.core.errors import InputError, MissingDependencyError
from reverie.core.random import child_generator
from reverie.data.dataset import Dataset
from reverie.data.transforms import Columns, OneHot, Standardise
from reverie.models.density_features import density_transform
from reverie.models.flow.estimator import Flow
from reverie.models.flow.networks import KINDS, FlowNetwork, _affine, inverse_holds
from reverie.models.flow.training import FlowStep
from reverie.networks.init import initialise

pytestmark = pytest.mark.usefixtures("global_random_state_untouched")

ALPHA = 1e-4
SMALL = {"n_transforms": 2, "hidden": (32, 32), "n_bins": 8, "learning_rate": 5e-3, "n_checks": 4}
SMALL |= {"random_state": 0, "n_threads": 1}
SHAPES = {  # features, circles, numbers in the condition
    "line": (1, (), 0),
    "plane": (2, (), 0),
    "space, given two": (3, (), 2),
    "circle": (2, ((0, 1),), 0),
    "line, circle, line": (4, ((1, 2),), 0),
    "two circles, given one": (4, ((0, 1), (2, 3)), 1),
}
EVERY = pytest.mark.parametrize("kind", list(KINDS))
_TOGETHER = ("line, circle, line", "space, given two")  # all that a shape can have; the others with splines, and one
_QUICK = {*((kind, s) for kind in KINDS for s in _TOGETHER), *(("spline", s) for s in SHAPES), ("realnvp", "line")}
OF_ANY_SHAPE = pytest.mark.parametrize(
    ("kind", "shape"),
    [
        pytest.param(kind, shape, marks=() if (kind, shape) in _QUICK else pytest.mark.slow)
        for kind in KINDS
        for shape in SHAPES
    ],
)


def _network(kind, shape, *, far=4.0):
    """Return a network of random weights, the last layers too, in float64, and 50 conditions."""
    n_features, circles, n_context = SHAPES[shape]
    with torch.random.fork_rng(devices=[]):
        network = FlowNetwork(n_features, circles, n_context, kind=kind, n_transforms=3, hidden=(16, 16), n_bins=5)
    initialise(network, child_generator(0, "weights"), allow_zero=False)
    perceptrons: Any = network.perceptrons
    for perceptron in perceptrons:  # away from the identity
        perceptron[-1].weight.data *= far
        perceptron[-1].bias.data *= far
    context = torch.randn(50, n_context, generator=child_generator(1), dtype=torch.float64) if n_context else None
    return network.double(), context


@OF_ANY_SHAPE
def test_samples_go_back_to_their_noise(kind, shape):
    network, context = _network(kind, shape)
    with torch.no_grad():
        x = network.draw(50, child_generator(2), context)
        z = network.noise(x, context)
        again = network.coordinates.features(network.undone_by_zuko(z, context))
    assert torch.isfinite(x).all()
    assert torch.allclose(x, again, atol=1e-8)
    lines = z[:, : len(network.lines)]
    expected = torch.randn(50, len(network.lines), generator=child_generator(2), dtype=torch.float64)
    assert torch.allclose(lines, expected, atol=1e-8)


def _by_passes(network, z, context):
    """Return features by zuko's own inverse, which runs the whole perceptron once for each place."""
    return network.coordinates.features(network.undone_by_zuko(z, context))


@OF_ANY_SHAPE
def test_samples_are_those_of_the_inverse_by_passes(kind, shape):
    network, context = _network(kind, shape)
    n_lines, n_circles = len(network.lines), len(network.circles)
    normal = 3 * torch.randn(50, n_lines, generator=child_generator(3), dtype=torch.float64)  # beyond the splines too
    turns = torch.rand(50, n_circles, generator=child_generator(4), dtype=torch.float64)
    with torch.no_grad():
        ours = network.event(normal, turns, context)
        zukos = _by_passes(network, torch.cat([normal, math.pi * (2 * turns - 1)], dim=1), context)
        torch.testing.assert_close(ours, zukos, rtol=1e-10, atol=1e-10)  # maf makes 1e6 of a large z
        if n_lines + n_circles > 1:  # the order of another map leaves what a unit sees out, or has it too early
            network._places = network._places[1:] + network._places[:1]
            network._places[0] = network._places[0].flip(0)
            assert not torch.allclose(network.event(normal, turns, context), zukos, atol=1e-3)


def test_units_of_many_coordinates_and_uneven_layers_are_computed_once():
    with torch.random.fork_rng(devices=[]):
        network = FlowNetwork(9, ((2, 5),), 3, n_transforms=2, hidden=(40, 7, 25), n_bins=4)
    initialise(network, child_generator(0, "weights"), allow_zero=False)
    network.double()
    context = torch.randn(20, 3, generator=child_generator(1), dtype=torch.float64)
    z = torch.randn(20, 8, generator=child_generator(2), dtype=torch.float64)
    with torch.no_grad():
        ours = network.event(z[:, :7], (z[:, 7:].tanh() + 1) / 2, context)
        z[:, 7:] = math.pi * z[:, 7:].tanh()
        torch.testing.assert_close(ours, _by_passes(network, z, context), rtol=0, atol=1e-10)
    for stages in network.stages():
        for k, width in enumerate((40, 7, 25)):
            assert sum(len(stage.hidden[k][1]) for stage in stages.parts) == width


@pytest.fixture
def another_zuko(monkeypatch):
    """Return a function that puts zuko's maps under another least slope: as its default, or whatever is asked."""
    import zuko

    def put(least, *, is_default):
        for name in ("MonotonicRQSTransform", "MonotonicAffineTransform"):
            made = getattr(zuko.transforms, name)
            other = partial(made, slope=least) if is_default else _deaf(made, least)
            monkeypatch.setattr(zuko.transforms, name, other)
        inverse_holds.cache_clear()

    yield put
    inverse_holds.cache_clear()


def _deaf(made, least):
    def build(*raw, slope=None, **options):
        return made(*raw, slope=least, **options)

    return build


@OF_ANY_SHAPE
def test_another_default_of_zuko_changes_neither_density_nor_samples(kind, shape, another_zuko):
    network, context = _network(kind, shape, far=30.0)  # raw parameters at which the least slope matters
    with torch.no_grad():
        x = network.draw(50, child_generator(2), context)
        log_q = network.log_prob(x, context)
        another_zuko(1e-3, is_default=True)  # as zuko 1.5 has it; 1.4 has 1e-4
        assert torch.equal(network.draw(50, child_generator(2), context), x)
        assert torch.equal(network.log_prob(x, context), log_q)


@EVERY
def test_maps_that_zuko_computes_otherwise_are_undone_by_zuko_and_said(kind, another_zuko):
    assert inverse_holds(kind)
    network, _ = _network(kind, "line, circle, line", far=30.0)
    ours = network.stages()
    another_zuko(1e-3, is_default=False)
    z = torch.rand(50, 3, generator=child_generator(3), dtype=torch.float64) * 6 - 3
    noise = z[:, :2], z[:, 2:] / (2 * math.pi) + 0.5
    with torch.no_grad():
        assert (network.noise(network.event(*noise, stages=ours)) - z).abs().max() > 1e-2  # the twin
        with pytest.warns(UserWarning, match="zuko's own inverse"):
            x = network.event(*noise)
        assert torch.allclose(network.noise(x), z, atol=1e-7)
        network.event(*noise)  # it is said once


def test_the_least_slope_of_saved_models_stays():
    steepest = _affine(torch.tensor([[[0.0, -1e12]]], dtype=torch.float64), dim=-1)
    assert steepest.scale.item() == pytest.approx(1e-4)


@OF_ANY_SHAPE
def test_log_determinant_is_that_of_autograd(kind, shape):
    network, context = _network(kind, shape)
    with torch.no_grad():
        u = network.coordinates.of(network.draw(2, child_generator(3), None if context is None else context[:2]))
    for k in range(2):
        given = None if context is None else context[k : k + 1]
        J = torch.autograd.functional.jacobian(lambda v, given=given: network(v[None], given)[0][0], u[k])
        _, stretch = network(u[k : k + 1], given)
        assert torch.linalg.slogdet(J)[1].item() == pytest.approx(stretch.item(), abs=1e-8)


def _integral(network, log_prob):
    """Return the integral of exp log_prob over lines within 60 and whole circles, by a sum over a fine grid."""
    n_lines, n_circles = len(network.lines), len(network.circles)
    v = torch.linspace(-9.0, 9.0, 401, dtype=torch.float64)  # x = sinh(v / 2): fine where the mass is, far tails
    axes = [torch.sinh(v / 2)] * n_lines + [torch.linspace(-np.pi, np.pi, 602, dtype=torch.float64)[:-1]] * n_circles
    steps = [torch.cosh(v / 2) / 2 * (v[1] - v[0])] * n_lines
    steps += [torch.full((601,), 2 * np.pi * 2**0.5 / 601, dtype=torch.float64)] * n_circles  # arcs of radius sqrt(2)
    u = torch.cartesian_prod(*axes).reshape(-1, len(axes))
    w = torch.cartesian_prod(*steps).reshape(-1, len(axes)).prod(1)
    with torch.no_grad():
        return sum(
            float(b @ log_prob(network.coordinates.features(a)).exp())
            for a, b in zip(u.split(100_000), w.split(100_000), strict=True)
        )


@pytest.mark.parametrize(
    ("kind", "shape"),
    [
        pytest.param(kind, shape, marks=pytest.mark.slow if shape == "plane" and kind != "maf" else ())
        for kind in KINDS
        for shape in ("line", "plane", "circle")
    ],
)
def test_density_integrates_to_one(kind, shape):
    network, _ = _network(kind, shape, far=2.0)
    assert _integral(network, network.log_prob) == pytest.approx(1, abs=1e-2)


@pytest.mark.slow  # twin of the test above; the determinant: test_log_determinant_is_that_of_autograd
def test_a_density_without_its_volume_would_not():
    """The twin: the base density of f(x) alone."""
    network, _ = _network("spline", "plane", far=2.0)

    def without(x):
        return torch.distributions.Normal(0.0, 1.0).log_prob(network.noise(x)).sum(1)

    assert abs(_integral(network, without) - 1) > 0.05


@EVERY
@pytest.mark.parametrize("shape", ["circle", "line, circle, line"])
def test_nothing_is_special_about_the_seam_of_a_circle(kind, shape):
    network, _ = _network(kind, shape)
    before, after = (torch.full((1, network.coordinates.n_features), 0.3, dtype=torch.float64) for _ in range(2))
    for x, angle in ((before, np.pi - 1e-9), (after, -np.pi + 1e-9)):
        x[:, network.circles[0]] = 2**0.5 * torch.tensor([np.cos(angle), np.sin(angle)])
    assert network.log_prob(before).item() == pytest.approx(network.log_prob(after).item(), abs=1e-6)


def test_a_perceptron_sees_only_what_comes_before():
    network, _ = _network("maf", "space, given two")
    network.perceptrons = network.perceptrons[:1]
    context = torch.zeros(1, 2, dtype=torch.float64)
    J = torch.autograd.functional.jacobian(lambda x: network.noise(x[None], context)[0], torch.ones(3).double())
    assert torch.equal(J.triu(1), torch.zeros_like(J))
    assert (J.tril() != 0).sum() == 6


@pytest.fixture(scope="module")
def normal():
    x = np.random.default_rng(0).normal(3.0, 2.0, (2000, 1))
    return Flow(max_steps=80, **SMALL).fit(x)


def test_density_of_a_normal_in_units_of_the_data(normal):
    grid = np.linspace(-17, 23, 4001)
    p = np.exp(normal.score_samples(grid[:, None]))
    assert trapezoid(p, grid) == pytest.approx(1, abs=1e-2)
    exact: Any = norm(3, 2)
    kl = trapezoid(exact.pdf(grid) * (exact.logpdf(grid) - np.log(p)), grid)
    assert 0 < kl < 0.03


def test_likelihood_comes_with_its_error(normal):
    x = np.random.default_rng(1).normal(3.0, 2.0, (4000, 1))
    found = normal.log_likelihood(x)
    assert found.common_error == 0
    entropy = norm(3, 2).entropy()
    # alpha = 1e-4, two-sided, about a mean that lies below minus the entropy by the divergence, 0.03 at most
    assert -entropy - 0.03 - 3.9 * found.mean.error < found.mean.value < -entropy + 3.9 * found.mean.error
    assert normal.score(x) == found.mean.value


@pytest.mark.slow
def test_a_bent_density_of_the_plane_is_learnt_and_integrates_to_one():
    rng = np.random.default_rng(0)
    x = rng.normal(size=4000)
    X = np.column_stack([x, x**2 + 0.5 * rng.normal(size=4000)])
    model = Flow(max_steps=200, **SMALL).fit(X)
    a, b = np.linspace(-5, 5, 201), np.linspace(-4, 26, 601)
    grid = np.stack(np.meshgrid(a, b, indexing="ij"), axis=-1)
    p = np.exp(model.score_samples(grid.reshape(-1, 2))).reshape(grid.shape[:2])
    assert trapezoid(trapezoid(p, b, axis=1), a) == pytest.approx(1, abs=1e-2)
    fresh = rng.normal(size=2000)
    fresh = np.column_stack([fresh, fresh**2 + 0.5 * rng.normal(size=2000)])
    exact = norm.logpdf(fresh[:, 0]) + norm.logpdf(fresh[:, 1], fresh[:, 0] ** 2, 0.5)
    assert 0 < (exact - model.score_samples(fresh)).mean() < 0.12
    independent = Flow(max_steps=1, **SMALL).fit(X)  # the twin: hardly trained, both columns on their own
    assert (exact - independent.score_samples(fresh)).mean() > 0.3


@pytest.mark.slow
def test_conditional_density_of_a_linear_gaussian_problem():
    rng = np.random.default_rng(0)
    y = rng.normal(size=3000)
    X = np.column_stack([2 * y + 0.5 * rng.normal(size=3000), rng.normal(size=3000) - y])
    model = Flow(max_steps=250, **SMALL).fit(X, y)
    y = rng.normal(size=1000)
    X = np.column_stack([2 * y + 0.5 * rng.normal(size=1000), rng.normal(size=1000) - y])
    exact = norm.logpdf(X[:, 0], 2 * y, 0.5) + norm.logpdf(X[:, 1], -y, 1)
    assert abs((exact - model.score_samples(X, y)).mean()) < 0.1
    assert (exact - model.score_samples(X, y[::-1])).mean() > 1  # the twin: conditions of other events
    samples = model.sample(2000, random_state=1, condition=1.0)
    np.testing.assert_allclose(samples.mean(0), [2, -1], atol=0.1)
    np.testing.assert_allclose(samples.std(0), [0.5, 1], atol=0.1)
    with pytest.raises(InputError, match="conditions y"):
        model.score_samples(X)


@pytest.mark.slow  # the seam: test_nothing_is_special_about_the_seam_of_a_circle
def test_a_peak_across_the_seam_of_an_angle():
    phi = vonmises(8, loc=np.pi).rvs(3000, random_state=0)
    phi = (phi + np.pi) % (2 * np.pi) - np.pi
    data = Dataset(phi[:, None], names=["phi"], kind={"phi": "periodic"})
    model = Flow(max_steps=150, **SMALL).fit(data)
    grid = np.linspace(-np.pi, np.pi, 2001)[:-1]
    p = np.exp(model.score_samples(grid[:, None]))
    assert p.mean() * 2 * np.pi == pytest.approx(1, abs=1e-2)
    law: Any = vonmises(8, loc=np.pi)
    exact = law.logpdf(grid)
    assert 0 < (np.exp(exact) * (exact - np.log(p))).mean() * 2 * np.pi < 0.03
    samples = model.sample(4000, random_state=0).values[:, 0]
    assert samples.min() >= -np.pi
    assert samples.max() < np.pi
    assert binomtest(int((samples > 0).sum()), 4000, (phi > 0).mean()).pvalue > ALPHA  # of a wrong alarm
    assert binomtest(int((samples > 0).sum()), 4000, 0.9).pvalue < ALPHA  # the twin


def _probabilities(model, values):
    """Return the probability of each value: exp of the density, averaged over 4000 draws of the noise in its cell."""
    return np.array([np.exp(model.score_samples(np.full((4000, 1), v))).mean() for v in values])


@pytest.mark.slow  # that they add up: tests/laws/test_likelihood_laws.py
def test_levels_whole_numbers_and_atoms_get_probabilities():
    rng = np.random.default_rng(0)
    short = {**SMALL, "max_steps": 60}
    words = Dataset(rng.choice(3, 2000, p=[0.6, 0.3, 0.1])[:, None], names=["kind"], kind={"kind": "categorical"})
    model = Flow(**short).fit(words)
    found = _probabilities(model, [0, 1, 2])
    assert found.sum() == pytest.approx(1, abs=1e-2)
    np.testing.assert_allclose(found, np.bincount(words.values[:, 0].astype(int)) / 2000, atol=0.03)
    assert set(np.unique(model.sample(500, random_state=0).values)) == {0, 1, 2}
    counts = rng.poisson(4, (2000, 1))
    found = _probabilities(Flow(**short).fit(counts), range(15))
    assert found.sum() == pytest.approx(1, abs=2e-2)
    np.testing.assert_allclose(found, np.bincount(counts[:, 0], minlength=15) / 2000, atol=0.03)
    deposit = np.where(rng.uniform(size=2000) < 0.3, 0.0, rng.exponential(size=2000))[:, None]
    model = Flow(**short).fit(deposit)
    assert _probabilities(model, [0.0])[0] == pytest.approx((deposit == 0).mean(), abs=0.03)
    assert (model.sample(2000, random_state=0) == 0).mean() == pytest.approx(0.3, abs=0.04)


@pytest.mark.slow  # quick: the law that held-out events count by their weights
def test_weights_count_as_numbers_of_events():
    rng = np.random.default_rng(0)
    x = np.concatenate([rng.normal(-3, 0.5, 1000), rng.normal(3, 0.5, 1000)])[:, None]
    weight = np.where(x[:, 0] > 0, 3.0, 1.0)
    model = Flow(max_steps=80, **{**SMALL, "n_checks": 1}).fit(x, sample_weight=weight)
    assert (model.sample(4000, random_state=0) > 0).mean() == pytest.approx(0.75, abs=0.05)


def test_a_smaller_rate_factor_takes_smaller_steps():
    network, _ = _network("spline", "plane")
    network = network.float()
    batch = {"x": torch.randn(64, 2, generator=child_generator(5))}
    moved = []
    for factor in (1.0, 0.5):
        learner = FlowStep(
            initialise(network, child_generator(0), allow_zero=False),
            max_steps=10,
            learning_rate=1e-3,
            clip=5.0,
            ema_decay=0.9,
        )
        learner.rate_factor = factor
        before = [w.detach().clone() for w in network.parameters()]
        learner.train_step(batch, child_generator(0))
        moved.append(
            max(float((w.detach() - b).abs().max()) for w, b in zip(network.parameters(), before, strict=True))
        )
    assert moved[1] == pytest.approx(moved[0] / 2, rel=0.05)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"kind": "splin"}, "Did you mean 'spline'"),
        ({"n_bins": 1}, "n_bins"),
        ({"hidden": (0,)}, "hidden"),
        ({"learning_rate": 0.0}, "learning_rate"),
        ({"ema_decay": 1.0}, "ema_decay"),
    ],
)
def test_wrong_options_are_refused_in_words(options, message):
    with pytest.raises(InputError, match=message):
        Flow(**({"max_steps": 2} | options)).fit(np.random.default_rng(0).normal(size=(50, 2)))


def test_data_without_a_density_are_refused_in_words():
    rng = np.random.default_rng(0)
    with pytest.raises(InputError, match="at most 4096 values"):
        Flow(max_steps=2).fit(rng.normal(size=(20, 65, 64)))
    own = Columns([("x0", Standardise()), ("x1", OneHot())], names=["x0", "x1"])
    X = np.column_stack([rng.normal(size=100), rng.integers(0, 3, 100)])
    with pytest.raises(InputError, match="one-hot"):
        Flow(max_steps=2, preprocessing=own).fit(X)


def test_images_of_few_levels_are_spread_over_cells():
    images = np.random.default_rng(0).integers(0, 17, (60, 4, 4)).astype(np.uint8)
    transform = density_transform(Dataset(images), "auto").fit(torch.from_numpy(images.astype(float)))
    assert transform.n_noise == 16
    model = Flow(max_steps=3, **SMALL).fit(images)
    assert set(np.unique(model.sample(20, random_state=0))) <= set(range(17))


def test_a_missing_library_names_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "zuko", None)
    with pytest.raises(MissingDependencyError, match=r"reverie\[flow\]"):
        Flow(max_steps=2).fit(np.zeros((10, 2)))


def test_a_report_gets_likelihoods_and_warnings():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(600, 2))
    X[:, 1] = np.where(rng.uniform(size=600) < 0.1, rng.choice([1.0, 2.0, 3.0], 600), X[:, 1])
    found = Flow(max_steps=3, **SMALL).fit(X[:300]).assess(X[:300], X[300:])
    assert (found["log-likelihood of held-out events"].error or 0) > 0
    assert any("exactly" in warning for warning in found.warnings)
