"""Restricted Boltzmann machines against enumeration: learning, log Z, draws, completion."""

import json
import math
from typing import Any

import numpy as np
import pytest
import torch
from scipy import stats
from torch.nn.functional import softplus

from reverie.core.errors import InputError
from reverie.data import load
from reverie.data.transforms import Bits
from reverie.models.binary import has_two_values
from reverie.models.rbm import training as rbm_training
from reverie.models.rbm.estimator import RBM
from reverie.models.rbm.likelihood import BoltzmannPath, annealed_log_partition, base_rate
from reverie.models.rbm.sampling import StateSum, chain_drift
from reverie.networks.boltzmann import BoltzmannEnergy, all_states, log_partition, state_number
from reverie.training.optimizers import OPTIMIZERS

ALPHA = 1e-4
SIGMAS = float(stats.norm.isf(ALPHA / 2))
XOR = np.array([[0, 0, 0], [0, 1, 1], [1, 0, 1], [1, 1, 0]] * 100)


def weights(n_visible=12, n_hidden=8, seed=0, size=1.5):
    rng = np.random.default_rng(seed)
    W = size * rng.normal(size=(n_visible, n_hidden))
    return {"W": W, "visible_bias": -W.sum(1) / 2 + rng.normal(size=n_visible) / 2, "hidden_bias": -W.sum(0) / 2}


def made(**options):
    given = weights(**options)
    return RBM.from_weights(given.pop("W"), **given)


def energy_of(visible="binary", n_visible=4, n_hidden=3, seed=0):
    generator = torch.Generator().manual_seed(seed)
    energy = BoltzmannEnergy(n_visible, n_hidden, visible=visible).double()
    with torch.no_grad():
        for parameter in energy.parameters():
            parameter.copy_(0.7 * torch.randn(parameter.shape, generator=generator, dtype=torch.float64))
    return energy


# The exact gradient


@pytest.mark.parametrize(("visible", "n_hidden"), [("binary", 3), ("binary", 6), ("gaussian", 3)])
def test_the_exact_model_side_is_the_gradient_of_log_z(visible, n_hidden):
    energy = energy_of(visible, n_hidden=n_hidden)
    expected = torch.autograd.grad(log_partition(energy), list(energy.parameters()))
    with torch.no_grad():
        found, log_z = rbm_training.exact_gradient(energy, StateSum(energy))
    torch.testing.assert_close(log_z, log_partition(energy).detach())
    parts = (found.W, found.visible_bias, found.hidden_bias, found.log_variance)
    for ours, theirs in zip([part for part in parts if part is not None], expected, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-9, atol=1e-12)


# log Z


def test_log_z_by_either_layer_and_by_annealing():
    """Forward, backward and bridged annealing within the quantile of ALPHA of the exact sum."""
    model = made()
    exact = model.log_partition("exact")
    visible = torch.logsumexp(-torch.from_numpy(model.free_energy(all_states(12).numpy())), 0)
    assert exact.value == pytest.approx(float(visible), rel=1e-12)
    states = StateSum(model._energy).sample(model._energy, 500, torch.Generator().manual_seed(0))
    found = model.log_partition("ais", n_temperatures=200, n_chains=500, start=states.numpy(), random_state=1)
    assert found.method == "bridge"
    assert found.forward is not None
    assert found.backward is not None
    for estimate in (found, found.forward, found.backward):
        assert abs(estimate.value - exact.value) < SIGMAS * estimate.error
    assert "exact" in str(exact)
    assert "forwards" in str(found)


class HiddenAtOne(BoltzmannPath):
    """The twin of `test_annealing_moves_at_its_own_temperature`: hidden units drawn as at beta = 1."""

    def move(self, state, beta, generator):
        return self.at(self.draw_visible(self.draw_hidden(state.x, 1.0, generator), beta, generator))


class ScaledFreeEnergy(BoltzmannPath):
    """The twin whose marginal is beta softplus(x) rather than softplus(beta x)."""

    def log_weight(self, state, beta, to):
        return (to - beta) * (self.excess(state.v).double() + softplus(state.x.double()).sum(1))


