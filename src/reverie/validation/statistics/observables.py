"""The spectrum of physics observables: means with errors, and their difference with its covariance.

An observable maps events to one number each, v (n,), such as an invariant mass, or to several, v (n, k), such as
a correlation function G(r) or the power in bands of wave number. Its means over x and y differ by

    D = sum_i s_i v_i,        chi^2 = D^T C^-1 D,       C = (sum_i s_i^2) cov(v)

with s the signed measure of `reverie.validation.permutation.relabelling`. cov(v) is that of the pooled rows, which no
relabelling changes, so the permutations of chi^2 are exact. Eigenvalues of cov(v) below 1e-8 of the largest are cut
and counted. For chains, chi^2 is divided by its mean over the block permutations per degree of freedom, which
is 1 for independent rows: what is shown then has its textbook size.

The errors of the means are those of the jackknife over groups of neighbouring rows, so they know about
autocorrelation as long as a group is longer than it. Numbers per event are also compared in shape, by the
tests of single features.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import TypeAlias

import numpy as np
import torch
from torch import Tensor

from reverie.core.errors import InputError
from reverie.core.measured import Measured
from reverie.core.types import ArrayLike
from reverie.validation.parallel import one_thread
from reverie.validation.permutation.relabelling import Computed, Relabellings, jackknife_error
from reverie.validation.permutation.signed_measures import row_sums
from reverie.validation.statistics.moments import whitened

__all__ = [
    "Observable",
    "ObservableMeans",
    "evaluate_observables",
    "mean_columns",
    "named_observables",
    "observable_means",
]

Observable: TypeAlias = Callable[[Tensor], ArrayLike]  # events (n, *event), float64 -> (n,) or (n, k)


@dataclass(frozen=True)
class ObservableMeans:
    """An observable in real and generated events.

    Parameters
    ----------
    name : Name of the observable.
    real, real_error, generated, generated_error : (k,) means and their standard errors.
    chi2 : Chi-squared of the difference of the means, with its covariance.
    dof : Degrees of freedom, the number of components kept.
    n_cut : Number of components cut, since they did not vary.
    p_value, p_adjusted : p-value of the permutations, and the same corrected for the number of observables.
    real_vs_real : chi2 of two real samples.
    distinguishes : whether p_adjusted is at most the level of the validation.
    """

    name: str
    real: tuple[float, ...]
    real_error: tuple[float, ...]
    generated: tuple[float, ...]
    generated_error: tuple[float, ...]
    chi2: float
    dof: int
    n_cut: int
    p_value: float
    p_adjusted: float
    real_vs_real: float | None
    distinguishes: bool

    def __str__(self) -> str:
        worst = int(np.abs(self.deviations).argmax())
        where = self.name if len(self.real) == 1 else f"{self.name}[{worst}]"
        pair = [
            Measured(self.generated[worst], self.generated_error[worst]),
            Measured(self.real[worst], self.real_error[worst]),
        ]
        return (
            f"Mean of {where}: {pair[0]} in generated, {pair[1]} in real events "
            f"(chi2 {self.chi2:.3g} for {self.dof}, p = {self.p_value:.2g})."
        )

    @property
    def deviations(self) -> np.ndarray:
        """(k,), generated minus real, in units of the combined error; 0 where neither varies."""
        error = np.hypot(self.real_error, self.generated_error)
        change = np.subtract(self.generated, self.real)
        return np.divide(change, error, out=np.zeros_like(change), where=error > 0)


def named_observables(observables: object) -> Mapping[str, Observable]:
    """Return functions by name: from a mapping, one or several functions, or objects with `name` and `function`."""
    if observables is None:
        return {}
    if isinstance(observables, Mapping):
        return {str(name): function for name, function in observables.items()}
    if isinstance(observables, str) or callable(observables) or not isinstance(observables, Iterable):
        observables = [observables]
    named: dict[str, Observable] = {}
    for one in observables:
        function = getattr(one, "function", one)
        if isinstance(one, str) or not callable(function):
            raise InputError(
                f"Expected a function of events (n, *event), got {one!r}. Named observables are functions in "
                "reverie.data.observables; on the command line give their names."
            )
        name = str(getattr(one, "name", None) or getattr(one, "__name__", "observable"))
        if name in named:
            raise InputError(
                "Expected observables of different names, got one twice. Give them names: {'name': function}."
            )
        named[name] = function
    return named


def evaluate_observables(observables: Mapping[str, Observable], values: np.ndarray, what: str) -> dict[str, np.ndarray]:
    """Return every observable of events (n, *event) as (n, k) float64."""
    events, results = torch.from_numpy(np.ascontiguousarray(values)), {}
    for name, function in observables.items():
        expected = f"Expected one or several finite numbers per event from the observable {name!r} on {what}, got "
        try:
            with torch.no_grad():
                returned = function(events)
            v = np.asarray(returned.detach().cpu() if isinstance(returned, Tensor) else returned, dtype=np.float64)
        except (RuntimeError, TypeError, ValueError, IndexError, AttributeError) as error:
            reason = (str(error).splitlines() or [type(error).__name__])[0]
            raise InputError(
                f"{expected}an error ({reason}). It is called with a tensor {tuple(events.shape)} of float64."
            ) from error
        if v.ndim == 0 or len(v) != len(events):
            raise InputError(f"{expected}shape {v.shape} for {len(events)} events. Leave the first axis alone.")
        if not np.isfinite(v).all():
            raise InputError(f"{expected}{int((~np.isfinite(v)).sum())} NaN or inf. Guard its roots and logarithms.")
        results[name] = v.reshape(len(v), -1)
    return results


def mean_columns(v: Tensor, relabel: Relabellings) -> tuple[Computed, int]:
    """Return chi^2 of the means of pooled v (N, k) under every labelling, and the number of components kept."""
    v = v.double() - v.double().mean(0)
    white = whitened(v, torch.cov(v.T).reshape(v.shape[1], v.shape[1]))
    change, dof = row_sums(len(v), white.__getitem__, relabel.contrasts), white.shape[1]
    observed = replace(relabel, labels=relabel.labels[:, :1], weight_of_x=relabel.weight_of_x[:1])
    values = change.square().sum(0).numpy() / float(observed.contrasts().double().square().sum())
    inflation = float(values[1:].mean() / dof) if len(values) > 20 * dof and dof else 1.0
    return Computed(values / inflation), dof


@one_thread()
def observable_means(v: Tensor, relabel: Relabellings) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Return the means of pooled v (N, k) over x, their errors, and the same over y, (k,) each."""
    w, of_x, half, result = relabel.row_weights, relabel.labels[:, 0], relabel.n_groups // 2, []
    for sample, masses, groups in zip(
        (of_x, ~of_x), relabel.jackknife_masses(), (slice(0, half), slice(half, None)), strict=True
    ):
        left_out = (masses.T @ v.double())[groups].numpy()
        both = np.concatenate([left_out, np.zeros_like(left_out)])
        result += [
            (w[sample] @ v[sample].double() / w[sample].sum()).numpy(),
            np.array([jackknife_error(column) for column in both.T]),
        ]
    return result[0], result[1], result[2], result[3]
