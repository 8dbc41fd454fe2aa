"""Wave functions: gradients and sums against enumeration, states found again, energies above the lowest."""

import copy

import numpy as np
import pytest
import safetensors.torch
import torch
from scipy import stats
from sklearn.base import clone
from sklearn.exceptions import NotFittedError

import reverie
from reverie.core.errors import CheckpointError, FolderError, InputError, TrainingError
from reverie.experiment.sampling import draw_from
from reverie.models.training_run import TrainingOptions
from reverie.models.wavefunction.energy import log_derivatives, natural_direction
from reverie.models.wavefunction.estimator import WaveFunctionRBM
from reverie.models.wavefunction.state import TurningGibbs, gibbs_chains
from reverie.models.wavefunction.training import (
    ExactLikelihood,
    Fit,
    SampledLikelihood,
    histograms,
    initial_energy,
)
from reverie.networks.boltzmann import BoltzmannEnergy, all_states, log_partition, pseudo_log_likelihood, state_number
from reverie.samplers.gibbs import GibbsInfo, GibbsState
from reverie.samplers.run import run
from reverie.simulators import heisenberg, transverse_field_ising
from reverie.simulators.spin_chain import probabilities
from reverie.training.callbacks import Callback
from reverie.training.loop import train

pytestmark = pytest.mark.usefixtures("global_random_state_untouched")

ALPHA = 1e-4  # false-alarm rate of each statistical test
PULL = stats.norm.isf(ALPHA / 2)
FIT = Fit(max_steps=20, learning_rate=0.03, n_folds=3, patience=100, batch_size=50, n_chains=50, n_gibbs=1)


def machine(n_sites: int = 4, n_hidden: int = 3, *, scale: float = 1.0, seed: int = 0) -> BoltzmannEnergy:
    energy = BoltzmannEnergy(n_sites, n_hidden).double()
    noise = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for p in energy.parameters():
            p.copy_(scale * torch.randn(p.shape, generator=noise, dtype=torch.float64))
    return energy


def model_of(energy: BoltzmannEnergy, **options) -> WaveFunctionRBM:
    state = {f"amplitude.{name}": p for name, p in energy.named_parameters()}
    return WaveFunctionRBM(random_state=0, **options).load_state_dict(state)


def outcomes(psi: np.ndarray, n: int, basis: str, seed: int) -> np.ndarray:
    p = probabilities(psi, basis)
    return all_states(len(basis)).numpy()[np.random.default_rng(seed).choice(len(p), n, p=p / p.sum())].astype(int)


# ---------------------------------------------------------------- derivatives


def test_derivatives_of_the_amplitude_are_those_of_differences():
    energy, s = machine(), all_states(4)[[3, 9]]
    analytic, step, column = log_derivatives(energy, s), 1e-6, 0
    for p in (energy.W, energy.visible_bias, energy.hidden_bias):
        for i in range(p.numel()):
            with torch.no_grad():
                p.view(-1)[i] += step
                above = -energy(s) / 2
                p.view(-1)[i] -= 2 * step
                below = -energy(s) / 2
                p.view(-1)[i] += step
            torch.testing.assert_close(analytic[:, column], (above - below) / (2 * step), atol=1e-8, rtol=0)
            column += 1
    assert column == analytic.shape[1]


@pytest.mark.parametrize("bases", [("ZZ",), ("ZZ", "XZ", "ZY")])
def test_the_gradient_of_the_likelihood_is_that_of_differences(bases):
    """Of all rows, with and without a phase; torch.autograd.gradcheck compares with finite differences."""
    psi = np.array([0.1, 0.5, -0.3 + 0.2j, 0.7j])
    rows = np.concatenate([outcomes(psi, 60, basis, seed) for seed, basis in enumerate(bases)])
    words = np.repeat(bases, 60)
    bits = torch.from_numpy(rows)
    training = ExactLikelihood([machine(2, 2, seed=1), machine(2, 2, seed=2)], bits, words, FIT, seed=0)
    counts = histograms(bits, words, torch.zeros(len(rows), dtype=torch.int64), 1)
    share = {basis: n[0] / len(rows) for basis, n in counts.items()}

    def nll(W: torch.Tensor) -> torch.Tensor:
        for weights in training.weights:
            weights["W"] = W
        return -torch.stack([(share[b] * x).sum() for b, x in training.log_probabilities().items()]).sum()

    W = training.weights[0]["W"].detach().clone().requires_grad_()
    assert torch.autograd.gradcheck(nll, (W,), atol=1e-7)


