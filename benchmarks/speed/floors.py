"""What each task cannot do without: its matrix products, convolutions, random numbers and the update of its weights.

Terms are those of `benchmarks.speed.machine`. A layer of a perceptron from a to b features, on n rows, costs

    forward           n x a x b
    to its weights    a x n x b
    to its input      n x b x a

A step of a game of two perceptrons on batches of B does G forward once, D forward on 2 B rows, and back to the weights
of D; then D forward on B rows and back to its input, and G back to its weights.
"""

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

__all__ = ["Term", "descent", "energy_gradient", "gemm", "mlp_game", "mlp_pass", "n_weights", "rows_of", "times"]

Term = dict[str, Any]
ADAM, PLAIN, AVERAGE = 28, 12, 12  # bytes moved for each weight


def gemm(m: int, k: int, n: int, count: float = 1, dtype: str = "float32") -> Term:
    """Return `count` products (m, k) x (k, n)."""
    return {"kind": "gemm", "shape": [m, k, n], "count": count, "dtype": dtype}


def rows_of(kind: str, count: float) -> Term:
    """Return `count` random numbers, "normal" or "uniform"."""
    return {"kind": kind, "count": count}


def descent(weights: int, bytes_each: float = ADAM) -> Term:
    """Return the update of so many float32 weights."""
    return {"kind": "bytes", "count": bytes_each * weights, "footprint": bytes_each * weights}


def n_weights(widths: Sequence[int]) -> int:
    """Return the weights and biases of a perceptron of such widths, input and output included."""
    return sum(a * b + b for a, b in pairwise(widths))


def mlp_pass(widths: Sequence[int], rows: int, what: str, dtype: str = "float32", count: float = 1) -> list[Term]:
    """Return the products of a pass: "forward", "weights" (back to the weights) or "input" (back to the input)."""
    layers = list(pairwise(widths))
    if what == "forward":
        return [gemm(rows, a, b, count, dtype) for a, b in layers]
    back = layers if what == "input" else layers[1:]
    terms = [gemm(rows, b, a, count, dtype) for a, b in reversed(back)]
    return terms if what == "input" else terms + [gemm(a, rows, b, count, dtype) for a, b in layers]


def energy_gradient(widths: Sequence[int], rows: int, count: float = 1) -> list[Term]:
    """Return an energy network's value and gradient at so many rows."""
    return mlp_pass(widths, rows, "forward", count=count) + mlp_pass(widths, rows, "input", count=count)


def mlp_game(G: Sequence[int], D: Sequence[int], batch: int, *, prior: str, ema: bool = False) -> list[Term]:
    """Return a step of the plain game between two perceptrons trained by Adam."""
    terms = mlp_pass(G, batch, "forward") + mlp_pass(D, 2 * batch, "forward") + mlp_pass(D, 2 * batch, "weights")
    terms += mlp_pass(D, batch, "forward") + mlp_pass(D, batch, "input") + mlp_pass(G, batch, "weights")
    terms += [rows_of(prior, batch * G[0]), descent(n_weights(G)), descent(n_weights(D))]
    return terms + ([descent(n_weights(G), AVERAGE)] if ema else [])


def times(terms: Sequence[Term], factor: float) -> list[Term]:
    """Return the terms, each so many times."""
    return [{**term, "count": term.get("count", 1) * factor} for term in terms]
