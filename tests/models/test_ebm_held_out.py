"""log Z both ways, the held-out loss and the gap of an energy-based model, against closed forms and overfitted twins.

Statistical tests have false-alarm rate ALPHA each, and a twin that shows what a wrong implementation would give.
"""

import math

import numpy as np
import pytest
import torch
from scipy import stats
from torch import nn

from reverie.core.measured import Measured
from reverie.models.ebm.estimator import EBM
from reverie.models.ebm.likelihood import EnergyPath, annealed_log_z, energy_gap, signs_of_overfitting
from reverie.models.ebm.training import EnergyStep, Settings
from reverie.networks.energies import EnergyNetwork

ALPHA = 1e-4
WIDTH = float(stats.norm.isf(ALPHA / 2))
D = 5
SETTINGS = Settings(
    **{"method": "contrastive", "max_steps": 1, "learning_rate": 1e-3, "n_langevin": 1, "step_size": "auto"},
    **{"adjusted": True, "temperature": 1.0, "restart_fraction": 0.0, "jumps": True, "spread": 1.0},
    **{"energy_penalty": 0.0, "sigma": 0.1, "ema_decay": 0.0, "gradient_clip": 10.0},
)


def _generator(seed=0):
    return torch.Generator().manual_seed(seed)


class _Normal(nn.Module):
    """E of N(0, variance) in D dimensions, with another constant for each variance, as networks have."""

    def __init__(self, variance):
        super().__init__()
        self.variance = variance
        self.weight = nn.Parameter(torch.zeros(()))

    def forward(self, x):
        return x.square().sum(1, keepdim=True) / (2 * self.variance) + 5 * self.variance + self.weight

    @property
    def log_z(self):
        return 0.5 * D * math.log(2 * math.pi * self.variance) - 5 * self.variance

    def draw(self, n, seed):
        return self.variance**0.5 * torch.randn(n, D, generator=_generator(seed))


# --- log Z both ways --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("variance", [0.04, 0.5, 2.0])
def test_log_z_of_a_normal_distribution_is_found_both_ways(variance):
    normal = _Normal(variance)
    path = EnergyPath(lambda x: normal(x)[:, 0], (D,), step_size=0.7 * variance)
    found = annealed_log_z(path, normal.draw(300, 1), n_temperatures=100, n_chains=200, generator=_generator(2))
    assert abs(found.value - normal.log_z) < WIDTH * found.error
    assert found.error < 0.15
    assert found.warning == ""
    assert abs(found.value - normal.log_z - math.log(2)) > WIDTH * found.error  # the twin: a factor 2 in Z is seen


def _wells(x):
    """E of two wells of width 0.4 at -2 and 2 on the first axis, the right one lower by 12 nats."""
    sides = [-(x - side * torch.tensor([2.0, 0, 0])).square().sum(1) / (2 * 0.4**2) for side in (-1, 1)]
    return -torch.logsumexp(torch.stack([sides[0], sides[1] + 12]), 0)


def test_a_well_that_the_stored_chains_do_not_know_counts():
    path = EnergyPath(_wells, (3,), step_size=0.05)
    stuck = torch.tensor([-2.0, 0, 0]) + 0.4 * torch.randn(200, 3, generator=_generator(3))
    found = annealed_log_z(path, stuck, n_temperatures=100, n_chains=200, generator=_generator(4))
    exact = 1.5 * math.log(2 * math.pi * 0.4**2) + 12 + math.log1p(math.exp(-12))
    assert abs(found.value - exact) < found.error
    assert "nats only" in found.warning
    bridge_alone = found.value - found.error
    assert exact - bridge_alone > 5  # the twin: its own error is below 2


# --- the criterion ----------------------------------------------------------------------------------------------


def _observed(variance, held_out, train, weight=None):
    """Return what a check sees of a learner that holds N(0, variance) and samples of it."""
    learner = EnergyStep(EnergyNetwork(_Normal(variance), confinement=None), None, torch.zeros(1000, D), SETTINGS)
    learner.buffer.x = _Normal(variance).draw(1000, 5)
    learner.log_eta = torch.tensor(0.7 * variance).log()
    rows = {"x": held_out} | ({} if weight is None else {"weight": weight})
    return learner.observe(rows, {"x": train}, _generator(6))