def test_the_two_forms_of_the_natural_gradient_agree():
    rng = np.random.default_rng(0)
    wide = torch.from_numpy(rng.normal(size=(6, 9)))
    local, p = torch.from_numpy(rng.normal(size=6)), torch.full((6,), 1 / 6, dtype=torch.float64)
    centred = (wide - wide.mean(dim=0)) / 6**0.5
    force = centred.T @ ((local - local.mean()) / 6**0.5)
    expected = torch.linalg.solve(centred.T @ centred + 0.1 * torch.eye(9, dtype=torch.float64), force)
    torch.testing.assert_close(natural_direction(wide, local, p, 0.1), expected)
    tall = wide[:, :4]
    padded = torch.cat([tall, torch.zeros(6, 5, dtype=torch.float64)], dim=1)  # columns that say nothing
    torch.testing.assert_close(natural_direction(tall, local, p, 0.1), natural_direction(padded, local, p, 0.1)[:4])


# ---------------------------------------------------------------- sums


def test_amplitudes_likelihood_and_averages_are_those_of_enumeration():
    energy = machine()
    model, s = model_of(energy), all_states(4)
    p = (-energy(s) - log_partition(energy)).exp().detach().numpy()
    np.testing.assert_allclose(model.psi(), np.sqrt(p), rtol=1e-12)
    np.testing.assert_allclose(np.exp(2 * model.log_psi(s)) / np.exp(2 * model.log_psi(s)).sum(), p, rtol=1e-12)
    assert model.score(s[[1, 7]].numpy()) == pytest.approx(np.log(p[[1, 7]]).mean())
    spins = 1 - 2 * s.numpy()
    assert model.observable(lambda x: x[:, 0] * x[:, 1]).value == pytest.approx(p @ (spins[:, 0] * spins[:, 1]))
    hamiltonian = transverse_field_ising(4, h=0.6)
    assert model.energy(hamiltonian).value == pytest.approx(hamiltonian.energy(model.psi()), abs=1e-12)
    assert model.energy(hamiltonian).error == 0
    target = np.random.default_rng(0).normal(size=16)
    q = target**2 / (target**2).sum()
    assert model.fidelity(2j * target) == pytest.approx((np.sqrt(p) @ target) ** 2 / (target**2).sum())
    assert model.kl(target) == pytest.approx((q * np.log(q / p)).sum())


def test_a_phase_has_its_expectation_too():
    state = {f"amplitude.{name}": p for name, p in machine(3, 2).named_parameters()}
    state |= {f"phase.{name}": p for name, p in machine(3, 2, seed=5).named_parameters()}
    model = WaveFunctionRBM(phase=True).load_state_dict(state)
    for hamiltonian in (transverse_field_ising(3), heisenberg(3)):
        assert model.energy(hamiltonian).value == pytest.approx(hamiltonian.energy(model.psi()), abs=1e-12)
    assert (
        abs(transverse_field_ising(3).energy(np.abs(model.psi())) - model.energy(transverse_field_ising(3)).value) > 0.1
    )


def test_pseudo_likelihood_is_that_of_enumeration():
    energy = machine()
    p = torch.softmax(-energy(all_states(4)), 0).detach()
    rows, expected = all_states(4)[[2, 13]], torch.zeros(2, dtype=torch.float64)
    for i in range(4):
        other = rows.clone()
        other[:, i] = 1 - other[:, i]
        here, there = p[state_number(rows)], p[state_number(other)]
        expected += (here / (here + there)).log()
    torch.testing.assert_close(pseudo_log_likelihood(energy, rows), expected)


