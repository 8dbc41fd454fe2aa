"""Random draws of a function, listed so that they can be made outside it, or handed back to it.

A draw is a call of torch that fills a tensor from a `torch.Generator`. While `Draws` is entered as a context it lists
such calls; given values, it hands these out in the place of new ones, in order.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils import _pytree as tree

__all__ = ["Draw", "Draws"]

_METHODS = {Tensor.uniform_, Tensor.normal_, Tensor.bernoulli_, Tensor.exponential_, Tensor.random_}
_FUNCTIONS = {torch.rand, torch.randn, torch.randint, torch.randperm, torch.normal}
_REFUSED = {torch.bernoulli, torch.multinomial, torch.poisson, Tensor.multinomial, Tensor.bernoulli}


@dataclass
class Draw:
    """One call that draws numbers: how to make it again, and what it gave."""

    make: Callable[[torch.Generator], Tensor]
    value: Tensor


class Draws(TorchFunctionMode):
    """Lists the draws of a function, or hands listed values out in their place.

    Parameters
    ----------
    generator : the only one that may be drawn from.
    given : values to hand out, in order; None lists what is drawn.

    Attributes
    ----------
    listed : the draws, in order.
    refusal : why they cannot be made outside the function, or "".
    """

    def __init__(self, generator: torch.Generator, given: Iterator[Tensor] | None = None) -> None:
        super().__init__()
        self.listed: list[Draw] = []
        self.refusal = ""
        self._generator, self._given = generator, given

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Pass all calls on but those that draw."""
        kwargs = kwargs or {}
        if func not in _METHODS | _FUNCTIONS | _REFUSED or kwargs.get("generator") is None:
            return func(*args, **kwargs)
        if self._given is not None:
            value = next(self._given)
            return args[0].copy_(value) if func in _METHODS else value.clone()
        result = func(*args, **kwargs)
        self.refusal = self.refusal or self._objection(func, args, kwargs)
        if not self.refusal:
            self.listed.append(Draw(_maker(func, args, kwargs, result), result.detach().clone()))
        return result

    def _objection(self, func: Any, args: Any, kwargs: Any) -> str:
        """Return why this draw cannot be made outside the graph, or nothing."""
        given = (args[1:] if func in _METHODS else args, {k: v for k, v in kwargs.items() if k != "generator"})
        if kwargs["generator"] is not self._generator:
            return f"{func.__name__} draws from another generator"
        if func in _REFUSED or any(isinstance(leaf, Tensor) for leaf in tree.tree_leaves(given)):
            return f"{func.__name__} draws with probabilities that change"
        return ""


def _maker(func: Any, args: Any, kwargs: Any, result: Tensor) -> Callable[[torch.Generator], Tensor]:
    """Return a function that makes the call again, with another generator."""
    rest = {key: value for key, value in kwargs.items() if key != "generator"}
    given = args[1:] if func in _METHODS else args
    if func in _FUNCTIONS:
        return lambda generator: func(*args, generator=generator, **rest)
    like = {"dtype": result.dtype, "device": result.device}
    shape = tuple(result.shape)
    return lambda generator: func(torch.empty(shape, **like), *given, generator=generator, **rest)
