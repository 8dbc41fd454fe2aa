"""What the options of a GAN that are left open, by "auto" or None, come to.

Learning rates stand in one table, and with each row where it comes from.

A rate belongs to its optimiser, whose steps have their own scale: Adam and RMSprop move a weight by about the rate
whatever the gradient, SGD by the rate times the gradient, Adadelta by what it has moved before. It also belongs to
the objective and to the networks: an exception to the row of the optimiser is a row of its own.

    betas    decay of the averages of the gradient (momentum, in SGD) and of its square (alpha, in RMSprop); Adagrad and
             Adadelta read neither

`python -m benchmarks.quality.learning_rates` shows that a GAN with each row learns.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from reverie.core.checks import check_choice
from reverie.core.errors import InputError
from reverie.models.gan.training import AdversarialSettings
from reverie.networks.build import resolved_name
from reverie.objectives.adversarial import OBJECTIVES
from reverie.objectives.penalties import PENALTIES
from reverie.training.optimizers import OPTIMIZERS

__all__ = [
    "ANY",
    "FEATURE_MATCHING",
    "LEARNING_RATES",
    "Rate",
    "check_choices",
    "learning_rate_of",
    "resolved_activation",
    "resolved_batch_size",
    "resolved_n_critic",
    "resolved_n_noise",
    "resolved_settings",
]

Options = Mapping[str, Any]  # arguments of the constructor of a GAN, by name

ANY = "any"  # objective, or any networks, for which there is no row of its own
FEATURE_MATCHING = "feature_matching"  # the objective of `reverie.models.gan.semi_supervised.SemiSupervisedGAN`

_FEATURES_OF_GAMMA = 8  # up to these gamma stays as it is: six columns, two of them angles, were tuned on
_TABLE_BATCH, _IMAGE_BATCH = 256, 64
_IMAGE_GAMMA, _IMAGE_PENALTY_EVERY = 0.3, 8  # of convolutional pairs; chosen on training digits with labels
_MOST_AUTO_NOISE, _LEAST_AUTO_NOISE = 128, 16
_CHOICES = {
    "objective": OBJECTIVES,
    "schedule": ("cosine", "constant"),
    "noise_prior": ("normal", "uniform"),
    "penalty": ("auto", *PENALTIES),
    "condition_mode": ("projection", "concatenate", "auxiliary"),
    "on_alarm": ("warn", "stop", "rollback"),
    "ensemble": ("bag", "best"),
}


@dataclass(frozen=True)
class Rate:
    """Learning rate and betas of an optimiser for the two players, and the source of both in words.

    Parameters
    ----------
    learning_rate : of the generator, > 0.
    betas : see the module.
    source : where they come from.
    discriminator : learning rate of the discriminator; None is that of the generator.
    """

    learning_rate: float
    betas: tuple[float, float]
    source: str
    discriminator: float | None = None


_OURS = "chosen on the toy set ring, seed 0"
_SALIMANS = Rate(1e-3, (0.5, 0.999), "D and betas: Salimans et al., arXiv:1606.03498 (code); G a third of D", 3e-3)
LEARNING_RATES: Mapping[tuple[str, str, str], Rate] = MappingProxyType(
    {  # (optimiser, objective, networks): "image" is the pair "dcgan", "table" all others
        ("adam", ANY, "table"): Rate(1e-3, (0.0, 0.99), "betas of Huang et al., arXiv:2501.05441; rate " + _OURS),
        ("adam", ANY, "image"): Rate(2e-3, (0.0, 0.99), "rate chosen on training digits of MNIST with labels"),
        ("adamw", ANY, "table"): Rate(1e-3, (0.0, 0.99), "as Adam, which it is up to the decay of the weights"),
        ("adamw", ANY, "image"): Rate(2e-3, (0.0, 0.99), "as Adam, which it is up to the decay of the weights"),
        **{(name, FEATURE_MATCHING, ANY): _SALIMANS for name in ("adam", "adamw", "rmsprop")},
        ("rmsprop", ANY, ANY): Rate(1e-3, (0.0, 0.99), "as Adam without momentum, which it is up to its first steps"),
        ("rmsprop", "wasserstein", ANY): Rate(5e-5, (0.0, 0.99), "Arjovsky et al., arXiv:1701.07875, algorithm 1"),
        ("adagrad", ANY, ANY): Rate(1e-2, (0.0, 0.99), "torch's default; Duchi et al. leave it open"),
        ("adadelta", ANY, ANY): Rate(1.0, (0.0, 0.99), "Zeiler, arXiv:1212.5701: the method has no rate"),
        ("sgd", FEATURE_MATCHING, ANY): Rate(
            1e-3, (0.0, 0.99), "chosen on moons, seed 0; both times 10 diverged", 1e-2
        ),
        ("sgd", ANY, ANY): Rate(0.2, (0.0, 0.99), _OURS + "; with momentum 0.9 it diverged at 0.05 to 0.3", 0.5),
    }
)


def learning_rate_of(optimizer: str, objective: str, *, images: bool) -> Rate:
    """Return the row of the table for an optimiser, an objective and the kind of networks: the most special one.

    Raises
    ------
    UnknownNameError
        For an optimiser that is not in `reverie.training.optimizers.OPTIMIZERS`; the nearest is given.
    """
    check_choice("optimizer", optimizer, OPTIMIZERS)
    networks = "image" if images else "table"
    keys = [(optimizer, o, n) for o in (objective, ANY) for n in (networks, ANY)]
    return next(LEARNING_RATES[key] for key in keys if key in LEARNING_RATES)


def check_choices(options: Options) -> None:
    """Raise `InputError` for a word that is no choice, or options that do not go together; names the option."""
    for name, choices in _CHOICES.items():
        check_choice(name.replace("_", " "), options[name], dict.fromkeys(choices, True))
    if options["stop_at_equilibrium"] and 0 in (options["n_checks"], options["validation_fraction"]):
        off = "n_checks" if options["n_checks"] == 0 else "validation_fraction"
        raise InputError(
            f"Expected {off} > 0 with stop_at_equilibrium=True, got 0: nobody would look whether the game is at rest. "
            f"Leave {off} at its default, or stop_at_equilibrium=False."
        )


def resolved_activation(options: Options) -> str:
    """Return the activation of the perceptrons: of weights within the clip a smooth one sees a straight line only."""
    if options["activation"] != "auto":
        return options["activation"]
    objective = check_choice("objective", options["objective"], OBJECTIVES)
    return "silu" if objective.clip is None else "leaky_relu"


def resolved_n_critic(options: Options) -> int:
    """Return the discriminator steps per generator step."""
    objective = check_choice("objective", options["objective"], OBJECTIVES)
    return objective.n_critic if options["n_critic"] is None else options["n_critic"]


def resolved_n_noise(options: Options, n_features: int) -> int:
    """Return the size of the noise vector."""
    if options["n_noise"] != "auto":
        return int(options["n_noise"])
    return min(max(2 * n_features, _LEAST_AUTO_NOISE), _MOST_AUTO_NOISE)


def resolved_batch_size(options: Options, n_rows: int, n_features: int) -> int:
    """Return the rows of one step of one replica: `n_critic` batches of `batch_size`, out of `n_rows` in all."""
    n_critic = resolved_n_critic(options)
    if options["batch_size"] == "auto":
        wanted = _TABLE_BATCH if n_features <= _TABLE_BATCH else _IMAGE_BATCH
        return min(wanted, max(1, n_rows // n_critic)) * min(n_critic, n_rows)
    return int(options["batch_size"]) * n_critic


def resolved_settings(options: Options, shape: tuple[int, ...]) -> AdversarialSettings:
    """Return the numbers of a step on features of this shape (feature,) or (channel, height, width)."""
    objective = check_choice("objective", options["objective"], OBJECTIVES)
    n_features, spec = math.prod(shape), options["discriminator"]
    images = isinstance(spec, str) and resolved_name(spec, shape) == "dcgan"
    default = learning_rate_of(options["optimizer"], options["objective"], images=images)
    rate = default.learning_rate if options["learning_rate"] is None else options["learning_rate"]
    d_rate = default.discriminator if options["learning_rate"] is None else None
    given_d_rate = options["discriminator_learning_rate"]
    d_rate = d_rate if given_d_rate is None else given_d_rate
    betas = default.betas if options["betas"] is None else options["betas"]
    penalty = objective.penalty if options["penalty"] == "auto" else options["penalty"]
    weight = options["penalty_weight"]
    if weight is None and penalty in ("r1", "r2", "r1_r2"):
        # gamma grows with the features of a table, between which |grad D|^2 is shared out; neighbouring pixels say the
        # same, so that their number means little
        of_table = OBJECTIVES["relativistic"].penalty_weight * max(1.0, n_features / _FEATURES_OF_GAMMA)
        weight = _IMAGE_GAMMA if images else of_table
    elif weight is None:
        weight = OBJECTIVES["wasserstein_gp"].penalty_weight if penalty != "none" else 0.0
    every = max(objective.penalty_every, _IMAGE_PENALTY_EVERY if images and penalty == "r1_r2" else 1)
    same = ("noise_prior", "optimizer", "ema_decay", "max_steps", "auxiliary_weight", "reconstruction_weight")
    return AdversarialSettings(
        penalty=penalty,
        penalty_weight=weight,
        penalty_every=every if options["penalty_every"] is None else options["penalty_every"],
        n_critic=resolved_n_critic(options),
        n_noise=resolved_n_noise(options, n_features),
        generator_rate=rate,
        discriminator_rate=rate if d_rate is None else d_rate,
        betas=(float(betas[0]), float(betas[1])),
        hold=0.5 if options["schedule"] == "cosine" else 1.0,
        n_replicas=options["n_replicas"],
        stop_at_equilibrium=options["stop_at_equilibrium"],
        compile=options["compile"],
        **{name: options[name] for name in same},
    )
