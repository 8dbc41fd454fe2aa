"""A function run for what it draws and changes, its graph, and the graph compiled; the workshop of `Compiled`.

How the steps of a preparation go together stands at `reverie.core.compiled`.
"""

import itertools
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils import _pytree as tree
from torch.utils._python_dispatch import TorchDispatchMode

from reverie.core.products import with_fast_products

__all__ = ["Ready", "Rehearsal", "UnsuitableError"]

Step = Callable[[Any, torch.Generator], Any]
_TOLERANCE = 1e-3  # of the largest entry of a tensor, after one step in single precision
_MOST_OFF = 0.005  # share of entries that may be further off
_METHODS = {Tensor.uniform_, Tensor.normal_, Tensor.bernoulli_, Tensor.exponential_, Tensor.random_}
_FUNCTIONS = {torch.rand, torch.randn, torch.randint, torch.randperm, torch.normal}
_REFUSED = {torch.bernoulli, torch.multinomial, torch.poisson, Tensor.multinomial, Tensor.bernoulli}
_BAD_TAGS = (torch.Tag.nondeterministic_seeded, torch.Tag.data_dependent_output, torch.Tag.dynamic_output_shape)


class UnsuitableError(Exception):
    """Why a function is not compiled."""


@dataclass
class _Draw:
    """One call that draws numbers: how to make it again, and what it gave."""

    make: Callable[[torch.Generator], Tensor]
    value: Tensor


class _Draws(TorchFunctionMode):
    """Lists the draws of a function, or hands listed values out in their place."""

    def __init__(self, generator: torch.Generator, given: Iterator[Tensor] | None = None) -> None:
        super().__init__()
        self.listed: list[_Draw] = []
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
            self.listed.append(_Draw(_maker(func, args, kwargs, result), result.detach().clone()))
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