@pytest.mark.parametrize(("path", "right"), [(BoltzmannPath, True), (HiddenAtOne, False), (ScaledFreeEnergy, False)])
def test_annealing_moves_at_its_own_temperature(path, right):
    model = made()
    base = torch.zeros(12), None
    found = annealed_log_partition(
        path(model._energy, base),
        n_temperatures=300,
        n_chains=500,
        reverse=False,
        generator=torch.Generator().manual_seed(0),
    )
    assert (abs(found.value - model.log_partition("exact").value) < SIGMAS * found.error) == right


@pytest.mark.parametrize("size", [0.3, 3.0])
def test_short_and_long_forms_of_a_weight_agree(size):
    energy = made(size=size)._energy
    path = BoltzmannPath(energy, (torch.zeros(12), None), dtype=torch.float64)
    level = path.at(all_states(12))
    for to in (0.301, 0.31, 0.9):
        x = level.x
        plain = (softplus(to * x) - softplus(0.3 * x)).sum(1) + (to - 0.3) * path.excess(level.v)
        torch.testing.assert_close(path.log_weight(level, 0.3, to), plain, rtol=1e-9, atol=1e-10)


def test_gaussian_annealing_finds_the_exact_sum():
    rng = np.random.default_rng(1)
    model = RBM.from_weights(rng.normal(size=(5, 6)), log_variance=np.full(5, -1.0), hidden_bias=rng.normal(size=6))
    exact = model.log_partition("exact").value
    found = model.log_partition("ais", n_temperatures=200, n_chains=500, reverse=False)
    assert abs(found.value - exact) < SIGMAS * found.error


@pytest.mark.slow  # quick: too few sweeps are found out
def test_chains_of_the_right_machine_keep_the_means_and_those_of_another_move_by_what_is_known():
    """Without weights the means become p = 1/4: R = sum (p - q)^2 / sum q (1 - q), q those of the start."""
    path = BoltzmannPath(made(size=3.0)._energy, (torch.zeros(12), None), dtype=torch.float64)
    noise = torch.Generator().manual_seed(4)
    draws = StateSum(made(size=3.0)._energy).sample(made(size=3.0)._energy, 2000, torch.Generator().manual_seed(0))
    assert abs(float(chain_drift(path, draws, None, 20, torch.Generator().manual_seed(1)))) < 4 / 2000
    few = torch.stack([chain_drift(path, draws[40 * k : 40 * k + 40], None, 200, noise) for k in range(50)])
    assert abs(float(few.mean())) < 0.02  # 2 / n = 0.05 if fluctuations were not taken off
    coins = RBM.from_weights(np.zeros((12, 3)), visible_bias=np.full(12, -np.log(3)))
    path = BoltzmannPath(coins._energy, (torch.zeros(12), None), dtype=torch.float64)
    start = (torch.rand(4000, 12, generator=torch.Generator().manual_seed(2)) < 0.5).double()
    weight = torch.where(start[:, 0] > 0, 3.0, 1.0)  # by which the mean of the first unit is 3/4 and not 1/2
    for given, expected in ((None, 0.25**2 / 0.25), (weight, (11 * 0.25**2 + 0.5**2) / (11 * 0.25 + 3 / 16))):
        moved = float(chain_drift(path, start, given, 1, torch.Generator().manual_seed(3)))
        assert moved == pytest.approx(expected, rel=0.1)


@pytest.mark.slow  # quick: too few sweeps are found out
def test_events_in_an_order_are_no_sign_of_chains_that_leave_the_data(monkeypatch):
    """Chains from the first rows of sorted events would forget where these stand: held-out rows keep the order."""
    rng = np.random.default_rng(0)
    bits = (rng.normal(size=(2000, 1)) + rng.normal(size=(2000, 40)) > 0).astype(int)
    bits = bits[np.argsort(bits.sum(1))]
    monkeypatch.setattr(rbm_training, "_FADED_CHAINS", (40, 40))
    model = RBM(n_hidden=24, max_steps=300, n_checks=6, random_state=0).fit(bits)
    assert max(record["chain_drift"] for record in model.history_ if "chain_drift" in record) < 0.1  # else about 1


@pytest.mark.slow
@pytest.mark.parametrize(("method", "fades"), [("cd", True), ("pcd", False)])
def test_samples_that_fade_raise_an_alarm(method, fades):
    """One sweep from the batch learns digits of which nothing is left after a hundred; persistent chains keep them."""
    digits = load("binarized_mnist").values[:20_000]
    options = {"n_hidden": 500, "batch_size": 64, "max_steps": 1500, "n_checks": 6, "random_state": 0}
    model = RBM(method=method, n_gibbs=1, **options).fit(digits)
    assert any(alarm.kind == "chains leave the data" for alarm in model.alarms_) == fades
    ink = float(np.mean(model.sample(200, random_state=0)) / digits.mean())
    assert (ink < 0.5) == fades  # the alarm is right


