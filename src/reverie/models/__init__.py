"""Models: estimators with fit, sample, score and save.

A family of models is a package; what is named here is loaded when it is first used, so that the names of the models
(`reverie.models.registry`) can be read without torch.
"""

import importlib
from typing import TYPE_CHECKING, Any

from reverie.models.registry import MODELS

if TYPE_CHECKING:
    from reverie.models.autoencoder.estimator import Autoencoder
    from reverie.models.bayesian.likelihood import logistic_regression, network_regression, two_gaussians
    from reverie.models.bayesian.sampling import Posterior, sample_posterior
    from reverie.models.ebm.estimator import EBM
    from reverie.models.files import load_model, save_model
    from reverie.models.flow.estimator import Flow
    from reverie.models.flow_matching.estimator import FlowMatching
    from reverie.models.gan.estimator import GAN
    from reverie.models.gan.semi_supervised import SemiSupervisedGAN
    from reverie.models.presets import PRESETS, preset
    from reverie.models.rbm.estimator import RBM
    from reverie.models.vae.estimator import VAE
    from reverie.models.wavefunction.estimator import WaveFunctionRBM

__all__ = [
    "EBM",
    "GAN",
    "MODELS",
    "PRESETS",
    "RBM",
    "VAE",
    "Autoencoder",
    "Flow",
    "FlowMatching",
    "Posterior",
    "SemiSupervisedGAN",
    "WaveFunctionRBM",
    "load_model",
    "logistic_regression",
    "network_regression",
    "preset",
    "sample_posterior",
    "save_model",
    "two_gaussians",
]

_FILES = {
    "autoencoder.estimator": ("Autoencoder",),
    "bayesian.likelihood": ("logistic_regression", "network_regression", "two_gaussians"),
    "bayesian.sampling": ("Posterior", "sample_posterior"),
    "ebm.estimator": ("EBM",),
    "files": ("load_model", "save_model"),
    "flow.estimator": ("Flow",),
    "flow_matching.estimator": ("FlowMatching",),
    "gan.estimator": ("GAN",),
    "gan.semi_supervised": ("SemiSupervisedGAN",),
    "presets": ("PRESETS", "preset"),
    "rbm.estimator": ("RBM",),
    "vae.estimator": ("VAE",),
    "wavefunction.estimator": ("WaveFunctionRBM",),
}
_HOMES = {name: file for file, names in _FILES.items() for name in names}


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        value = getattr(importlib.import_module(f"reverie.models.{_HOMES[name]}"), name)
        globals()[name] = value
        return value
    raise AttributeError(f"module 'reverie.models' has no attribute {name!r}; it has {', '.join(__all__)}")


def __dir__() -> list[str]:
    return sorted(__all__)