@dataclass
class _Witness(TorchDispatchMode):
    """Copies every tensor from outside before the first operation that sees it."""

    seen: dict[int, tuple[Tensor, Tensor]] = field(default_factory=dict)  # storage -> tensor, copy of it
    own: dict[int, Tensor] = field(default_factory=dict)  # made inside; kept, so that no storage is reused

    def __post_init__(self) -> None:
        super().__init__()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Look at the tensors of an operation, then let it run."""
        for leaf in tree.tree_leaves((args, kwargs)):
            if isinstance(leaf, Tensor) and _storage(leaf) not in self.own:
                self._copy(leaf)
        result = func(*args, **(kwargs or {}))
        for leaf in tree.tree_leaves(result):
            if isinstance(leaf, Tensor) and _storage(leaf) not in self.seen:
                self.own[_storage(leaf)] = leaf.detach()
        return result

    def _copy(self, x: Tensor) -> None:
        if _storage(x) not in self.seen:
            whole = torch.empty(0, dtype=x.dtype, device=x.device).set_(x.untyped_storage())
            self.seen[_storage(x)] = (whole, whole.clone())


def _tensors(leaves: list[Any]) -> list[Tensor]:
    """Return the leaves, numbers as scalar tensors, which may change without compiling anew."""
    return [x if isinstance(x, Tensor) else torch.tensor(float(x), dtype=torch.float64) for x in leaves]


def _storage(x: Tensor) -> int:
    return x.untyped_storage()._cdata


class Rehearsal:
    """Runs of a function whose effects on outer tensors are known and undone."""

    def __init__(self, fn: Step, inputs: Any, generator: torch.Generator) -> None:
        self._fn, self._generator = fn, generator
        self._leaves, self._structure = tree.tree_flatten(inputs)
        self._inputs = _tensors(self._leaves)
        self._witness = _Witness()

    def record(self) -> None:
        """Run the function plainly: what it draws, returns and changes."""
        draws = _Draws(self._generator)
        with self._witness, draws:
            outputs = self._fn(tree.tree_unflatten(self._leaves, self._structure), self._generator)
        if draws.refusal:
            raise UnsuitableError(draws.refusal)
        self._draws = draws.listed
        self._outputs, self._shape = tree.tree_flatten(outputs)
        self._after = [tensor.clone() for tensor, _ in self._witness.seen.values()]

    def put_back(self) -> None:
        """Give every outer tensor the values that it had at the start."""
        with torch.no_grad():
            for tensor, before in self._witness.seen.values():
                tensor.copy_(before)

    def graph(self) -> torch.fx.GraphModule:
        """Return the flat graph of inputs and draws; outer tensors are attributes of it."""
        from torch.fx.experimental.proxy_tensor import make_fx

        n = len(self._inputs)

        def flat(*leaves: Tensor) -> list[Any]:
            with _Draws(self._generator, iter(leaves[n:])):
                outputs = self._fn(tree.tree_unflatten(list(leaves[:n]), self._structure), self._generator)
            return tree.tree_leaves(outputs)

        self.put_back()
        graph = make_fx(flat)(*self._inputs, *(draw.value for draw in self._draws))
        _refuse_dependence(graph)
        return graph

    def compiled(self, graph: torch.fx.GraphModule) -> "Ready":
        """Return the compiled graph, after it has agreed with the plain function."""
        outer = _lifted(_with_scalars_apart(with_fast_products(graph)))
        values = [draw.value for draw in self._draws]
        self.put_back()
        call = _inductor(graph, [*self._inputs, *values, *outer])
        ready = Ready(call, outer, [draw.make for draw in self._draws], self._shape)
        self.put_back()
        self._compare(ready.flat(self._inputs, values))
        if any(x.is_cuda for x in outer):
            ready.capture(self._inputs, values)
        return ready

    def _compare(self, outputs: list[Any]) -> None:
        pairs = itertools.chain(
            zip(outputs, self._outputs, strict=True),
            zip((tensor for tensor, _ in self._witness.seen.values()), self._after, strict=True),
        )
        entries = [_agreement(ours, plain) for ours, plain in pairs if isinstance(plain, Tensor)]
        n_all = sum(n for _, n in entries)
        if sum(n_agreed for n_agreed, _ in entries) < (1 - _MOST_OFF) * n_all:
            raise UnsuitableError("the compiled step disagreed with the plain one")


def _agreement(ours: Tensor, plain: Tensor) -> tuple[int, int]:
    """Return how many entries agree, and how many there are; whole numbers are not compared.

    A few may disagree: an optimiser that divides by the size of the gradient makes a step out of the rounding of a
    gradient that is zero, and a rounding may flip a draw.
    """
    if not plain.is_floating_point() or plain.numel() == 0:
        return 0, 0
    off = (ours - plain).abs() > _TOLERANCE * float(plain.abs().max())
    return plain.numel() - int(off.sum()), plain.numel()


def _refuse_dependence(graph: torch.fx.GraphModule) -> None:
    for node in graph.graph.nodes:
        if node.op != "call_function" or _is_gather(node):
            continue
        if any(tag in _BAD_TAGS for tag in getattr(node.target, "tags", ())):
            raise UnsuitableError(f"{node.target} depends on values or on a random state that is not the run's")


def _is_gather(node: Any) -> bool:
    """Whether the node indexes by numbers; a mask would give a size that depends on values."""
    if node.target not in (torch.ops.aten.index.Tensor, torch.ops.aten.index_put_.default):
        return False
    return all(i is None or i.meta["val"].dtype not in (torch.bool, torch.uint8) for i in node.args[1])


def _with_scalars_apart(graph: torch.fx.GraphModule) -> torch.fx.GraphModule:
    """Have each single number that goes into a larger tensor computed once, not again for every entry of it."""
    for node in list(graph.graph.nodes):
        if node.op == "call_function" and _n_entries(node) == 1 and any(_n_entries(user) > 1 for user in node.users):
            with graph.graph.inserting_after(node):
                layout = (list(node.meta["val"].shape), list(node.meta["val"].stride()))
                apart = graph.graph.call_function(torch.ops.aten.as_strided.default, (node, *layout))
            apart.meta.update(node.meta)
            node.replace_all_uses_with(apart, delete_user_cb=lambda user, apart=apart: user is not apart)
    graph.recompile()
    return graph


def _n_entries(node: Any) -> int:
    value = node.meta.get("val")
    return value.numel() if isinstance(value, Tensor) else 0


def _lifted(graph: torch.fx.GraphModule) -> list[Tensor]:
    """Turn the attributes of the graph that are tensors into inputs after the others; return them, detached."""
    found: dict[str, tuple[Tensor, Any]] = {}
    last = [node for node in graph.graph.nodes if node.op == "placeholder"][-1]
    for node in [node for node in graph.graph.nodes if node.op == "get_attr"]:
        value = getattr(graph, node.target)
        if not isinstance(value, Tensor):
            continue
        if node.target not in found:
            with graph.graph.inserting_after(last):
                last = graph.graph.placeholder(f"outer_{len(found)}")
            found[node.target] = (value.data, last)  # no view of it, which would be rebuilt at every call
        node.replace_all_uses_with(found[node.target][1])
        graph.graph.erase_node(node)
    for target in found:  # what stays attached is handed to the compiler a second time
        delattr(graph, target)
    graph.recompile()
    return [value for value, _ in found.values()]


def _inductor(graph: torch.fx.GraphModule, example: list[Any]) -> Callable[..., Any]:
    from torch._inductor import config
    from torch._inductor.compile_fx import compile_fx
    from torch._inductor.utils import fresh_cache

    settings: Mapping[str, Any] = {"size_asserts": False, "fallback_random": True}
    with torch.no_grad(), config.patch(settings):
        try:
            call: Any = compile_fx(graph, example)
        except Exception as error:
            if "ImportError" not in repr(error):
                raise
            with fresh_cache():  # a machine that stopped while it compiled leaves half a file, found broken ever after
                call = compile_fx(graph, example)
    return call


@contextmanager
def _side_stream() -> Iterator[None]:
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        yield
    torch.cuda.current_stream().wait_stream(stream)


class Ready:
    """A compiled function with the outer tensors that it changes."""

    def __init__(self, call: Any, outer: list[Tensor], makers: list[Any], shape: Any) -> None:
        self._call, self._outer, self._makers, self._shape = call, outer, makers, shape
        self._replay: Callable[[list[Tensor]], list[Any]] | None = None

    def __call__(self, inputs: Any, generator: torch.Generator) -> Any:
        """Return what the function returns, of nested inputs, with numbers drawn from `generator`."""
        values = [make(generator) for make in self._makers]
        return tree.tree_unflatten(self.flat(_tensors(tree.tree_leaves(inputs)), values), self._shape)

    def flat(self, inputs: list[Any], values: list[Tensor]) -> list[Any]:
        """Return the outputs of flat inputs and drawn values."""
        if self._replay is not None:
            return self._replay([*inputs, *values])
        with torch.no_grad():
            return list(self._call(*inputs, *values, *self._outer))

    def capture(self, inputs: list[Tensor], values: list[Tensor]) -> None:
        """Capture the call as a CUDA graph: one launch a step, its inputs in fixed places."""
        fixed = [x.clone() for x in (*inputs, *values)]
        with torch.no_grad(), _side_stream():
            for _ in range(3):
                self._call(*fixed, *self._outer)
        graph = torch.cuda.CUDAGraph()
        with torch.no_grad(), torch.cuda.graph(graph):
            outputs = list(self._call(*fixed, *self._outer))

        def replay(given: list[Tensor]) -> list[Any]:
            for place, x in zip(fixed, given, strict=True):
                place.copy_(x)
            graph.replay()
            return [x.clone() if isinstance(x, Tensor) else x for x in outputs]

        self._replay = replay
