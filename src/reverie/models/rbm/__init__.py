"""Restricted Boltzmann machines: estimator, contrastive divergence and its relatives, chains, partition function."""

from reverie.models.rbm.estimator import RBM

__all__ = ["RBM"]