def test_what_a_file_keeps_of_log_z(tmp_path):
    model = made(n_visible=25, n_hidden=22, size=0.5)
    score = model.score_samples(np.zeros((3, 25)))
    assert model._log_z is not None
    stored = type(model._log_z).from_json(json.loads(json.dumps(model._log_z.to_json())))
    assert stored == model._log_z
    with pytest.raises(InputError, match="at most 20 units"):
        model.log_partition("exact")
    assert np.isfinite(score).all()


# Learning


@pytest.mark.slow
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_xor_is_learnt_by_every_optimiser_at_its_own_rate(optimizer):
    """The start has log p = -3 log 2 = -2.08 and the truth -1.386; at Adam's rate Adadelta stayed at the start."""
    model = RBM(n_hidden=8, optimizer=optimizer, max_steps=1000, n_checks=0, random_state=1).fit(XOR)
    assert model.score(XOR) > -1.45


@pytest.mark.slow  # restarts; one start: test_exact_training_finds_rare_states
def test_xor_is_learnt_from_any_start():
    """Single starts may end with three of the four patterns; restarts must not."""
    model = RBM(n_hidden=4, max_steps=250, n_checks=0, random_state=0).fit(XOR)
    assert np.exp(model.score_samples(XOR[:4])).sum() >= 0.99


def test_checks_of_exact_training_sum_log_z():
    """Annealed estimates that are too low would make early states pass for the best."""
    bits = np.random.default_rng(0).integers(0, 2, (300, 1)) ^ (np.random.default_rng(1).random((300, 15)) < 0.02)
    options = {"n_hidden": 17, "max_steps": 4, "record_every": 1, "n_checks": 4, "keep_best": False, "random_state": 0}
    model = RBM(method="exact", **options).fit(bits)
    assert model.history_[-1]["log_z"] == pytest.approx(model.log_partition("exact").value, rel=1e-9)


@pytest.mark.parametrize(("memory", "right"), [(0.95, True), pytest.param(0.999, False, marks=pytest.mark.slow)])
def test_exact_training_finds_rare_states(memory, right, monkeypatch):
    """The gradient of states of a two-hundredth of the mass is small, and a long memory of early squares hides it."""
    monkeypatch.setattr(rbm_training, "_EXACT_MEMORY", memory)
    states = np.array([[0, 0, 0, 0, 0, 0], [1, 1, 1, 1, 1, 1], [0, 0, 0, 1, 1, 1], [1, 0, 1, 0, 1, 0]])
    model = RBM(n_hidden=8, max_steps=400, n_restarts=1, validation_fraction=0, random_state=0)
    model.fit(states.repeat((99, 99, 1, 1), axis=0))
    assert (np.exp(model.score_samples(states[2:])) == pytest.approx([0.005, 0.005], rel=0.1)) == right


def test_gibbs_sweeps_by_kind_of_units():
    assert [_sweeps(visible, method) for visible, method in (("gaussian", "pcd"), ("gaussian", "cd"))] == [10, 1]
    assert _sweeps("binary", "pcd") == 1
    assert _sweeps("gaussian", "pcd", n_gibbs=3) == 3


def _sweeps(visible, method, **options):
    model = RBM(method=method, **options)
    model.seed_ = 0
    rows = {"x": torch.zeros(8, 4, dtype=torch.float64)}
    return model._train_step({"boltzmann": energy_of(visible)}, rows).settings.n_gibbs


@pytest.mark.parametrize("coupling", [-1.0, pytest.param(2.0, marks=pytest.mark.slow)])
def test_two_spins_get_their_empirical_coupling(coupling):
    rng = np.random.default_rng(0)
    p = np.exp(coupling * np.array([1.0, -1, -1, 1]))
    spins = np.array([[-1, -1], [-1, 1], [1, -1], [1, 1]])[rng.choice(4, 3000, p=p / p.sum())]
    model = RBM(n_hidden=1, max_steps=600, n_restarts=1, validation_fraction=0, random_state=0).fit(spins)
    n = {(a, b): (spins == (a, b)).all(1).mean() for a in (-1, 1) for b in (-1, 1)}
    empirical = math.log(n[-1, -1] * n[1, 1] / (n[-1, 1] * n[1, -1])) / 4
    q = model.score_samples(np.array([[-1, -1], [-1, 1], [1, -1], [1, 1]]))
    assert (q[0] - q[1] - q[2] + q[3]) / 4 == pytest.approx(empirical, abs=1e-3)


