"""Energy-based models: estimator, training with Langevin chains or score matching, partition function."""

from reverie.models.ebm.estimator import EBM

__all__ = ["EBM"]
