"""A Boltzmann machine of binary units in JAX: the whole run is one `lax.scan` under `jit`.

`learn`   persistent chains (pcd) or chains from the batch (cd), one sweep between updates, plain gradient ascent
`anneal`  annealed importance sampling from independent units to the machine: one scan over temperatures
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

__all__ = ["anneal", "learn"]

jax.config.update("jax_default_prng_impl", "unsafe_rbg")


def learn(
    *, visible: int, hidden: int, batch: int, rows: int, method: str, rate: float = 0.01, chunk: int = 50
) -> Callable[[int], None]:
    """Return the window of a training by "pcd" or "cd"."""
    data = jnp.asarray((np.random.default_rng(0).random((rows, visible)) < 0.2).astype(np.float32))

    def step(carry: Any, key: Any) -> tuple[Any, Any]:
        W, a, b, bits = carry
        of_rows, of_v, of_h = jax.random.split(key, 3)
        x = data[jax.random.randint(of_rows, (batch,), 0, rows)]
        h_data = jax.nn.sigmoid(x @ W + b)
        if method == "cd":
            bits = _bits(jax.random.fold_in(of_h, 1), h_data)
        v = _bits(of_v, jax.nn.sigmoid(bits @ W.T + a))
        h = jax.nn.sigmoid(v @ W + b)
        bits = _bits(of_h, h)
        W = W + rate / batch * (jnp.concatenate([x, v]).T @ jnp.concatenate([h_data, -h]))
        a, b = a + rate * (x - v).mean(0), b + rate * (h_data - h).mean(0)
        return (W, a, b, bits), jnp.square(v.mean(0) - x.mean(0)).mean()

    run = jax.jit(lambda carry, key: lax.scan(step, carry, jax.random.split(key, chunk)), donate_argnums=0)
    key = jax.random.key(0)
    W = 0.01 * jax.random.normal(key, (visible, hidden))
    carry = (W, jnp.zeros(visible), jnp.zeros(hidden), jnp.zeros((batch, hidden)))

    def window(n: int) -> None:
        nonlocal carry, key
        for _ in range(n // chunk):
            key, now = jax.random.split(key)
            carry, told = run(carry, now)
            np.asarray(told)

    return window


def anneal(*, visible: int, hidden: int, chains: int, temperatures: int) -> Callable[[int], None]:
    """Return the window of annealing runs; a unit of work is a temperature."""
    key = jax.random.key(0)
    W = 0.1 * jax.random.normal(key, (visible, hidden))
    a = a0 = jnp.zeros(visible)
    b = jnp.zeros(hidden)
    betas = jnp.linspace(0, 1, temperatures + 1)

    def step(carry: Any, inputs: Any) -> tuple[Any, None]:
        v, x, log_w = carry
        beta, to, key = inputs
        of_h, of_v = jax.random.split(key)
        log_w += (to - beta) * (v @ (a - a0)) + (jax.nn.softplus(to * x) - jax.nn.softplus(beta * x)).sum(1)
        h = _bits(of_h, jax.nn.sigmoid(to * x))
        v = _bits(of_v, jax.nn.sigmoid(a0 + to * (a - a0 + h @ W.T)))
        return (v, v @ W + b, log_w), None

    @jax.jit
    def run(key: Any) -> Any:
        keys = jax.random.split(key, temperatures + 1)
        v = _bits(keys[-1], jnp.broadcast_to(jax.nn.sigmoid(a0), (chains, visible)))
        (_, _, log_w), _ = lax.scan(step, (v, v @ W + b, jnp.zeros(chains)), (betas[:-1], betas[1:], keys[:-1]))
        return log_w

    def window(n: int) -> None:
        nonlocal key
        for _ in range(n // temperatures):
            key, now = jax.random.split(key)
            np.asarray(run(now))

    return window


def _bits(key: Any, p: Any) -> Any:
    return (jax.random.uniform(key, p.shape) < p).astype(jnp.float32)
