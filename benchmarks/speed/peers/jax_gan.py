"""The game of two perceptrons in JAX, as fast as a user could write it by hand: the bar.

The whole run is one `lax.scan` under `jit`: batches are taken on the device, both players' steps, the optimiser and
the records are one compiled computation, and the weights stay in it. G runs forward once a step: its samples serve both
players, and its gradient is pulled back through what was kept. Real and generated rows go through D in one pass.
Random numbers are those of the generator "rbg", which on processors is quicker than JAX's default.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

__all__ = ["Game", "game"]

jax.config.update("jax_default_prng_impl", "unsafe_rbg")

ACTIVATIONS = {"silu": jax.nn.silu, "leaky_relu": lambda x: jnp.where(x > 0, x, 0.01 * x)}


def game(*, chunk: int = 200, replicas: int = 1, **options: Any) -> Callable[[int], None]:
    """Return the window of a game, or of `replicas` of them under `vmap`; options as in `Game`."""
    one, key = Game(**options), jax.random.key(0)

    def run(carry: Any, key: Any) -> tuple[Any, Any]:
        return lax.scan(one.step, carry, jax.random.split(key, chunk))

    many = jax.jit(run if replicas == 1 else jax.vmap(run))
    carry = one.start(key) if replicas == 1 else jax.vmap(one.start)(jax.random.split(key, replicas))

    def window(n: int) -> None:
        nonlocal carry, key
        for _ in range(n // chunk):
            key, now = jax.random.split(key)
            carry, losses = many(carry, now if replicas == 1 else jax.random.split(now, replicas))
            np.asarray(losses[0])  # a record

    return window


@dataclass(frozen=True, kw_only=True)
class Game:
    """Networks of widths G and D; `default_game` is relativistic, with R1 and R2 every fourth step and an average."""

    G: list[int]
    D: list[int]
    batch: int
    rows: int
    activation: str = "silu"
    tanh: bool = False
    prior: str = "normal"
    rate: float = 1e-3
    betas: tuple[float, float] = (0.9, 0.999)
    default_game: bool = False

    @cached_property
    def data(self) -> Any:
        """Random rows of the right width, on the device."""
        return jnp.asarray(np.random.default_rng(0).uniform(-1, 1, (self.rows, self.G[-1])).astype(np.float32))

    def start(self, key: Any) -> Any:
        """Return weights, average and the averages of both optimisers."""
        a, b = jax.random.split(key)
        g, d = _weights(a, self.G), _weights(b, self.D)
        zeros = jax.tree.map(jnp.zeros_like, (g, d))
        return g, d, g if self.default_game else (), (zeros[0], zeros[0]), (zeros[1], zeros[1]), jnp.int32(0)

    def step(self, carry: Any, key: Any) -> tuple[Any, Any]:
        """Take a step of both players."""
        g, d, average, g_adam, d_adam, t = carry
        x, z = self._rows(key)
        fake, pull = jax.vjp(lambda w: self.generate(w, z), g)
        d_loss, d_gradient = self._relativistic(d, x, fake, t) if self.default_game else self._plain(d, x, fake)
        d, d_adam = _adam(d, d_gradient, d_adam, t, self.rate, self.betas)
        real = self.judge(d, x) if self.default_game else 0.0
        g_loss, back = jax.value_and_grad(lambda f: jax.nn.softplus(real - self.judge(d, f)).mean())(fake)
        g, g_adam = _adam(g, pull(back)[0], g_adam, t, self.rate, self.betas)
        average = jax.tree.map(lambda a, w: 0.999 * a + 0.001 * w, average, g) if self.default_game else ()
        return (g, d, average, g_adam, d_adam, t + 1), (d_loss, g_loss)

    def generate(self, weights: Any, z: Any) -> Any:
        """Return samples of noise."""
        x = _mlp(weights, z, ACTIVATIONS[self.activation])
        return jnp.tanh(x) if self.tanh else x

    def judge(self, weights: Any, x: Any) -> Any:
        """Return logits."""
        return _mlp(weights, x, ACTIVATIONS[self.activation])[:, 0]

    def _rows(self, key: Any) -> tuple[Any, Any]:
        of_rows, of_noise = jax.random.split(key)
        x, shape = self.data[jax.random.randint(of_rows, (self.batch,), 0, self.rows)], (self.batch, self.G[0])
        if self.prior == "uniform":
            return x, jax.random.uniform(of_noise, shape, minval=-1, maxval=1)
        return x, jax.random.normal(of_noise, shape)

    def _plain(self, d: Any, x: Any, fake: Any) -> tuple[Any, Any]:
        def loss(w: Any) -> Any:
            a_real, a_fake = jnp.split(self.judge(w, jnp.concatenate([x, fake])), 2)
            return jax.nn.softplus(-a_real).mean() + jax.nn.softplus(a_fake).mean()

        return jax.value_and_grad(loss)(d)

    def _relativistic(self, d: Any, x: Any, fake: Any, t: Any) -> tuple[Any, Any]:
        both = jnp.concatenate([x, fake])

        def loss(w: Any) -> Any:
            a_real, a_fake = jnp.split(self.judge(w, both), 2)
            return jax.nn.softplus(a_fake - a_real).mean()

        def penalised(w: Any) -> Any:
            slope = jax.grad(lambda points: self.judge(w, points).sum())(both)
            return loss(w) + 4 * 0.1 * jnp.square(slope).sum(1).mean()

        return lax.cond(t % 4 == 0, jax.value_and_grad(penalised), jax.value_and_grad(loss), d)


def _mlp(weights: Any, x: Any, act: Callable[[Any], Any]) -> Any:
    for W, b in weights[:-1]:
        x = act(x @ W + b)
    W, b = weights[-1]
    return x @ W + b


def _weights(key: Any, widths: list[int]) -> Any:
    keys = jax.random.split(key, len(widths) - 1)
    return [
        (jax.random.uniform(k, (a, b), minval=-1, maxval=1) / a**0.5, jnp.zeros(b))
        for k, a, b in zip(keys, widths, widths[1:], strict=False)
    ]


def _adam(w: Any, gradient: Any, state: Any, t: Any, rate: float, betas: tuple[float, float]) -> tuple[Any, Any]:
    b1, b2 = betas
    m = jax.tree.map(lambda a, g: b1 * a + (1 - b1) * g, state[0], gradient)
    v = jax.tree.map(lambda a, g: b2 * a + (1 - b2) * g * g, state[1], gradient)
    n = (t + 1).astype(jnp.float32)
    step, scale = rate / (1 - b1**n), 1 / jnp.sqrt(1 - b2**n)
    return jax.tree.map(lambda p, a, s: p - step * a / (jnp.sqrt(s) * scale + 1e-8), w, m, v), (m, v)
