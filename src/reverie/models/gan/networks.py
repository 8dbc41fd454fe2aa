"""From the configuration of a GAN to the two players and their game.

Everything that "auto" and None stand for is resolved here, from the shape of the features and the
defaults of the objective.
"""

import math
from functools import partial
from typing import Any

from torch import nn

from reverie.core.arguments import check_arguments
from reverie.core.checks import check_choice
from reverie.core.errors import InputError
from reverie.core.random import child_generator, child_seed
from reverie.models.gan.game import AdversarialGame, GameSettings, Rows
from reverie.models.gan.generator import ShapedGenerator, head_of
from reverie.models.gan.kinematic_fit import KinematicFit
from reverie.models.gan.learning_rates import learning_rate_of
from reverie.networks.build import build_discriminator, build_generator, has_batch_norm, resolved_name
from reverie.networks.energies import SMOOTH
from reverie.networks.replicas import Stacked
from reverie.networks.whitening import Whitening
from reverie.objectives.adversarial import OBJECTIVES, Objective
from reverie.objectives.auxiliary import auxiliary_loss
from reverie.objectives.penalties import PENALTIES

__all__ = ["check_configuration", "make_game", "resolved_activation", "resolved_batch_size"]

_FEATURES_OF_GAMMA = 8  # up to these gamma stays as it is: six columns, two of them angles, were tuned on
_TABLE_BATCH, _IMAGE_BATCH = 256, 64
_IMAGE_GAMMA, _IMAGE_PENALTY_EVERY = 0.3, 8  # of convolutional pairs; chosen on training digits with labels
_MOST_AUTO_NOISE, _LEAST_AUTO_NOISE = 128, 16
_PERCEPTRONS, _SMOOTH = {"mlp", "residual"}, {"continuous", "periodic", "bounded"}  # what a kinematic fit is for
_CHOICES = {
    "objective": OBJECTIVES,
    "schedule": ("cosine", "constant"),
    "noise_prior": ("normal", "uniform"),
    "penalty": ("auto", *PENALTIES),
    "condition_mode": ("projection", "concatenate", "auxiliary"),
    "on_alarm": ("warn", "stop", "rollback"),
    "ensemble": ("bag", "best"),
}


def check_configuration(model: Any) -> None:
    """Raise `InputError` for an option of the GAN `model` that is out of range; names the option."""
    check_arguments(type(model), model.get_params(deep=False), of=type(model).__name__)
    for name, choices in _CHOICES.items():
        check_choice(name.replace("_", " "), getattr(model, name), dict.fromkeys(choices, True))
    if model.stop_at_equilibrium and 0 in (model.n_checks, model.validation_fraction):
        off = "n_checks" if model.n_checks == 0 else "validation_fraction"
        raise InputError(
            f"Expected {off} > 0 with stop_at_equilibrium=True, got 0: nobody would look whether the game is at rest. "
            f"Leave {off} at its default, or stop_at_equilibrium=False."
        )


def _check_conditions(model: Any) -> None:
    """Raise `InputError` for options that wait for conditions, or for a weight, that are not there."""
    if model._conditions is None and model.reconstruction_weight > 0:
        raise InputError(
            f"Expected conditions y for reconstruction_weight={model.reconstruction_weight:g}, which holds a sample "
            "against the event that its condition belongs to, got none. Call fit(X, y), or leave it at 0."
        )
    if model._conditions is not None and model.condition_mode == "auxiliary" and model.auxiliary_weight == 0:
        raise InputError(
            "Expected auxiliary_weight > 0 with condition_mode='auxiliary', where only the classifier sees the "
            "condition, got 0: no player would look at it. Give auxiliary_weight=1, or condition_mode='projection'."
        )


