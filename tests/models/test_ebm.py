"""The energy-based model against closed forms: phases, store, chains, log Z, density, and the way back.

Statistical tests have false-alarm rate ALPHA each, and a twin that shows what a wrong implementation would give.
"""

import math
from typing import Any

import numpy as np
import pytest
import torch
from scipy import stats
from torch import nn

from reverie.core.errors import InputError, TrainingError
from reverie.data.dataset import Dataset
from reverie.models.ebm.estimator import EBM
from reverie.models.ebm.likelihood import EnergyPath, grid_log_z
from reverie.models.ebm.sampling import Jumps, jump
from reverie.models.ebm.training import EnergyStep, ReplayBuffer, contrastive_loss
from reverie.networks.energies import build_energy
from reverie.samplers.annealing import anneal, annealed_estimate, schedule
from reverie.samplers.langevin import MALAState, energy_and_gradient
from reverie.samplers.run import run

ALPHA = 1e-4
WIDTH = float(stats.norm.isf(ALPHA / 2))
TINY: dict[str, Any] = {"energy": (16, 16), "max_steps": 60, "batch_size": 64, "record_every": 5, "random_state": 0}
TINY |= {"n_checks": 2}


def _generator(seed=0):
    return torch.Generator().manual_seed(seed)


def _normal_table(n=600):
    z = np.random.default_rng(0).normal(size=(n, 2))
    return z @ np.array([[2.0, 1.0], [0.0, 0.5]]) + 3


# --- the loss ---------------------------------------------------------------------------------------------------


def _energy_network():
    return build_energy((8,), event_shape=(2,), random_generator=_generator()).double()


def _phase_gradients(network, x):
    return torch.autograd.grad(network(x).mean(), list(network.parameters()))


def test_the_gradient_is_that_of_the_positive_minus_that_of_the_negative_phase():
    network = _energy_network()
    x, z = torch.randn(2, 40, 2, generator=_generator(1), dtype=torch.float64)
    mixed = torch.tensor([[1.0, 0.2], [0.1, 1.5]], dtype=torch.float64, requires_grad=True)
    chains = z @ mixed * network(z)[:, None]  # depends on the weights, which must not matter
    loss, positive, negative = contrastive_loss(network, x, chains)
    found = torch.autograd.grad(loss, [*network.parameters(), mixed], allow_unused=True)
    assert found[-1] is None  # nothing runs through the chains
    above, below = _phase_gradients(network, x), _phase_gradients(network, chains.detach())
    for gradient, a, b in zip(found[:-1], above, below, strict=True):
        torch.testing.assert_close(gradient, a - b)
        assert not torch.allclose(gradient, a + b, atol=1e-6) or not b.any()  # the twin: phases of one sign
    torch.testing.assert_close(loss, positive - negative)


def test_weights_and_the_penalty_of_energies_enter_the_loss():
    x = torch.tensor([[1.0], [2.0]])
    chains = torch.tensor([[3.0]])
    weight = torch.tensor([0.5, 1.5])
    loss, *_ = contrastive_loss(lambda y: y[:, 0], x, chains, penalty=0.1, weight=weight)
    assert float(loss) == pytest.approx((0.5 + 3) / 2 - 3 + 0.1 * ((0.5 + 6) / 2 + 9))


# --- the store --------------------------------------------------------------------------------------------------


def _moved_slots(buffer):
    """Return how far the chain of each slot has gone in one training step with tiny Langevin steps."""
    model = EBM(**TINY, step_size=1e-6, jumps=False, restart_fraction=0.0, buffer_size=200)
    list(model.iter_fit(_normal_table(), stop=lambda: True))
    learner: Any = model._run.train_step
    learner.buffer = buffer(learner.buffer.x)
    before = learner.buffer.x.clone()
    learner.train_step({"x": torch.randn(64, 2, generator=_generator(3))}, _generator(4))
    return (learner.buffer.x - before).norm(dim=1)


def test_chains_are_written_back_to_the_slots_that_were_drawn():
    moved = _moved_slots(ReplayBuffer)
    assert int((moved > 0).sum()) == 64
    assert float(moved.max()) < 0.05


