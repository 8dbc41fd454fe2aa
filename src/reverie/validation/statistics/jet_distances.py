"""W1M, W1P and W1EFP: how far generated jets are from real ones, as JetNet defines it, with real against real beside.

    W1M     Wasserstein distance of the masses of jets
    W1P     the mean of those of eta, phi and pt of all particles of all jets
    W1EFP   the mean of those of the five energy flow polynomials of connected graphs with 4 vertices and 4 edges

each the mean over batches of jets drawn with replacement from both samples, with the standard deviation over batches
(Kansal et al., arXiv:2106.11535; observables are those of `reverie.core.jets`, units those of the columns).

A distance of two finite samples of one law is not 0, and batches with replacement add to it: for 20,000 events its mean
is some 1.4 times that of the samples themselves, and the standard deviation over batches does not hold the fluctuation
of the samples. A distance therefore says little without that of real against real at the same sizes: give a second real
sample as `calibration`. For a p-value take `reverie.validate`. FPD and KPD are `fpd_jetnet` and `kpd_jetnet` of
`jet_efps` of both samples.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Annotated, TypeAlias

import numpy as np
import torch

from reverie.core import jets
from reverie.core.arguments import Interval, checked
from reverie.core.measured import Measured
from reverie.core.random import as_seed
from reverie.core.types import ArrayLike, RandomState
from reverie.validation.inputs.sets import jet_particles
from reverie.validation.statistics.marginal import wasserstein_1d

__all__ = ["JetDistance", "jet_efps", "w1efp", "w1m", "w1p"]

_Batches: TypeAlias = Annotated[int, Interval(1, 100_000)]
_Jets: TypeAlias = Annotated[int, Interval(2, 10_000_000)]
_BLOCK = 1000  # jets whose pairs of particles are held at once


@dataclass(frozen=True)
class JetDistance:
    """A distance of generated from real jets, and of real from real ones.

    Parameters
    ----------
    name : "W1M", "W1P" or "W1EFP".
    value, error : Mean and standard deviation over batches.
    parts : The mean of each feature, of which `value` is the mean.
    real, real_error : The same for the calibration sample against the real one; None without one.
    """

    name: str
    value: float
    error: float
    parts: tuple[float, ...]
    real: float | None = None
    real_error: float | None = None

    def __str__(self) -> str:
        against = "" if self.real is None else f" (real against real {Measured(self.real, self.real_error or 0.0)})"
        return f"{self.name} = {Measured(self.value, self.error)}{against}"


@checked
def w1m(
    real: ArrayLike,
    generated: ArrayLike,
    calibration: ArrayLike | None = None,
    *,
    n_batches: _Batches = 5,
    batch_size: _Jets = 50_000,
    random_state: RandomState = 42,
) -> JetDistance:
    """Return the Wasserstein distance of the masses of jets, in the unit of pt.

    Parameters
    ----------
    real, generated : Sets of particles (n, P, F + 1) with columns eta, phi and pt; arrays (n, P, 3) or (n, P, 4)
        without names are eta, phi, pt and the mask.
    calibration : Other real jets, for real against real; None leaves it out.
    n_batches, batch_size : Batches drawn with replacement, and the jets in each.

    Raises
    ------
    InputError
        For what is not sets of particles with these columns.
    """
    features = partial(_in_blocks, lambda *particles: jets.jet_mass(*particles)[:, None])
    return _distance("W1M", features, (real, generated, calibration), n_batches, batch_size, random_state)


@checked
def w1p(
    real: ArrayLike,
    generated: ArrayLike,
    calibration: ArrayLike | None = None,
    *,
    n_batches: _Batches = 5,
    batch_size: _Jets = 50_000,
    random_state: RandomState = 42,
) -> JetDistance:
    """Return the mean of the Wasserstein distances of eta, phi and pt of particles; arguments are those of `w1m`."""

    def features(particles: np.ndarray) -> np.ndarray:
        return np.where((particles != 0).any(-1, keepdims=True), particles, np.nan)

    return _distance("W1P", features, (real, generated, calibration), n_batches, batch_size, random_state)


@checked
def w1efp(
    real: ArrayLike,
    generated: ArrayLike,
    calibration: ArrayLike | None = None,
    *,
    n_batches: _Batches = 5,
    batch_size: _Jets = 50_000,
    random_state: RandomState = 42,
) -> JetDistance:
    """Return the mean of the Wasserstein distances of five energy flow polynomials; arguments are those of `w1m`."""

    def five(eta: torch.Tensor, phi: torch.Tensor, pt: torch.Tensor) -> torch.Tensor:
        distance = jets.angular_distances(eta, phi)
        return torch.stack([jets.energy_flow_polynomial(pt, distance, graph) for graph in jets.W1_GRAPHS], dim=1)

    return _distance(
        "W1EFP", partial(_in_blocks, five), (real, generated, calibration), n_batches, batch_size, random_state
    )


def jet_efps(sample: ArrayLike) -> np.ndarray:
    """Return the 36 energy flow polynomials (n, 36) of jets, as in `w1m`: the features of FPD and KPD of JetNet."""
    return _in_blocks(jets.energy_flow_polynomials, jet_particles(sample, "the jets"))


def _distance(
    name: str,
    features: Callable[[np.ndarray], np.ndarray],
    samples: tuple[ArrayLike, ArrayLike, ArrayLike | None],
    n_batches: int,
    batch_size: int,
    random_state: RandomState,
) -> JetDistance:
    """Return the distance of `features`, (n, f) of jets or (n, P, f) of particles with NaN where there is none."""
    called = ("real", "generated", "calibration")
    found = [None if x is None else features(jet_particles(x, what)) for x, what in zip(samples, called, strict=True)]
    rng, pairs = np.random.default_rng(as_seed(random_state)), []
    for other in found[1:]:
        if found[0] is None or other is None:
            continue
        values = []
        for _ in range(n_batches):
            batch = [x[rng.integers(len(x), size=batch_size)].reshape(-1, x.shape[-1]) for x in (found[0], other)]
            x, y = (torch.from_numpy(rows[~np.isnan(rows[:, 0])]) for rows in batch)
            values.append([float(wasserstein_1d(x[:, j], y[:, j])) for j in range(x.shape[1])])
        means = np.mean(values, axis=1)
        pairs.append((float(means.mean()), float(means.std()), tuple(np.mean(values, axis=0).tolist())))
    (value, error, parts), *beside = pairs
    return JetDistance(name, value, error, parts, *(beside[0][:2] if beside else ()))


def _in_blocks(function: Callable[..., torch.Tensor], particles: np.ndarray) -> np.ndarray:
    """Return a function of eta, phi, pt (batch, P) of particles (n, P, 3), in blocks of jets."""
    blocks = torch.from_numpy(particles).split(_BLOCK)
    return torch.cat([function(*block.unbind(-1)) for block in blocks]).numpy()
