"""A function traced: what it draws, what it changes, and its flat graph.

A draw is a call of torch that fills a tensor from a `torch.Generator`. How the steps of a compilation go together
stands at `reverie.compile.step`, which alone imports this module, inside a function that is ready for a PyTorch without
the private names below.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Generic, TypeAlias, cast

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils import _pytree as tree
from torch.utils._python_dispatch import TorchDispatchMode

from reverie.compile.agreement import (
    MANY_ROUNDINGS,
    ROUNDINGS,
    Deviation,
    agrees,
    deviation,
    is_known,
    nudged,
    without_remainders,
)
from reverie.compile.inductor import CompiledGraph, Inputs, Outputs, compiled_graph, scalars_as_tensors
from reverie.core.random import child_generator

__all__ = ["TracedStep", "UnsuitableError"]

Torch: TypeAlias = Callable[..., object]  # a function or an operation of torch
Arguments: TypeAlias = tuple[object, ...]
Keywords: TypeAlias = Mapping[str, object]

_N_ROUNDED_STARTS = 8  # plain steps from starts that are a rounding off; one of them shows a change of rounding alone
_BAD_TAGS = (torch.Tag.nondeterministic_seeded, torch.Tag.data_dependent_output, torch.Tag.dynamic_output_shape)
_METHODS: set[Torch] = {Tensor.uniform_, Tensor.normal_, Tensor.bernoulli_, Tensor.exponential_, Tensor.random_}
_FUNCTIONS: set[Torch] = {torch.rand, torch.randn, torch.randint, torch.randperm, torch.normal}
_REFUSED: set[Torch] = {torch.bernoulli, torch.multinomial, torch.poisson, Tensor.multinomial, Tensor.bernoulli}


class UnsuitableError(Exception):
    """Why a function is not compiled."""


class _OuterTensors(TorchDispatchMode):
    """Copies every tensor from outside before the first operation that sees it."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: dict[int, tuple[Tensor, Tensor]] = {}  # storage -> tensor, copy of it
        self.own: dict[int, Tensor] = {}  # made inside; kept, so that no storage is reused

    def __torch_dispatch__(
        self, func: Torch, types: object, args: Arguments = (), kwargs: Keywords | None = None
    ) -> object:
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
    """Lists the draws of a function from one generator, or hands out the values that are given in their place.

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

    def __torch_function__(
        self, func: Torch, types: object, args: Arguments = (), kwargs: Keywords | None = None
    ) -> object:
        """Pass all calls on but those that draw."""
        kwargs = dict(kwargs or {})
        if func not in _METHODS | _FUNCTIONS | _REFUSED or kwargs.get("generator") is None:
            return func(*args, **kwargs)
        filled = args[0] if func in _METHODS else None  # the tensor that a method fills
        if self._given is not None:
            value = next(self._given)
            return filled.copy_(value) if isinstance(filled, Tensor) else value.clone()
        result = func(*args, **kwargs)
        assert isinstance(result, Tensor)
        rest = {key: value for key, value in kwargs.items() if key != "generator"}
        given = args if filled is None else args[1:]
        if kwargs["generator"] is not self._generator:
            self.refusal = self.refusal or f"{func.__name__} draws from another generator"
        elif func in _REFUSED or any(isinstance(leaf, Tensor) for leaf in tree.tree_leaves((given, rest))):
            self.refusal = self.refusal or f"{func.__name__} draws with probabilities that change"
        shape, like = tuple(result.shape), {"dtype": result.dtype, "device": result.device}

        def make(generator: torch.Generator) -> Tensor:
            into = () if filled is None else (torch.empty(shape, **like),)
            drawn = func(*into, *given, generator=generator, **rest)
            assert isinstance(drawn, Tensor)
            return drawn

        self.listed.append(Draw(make, result.detach().clone()))
        return result


class TracedStep(Generic[Inputs, Outputs]):
    """A function whose effects on tensors from outside are recorded and can be undone.

    Parameters
    ----------
    fn, inputs, generator : The function and what it is called with.
    remainders : Storages of outer tensors that rounding alone changes; those found are added.
    """

    def __init__(
        self,
        fn: Callable[[Inputs, torch.Generator], Outputs],
        inputs: Inputs,
        generator: torch.Generator,
        remainders: set[int],
    ) -> None:
        self._fn, self._generator, self._remainders = fn, generator, remainders
        self._leaves, self._structure = tree.tree_flatten(inputs)
        self._outer = _OuterTensors()

    def _called(self, draws: Draws, leaves: Sequence[object]) -> list[object]:
        """Return the flat outputs of the function of flat inputs, with these draws."""
        with draws:
            outputs = self._fn(tree.tree_unflatten(leaves, self._structure), self._generator)
        flat, self._shape = tree.tree_flatten(outputs)
        return flat

    def record(self) -> None:
        """Run the function plainly: what it draws, returns and changes.

        Raises `UnsuitableError` for inputs other than tensors and numbers, and for draws that cannot be listed.
        """
        others = [type(leaf).__name__ for leaf in self._leaves if not isinstance(leaf, Tensor | float | int)]
        if others:
            raise UnsuitableError(f"an input of the step, of type {others[0]}, is neither a tensor nor a number")
        self._inputs = scalars_as_tensors(self._leaves)
        draws = Draws(self._generator)
        with self._outer:
            self._outputs = self._called(draws, self._leaves)
        if draws.refusal:
            raise UnsuitableError(draws.refusal)
        self._draws = draws.listed
        self._after = [tensor.clone() for tensor, _ in self._outer.seen.values()]

    def put_back(self) -> None:
        """Give every outer tensor the values that it had at the start."""
        with torch.no_grad():
            for tensor, before in self._outer.seen.values():
                tensor.copy_(before)

    def graph(self) -> torch.fx.GraphModule:
        """Return the flat graph of inputs and draws; outer tensors are attributes of it.

        Raises `UnsuitableError` for operations whose size or numbers depend on values or on a foreign random state.
        """
        from torch.fx.experimental.proxy_tensor import make_fx

        n = len(self._inputs)
        self.put_back()
        graph = make_fx(lambda *leaves: self._called(Draws(self._generator, iter(leaves[n:])), leaves[:n]))(
            *self._inputs, *(draw.value for draw in self._draws)
        )
        for node in graph.graph.nodes:
            if node.target in (torch.ops.aten.index.Tensor, torch.ops.aten.index_put_.default):
                masks = (torch.bool, torch.uint8)  # a mask gives a size that depends on values, whole numbers do not
                if all(i is None or i.meta["val"].dtype not in masks for i in node.args[1]):
                    continue
            if node.op == "call_function" and any(tag in _BAD_TAGS for tag in getattr(node.target, "tags", ())):
                raise UnsuitableError(f"{node.target} depends on values or on a random state that is not the run's")
        return graph

    def compiled(self, graph: torch.fx.GraphModule) -> CompiledGraph[Inputs, Outputs]:
        """Return the compiled graph, after it has agreed with the plain function."""
        values = [draw.value for draw in self._draws]
        self.put_back()
        ready: CompiledGraph[Inputs, Outputs] = compiled_graph(
            graph, [*self._inputs, *values], [draw.make for draw in self._draws], self._shape
        )
        roundings = self._roundings()
        self.put_back()
        self._compare(ready.flat(self._inputs, values), roundings)
        if ready.capture(self._inputs, values):
            self.put_back()
            self._compare(ready.flat(self._inputs, values), roundings)
        return ready

    def _roundings(self) -> list[tuple[Deviation, ...]]:
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
            outputs = self._called(Draws(self._generator, draws), self._leaves)
            deviations.append(self._deviations(outputs, [now for now, _ in self._outer.seen.values()], moved))
        return list(zip(*deviations, strict=True))

    def _deviations(
        self, outputs: Sequence[object], left: Sequence[Tensor], moved: list[Tensor] | None = None
    ) -> list[Deviation]:
        """Return how far the outputs, and then what a step left of the outer tensors, are from those of the plain one.

        `moved` are the outer tensors from which that step began, None where it is the start of the plain one.
        """
        returned = [deviation(_as_tensor(a), _as_tensor(b)) for a, b in zip(outputs, self._outputs, strict=True)]
        starts = [before for _, before in self._outer.seen.values()]
        outer = zip(left, self._after, starts, moved or [None] * len(starts), strict=True)
        return returned + [deviation(*tensors) for tensors in outer]

    def _compare(self, outputs: Sequence[object], roundings: list[tuple[Deviation, ...]]) -> None:
        """Raise `UnsuitableError` unless each returned and each changed tensor is that of the plain step."""
        outer = [
            (now, after, before) for (now, before), after in zip(self._outer.seen.values(), self._after, strict=True)
        ]
        deviations = self._deviations(outputs, without_remainders(outer))
        tensors = [*map(_as_tensor, self._outputs), *self._after]
        largest = max(
            (d.change / max(x.numel(), 1) ** 0.5 for d, x in zip(deviations, tensors, strict=True)), default=0.0
        )
        storages = [None] * len(outputs) + list(self._outer.seen)
        for found, by_rounding, x, storage in zip(deviations, roundings, tensors, storages, strict=True):
            few, many = by_rounding[:_N_ROUNDED_STARTS], by_rounding[_N_ROUNDED_STARTS:]
            if storage is not None and found.change > 0 and not is_known(found.change, by_rounding):
                self._remainders.add(storage)
            if not agrees(found, few, max(x.numel(), 1), largest, many, is_remainder=storage in self._remainders):
                what = "returned" if storage is None else "made of"
                raise UnsuitableError(
                    f"the compiled step disagreed with the plain one in what it {what} a tensor of shape "
                    f"{tuple(x.shape)}: |error| {found.error:.2g}, |change| {found.change:.2g}"
                )
        changed = [(d.change, r) for d, r in list(zip(deviations, roundings, strict=True))[len(outputs) :] if d.change]
        if changed and not any(is_known(change, by_rounding) for change, by_rounding in changed):
            raise UnsuitableError("the change that a step makes is lost in rounding, so that none could be checked")


def _as_tensor(x: object) -> Tensor:
    if isinstance(x, Tensor):
        return x
    return torch.tensor(float("nan") if x is None else float(cast("float", x)), dtype=torch.float64)
