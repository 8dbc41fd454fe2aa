"""Permutation tests: labels that could have fallen otherwise.

If both samples come from one law, every assignment of the N = n + m pooled rows to "x" and "y" was
equally likely, and the observed statistic is one of the equally likely values. Its p-value is
(1 + k) / (B + 1), k of B random permutations being at least as large (Phipson and Smyth 2010: the
observed labelling counts as one, so p is never 0). The Monte Carlo error is sqrt(p (1 - p) / B).

Rows must be independent. Chains with autocorrelation have to be thinned first.
"""

import numpy as np
import torch
from torch import Tensor

from reverie.core.checks import check_positive
from reverie.core.random import as_generator
from reverie.core.types import RandomState, Statistic
from reverie.validation.multiple import permutation_p
from reverie.validation.result import TestResult
from reverie.validation.statistics import pool

__all__ = ["permutation_test", "random_labels"]


def random_labels(n: int, m: int, n_permutations: int, generator: torch.Generator) -> Tensor:
    """Return labels (n + m, n_permutations + 1) of ones (x) and zeros (y), the observed labelling first."""
    draws = [torch.randperm(n + m, generator=generator)[:n] for _ in range(n_permutations)]
    ones = torch.stack([torch.arange(n), *draws])
    return torch.zeros(n_permutations + 1, n + m).scatter_(1, ones, 1.0).T.contiguous()


def permutation_test(
    statistic: Statistic,
    x: Tensor,
    y: Tensor,
    *,
    n_permutations: int = 999,
    random_state: RandomState = None,
    name: str | None = None,
) -> TestResult:
    """Test whether x (n, d) and y (m, d) share one law, with any statistic: large means different.

    Parameters
    ----------
    statistic : function of the two samples, called n_permutations + 1 times.
    name : what the result calls it; None takes the name of the function.

    Returns
    -------
    result : TestResult with the 5 to 95 % band of the permutations as noise.
    """
    check_positive("n_permutations", n_permutations, integer=True)
    z, _ = pool(x, y)
    labels = random_labels(len(x), len(y), n_permutations, as_generator(random_state)).bool()
    values = np.array([float(statistic(z[column], z[~column])) for column in labels.T])
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
        description=f"Permutation test with {n_permutations} permutations.",
        reference="phipson2010",
    )
