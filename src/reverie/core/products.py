"""Matrix products by the library that is fast on this processor.

On processors with AVX-512 that are not Intel's, the library behind `torch.mm` runs at half of their speed, and oneDNN,
which torch carries too, at all of it: 95 against 150 to 200 GFLOP/s, on one core of an AMD EPYC, single precision. The
choice depends on the processor and on sizes alone, so the same machine gives the same bits. Compiled graphs get these
products by `with_fast_products`; what is not compiled, such as the drawing of samples, runs inside `FastProducts`.
"""

import platform
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

__all__ = ["FastProducts", "product", "with_fast_products"]

_WORTH = 500_000  # multiplications; below it a call of oneDNN costs more than it saves
_MM, _ADDMM = torch.ops.aten.mm.default, torch.ops.aten.addmm.default
_BMM, _BADDBMM = torch.ops.aten.bmm.default, torch.ops.aten.baddbmm.default


def product(a: Tensor, b: Tensor, bias: Tensor | None = None) -> Tensor:
    """Return a b (+ bias), (m, n) of a (m, k), b (k, n) and bias (n,); no gradient runs through it."""
    if _is_faster(a, b):
        return torch.ops.reverie.product.default(a, b, bias)
    return torch.mm(a, b) if bias is None else torch.addmm(bias, a, b)


class FastProducts(TorchFunctionMode):
    """Context in which linear layers take the product that is fast here, where no gradient is asked for.

    Examples
    --------
    >>> import torch
    >>> layer, x = torch.nn.Linear(128, 128), torch.ones(1024, 128)
    >>> with torch.no_grad(), FastProducts():
    ...     y = layer(x)
    >>> y.shape
    torch.Size([1024, 128])
    """

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        """Call a function of torch; see the class."""
        if func is torch.nn.functional.linear and not kwargs and not torch.is_grad_enabled():
            x, weight, *bias = args
            rows = x.reshape(-1, x.shape[-1])
            if _is_faster(rows, weight.t()):
                found = torch.ops.reverie.product.default(rows, weight.t(), bias[0] if bias else None)
                return found.reshape(*x.shape[:-1], len(weight))
        return func(*args, **(kwargs or {}))


def _by_onednn(a: Tensor, b: Tensor, bias: Tensor | None) -> Tensor:
    if not (b.is_contiguous() or b.t().is_contiguous()):
        b = b.contiguous()  # a part of a larger array: oneDNN has no fast code for it, and takes 1,000 times as long
    return torch.ops.mkldnn._linear_pointwise.default(a.contiguous(), b.t(), bias, "none", [], "")


def _each_by_onednn(a: Tensor, b: Tensor) -> Tensor:
    return torch.stack([_by_onednn(x, y, None) for x, y in zip(a.unbind(), b.unbind(), strict=True)])


_LIBRARY = torch.library.Library("reverie", "FRAGMENT")  # a name of our own: the compiler has other plans for theirs
_LIBRARY.define("product(Tensor a, Tensor b, Tensor? bias) -> Tensor")
_LIBRARY.impl("product", _by_onednn, "CPU")
_LIBRARY.impl("product", lambda a, b, bias: a.new_empty(a.shape[0], b.shape[1]), "Meta")
_LIBRARY.define("products(Tensor a, Tensor b) -> Tensor")
_LIBRARY.impl("products", _each_by_onednn, "CPU")
_LIBRARY.impl("products", lambda a, b: a.new_empty(*a.shape[:2], b.shape[2]), "Meta")


def with_fast_products(graph: torch.fx.GraphModule) -> torch.fx.GraphModule:
    """Put oneDNN's products in place of those of a flat graph where they are faster; return the graph."""
    if not _prefers_onednn():
        return graph
    for node in list(graph.graph.nodes):
        if node.target in (_MM, _ADDMM, _BMM, _BADDBMM) and not node.kwargs:
            bias, (a, b) = node.args[:-2], node.args[-2:]
            many = node.target in (_BMM, _BADDBMM)
            first = (a.meta["val"][0], b.meta["val"][0]) if many else (a.meta["val"], b.meta["val"])
            if _is_faster(*first) and (many or not bias or bias[0].meta["val"].ndim == 1):
                _replace(graph.graph, node)
    graph.recompile()
    return graph


def _replace(graph: torch.fx.Graph, node: torch.fx.Node) -> None:
    """Put oneDNN's product in place of one of PyTorch's."""
    bias, (a, b) = node.args[:-2], cast("tuple[torch.fx.Node, torch.fx.Node]", node.args[-2:])
    with graph.inserting_before(node):
        value: Tensor = a.meta["val"]
        if value.stride(-1) != 1:  # rows in pieces: oneDNN would copy them, the compiler writes them in one at once
            a = graph.call_function(torch.ops.aten.contiguous.default, (a,))
            a.meta["val"] = value.contiguous()
        if node.target in (_MM, _ADDMM):
            found = graph.call_function(torch.ops.reverie.product.default, (a, b, bias[0] if bias else None))
        else:
            found = graph.call_function(torch.ops.reverie.products.default, (a, b))
            if bias:
                found.meta.update(node.meta)
                found = graph.call_function(torch.ops.aten.add.Tensor, (found, bias[0]))
    found.meta.update(node.meta)
    node.replace_all_uses_with(found)
    graph.erase_node(node)


def _is_faster(a: Tensor, b: Tensor) -> bool:
    if a.dtype != torch.float32 or a.device.type != "cpu" or a.numel() * b.shape[1] < _WORTH:
        return False
    return min(a.shape[0], b.shape[1]) > 1 and _prefers_onednn()


@cache
def _prefers_onednn() -> bool:
    """Whether this is a processor with AVX-512 that is not Intel's, with oneDNN at hand."""
    has_onednn = torch.backends.mkldnn.is_available() and hasattr(torch.ops.mkldnn, "_linear_pointwise")
    if not has_onednn or torch.backends.cpu.get_cpu_capability() != "AVX512":
        return False
    processor, cpuinfo = platform.processor() or "intel", Path("/proc/cpuinfo")
    if cpuinfo.is_file():
        lines = cpuinfo.read_text(errors="replace").splitlines()
        processor = next((line for line in lines if line.startswith("vendor_id")), "intel")
    return "intel" not in processor.lower()
