"""What a report shows of a restricted Boltzmann machine: likelihood, log Z both ways, overfitting, mixing of chains."""

import math
from typing import Any

import numpy as np
import torch

from reverie.core.measured import Measured
from reverie.core.random import child_generator
from reverie.core.series import autocorrelation_time
from reverie.models.rbm_path import BoltzmannPath
from reverie.samplers.diagnostics import rank_normalised_r_hat

__all__ = ["assessment"]

_CHAINS, _SWEEPS = 16, 400
_MIXED = 1.05  # R-hat of chains that are good enough to draw from
_WATCHED = 5000  # events that likelihoods are averaged over
_GAP = 3.0  # standard errors


def assessment(model: Any, train: Any, held_out: Any, seed: int) -> dict[str, Any]:
    """Return numbers, warnings and curves of a fitted `reverie.models.rbm.RBM`, as JSON can hold them.

    Parameters
    ----------
    model : the machine.
    train, held_out : events it was trained on, and events it has never seen, or None.
    seed : of the chains.
    """
    numbers: list[list[Any]] = []
    log_z = model.log_partition()
    numbers.append(["log Z", log_z.value, log_z.error, f"By the {log_z.method} method, of the features."])
    if log_z.forward is not None:
        forward, backward = log_z.forward, log_z.backward
        numbers.append(["log Z forwards", forward.value, forward.error, "Too low on average."])
        numbers.append(["effective chains", forward.ess, None, f"Of {forward.n_chains} forward chains."])
        if backward is not None:
            numbers.append(["log Z backwards", backward.value, backward.error, "Too high on average."])
    train, held_out = _some(model, train), _some(model, held_out)
    found, warnings = _likelihoods(model, train, held_out), list(log_z.warnings)
    for name, measured in found.items():
        numbers.append([f"log-likelihood, {name}", measured.value, measured.error, "Mean per event, in nats."])
    if len(found) == 2:
        gap, error = _gap(model, train, held_out)
        numbers.append(["free-energy gap", gap, error, "Held-out minus training events: grows with overfitting."])
        if gap > _GAP * error:
            warnings.append("Training events have a lower free energy than held-out ones: the machine has overfitted.")
    series = _free_energies_of_chains(model, seed)
    mixing, doubts = _mixing(series)
    if model.visible_ == "gaussian" and not model.schema_.is_table:
        warnings.append("Grey images got Gaussian units. For binary ones, make two values of them: X > threshold.")
    return {"numbers": numbers + mixing, "warnings": warnings + doubts, "curves": {"free energy": series[:4].tolist()}}


def _likelihoods(model: Any, train: Any, held_out: Any) -> dict[str, Measured]:
    given = {"training events": train, "held-out events": held_out}
    return {name: model.log_likelihood(x).mean for name, x in given.items() if x is not None}


def _some(model: Any, X: Any) -> Any:
    """Return the first of the events X in the container of the model, or None."""
    if X is None or not len(X):
        return None
    return model.preprocessing_.wrapped(model._values(X, reset=False)[:_WATCHED])


def _gap(model: Any, train: Any, held_out: Any) -> tuple[float, float]:
    a, b = model.free_energy(train), model.free_energy(held_out)
    return float(b.mean() - a.mean()), math.sqrt(a.var() / len(a) + b.var() / len(b))


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


def _mixing(series: np.ndarray) -> tuple[list[list[Any]], list[str]]:
    tau, r_hat = autocorrelation_time(series), rank_normalised_r_hat(series)
    numbers = [
        ["autocorrelation time", tau.value, tau.error, "Of the free energy along Gibbs chains, in sweeps."],
        ["R-hat", r_hat, None, f"Of {len(series)} chains of {series.shape[1]} sweeps; 1 for chains that agree."],
        ["effective size", tau.n_eff, None, f"Independent draws that {series.size} sweeps are worth."],
    ]
    if r_hat < _MIXED:
        return numbers, []
    return numbers, ["Gibbs chains do not mix. Draw with sample(..., sampler='tempering') or more n_sweeps."]
