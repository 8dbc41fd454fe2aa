"""Laws of compiled training: the weights of the plain way up to rounding, and resumption bit by bit.

A model that binds a new tensor where it should change the old one fails here: its compiled steps start from it again.
"""

import copy

import numpy as np
import pytest
import torch

from reverie.data.sets import particle_sets
from reverie.models import EBM, GAN, RBM, VAE, Autoencoder, Flow, FlowMatching
from reverie.models.training_run import TrainingOptions
from reverie.models.wavefunction.training import Fit, SampledLikelihood, initial_energy
from reverie.training.loop import train

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

N_STEPS = 12
COMMON = {"max_steps": N_STEPS, "record_every": 4, "n_checks": 0, "random_state": 0, "batch_size": 16, "n_threads": 1}
SMALL = {"generator": (8,), "discriminator": (8,), "objective": "non_saturating"}


def _numbers():
    return np.random.default_rng(0).normal(size=(200, 3))


def _bits():
    return np.random.default_rng(1).integers(0, 2, (200, 9))


def _images():
    return np.random.default_rng(2).random((60, 8, 8))


def _sets():
    rng = np.random.default_rng(3)
    mask = np.arange(4) < rng.integers(1, 5, 200)[:, None]
    return particle_sets(rng.normal(size=(200, 4, 2)) * mask[..., None], mask)


CASES = {
    "gan, penalty every third step": (lambda **o: GAN(penalty="r1", penalty_every=3, **SMALL, **o), _numbers),
    "gan, three critics, spectral norm": (lambda **o: GAN(n_critic=3, spectral_norm=True, **SMALL, **o), _numbers),
    "gan, replicas": (lambda **o: GAN(n_replicas=2, **SMALL, **o), _numbers),
    "gan, augmented": (lambda **o: GAN(augmentation=0.5, **SMALL, **o), _numbers),
    "gan, augmented images": (lambda **o: GAN(augmentation=0.5, **SMALL, **o), _images),
    "dcgan": (lambda **o: GAN(objective="non_saturating", **o), _images),
    "dcgan, clusters": (lambda **o: GAN(generator="dcgan", discriminator="dcgan", image_clusters=3, **o), _images),
    "ebm": (lambda **o: EBM(energy=(8,), **o), _numbers),
    "rbm": (lambda **o: RBM(n_hidden=30, method="pcd", **o), _bits),
    "rbm, gaussian": (lambda **o: RBM(n_hidden=6, method="pcd", **o), _numbers),
    "rbm, exact": (lambda **o: RBM(n_hidden=3, **o), _bits),
    "vae": (lambda **o: VAE(encoder=(8,), decoder=(8,), **o), _numbers),
    "autoencoder": (lambda **o: Autoencoder(noise=0.1, **o), _numbers),
    "flow": (lambda **o: Flow(hidden=(8,), **o), _numbers),
    "flow matching": (lambda **o: FlowMatching(width=8, **o), _numbers),
    "gan, sets": (lambda **o: GAN(generator=(8,), discriminator=(8,), penalty="r1_r2", **o), _sets),
    "flow matching, sets": (lambda **o: FlowMatching(width=8, n_blocks=2, **o), _sets),
    "flow matching, sets, observables": (
        lambda **o: FlowMatching(width=8, n_blocks=1, observables=["multiplicity"], **o),
        _sets,
    ),
    "flow matching, sets, attention": (lambda **o: FlowMatching(network="attention", width=8, n_blocks=1, **o), _sets),
    "flow matching, images": (lambda **o: FlowMatching(width=8, **o), _images),
}


def trained(name: str, compile: bool, stop_at: int = N_STEPS, resume: dict | None = None):
    made, rows = CASES[name]
    model = made(compile=compile, **COMMON)
    for record in model.iter_fit(rows(), resume=resume):
        if record.step >= stop_at:
            break
    return model


def numbers(state) -> list[torch.Tensor]:
    leaves = torch.utils._pytree.tree_leaves(state)
    return [leaf for leaf in leaves if isinstance(leaf, torch.Tensor) and leaf.is_floating_point() and leaf.numel()]


def steps_of(model) -> list:
    return list(model._run.train_step.compiled_steps())


@pytest.mark.parametrize("name", list(CASES))
def test_compiled_training_is_the_plain_one(name):
    """Weights, averages, moments and chains after twelve steps: all but one entry in two hundred to 1e-3."""
    plain, ours = trained(name, compile=False), trained(name, compile=True)
    used = [step for step in steps_of(ours) if step.is_compiled]
    assert used, [step.reason for step in steps_of(ours)]
    off = total = 0
    for a, b in zip(numbers(plain.training_state()), numbers(ours.training_state()), strict=True):
        off += int(((a - b).abs() > 1e-3 * float(a.abs().max()) + 1e-6).sum())
        total += a.numel()
    assert off <= 0.005 * total + 3


@pytest.mark.parametrize("name", list(CASES))
def test_compiled_training_resumes_bit_by_bit(name):
    whole = trained(name, compile=True)
    state = trained(name, compile=True, stop_at=8).training_state()
    again = trained(name, compile=True, resume=state)
    for a, b in zip(numbers(whole.training_state()), numbers(again.training_state()), strict=True):
        assert torch.equal(a, b)


def state_of_wave_function(compile: bool, stop_at: int = N_STEPS, resume: dict | None = None):
    """Return the state of a sampled training, which is no training of a `GenerativeModel`, and its compiled step."""
    bits = torch.from_numpy(_bits()).double()
    energy = initial_energy(9, 5, torch.Generator().manual_seed(0), bits)
    fit = Fit(N_STEPS, 0.01, 0, 250, 16, 30, 3, compile)
    training = SampledLikelihood([energy], bits, np.full(200, "Z" * 9), fit, seed=0)
    batch_at = training.batches({}, TrainingOptions(batch_size=16, max_steps=N_STEPS), 0, "cpu")
    noise, start = torch.Generator().manual_seed(1), 0
    if resume is not None:
        training.load_state_dict(resume)
        noise.set_state(resume["noise"])
        start = resume["step"]
    list(train(training, batch_at, generator=noise, start=start, max_steps=stop_at))
    return training.state_dict() | {"noise": noise.get_state()}, training.compiled


def test_compiled_training_of_a_wave_function_is_the_plain_one():
    """The law above, in double precision: to 1e-9."""
    (plain, _), (ours, step) = (state_of_wave_function(compile=way) for way in (False, True))
    assert step.is_compiled, step.reason
    for a, b in zip(numbers(plain), numbers(ours), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-9, atol=1e-9)


def test_compiled_training_of_a_wave_function_resumes_bit_by_bit():
    whole, _ = state_of_wave_function(compile=True)
    half, _ = state_of_wave_function(compile=True, stop_at=8)
    again, _ = state_of_wave_function(compile=True, resume=copy.deepcopy(half))
    for a, b in zip(numbers(whole), numbers(again), strict=True):
        assert torch.equal(a, b)