@pytest.mark.slow  # quick: samples follow the state
def test_folds_choose_the_step_and_do_not_touch_the_weights():
    bits = outcomes(transverse_field_ising(3).ground_state().psi, 300, "ZZZ", 0)
    chosen = WaveFunctionRBM(max_steps=150, patience=30, random_state=0).fit(bits)
    plain = WaveFunctionRBM(max_steps=chosen.n_iter_, n_folds=0, random_state=0).fit(bits)
    assert 0 < chosen.n_iter_ < chosen.history_[-1]["step"] <= 150
    np.testing.assert_allclose(chosen.psi(), plain.psi(), atol=1e-10)
    longer = WaveFunctionRBM(max_steps=200, n_folds=0, random_state=0).fit(bits)
    assert longer.score(bits) > chosen.score(bits)  # what stops it is not its own likelihood


# ---------------------------------------------------------------- states found again


@pytest.mark.slow  # the gradient: test_the_gradient_of_the_likelihood_is_that_of_differences
def test_a_state_is_found_again_by_sums_and_by_sampling():
    psi = transverse_field_ising(4).ground_state().psi
    bits = outcomes(psi, 4000, "ZZZZ", 1)
    summed = WaveFunctionRBM(random_state=0, max_steps=300).fit(bits)
    options = {"method": "sampling", "learning_rate": 0.05, "n_gibbs": 1, "patience": 100, "max_steps": 600}
    sampled = WaveFunctionRBM(random_state=0, **options)
    sampled.fit(bits)
    floor = 15 / (2 * len(bits))  # of 16 free probabilities
    assert summed.kl(psi) < 2 * floor
    assert sampled.fidelity(summed.psi()) > 0.995
    assert WaveFunctionRBM(random_state=0, max_steps=1).fit(bits).kl(psi) > 20 * floor


@pytest.mark.slow
def test_a_phase_is_found_from_several_bases():
    psi = np.array([0.3, 0.6j, 0.5 * np.exp(2j), 0.4])
    psi = psi / np.linalg.norm(psi)
    bases = ("ZZ", "XZ", "ZX", "YZ", "ZY")
    rows = np.concatenate([outcomes(psi, 500, basis, seed) for seed, basis in enumerate(bases)])
    model = WaveFunctionRBM(phase=True, n_hidden=4, learning_rate=0.1, max_steps=250, random_state=0).fit(
        rows, bases=list(np.repeat(bases, 500))
    )
    assert model.fidelity(psi) > 0.99
    assert model.fidelity(psi.conj()) < 0.5
    ends = [min(line["held_out_nll"] for line in model.history_ if line["start"] == k) for k in range(4)]
    assert max(ends) > min(ends) + 0.1  # one start alone can end in a poor maximum


def test_the_energy_comes_down_to_the_lowest_and_never_below():
    hamiltonian = transverse_field_ising(6, h=0.8)
    lowest = hamiltonian.ground_state()
    model = WaveFunctionRBM(random_state=0)
    energy = model.minimise(hamiltonian, n_steps=100)
    assert all(line["energy"] >= lowest.energy - 1e-10 for line in model.history_)
    assert lowest.energy - 1e-10 < energy.value < lowest.energy * (1 - 1e-4)
    assert model.fidelity(lowest.psi) > 0.999
    plain = WaveFunctionRBM(random_state=0).minimise(hamiltonian, n_steps=100, damping=1e6, step_size=1e5)
    assert plain.value > energy.value  # steps along the gradient itself fall behind


def test_an_energy_that_is_not_finite_ends_the_descent():
    with pytest.raises(TrainingError, match="became nan at step 1. Lower step_size"):
        WaveFunctionRBM(random_state=0).minimise(transverse_field_ising(3), n_steps=5, step_size=1e308)


