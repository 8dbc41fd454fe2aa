"""What a report shows of a restricted Boltzmann machine: likelihood, log Z both ways, overfitting, mixing of chains."""

import math
from typing import Any

import numpy as np
import torch

from reverie.core.assessment import Assessment, Curves, Quantity
from reverie.core.measured import measured_mean
from reverie.core.random import child_generator
from reverie.core.series import autocorrelation_time
from reverie.data.dataset import Dataset
from reverie.models.base import first_rows
from reverie.models.rbm.likelihood import BoltzmannPath
from reverie.samplers.diagnostics import rank_normalised_r_hat

__all__ = ["assessment"]

_CHAINS, _SWEEPS = 16, 400
_MIXED = 1.05  # R-hat of chains that are good enough to draw from
_GAP = 3.0  # standard errors


def assessment(model: Any, train: Any, held_out: Any, seed: int) -> Assessment:
    """Return what is known of a fitted `reverie.models.rbm.RBM` besides its likelihoods.

    Parameters
    ----------
    model : the machine.
    train, held_out : events it was trained on, and events it has never seen.
    seed : of the chains.
    """
    gap, error = _gap(model, first_rows(train), first_rows(held_out))
    said = "nats, held-out minus training events: grows with overfitting"
    log_z = model._known_log_z()
    numbers = (*_of_log_z(log_z), Quantity("free-energy gap", gap, error, said))
    warnings = list(log_z.warnings)
    if gap > _GAP * error:
        warnings.append("Training events have a lower free energy than held-out ones: the machine has overfitted.")
    if model.visible_ == "gaussian" and not model.schema_.is_table:
        warnings.append("Grey images got Gaussian units. For binary ones, make two values of them: X > threshold.")
    series = _free_energies_of_chains(model, seed)
    mixing, doubts = _mixing(series)
    lines = {f"chain {i}": (list(range(series.shape[1])), line.tolist()) for i, line in enumerate(series[:4])}
    curves = Curves("Gibbs chains", "sweep", "free energy", lines)
    return Assessment((*numbers, *mixing), (*warnings, *doubts), (curves,))


def _of_log_z(log_z: Any) -> list[Quantity]:
    numbers = [Quantity("log Z", log_z.value, log_z.error, f"by the {log_z.method} method, of the features")]
    if log_z.forward is not None:
        forward, backward = log_z.forward, log_z.backward
        numbers.append(Quantity("log Z forwards", forward.value, forward.error, "too low on average"))
        numbers.append(Quantity("effective chains", forward.ess, None, f"of {forward.n_chains} forward chains"))
        if backward is not None:
            numbers.append(Quantity("log Z backwards", backward.value, backward.error, "too high on average"))
    return numbers


def _gap(model: Any, train: Any, held_out: Any) -> tuple[float, float]:
    a, b = (
        measured_mean(model.free_energy(X), X.weights if isinstance(X, Dataset) else None) for X in (train, held_out)
    )
    return b.value - a.value, math.hypot(a.error, b.error)


def _free_energies_of_chains(model: Any, seed: int) -> np.ndarray:
    """Return F along Gibbs chains, (chain, step), that start where the samples of the model start."""
    generator = child_generator(seed, "assess", device=model.device_)
    path, states = BoltzmannPath(model._energy, model._base()), model._pilot_states()
    index = torch.randperm(len(states), generator=generator, device=generator.device)[:_CHAINS]
    series = []
    with torch.no_grad():
        level = path.at(states[index.to(states.device)].to(path.W.dtype))
        for _ in range(_SWEEPS):
            level = path.move(level, 1.0, generator)
            series.append(model._free_energies(level.v))
    return torch.stack(series, dim=1).cpu().numpy()


def _mixing(series: np.ndarray) -> tuple[list[Quantity], list[str]]:
    tau, r_hat = autocorrelation_time(series), rank_normalised_r_hat(series)
    numbers = [
        Quantity("autocorrelation time", tau.value, tau.error, "of the free energy along Gibbs chains, in sweeps"),
        Quantity("R-hat", r_hat, None, f"of {len(series)} chains of {series.shape[1]} sweeps; 1 for chains that agree"),
        Quantity("effective size", tau.n_eff, None, f"independent draws that {series.size} sweeps are worth"),
    ]
    if r_hat < _MIXED:
        return numbers, []
    return numbers, ["Gibbs chains do not mix. Draw with sample(..., sampler='tempering') or more n_sweeps."]