@pytest.mark.slow
def test_centred_and_plain_steps_lead_to_the_same_distribution():
    options: dict[str, Any] = {
        "n_hidden": 3,
        "max_steps": 400,
        "n_restarts": 5,
        "validation_fraction": 0,
        "random_state": 0,
    }
    centred, plain = (RBM(centred=c, **options).fit(XOR).score(XOR) for c in (True, False))
    assert centred == pytest.approx(plain, abs=0.02)


@pytest.mark.slow
@pytest.mark.parametrize("method", ["pcd", "cd", "tempering"])
def test_sampled_learning_comes_near_the_exact_one(method):
    rng = np.random.default_rng(0)
    X = (rng.normal(size=(2000, 1)) + 0.7 * rng.normal(size=(2000, 5)) > 0).astype(int)
    options: dict[str, Any] = {"n_hidden": 2, "random_state": 0, "n_checks": 5}
    exact = RBM(method="exact", max_steps=600, n_restarts=1, **options).fit(X).score(X)
    independent = -5 * math.log(2)
    found = RBM(method=method, max_steps=3000, learning_rate=0.5, **options).fit(X).score(X)
    assert exact - 0.03 < found < exact + 0.01
    assert found > independent + 0.5


@pytest.mark.parametrize("method", ["exact", "pcd", "tempering"])
@pytest.mark.parametrize("learning_rate", [pytest.param(1e-4, marks=pytest.mark.slow), 1e-1])
@pytest.mark.parametrize("scale", [pytest.param(1.0, marks=pytest.mark.slow), 1e4])
def test_gaussian_units_stay_finite(method, learning_rate, scale):
    rng = np.random.default_rng(0)
    X = scale * (rng.normal(size=(400, 2)) * (0.1, 1) + rng.choice([-2, 2], (400, 1))) + 3 * scale
    model = RBM(n_hidden=5, method=method, learning_rate=learning_rate, max_steps=40, n_checks=2, random_state=0).fit(X)
    assert np.isfinite(model.score_samples(X)).all()
    assert np.isfinite(model.sample(100, random_state=0)).all()


@pytest.mark.slow
def test_gaussian_units_learn_separate_modes():
    """Two narrow modes: within 0.05 nats of their entropy; one normal density, the twin, is far away."""
    rng = np.random.default_rng(0)
    X = rng.choice([-1.0, 1.0], (1000, 1)) + 0.2 * rng.normal(size=(1000, 2))
    entropy = math.log(2) + math.log(2 * math.pi * math.e * 0.2**2)
    fitted = RBM(n_hidden=4, max_steps=600, random_state=0).fit(X)
    assert fitted.score(X) > -entropy - 0.05
    law: Any = stats.multivariate_normal
    normal = law(X.mean(0), np.cov(X.T)).logpdf(X).mean()
    assert normal < -entropy - 0.5


# Draws


def _pvalue(model, v):
    """Return the p-value of states against the exact distribution; those expected fewer than 10 times are joined."""
    n_units = v.shape[1]
    p = np.exp(model.score_samples(all_states(n_units).numpy()))
    counts = np.bincount(state_number(torch.from_numpy(np.asarray(v))).numpy(), minlength=len(p))
    rare = p * len(v) < 10
    seen, expected = (np.append(x[~rare], x[rare].sum()) for x in (counts, p * len(v)))
    met = expected > 0
    return float(stats.chisquare(seen[met], expected[met]).pvalue)


@pytest.mark.parametrize("sampler", ["exact", "gibbs", "tempering"])
def test_samples_follow_the_exact_distribution(sampler):
    model = made(n_visible=5, n_hidden=4, size=1.2)
    assert _pvalue(model, model.sample(2000, random_state=0, sampler=sampler, n_sweeps=60)) > ALPHA


