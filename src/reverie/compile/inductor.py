"""A flat graph turned into machine code by TorchInductor, and what the graph needs for that.

Tensors from outside become inputs, products go to the library that is fast here (`reverie.core.products`), and single
numbers are computed once: left to itself, the compiler puts the powers of Adam's correction into the loop over the
weights, where they cost more than all the rest of the update. Copies into another order in memory are made on their
own too; inside a loop over other sums they would be read number by number.

A compiled step asks for the same buffers at every call. The C library returns large ones to the system when they are
freed, and the system clears them anew, which took a tenth of some steps: `reverie.core.resources.keep_freed_memory`
lets it keep them. That changes the whole process, so only the command line, whose process is its own, calls it.
"""

from collections.abc import Callable, Sequence
from typing import Generic, TypeVar, cast

import torch
from torch import Tensor
from torch.fx import GraphModule, Node
from torch.utils import _pytree as tree

from reverie.core.products import with_fast_products

__all__ = ["CompiledGraph", "Inputs", "Outputs", "compiled_graph", "parts_apart", "scalars_as_tensors"]

Inputs = TypeVar("Inputs")  # nested tuples and dictionaries of tensors and numbers
Outputs = TypeVar("Outputs")


def compiled_graph(
    graph: GraphModule,
    example: Sequence[Tensor],
    makers: Sequence[Callable[[torch.Generator], Tensor]],
    shape: tree.TreeSpec,
) -> "CompiledGraph":
    """Return a graph of `make_fx`, which is changed, compiled; tensors that it holds are read and changed in place.

    Its inputs are those of `example`, the last of them drawn by the `makers`; `shape` says how its outputs are nested.
    """
    from torch._inductor import config
    from torch._inductor.compile_fx import compile_fx
    from torch._inductor.utils import fresh_cache

    outer = _lifted(parts_apart(with_fast_products(graph)))
    tensors = [*example, *outer]
    with torch.no_grad(), config.patch(size_asserts=False, fallback_random=True):
        try:
            call = compile_fx(graph, tensors)
        except Exception as error:
            if "ImportError" not in repr(error):
                raise
            with fresh_cache():  # a machine that stopped while it compiled leaves half a file, found broken ever after
                call = compile_fx(graph, tensors)
    return CompiledGraph(cast("Callable[..., Sequence[Tensor]]", call), outer, makers, shape)


def scalars_as_tensors(leaves: Sequence[Tensor | float]) -> list[Tensor]:
    """Return the leaves, numbers as scalar tensors, which may change without compiling anew."""
    return [x if isinstance(x, Tensor) else torch.tensor(float(x), dtype=torch.float64) for x in leaves]


def parts_apart(graph: GraphModule) -> GraphModule:
    """Have some values of a flat graph computed on their own, not again in every loop that reads them.

    These are single numbers that go into larger tensors, and copies into another order in memory; of them those that
    are neither views of another tensor nor changed later.
    """
    for node in list(graph.graph.nodes):
        schemas = [getattr(other.target, "_schema", None) for other in (node, *node.users)]
        if node.op != "call_function" or any(schema is None or schema.is_mutable for schema in schemas):
            continue
        if any(value.alias_info is not None for value in node.target._schema.returns):
            continue
        is_scalar_of_a_loop = _n_entries(node) == 1 and any(_n_entries(user) > 1 for user in node.users)
        is_reordered = node.target is torch.ops.aten.clone.default and (
            node.args[0].meta["val"].stride() != node.meta["val"].stride()
        )
        if is_scalar_of_a_loop or is_reordered:
            with graph.graph.inserting_after(node):
                layout = (list(node.meta["val"].shape), list(node.meta["val"].stride()))
                apart = graph.graph.call_function(torch.ops.aten.as_strided.default, (node, *layout))
            apart.meta.update(node.meta)
            node.replace_all_uses_with(apart, delete_user_cb=lambda user, apart=apart: user is not apart)
    graph.recompile()
    return graph


def _n_entries(node: Node) -> int:
    value = node.meta.get("val")
    return value.numel() if isinstance(value, Tensor) else 0


def _lifted(graph: GraphModule) -> list[Tensor]:
    """Turn the attributes of the graph that are tensors into inputs after the others; return them, detached."""
    lifted: dict[str, tuple[Tensor, Node]] = {}
    last = [node for node in graph.graph.nodes if node.op == "placeholder"][-1]
    for node in [node for node in graph.graph.nodes if node.op == "get_attr"]:
        value = getattr(graph, node.target)
        if not isinstance(value, Tensor):
            continue
        if node.target not in lifted:
            with graph.graph.inserting_after(last):
                last = graph.graph.placeholder(f"outer_{len(lifted)}")
            lifted[node.target] = (value.data, last)  # no view of it, which would be rebuilt at every call
        node.replace_all_uses_with(lifted[node.target][1])
        graph.graph.erase_node(node)
    for target in lifted:  # what stays attached is handed to the compiler a second time
        delattr(graph, target)
    graph.recompile()
    return [value for value, _ in lifted.values()]


class CompiledGraph(Generic[Inputs, Outputs]):
    """A compiled function with the outer tensors that it changes."""

    def __init__(
        self,
        call: Callable[..., Sequence[Tensor]],
        outer: list[Tensor],
        makers: Sequence[Callable[[torch.Generator], Tensor]],
        shape: tree.TreeSpec,
    ) -> None:
        self._call, self._outer, self._makers, self._shape = call, outer, makers, shape
        self._replay: Callable[[list[Tensor]], list[Tensor]] | None = None

    def __call__(self, inputs: Inputs, generator: torch.Generator) -> Outputs:
        """Return what the function returns, of nested inputs, with numbers drawn from `generator`."""
        values = [make(generator) for make in self._makers]
        return tree.tree_unflatten(self.flat(scalars_as_tensors(tree.tree_leaves(inputs)), values), self._shape)

    def flat(self, inputs: list[Tensor], values: list[Tensor]) -> list[Tensor]:
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
        stream = torch.cuda.Stream()
        stream.wait_stream(torch.cuda.current_stream())
        with torch.no_grad(), torch.cuda.stream(stream):
            for _ in range(3):
                self._call(*fixed, *self._outer)
        torch.cuda.current_stream().wait_stream(stream)
        graph = torch.cuda.CUDAGraph()
        with torch.no_grad(), torch.cuda.graph(graph):
            outputs = list(self._call(*fixed, *self._outer))

        def replay(given: list[Tensor]) -> list[Tensor]:
            for place, x in zip(fixed, given, strict=True):
                place.copy_(x)
            graph.replay()
            return [x.clone() if isinstance(x, Tensor) else x for x in outputs]

        self._replay = replay
        return True
