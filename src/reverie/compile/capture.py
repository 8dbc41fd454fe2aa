"""A function traced: what it draws, what it changes, and its flat graph.

How the steps of a compilation go together stands at `reverie.compile.step`, which alone imports this module, inside a
function that is ready for a PyTorch without the private names below.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils import _pytree as tree
from torch.utils._python_dispatch import TorchDispatchMode

from reverie.compile.agreement import MANY_ROUNDINGS, ROUNDINGS, Deviation, agrees, deviation, is_known, nudged
from reverie.compile.inductor import CompiledGraph, compiled_graph, scalars_as_tensors
from reverie.core.random import child_generator

__all__ = ["TracedStep", "UnsuitableError"]

_N_ROUNDED_STARTS = 8  # plain steps from starts that are a rounding off; one of them shows a change of rounding alone
_BAD_TAGS = (torch.Tag.nondeterministic_seeded, torch.Tag.data_dependent_output, torch.Tag.dynamic_output_shape)
_METHODS = {Tensor.uniform_, Tensor.normal_, Tensor.bernoulli_, Tensor.exponential_, Tensor.random_}
_FUNCTIONS = {torch.rand, torch.randn, torch.randint, torch.randperm, torch.normal}
_REFUSED = {torch.bernoulli, torch.multinomial, torch.poisson, Tensor.multinomial, Tensor.bernoulli}


class UnsuitableError(Exception):
    """Why a function is not compiled."""


@dataclass
class _OuterTensors(TorchDispatchMode):
    """Copies every tensor from outside before the first operation that sees it."""

    seen: dict[int, tuple[Tensor, Tensor]] = field(default_factory=dict)  # storage -> tensor, copy of it
    own: dict[int, Tensor] = field(default_factory=dict)  # made inside; kept, so that no storage is reused

    def __post_init__(self) -> None:
        super().__init__()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Look at the tensors of an operation, then let it run."""
        for leaf in tree.tree_leaves((args, kwargs)):
            if isinstance(leaf, Tensor) and _storage(leaf) not in self.own and _storage(leaf) not in self.seen:
                whole = torch.empty(0, dtype=leaf.dtype, device=leaf.device).set_(leaf.untyped_storage())
                self.seen[_storage(leaf)] = (whole, whole.clone())
        result = func(*args, **(kwargs or {}))
        for leaf in tree.tree_leaves(result):
            if isinstance(leaf, Tensor) and _storage(leaf) not in self.seen:
                self.own[_storage(leaf)] = leaf.detach()
        return result


def _storage(x: Tensor) -> int:
    return x.untyped_storage()._cdata


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