def test_too_few_sweeps_are_found_out():
    model = made(n_visible=5, n_hidden=4, size=1.2)
    model._stored_states = torch.tensor([[1.0, 0, 1, 0, 1]])
    assert _pvalue(model, model.sample(4000, random_state=0, sampler="gibbs", n_sweeps=1)) < ALPHA


@pytest.mark.parametrize("right", [True, False])
def test_completion_follows_the_conditional_distribution(right):
    """Two of five units given; the twin takes draws without regard to them."""
    model = made(n_visible=5, n_hidden=4, size=0.8)
    mask = np.array([True, True, False, False, False])
    X = np.tile([1, 0, 0, 0, 0], (3000, 1))
    full = model.complete(X, mask, random_state=0, n_sweeps=40) if right else model.sample(3000, random_state=0)
    assert not right or (full[:, :2] == X[:, :2]).all()
    states = all_states(5).numpy()
    given = states[(states[:, 0] == 1) & (states[:, 1] == 0)]
    log_p = model.score_samples(given)
    p = np.exp(log_p - log_p.max())
    counts = np.bincount(state_number(torch.from_numpy(full[:, 2:])).numpy(), minlength=8)
    assert (stats.chisquare(counts, p / p.sum() * 3000).pvalue > ALPHA) == right


def test_completing_a_gaussian_event_keeps_what_is_known():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(300, 1)) + 0.1 * rng.normal(size=(300, 3))
    model = RBM(max_steps=150, n_checks=1, random_state=0).fit(X)
    Y = X[:50].copy()
    Y[:, 2] = np.nan
    full = model.complete(Y, np.isfinite(Y), n_draws=2, random_state=0)
    assert full.shape == (2, 50, 3)
    np.testing.assert_array_equal(full[:, :, :2], np.stack([X[:50, :2]] * 2))
    assert np.corrcoef(full[0, :, 2], X[:50, 2])[0, 1] > 0.5


# Evaluation and data


def test_pseudo_likelihood_is_the_product_of_exact_conditionals():
    model = made(n_visible=5, n_hidden=4)
    states = all_states(5)
    p = np.exp(model.score_samples(states.numpy()))
    number = state_number(states).numpy()
    flipped = [state_number((states - torch.eye(5)[i]).abs()).numpy() for i in range(5)]
    expected = sum(np.log(p[number] / (p[number] + p[other])) for other in flipped)
    np.testing.assert_allclose(model.pseudo_log_likelihood(states.numpy()), expected, rtol=1e-9)
    with pytest.raises(InputError, match="binary units"):
        RBM.from_weights(np.eye(2), log_variance=np.zeros(2)).pseudo_log_likelihood(np.zeros((1, 2)))


def test_likelihoods_are_probabilities_of_states_and_densities_in_units_of_the_data():
    spins = np.random.default_rng(0).choice([-1, 1], (300, 2, 2))
    lattice = RBM(max_steps=50, random_state=0).fit(spins)
    states = 2 * all_states(4).numpy().reshape(-1, 2, 2) - 1
    assert np.exp(lattice.score_samples(states)).sum() == pytest.approx(1, abs=1e-9)
    X = 100 * np.random.default_rng(0).normal(size=(500, 1))
    density = RBM(max_steps=50, random_state=0).fit(X)
    grid = np.linspace(-1500, 1500, 3001)[:, None]
    assert np.exp(density.score_samples(grid)).sum() == pytest.approx(1, abs=1e-6)


def test_given_weights_keep_their_type_and_shape():
    given = weights(n_visible=6, n_hidden=3)
    double = RBM.from_weights(given["W"], event_shape=(2, 3))
    assert double._energy.W.dtype == torch.float64
    assert double.sample(5, random_state=0).shape == (5, 2, 3)
    assert RBM.from_weights(given["W"].astype(np.float32))._energy.W.dtype == torch.float32
    with pytest.raises(InputError, match="hidden_bias of shape"):
        RBM.from_weights(given["W"], hidden_bias=np.zeros(6))
    with pytest.raises(InputError, match="event_shape of 6 values"):
        RBM.from_weights(given["W"], event_shape=(2, 2))