def test_a_positive_state_does_not_reach_a_ground_state_of_both_signs():
    lowest = heisenberg(4, marshall=False).ground_state().energy
    model = WaveFunctionRBM(n_hidden=8, random_state=0)
    assert model.minimise(heisenberg(4), n_steps=250).value < lowest * (1 - 1e-3)
    assert model.minimise(heisenberg(4, marshall=False), n_steps=60).value > 0.7 * lowest


def test_sampled_energies_agree_with_sums():
    hamiltonian = transverse_field_ising(5)
    energy = machine(5, 4, scale=0.5)
    exact = model_of(energy).energy(hamiltonian).value
    found = model_of(energy, method="sampling").energy(hamiltonian, n_samples=20_000, random_state=1)
    assert found.n is not None
    assert found.n > 1000
    assert abs(found.value - exact) < PULL * found.error < 0.2
    other = model_of(energy, method="sampling").energy(
        transverse_field_ising(5, h=-1), n_samples=20_000, random_state=1
    )
    assert abs(other.value - exact) > 10 * PULL * other.error  # the wrong sign of the field


@pytest.mark.slow  # sampled energies: test_sampled_energies_agree_with_sums
def test_variational_monte_carlo_is_within_a_thousandth():
    hamiltonian = transverse_field_ising(6)
    model = WaveFunctionRBM(random_state=0, method="sampling", n_gibbs=2)
    energy = model.minimise(hamiltonian, n_steps=80, n_samples=300)
    lowest = hamiltonian.ground_state().energy
    assert energy.value > lowest - PULL * energy.error
    assert energy.value < lowest * (1 - 1e-3) + PULL * energy.error
    assert energy.error < 1e-3 * abs(lowest)


# ---------------------------------------------------------------- chains and samples


class AlwaysTurned(TurningGibbs):
    """Turns around whatever the energies say: the twin that must fail."""

    def step(self, state, energy, generator):
        following, _ = super().step(state, energy, generator)
        return GibbsState(1 - following.x), GibbsInfo(torch.ones(len(state.x)))


def invariance_p(kernel) -> float:
    energy = machine(3, 2)
    p = torch.softmax(-energy(all_states(3)), 0).detach()
    noise = torch.Generator().manual_seed(4)
    x = all_states(3)[torch.multinomial(p, 20_000, replacement=True, generator=noise)]
    after = run(kernel, x, energy, n_steps=1, generator=noise).x[-1]
    return stats.chisquare(np.bincount(state_number(after), minlength=8), 20_000 * p.numpy()).pvalue


def test_the_kernel_leaves_the_distribution_as_it_is():
    assert invariance_p(TurningGibbs()) > ALPHA
    assert invariance_p(TurningGibbs(17)) > ALPHA  # numbers for 16 sweeps are drawn together
    assert invariance_p(AlwaysTurned()) < 1e-12


def test_every_state_turns_around_at_the_rate_of_its_free_energies():
    """Of states where both ways differ by much, so that min(1, exp(F(s) - F(1 - s))) is nearly 0 or 1."""
    energy = machine(5, 4, seed=3)
    with torch.no_grad():
        for p in energy.parameters():
            p.mul_(40)
        s = all_states(5)
        gain = energy(s) - energy(1 - s)
        noise = torch.Generator().manual_seed(0)
        after, told = TurningGibbs().step(GibbsState(s), energy, noise)
        before = torch.where(told.accepted[:, None] > 0, 1 - after.x, after.x)
        offered = gain[state_number(before)]
    clear = offered.abs() > 30
    assert clear.sum() > 10
    assert torch.equal(told.accepted[clear] > 0, offered[clear] > 0)


def test_chains_visit_both_signs_of_a_magnet():
    """All units agree and both signs are alike: single units alone would not turn around in the life of a chain."""
    energy = BoltzmannEnergy(6, 1).double()
    with torch.no_grad():
        energy.W.fill_(12)
        energy.visible_bias.fill_(-6)
        energy.hidden_bias.fill_(-36)
    chains = gibbs_chains(energy, n_chains=20, n_kept=100, n_gibbs=1, seed=0)
    share = chains.mean(lambda s: s[:, 0])
    assert abs(share.value - 0.5) < PULL * share.error < 0.2