@pytest.mark.slow  # twin of the test above
def test_chains_written_to_other_slots_would_be_seen():
    class Elsewhere(ReplayBuffer):
        def write(self, slots, x):
            super().write(slots.roll(1), x)

    assert float(_moved_slots(Elsewhere).median()) == 0  # other slots of the draw ...
    assert float(_moved_slots(Elsewhere).max()) > 0.5  # ... hold other chains


def test_a_store_gives_different_slots_and_no_more_than_it_has():
    buffer = ReplayBuffer(torch.arange(10.0)[:, None])
    slots, x = buffer.draw(10, _generator())
    assert sorted(slots.tolist()) == list(range(10))
    assert torch.equal(x[:, 0], slots.float())
    with pytest.raises(InputError, match="buffer_size"):
        buffer.draw(11, _generator())


# --- the chains -------------------------------------------------------------------------------------------------


def _two_wells(x):
    """E of 0.3 N(-4, 0.5^2) + 0.7 N(4, 0.5^2), which Langevin steps cannot cross."""
    sides = torch.stack([math.log(0.3) - 2 * (x[:, 0] + 4) ** 2, math.log(0.7) - 2 * (x[:, 0] - 4) ** 2])
    return -torch.logsumexp(sides, 0)


def _share_on_the_right(spread, step):
    """Return the share of 4,000 chains in the right well after 200 jumps that all start in the left one."""
    generator = _generator(5)
    state = MALAState(torch.full((4000, 1), -4.0), *energy_and_gradient(_two_wells, torch.full((4000, 1), -4.0)))
    stock = torch.cat([-4 + 0.5 * torch.randn(50, 1, generator=generator), torch.randn(50, 1, generator=generator) + 3])
    for _ in range(200):
        state, _ = step(state, _two_wells, stock, spread, generator)
    return float((state.x > 0).float().mean())


def _greedy(state, energy, stock, spread, generator):
    """The twin: fresh proposals without the density that they come from."""
    shifted, accepted = jump(state, lambda x: energy(x) + x.square().sum(1) / (2 * spread**2), stock, spread, generator)
    return MALAState(shifted.x, *energy_and_gradient(energy, shifted.x)), accepted


@pytest.mark.parametrize("spread", [None, 4.0])
def test_jumps_share_chains_between_wells_as_the_energy_says(spread):
    error = (0.3 * 0.7 / 4000) ** 0.5
    assert abs(_share_on_the_right(spread, jump) - 0.7) < WIDTH * error


def test_a_jump_without_the_density_of_its_proposals_would_be_seen():
    stock = torch.zeros(1, 1)
    x = torch.full((4000, 1), 1.0)

    def normal(y):
        return (y[:, 0] - 1).square() / 2

    generator = _generator(6)
    right = wrong = MALAState(x, *energy_and_gradient(normal, x))
    for _ in range(60):
        right, _ = jump(right, normal, stock, 2.0, generator)
        wrong, _ = _greedy(wrong, normal, stock, 2.0, generator)
        wrong = MALAState(wrong.x, *energy_and_gradient(lambda y: normal(y) + y.square().sum(1) / 8, wrong.x))
    error = (1 / 4000) ** 0.5
    assert abs(float(right.x.mean()) - 1) < WIDTH * error
    assert abs(float(wrong.x.mean()) - 1) > WIDTH * error


def test_the_kernel_of_both_samples_the_wells():
    generator = _generator(7)
    stock = 4 * torch.randn(100, 1, generator=generator)
    start = torch.randn(1000, 1, generator=generator)
    chains = run(Jumps(0.2, stock, spread=4.0), start, _two_wells, n_steps=300, burn_in=200, generator=generator)
    for observable, truth in ((lambda x: (x[:, 0] > 0).double(), 0.7), (lambda x: x[:, 0].abs(), 4.0)):
        found = chains.mean(observable)
        assert abs(found.value - truth) < WIDTH * found.error


