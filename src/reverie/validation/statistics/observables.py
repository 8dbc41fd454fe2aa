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

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import torch
from torch import Tensor

from reverie.core.errors import InputError
from reverie.core.measured import Measured
from reverie.core.types import ArrayLike
from reverie.validation.permutation.relabelling import Computed, Relabellings, jackknife_error

__all__ = [
    "Observable",
    "ObservableMeans",
    "evaluate_observables",
    "mean_columns",
    "named_observables",
    "observable_means",
]

Observable: TypeAlias = Callable[[Tensor], ArrayLike]  # events (n, *event), float64 -> (n,) or (n, k)

_CUT = 1e-8
_ROWS = 4096


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


def named_observables(observables: Any) -> Mapping[str, Observable]:
    """Return functions by name: from a mapping, one or several functions, or objects with `name` and `function`.

    Raises
    ------
    InputError
        For a string (names belong to `reverie.data.observables`), something that cannot be called, or a name twice.
    """
    if observables is None:
        return {}
    if isinstance(observables, Mapping):
        return {str(name): function for name, function in observables.items()}
    several = [observables] if isinstance(observables, str) or callable(observables) else list(observables)
    named: list[tuple[str, Any]] = [(_name(one), getattr(one, "function", one)) for one in several]
    if len({name for name, _ in named}) < len(named):
        raise InputError("Expected observables of different names, got one twice. Give them names: {'name': function}.")
    return dict(named)


def _name(observable: Any) -> str:
    if isinstance(observable, str) or not callable(getattr(observable, "function", observable)):
        raise InputError(
            f"Expected a function of events (n, *event), got {observable!r}. Named observables are functions in "
            "reverie.data.observables; on the command line give their names."
        )
    return str(getattr(observable, "name", None) or getattr(observable, "__name__", "observable"))


def evaluate_observables(
    observables: Mapping[str, Observable], values: np.ndarray, event_shape: tuple[int, ...], what: str
) -> dict[str, np.ndarray]:
    """Return every observable of `values` (n, d), events of `event_shape`, as (n, k) float64.

    Raises
    ------
    InputError
        If one fails, or returns another number of rows, or something that is not finite.
    """
    events = torch.from_numpy(np.ascontiguousarray(values)).reshape(len(values), *event_shape)
    return {name: _evaluated(name, function, events, what) for name, function in observables.items()}


def _evaluated(name: str, function: Observable, events: Tensor, what: str) -> np.ndarray:
    expected = f"Expected one or several finite numbers per event from the observable {name!r} on {what}, got "
    try:
        with torch.no_grad():
            found = function(events)
        result = np.asarray(found.detach().cpu() if isinstance(found, Tensor) else found, dtype=np.float64)
    except (RuntimeError, TypeError, ValueError, IndexError, AttributeError) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise InputError(
            f"{expected}an error ({reason}). It is called with a tensor {tuple(events.shape)} of float64."
        ) from error
    if result.ndim == 0 or len(result) != len(events):
        raise InputError(f"{expected}shape {result.shape} for {len(events)} events. Leave the first axis alone.")
    if not np.isfinite(result).all():
        raise InputError(f"{expected}{int((~np.isfinite(result)).sum())} NaN or inf. Guard its roots and logarithms.")
    return result.reshape(len(result), -1)


def mean_columns(v: Tensor, relabel: Relabellings) -> tuple[Computed, int]:
    """Return chi^2 of the means of pooled v (N, k) under every labelling, and the number of components kept."""
    v = v.double() - v.double().mean(0)
    eigenvalues, axes = torch.linalg.eigh(torch.cov(v.T).reshape(v.shape[1], v.shape[1]))
    kept = eigenvalues > _CUT * eigenvalues[-1].clamp_min(1e-300)
    white = v @ (axes[:, kept] / eigenvalues[kept].sqrt())
    rows = range(0, len(v), _ROWS)
    parts = [white[i : i + _ROWS].T @ relabel.contrasts(slice(i, i + _ROWS)).double() for i in rows]
    size = sum(float(relabel.contrasts(slice(i, i + _ROWS))[:, 0].double().square().sum()) for i in rows)
    values = sum(parts, torch.zeros(())).square().sum(0).numpy() / size
    return Computed(values / _inflation(values, int(kept.sum()))), int(kept.sum())


def _inflation(values: np.ndarray, dof: int) -> float:
    return float(values[1:].mean() / dof) if len(values) > 20 * dof and dof else 1.0


def observable_means(v: Tensor, relabel: Relabellings) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Return the means of pooled v (N, k) over x, their errors, and the same over y, (k,) each."""
    means = [(mass.T @ v.double()).numpy() for mass in relabel.jackknife_masses()]
    half = relabel.n_groups // 2
    w = torch.ones(len(v), dtype=torch.float64) if relabel.weights is None else relabel.weights
    of_x = relabel.labels[:, 0]
    result = []
    for sample, left_out, rows in ((of_x, means[0], slice(0, half)), (~of_x, means[1], slice(half, None))):
        mean = (w[sample] @ v[sample].double() / w[sample].sum()).numpy()
        both = np.concatenate([left_out[rows], np.zeros_like(left_out[rows])])
        result += [mean, np.array([jackknife_error(column) for column in both.T])]
    return result[0], result[1], result[2], result[3]
