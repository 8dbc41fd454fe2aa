"""Flow matching against Gaussian velocities in closed form, and its samples and likelihoods after training."""

import functools
import json
import math
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from scipy import stats

from reverie import Flow, FlowMatching
from reverie.core.errors import InputError
from reverie.data.transforms import Chain, Dequantise, Standardise
from reverie.models import load_model, save_model
from reverie.models.density_features import Coordinates, NarrowNoise, narrow_noise, wrapped
from reverie.models.flow_matching.likelihood import log_prob
from reverie.models.flow_matching.path import gaussian_velocity, mean_over_batch, path
from reverie.models.flow_matching.perceptron import VelocityMLP
from reverie.models.flow_matching.sampling import SOLVERS, solve_ode, solve_sde
from reverie.models.flow_matching.training import FlowMatchingStep, _errors, observed
from reverie.models.flow_matching.unet import VelocityUNet
from reverie.models.flow_matching.velocity import EDITION, Velocity
from reverie.networks.convolutional import CircularConv2d
from reverie.networks.init import initialised

MEAN = torch.tensor([1.0, -2.0, 0.5], dtype=torch.float64)
ROOT = torch.tensor([[1.5, 0.0, 0.0], [0.4, 0.3, 0.0], [-0.2, 0.1, 0.8]], dtype=torch.float64)
COVARIANCE = ROOT @ ROOT.T
TINY: dict[str, Any] = {"record_every": 1, "n_evaluations": 4, "random_state": 0, "n_threads": 1}


class OfGaussian(Velocity):
    """The velocity of events from N(mean, covariance), exactly."""

    def __init__(self, mean=MEAN, covariance=COVARIANCE, late=1.0):
        super().__init__(Coordinates(len(mean)))
        self.mean, self.covariance, self.late = mean, covariance, late

    def forward(self, x, t, condition=None):
        return gaussian_velocity(x, t.reshape(-1)[0], self.mean, self.covariance)


