"""Settings of a model by name: the defaults of the GAN spelled out, the GANs of the lectures, a known recipe.

name           what it is
=============  =========================================================================================
"table"        the defaults for events in columns
"image"        the defaults for images of at least 16 pixels a side
"lattice"      spins or fields on a lattice; the discriminator is shown energy and |magnetisation|
"lecture_mlp"  the MLP GAN of the lectures, 20-100-784 for MNIST
"thesis"       the dense-plus-convolution pair of the lectures' thesis, for vectors of a few features
"dcgan28"      the DCGAN of the tutorial that the lectures adapt, for images of 28 x 28
"wgan_conv"    the convolutional Wasserstein GAN with gradient penalty
"du_mordatch"  the energy-based model of Du and Mordatch: short chains, large steps, hardly any noise
"diffusion"    flow matching whose samples take the random walk of diffusion models
=============  =========================================================================================

The first three and "diffusion" are what to use. The four after the first three are what the lectures do, on purpose
without what was learnt since (relativistic pairing, R1 and R2, averaging, whitening, rejection sampling): they are
there to be seen, and to be compared with. What a source does not state is ours: the optimiser of the thesis is that of
Radford et al., arXiv:1511.06434; those of "wgan_conv" are the numbers of Gulrajani et al., arXiv:1704.00028. The
networks are described in `reverie.networks.lectures`. "du_mordatch" has the numbers of Du and Mordatch,
arXiv:1903.08689, and of their code: steps x - 10 grad E + 0.005 xi, which are Langevin steps at the temperature 0.005^2
/ (2 10), of chains out of a store of 10,000, one in twenty of them new; Adam with 3e-4. Ours are the 20 steps of a
chain (theirs: 60, for colour images), 2,000 updates, our network in place of theirs, and no spectral normalisation. It
descends rather than samples, so its likelihoods mean little. All are checked like any other run
(`reverie.models.training_run`).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from reverie.core.checks import check_choice
from reverie.models.base import GenerativeModel
from reverie.models.ebm.estimator import EBM
from reverie.models.flow_matching.estimator import FlowMatching
from reverie.models.gan.estimator import GAN
from reverie.models.registry import ALIASES

__all__ = ["PRESETS", "Preset", "preset"]


@dataclass(frozen=True)
class Preset:
    """Constructor arguments of a model, and what they are for in one line."""

    about: str
    arguments: Mapping[str, Any]
    model: type[GenerativeModel] = GAN


def _lecture(name: str, **arguments: Any) -> dict[str, Any]:
    """Return the arguments of a plain GAN of the two networks `name`, as it was trained in 2014."""
    plain = {"generator": name, "discriminator": name, "objective": "non_saturating", "penalty": "none"}
    off = {"schedule": "constant", "ema_decay": 0.0, "whiten": False, "refine": False}
    return plain | off | {"batch_size": 64, "betas": (0.9, 0.999)} | arguments


_WASSERSTEIN = {"objective": "wasserstein_gp", "penalty": "two_sided", "penalty_weight": 10.0, "penalty_every": 1}
_DESCENT = {"adjusted": False, "step_size": 10.0, "temperature": 0.005**2 / 20.0, "jumps": False, "confinement": None}
_CHAINS = {"n_langevin": 20, "buffer_size": 10_000, "restart_fraction": 0.05}
PRESETS: dict[str, Preset] = {
    "table": Preset(
        "events in columns: the defaults, spelled out",
        {"objective": "relativistic", "generator": "mlp", "discriminator": "mlp"}
        | {"batch_size": 256, "preprocessing": "auto", "whiten": True},
    ),
    "image": Preset(
        "images of at least 16 pixels a side: the defaults, spelled out",
        {"objective": "relativistic", "generator": "dcgan", "discriminator": "dcgan"}
        | {"batch_size": 64, "n_noise": 128, "whiten": False},
    ),
    "lattice": Preset(
        "spins or fields on a lattice: the discriminator sees energy and |magnetisation| beside the sites",
        {"objective": "relativistic", "generator": "auto", "discriminator": "auto"}
        | {"observables": ("energy", "abs_magnetisation"), "whiten": False},
    ),
    "lecture_mlp": Preset(
        "the lectures' MLP GAN, 20-100-784 for MNIST",
        _lecture("lecture_mlp", n_noise=20, noise_prior="uniform", learning_rate=1e-3),
    ),
    "thesis": Preset(
        "the thesis's dense-plus-convolution pair, for vectors of a few features",
        _lecture("thesis", n_noise=100, noise_prior="uniform", learning_rate=2e-4)
        | {"betas": (0.5, 0.999), "preprocessing": "standardise"},
    ),
    "dcgan28": Preset(
        "the lectures' DCGAN, for images of 28 x 28",
        _lecture("dcgan28", n_noise=100, batch_size=256, learning_rate=1e-4),
    ),
    "wgan_conv": Preset(
        "convolutional Wasserstein GAN with gradient penalty, for images of 28 x 28",
        _lecture("wgan_conv", n_noise=100, noise_prior="uniform", n_critic=5, learning_rate=1e-4)
        | _WASSERSTEIN
        | {"betas": (0.0, 0.9)},
    ),
    "du_mordatch": Preset(
        "the energy-based model of Du and Mordatch, for images",
        _DESCENT | _CHAINS | {"energy_penalty": 1.0, "batch_size": 128, "max_steps": 2000, "learning_rate": 3e-4},
        EBM,
    ),
    "diffusion": Preset(
        "samples by the random walk of diffusion models, 'reverie run diffusion'", ALIASES["diffusion"][1], FlowMatching
    ),
}


def preset(name: str, **overrides: Any) -> GenerativeModel:
    """Return an unfitted model with the settings `name`, some of them overridden: a GAN, or what the table says.

    Parameters
    ----------
    name : a key of `PRESETS`; another one raises `UnknownNameError`, with the nearest.
    overrides : constructor arguments of the model, which go before those of the preset.

    Examples
    --------
    >>> preset("lecture_mlp", random_state=0).n_noise
    20
    """
    chosen = check_choice("preset", name, PRESETS)
    return chosen.model(**{**chosen.arguments, **overrides})
