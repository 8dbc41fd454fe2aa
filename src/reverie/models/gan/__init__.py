"""Generative adversarial networks: estimator, networks, train step, rejection sampling, completion."""

from reverie.models.gan.completion import Search
from reverie.models.gan.estimator import GAN
from reverie.models.gan.semi_supervised import SemiSupervisedGAN

__all__ = ["GAN", "Search", "SemiSupervisedGAN"]
