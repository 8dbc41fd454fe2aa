"""Settings of a model by name, of `presets.yaml`: the defaults of the GAN spelled out, those of the lectures, a recipe.

"table", "image", "lattice" and "diffusion" are what to use. "lecture_mlp", "thesis", "dcgan28" and "wgan_conv" are what
the lectures do, on purpose without what was learnt since (relativistic pairing, R1 and R2, averaging, whitening,
rejection sampling): they are there to be seen, and to be compared with. What a source does not state is ours: the
optimiser of the thesis is that of Radford et al., arXiv:1511.06434; those of "wgan_conv" are the numbers of Gulrajani
et al., arXiv:1704.00028. The networks are described in `reverie.networks.lectures`. "du_mordatch" has the numbers of Du
and Mordatch, arXiv:1903.08689, and of their code: steps x - 10 grad E + 0.005 xi, which are Langevin steps at the
temperature 0.005^2 / (2 10), of chains out of a store of 10,000, one in twenty of them new; Adam with 3e-4. Ours are
the 20 steps of a chain (theirs: 60, for colour images), 2,000 updates, our network in place of theirs, and no spectral
normalisation. It descends rather than samples, so its likelihoods mean little. All are checked like any other run
(`reverie.models.training_run`).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import files
from typing import Any

import yaml

from reverie.core.checks import check_choice
from reverie.models.base import GenerativeModel
from reverie.models.registry import ALIASES, model_class

__all__ = ["PRESETS", "Preset", "preset"]


@dataclass(frozen=True)
class Preset:
    """Constructor arguments of a model, and what they are for in one line."""

    about: str
    arguments: Mapping[str, Any]
    model: type[GenerativeModel]


def _preset(about: str, arguments: Mapping[str, Any], model: str = "gan") -> Preset:
    """Return a row of the file: the model is a name or an alias, with the arguments of that; lists are tuples."""
    own = ALIASES[model][1] if model in ALIASES else {}
    given = {name: tuple(value) if isinstance(value, list) else value for name, value in arguments.items()}
    return Preset(about, own | given, model_class(model))


_TABLE = yaml.safe_load(files("reverie.models").joinpath("presets.yaml").read_text(encoding="utf-8"))
PRESETS: dict[str, Preset] = {name: _preset(**row) for name, row in _TABLE["presets"].items()}


def preset(name: str, **overrides: Any) -> GenerativeModel:
    """Return an unfitted model with the settings `name`, some of them overridden: a GAN, or what the table says.

    Parameters
    ----------
    name : a key of `PRESETS`; another one raises `UnknownNameError`, with the nearest.
    overrides : constructor arguments of the model, which go before those of the preset.

    Examples
    --------
    >>> preset("lecture_mlp", random_state=0).n_noise
    20
    """
    chosen = check_choice("preset", name, PRESETS)
    return chosen.model(**{**chosen.arguments, **overrides})