def make_game(model: Any, rows: Rows | None) -> AdversarialGame:
    """Return the game of the GAN `model`, whose preprocessing is fitted.

    Parameters
    ----------
    model : a `reverie.models.gan.GAN`.
    rows : features of the training events, to fit the whitening on; None when weights are to be loaded.
    """
    transform = model.preprocessing_.transform
    shape = tuple(transform.output_shape)
    objective = check_choice("objective", model.objective, OBJECTIVES)
    _check_conditions(model)
    settings = _settings(model, objective, shape)
    seeds = [model.seed_] if model.n_replicas == 1 else _replica_seeds(model)
    networks = [_players(model, shape, settings.n_noise, seed) for seed in seeds]
    generators, discriminators = zip(*networks, strict=True)
    _check_discriminator(model, discriminators[0], settings, shape)
    many = model.n_replicas > 1
    observed = None if model._observed is None else model._observed.to(model.device_)
    fit = KinematicFit(observed, settings.noise_prior) if observed is not None and _is_fitted(model, shape) else None
    network = Stacked(generators) if many else generators[0]
    G = ShapedGenerator(network, head_of(transform), _whitening(model, rows), shape, fit).to(model.device_)
    if fit is not None and rows is not None:
        fit.fit(G.to_game(rows["x"].to(model.device_)), G.from_game)
    D = Stacked(discriminators) if many else discriminators[0]
    return AdversarialGame(
        G,
        D.to(model.device_),
        objective,
        settings,
        observe=observed,
        auxiliary=_auxiliary(model),
    )


def resolved_activation(model: Any) -> str:
    """Return the activation of the perceptrons: of weights within the clip a smooth one sees a straight line only."""
    if model.activation != "auto":
        return model.activation
    objective = check_choice("objective", model.objective, OBJECTIVES)
    return "silu" if objective.clip is None else "leaky_relu"


