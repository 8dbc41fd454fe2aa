"""Variational autoencoders: estimator, networks, training, likelihood by importance sampling."""

from reverie.models.vae.estimator import VAE

__all__ = ["VAE"]
