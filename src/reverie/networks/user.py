"""Networks that the user brings: a module, which is copied, or a factory, which is called.

Both are trained as they are, except that each `nn.Dropout` becomes our own, which draws from the seed
of the run. A discriminator is given what its ``forward`` takes by the names ``observables`` and
``condition``; one that takes samples alone gets everything joined to one vector, for which a factory is
called with the joined shape.
"""

import copy
import inspect
import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from reverie.core.errors import InputError
from reverie.core.random import as_seed
from reverie.networks.conditional import Beside, joined
from reverie.networks.noise import seeded

__all__ = ["UserDiscriminator", "user_discriminator", "user_network"]


class UserDiscriminator(nn.Module):
    """A network of the user's, given what it takes.

    Parameters
    ----------
    network : (batch, *event) and inputs by name to logits; or vectors (batch, *) of everything joined.
    names : inputs beside the samples that its ``forward`` takes.
    joins : names of the inputs that are joined to the samples instead.
    """

    def __init__(self, network: nn.Module, *, names: Sequence[str] = (), joins: Sequence[str] = ()) -> None:
        super().__init__()
        self.network, self.names, self.joins = network, tuple(names), tuple(joins)

    def forward(self, x: Tensor, observables: Tensor | None = None, condition: Tensor | None = None) -> Tensor:
        """Return the network's logits, (batch, 1 + n_aux)."""
        given = {"observables": observables, "condition": condition}
        if self.joins:
            x = joined((x, *(given[name] for name in self.joins)), start=1)
        return self.network(x, **{name: given[name] for name in self.names})


def user_network(spec: Any, arguments: tuple, random_generator: torch.Generator) -> nn.Module:
    """Return a copy of the module `spec`, or the module that the factory `spec` makes of `arguments`.

    Raises
    ------
    InputError
        When `spec` is neither, or the factory returns something else.
    """
    if isinstance(spec, nn.Module):
        return seeded(copy.deepcopy(spec))  # training must not change what the user passed as configuration
    if not callable(spec):
        raise InputError(
            f"Expected a network name, hidden widths, a torch module or a factory, got {spec!r}. "
            "Use 'mlp', 'residual', 'dcgan', (128, 128), or your own nn.Module."
        )
    with torch.random.fork_rng(devices=[]):  # a user's factory draws from torch's global state: lend it ours
        torch.manual_seed(as_seed(random_generator))
        network = spec(*arguments)
    if not isinstance(network, nn.Module):
        raise InputError(
            f"Expected the network factory to return a torch module, got {type(network).__name__}. "
            "Return an nn.Module from it."
        )
    return seeded(network)


def user_discriminator(
    spec: Any, event_shape: tuple[int, ...], random_generator: torch.Generator, beside: Beside
) -> nn.Module:
    """Return the user's discriminator `spec`, called as all discriminators are.

    Parameters
    ----------
    spec : module or factory.
    event_shape : shape of one sample.
    random_generator : source of what a factory draws.
    beside : what is shown beside the sample.

    Raises
    ------
    InputError
        When it cannot take what it would be shown, or does not return the outputs that are asked for.
    """
    network = user_network(spec, (event_shape,), random_generator)
    if beside.is_nothing:
        return network
    taken = [name for name in beside.names if _takes(network, name)]
    if taken == beside.names:
        dressed = UserDiscriminator(network, names=taken)
    elif taken or isinstance(spec, nn.Module) or len(event_shape) > 1:
        raise InputError(
            f"Expected a discriminator whose forward(x, {', '.join(f'{name}=None' for name in beside.names)}) takes "
            f"what is shown beside the samples, got {type(network).__name__}, which does not. Add the arguments"
            f"{'' if len(event_shape) > 1 else ', or pass a factory of a network for the joined vector'}."
        )
    else:
        if beside.n_aux and beside.seen is not None:  # joined to the sample, the classifier would read it off
            beside = replace(beside, mode="concatenate")
        shown = 0 if beside.seen is None else math.prod(beside.seen)
        width = math.prod(event_shape) + beside.n_observables + shown
        network = user_network(spec, ((width,),), random_generator)
        dressed = UserDiscriminator(network, joins=beside.names)
    if beside.n_aux:
        _check_outputs(dressed, event_shape, beside)
    return dressed


def _takes(network: nn.Module, name: str) -> bool:
    parameters = inspect.signature(network.forward).parameters.values()
    return any(p.name == name or p.kind is p.VAR_KEYWORD for p in parameters)


@torch.no_grad()
def _check_outputs(network: nn.Module, event_shape: tuple[int, ...], beside: Beside) -> None:
    """Raise `InputError` unless the network gives a logit and `n_aux` outputs for each of two samples."""
    was_training = network.training
    outputs = network.eval()(
        torch.zeros(2, *event_shape),
        observables=torch.zeros(2, beside.n_observables) if beside.n_observables else None,
        condition=None if beside.seen is None else torch.zeros(2, *beside.seen),
    )
    network.train(was_training)
    if outputs.shape != (2, 1 + beside.n_aux):
        raise InputError(
            f"Expected a discriminator with outputs (batch, {1 + beside.n_aux}), one logit and {beside.n_aux} of the "
            f"auxiliary classifier, got {tuple(outputs.shape)} for two samples. Give its last layer as many outputs."
        )
