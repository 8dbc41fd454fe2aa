"""Generative adversarial networks: estimator, networks, the two-player step, monitor, rejection sampling."""

from reverie.models.gan.estimator import GAN
from reverie.models.gan.semi_supervised import SemiSupervisedGAN

__all__ = ["GAN", "SemiSupervisedGAN"]
