"""Networks that the user brings: a module, which is copied, or a factory, which is called.

Both are trained as they are, except that each `nn.Dropout` becomes our own, which draws from the seed
of the run. Before that they are tried on a few rows, so that a shape that does not fit, or a sigmoid where a logit is
asked for, is said in words. A discriminator is given what its ``forward`` takes by the names ``observables`` and
``condition``; one that takes samples alone gets everything joined to one vector, for which a factory is
called with the joined shape.
"""

import copy
import inspect
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import TypeAlias

import torch
from torch import Tensor, nn

from reverie.core.errors import InputError
from reverie.core.random import as_seed
from reverie.networks.conditional import SideInputs, joined
from reverie.networks.noise import seeded

__all__ = ["Specification", "UserDiscriminator", "check_trial", "user_discriminator", "user_network"]

# What a user writes for a network: a name, widths of hidden layers, a module, or a factory of one.
Specification: TypeAlias = str | Sequence[int] | nn.Module | Callable[..., nn.Module]

_TRIED, _WIDTHS = 64, (1.0, 30.0, 1000.0)  # rows that a discriminator is tried on, and their widths


class UserDiscriminator(nn.Module):
    """A network of the user's, given the inputs beside the samples that its ``forward`` takes by their `names`.

    Or it takes vectors to which those called `joins` are joined.
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


def user_network(spec: Specification, arguments: tuple[object, ...], random_generator: torch.Generator) -> nn.Module:
    """Return a copy of the module `spec`, or the module that the factory `spec` makes of `arguments`.

    Raises `InputError` when `spec` is neither, or the factory returns something else.
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


def check_trial(
    network: nn.Module, role: str, inputs: Sequence[Tensor], n_outputs: int, *, named: Mapping[str, Tensor], do: str
) -> Tensor:
    """Return the outputs of a network of the user's on a few rows, drawn in evaluation mode and without gradients.

    Raises `InputError` when it cannot be called so, or gives something else.

    Parameters
    ----------
    network : is left as it is.
    role : what it is to be: "generator", "discriminator", "energy", "encoder", "decoder".
    inputs, named : what it is called with, a row for each event.
    n_outputs : numbers that it is to give for each row, in any shape.
    do : what to do when it does not, in a sentence.
    """
    was_training = network.training
    device = next((weight.device for weight in network.parameters()), torch.device("cpu"))
    shapes = ", ".join(_of_batch(x.shape) for x in (*inputs, *named.values()))
    expected = f"Expected as {role} a network that takes {shapes} and gives outputs (batch, {n_outputs})"
    try:
        with torch.no_grad(), torch.random.fork_rng(devices=[]):  # what it may draw is not the state of the caller
            outputs = network.eval()(*(x.to(device) for x in inputs), **{k: x.to(device) for k, x in named.items()})
    except InputError:
        raise
    except Exception as error:  # whatever a network of the user's may raise
        reason = (str(error).strip() or type(error).__name__).splitlines()[0].rstrip(".")
        raise InputError(f"{expected}, got {type(network).__name__}, which fails on that: {reason}. {do}") from error
    finally:
        network.train(was_training)
    n_rows = len(inputs[0])
    if not isinstance(outputs, Tensor) or outputs.shape[:1] != (n_rows,) or outputs.numel() != n_rows * n_outputs:
        got = type(outputs).__name__
        if isinstance(outputs, Tensor):
            got = _of_batch(outputs.shape) if outputs.shape[:1] == (n_rows,) else str(tuple(outputs.shape))
        raise InputError(f"{expected}, got {got}. {do}")
    return outputs


def _of_batch(shape: Sequence[int]) -> str:
    return f"({', '.join(['batch', *map(str, shape[1:])])})"


def user_discriminator(
    spec: Specification,
    event_shape: tuple[int, ...],
    random_generator: torch.Generator,
    side: SideInputs,
    *,
    may_be_bounded: bool = False,
) -> nn.Module:
    """Return the user's discriminator `spec`, called as all discriminators are.

    Outputs may be bounded where those of a sigmoid are what the objective asks for. Raises `InputError` when it cannot
    take what it would be shown, or does not return the outputs that are asked for: a logit, which may be any number.
    """
    network = user_network(spec, (event_shape,), random_generator)
    parameters = () if side.is_empty else inspect.signature(network.forward).parameters.values()
    taken = [n for n in side.names if any(p.name == n or p.kind is p.VAR_KEYWORD for p in parameters)]
    if side.is_empty:
        dressed = network
    elif taken == side.names:
        dressed = UserDiscriminator(network, names=taken)
    elif taken or isinstance(spec, nn.Module) or len(event_shape) > 1:
        raise InputError(
            f"Expected a discriminator whose forward(x, {', '.join(f'{name}=None' for name in side.names)}) takes "
            f"what is shown beside the samples, got {type(network).__name__}, which does not. Add the arguments"
            f"{'' if len(event_shape) > 1 else ', or pass a factory of a network for the joined vector'}."
        )
    else:
        if side.n_aux and side.seen is not None:  # joined to the sample, the classifier would read it off
            side = replace(side, mode="concatenate")
        shown = 0 if side.seen is None else math.prod(side.seen)
        width = math.prod(event_shape) + side.n_observables + shown
        network = user_network(spec, ((width,),), random_generator)
        dressed = UserDiscriminator(network, joins=side.names)
    _check_discriminator(dressed, event_shape, side, may_be_bounded=may_be_bounded)
    return dressed


def _check_discriminator(
    network: nn.Module, event_shape: tuple[int, ...], side: SideInputs, *, may_be_bounded: bool
) -> None:
    """Raise `InputError` unless the network gives a logit and `n_aux` outputs for each sample.

    Outputs within [0, 1] however wide the samples, and their mirror images, come out of a sigmoid.
    """
    draws = torch.Generator().manual_seed(0)
    half = torch.cat([width * torch.randn(_TRIED, *event_shape, generator=draws) for width in _WIDTHS])
    x = torch.cat([half, -half])
    named = {} if not side.n_observables else {"observables": torch.zeros(len(x), side.n_observables)}
    if side.seen is not None:
        named["condition"] = torch.zeros(len(x), *side.seen)
    n_outputs = 1 + side.n_aux
    do = f"Its last layer gives one logit{f' and {side.n_aux} of the auxiliary classifier' * (n_outputs > 1)}"
    do += "; nn.Flatten() comes first in one for vectors." if len(event_shape) > 1 else "."
    outputs = check_trial(network, "discriminator", [x], n_outputs, named=named, do=do)
    logits = outputs.reshape(len(x), -1)[:, 0]
    ends_so = next((type(layer) is nn.Sigmoid for layer in reversed(list(network.modules()))), False)
    is_bounded = bool(((logits >= 0) & (logits <= 1)).all()) and (ends_so or bool(logits.max() > logits.min()))
    if is_bounded and not may_be_bounded:
        raise InputError(
            f"Expected a discriminator that gives logits, any real number, got {type(network).__name__}, whose outputs "
            "lie within [0, 1] for any input. Leave its sigmoid out: the objective applies it."
        )
