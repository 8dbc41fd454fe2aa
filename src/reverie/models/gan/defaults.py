"""What the options of a GAN that are left open come to, by the kind of the events and of the networks.

                      tables                 images ("dcgan")   periodic lattices           sets of particles
    n_noise           twice the features,    the same           4, and 4 of each site       8, and 8 of each particle
                      16 to 128, and one
                      of each category
    batch_size        256                    64                 64 ... 16, 4096 sites       128
    penalty_weight    .1 max(1, features/8)  .3, every 8 steps  1, every 8 steps            .1
    schedule          half of the run held, then a cosine                                   a quarter, G alone falls
    layers            3 of 128, 3 of 256 of tables with 9 to 32 features
    activation        SiLU; leaky ReLU where weights are clipped, and in D of sets

gamma of R1 and R2 grows with the features of a table, between which |grad D|^2 is shared out; neighbouring pixels say
the same, so that their number means little. Within the clip of weights SiLU is a straight line. Units of a
discriminator of sets that sees no difference come to rest at the minimum of SiLU, and see none later; at the usual
epsilon of Adam full steps would follow the noise of a flat discriminator there. Measurements: `docs/theory/gan.md`.
"""

import math
from dataclasses import dataclass
from typing import Any

from reverie.models.gan.augmentation import Kind
from reverie.models.gan.settings import learning_rate_of
from reverie.models.gan.training import AdversarialSettings
from reverie.models.options import options_of
from reverie.models.training_run import FEW_EVENTS
from reverie.networks.lattices import lattice_noise
from reverie.networks.user import Specification
from reverie.objectives.adversarial import OBJECTIVES, Objective

__all__ = ["SET_NOISE", "Task", "activations", "adversarial_settings", "augments_by_default", "batch_rows", "widths"]

SET_NOISE = 8  # numbers of the noise, of a set and of each particle
_FEATURES_OF_GAMMA = 8  # up to these gamma stays as it is: six columns, two of them angles, were tuned on
_TABLE_BATCH, _IMAGE_BATCH, _SET_BATCH = 256, 64, 128
_AUGMENTED_ROWS = {True: FEW_EVENTS, False: 10_000}  # training rows of a table, or images, below which "auto" augments
_SET_GAMMA, _IMAGE_GAMMA, _LATTICE_GAMMA = 0.1, 0.3, 1.0
_COSTLY_PENALTY_EVERY = 8  # steps, of the penalty of convolutional pairs
_HOLD, _SET_HOLD = 0.5, 0.25  # share of the run at the full rate
_SET_SPIKE = 2.0  # most that a gradient of sets may be longer than usual: single ones threw the players off
_SET_EPS = 1e-5
_LATTICE_NOISE = 4
_SITES_PER_BATCH, _FEWEST_LATTICES = 4096, 16
_MOST_NOISE, _LEAST_NOISE = 128, 16
_MOST_WIDENED = 32  # features; of more every perceptron has wider layers
_WIDE = (256, 256, 256)


@dataclass(frozen=True)
class Task:
    """What is known of the events and the networks when open options are resolved.

    Parameters
    ----------
    shape : Shape of the features of an event.
    kind : Kind of the events, as transforms of augmentation go by; that of sets is "image".
    is_set, is_table : Whether the events are sets of particles, or rows of a table.
    discriminator : Name of the discriminator's network, "" for one of the user or of sets.
    generates_lattices : Whether the generator is that of periodic lattices.
    n_categories : One-hot features that are drawn by numbers of the noise of their own.
    """

    shape: tuple[int, ...]
    kind: Kind
    is_set: bool
    is_table: bool
    discriminator: str
    generates_lattices: bool
    n_categories: int

    @property
    def n_features(self) -> int:
        """Number of the features of an event."""
        return math.prod(self.shape)


