"""Models: estimators with fit, sample, score and save."""

from reverie.models.autoencoder.estimator import Autoencoder
from reverie.models.bayesian.likelihood import logistic_regression, network_regression, two_gaussians
from reverie.models.bayesian.posterior import Posterior, sample_posterior
from reverie.models.ebm.estimator import EBM
from reverie.models.files import MODELS, load_model, save_model
from reverie.models.flow.estimator import Flow
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
