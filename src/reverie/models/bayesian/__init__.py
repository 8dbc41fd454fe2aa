"""Bayesian learning: parameters drawn from their posterior, ready-made likelihoods and priors."""

from reverie.models.bayesian.sampling import Posterior, sample_posterior

__all__ = ["Posterior", "sample_posterior"]