def batch_rows(task: Task, n_rows: int, n_critic: int) -> int:
    """Return the rows of a step, of `n_critic` batches, that `batch_size` "auto" stands for."""
    wanted = _TABLE_BATCH if task.n_features <= _TABLE_BATCH else _IMAGE_BATCH
    if task.discriminator == "lattice":  # which learns from each site
        wanted = min(_IMAGE_BATCH, max(_FEWEST_LATTICES, _SITES_PER_BATCH // math.prod(task.shape[-2:])))
    wanted = _SET_BATCH if task.is_set else wanted
    return min(wanted, max(1, n_rows // n_critic)) * min(n_critic, n_rows)


def augments_by_default(task: Task, n_rows: int) -> bool:
    """Tell whether `augmentation` "auto" stands for "adaptive" with so many training rows."""
    return n_rows < _AUGMENTED_ROWS[task.is_table] and task.discriminator != "lattice" and not task.is_set


def activations(activation: str, objective: Objective, *, is_set: bool) -> tuple[str, str]:
    """Return the activations of the generator and the discriminator."""
    if activation != "auto":
        return activation, activation
    if objective.clip is not None:
        return "leaky_relu", "leaky_relu"
    return "silu", "leaky_relu" if is_set else "silu"


def widths(spec: Specification, task: Task) -> Specification:
    """Return the widths of a perceptron that is left open for a table of many features; else what is given."""
    is_wide = task.is_table and _FEATURES_OF_GAMMA < task.n_features <= _MOST_WIDENED
    return _WIDE if is_wide and spec in ("auto", "mlp") else spec


def adversarial_settings(
    model: Any, objective: Objective, task: Task, *, augmentation: float | str
) -> AdversarialSettings:
    """Return the numbers of the step.

    Parameters
    ----------
    model : The GAN, whose options of the same names are taken.
    objective : That of its name.
    task : What is known of events and networks.
    augmentation : "none", "adaptive" or a probability.
    """
    default = learning_rate_of(model.optimizer, model.objective, images=task.discriminator == "dcgan")
    rate, d_rate = model.learning_rate, model.discriminator_learning_rate
    if rate is None:
        rate, d_rate = default.learning_rate, default.discriminator if d_rate is None else d_rate
    penalty = objective.penalty if model.penalty == "auto" else model.penalty
    weight = model.penalty_weight
    if weight is None and penalty in ("r1", "r2", "r1_r2"):
        of_table = OBJECTIVES["relativistic"].penalty_weight * max(1.0, task.n_features / _FEATURES_OF_GAMMA)
        weight = {"dcgan": _IMAGE_GAMMA, "lattice": _LATTICE_GAMMA}.get(task.discriminator, of_table)
        weight = _SET_GAMMA if task.is_set else weight
    elif weight is None:
        weight = OBJECTIVES["wasserstein_gp"].penalty_weight if penalty != "none" else 0.0
    is_costly = task.discriminator in ("dcgan", "lattice") and penalty == "r1_r2"
    every = max(objective.penalty_every, _COSTLY_PENALTY_EVERY if is_costly else 1)
    first, second = default.betas if model.betas is None else model.betas
    probability = {"none": None, "adaptive": 0.0}.get(str(augmentation), augmentation)
    return options_of(
        model,
        AdversarialSettings,
        penalty=penalty,
        penalty_weight=weight,
        penalty_every=every if model.penalty_every is None else model.penalty_every,
        n_critic=objective.n_critic if model.n_critic is None else model.n_critic,
        n_noise=_noise_numbers(model.n_noise, task),
        generator_rate=rate,
        discriminator_rate=rate if d_rate is None else d_rate,
        betas=(float(first), float(second)),
        hold=1.0 if model.schedule == "constant" else _SET_HOLD if task.is_set else _HOLD,
        augmentation=None if probability is None else float(probability),
        adapts=augmentation == "adaptive",
        kind=task.kind,
        spike=_SET_SPIKE if task.is_set else None,
        holds_discriminator=task.is_set,
        eps=_SET_EPS if task.is_set else None,
        n_places=task.shape[0] if task.is_set else 0,
    )


def _noise_numbers(n_noise: int | str, task: Task) -> int:
    """Return how many random numbers make a sample."""
    if task.is_set:
        return (SET_NOISE if n_noise == "auto" else int(n_noise)) * (task.shape[0] + 1)
    if task.generates_lattices:
        return lattice_noise(_LATTICE_NOISE if n_noise == "auto" else int(n_noise), task.shape)
    own = min(max(2 * task.n_features, _LEAST_NOISE), _MOST_NOISE) if n_noise == "auto" else int(n_noise)
    return own + task.n_categories
