"""Flow matching in JAX: steps as one `lax.scan` under `jit`, and Heun's rule the same way."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

__all__ = ["draw", "learn"]

jax.config.update("jax_default_prng_impl", "unsafe_rbg")

FREQUENCIES = jnp.pi * 2.0 ** jnp.arange(-1, 7)


def learn(
    *, features: int, width: int, n_blocks: int, batch: int, rows: int, threads: int, chunk: int = 100
) -> Callable[[int], None]:
    """Return the window of a training by AdamW along a cosine, with clipped gradients and an average of the weights."""
    key = jax.random.key(0)
    w, data = _weights(key, features, width, n_blocks), jax.random.normal(key, (rows, features))
    zeros = jax.tree.map(jnp.zeros_like, w)

    def step(carry: Any, key: Any) -> tuple[Any, Any]:
        w, average, m, v, k = carry
        of_rows, of_noise, of_time = jax.random.split(key, 3)
        x1 = data[jax.random.randint(of_rows, (batch,), 0, rows)]
        x0, t = jax.random.normal(of_noise, x1.shape), jax.random.uniform(of_time, (batch, 1))

        def loss(w: Any) -> Any:
            return jnp.square(_velocity(w, (1 - t) * x0 + t * x1, t) - (x1 - x0)).mean()

        value, g = jax.value_and_grad(loss)(w)
        norm = jnp.sqrt(sum(jnp.square(part).sum() for part in jax.tree.leaves(g)))
        g = jax.tree.map(lambda part: part * jnp.minimum(1.0, 1 / (norm + 1e-6)), g)
        m = jax.tree.map(lambda a, b: 0.9 * a + 0.1 * b, m, g)
        v = jax.tree.map(lambda a, b: 0.999 * a + 0.001 * b * b, v, g)
        n = (k + 1).astype(jnp.float32)
        rate = 0.5e-3 * (1 + jnp.cos(jnp.pi * n / 1e6)) / (1 - 0.9**n)
        scale = 1 / jnp.sqrt(1 - 0.999**n)
        w = jax.tree.map(lambda p, a, b: p - rate * a / (jnp.sqrt(b) * scale + 1e-8), w, m, v)
        average = jax.tree.map(lambda a, p: 0.999 * a + 0.001 * p, average, w)
        return (w, average, m, v, k + 1), value

    run = jax.jit(lambda carry, key: lax.scan(step, carry, jax.random.split(key, chunk)))
    carry = (w, w, zeros, zeros, jnp.int32(0))

    def window(n: int) -> None:
        nonlocal carry, key
        for _ in range(n // chunk):
            key, now = jax.random.split(key)
            carry, losses = run(carry, now)
            np.asarray(losses[0])  # a record

    return window


def draw(
    *, features: int, width: int, n_blocks: int, events: int, n_evaluations: int, threads: int
) -> Callable[[int], None]:
    """Return the window of draws in blocks of 10,000 events."""
    key, h = jax.random.key(0), 2 / n_evaluations
    w = _weights(key, features, width, n_blocks)

    def step(x: Any, t: Any) -> tuple[Any, None]:
        first = _velocity(w, x, t.reshape(1, 1))
        return x + h / 2 * (first + _velocity(w, x + h * first, (t + h).reshape(1, 1))), None

    times = h * jnp.arange(n_evaluations // 2)
    run = jax.jit(lambda key: lax.scan(step, jax.random.normal(key, (10_000, features)), times)[0])

    def window(n: int) -> None:
        for seed in range(n * events // 10_000):
            np.asarray(run(jax.random.key(seed)))

    return window


def _weights(key: Any, features: int, width: int, n_blocks: int) -> dict[str, list[tuple[Any, Any]]]:
    shapes = {"embedding": [(16, width), (width, width)], "first": [(features, width)], "last": [(width, features)]}
    shapes |= dict.fromkeys(("inner", "beside", "outer"), [(width, width)] * n_blocks)
    keys = iter(jax.random.split(key, 3 * n_blocks + 4))
    return {
        name: [(jax.random.uniform(next(keys), (a, b), minval=-1, maxval=1) / a**0.5, jnp.zeros(b)) for a, b in pairs]
        for name, pairs in shapes.items()
    }


def _velocity(w: dict[str, list[tuple[Any, Any]]], x: Any, t: Any) -> Any:
    silu, phase = jax.nn.silu, t * FREQUENCIES
    e = jnp.concatenate([jnp.cos(phase), jnp.sin(phase)], axis=1)
    for W, b in w["embedding"]:
        e = silu(e @ W + b)
    h = x @ w["first"][0][0] + w["first"][0][1]
    for (A, a), (U, _), (B, b) in zip(w["inner"], w["beside"], w["outer"], strict=True):
        h = h + silu(silu(h) @ A + a + e @ U) @ B + b
    return silu(h) @ w["last"][0][0] + w["last"][0][1]
