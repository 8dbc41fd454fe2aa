"""Autoencoders: estimator and training."""

from reverie.models.autoencoder.estimator import Autoencoder

__all__ = ["Autoencoder"]
