"""Simulators: distributions and physical models whose truth is known."""

from reverie.simulators.targets import TARGETS, GaussianMixture, target

__all__ = ["TARGETS", "GaussianMixture", "target"]
