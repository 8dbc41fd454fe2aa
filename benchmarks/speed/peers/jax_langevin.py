"""Unadjusted Langevin steps on the energy of a perceptron in JAX: one `lax.scan` under `jit`."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

__all__ = ["walk"]

jax.config.update("jax_default_prng_impl", "unsafe_rbg")


def walk(*, widths: list[int], chains: int, step_size: float = 0.01, chunk: int = 200) -> Callable[[int], None]:
    """Return the window of so many chains."""
    key = jax.random.key(0)
    keys = jax.random.split(key, len(widths))
    pairs = zip(keys, widths, widths[1:], strict=False)
    weights = [(jax.random.normal(k, (a, b)) / a**0.5, jnp.zeros(b)) for k, a, b in pairs]

    def energy(x: Any) -> Any:
        for W, b in weights[:-1]:
            x = jax.nn.silu(x @ W + b)
        W, b = weights[-1]
        return (x @ W + b).sum()

    def step(x: Any, key: Any) -> tuple[Any, None]:
        noise = jax.random.normal(key, x.shape)
        return x - step_size * jax.grad(energy)(x) + (2 * step_size) ** 0.5 * noise, None

    run = jax.jit(lambda x, key: lax.scan(step, x, jax.random.split(key, chunk))[0])
    x = jax.random.normal(key, (chains, widths[0]))

    def window(n: int) -> None:
        nonlocal x, key
        for _ in range(n // chunk):
            key, now = jax.random.split(key)
            x = run(x, now)
        np.asarray(x)

    return window
