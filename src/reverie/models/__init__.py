"""Models: estimators with fit, sample, score and save."""

from reverie.models.autoencoder import Autoencoder
from reverie.models.bayesian import logistic_regression, network_regression, two_gaussians
from reverie.models.ebm import EBM
from reverie.models.files import MODELS, load_model, save_model
from reverie.models.flow import Flow
from reverie.models.gan import GAN
from reverie.models.posterior import Posterior, sample_posterior
from reverie.models.presets import PRESETS, preset
from reverie.models.rbm import RBM
from reverie.models.semi_supervised import SemiSupervisedGAN
from reverie.models.vae import VAE
from reverie.models.wavefunction import WaveFunctionRBM

__all__ = [
    "EBM",
    "GAN",
    "MODELS",
    "PRESETS",
    "RBM",
    "VAE",
    "Autoencoder",
    "Flow",
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