@pytest.mark.parametrize("method", ["exact", "sampling"])
def test_samples_follow_the_state(method):
    energy = machine(3, 2)
    model = model_of(energy, method=method)
    drawn = model.sample(2000, random_state=0)
    assert drawn.dtype == np.int8
    counts = np.bincount(drawn @ [4, 2, 1], minlength=8)
    assert stats.chisquare(counts, 2000 * model.psi() ** 2).pvalue > ALPHA
    assert stats.chisquare(counts, 2000 * model_of(machine(3, 2, seed=9)).psi() ** 2).pvalue < 1e-12
    np.testing.assert_array_equal(model.sample(7, random_state=0), drawn[:7])
    spins = model_of(energy, method=method, units="spins").sample(7, random_state=0)
    np.testing.assert_array_equal(spins, 1 - 2 * drawn[:7])


# ---------------------------------------------------------------- behaviour


@pytest.mark.parametrize("method", ["exact", "sampling"])
def test_the_contract(method):
    bits = outcomes(transverse_field_ising(3).ground_state().psi, 200, "ZZZ", 0)
    options = {"method": method, "n_hidden": 2, "max_steps": 12, "n_gibbs": 1, "n_chains": 50, "random_state": 3}
    model = WaveFunctionRBM(**options)
    with pytest.raises(NotFittedError):
        model.psi()
    first = WaveFunctionRBM(**options).fit(bits)
    again = model.fit(bits[::-1]).fit(bits)  # forgets
    np.testing.assert_array_equal(first.psi(), again.psi())
    as_spins = WaveFunctionRBM(units="spins", **options)
    np.testing.assert_array_equal(as_spins.fit(1 - 2 * bits).psi(), first.psi())
    assert clone(model).get_params() == model.get_params()
    loaded = WaveFunctionRBM(**options).load_state_dict(first.state_dict())
    np.testing.assert_array_equal(loaded.psi(), first.psi())
    np.testing.assert_array_equal(loaded.sample(9, random_state=1), first.sample(9, random_state=1))
    assert first.seed_ == 3
    assert first.state_dict()["amplitude.W"].shape == (3, 2)


def test_a_state_with_a_phase_comes_back_from_its_folder(tmp_path):
    state = {f"amplitude.{name}": p for name, p in machine(3, 2).named_parameters()}
    state |= {f"phase.{name}": p for name, p in machine(3, 2, seed=1).named_parameters()}
    model = WaveFunctionRBM(phase=True, units="spins", random_state=4).load_state_dict(state)
    folder = model.save(tmp_path / "state")
    back = reverie.load(folder)
    np.testing.assert_array_equal(back.psi(), model.psi())
    assert back.get_params() == model.get_params()
    with pytest.raises(InputError, match=r"Draw them from Python: reverie.load\(folder\).sample"):
        draw_from(str(folder), tmp_path / "x.npy", 3, seed=0)
    with pytest.raises(FolderError, match="exists"):
        model.save(tmp_path)
    weights = {name: p for name, p in model.state_dict().items() if name != "phase.W"}
    safetensors.torch.save_file(weights, folder / "model.safetensors")
    with pytest.raises(CheckpointError, match="has changed or is damaged"):
        reverie.load(folder)


def test_a_large_chain_is_sampled():
    rng = np.random.default_rng(0)
    bits = np.repeat(rng.integers(0, 2, (200, 9)), 2, axis=1)  # 18 sites in equal pairs
    model = WaveFunctionRBM(n_hidden=13, max_steps=30, n_gibbs=1, patience=30, n_chains=50, random_state=0).fit(bits)
    assert model.sample(3, random_state=0).shape == (3, 18)
    energy = model.energy(transverse_field_ising(18), n_samples=2000, random_state=0)
    assert energy.error > 0


