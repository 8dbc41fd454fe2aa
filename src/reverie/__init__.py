"""Generative models for the physical sciences, from data to a verdict with error bars.

    import reverie

    events = reverie.data.load("ring")
    train, test = events.split(0.65, random_state=0)
    model = reverie.GAN(max_steps=2000, random_state=0).fit(train)
    result = reverie.validate(test, model.sample(len(test), random_state=1), random_state=2)
    print(result)

Everything is loaded when it is first used, so that ``import reverie`` costs nothing.
"""

import importlib
from typing import TYPE_CHECKING, Any

from reverie.core.version import __version__

if TYPE_CHECKING:
    from reverie import (
        data,
        explore,
        models,
        networks,
        objectives,
        plots,
        report,
        samplers,
        simulators,
        training,
        validation,
    )
    from reverie.core.measured import Measured
    from reverie.data import Dataset
    from reverie.models import EBM, GAN, RBM, VAE, Autoencoder, Flow, FlowMatching, SemiSupervisedGAN, WaveFunctionRBM
    from reverie.models import load_model as load
    from reverie.validation import validate

__all__ = [
    "EBM",
    "GAN",
    "RBM",
    "VAE",
    "Autoencoder",
    "Dataset",
    "Flow",
    "FlowMatching",
    "Measured",
    "SemiSupervisedGAN",
    "WaveFunctionRBM",
    "__version__",
    "data",
    "explore",
    "load",
    "models",
    "networks",
    "objectives",
    "plots",
    "report",
    "samplers",
    "simulators",
    "training",
    "validate",
    "validation",
]

# name -> module and name there; a folder stands for itself
_HOMES = {
    **{
        name: ("reverie.models", name)
        for name in (
            "EBM",
            "GAN",
            "RBM",
            "VAE",
            "Autoencoder",
            "Flow",
            "FlowMatching",
            "SemiSupervisedGAN",
            "WaveFunctionRBM",
        )
    },
    "Dataset": ("reverie.data", "Dataset"),
    "Measured": ("reverie.core.measured", "Measured"),
    "load": ("reverie.models", "load_model"),
    "validate": ("reverie.validation", "validate"),
}
_FOLDERS = (
    "data",
    "explore",
    "models",
    "networks",
    "objectives",
    "plots",
    "report",
    "samplers",
    "simulators",
    "training",
    "validation",
)


def __getattr__(name: str) -> Any:
    if name in _FOLDERS:
        return importlib.import_module(f"reverie.{name}")
    if name in _HOMES:
        module, attribute = _HOMES[name]
        value = getattr(importlib.import_module(module), attribute)
        globals()[name] = value
        return value
    raise AttributeError(f"module 'reverie' has no attribute {name!r}; it has {', '.join(__all__)}")


def __dir__() -> list[str]:
    return sorted(__all__)
