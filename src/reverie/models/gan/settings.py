"""The learning rates of a GAN in one table, and with each row where it comes from.

A rate belongs to its optimiser, whose steps have their own scale: Adam and RMSprop move a weight by about the rate
whatever the gradient, SGD by the rate times the gradient, Adadelta by what it has moved before. It also belongs to
the objective and to the networks: an exception to the row of the optimiser is a row of its own.

    betas    decay of the averages of the gradient (momentum, in SGD) and of its square (alpha, in RMSprop); Adagrad and
             Adadelta read neither

`python -m benchmarks.quality.learning_rates` shows that a GAN with each row learns.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from reverie.core.checks import check_choice
from reverie.training.optimizers import OPTIMIZERS

__all__ = ["ANY", "FEATURE_MATCHING", "LEARNING_RATES", "Rate", "learning_rate_of"]

ANY = "any"  # objective, or any networks, for which there is no row of its own
FEATURE_MATCHING = "feature_matching"  # the objective of `reverie.models.gan.semi_supervised.SemiSupervisedGAN`


@dataclass(frozen=True)
class Rate:
    """Learning rate and betas of an optimiser for the two networks, and the source of both in words.

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
        ("sgd", "wasserstein", ANY): Rate(
            50.0, (0.0, 0.99), _OURS + "; weights within 0.01 leave gradients of a thousandth", 5.0
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