class Patience(Callback):
    """Ends training at its second record and keeps what it has seen."""

    def __init__(self):
        self.steps, self.model = [], None

    def on_record(self, record):
        self.steps.append(record.step)
        return len(self.steps) == 2

    def on_end(self, model):
        self.model = model


@pytest.mark.parametrize("method", ["exact", "sampling"])
def test_callbacks_see_the_records_and_may_end_training(method):
    bits = np.random.default_rng(0).integers(0, 2, (60, 2))
    options = {"method": method, "n_starts": 3, "record_every": 2, "n_chains": 10, "n_gibbs": 1, "random_state": 0}
    patience = Patience()
    model = WaveFunctionRBM(max_steps=20, **options).fit(bits, callbacks=[patience])
    assert patience.steps == [2, 4]  # of the first start, which is the last one too
    assert patience.model is model
    assert [line["step"] for line in model.history_] == [2, 4]
    assert model.psi().shape == (4,)


@pytest.mark.parametrize("method", ["exact", "sampling"])
def test_training_goes_on_from_its_state(method):
    """The state of a training is all of it: two halves end at the weights of the whole."""
    bits = torch.from_numpy(outcomes(transverse_field_ising(3).ground_state().psi, 100, "ZZZ", 0)).double()
    start = ExactLikelihood if method == "exact" else SampledLikelihood

    def made():
        energy = initial_energy(3, 2, torch.Generator().manual_seed(0), bits)
        training = start([energy], bits, np.full(100, "ZZZ"), FIT, 0)
        batch_at = training.batches({"x": bits}, TrainingOptions(batch_size=100, max_steps=20), 0, "cpu")
        return energy, training, batch_at

    whole, training, batch_at = made()
    noise = torch.Generator().manual_seed(1)
    list(train(training, batch_at, generator=noise, max_steps=10))
    state, resumed_noise = copy.deepcopy(training.state_dict()), noise.clone_state()
    list(train(training, batch_at, generator=noise, start=10, max_steps=20))
    energy, resumed, batch_at = made()
    resumed.load_state_dict(state)
    list(train(resumed, batch_at, generator=resumed_noise, start=10, max_steps=20))
    assert training.finish() == resumed.finish()
    torch.testing.assert_close(whole.W, energy.W, rtol=0, atol=0)


def test_what_cannot_be_used_is_refused():
    bits = np.array([[0, 1], [1, 1], [0, 0], [1, 0], [1, 1]])
    with pytest.raises(InputError, match="Expected bits 0 and 1.*set units='spins'"):
        WaveFunctionRBM().fit(1 - 2 * bits)
    with pytest.raises(InputError, match="Expected spins -1 and 1"):
        WaveFunctionRBM(units="spins").fit(bits)
    with pytest.raises(InputError, match="one of them 'XA'"):
        WaveFunctionRBM(phase=True).fit(bits, bases=["XA"] * 5)
    with pytest.raises(InputError, match="bases other than Z"):
        WaveFunctionRBM(phase=True).fit(bits)
    with pytest.raises(InputError, match="n_folds = 6 rows"):
        WaveFunctionRBM(n_folds=6).fit(bits)
    with pytest.raises(InputError, match="n_folds of 0, or 2"):
        WaveFunctionRBM(n_folds=1).fit(bits)
    with pytest.raises(InputError, match="method='exact'"):
        WaveFunctionRBM(method="sampling").fit(bits, bases=["XZ"] * 5)
    with pytest.raises(InputError, match="Positive states are found only"):
        WaveFunctionRBM(phase=True).minimise(transverse_field_ising(3))
    model = WaveFunctionRBM(max_steps=3, random_state=0).fit(bits)
    with pytest.raises(InputError, match="2 sites as in fit, got 3"):
        model.log_psi(np.zeros((4, 3)))
    with pytest.raises(InputError, match="4 finite amplitudes"):
        model.fidelity(np.ones(8))
