r"""Points of plane distributions on which generative models are judged.

ring          8 Gaussians of standard deviation 0.01 with centres (cos, sin)(2 pi k / 8), k = 0..7
grid          25 Gaussians of standard deviation 0.05 with centres {-4, -2, 0, 2, 4}^2
broad_ring    the ring with the variance 0.05 per axis (standard deviation 0.2236): neighbours touch
broad_grid    the grid with the variance 0.05 per axis
shifted_grid  broad_grid with each centre moved by a fixed draw from U(-1/2, 1/2)^2, so that, unlike
              the two other grids, it is not a product of its marginals
swiss_roll    t = 3 pi / 2 (1 + 2 u), u uniform in [0, 1]: the spiral (t cos t, t sin t), plus normal
              noise of standard deviation 0.25 per axis, all divided by 7.5

Modes are drawn with equal weights. Ring and grid are those of VEEGAN and PacGAN, the broad ones and
the shifted one those of CTGAN and its tabular benchmark (grid, ring and gridr there; the shifts are
a draw of our own), the roll is that of the Wasserstein GAN with gradient penalty. Note that eight
equally spaced centres are at 2 pi k / 8: ``linspace(0, 2 pi, 8)`` counts one of them twice and
leaves seven.

The constants are public: `reverie.simulators.targets` builds the exact densities from them.

References
----------
Srivastava et al. (2017), arXiv:1705.07761. Lin et al. (2018), arXiv:1712.04086.
Xu et al. (2019), arXiv:1907.00503 (broad ring and grids). Gulrajani et al. (2017), arXiv:1704.00028.
"""

from typing import TYPE_CHECKING

import numpy as np

from reverie.core.errors import InputError

if TYPE_CHECKING:
    from reverie.core.types import RandomState

__all__ = [
    "BROAD_SD",
    "GRID_CENTRES",
    "GRID_SD",
    "RING_CENTRES",
    "RING_MODES",
    "RING_RADIUS",
    "RING_SD",
    "SHIFTED_GRID_CENTRES",
    "SWISS_ROLL_NOISE_SD",
    "SWISS_ROLL_SCALE",
    "TOYS",
    "broad_grid",
    "broad_ring",
    "grid",
    "ring",
    "shifted_grid",
    "swiss_roll",
]

RING_MODES, RING_RADIUS, RING_SD = 8, 1.0, 0.01
_ANGLES = 2 * np.pi * np.arange(RING_MODES) / RING_MODES
RING_CENTRES = RING_RADIUS * np.stack([np.cos(_ANGLES), np.sin(_ANGLES)], axis=1)

GRID_SD = 0.05
_AXIS = np.array([-4.0, -2.0, 0.0, 2.0, 4.0])
GRID_CENTRES = np.stack(np.meshgrid(_AXIS, _AXIS, indexing="ij"), axis=-1).reshape(-1, 2)

BROAD_SD = 0.05**0.5  # 0.05 is the variance
_SHIFTS = np.random.Generator(np.random.PCG64(0)).uniform(-0.5, 0.5, size=GRID_CENTRES.shape)
SHIFTED_GRID_CENTRES = GRID_CENTRES + _SHIFTS

SWISS_ROLL_NOISE_SD, SWISS_ROLL_SCALE = 0.25, 7.5

for _centres in (RING_CENTRES, GRID_CENTRES, SHIFTED_GRID_CENTRES):
    _centres.flags.writeable = False


def ring(n: int, random_state: "RandomState" = None) -> np.ndarray:
    """Return `n` points (n, 2) of the ring of 8 Gaussians."""
    return _mixture(n, RING_CENTRES, RING_SD, random_state)


def grid(n: int, random_state: "RandomState" = None) -> np.ndarray:
    """Return `n` points (n, 2) of the 5 x 5 grid of Gaussians."""
    return _mixture(n, GRID_CENTRES, GRID_SD, random_state)


def broad_ring(n: int, random_state: "RandomState" = None) -> np.ndarray:
    """Return `n` points (n, 2) of the ring of 8 Gaussians of variance 0.05."""
    return _mixture(n, RING_CENTRES, BROAD_SD, random_state)


def broad_grid(n: int, random_state: "RandomState" = None) -> np.ndarray:
    """Return `n` points (n, 2) of the 5 x 5 grid of Gaussians of variance 0.05."""
    return _mixture(n, GRID_CENTRES, BROAD_SD, random_state)


def shifted_grid(n: int, random_state: "RandomState" = None) -> np.ndarray:
    """Return `n` points (n, 2) of the grid of variance 0.05 with displaced centres."""
    return _mixture(n, SHIFTED_GRID_CENTRES, BROAD_SD, random_state)


def swiss_roll(n: int, random_state: "RandomState" = None) -> np.ndarray:
    """Return `n` points (n, 2) of the swiss roll."""
    generator = _generator(n, random_state)
    t = 1.5 * np.pi * (1 + 2 * generator.random(n))
    spiral = np.stack([t * np.cos(t), t * np.sin(t)], axis=1)
    return (spiral + SWISS_ROLL_NOISE_SD * generator.standard_normal((n, 2))) / SWISS_ROLL_SCALE


TOYS = {draw.__name__: draw for draw in (ring, grid, broad_ring, broad_grid, shifted_grid, swiss_roll)}


def _mixture(n: int, centres: np.ndarray, sd: float, random_state: "RandomState") -> np.ndarray:
    generator = _generator(n, random_state)
    mode = generator.integers(len(centres), size=n)
    return centres[mode] + sd * generator.standard_normal((n, 2))


def _generator(n: int, random_state: "RandomState") -> np.random.Generator:
    if isinstance(n, bool) or not isinstance(n, (int, np.integer)) or n < 1:
        raise InputError(f"Expected n to be an integer > 0, got {n!r}. Give the number of points.")
    if isinstance(random_state, np.random.Generator):
        return random_state
    if isinstance(random_state, (int, np.integer)) and random_state >= 0:
        return np.random.default_rng(int(random_state))  # the common case, without importing torch
    from reverie.core.random import as_seed

    return np.random.default_rng(as_seed(random_state))
