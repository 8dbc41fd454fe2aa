r"""Annealed importance sampling: how large a normalising constant is, forwards, backwards and from both.

A path of distributions p_k = p*_k / Z_k, k = 0 ... K, begins where Z_0 is known and draws are independent. A chain
that starts there and takes a step of a kernel T_k, reversible in p_k, at each k collects

    log w = sum_k [log p*_(k+1)(x_k) - log p*_k(x_k)],       E w = Z_K / Z_0 = exp(c),

so c is estimated by log mean w. By Jensen's inequality that is too low on average; most of all where few chains carry
the weight, as the effective size (sum w)^2 / sum w^2 tells. The same loop run backwards, from draws of p_K, has
E w' = exp(-c), and its estimate is too high. The two laws of log w are tied, P(w) = P'(1/w) w exp(-c) (Crooks), and
the best use of both is Bennett's: with as many chains each way,

    sum f(w exp(-c)) = sum f(w' exp(c)),    f(u) = u / (1 + u),
    error^2 = var(f) / (M mean(f)^2) + var(f') / (M mean(f')^2),

whose error is small and true long before that of either way, if the backward chains did start in p_K.

The standard error of one way, sd(w) / (mean(w) sqrt M), knows only the weights that were met; with few of them large
it is too small, and so is a jackknife. The forward error here adds what a Gaussian law of log w would still hide,
m + s^2 / 2 - log mean w with m, s the mean and sd of log w, where that is positive. Weights of a heavier tail, as
those of large machines on short schedules are, hide more than it can know; then only the way back tells.

References
----------
Neal, Stat. Comput. 11, 125 (2001), physics/9803008; Salakhutdinov and Murray, ICML 2008 (schedule); Bennett,
J. Comput. Phys. 22, 245 (1976); Crooks, Phys. Rev. E 61, 2361 (2000); Burda, Grosse and Salakhutdinov,
arXiv:1412.8566 (backwards).
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Protocol, TypeVar

import numpy as np
import torch
from torch import Tensor

from reverie.core.arguments import Count, checked
from reverie.core.errors import InputError
from reverie.core.measured import Measured
from reverie.core.tables import as_array

__all__ = ["AnnealedEstimate", "Path", "anneal", "annealed_estimate", "bridge", "schedule"]

_FEWEST_EFFECTIVE = 30.0  # below it the error itself is uncertain
LONG = ((0.5, 1000), (0.9, 10_000), (1.0, 100_000))  # up to beta, with this many steps per unit of beta

State = TypeVar("State")


class Path(Protocol[State]):
    """Distributions p*_beta from beta = 0, where log Z is known, to beta = 1; State is what its chains consist of."""

    @property
    def log_z0(self) -> float:
        """Log Z at beta = 0."""
        ...

    def start(self, n_chains: int, generator: torch.Generator) -> State:
        """Return chains drawn at beta = 0."""
        ...

    def log_weight(self, state: State, beta: float, to: float) -> Tensor:
        """Return log p*_to - log p*_beta where the chains are, (chain,) float64."""
        ...

    def move(self, state: State, beta: float, generator: torch.Generator) -> State:
        """Return the chains after a step of a kernel that is reversible in p_beta."""
        ...


@dataclass(frozen=True)
class AnnealedEstimate:
    """An estimate of log Z in nats, with its standard error and the effective number of chains (ess).

    On average it is too low from forward chains, too high from backward ones.
    """

    value: float
    error: float
    ess: float
    n_chains: int
    n_temperatures: int

    def __str__(self) -> str:
        size = f"{self.n_chains} chains of {self.n_temperatures:,} temperatures"
        return f"log Z = {Measured(self.value, self.error)} ({size}, worth {self.ess:.0f} independent weights)"

    @property
    def warning(self) -> str:
        """What is doubtful about it, or nothing."""
        if self.ess >= min(_FEWEST_EFFECTIVE, self.n_chains / 2):
            return ""
        return (
            f"log Z rests on {self.ess:.1f} effective of {self.n_chains} chains, so its error is uncertain. "
            "More temperatures help, more chains hardly do."
        )


@checked
def schedule(n_temperatures: Count | str | Sequence[float] | Tensor) -> list[float]:
    """Return inverse temperatures that rise from 0 to 1.

    Parameters
    ----------
    n_temperatures : a number of equal steps; "long", the 14,500 steps of Salakhutdinov and Murray, finer towards 1;
        or the inverse temperatures themselves.

    Raises
    ------
    InputError
        For a number out of range, another word, or values that do not rise from 0 to 1.
    """
    if isinstance(n_temperatures, str):
        if n_temperatures != "long":
            raise InputError(f"Expected a number of temperatures or 'long', got {n_temperatures!r}. Try 1000.")
        betas, begin = [0.0], 0.0
        for end, per_unit in LONG:
            n = round((end - begin) * per_unit)
            betas += [begin + (end - begin) * (k + 1) / n for k in range(n)]
            begin = end
        return betas
    if isinstance(n_temperatures, (int, np.integer)):
        return [k / int(n_temperatures) for k in range(int(n_temperatures) + 1)]
    betas = as_array(n_temperatures, "n_temperatures").astype(float).ravel().tolist()
    if len(betas) < 2 or betas[0] != 0 or betas[-1] != 1 or not all(a < b for a, b in pairwise(betas)):
        raise InputError("Expected inverse temperatures that rise from 0 to 1, got others. Try numpy.linspace(0, 1).")
    return betas


@checked
def anneal(path: Path[State], state: State, betas: Sequence[float], generator: torch.Generator) -> tuple[State, Tensor]:
    """Take chains along the inverse temperatures; return where they end and log w (chain,), float64.

    The chains of `state` are distributed as the first of `betas` says, which rise (forwards) or fall (backwards).
    """
    total = torch.zeros(())
    with torch.no_grad():
        for beta, to in pairwise(betas):
            total = total + path.log_weight(state, beta, to)
            state = path.move(state, to, generator)
    return state, total


@checked
def annealed_estimate(
    log_w: Tensor, log_z0: float, n_temperatures: int, *, backwards: bool = False
) -> AnnealedEstimate:
    """Return the estimate of log Z from log weights (chain,), of forward chains or of backward ones.

    Raises `InputError` for fewer than two chains.
    """
    if len(log_w) < 2:
        raise InputError(f"Expected at least 2 chains, got {len(log_w)}. The error comes from their scatter.")
    log_w = log_w.double().cpu()
    n = len(log_w)
    log_mean = float(torch.logsumexp(log_w, 0)) - math.log(n)
    w = torch.exp(log_w - log_w.max())
    relative = float(w.std() / w.mean())
    hidden = 0.0 if backwards else max(0.0, float(log_w.mean() + log_w.var() / 2) - log_mean)
    error = math.hypot(relative / math.sqrt(n), hidden)
    ess = float(w.sum().square() / w.square().sum())
    return AnnealedEstimate(log_z0 - log_mean if backwards else log_z0 + log_mean, error, ess, n, n_temperatures)


@checked
def bridge(log_w: Tensor, log_w_back: Tensor, log_z0: float) -> Measured:
    """Return log Z from the log weights (chain,) of forward chains and of as many backward ones.

    Raises `InputError` for fewer than two chains, or different numbers of them.
    """
    if len(log_w) != len(log_w_back) or len(log_w) < 2:
        raise InputError(f"Expected as many chains each way, at least 2, got {len(log_w)} and {len(log_w_back)}.")
    forth, back = log_w.double().cpu(), log_w_back.double().cpu()
    both = torch.cat([forth, -back])
    low, high, c = float(both.min()), float(both.max()), 0.0
    for _ in range(100):  # bisection: the difference of the two sums falls with c
        c = (low + high) / 2
        above = float((torch.sigmoid(forth - c) - torch.sigmoid(back + c)).sum()) > 0
        low, high = (c, high) if above else (low, c)
    f, g = torch.sigmoid(forth - c), torch.sigmoid(back + c)
    variance = (f.var() / f.mean().square() + g.var() / g.mean().square()) / len(f)
    return Measured(log_z0 + c, math.sqrt(float(variance)))
