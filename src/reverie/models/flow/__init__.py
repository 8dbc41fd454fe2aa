"""Normalizing flows: estimator, networks of zuko, training, fast inverse."""

from reverie.models.flow.estimator import Flow

__all__ = ["Flow"]