class TracedStep:
    """A function whose effects on tensors from outside are recorded and can be undone."""

    def __init__(self, fn: Callable[[Any, torch.Generator], Any], inputs: Any, generator: torch.Generator) -> None:
        self._fn, self._generator = fn, generator
        self._leaves, self._structure = tree.tree_flatten(inputs)
        self._inputs = scalars_as_tensors(self._leaves)
        self._outer = _OuterTensors()

    def record(self) -> None:
        """Run the function plainly: what it draws, returns and changes."""
        draws = Draws(self._generator)
        with self._outer, draws:
            outputs = self._fn(tree.tree_unflatten(self._leaves, self._structure), self._generator)
        if draws.refusal:
            raise UnsuitableError(draws.refusal)
        self._draws = draws.listed
        self._outputs, self._shape = tree.tree_flatten(outputs)
        self._after = [tensor.clone() for tensor, _ in self._outer.seen.values()]

    def put_back(self) -> None:
        """Give every outer tensor the values that it had at the start."""
        with torch.no_grad():
            for tensor, before in self._outer.seen.values():
                tensor.copy_(before)

    def graph(self) -> torch.fx.GraphModule:
        """Return the flat graph of inputs and draws; outer tensors are attributes of it."""
        from torch.fx.experimental.proxy_tensor import make_fx

        n = len(self._inputs)

        def flat(*leaves: Tensor) -> list[Any]:
            with Draws(self._generator, iter(leaves[n:])):
                outputs = self._fn(tree.tree_unflatten(list(leaves[:n]), self._structure), self._generator)
            return tree.tree_leaves(outputs)

        self.put_back()
        graph = make_fx(flat)(*self._inputs, *(draw.value for draw in self._draws))
        _refuse_dependence(graph)
        return graph

    def compiled(self, graph: torch.fx.GraphModule) -> CompiledGraph:
        """Return the compiled graph, after it has agreed with the plain function."""
        values = [draw.value for draw in self._draws]
        self.put_back()
        ready = compiled_graph(graph, [*self._inputs, *values], [draw.make for draw in self._draws], self._shape)
        roundings = self._roundings()
        self.put_back()
        self._compare(ready.flat(self._inputs, values), roundings)
        if ready.capture(self._inputs, values):
            self.put_back()
            self._compare(ready.flat(self._inputs, values), roundings)
        return ready

    def _roundings(self) -> list[list[Deviation]]:
        """Return what a start that is off by roundings does to each returned and to each changed tensor."""
        deviations: list[list[Deviation]] = []
        for k in range(2 * _N_ROUNDED_STARTS):
            by = ROUNDINGS if k < _N_ROUNDED_STARTS else MANY_ROUNDINGS
            self.put_back()
            moved = []
            with torch.no_grad():
                for j, (tensor, before) in enumerate(self._outer.seen.values()):
                    moved.append(nudged(before, child_generator(k, "nudge", j, device=tensor.device), by))
                    tensor.copy_(moved[-1])
            draws = (nudged(d.value, child_generator(k, "draw", device=d.value.device), by) for d in self._draws)
            with Draws(self._generator, draws):
                outputs = self._fn(tree.tree_unflatten(self._leaves, self._structure), self._generator)
            deviations.append(self._deviations(tree.tree_leaves(outputs), moved))
        return [list(of_one) for of_one in zip(*deviations, strict=True)]

    def _deviations(self, outputs: list[Any], moved: list[Tensor] | None = None) -> list[Deviation]:
        """Return how far the outputs, and then the outer tensors as they stand, are from those of the plain step."""
        returned = [deviation(_as_tensor(a), _as_tensor(b)) for a, b in zip(outputs, self._outputs, strict=True)]
        outer = zip(self._outer.seen.values(), self._after, moved or [None] * len(self._after), strict=True)
        return returned + [deviation(now, after, before, start) for (now, before), after, start in outer]

    def _compare(self, outputs: list[Any], roundings: list[list[Deviation]]) -> None:
        """Raise `UnsuitableError` unless each returned and each changed tensor is that of the plain step."""
        deviations = self._deviations(outputs)
        tensors = [*map(_as_tensor, self._outputs), *self._after]
        largest = max(
            (d.change / max(x.numel(), 1) ** 0.5 for d, x in zip(deviations, tensors, strict=True)), default=0.0
        )
        for k, (found, by_rounding, x) in enumerate(zip(deviations, roundings, tensors, strict=True)):
            few, many = by_rounding[:_N_ROUNDED_STARTS], by_rounding[_N_ROUNDED_STARTS:]
            if not agrees(found, few, max(x.numel(), 1), largest, many):
                what = "returned" if k < len(outputs) else "made of"
                raise UnsuitableError(
                    f"the compiled step disagreed with the plain one in what it {what} a tensor of shape "
                    f"{tuple(x.shape)}: |error| {found.error:.2g}, |change| {found.change:.2g}"
                )
        changed = [(d.change, r) for d, r in list(zip(deviations, roundings, strict=True))[len(outputs) :] if d.change]
        if changed and not any(is_known(change, by_rounding) for change, by_rounding in changed):
            raise UnsuitableError("the change that a step makes is lost in rounding, so that none could be checked")


def _as_tensor(x: Any) -> Tensor:
    return x if isinstance(x, Tensor) else torch.tensor(float("nan") if x is None else float(x), dtype=torch.float64)


def _refuse_dependence(graph: torch.fx.GraphModule) -> None:
    """Raise `UnsuitableError` for operations whose size or numbers depend on values or on a foreign random state."""
    for node in graph.graph.nodes:
        if node.target in (torch.ops.aten.index.Tensor, torch.ops.aten.index_put_.default):
            masks = (torch.bool, torch.uint8)  # a mask gives a size that depends on values, whole numbers do not
            if all(i is None or i.meta["val"].dtype not in masks for i in node.args[1]):
                continue
        if node.op == "call_function" and any(tag in _BAD_TAGS for tag in getattr(node.target, "tags", ())):
            raise UnsuitableError(f"{node.target} depends on values or on a random state that is not the run's")
