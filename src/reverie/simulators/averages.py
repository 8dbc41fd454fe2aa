"""Averages over Ising configurations, with errors that know the autocorrelation.

Per site, N = side^2, e = <H> / N without field and m = M / N:

    specific heat     c   = beta^2 N (<e^2> - <e>^2)
    susceptibility    chi = beta N (<m^2> - <|m|>^2), the connected one of finite lattices
    Binder cumulant   U4  = 1 - <m^4> / (3 <m^2>^2): 2/3 in the ordered, 0 in the disordered phase
    correlation       G(r) = <s_0 s_r> along rows and columns, r = 0 ... side // 2, not connected
    correlation length xi = (2 sin(k/2))^-1 sqrt(S(0) / S(k) - 1), k = 2 pi / side, S(k) = <|sum s e^(ikx)|^2> / N,
                      the second moment of G; it is a length only in the disordered phase

Configurations are cut into blocks along each chain, 10 tau_int long with tau_int the largest of e, |m| and m^2,
and every error is a jackknife over blocks, which leaves one block out at a time. That needs no formula for functions
of averages and removes their bias of order 1 / n. The covariance of G(r) is that of block means.

References
----------
Efron and Stein, Ann. Stat. 9, 586 (1981) on the jackknife; Wolff, hep-lat/0306017 on tau_int; Cooper, Freedman and
Preston, Nucl. Phys. B 210, 210 (1982) on xi.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, fields
from functools import partial

import numpy as np
import torch
from torch import Tensor

from reverie.core.arguments import NonNegative, checked
from reverie.core.errors import InputError
from reverie.core.measured import Measured
from reverie.core.series import autocorrelation_time, block_length
from reverie.core.tables import as_array
from reverie.core.types import ArrayLike
from reverie.data.observables import ising_energy, magnetisation

__all__ = ["Blocks", "Correlation", "LatticeAverages", "correlation_function", "jackknife", "lattice_averages"]

_ROUNDING = 1e-12  # of S(0), below which S(k) is none
_FEWEST_BLOCKS = 20  # below, the error of an error exceeds 1 / sqrt(2 * 19) = 16 %


@dataclass(frozen=True)
class Blocks:
    """How the configurations were cut."""

    tau: float  # integrated autocorrelation time, in configurations, the largest of e, |m| and m^2
    length: int  # configurations per block
    n: int
    warning: str = ""  # what makes the errors doubtful


@dataclass(frozen=True)
class LatticeAverages:
    """Averages per site, each with its error; energies in J, lengths in lattice spacings.

    They are e, c, <|m|>, <m^2>, chi, U4 and xi, which is nan where S(k) exceeds S(0) or is rounding, as of lattices
    whose spins are all alike, and the blocks behind the errors.
    """

    energy: Measured
    specific_heat: Measured
    abs_m: Measured
    m2: Measured
    susceptibility: Measured
    binder: Measured
    correlation_length: Measured
    blocks: Blocks

    def __str__(self) -> str:
        lines = [f"{f.name.replace('_', ' '):19s}{getattr(self, f.name)}" for f in fields(self) if f.name != "blocks"]
        lines.append(f"{self.blocks.n} blocks of {self.blocks.length} configurations, tau_int = {self.blocks.tau:.2g}")
        return "\n".join(lines + [self.blocks.warning] * bool(self.blocks.warning))


@dataclass(frozen=True, eq=False)
class Correlation:
    """Correlation function G(r) along the axes at the distances r = 0 ... side // 2, and its covariance (r, r).

    The covariance with r = 0 is zero because G(0) = 1.
    """

    r: np.ndarray
    value: np.ndarray
    covariance: np.ndarray
    blocks: Blocks

    @property
    def error(self) -> np.ndarray:
        """Standard error of each value (r,)."""
        return np.sqrt(np.diag(self.covariance))


@checked
def lattice_averages(spins: ArrayLike, beta: NonNegative) -> LatticeAverages:
    """Return averages of configurations without field.

    Raises `InputError` for another shape, fewer than 4 steps, or values other than -1 and +1.

    Parameters
    ----------
    spins : (step, side, side) in order, or (step, chain, side, side) as `Chains.x`; array or tensor of -1 and +1.
    beta : inverse temperature at which they were drawn, in units of 1/J.
    """
    chains = _as_chains(spins)
    n_sites, side = chains.shape[-1] ** 2, chains.shape[-1]
    series, blocks = _series_and_blocks(chains)
    e, m = series["energy"], series["m"]
    wave = torch.exp(2j * math.pi / side * torch.arange(side, device=chains.device, dtype=torch.float64))

    def first_mode(x: Tensor) -> Tensor:
        """Return S(k) / N of the smallest k, averaged over both axes, (batch,)."""
        modes = [(x.double().mean(axis).to(wave.dtype) @ wave / side).abs().square() for axis in (-1, -2)]
        return (modes[0] + modes[1]) / 2

    def length(a: np.ndarray) -> np.ndarray:
        with np.errstate(invalid="ignore", divide="ignore"):
            ratio = np.where(a[..., 5] > _ROUNDING * a[..., 3], a[..., 3] / a[..., 5], np.nan)
            return np.sqrt(ratio - 1) / (2 * math.sin(math.pi / side))

    long_wave = _per_configuration(first_mode, chains)
    moments = np.stack([e, e**2, np.abs(m), m**2, m**4, long_wave], axis=-1)
    measure = partial(jackknife, means=_block_means(moments, blocks))
    return LatticeAverages(
        energy=measure(lambda a: a[..., 0]),
        specific_heat=measure(lambda a: beta**2 * n_sites * (a[..., 1] - a[..., 0] ** 2)),
        abs_m=measure(lambda a: a[..., 2]),
        m2=measure(lambda a: a[..., 3]),
        susceptibility=measure(lambda a: beta * n_sites * (a[..., 3] - a[..., 2] ** 2)),
        binder=measure(lambda a: 1 - a[..., 4] / (3 * a[..., 3] ** 2)),
        correlation_length=measure(length),
        blocks=blocks,
    )


@checked
def correlation_function(spins: ArrayLike) -> Correlation:
    """Return G(r) with its covariance, for spins as in `lattice_averages`."""
    chains = _as_chains(spins)
    _, blocks = _series_and_blocks(chains)

    def correlation(x: Tensor) -> Tensor:
        """Return the mean of s_0 s_r over sites and both axes, (batch, side // 2 + 1)."""
        x, side = x.double(), x.shape[-1]
        rows, columns = (
            torch.fft.irfft(torch.fft.rfft(x, dim=axis).abs().square(), side, dim=axis) for axis in (-1, -2)
        )
        return (rows.mean(1) + columns.mean(2))[:, : side // 2 + 1] / (2 * side)

    means = _block_means(_per_configuration(correlation, chains), blocks)
    covariance = np.atleast_2d(np.cov(means, rowvar=False)) / len(means)
    return Correlation(np.arange(means.shape[1]), means.mean(0), covariance, blocks)


def jackknife(statistic: Callable[[np.ndarray], np.ndarray], means: np.ndarray) -> Measured:
    """Return a function of averages, (..., k) -> (...), without its bias of order 1 / n, and its error.

    The means (block, k) are averages within independent blocks of one size. Raises `InputError` for fewer than two.
    """
    n = len(means)
    if n < 2:
        raise InputError(f"Expected at least 2 blocks for a jackknife, got {n}. Take more configurations.")
    total = means.mean(0)
    without = statistic((n * total - means) / (n - 1))
    value = n * float(statistic(total)) - (n - 1) * float(without.mean())
    return Measured(value, math.sqrt((n - 1) * float(without.var())), n)


def _as_chains(spins: ArrayLike) -> Tensor:
    """Return (chain, step, side, side)."""
    x = spins if isinstance(spins, Tensor) else torch.as_tensor(np.ascontiguousarray(as_array(spins, "spins")))
    x = x if x.is_floating_point() else x.float()
    if x.ndim not in (3, 4) or x.shape[-1] != x.shape[-2] or len(x) < 4:
        raise InputError(
            f"Expected spins (step, side, side) or (step, chain, side, side) with 4 or more steps, "
            f"got shape {tuple(x.shape)}. Give square lattices in their order."
        )
    if not bool((x.abs() == 1).all()):
        raise InputError("Expected spins of -1 and +1, got other values. Give 2 x - 1 of bits 0 and 1.")
    return x.unsqueeze(0) if x.ndim == 3 else x.transpose(0, 1)


def _per_configuration(function: Callable[[Tensor], Tensor], chains: Tensor) -> np.ndarray:
    """Return `function` of each configuration, (chain, step, ...), chain by chain to bound memory."""
    return np.stack([torch.cat([function(x).double() for x in chain.split(4096)]).cpu().numpy() for chain in chains])


def _series_and_blocks(chains: Tensor) -> tuple[dict[str, np.ndarray], Blocks]:
    series = {"energy": _per_configuration(ising_energy, chains), "m": _per_configuration(magnetisation, chains)}
    monitored = (series["energy"], np.abs(series["m"]), series["m"] ** 2)
    tau = max(autocorrelation_time(x).value for x in monitored)
    n_chains, n_steps = series["m"].shape
    wanted = block_length(tau)
    length = max(1, min(wanted, n_steps * n_chains // _FEWEST_BLOCKS, n_steps))
    number = n_chains * (n_steps // length)
    warning = ""
    if length < wanted or number < _FEWEST_BLOCKS:
        warning = (
            f"Errors are doubtful: {number} blocks of {length} configurations, but {_FEWEST_BLOCKS} blocks of "
            f"{wanted} (10 tau_int) are needed. Take more configurations."
        )
    return series, Blocks(tau, length, number, warning)


def _block_means(values: np.ndarray, blocks: Blocks) -> np.ndarray:
    """Return means (block, k) of values (chain, step, k); a remainder at the start of each chain is left out."""
    n_chains, n_steps, k = values.shape
    kept = n_steps // blocks.length * blocks.length
    return values[:, n_steps - kept :].reshape(-1, blocks.length, k).mean(1)