def _noise(n, d=3, seed=0):
    return torch.randn(n, d, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_the_velocity_of_a_gaussian_is_the_regression_on_the_path():
    """At one time, the least-squares fit of dx_t/dt on x_t; 1e5 paths leave 0.03 at two errors."""
    t, n = 0.3, 100_000
    x0, x1 = _noise(n), MEAN + _noise(n, seed=1) @ ROOT.T
    x, d = path(x0, x1, torch.full((n, 1), t, dtype=torch.float64), 3)
    fit = torch.linalg.lstsq(torch.cat([x, torch.ones(n, 1, dtype=x.dtype)], 1), d).solution
    grid = _noise(50, seed=2)
    expected = torch.cat([grid, torch.ones(50, 1, dtype=x.dtype)], 1) @ fit
    exact = gaussian_velocity(grid, torch.tensor(t, dtype=x.dtype), MEAN, COVARIANCE)
    torch.testing.assert_close(exact, expected, atol=0.06, rtol=0)
    reversed_time = gaussian_velocity(grid, torch.tensor(1 - t, dtype=x.dtype), MEAN, COVARIANCE)
    assert (reversed_time - expected).abs().max() > 0.2  # a wrong time would be seen


@functools.cache
def _nearly_exact_ends(late):
    """Return where twenty points of noise end after 400 steps of fourth order, for all solvers."""
    return solve_ode(OfGaussian(late=late), _noise(20), n_evaluations=4 * 400, solver="rk4")


@pytest.mark.parametrize("late", [1.0, 2.0])
@pytest.mark.parametrize("solver", list(SOLVERS))
def test_each_solver_carries_noise_to_the_gaussian_with_its_order(solver, late):
    """Halving the step divides the error by 2^order, within 30 %, or by more; a rule of lower order would not."""
    order = {"euler": 1, "midpoint": 2, "heun": 2, "rk4": 4}[solver]
    field, x0 = OfGaussian(late=late), _noise(20)
    exact = _nearly_exact_ends(late)
    n = 40 if order < 4 else 16
    errors = [
        (solve_ode(field, x0, n_evaluations=k * n * SOLVERS[solver][1], solver=solver) - exact).abs().max()
        for k in (1, 2)
    ]
    assert float(errors[0] / errors[1]) > 0.7 * 2**order


def test_the_flow_of_a_gaussian_ends_at_its_mean_and_covariance():
    """The map is affine; its value at 0 is the mean, and A A^T of its slope A the covariance, to the solver's error."""
    points = torch.cat([torch.zeros(1, 3, dtype=torch.float64), torch.eye(3, dtype=torch.float64)])
    ends = solve_ode(OfGaussian(), points, n_evaluations=800, solver="rk4")
    slope = (ends[1:] - ends[0]).T
    torch.testing.assert_close(ends[0], MEAN, atol=1e-6, rtol=0)
    torch.testing.assert_close(slope @ slope.T, COVARIANCE, atol=1e-6, rtol=0)


def test_samples_of_levels_end_amid_their_cells():
    """Level 0, spread to 0.01 or 0.99: the mean of what a point leaves open lies inside; Heun's end may not."""

    class OfLevel(Velocity):
        def forward(self, x, t, condition=None):
            t = t.reshape(-1)[0].clamp(max=1 - 1e-4)
            mean = 0.5 + 0.49 * torch.tanh(0.49 * t * (x - t / 2) / (1 - t) ** 2)
            return (mean - x) / (1 - t)

    field = OfLevel(Coordinates(1))
    plain = solve_ode(field, _noise(400, 1), n_evaluations=16)
    field.ends_in_mean = True
    assert not solve_ode(field, _noise(400, 1), n_evaluations=16).floor().any()
    assert plain.floor().count_nonzero() > 10


def test_images_of_levels_end_in_the_mean_and_tables_do_not():
    rng, options = np.random.default_rng(0), {"width": 4, "n_evaluations": 2, "max_steps": 1, "random_state": 0}
    ends = [
        FlowMatching(**options).fit(X)._velocity().ends_in_mean
        for X in (rng.integers(0, 5, (40, 7, 7)), rng.integers(0, 5, (40, 3)), rng.normal(size=(40, 7, 7)))
    ]
    assert ends == [True, False, False]


@pytest.mark.parametrize("stochasticity", [pytest.param(0.3, marks=pytest.mark.slow), 3.0])
def test_the_random_walk_has_the_same_law(stochasticity):
    """Mean and covariance of 20,000 walks of 200 steps, within 4 standard errors and the 3 % that steps leave."""
    n = 20_000
    x = solve_sde(
        OfGaussian(), _noise(n), torch.Generator().manual_seed(5), n_evaluations=200, stochasticity=stochasticity
    )
    error = COVARIANCE.diagonal().sqrt() / n**0.5
    assert ((x.mean(0) - MEAN).abs() < 4 * error + 0.03 * COVARIANCE.diagonal().sqrt()).all()
    scale = COVARIANCE.diagonal().sqrt()
    relative = (torch.cov(x.T) - COVARIANCE).abs() / torch.outer(scale, scale)
    assert relative.max() < 0.03 + 4 * (2 / n) ** 0.5


class OfOneEvent(OfGaussian):
    """The velocity to an event that is always the same; keeps the last points that it was asked for."""

    def forward(self, x, t, condition=None):
        self.asked_last = x
        return (self.mean - x) / (1 - t)


def test_the_random_walk_keeps_the_noise_of_one_event_at_any_step():
    """With eta = 5 in eight steps: before the last, 1 - t = 1/8, the noise is of width one within 4 standard errors.

    By Euler and Maruyama's rule it would be 19 times as wide.
    """
    n, field = 20_000, OfOneEvent()
    end = solve_sde(field, _noise(n), torch.Generator().manual_seed(5), n_evaluations=8, stochasticity=5.0)
    torch.testing.assert_close(end, MEAN.expand(n, -1))
    noise = (field.asked_last - 7 / 8 * MEAN) / (1 / 8)
    assert (noise.std(0) - 1).abs().max() < 4 / (2 * n) ** 0.5


def test_large_images_are_learnt_at_early_times_and_small_ones_at_all():
    u = (torch.arange(10_000)[:, None] + 0.5) / 10_000
    large, small = (VelocityUNet(Coordinates(n * n), (n, n), width=8).times(u) for n in (16, 8))
    logit = large.logit()
    assert (float(logit.mean()), float(logit.std())) == pytest.approx((-0.8, 1.0), abs=2e-3)
    assert torch.equal(small, u)


def _narrow(model):
    return narrow_noise(model.preprocessing_.transform, model._velocity().coordinates.lines)


def test_a_common_level_of_images_has_room_beside_its_noise_where_levels_are_fine():
    """0.21 standard deviations from a tenth of the pixels on, and twice as much at an end of the range that is rarer.

    There a level is common from 1 % on, if it is twice as common as the next one, as the saturated 255 here is, until
    its pixels are spread over their neighbours.
    """
    rng = np.random.default_rng(0)
    grey, shares = rng.integers(20, 240, (100, 8, 8)), rng.random((100, 8, 8))
    grey[shares < 0.2] = 0
    grey[shares > 0.98] = 255
    grey[(shares > 0.3) & (shares < 0.42)] = 100
    options = {"width": 4, "n_evaluations": 2, "max_steps": 1, "random_state": 0}
    model = FlowMatching(**options).fit(grey)
    cells = model.preprocessing_.transform.steps_[0]
    room = dict(zip(cells.levels, np.array(cells.widths) - 1, strict=True))
    spread = np.interp(grey, cells.levels, np.arange(len(cells.levels))).std()
    found = {level: x / spread for level, x in room.items() if x > 0}
    assert found == pytest.approx({0: 0.21, 100: 0.21, 255: 0.42}, rel=0.1)
    assert (cells.noise_std, _narrow(model)) == (None, None)
    grey[grey == 255] = rng.integers(240, 256, (grey == 255).sum())
    assert FlowMatching(**options).fit(grey).preprocessing_.transform.steps_[0].widths[-1] == 1.0


def test_noise_of_levels_is_narrow_where_they_are_few():
    few = np.random.default_rng(0).integers(0, 5, (60, 8, 8))
    model = FlowMatching(width=4, n_evaluations=2, max_steps=1, random_state=0).fit(few)
    equal = model.preprocessing_.transform.steps_[0]
    assert (equal.widths, equal.noise_std) == (None, 0.125)
    low, high, mean, std = _narrow(model).cells.unbind(2)
    assert low.shape == (64, 5)
    spread = np.hypot(few.std(), 0.125)
    assert mean[7].numpy() == pytest.approx((np.arange(5) - few.mean()) / spread, abs=0.01)
    assert std.numpy() == pytest.approx(0.125 / spread, rel=0.02)
    assert (high[:, :-1] - low[:, 1:]).abs().max() < 1e-4


@pytest.mark.parametrize(("kind", "options"), [(Flow, {}), (FlowMatching, {"width": 4, "n_evaluations": 8})])
def test_images_with_a_point_mass_have_exact_zeros_and_a_likelihood(kind, options):
    """Cells of a calorimeter, half of them empty: before it has learnt anything a flow has the right share of them.

    Flow matching then has what normal numbers have below the end of the gap, which gives filled cells room.
    """
    rng = np.random.default_rng(0)
    cells = np.where(rng.uniform(size=(400, 4, 4)) < 0.5, 0.0, rng.exponential(size=(400, 4, 4)))
    model = kind(max_steps=2, random_state=0, **options).fit(cells)
    drawn = model.sample(400)
    assert drawn.min() == 0
    below = 0.5 if kind is Flow else float(torch.special.ndtr(_narrow(model).cells[..., 1]).mean())
    assert (drawn == 0).mean() == pytest.approx(below, abs=0.05)
    assert np.isfinite(model.score_samples(cells[:5])).all()


def test_saturated_cells_stand_apart_and_none_is_beyond_them():
    """A tenth of the cells has the largest energy: it has a gap of its own with narrow noise, as empty ones have."""
    rng = np.random.default_rng(0)
    cells = np.where(rng.uniform(size=(300, 4, 4)) < 0.5, 0.0, rng.exponential(size=(300, 4, 4))).astype("f4")
    options = {"width": 4, "n_evaluations": 4, "max_steps": 1, "random_state": 0}
    free, cut = (FlowMatching(**options).fit(x) for x in (cells, cells.clip(max=1.6)))
    assert (free.sample(2000) > 1.6).any()
    drawn = cut.sample(2000)
    assert drawn.max() == np.float32(1.6)
    assert (drawn == np.float32(1.6)).mean() > 0.02
    assert np.isfinite(cut.score_samples(cells[:5].clip(max=1.6))).all()
    assert [_narrow(model).cells.shape[1] for model in (free, cut)] == [1, 2]
    low, high, mean, std = _narrow(cut).cells.unbind(2)
    assert (high[:, 0] < low[:, 1]).all()
    features = cut.preprocessing_.features(cells.clip(max=1.6)).flatten(1)
    for k, value in enumerate((0.0, 1.6)):
        seen = features[torch.from_numpy(cells.clip(max=1.6) == np.float32(value)).flatten(1)]
        assert float(seen.mean()) == pytest.approx(float(mean[0, k]), abs=0.02)
        assert float(seen.std()) == pytest.approx(float(std[0, k]), rel=0.1)


def test_the_largest_count_of_few_images_is_no_saturation():
    """One cell in a hundred has the largest count, and three the next: more can come."""
    rng = np.random.default_rng(0)
    counts = rng.choice(13, p=[0.4, *[0.05] * 11, 0.05], size=(40, 4, 4))
    counts[counts == 12] = np.where(rng.random((counts == 12).sum()) < 0.25, 30, 20)
    model = FlowMatching(width=4, n_evaluations=2, max_steps=1, random_state=0).fit(counts)
    assert (counts == 30).mean() > 0.005
    assert "PointMass(atom=None" not in repr(model.preprocessing_.transform)
    counts[counts == 20] = 30
    counts[counts == 11] = np.where(rng.random((counts == 11).sum()) < 0.9, 5, 11)
    model = FlowMatching(width=4, n_evaluations=2, max_steps=1, random_state=0).fit(counts)
    assert "PointMass(atom=None" in repr(model.preprocessing_.transform)


def test_filled_cells_of_an_image_have_room_beside_the_empty_ones_however_few_they_are():
    """One cell of twenty is filled: these have a standard deviation above 1, the empty ones one below 1/2."""
    rng = np.random.default_rng(0)
    cells = np.where(rng.uniform(size=(400, 8, 8)) < 0.95, 0.0, 0.01 + rng.exponential(size=(400, 8, 8)) ** 2)
    model = FlowMatching(max_steps=1, width=4, n_evaluations=2, random_state=0).fit(cells)
    y = model.preprocessing_.features(cells)
    is_empty = torch.from_numpy(cells == 0)
    assert y[is_empty].std() < 0.5
    assert y[~is_empty].std() > 1
    assert y[is_empty].max() < y[~is_empty].min()
    middle, std = _narrow(model)(y.flatten(1))
    assert len(middle[is_empty.flatten(1)].unique()) == 1
    assert torch.equal(std == 0, ~is_empty.flatten(1))
    assert np.array_equal(model.preprocessing_.values(y) == 0, cells == 0)


def test_counts_of_cells_stay_whole_and_have_a_likelihood():
    """Nine of ten cells are empty and some hold hundreds of photons: all counts come back from their features."""
    rng = np.random.default_rng(0)
    mean = np.where(rng.uniform(size=(400, 4, 4)) < 0.9, 0.0, 20 * rng.exponential(size=(400, 4, 4)) ** 2)
    counts = rng.poisson(mean)
    model = FlowMatching(max_steps=2, width=4, n_evaluations=4, random_state=0).fit(counts)
    assert repr(model.preprocessing_.transform).startswith("Chain([Asinh(reach=0.1, step=1.0), PointMass(")
    y = model.preprocessing_.features(counts)
    assert np.array_equal(model.preprocessing_.values(y), counts)
    drawn = model.sample(200)
    assert np.array_equal(drawn, drawn.round())
    assert drawn.min() == 0
    assert np.isfinite(model.score_samples(counts[:5])).all()
    bright = 1000 + rng.poisson(100, (400, 4, 4))  # no cell is empty
    assert "Asinh" not in repr(FlowMatching(max_steps=1, width=4, random_state=0).fit(bright).preprocessing_.transform)


def test_bits_and_atoms_of_tables_are_narrow_peaks_of_their_feature_but_for_trees():
    rng = np.random.default_rng(0)
    zeros = np.where(rng.uniform(size=2000) < 0.5, 0.0, rng.exponential(size=2000))
    table = np.column_stack([rng.choice([-1, 1], 2000), zeros, rng.normal(size=2000)])
    options = {"max_steps": 1, "random_state": 0}
    networks, trees = (FlowMatching(network=name, **options).fit(table) for name in ("auto", "trees"))
    for model, widest in ((networks, 0.3), (trees, 0.8)):
        y = model.preprocessing_.features(table).numpy()
        spreads = [y[table[:, 0] == level, 0].std() for level in (-1, 1)] + [y[zeros == 0, 1].std()]
        assert widest / 2 < min(spreads) <= max(spreads) < widest


def test_cells_of_a_table_are_found_and_what_is_no_level_stays():
    """A bit, an angle, zeros among real numbers: features lie at -0.97 ± 0.24, on a circle, and in one cell or none."""
    rng = np.random.default_rng(0)
    bits, zeros = (
        rng.choice([-1, 1], 2000),
        np.where(rng.uniform(size=2000) < 0.5, 0.0, 0.01 + rng.exponential(size=2000)),
    )
    frame = pd.DataFrame({"bit": bits, "phi": rng.uniform(-np.pi, np.pi, 2000), "energy": zeros})
    model = FlowMatching(max_steps=1, width=4, random_state=0).fit(frame)
    y = model.preprocessing_.features(model._values(frame, reset=False))
    narrow = _narrow(model)
    middle, std = narrow(y[:, [0, 3]])
    np.testing.assert_allclose(middle[:, 0], 0.97 * bits, atol=0.05)
    np.testing.assert_allclose(std[:, 0], 0.24, atol=0.01)
    is_zero = torch.from_numpy(zeros == 0)
    assert len(middle[is_zero, 1].unique()) == 1
    assert (std[is_zero, 1] > 0.05).all()
    assert torch.equal(middle[~is_zero, 1], y[~is_zero, 3])
    assert not std[~is_zero, 1].any()
    assert torch.isnan(narrow(torch.full((1, 2), torch.nan))[0]).all()


def test_each_pixel_of_an_image_has_the_cells_of_its_own_scale():
    rng = np.random.default_rng(0)
    x = torch.from_numpy(np.where(rng.uniform(size=(2000, 1, 2)) < [0.1, 0.5], 1.0, 0.0))
    transform = Chain([Dequantise(levels=(0, 1), noise_std=0.125), Standardise()]).fit(x)
    middle, std = narrow_noise(transform, range(2))(transform.forward(x).flatten(1).float())
    spread = np.hypot(x.std(dim=0, correction=0)[0].numpy(), 0.125)
    np.testing.assert_allclose(std, np.tile(0.125 / spread, (2000, 1)), rtol=0.03)
    np.testing.assert_allclose(middle, ((x - x.mean(0)).flatten(1).numpy() / spread), atol=0.05)


def test_narrow_noise_about_a_level_is_taken_into_account_at_once():
    """Velocities of points on the path are those of the normal law about the level, in closed form."""
    x0, s, middle = _noise(50), torch.tensor([0.3, 0.1, 0.0]).double(), torch.tensor([0.7, -1.0, 0.2]).double()
    for t in (0.0, 0.3, 0.9, 1.0):
        at = torch.full((50, 1), t, dtype=torch.float64)
        x, d = path(x0, middle.expand(50, -1), at, 3, s.expand(50, -1))
        exact = gaussian_velocity(x[:, :2], at[0, 0], middle[:2], s[:2].square().diag())
        torch.testing.assert_close(d[:, :2], exact)
        one_event = path(x0, middle.expand(50, -1), at, 3)
        for new, old in zip((x, d), one_event, strict=True):
            torch.testing.assert_close(new[:, 2], old[:, 2])


def test_the_noise_of_a_level_does_not_matter_to_the_loss_and_the_level_does():
    network = VelocityUNet(Coordinates(16), (4, 4), width=8)
    narrow = NarrowNoise(torch.tensor([[-9.0, 0.0, -1.0, 0.25], [0.0, 9.0, 1.0, 0.25]]).expand(16, 2, 4))
    level = torch.randint(0, 2, (40, 16), generator=torch.Generator().manual_seed(0)) * 2.0 - 1

    def losses(x):
        return observed(network, 0, {"x": x}, torch.Generator().manual_seed(1), 2, "heun", narrow).losses

    near = level + 0.2 * torch.randn(level.shape, generator=torch.Generator().manual_seed(2))
    assert torch.equal(losses(near), losses(level))
    assert not torch.equal(losses(-level), losses(level))


@pytest.mark.parametrize("n_times", [1, 4, 12])
def test_rows_take_shared_times_in_turn(n_times):
    """To rounding, since products of fewer rows may be summed in another order."""
    coordinates = Coordinates(6, circles=[(4, 5)])
    network = initialised(lambda: VelocityMLP(coordinates, width=16), torch.Generator().manual_seed(0))
    torch.nn.init.normal_(network.last.weight, generator=torch.Generator().manual_seed(3))
    x, t = (torch.rand(n, k, generator=torch.Generator().manual_seed(k)) for n, k in ((12, 5), (n_times, 1)))
    shared, each = network(x, t), network(x, torch.cat([t] * (12 // n_times)))
    torch.testing.assert_close(shared, each, rtol=1e-5, atol=1e-6)
    gradients = [torch.autograd.grad(v.square().sum(), list(network.parameters())) for v in (shared, each)]
    for a, b in zip(*gradients, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-5)
    if n_times > 1:
        assert not torch.allclose(shared, network(x, t.roll(1, 0)))


@pytest.mark.parametrize(
    ("rows", "condition", "missing", "expected"),
    [
        (512, False, False, 64),
        (500, False, False, 500),
        (512, True, False, 512),
        (512, False, True, 512),
    ],
)
def test_tables_share_64_times_where_nothing_else_enters_their_embedding(rows, condition, missing, expected):
    seen = []

    class Recorded(VelocityMLP):
        def forward(self, x, t, condition=None):
            seen.append(len(t))
            return super().forward(x, t, condition)

    x = _noise(rows).float()
    network = Recorded(Coordinates(3), int(condition), width=8, sees_missing=missing)
    step = FlowMatchingStep(network, max_steps=1, learning_rate=1e-3, ema_decay=0.9, n_evaluations=2, solver="heun")
    step.loss({"x": x, **({"condition": x[:, :1]} if condition else {})}, torch.Generator().manual_seed(0))
    assert seen == [expected]


@torch.no_grad()
def test_shared_times_leave_the_loss_what_it_is_and_hardly_widen_its_scatter():
    """Over 400 batches within 4 standard errors; of 2 times to a batch in place of 64 the scatter is wide."""
    network = initialised(lambda: VelocityMLP(Coordinates(3), width=8), torch.Generator().manual_seed(0))
    events, found = (3 * (MEAN + _noise(512) @ ROOT.T)).float(), {}
    for n_times in (None, 64, 2):
        losses = []
        for k in range(400):
            generator = torch.Generator().manual_seed(k)
            x = events[torch.randperm(512, generator=generator)]
            losses.append(_errors(network, {"x": x}, generator, None, n_times).mean())
        found[n_times] = torch.stack(losses)
    own, shared, few = found.values()
    assert abs(shared.mean() - own.mean()) < 4 * math.hypot(*(float(y.std()) / 20 for y in (own, shared)))
    assert shared.std() < 1.15 * own.std()
    assert few.std() > 1.5 * own.std()


def test_the_mean_velocity_over_two_events_is_that_of_their_shares():
    """The posterior of two events on a line and a circle by hand, of one that alone is within reach, and of many.

    Paths at t = 0.4 end at most 0.6 pi from their point. In batches of more than 512 each 512 are one.
    """
    x1, t = torch.tensor([[1.0, 0.5], [-1.0, 1.0]], dtype=torch.float64), torch.full((2, 1), 0.4, dtype=torch.float64)
    x = torch.tensor([[0.2, 0.6], [0.2, -1.2]], dtype=torch.float64)  # the last angle is 1.7 and 2.2 from the events'
    own = torch.full_like(x, 9.0)
    share = 1 / (1 + math.exp(((0.2 - 0.4) ** 2 - (0.2 + 0.4) ** 2) / (2 * 0.6**2)))  # of the first for 0.2
    got = mean_over_batch(x, own, x1, t, 1)
    turn = share * (0.5 - 0.6) + (1 - share) * (1.0 - 0.6)
    expected = torch.tensor([[2 * share - 1 - 0.2, turn], [1 - 0.2, 1.7]], dtype=torch.float64) / 0.6
    torch.testing.assert_close(got, expected)
    torch.testing.assert_close(mean_over_batch(x, own, x1, torch.full_like(t, 0.995), 1), own)
    many = mean_over_batch(*(rows.repeat(300, 1) for rows in (x, own, x1, t)), 1)  # 512 and 88 events
    torch.testing.assert_close(many, got.repeat(300, 1))


@pytest.mark.parametrize("circles", [[], [(1, 2), (3, 4)]])
def test_the_mean_velocity_over_a_batch_has_no_bias_and_less_scatter(circles):
    """Its products with functions of the point are on average those of the path's own velocity, of eight events too.

    5 errors, a false alarm in 10^4. The twin takes events that did not make the point, and is seen.
    """
    generator, coordinates = torch.Generator().manual_seed(0), Coordinates(5, circles)
    n_lines, n, size = coordinates.n_lines, 2000, 8
    excess, of_others, scatter = [], [], []
    for _ in range(n):
        x0, x1 = (coordinates.noise(size, generator) for _ in range(2))
        x1[:, :1] += 2.0 * torch.randint(2, (size, 1), generator=generator) - 1  # two peaks
        t = 0.2 + 0.6 * torch.rand(size, 1, generator=generator)
        x, d = path(x0, x1, t, n_lines)
        seen = torch.cat([x[:, :n_lines], x[:, n_lines:].cos(), x.sin()], dim=1)[:, :, None]
        mean, h = mean_over_batch(x, d, x1, t, n_lines), size // 2
        others = mean_over_batch(x[:h], d[:h], x1[h:], t[:h], n_lines).nan_to_num()  # 0 where none is within reach
        excess.append((seen * (mean - d)[:, None]).mean(0))
        of_others.append((seen[:h] * (others - d[:h])[:, None]).mean(0))
        scatter.append(torch.stack([mean.square().mean(), d.square().mean()]))
    z, twin = (x.mean(0) / (x.std(0) / n**0.5) for x in (torch.stack(excess), torch.stack(of_others)))
    assert z.abs().max() < 5
    assert twin.abs().max() > 10
    small, large = torch.stack(scatter).mean(0)
    assert small < 0.9 * large


@pytest.mark.parametrize(
    ("condition", "weight", "expected"), [(False, False, True), (True, False, False), (False, True, False)]
)
def test_tables_are_learnt_by_the_mean_over_the_batch_where_all_events_are_alike(
    condition, weight, expected, monkeypatch
):
    """Of events with conditions and of weighted ones the paths through a point have other shares."""
    taken = []
    monkeypatch.setattr(
        "reverie.models.flow_matching.training.mean_over_batch", lambda x, d, *_: taken.append(len(x)) or d
    )
    x = torch.randn(64, 3, generator=torch.Generator().manual_seed(0))
    network = VelocityMLP(Coordinates(3), int(condition), width=8)
    step = FlowMatchingStep(network, max_steps=1, learning_rate=1e-3, ema_decay=0.9, n_evaluations=2, solver="heun")
    rows = {"x": x, **({"condition": x[:, :1]} if condition else {}), **({"weight": x[:, 0].abs()} if weight else {})}
    step.loss(rows, torch.Generator().manual_seed(0))
    assert taken == [64] * expected


def test_small_lattices_have_convolutions_but_in_models_of_former_editions():
    model = FlowMatching(width=4, n_evaluations=2, max_steps=1, random_state=0)
    model.fit(np.random.default_rng(0).choice([-1, 1], (40, 4, 5)))
    assert isinstance(model._velocity(), VelocityUNet)
    model._edition = 3
    assert model._network_name() == "mlp"


def test_thin_laws_need_steps_that_come_closer_towards_the_events():
    """A width of 0.03 in 32 evaluations: within 8 %, where equal steps miss it by a third."""
    mean, covariance = torch.zeros(1, dtype=torch.float64), torch.full((1, 1), 0.03**2, dtype=torch.float64)
    x0 = torch.ones(1, 1, dtype=torch.float64)
    late, equal = (
        float(solve_ode(OfGaussian(mean, covariance, late=power), x0, n_evaluations=32)) / 0.03 for power in (2.0, 1.0)
    )
    assert late == pytest.approx(1, abs=0.08)
    assert abs(equal - 1) > 0.3


@pytest.mark.parametrize("late", [1.0, 2.0])
@torch.no_grad()
def test_log_prob_of_a_gaussian_is_exact_and_its_error_stated(late):
    x = MEAN + 2 * _noise(30, seed=3) @ ROOT.T
    result = log_prob(OfGaussian(late=late), x, torch.Generator(), n_steps=64)
    exact = stats.multivariate_normal(MEAN.numpy(), COVARIANCE.numpy()).logpdf(x.numpy())
    np.testing.assert_allclose(result.values.numpy(), exact, atol=1e-4)
    assert abs(result.values.numpy() - exact).mean() <= max(result.of_steps, 1e-9) * 10
    assert not result.errors.any()


@pytest.mark.slow  # quick: log p of a Gaussian is exact and its error stated
@torch.no_grad()
def test_the_estimated_trace_agrees_within_its_errors():
    """40 coordinates: z scores of 200 events have the spread 1 within 4 errors; a probe that is no sign has not."""
    d = 40
    generator = torch.Generator().manual_seed(1)
    root = torch.eye(d, dtype=torch.float64) + 0.2 * torch.randn(d, d, generator=generator, dtype=torch.float64)
    field = OfGaussian(torch.zeros(d, dtype=torch.float64), root @ root.T)
    x = _noise(200, d, seed=4) @ root.T
    result = log_prob(field, x, torch.Generator().manual_seed(2), n_steps=32, n_probes=30)
    exact = stats.multivariate_normal(np.zeros(d), (root @ root.T).numpy()).logpdf(x.numpy())
    z = (result.values.numpy() - exact) / result.errors.numpy()
    assert (result.errors > 0).all()
    assert abs(z.mean()) < 4 / 200**0.5 + 0.1
    assert z.std() == pytest.approx(1, abs=0.25)


@pytest.mark.parametrize("shape", [(5, 6), (16, 16), (2, 9, 7)])
@pytest.mark.usefixtures("small_units")
def test_an_untrained_flow_of_lattices_of_angles_is_uniform_on_their_circles(shape):
    """Its velocity is 0, so log p is - n log 2 pi for n angles, of folded cells and several channels too."""
    angles = np.random.default_rng(0).uniform(-np.pi, np.pi, (80, *shape))
    model = FlowMatching(width=8, n_evaluations=4, max_steps=1, learning_rate=1e-30, random_state=0).fit(angles)
    assert model.schema_.columns[0].kind == "periodic"
    expected = -math.prod(shape) * math.log(2 * math.pi)
    np.testing.assert_allclose(model.score_samples(angles[:3]), expected, rtol=1e-6)
    drawn = model.sample(50, random_state=0)
    assert drawn.shape == (50, *shape)
    assert abs(np.exp(1j * drawn).mean()) < 4 / drawn.size**0.5


@pytest.mark.parametrize(("late", "loss"), [(1.0, math.pi / 2), (2.0, 1.4453353)])
def test_untrained_networks_draw_normal_coordinates_and_their_loss_is_known(late, loss):
    """The velocity of N(0, 1) is built in; its loss on such events is int du / (t^2 + (1 - t)^2), t = 1 - (1 - u)^late.

    pi / 2 for equal times, which those of the other case would miss by ten standard errors, and the other way round.
    """
    network = VelocityMLP(Coordinates(2), width=8)
    network.late = late
    torch.nn.init.zeros_(network.last.weight)
    torch.nn.init.zeros_(network.last.bias)
    generator = torch.Generator().manual_seed(0)
    x0 = torch.randn(5000, 2, generator=generator)
    with torch.no_grad():
        x1 = solve_ode(network, x0[:500], n_evaluations=200, solver="rk4")
    torch.testing.assert_close(x1, x0[:500], atol=1e-3, rtol=0)  # the flow of N(0, 1) to itself turns nothing
    step = FlowMatchingStep(network, max_steps=1, learning_rate=0.0, ema_decay=0.0, n_evaluations=4, solver="heun")
    losses = [step.loss({"x": torch.randn(5000, 2, generator=generator)}, generator)[0].item() for _ in range(20)]
    assert np.mean(losses) == pytest.approx(loss, abs=4 * np.std(losses) / 20**0.5)
    assert np.std(losses) / 20**0.5 < 0.01


def test_weights_of_events_enter_the_loss():
    network = VelocityMLP(Coordinates(1), width=8)
    step = FlowMatchingStep(network, max_steps=1, learning_rate=0.0, ema_decay=0.0, n_evaluations=4, solver="heun")
    x = torch.tensor([[0.0], [5.0]])

    def loss(rows):
        return step.loss(rows, torch.Generator().manual_seed(3))[0].item()

    first = loss({"x": x, "weight": torch.tensor([1.0, 0.0])})
    second = loss({"x": x, "weight": torch.tensor([0.0, 1.0])})
    assert loss({"x": x, "weight": torch.tensor([1.0, 3.0])}) == pytest.approx(first + 3 * second, rel=1e-5)


def test_angles_take_the_shorter_way():
    x0, x1 = torch.tensor([[3.0]]), torch.tensor([[-3.0]])
    x, d = path(x0, x1, torch.ones(1, 1), 0)
    assert float(d) == pytest.approx(2 * math.pi - 6)
    assert float(wrapped(x)) == pytest.approx(-3.0, abs=1e-6)


def test_features_and_coordinates_undo_each_other():
    coordinates = Coordinates(5, [(1, 2)])
    angle = torch.tensor([0.3, -3.0])
    x = torch.stack([torch.tensor([1.0, 2.0]), torch.tensor([3.0, 4.0]), torch.tensor([5.0, 6.0]), angle], 1)
    features = coordinates.features(x)
    assert features.shape == (2, 5)
    torch.testing.assert_close(features[:, 1].square() + features[:, 2].square(), torch.full((2,), 2.0))
    torch.testing.assert_close(coordinates.of(features), x)


@pytest.mark.parametrize("shape", [(7, 9), (3, 17, 23), (28, 28), (6, 6), (64, 65)])
def test_a_unet_fits_images_of_any_size_with_conditions(shape):
    n = math.prod(shape)
    network = VelocityUNet(Coordinates(n), shape, (4,), width=8)
    assert network(torch.zeros(2, n), torch.rand(2, 1), torch.zeros(2, 4)).shape == (2, n)
    image = VelocityUNet(Coordinates(n), shape, (2, *shape[-2:]), width=8)
    assert image(torch.zeros(2, n), torch.rand(1, 1), torch.zeros(2, 2, *shape[-2:])).shape == (2, n)


def _steered(network):
    """Return the network in double precision with a last layer that is not zero."""
    for layer in (network.last, getattr(network.attention, "outer", network.last)):
        torch.nn.init.normal_(layer.weight, generator=torch.Generator().manual_seed(0))
    return network.double()


@pytest.mark.parametrize(("side", "edition"), [(8, 1), (8, 2), (16, 2), (16, 5)])
def test_a_periodic_unet_commutes_with_translations_by_its_coarsest_cell(side, edition):
    """Of two pixels on a lattice of 8 x 8, of four on one of 16 x 16, whether cells of 2 x 2 are folded or not."""
    sizes, step = {"width": 8, "edition": edition}, side // 4
    network = _steered(VelocityUNet(Coordinates(side**2), (side, side), **sizes, periodic=True))
    x, t = _noise(3, side**2).reshape(3, side, side), torch.full((3, 1), 0.4, dtype=torch.float64)

    @torch.no_grad()
    def difference(field, by):
        moved = torch.roll(x, (by, by), (1, 2))
        out = torch.roll(field(x.flatten(1), t).reshape(x.shape), (by, by), (1, 2))
        return float((field(moved.flatten(1), t).reshape(x.shape) - out).abs().max())

    assert difference(network, step) < 1e-9
    assert difference(network, step // 2) > 1e-3  # a smaller translation is not one of its symmetries
    for layer in network.modules():
        if isinstance(layer, CircularConv2d):
            p, layer.circular_padding = layer.circular_padding, 0
            layer.padding = (p, p)
    assert difference(network, step) > 1e-3  # zeros at the edges are seen


@pytest.mark.parametrize(("edition", "expected"), [(4, [1, 2, 1, 4]), (5, [1, 1, 1, 2])])
def test_folded_cells_are_whole_on_a_periodic_lattice(edition, expected):
    sizes = {"width": 8, "edition": edition}
    folds = [VelocityUNet(Coordinates(n * n), (n, n), **sizes, periodic=True).fold for n in (12, 16, 17, 64)]
    assert folds == expected
    assert VelocityUNet(Coordinates(17 * 17), (17, 17), **sizes).fold == 2  # padded, and cut again


@pytest.mark.usefixtures("small_units")
def test_fields_whose_edges_touch_are_periodic_lattices_unless_the_user_says_otherwise(tmp_path):
    """Of a lattice of 16 x 16 the finest grid is the lattice, with half the channels; of images it is folded."""
    rng = np.random.default_rng(0)
    fields = rng.normal(size=(500, 16, 16))
    fields = sum(np.roll(fields, by, (1, 2)) for by in ((0, 0), (0, 1), (1, 0), (1, 1)))
    few = {"max_steps": 1, "batch_size": 16, "n_checks": 0, "n_evaluations": 2, "random_state": 0}
    model = FlowMatching(**few).fit(fields)
    assert model.resolved_["periodic"]
    assert model.resolved_["width"] == 16
    model.save(tmp_path / "m")
    loaded = load_model(tmp_path / "m")
    assert loaded._is_periodic
    np.testing.assert_array_equal(loaded.sample(3, random_state=1), model.sample(3, random_state=1))
    resolved = FlowMatching(**few).fit(fields[:, :, 1:]).resolved_  # cut, so that edges no longer touch
    assert not resolved["periodic"]
    assert resolved["width"] == 32
    assert not FlowMatching(periodic=False, **few).fit(fields)._is_periodic
    model._attachments = lambda: ({"edition": model._edition, "edges_touch": True}, {})  # as it was saved before
    model.save(tmp_path / "former")
    assert load_model(tmp_path / "former")._is_periodic
    pictures = np.where(fields + 2 * np.eye(16) > 1, 1.0, -1.0)  # two-valued, and of special places
    assert not FlowMatching(**few).fit(pictures).resolved_["periodic"]


def test_times_are_early_where_a_large_image_is_of_levels_or_folded():
    """Spins and angles are decided early; real numbers on the sites of a lattice take their values late."""
    u = torch.linspace(0.01, 0.99, 99)[:, None]
    spins, fields, folded, small = (
        VelocityUNet(Coordinates(n * n), (n, n), width=8, periodic=periodic)
        for n, periodic in ((16, True), (16, True), (16, False), (8, True))
    )
    spins.ends_in_mean = small.ends_in_mean = True
    angles = VelocityUNet(Coordinates(128, [(k, 64 + k) for k in range(64)]), (2, 8, 8), width=8, periodic=True)
    early = [float(net.times(u).mean()) < 0.4 for net in (spins, fields, folded, small, angles)]
    assert early == [True, False, True, False, True]


def test_lattices_of_the_former_edition_keep_their_folded_network():
    spins = np.where(np.random.default_rng(0).random((40, 16, 16)) < 0.5, -1.0, 1.0)
    model = FlowMatching(max_steps=1, n_evaluations=2, random_state=0).fit(spins)
    assert (model._width(), model._networks()["velocity"].fold) == (16, 1)
    model._edition = 4
    model._kept = model._fresh_networks()
    assert (model._width(), model._networks()["velocity"].fold) == (32, 2)
    further = FlowMatching(max_steps=1, n_evaluations=2, random_state=0).fit(spins, start=model)
    assert (further._width(), further._networks()["velocity"].fold) == (32, 2)


def test_training_that_starts_at_a_periodic_lattice_stays_periodic_where_few_events_cannot_tell():
    x = np.random.default_rng(0).normal(size=(500, 16, 16))
    fields = x + np.roll(x, 1, 1) + np.roll(x, 1, 2)
    few: dict[str, Any] = {"max_steps": 1, "batch_size": 8, "n_checks": 0, "n_evaluations": 2, "random_state": 0}
    first = FlowMatching(**few).fit(fields)
    assert not FlowMatching(**few).fit(fields[:40])._is_periodic
    assert FlowMatching(**few).fit(fields[:40], start=first)._is_periodic


@pytest.mark.usefixtures("small_units")
def test_models_saved_with_the_first_unet_keep_it(tmp_path):
    """A folder without the edition has the weights of the first network, and draws what it drew."""
    X = np.random.default_rng(0).integers(0, 5, size=(40, 7, 7))
    model = FlowMatching(width=4, n_evaluations=2, max_steps=1, random_state=0).fit(X)
    model._edition = 1
    model._kept = model._fresh_networks()
    _steered(model._kept["velocity"]).float()
    drawn = model.sample(5, random_state=1)
    model.save(tmp_path / "old")
    attachments, metadata = tmp_path / "old" / "attachments.json", tmp_path / "old" / "metadata.json"
    assert json.loads(attachments.read_text()).pop("edition") == 1
    attachments.write_text("{}")
    metadata.write_text(json.dumps(json.loads(metadata.read_text()) | {"sha256": {}}))
    loaded = load_model(tmp_path / "old")
    np.testing.assert_array_equal(loaded.sample(5, random_state=1), drawn)
    assert loaded.fit(X)._networks()["velocity"].edition == EDITION


@pytest.mark.usefixtures("small_units")
def test_a_network_of_your_own_is_given_a_time_for_each_point():
    """In training, sampling and likelihoods alike; with F = 0 the velocity is that of normal coordinates."""

    class Linear(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.last = torch.nn.Linear(3, 2)
            torch.nn.init.zeros_(self.last.weight)
            torch.nn.init.zeros_(self.last.bias)

        def forward(self, x, t):
            return self.last(torch.cat([x, t], dim=1))

    X = np.random.default_rng(0).normal([3.0, -1.0], [2.0, 0.5], size=(300, 2))
    model = FlowMatching(network=Linear(), learning_rate=1e-9, max_steps=2, random_state=0).fit(X)
    assert model.sample(7, random_state=1).shape == (7, 2)
    normal = stats.norm.logpdf(X, [3.0, -1.0], [2.0, 0.5]).sum(1)
    assert np.mean(model.score_samples(X[:50]) - normal[:50]) == pytest.approx(0, abs=0.15)  # columns made normal


@pytest.mark.usefixtures("small_units")
def test_a_model_that_was_saved_without_an_edition_takes_equal_steps(tmp_path):
    X = np.random.default_rng(0).normal(size=(50, 2))
    model = FlowMatching(width=4, max_steps=1, random_state=0).fit(X)
    folder = save_model(model, tmp_path / "new")
    assert load_model(folder)._velocity().late == model._velocity().late == 2
    model._edition = 1
    model._build_networks()
    folder = save_model(model, tmp_path / "old")
    texts = json.loads((folder / "attachments.json").read_text())
    assert texts.pop("edition") == 1
    (folder / "attachments.json").write_text(json.dumps(texts))
    metadata = json.loads((folder / "metadata.json").read_text())
    (folder / "metadata.json").write_text(json.dumps(metadata | {"sha256": {}}))
    loaded = load_model(folder)
    assert (loaded._velocity().late, loaded._velocity().n_waves) == (1, 0)
    np.testing.assert_array_equal(loaded.sample(5, random_state=1), model.sample(5, random_state=1))


def test_waves_are_seen_of_few_coordinates_and_fade_in():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        few, some, many = (VelocityMLP(Coordinates(n), width=8) for n in (3, 4, 33))
        before = VelocityMLP(Coordinates(4), width=8, edition=2)
    shapes = [network.first.in_features for network in (few, some, many, before)]
    assert shapes == [3 + 2 * 5 * 3, 4 + 2 * 3 * 4, 33, 4]
    assert [network.late for network in (few, some, many, before)] == [2, 2, 1, 1]
    torch.nn.init.normal_(few.last.weight, generator=torch.Generator().manual_seed(0))
    x = torch.zeros(2, 3, dtype=torch.float64)
    x[1] = 2 * math.pi  # only the coordinates themselves tell these points apart, as all waves have whole periods
    network = few.double()
    with torch.no_grad():
        network.first.weight[:, :3] = 0
        late = network.remainder(x, torch.ones(1, 1, dtype=x.dtype), None)
        torch.testing.assert_close(late[0], late[1])
        x[1] = math.pi / 16  # half a period of the finest wave, which the noise of early times hides
        differences = [
            float(network.remainder(x, torch.full((1, 1), t, dtype=x.dtype), None).diff(dim=0).norm()) for t in (0, 1)
        ]
    assert differences[1] > 3 * differences[0]


@pytest.mark.parametrize(
    ("n", "shape", "options", "optimizer", "rate"),
    [
        (2400, (6, 6), {}, "Muon", 0.005),
        (2400, (6, 6), {"learning_rate": 0.01}, "Muon", 0.01),
        (300, (6, 6), {}, "AdamW", 0.001),
        (2400, (6, 6), {"periodic": True}, "AdamW", 0.002),
        (2400, (6,), {}, "AdamW", 0.003),
    ],
)
def test_convolutions_of_many_images_take_steps_of_muon_and_resume_at_the_same_bits(n, shape, options, optimizer, rate):
    def fresh():
        return FlowMatching(**TINY | {"max_steps": 6, "width": 16, "n_checks": 1} | options)

    X = np.random.default_rng(0).normal(size=(n, *shape)).astype("f4")
    whole = fresh().fit(X)
    assert type(whole._training.train_step.descent.optimizer).__name__ == optimizer
    assert whole.resolved_.get("learning_rate", options.get("learning_rate")) == rate
    broken, calls = fresh(), iter([False, False, True])
    for _ in broken.iter_fit(X, stop=lambda: next(calls)):
        pass
    resumed = fresh()
    for _ in resumed.iter_fit(X, resume=broken.training_state()):
        pass
    np.testing.assert_array_equal(resumed.sample(4, random_state=0), whole.sample(4, random_state=0))
    assert (broken.sample(4, random_state=0) != whole.sample(4, random_state=0)).any()


@pytest.mark.parametrize("network", [(64, 64), "residual", 3])
def test_a_network_that_is_none_is_refused_with_what_is_known(network):
    with pytest.raises(
        InputError, match="'auto', 'mlp', 'unet', 'trees', 'epic' or 'attention', of type Module or a function"
    ):
        FlowMatching(network=network, max_steps=1).fit(np.zeros((20, 2)))


@pytest.mark.parametrize(
    "options", [{"n_evaluations": 0}, {"n_evaluations": "a"}, {"stochasticity": -1.0}, {"stochasticitty": 1.0}]
)
@pytest.mark.usefixtures("small_units")
def test_options_of_sampling_are_checked(options):
    model = FlowMatching(width=4, max_steps=1, random_state=0).fit(np.random.default_rng(0).normal(size=(50, 2)))
    with pytest.raises(InputError, match=next(iter(options))):
        model.sample(2, **options)