# --- log Z ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("P", [[[2.5]], [[2.0, 0.9], [0.9, 1.0]], [[400.0, 0.0], [0.0, 0.2]]])
def test_log_z_on_a_grid_is_that_of_a_normal_distribution(P):
    P = torch.tensor(P, dtype=torch.float64)
    d = len(P)
    root = torch.linalg.cholesky(torch.linalg.inv(P))
    x = 2 + torch.randn(500, d, generator=_generator(), dtype=torch.float64) @ root.T
    value, error = grid_log_z(lambda y: 0.5 * (((y - 2) @ P) * (y - 2)).sum(1) + 0.7, x)
    exact = 0.5 * d * math.log(2 * math.pi) - 0.5 * float(torch.logdet(P)) - 0.7
    assert value == pytest.approx(exact, abs=2e-6)
    assert error < 1e-5


def test_a_box_that_is_too_small_grows():
    value, _ = grid_log_z(lambda y: y.square().sum(1) / 2, torch.zeros(3, 1))
    assert value == pytest.approx(0.5 * math.log(2 * math.pi), abs=1e-5)


def _annealed_log_z(path, n_temperatures, n_chains, generator):
    _, log_w = anneal(path, path.start(n_chains, generator), schedule(n_temperatures), generator)
    return annealed_estimate(log_w, path.log_z0, n_temperatures)


@pytest.mark.slow  # quick: log Z of a normal distribution is found both ways
def test_annealing_finds_log_z_of_a_normal_distribution_and_of_two_wells():
    P = torch.diag(torch.tensor([0.5, 1.0, 2.0, 4.0, 9.0]))
    path = EnergyPath(lambda x: 0.5 * ((x @ P) * x).sum(1), (5,), step_size=0.1)
    found = _annealed_log_z(path, 300, 300, _generator(8))
    exact = 2.5 * math.log(2 * math.pi) - 0.5 * float(torch.logdet(P))
    assert abs(found.value - exact) < WIDTH * found.error
    assert found.error < 0.05
    wells = _annealed_log_z(EnergyPath(_two_wells, (1,), step_size=0.2, spread=4.0), 300, 500, _generator(9))
    exact = 0.5 * math.log(2 * math.pi * 0.25)
    assert abs(wells.value - exact) < WIDTH * wells.error


# --- the estimator ----------------------------------------------------------------------------------------------


@pytest.mark.slow  # the gradient: the first test; log Z: tests/laws/test_likelihood_laws.py
@pytest.mark.parametrize("method", ["contrastive", "score_matching"])
def test_the_likelihood_of_normal_data_is_minus_their_entropy(method):
    """A bound from below: KL >= 0 up to the scatter of log p; and from above what 250 steps reach."""
    x = _normal_table(3000)
    options = {"energy": (32, 32), "max_steps": 250, "n_checks": 1, "n_sample_steps": 50, "batch_size": 256}
    model = EBM(method=method, sigma=0.2, random_state=0, **options).fit(x[:2000])
    entropy = math.log(2 * math.pi * math.e) + 0.5 * math.log(0.25 * 4)  # det of the covariance is 1
    found = model.log_likelihood(x[2000:]).mean
    assert -0.08 - WIDTH * found.error < found.value + entropy < WIDTH * found.error
    drawn = model.sample(2000, random_state=0)
    np.testing.assert_allclose(np.cov(drawn.T), np.cov(x.T), rtol=0.15, atol=0.1)


@pytest.fixture(scope="module")
def tiny():
    return EBM(**TINY).fit(_normal_table())


@pytest.mark.slow  # quick: the law that probabilities add up to one
def test_probability_adds_up_to_one_in_the_units_of_the_data(tiny):
    a = np.linspace(-20, 26, 461)
    points = np.stack(np.meshgrid(a, a, indexing="ij"), -1).reshape(-1, 2)
    assert np.exp(tiny.score_samples(points)).sum() * 0.1**2 == pytest.approx(1, abs=0.02)


def _blown_up(monkeypatch, factor):
    """Make the weights blow up once, at step 40; at half the rate nothing happens."""
    step = EnergyStep.train_step

    def train_step(self, batch, generator):
        if self.step == 40 and self.rate_factor == 1:
            with torch.no_grad():
                for weight in (*self.network.parameters(), *self.average.parameters()):
                    weight.mul_(factor)
        return step(self, batch, generator)

    monkeypatch.setattr(EnergyStep, "train_step", train_step)


