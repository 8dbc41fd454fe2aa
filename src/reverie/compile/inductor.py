"""A flat graph turned into machine code by TorchInductor, and what the graph needs for that.

Tensors from outside become inputs, products go to the library that is fast here (`reverie.core.products`), and single
numbers are computed once: left to itself, the compiler puts the powers of Adam's correction into the loop over the
weights, where they cost more than all the rest of the update. Copies into another order in memory are made on their
own too; inside a loop over other sums they would be read number by number.

A compiled step asks for the same buffers at every call. The C library returns large ones to the system when they are
freed, and the system clears them anew, which took a tenth of some steps: `reverie.core.resources.keep_freed_memory`
lets it keep them. That changes the whole process, so only the command line, whose process is its own, calls it.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from torch.utils import _pytree as tree

from reverie.core.products import with_fast_products

__all__ = ["CompiledGraph", "compiled_graph", "parts_apart", "scalars_as_tensors"]


def compiled_graph(
    graph: torch.fx.GraphModule, example: list[Tensor], makers: list[Callable[[torch.Generator], Tensor]], shape: Any
) -> "CompiledGraph":
    """Return a graph of inputs and drawn values, compiled; tensors that it holds are read and changed in place.

    Parameters
    ----------
    graph : of `make_fx`; it is changed.
    example : its inputs and drawn values.
    makers : for each drawn value a function that draws it.
    shape : how its flat outputs are nested.
    """
    outer = _lifted(parts_apart(with_fast_products(graph)))
    return CompiledGraph(_inductor(graph, [*example, *outer]), outer, makers, shape)


def scalars_as_tensors(leaves: list[Any]) -> list[Tensor]:
    """Return the leaves, numbers as scalar tensors, which may change without compiling anew."""
    return [x if isinstance(x, Tensor) else torch.tensor(float(x), dtype=torch.float64) for x in leaves]


def parts_apart(graph: torch.fx.GraphModule) -> torch.fx.GraphModule:
    """Have some values of a flat graph computed on their own, not again in every loop that reads them.

    These are single numbers that go into larger tensors, and copies into another order in memory.
    """
    for node in list(graph.graph.nodes):
        if _is_own(node) and (_is_scalar_of_a_loop(node) or _is_reordered(node)):
            with graph.graph.inserting_after(node):
                layout = (list(node.meta["val"].shape), list(node.meta["val"].stride()))
                apart = graph.graph.call_function(torch.ops.aten.as_strided.default, (node, *layout))
            apart.meta.update(node.meta)
            node.replace_all_uses_with(apart, delete_user_cb=lambda user, apart=apart: user is not apart)
    graph.recompile()
    return graph


def _is_scalar_of_a_loop(node: Any) -> bool:
    return _n_entries(node) == 1 and any(_n_entries(user) > 1 for user in node.users)


def _is_reordered(node: Any) -> bool:
    if node.target is not torch.ops.aten.clone.default:
        return False
    return node.args[0].meta["val"].stride() != node.meta["val"].stride()


def _is_own(node: Any) -> bool:
    """Whether a node makes a tensor that is neither a view of another nor changed later."""
    schemas = [getattr(other.target, "_schema", None) for other in (node, *node.users)]
    if node.op != "call_function" or any(schema is None or schema.is_mutable for schema in schemas):
        return False
    return all(found.alias_info is None for found in node.target._schema.returns)


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


class CompiledGraph:
    """A compiled function with the outer tensors that it changes."""

    def __init__(self, call: Any, outer: list[Tensor], makers: list[Any], shape: Any) -> None:
        self._call, self._outer, self._makers, self._shape = call, outer, makers, shape
        self._replay: Callable[[list[Tensor]], list[Any]] | None = None

    def __call__(self, inputs: Any, generator: torch.Generator) -> Any:
        """Return what the function returns, of nested inputs, with numbers drawn from `generator`."""
        values = [make(generator) for make in self._makers]
        return tree.tree_unflatten(self.flat(scalars_as_tensors(tree.tree_leaves(inputs)), values), self._shape)

    def flat(self, inputs: list[Any], values: list[Tensor]) -> list[Any]:
        """Return the outputs of flat inputs and drawn values."""
        if self._replay is not None:
            return self._replay([*inputs, *values])
        with torch.no_grad():
            return list(self._call(*inputs, *values, *self._outer))

    def capture(self, inputs: list[Tensor], values: list[Tensor]) -> bool:
        """Capture a call on a GPU as a CUDA graph: one launch a step, its inputs in fixed places; whether it did."""
        if not any(x.is_cuda for x in self._outer):
            return False
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
        return True
