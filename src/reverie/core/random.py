"""Randomness is an argument: seeds and generators derived by name and by count.

One root seed serves a whole run. Every consumer draws from a child seed made of the root and a
name ("noise", "batches") or a shard number, through `numpy.random.SeedSequence`. Children are
statistically independent, and none depends on how many others were made before it, so results do
not change with the number of workers or the order of calls.
"""

import secrets
import zlib

import numpy as np
import torch

from reverie.core.errors import InputError
from reverie.core.types import RandomState

__all__ = ["UNIT", "as_generator", "as_seed", "child_generator", "child_seed"]

_MAX_SEED = 2**63 - 1
UNIT = 1024  # generated rows that share a seed: any unit can be drawn without those before it


def as_seed(random_state: RandomState) -> int:
    """Return a root seed in [0, 2^63).

    Raises `InputError` for a negative int or another type.

    Parameters
    ----------
    random_state : an int is itself; a NumPy or torch generator gives its next number (and
        advances); None draws entropy from the operating system.
    """
    if random_state is None:
        return secrets.randbits(63)
    if isinstance(random_state, (int, np.integer)) and not isinstance(random_state, bool):
        if random_state < 0:
            raise InputError(f"Expected random_state >= 0, got {random_state}. Use a non-negative integer.")
        return int(random_state) & _MAX_SEED
    if isinstance(random_state, np.random.Generator):
        return int(random_state.integers(_MAX_SEED))
    if isinstance(random_state, np.random.RandomState):
        return int(random_state.randint(2**31 - 1))
    if isinstance(random_state, torch.Generator):
        return int(torch.randint(_MAX_SEED, (), generator=random_state, device=random_state.device))
    raise InputError(
        f"Expected random_state to be an int, a generator or None, got {type(random_state).__name__}. Pass an integer."
    )


def child_seed(seed: int, *path: str | int) -> int:
    """Return the seed of the child of `seed` at `path`, such as ``child_seed(0, "sample", 3)``."""
    key = [zlib.crc32(part.encode()) if isinstance(part, str) else int(part) for part in path]
    words = np.random.SeedSequence(seed, spawn_key=key).generate_state(1, np.uint64)
    return int(words[0]) & _MAX_SEED


def child_generator(seed: int, *path: str | int, device: str | torch.device = "cpu") -> torch.Generator:
    """Return a fresh `torch.Generator` seeded by ``child_seed(seed, *path)``."""
    return torch.Generator(device=device).manual_seed(child_seed(seed, *path))


def as_generator(random_state: RandomState, device: str | torch.device = "cpu") -> torch.Generator:
    """Return `random_state` itself when it is a torch generator of that device, else a seeded new one."""
    if isinstance(random_state, torch.Generator) and random_state.device.type == torch.device(device).type:
        return random_state
    return torch.Generator(device=device).manual_seed(as_seed(random_state))
