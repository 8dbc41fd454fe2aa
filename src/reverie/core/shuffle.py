r"""Random orders that need no memory: the place of one row is computed, not looked up.

A Feistel network is a bijection of pairs (a, b) of h-bit numbers whatever its round function F is:

    (a, b) -> (b, a xor F_r(b)),     r = 1 ... 6.

With F a hash keyed by the seed, the 2h-bit number a 2^h + b goes to a place that looks random. For n numbers that
are no power of 4, h is the least with 4^h >= n, and a number that lands on n or beyond is sent on until it lands
below ("cycle walking", Black and Rogaway, CT-RSA 2002); fewer than four turns are expected. The hash is SplitMix64
(Steele, Lea and Flood, OOPSLA 2014).
"""

import numpy as np

__all__ = ["hashed", "shuffled"]

_ROUNDS = 6
_GOLDEN, _MIX_1, _MIX_2 = (np.uint64(c) for c in (0x9E3779B97F4A7C15, 0xBF58476D1CE4E5B9, 0x94D049BB133111EB))


def shuffled(index: np.ndarray, n: int, seed: int) -> np.ndarray:
    """Return where the numbers `index`, each in [0, n), stand in the order of `seed`, int64 of the same shape.

    ``shuffled(np.arange(k), n, seed)`` are k different numbers below n, drawn at random, for any n.
    """
    half = np.uint64(max(1, -(-(n - 1).bit_length() // 2)))
    keys = hashed(np.arange(_ROUNDS, dtype=np.uint64), seed)
    out = _permuted(np.asarray(index).astype(np.uint64), half, keys)
    beyond = out >= n
    while beyond.any():
        out[beyond] = _permuted(out[beyond], half, keys)
        beyond = out >= n
    return out.astype(np.int64)


def hashed(x: np.ndarray, seed: int) -> np.ndarray:
    """Return a 64-bit hash of whole numbers `x`, uint64 of the same shape."""
    return _mixed(np.asarray(x).astype(np.uint64) + _mixed(np.full(1, seed, np.uint64)))


def _permuted(x: np.ndarray, half: np.uint64, keys: np.ndarray) -> np.ndarray:
    mask = (np.uint64(1) << half) - np.uint64(1)
    a, b = x >> half, x & mask
    for key in keys:
        a, b = b, a ^ (_mixed(b + key) & mask)
    return (a << half) | b


def _mixed(x: np.ndarray) -> np.ndarray:
    x = x + _GOLDEN  # arrays of uint64 wrap round silently
    x = (x ^ (x >> np.uint64(30))) * _MIX_1
    x = (x ^ (x >> np.uint64(27))) * _MIX_2
    return x ^ (x >> np.uint64(31))
