"""The models by name: the one row that a model needs to be known to the command line, to `load` and to tuning.

A row holds the place of the class in words, "package.module:Class", so that the names can be read without torch; a
class itself does as well, which is how a model of your own is registered for a while:

    from reverie.models.registry import MODELS
    MODELS["x"] = X

An alias is another name of a model with some of its arguments, for the command line: runs, saved models and citations
know the model alone.
"""

import importlib

from reverie.core.checks import check_choice

__all__ = ["ALIASES", "CLASSIFIERS", "MODELS", "WAVE_FUNCTIONS", "model_class"]

MODELS: dict[str, str | type] = {
    "gan": "reverie.models.gan:GAN",
    "rbm": "reverie.models.rbm:RBM",
    "ebm": "reverie.models.ebm:EBM",
    "vae": "reverie.models.vae:VAE",
    "autoencoder": "reverie.models.autoencoder:Autoencoder",
    "flow": "reverie.models.flow:Flow",
    "flow_matching": "reverie.models.flow_matching:FlowMatching",
    "semi_supervised_gan": "reverie.models.gan:SemiSupervisedGAN",
}
ALIASES: dict[str, tuple[str, dict[str, object]]] = {
    "forest_flow": ("flow_matching", {"network": "trees"}),  # arXiv:2309.09968
    "diffusion": ("flow_matching", {"stochasticity": 0.5, "n_evaluations": 100}),  # as diffusion models draw samples
}
CLASSIFIERS = ("semi_supervised_gan",)  # of these: used from Python, not by a run
WAVE_FUNCTIONS: dict[str, str | type] = {"wavefunction_rbm": "reverie.models.wavefunction:WaveFunctionRBM"}


def model_class(name: str) -> type:
    """Return the class of the registered model or wave function `name`, or of the model that it is an alias of.

    Raises
    ------
    UnknownNameError
        For another name; the nearest is given.
    """
    aliases = {alias: MODELS[model] for alias, (model, _) in ALIASES.items()}
    place = check_choice("model", name, MODELS | WAVE_FUNCTIONS | aliases)
    if isinstance(place, type):
        return place
    module, _, attribute = place.partition(":")
    return getattr(importlib.import_module(module), attribute)
