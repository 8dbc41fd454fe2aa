"""How long a series remembers: integrated autocorrelation time by the Gamma method, and errors of means.

A stationary series x_1 ... x_n with autocovariance Gamma(t) and rho(t) = Gamma(t) / Gamma(0) has

    tau_int = 1/2 + sum_(t>=1) rho(t),     n_eff = n / (2 tau_int),     var(mean) = 2 tau_int Gamma(0) / n.

tau_int = 1/2 is an independent series; AR(1) of parameter rho has tau_int = (1 + rho) / (2 (1 - rho)).
The sum is cut at the first window W at which its truncation is no longer worth its noise,

    exp(-W / tau) < tau / sqrt(W n),     tau = S / log((2 tau_int(W) + 1) / (2 tau_int(W) - 1)),   S = 1.5,

or, where anticorrelation leaves tau_int(W) <= 1/2, at the first |rho(W)| < 3 / sqrt(n). Subtracting the mean
takes C / n from every Gamma(t), C = 2 tau_int Gamma(0), which is put back. The error is that of Madras and
Sokal, error^2 = (4 / n) (W + 1/2 - tau_int) tau_int^2. A series shorter than some 50 tau_int gives too small a
value. Several chains of one law are pooled: one mean for all, and Gamma(t) from the pairs within chains.

References
----------
Wolff, Comput. Phys. Commun. 156, 143 (2004), hep-lat/0306017; Madras and Sokal, J. Stat. Phys. 50, 109 (1988).
Bound on n_eff of antithetic series: Vehtari et al., arXiv:1903.08008.
"""

import math
from dataclasses import dataclass

import numpy as np

from reverie.core.checks import check_finite
from reverie.core.errors import InputError
from reverie.core.measured import Measured
from reverie.core.tables import as_array

__all__ = [
    "AutocorrelationTime",
    "as_chains",
    "autocorrelation_time",
    "autocovariance",
    "block_length",
    "mean_with_error",
]

_ROUNDING = 1e-15  # of the largest number, by which a constant series may vary
_S = 1.5  # tau_exp / tau_int that the window assumes (Wolff 2004)
_FEWEST = 4  # measurements per chain


@dataclass(frozen=True)
class AutocorrelationTime:
    """Integrated autocorrelation time, in steps of the series.

    Parameters
    ----------
    value : tau_int >= 1 / (2 log10 n), 1/2 for independent measurements and for a constant series.
    error : one standard error of it; 0 for a constant series, of which nothing is known.
    window : number of lags that were summed.
    n : number of measurements, over all chains.
    n_eff : number of independent measurements worth as much, n / (2 value).
    """

    value: float
    error: float
    window: int
    n: int
    n_eff: float

    def __str__(self) -> str:
        return f"tau_int = {Measured(self.value, self.error)} (n = {self.n}, n_eff = {self.n_eff:.0f})"


def autocorrelation_time(x: np.ndarray) -> AutocorrelationTime:
    """Return the integrated autocorrelation time of x (step,) or of pooled chains x (chain, step).

    A constant series gets tau_int = 1/2 and n_eff = n: it shows no correlation, and its mean no error.
    Chains that are constant but differ are as many measurements as there are chains, up to a factor near 1.

    Raises
    ------
    InputError
        For another shape, fewer than 4 steps, or values that are not finite.
    """
    chains = as_chains(x)
    return _analyse(chains)[0]


def mean_with_error(x: np.ndarray) -> Measured:
    """Return the mean of x (step,) or (chain, step) with its standard error sqrt(2 tau_int var / n).

    `n` of the result is the number of independent measurements, n_eff rounded down, at least 1. Raises as
    `autocorrelation_time` does.
    """
    chains = as_chains(x)
    time, variance = _analyse(chains)
    return Measured(float(chains.mean()), math.sqrt(variance / time.n_eff), max(1, int(time.n_eff)))


def block_length(tau: AutocorrelationTime | float) -> int:
    """Return ceil(10 tau_int), the length of blocks that count as independent."""
    value = tau.value if isinstance(tau, AutocorrelationTime) else tau
    return max(1, math.ceil(10 * value))


def autocovariance(x: np.ndarray) -> np.ndarray:
    """Return Gamma(t), t = 0 ... step - 1, of x (step,) or of pooled chains (chain, step) about their common mean.

    Gamma(t) is the mean over the step - t pairs of every chain, by fast Fourier transform in float64. Raises as
    `autocorrelation_time` does.
    """
    from scipy import fft

    chains = as_chains(x)
    n = chains.shape[1]
    size = int(fft.next_fast_len(2 * n, real=True))
    power = np.zeros(size // 2 + 1)
    for chain in chains - chains.mean():
        power += np.abs(np.asarray(fft.rfft(chain, size))) ** 2
    return np.asarray(fft.irfft(power, size))[:n] / (np.arange(n, 0, -1) * len(chains))


def as_chains(x: np.ndarray) -> np.ndarray:
    """Return a series (step,) or chains (chain, step) as finite float64 chains; raises as `autocorrelation_time`."""
    array = np.asarray(as_array(x, "the series"), dtype=np.float64)
    if array.ndim not in (1, 2) or array.shape[-1] < _FEWEST or len(array) == 0:
        raise InputError(
            f"Expected a series (step,) or (chain, step) with at least {_FEWEST} steps, got shape {array.shape}. "
            "Give one number per step; steps run along the last axis."
        )
    check_finite(array, name="the series")
    return np.atleast_2d(array)


def _analyse(chains: np.ndarray) -> tuple[AutocorrelationTime, float]:
    """Return the autocorrelation time and the variance of one measurement, both corrected for the mean's bias."""
    n = chains.size
    if np.ptp(chains) <= _ROUNDING * np.abs(chains).max():
        return AutocorrelationTime(0.5, 0.0, 0, n, float(n)), 0.0
    gamma = autocovariance(chains)[: chains.shape[1] // 2 + 1]
    tau = np.cumsum(gamma) / gamma[0] - 0.5
    # the first window W = 1, 2, ... at which truncation costs less than noise, or the last
    w, rho = np.arange(1, len(tau)), gamma / gamma[0]
    correlated = tau[1:] > 0.5
    twice = 2 * np.where(correlated, tau[1:], 1.0)
    decay = _S / np.log((twice + 1) / (twice - 1))
    small = np.exp(-w / decay) < decay / np.sqrt(w * n)
    enough = np.where(correlated, small, np.abs(rho[1:]) < 3 / math.sqrt(n))
    window = int(w[enough][0]) if enough.any() else int(w[-1])
    variance = gamma[0] * (1 + 2 * tau[window] / n)
    corrected = gamma[: window + 1] + 2 * tau[window] * gamma[0] / n
    value = max(float(corrected.sum() / variance) - 0.5, 0.5 / math.log10(max(n, 10)))
    error = value * math.sqrt(4 / n * max(window + 0.5 - value, 0.5))
    return AutocorrelationTime(value, error, window, n, n / (2 * value)), float(variance)
