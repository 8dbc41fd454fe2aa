"""The options of a restricted Boltzmann machine, checked and resolved: what "auto" comes to."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from reverie.core.checks import check_choice
from reverie.models.rbm.exact import smaller_layer
from reverie.models.rbm.training import METHODS, Settings
from reverie.networks.boltzmann import VISIBLE, BoltzmannEnergy
from reverie.training.optimizers import OPTIMIZERS

__all__ = ["LEARNING_RATES", "check_options", "resolved_settings"]

_EXACT_TRAINING = 12  # units of the smaller layer up to which method "auto" trains exactly
_GAUSSIAN_SWEEPS = 10  # their persistent chains are slow: with one sweep the machine runs away from its chains
LEARNING_RATES: Mapping[tuple[str, str, str], tuple[float, str]] = MappingProxyType(
    {  # (optimiser, gradient, visible units) -> rate, and where it comes from; AdamW and RMSprop go by Adam's rows
        ("sgd", "sampled", "binary"): (0.2, "the run of 500 hidden units on binarised MNIST in docs/theory/rbm.md"),
        ("sgd", "sampled", "gaussian"): (0.2, "as for binary units; not measured: the default optimiser is Adam"),
        ("sgd", "exact", "binary"): (5.0, "the best on XOR, seed 0: 2 stayed at its start, 10 was unsteady"),
        ("sgd", "exact", "gaussian"): (0.2, "the best of 0.05, 0.2 and 1 on two Gaussian clusters, seed 0"),
        ("adam", "exact", "binary"): (0.1, "the runs on Ising lattices and XOR in docs/theory/rbm.md, of 800 steps"),
        ("adam", "exact", "gaussian"): (0.03, "between 0.01 and 0.1, which end alike in the table of Gaussian units"),
        ("adam", "sampled", "binary"): (0.01, "as for Gaussian units; not measured: the default optimiser is SGD"),
        ("adam", "sampled", "gaussian"): (0.01, "the best of the four rates of pcd in the table of Gaussian units"),
        ("adagrad", "exact", "binary"): (0.5, "between 0.3 and 1, which end alike on XOR, seed 0"),
        ("adagrad", "exact", "gaussian"): (0.5, "better than 0.1 on two Gaussian clusters, seed 0"),
        ("adagrad", "sampled", "binary"): (0.3, "on XOR, seed 0: 0.1 stayed at its start"),
        ("adagrad", "sampled", "gaussian"): (0.3, "better than 0.1 on two Gaussian clusters, seed 0"),
        ("adadelta", "exact", "binary"): (10.0, "the best on XOR, seed 0: 1 stayed at its start"),
        ("adadelta", "exact", "gaussian"): (10.0, "better than 1 on two Gaussian clusters, seed 0"),
        ("adadelta", "sampled", "binary"): (10.0, "on XOR, seed 0: 1 stayed at its start"),
        ("adadelta", "sampled", "gaussian"): (10.0, "better than 1 on two Gaussian clusters, seed 0"),
    }
)
_LIKE = {"adamw": "adam", "rmsprop": "adam"}  # whose steps are as long
_RESTARTS, _RESTARTED = 5, 10  # machines side by side, for smaller layers of so many units


def resolved_settings(model: Any, energy: BoltzmannEnergy) -> Settings:
    """Return how the machine `energy` is to learn: the options of `model`, each "auto" resolved."""
    small = smaller_layer(energy)
    method = ("exact" if small <= _EXACT_TRAINING else "pcd") if model.method == "auto" else model.method
    exact = method == "exact"
    sgd = energy.visible == "binary" and not exact
    optimizer = ("sgd" if sgd else "adam") if model.optimizer == "auto" else model.optimizer
    key = (_LIKE.get(optimizer, optimizer), "exact" if exact else "sampled", energy.visible)
    rate, _ = LEARNING_RATES[key]
    sweeps = _GAUSSIAN_SWEEPS if method == "pcd" and energy.visible == "gaussian" else 1
    restarts = (_RESTARTS if exact and small <= _RESTARTED else 1) if model.n_restarts == "auto" else model.n_restarts
    return Settings(
        method=method,
        max_steps=int(model.max_steps),
        learning_rate=rate if model.learning_rate == "auto" else float(model.learning_rate),
        optimizer=optimizer,
        momentum=(0.0 if optimizer == "sgd" else 0.9) if model.momentum == "auto" else float(model.momentum),
        weight_decay=model.weight_decay,
        centred=model.centred,
        n_gibbs=sweeps if model.n_gibbs == "auto" else int(model.n_gibbs),
        n_chains=int(model.n_chains),
        n_levels=int(model.n_levels),
        n_restarts=int(restarts) if exact else 1,
        ema_decay=(0.0 if exact else 0.999) if model.ema_decay == "auto" else float(model.ema_decay),
        all_rows=model.batch_size == "auto",
        seed=model.seed_,
        compile=model.compile,
    )


def check_options(model: Any) -> None:
    """Raise `InputError` for options of `model` that are out of range."""
    check_choice("method", model.method, dict.fromkeys(METHODS, True))
    check_choice("visible", model.visible, dict.fromkeys(("auto", *VISIBLE), True))
    if model.optimizer != "auto":
        check_choice("optimizer", model.optimizer, OPTIMIZERS)
