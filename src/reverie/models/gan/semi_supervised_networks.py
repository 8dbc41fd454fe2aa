"""From the configuration of a `SemiSupervisedGAN` to the two players and their game."""

import math
from typing import Any

from torch import Tensor

from reverie.core.arguments import check_arguments
from reverie.core.checks import check_choice
from reverie.core.errors import InputError
from reverie.core.random import child_generator, child_seed
from reverie.models.gan.learning_rates import FEATURE_MATCHING, learning_rate_of
from reverie.models.gan.semi_supervised_training import SemiSupervisedGame, SemiSupervisedSettings, matching_generator
from reverie.networks.classifier import NoiseStock, NoisyClassifier

__all__ = ["batch_sizes", "check_configuration", "make_game"]

_BATCH = 100
_CALIBRATED_ON = 500  # rows that set the scales of the first weights (as in the source)
_IMAGE_NOISE, _TABLE_NOISE = (0.6, 0.5), (0.1, 0.1)  # input, hidden; 0.3 of pixels in [0, 1] is 0.6 in [-1, 1]


def check_configuration(model: Any) -> None:
    """Raise `InputError` for an option of the `SemiSupervisedGAN` `model` that is out of range; names the option."""
    check_arguments(type(model), model.get_params(deep=False), of=type(model).__name__)
    check_choice("schedule", model.schedule, {"cosine": True, "constant": True})
    for name in ("hidden", "generator_hidden"):
        if len(getattr(model, name)) == 0:
            raise InputError(f"Expected at least one width in {name}, got none. Give some, such as (250,).")
    if model.batch_size == 1:
        raise InputError("Expected batch_size of at least 2, which batch normalisation needs, got 1. Give more.")


def batch_sizes(model: Any, n_rows: int) -> tuple[int, int]:
    """Return how many unlabelled and how many labelled rows a batch of `model` holds, out of `n_rows` in all."""
    size = min(_BATCH, n_rows) if model.batch_size == "auto" else int(model.batch_size)
    if model.labelled_batch_size != "auto":
        return size, int(model.labelled_batch_size)
    return size, min(max(1, size // 4), model.n_labelled_)


def make_game(model: Any, rows: Tensor | None) -> SemiSupervisedGame:
    """Return the game of `model`, whose preprocessing and classes are known.

    Parameters
    ----------
    model : a `reverie.models.gan.semi_supervised.SemiSupervisedGAN`.
    rows : features of the training events (n, *event), which set the first weights; None when weights are loaded.
    """
    transform = model.preprocessing_.transform
    shape = tuple(transform.output_shape)
    input_noise, hidden_noise = _resolved_noise(model, shape)
    weights = child_generator(model.seed_, "weights")
    D = NoisyClassifier(
        math.prod(shape),
        len(model.classes_),
        hidden=tuple(model.hidden),
        input_noise=input_noise,
        hidden_noise=hidden_noise,
        random_generator=weights,
    )
    G = matching_generator(
        transform,
        n_noise=int(model.n_noise),
        hidden=tuple(model.generator_hidden),
        start=None if rows is None else rows.mean(dim=0),
        random_generator=weights,
    )
    stock = None if rows is None else _calibrated(model, D, rows)
    return SemiSupervisedGame(G.to(model.device_), D.to(model.device_), _settings(model), stock)


def _calibrated(model: Any, D: NoisyClassifier, rows: Tensor) -> NoiseStock:
    """Set the scales of `D` by the data; return the noise of its steps."""
    widest = max(rows[0].numel(), *model.hidden)
    first = NoiseStock(child_seed(model.seed_, "first"), largest=_CALIBRATED_ON * widest)
    D.calibrate(rows[:: max(1, len(rows) // _CALIBRATED_ON)][:_CALIBRATED_ON], first.at(0))  # rows may be sorted
    return NoiseStock(model.seed_, largest=sum(batch_sizes(model, len(rows))) * widest, device=model.device_)


def _resolved_noise(model: Any, event_shape: tuple[int, ...]) -> tuple[float, float]:
    """Return the standard deviations of the noise on the input and on the hidden layers."""
    usual = _IMAGE_NOISE if len(event_shape) > 1 else _TABLE_NOISE
    own = (model.input_noise, model.hidden_noise)
    first, later = (default if sd == "auto" else float(sd) for sd, default in zip(own, usual, strict=True))
    return first, later


def _settings(model: Any) -> SemiSupervisedSettings:
    default = learning_rate_of(model.optimizer, FEATURE_MATCHING, images=False)
    d_rate, g_rate = default.discriminator or default.learning_rate, default.learning_rate
    if model.learning_rate is not None:
        d_rate, g_rate = model.learning_rate, model.learning_rate / 3
    betas = default.betas if model.betas is None else model.betas
    return SemiSupervisedSettings(
        n_noise=int(model.n_noise),
        unlabelled_weight=model.unlabelled_weight,
        optimizer=model.optimizer,
        generator_rate=g_rate if model.generator_learning_rate is None else model.generator_learning_rate,
        discriminator_rate=d_rate,
        betas=(float(betas[0]), float(betas[1])),
        hold=0.5 if model.schedule == "cosine" else 1.0,
        ema_decay=model.ema_decay,
        max_steps=model.max_steps,
        compile=model.compile,
    )
