"""Permutation tests: labels that could have fallen otherwise.

If both samples come from one law, every assignment of the N = n + m pooled rows to "x" and "y" was
equally likely, and the observed statistic is one of the equally likely values. Its p-value is
(1 + k) / (B + 1), k of B random permutations being at least as large (Phipson and Smyth 2010: the
observed labelling counts as one, so p is never 0). The Monte Carlo error is sqrt(p (1 - p) / B).

Rows of a Markov chain keep their neighbours: with `block` > 1 runs of that many rows change sides
together. Weights stay with their rows. Both are explained in `reverie.validation.permutation.relabelling`.
"""

import math
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from reverie.core.arguments import checked
from reverie.core.checks import check_positive
from reverie.core.errors import InputError
from reverie.core.random import as_generator
from reverie.core.types import ArrayLike, RandomState
from reverie.validation.inputs.tables import as_rows, as_values
from reverie.validation.permutation.multiple_testing import permutation_p
from reverie.validation.permutation.relabelling import relabellings
from reverie.validation.results.tests import TestResult

__all__ = ["permutation_test"]


@checked
def permutation_test(
    statistic: Callable[..., Tensor | float],
    x: ArrayLike,
    y: ArrayLike,
    *,
    n_permutations: int = 999,
    block: int = 1,
    weights: tuple[ArrayLike, ArrayLike] | None = None,
    random_state: RandomState = None,
    name: str | None = None,
) -> TestResult:
    """Test whether x (n, d) and y (m, d) share one law, with any statistic: large means different.

    Parameters
    ----------
    statistic : function of the two samples, called n_permutations + 1 times; with weights, a function of
        (x, y, weights of x, weights of y), such as `reverie.validation.statistics.ks_distance`.
    block : neighbouring rows that change sides together; at least ten autocorrelation times of a chain.
    weights : those of the rows of x (n,) and of y (m,), n = m; both are scaled to mean one.
    name : what the result calls it; None takes the name of the function.

    Returns
    -------
    result : TestResult with the 5 to 95 % band of the permutations as noise.

    Raises
    ------
    InputError
        For a block that leaves fewer than two blocks, for weights of samples of unequal size, and for a statistic
        that is NaN; infinity is larger than every number.
    """
    check_positive("n_permutations", n_permutations, integer=True)
    check_positive("block", block, integer=True)
    x, y = (rows.detach() for rows in as_rows(x=x, y=y))
    z = torch.cat([x, y])
    if block > len(z) // 2:
        raise InputError(f"Expected at least two blocks, got block = {block} for {len(z)} rows. Use shorter blocks.")
    w = None
    if weights is not None:
        if [len(one) for one in weights] != [len(x), len(y)]:
            raise InputError(
                f"Expected one weight per row, {len(x)} and {len(y)}, got {len(weights[0])} and {len(weights[1])}. "
                "Give the weights of x and of y."
            )
        w = torch.cat([as_values(one, "weights").double() for one in weights])
    relabel = relabellings(len(x), len(y), n_permutations, as_generator(random_state), weights=w, block=block)
    values = np.empty(n_permutations + 1)
    for b, of_x in enumerate(relabel.labels.T):
        masses = () if relabel.weights is None else (relabel.weights[of_x], relabel.weights[~of_x])
        values[b] = float(statistic(z[of_x], z[~of_x], *masses))
        if math.isnan(values[b]):
            of_what = "the two samples" if b == 0 else f"permutation {b} of {n_permutations}"
            raise InputError(f"Expected a number from the statistic for {of_what}, got NaN. Let it return one for all.")
    low, high = np.quantile(values[1:], [0.05, 0.95])
    p = permutation_p(values)
    return TestResult(
        name=name or getattr(statistic, "__name__", "statistic"),
        feature=None,
        value=float(values[0]),
        noise_low=float(low),
        noise_high=float(high),
        real_vs_real=None,
        p_value=p,
        p_adjusted=p,
        distinguishes=p <= 0.05,
        description=f"Permutation test with {n_permutations} permutations"
        + (f" of blocks of {block} rows." if block > 1 else "."),
        reference="phipson2010",
    )
