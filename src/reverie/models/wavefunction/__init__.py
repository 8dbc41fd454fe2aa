"""Wave functions on restricted Boltzmann machines: estimator, training from measurements, variational ground states."""

from reverie.models.wavefunction.estimator import WaveFunctionRBM

__all__ = ["WaveFunctionRBM"]