def test_bits_are_exact_both_ways_and_refuse_a_third_value():
    x = torch.tensor([[-1.0, 0.1], [1.0, 7.3], [-1.0, 7.3]], dtype=torch.float64)
    bits = Bits().fit(x)
    assert bits.forward(x).tolist() == [[0, 0], [1, 1], [0, 1]]
    assert torch.equal(bits.inverse(bits.forward(x)), x)
    assert torch.equal(bits.log_det(x), torch.zeros(3, dtype=torch.float64))
    back = Bits.from_json(json.loads(json.dumps(bits.to_json())))
    assert torch.equal(back.inverse(torch.tensor([[0.0, 1.0]])), torch.tensor([[-1.0, 7.3]], dtype=torch.float64))
    with pytest.raises(InputError, match="two values per column"):
        Bits().fit(torch.tensor([[0.0], [1.0], [2.0]]))
    centred = Bits(centred=True).fit(x)
    assert centred.forward(x).tolist() == [[-1, -1], [1, 1], [-1, 1]]
    assert torch.equal(centred.inverse(centred.forward(x)), x)
    assert has_two_values(x.numpy())
    assert not has_two_values(np.array([[0, 1], [1, 2], [0, 3]]))


def test_constant_cells_and_weights_do_no_harm():
    images = np.zeros((200, 3, 3), dtype=np.uint8)
    images[:, 1] = np.random.default_rng(0).integers(0, 2, (200, 3))
    weight = np.random.default_rng(1).uniform(size=200)
    model = RBM(method="pcd", max_steps=60, n_checks=2, random_state=0).fit(images, sample_weight=weight)
    assert np.isfinite(model.score(images))
    grey = np.where(images > 0, np.random.default_rng(2).uniform(size=images.shape), 0)
    assert np.isfinite(RBM(max_steps=40, n_checks=1, random_state=0).fit(grey).score(grey))


def test_base_rates_use_weights():
    v = torch.tensor([[0.0, 1.0], [1.0, 1.0]])
    a0, _ = base_rate(v, "binary", torch.tensor([3.0, 1.0]))
    assert torch.sigmoid(a0).tolist() == pytest.approx([0.25, 1 - 1e-4])


@pytest.mark.slow  # quick: the law of what a model says of itself
def test_an_assessment_is_plain_and_sees_overfitting(monkeypatch):
    monkeypatch.setattr("reverie.models.rbm.estimator._SWEEPS", 60)  # of chains that nothing is claimed of
    rng = np.random.default_rng(0)
    X = rng.integers(0, 2, (60, 10))
    model = RBM(n_hidden=12, max_steps=120, validation_fraction=0, random_state=0).fit(X[:30])
    told = model.assess(X[:30], X[30:], random_state=0)
    json.dumps(told.to_json(), allow_nan=False)
    names = {quantity.name for quantity in told.numbers}
    assert {"log Z", "free-energy gap", "R-hat", "log-likelihood of held-out events"} <= names
    assert any("overfitted" in warning for warning in told.warnings)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"method": "pdc"}, "Did you mean 'pcd'"),
        ({"visible": "bits"}, "visible"),
        ({"optimizer": "adamm"}, "Did you mean 'adam"),
        ({"n_hidden": 0}, "n_hidden"),
        ({"learning_rate": -1.0}, "learning_rate"),
        ({"momentum": 1.0}, "momentum"),
        ({"n_levels": 1}, "n_levels"),
        ({"method": "exact", "n_hidden": 30, "visible": "gaussian"}, "at most 20 units"),
        ({"visible": "binary"}, "two values per column"),
    ],
)
def test_wrong_configurations_are_refused_in_words(options, message):
    with pytest.raises(InputError, match=message):
        RBM(**({"max_steps": 2, "random_state": 0} | options)).fit(np.random.default_rng(0).normal(size=(50, 2)))


def test_filters_hidden_means_and_reconstructions_of_a_known_machine():
    W = np.array([[4.0, 0.0], [0.0, -4.0]])
    model = RBM.from_weights(W, hidden_bias=[-2.0, 2.0], event_shape=(1, 2))
    x = np.array([[[0, 0]], [[1, 1]]])
    np.testing.assert_array_equal(model.filters(), W.T.reshape(2, 1, 2))
    h = 1 / (1 + np.exp(-np.array([[-2.0, 2.0], [2.0, -2.0]])))  # b + v W
    np.testing.assert_allclose(model.encode(x), h, rtol=1e-6)
    np.testing.assert_allclose(model.reconstruct(x)[:, 0], 1 / (1 + np.exp(-h @ W.T)), rtol=1e-6)