@pytest.mark.usefixtures("short_chains")
@pytest.mark.parametrize("factor", [float("nan"), pytest.param(1e4, marks=pytest.mark.slow)])
def test_training_goes_back_when_energies_blow_up(monkeypatch, factor):
    _blown_up(monkeypatch, factor)
    often: dict[str, Any] = {"n_checks": 6, "record_every": 10}
    model = EBM(**TINY | often).fit(_normal_table())
    assert [alarm.kind for alarm in model.alarms_] == ["divergence"]
    assert model.n_iter_ == 60
    assert model._run.train_step.rate_factor == 0.5
    assert np.isfinite(model.sample(50, random_state=0)).all()
    assert np.isfinite(model.energies(_normal_table())).all()


@pytest.mark.usefixtures("short_chains")
def test_without_a_way_back_it_says_so(monkeypatch):
    _blown_up(monkeypatch, 1e4)
    with pytest.raises(TrainingError, match="Lower the learning rate"):
        EBM(**TINY | {"n_checks": 6, "record_every": 10, "on_alarm": "warn"}).fit(_normal_table())


@pytest.mark.slow  # quick: the laws of the mixed table
@pytest.mark.usefixtures("short_chains")
def test_angles_counts_and_categories_are_learnt_and_come_back_as_they_are():
    rng = np.random.default_rng(0)
    values = np.column_stack([rng.uniform(-np.pi, np.pi, 200), rng.poisson(3, 200), rng.choice([0, 1, 5], 200)])
    data = Dataset(values, names=["phi", "hits", "kind"])
    schema = data.schema.edit("phi", kind="periodic").edit("kind", kind="categorical", levels=(0, 1, 5))
    data = Dataset(values, schema=schema)
    short: dict[str, Any] = {"n_temperatures": 20, "n_annealed": 32, "n_checks": 1}
    model = EBM(**TINY | short).fit(data)
    drawn = model.sample(200, random_state=0).values
    assert np.abs(drawn[:, 0]).max() <= np.pi
    assert set(np.unique(drawn[:, 2])) <= {0, 1, 5}
    assert np.array_equal(drawn[:, 1], np.rint(drawn[:, 1]))
    assert np.isfinite(model.score_samples(data)).all()


@pytest.mark.usefixtures("short_chains")
def test_spins_get_a_periodic_energy():
    spins = np.random.default_rng(0).choice([-1.0, 1.0], (80, 4, 4))
    short: dict[str, Any] = {"n_temperatures": 5, "n_annealed": 8, "n_sample_steps": 5, "n_checks": 0, "buffer_size": 8}
    model = EBM(max_steps=4, record_every=2, random_state=0, **short).fit(spins)
    assert set(np.unique(model.sample(10, random_state=0))) <= {-1.0, 1.0}
    np.testing.assert_allclose(model._networks()["energy"](torch.ones(1, 4, 4)).shape, (1,))
    assert type(model._networks()["energy"].network).__name__ == "LatticeEnergy"


def test_assessment_names_log_z_the_phases_and_the_chains(tiny):
    said = tiny.assess(_normal_table(), _normal_table(100))
    names = [quantity.name for quantity in said.numbers]
    for name in ("log Z", "R-hat of the chains", "positive phase", "negative phase"):
        assert name in names
    assert said.curves[0].lines.keys() == {"positive phase", "negative phase"}


@pytest.mark.parametrize(
    "wrong",
    [
        {"method": "magic"},
        {"restart_fraction": 1.0},
        {"adjusted": False},
        {"temperature": 0.5},
        {"n_langevin": 0},
        {"step_size": -1.0},
        {"activation": "relu"},
        {"confinement": 0.0},
        {"sharpness": 0.5},
        {"buffer_size": 0},
        {"n_sample_steps": 0},
    ],
)
def test_options_are_checked(wrong):
    with pytest.raises(InputError):
        EBM(**TINY | wrong).fit(_normal_table())


@pytest.mark.usefixtures("short_chains")
def test_an_own_module_is_trained():
    with torch.random.fork_rng():
        network = nn.Sequential(nn.Linear(2, 8), nn.Tanh(), nn.Linear(8, 1))
    model = EBM(**TINY | {"energy": network, "max_steps": 20, "n_checks": 1}).fit(_normal_table())
    assert np.isfinite(model.energies(_normal_table())).all()