@pytest.mark.slow  # quick: log Z of a normal distribution is found both ways
def test_the_held_out_loss_is_minus_log_p_and_ranks_models_by_their_divergence():
    """Of data from N(0, 1): KL = D (1 / v - 1 + log v) / 2 in nats; the constants of the energies must not matter."""
    held_out, train = (_Normal(1.0).draw(1500, seed) for seed in (7, 8))
    variances = [0.3, 0.6, 1.0, 1.8]
    seen = [_observed(variance, held_out, train) for variance in variances]
    divergences = [D * (1 / v - 1 + math.log(v)) / 2 for v in variances]
    for v, found in zip(variances, seen, strict=True):
        exact = held_out.square().sum(1).double() / (2 * v) + 0.5 * D * math.log(2 * math.pi * v)
        assert abs(float((found.losses - exact).mean())) < WIDTH * found.common_error + 1e-5
    order = np.argsort(divergences)
    assert np.array_equal(np.argsort([float(found.losses.mean()) for found in seen]), order)
    twin = np.argsort([found.scalars["held_out_energy"] for found in seen])  # without log Z
    assert not np.array_equal(twin, order)


def test_weights_of_events_enter_the_mean_energy_and_the_gap():
    held_out, train = (_Normal(1.0).draw(500, seed) for seed in (7, 8))
    weight = torch.linspace(0.1, 1.9, 500)
    plain, weighted = _observed(1.0, held_out, train), _observed(1.0, held_out, train, weight)
    torch.testing.assert_close(weighted.losses, plain.losses)  # the monitor weighs them
    e = held_out.square().sum(1) / 2
    rise = weighted.scalars["held_out_energy"] - plain.scalars["held_out_energy"]
    assert rise == pytest.approx(float(weight @ e / weight.sum() - e.mean()), rel=1e-3)
    assert weighted.scalars["energy_gap"] != plain.scalars["energy_gap"]


# --- the gap ----------------------------------------------------------------------------------------------------


def test_the_gap_is_zero_unless_events_are_known_by_heart():
    held_out, train = (_Normal(1.0).draw(1000, seed) for seed in (7, 8))
    fair = energy_gap(held_out.square().sum(1) / 2, train.square().sum(1) / 2)
    assert abs(fair.value) < WIDTH * fair.error

    def kernels(x, width=0.3):
        return -torch.logsumexp(-torch.cdist(x, train).square() / (2 * width**2), 1)

    by_heart = energy_gap(kernels(held_out), kernels(train))
    assert by_heart.value > 10 * by_heart.error


def test_the_gap_raises_a_sign_only_where_log_z_cannot():
    gap = Measured(3.0, 0.2)
    assert signs_of_overfitting(gap, 0.1) == {}
    assert signs_of_overfitting(Measured(0.3, 0.2), 5.0) == {}
    evidence, _ = signs_of_overfitting(gap, 5.0)["overfitting"]
    assert "3.00 ± 0.20 nats likelier" in evidence


# --- training ---------------------------------------------------------------------------------------------------


def _events(n, seed):
    """Normal events of five features, correlated."""
    z = np.random.default_rng(seed).normal(size=(n, D))
    return z + 0.7 * z[:, ::-1]


SMALL = {"energy": (64, 64), "record_every": 20, "random_state": 0, "n_temperatures": 100, "n_annealed": 64}


@pytest.mark.slow
def test_a_model_that_learns_two_hundred_events_by_heart_is_caught_and_an_early_state_kept():
    few, fresh = _events(280, 1), _events(2000, 2)
    options = SMALL | {"max_steps": 600, "n_checks": 30, "validation_fraction": 0.3, "learning_rate": 5e-3}
    model = EBM(**options).fit(few)
    assert "overfitting" in {alarm.kind for alarm in model.alarms_}
    kept = [line["step"] for line in model.history_ if line.get("kept")]
    assert kept[-1] <= 300
    assert model.history_[-1]["energy_gap"] > 4 * model.history_[-1]["energy_gap_error"]
    last = EBM(**options, keep_best=False).fit(few)  # the twin
    early, late = model.log_likelihood(fresh), last.log_likelihood(fresh)
    assert early.mean.value - late.mean.value > 4 * math.hypot(early.mean.error, late.mean.error)


@pytest.mark.slow
def test_a_model_of_enough_events_is_not_accused():
    model = EBM(**SMALL | {"max_steps": 200, "n_checks": 10, "learning_rate": 5e-4}).fit(_events(6000, 3))
    assert "overfitting" not in {alarm.kind for alarm in model.alarms_}
    losses = [line["held_out_loss"] for line in model.history_ if "held_out_loss" in line]
    assert losses[-1] == pytest.approx(min(losses), abs=0.1)