def resolved_batch_size(model: Any, n_rows: int, n_features: int) -> int:
    """Return the rows of one step of one replica: `n_critic` batches of `batch_size`."""
    n_critic = _resolved_n_critic(model)
    if model.batch_size == "auto":
        wanted = _TABLE_BATCH if n_features <= _TABLE_BATCH else _IMAGE_BATCH
        return min(wanted, max(1, n_rows // n_critic)) * min(n_critic, n_rows)
    return int(model.batch_size) * n_critic


def _players(model: Any, shape: tuple[int, ...], n_noise: int, seed: int) -> tuple[nn.Module, nn.Module]:
    weights = child_generator(seed, "weights")
    options: dict[str, Any] = {
        "event_shape": shape,
        "random_generator": weights,
        "activation": resolved_activation(model),
    }
    condition_shape = None if model._conditions is None else model._conditions.shape
    n_condition = sum(condition_shape) if condition_shape is not None and len(condition_shape) == 1 else 0
    n_asked = len(model._observed.names) if _is_fitted(model, shape) else 0
    emitted: dict[str, Any] = {"event_shape": (shape[0] + n_asked, *shape[1:])}
    generator = build_generator(
        model.generator, n_noise=n_noise + n_condition, condition_shape=condition_shape, **options | emitted
    )
    discriminator = build_discriminator(
        model.discriminator,
        n_observables=0 if model._observed is None else len(model._observed.names),
        condition_shape=condition_shape,
        mode=model.condition_mode,
        n_aux=n_condition if model.auxiliary_weight > 0 else 0,
        spectral_norm=model.spectral_norm,
        may_be_bounded=check_choice("objective", model.objective, OBJECTIVES).scale == "probability",
        **options,
    )
    return generator, discriminator


def _is_fitted(model: Any, shape: tuple[int, ...]) -> bool:
    """Tell whether generated events go through a kinematic fit."""
    if model._observed is None or model.kinematic_fit is False:
        return False
    names_a_perceptron = isinstance(model.generator, str) and resolved_name(model.generator, shape) in _PERCEPTRONS
    widths = isinstance(model.generator, (tuple, list))
    columns = model.preprocessing_.schema.columns
    smooth = all(c.kind in _SMOOTH and c.atom is None and not c.integral for c in columns)
    can = len(shape) == 1 and (names_a_perceptron or widths)
    can = can and _resolved_n_noise(model, math.prod(shape)) >= len(model._observed.names)
    if model.kinematic_fit is True and not can:
        raise InputError(
            "Expected a table, a perceptron as generator and a noise number for each observable for "
            "kinematic_fit=True. Use kinematic_fit='auto', which leaves it out where it cannot be."
        )
    return can and (smooth or model.kinematic_fit is True)


def _replica_seeds(model: Any) -> list[int]:
    return [child_seed(model.seed_, "replica", r) for r in range(model.n_replicas)]


def _check_discriminator(model: Any, D: nn.Module, settings: GameSettings, shape: tuple[int, ...]) -> None:
    clip, spec = check_choice("objective", model.objective, OBJECTIVES).clip, model.discriminator
    is_perceptron = (
        isinstance(spec, (tuple, list)) or isinstance(spec, str) and resolved_name(spec, shape) in _PERCEPTRONS
    )
    if clip is not None and is_perceptron and model.activation in SMOOTH:
        raise InputError(
            f"Expected an activation with a kink for objective {model.objective!r}, got {model.activation!r}: weights "
            f"within {clip:g} keep its units where it is a straight line, and the critic learns nothing. Use "
            "'leaky_relu', 'relu' or 'auto', or objective='wasserstein_gp'."
        )
    if settings.penalty_weight > 0 and settings.penalty != "none" and has_batch_norm(D):
        raise InputError(
            "Expected a discriminator without batch normalisation under a gradient penalty, which acts on each "
            "sample alone. Use layer normalisation, or penalty_weight=0."
        )


def _whitening(model: Any, rows: Rows | None) -> Whitening | None:
    shape = tuple(model.preprocessing_.transform.output_shape)
    if not model.whiten or len(shape) != 1:
        return None
    whitening = Whitening(shape[0])
    return whitening if rows is None else whitening.fit(rows["x"])


def _auxiliary(model: Any) -> Any:
    if model.auxiliary_weight == 0:
        return None
    if model._conditions is None or len(model._conditions.shape) != 1:
        raise InputError(
            "Expected labels or numbers y for auxiliary_weight > 0, got none. Call fit(X, y), or set it to 0."
        )
    groups = [tag.group if tag.kind == "simplex" else None for tag in model._conditions.preprocessing.transform.outputs]
    return partial(auxiliary_loss, groups=groups)


def _settings(model: Any, objective: Objective, shape: tuple[int, ...]) -> GameSettings:
    n_features, images = math.prod(shape), _plays_images(model, shape)
    default = learning_rate_of(model.optimizer, model.objective, images=images)
    rate = default.learning_rate if model.learning_rate is None else model.learning_rate
    d_rate = default.discriminator if model.learning_rate is None else None
    d_rate = d_rate if model.discriminator_learning_rate is None else model.discriminator_learning_rate
    betas = default.betas if model.betas is None else model.betas
    penalty = objective.penalty if model.penalty == "auto" else model.penalty
    every = max(objective.penalty_every, _IMAGE_PENALTY_EVERY if images and penalty == "r1_r2" else 1)
    return GameSettings(
        penalty=penalty,
        penalty_weight=_resolved_penalty_weight(model, penalty, n_features, images=images),
        penalty_every=every if model.penalty_every is None else model.penalty_every,
        n_critic=_resolved_n_critic(model),
        n_noise=_resolved_n_noise(model, n_features),
        noise_prior=model.noise_prior,
        optimizer=model.optimizer,
        generator_rate=rate,
        discriminator_rate=rate if d_rate is None else d_rate,
        betas=(float(betas[0]), float(betas[1])),
        hold=0.5 if model.schedule == "cosine" else 1.0,
        ema_decay=model.ema_decay,
        max_steps=model.max_steps,
        auxiliary_weight=model.auxiliary_weight,
        reconstruction_weight=model.reconstruction_weight,
        n_replicas=model.n_replicas,
        compile=model.compile,
    )


def _resolved_n_critic(model: Any) -> int:
    return check_choice("objective", model.objective, OBJECTIVES).n_critic if model.n_critic is None else model.n_critic


def _plays_images(model: Any, shape: tuple[int, ...]) -> bool:
    return isinstance(model.discriminator, str) and resolved_name(model.discriminator, shape) == "dcgan"


def _resolved_penalty_weight(model: Any, penalty: str, n_features: int, *, images: bool) -> float:
    """Return gamma or lambda; gamma grows with the features of a table, between which |grad D|^2 is shared out."""
    if model.penalty_weight is not None:
        return model.penalty_weight
    if penalty in ("r1", "r2", "r1_r2"):
        if images:  # neighbouring pixels say the same: their number means little
            return _IMAGE_GAMMA
        return OBJECTIVES["relativistic"].penalty_weight * max(1.0, n_features / _FEATURES_OF_GAMMA)
    return OBJECTIVES["wasserstein_gp"].penalty_weight if penalty != "none" else 0.0


def _resolved_n_noise(model: Any, n_features: int) -> int:
    if model.n_noise != "auto":
        return int(model.n_noise)
    return min(max(2 * n_features, _LEAST_AUTO_NOISE), _MOST_AUTO_NOISE)
