"""What a run leaves behind: positions of parallel chains, averages with honest errors, and signs of convergence.

R-hat compares chains: with W the mean variance within and B / n the variance of the means of m chains of length n,

    R-hat = sqrt(((n - 1) / n W + B / n) / W),

on chains split in halves, so that a drift within a chain shows as well. The rank-normalised form takes normal
scores of ranks, and the larger of two values, of x and of |x - median|: it also sees chains of unequal width
and works without moments. Values above 1.01 say: run longer.

The effective size of several chains is n_eff = n / (2 tau_int) with pooled autocovariance (`reverie.core.series`);
chains that disagree then count little, because their common mean leaves a slowly decaying Gamma(t).

References
----------
Gelman and Rubin, Stat. Sci. 7, 457 (1992); Vehtari et al., Bayesian Anal. 16, 667 (2021), arXiv:1903.08008.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor

from reverie.core.arguments import check_fields, checked
from reverie.core.errors import InputError, MissingDependencyError
from reverie.core.html import card, line, table
from reverie.core.measured import Measured
from reverie.core.series import AutocorrelationTime, as_chains, autocorrelation_time, mean_with_error

__all__ = ["Chains", "effective_sample_size", "rank_normalised_r_hat", "split_r_hat"]

_MOST_CHAINS, _MOST_FEATURES, _FEWEST_STEPS = 64, 6, 8  # of a card


@dataclass(frozen=True, eq=False)
class Chains:
    """Positions of parallel Markov chains. Raises `InputError` if `x` has no axes of steps and chains.

    Parameters
    ----------
    x : (step, chain, *event), the kept steps in order.
    info : what the Info of each kept step says, by name, (step, chain), or (step, pair) of neighbouring temperatures.
    thin : kernel steps between two kept ones.
    """

    x: Tensor
    info: Mapping[str, Tensor] = field(default_factory=dict)
    thin: int = 1

    def __post_init__(self) -> None:
        check_fields(self)
        if self.x.ndim < 2:
            raise InputError(f"Expected x (step, chain, *event), got shape {tuple(self.x.shape)}. Add the axes.")

    def __str__(self) -> str:
        steps, chains, *event = self.x.shape
        return f"{chains} chains of {steps} steps (thin = {self.thin}) of events {tuple(event)}"

    def _repr_html_(self) -> str:
        """Return what a notebook shows: mean, autocorrelation, effective size, R-hat and traces of some features."""
        steps, chains, *event = self.x.shape
        rows, right = [], ("mean", "tau_int [kept steps]", "n_eff", "R-hat")
        features = self.x[:, :_MOST_CHAINS].flatten(2) if event else self.x[:, :_MOST_CHAINS, None]
        for j in range(min(features.shape[2], _MOST_FEATURES) if steps >= _FEWEST_STEPS and chains else 0):
            x = features[:, :, j].double().cpu().numpy().T
            if np.isfinite(x).all():
                tau, mean = autocorrelation_time(x), mean_with_error(x)
                numbers = [str(mean).partition(" (n")[0], f"{tau.value:.3g}", f"{tau.n_eff:,.0f}"]
                rows.append([f"x{j}", *numbers, f"{rank_normalised_r_hat(x):.3f}", line(x[:3])])
        more = features.shape[2] - len(rows)
        notes = f"... and {more:,} features more. " * bool(more and rows)
        notes += f"Numbers are those of the first {_MOST_CHAINS} chains." * (chains > _MOST_CHAINS)
        return card("Chains", str(self), table(("feature", *right, ""), rows, right=right), notes)

    def pooled(self) -> Tensor:
        """Return all positions, (step * chain, *event), step by step."""
        return self.x.flatten(0, 1)

    def observe(self, observable: Callable[[Tensor], Tensor]) -> np.ndarray:
        """Return an observable (batch, *event) -> (batch,) along every chain, (chain, step), float64."""
        with torch.no_grad():
            values = torch.stack([observable(x) for x in self.x])
        return values.double().cpu().numpy().T

    def to_arviz(self, names: Sequence[str] | None = None) -> Any:
        """Return the chains as ArviZ takes them (`InferenceData`, a `DataTree` from version 1 on).

        The positions are the variable "x" (chain, draw, *event) of the group "posterior"; what the Info of each step
        says is in "sample_stats". Raises `MissingDependencyError` without the package arviz.

        Parameters
        ----------
        names : One name for each number of an event (d,), of which each then is a variable of its own.
        """
        try:
            import arviz
        except ModuleNotFoundError:
            raise MissingDependencyError("arviz", "arviz", "hand chains to ArviZ") from None
        x = self.x.detach().cpu().transpose(0, 1).numpy()
        if names is not None and (x.ndim != 3 or len(names) != x.shape[2]):
            raise InputError(f"Expected one name for each number of an event {x.shape[2:]}, got {list(names)}.")
        variables = {"x": x} if names is None else {name: x[..., j] for j, name in enumerate(names)}
        of_steps = {k: v.detach().cpu().T.numpy() for k, v in self.info.items() if v.shape == self.x.shape[:2]}
        groups = {"posterior": variables} | ({"sample_stats": of_steps} if of_steps else {})
        is_new = int(arviz.__version__.split(".")[0]) >= 1
        return arviz.from_dict(groups) if is_new else arviz.from_dict(**groups)

    def mean(self, observable: Callable[[Tensor], Tensor]) -> Measured:
        """Return the mean of an observable; its error knows the autocorrelation."""
        return mean_with_error(self.observe(observable))

    def autocorrelation(self, observable: Callable[[Tensor], Tensor]) -> AutocorrelationTime:
        """Return the integrated autocorrelation time of an observable, in kept steps."""
        return autocorrelation_time(self.observe(observable))


@checked
def effective_sample_size(x: np.ndarray) -> float:
    """Return n / (2 tau_int) of a series x (step,) or of pooled chains x (chain, step)."""
    return autocorrelation_time(x).n_eff


@checked
def split_r_hat(x: np.ndarray) -> float:
    """Return R-hat of the halves of chains x (chain, step) or of one chain (step,); 1 for a constant.

    Chains that are constant but differ have R-hat inf. Raises `InputError` for another shape, fewer than 4 steps, or
    values that are not finite.
    """
    return _r_hat(_halves(x))


def _r_hat(halves: np.ndarray) -> float:
    """Return R-hat of chains (chain, step) as they are."""
    n = halves.shape[1]
    within = float(halves.var(axis=1, ddof=1).mean())
    between = float(halves.mean(axis=1).var(ddof=1))
    if within == 0:
        return 1.0 if np.ptp(halves) == 0 else math.inf
    return math.sqrt((n - 1) / n + between / within)


@checked
def rank_normalised_r_hat(x: np.ndarray) -> float:
    """Return the larger R-hat of normal scores of x and of |x - median|, for x as in `split_r_hat`."""
    from scipy.special import ndtri
    from scipy.stats import rankdata

    halves = _halves(x)
    folded = np.abs(halves - np.median(halves))
    ranks = (rankdata(values).reshape(values.shape) for values in (halves, folded))
    scores = (ndtri((r - 3 / 8) / (r.size + 1 / 4)) for r in ranks)  # offsets of Blom, as in Vehtari et al.
    return max(map(_r_hat, scores))


def _halves(x: np.ndarray) -> np.ndarray:
    chains = as_chains(x)
    half = chains.shape[1] // 2
    return np.concatenate([chains[:, :half], chains[:, -half:]])
