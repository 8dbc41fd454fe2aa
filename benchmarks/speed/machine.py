"""The machine: what it is, and how fast it does the parts that no implementation can avoid.

The floor of a task is the time of its parts one after the other, nothing in between:

    floor = sum_i n_i t_GEMM(m_i, k_i, n_i) + sum_j n_j t_conv(j) + N_normal t_normal + N_uniform t_uniform
            + N_sort t_sort + N_root t_root + B t_byte

with each t measured on this machine, with as many threads, in the turns of the task it belongs to:

    t_GEMM      one product of exactly that shape, operands in cache, by the faster of torch's two libraries (its BLAS
                and oneDNN); of less than SMALL operations alone or in a batch, which spreads the cost of a call
    t_conv      one isolated convolution kernel of that shape (forward, to the input, to the weights; where the input
                and the weights are both asked for, one call gives both), in the faster of the two layouts of memory
    t_normal, t_uniform   a number of a block of BLOCK float32 numbers of torch's generator
    t_sort      sorting rows of that length, by NumPy;  t_root  a square root
    t_byte      adding two arrays to a third, all three together as large as the arrays that the step runs over (at
                most LARGEST bytes): the update of weights is bound by memory

Adam moves 28 bytes a weight (reads weight, gradient and two averages; writes all but the gradient), plain gradient
descent 12, an average of the weights 12. Nonlinearities, losses and the choice of a batch are not in the floor.
The libraries are torch's, because that is what anyone who stands on torch has: an implementation with a faster one
can come below this floor. The rate of torch's BLAS alone and of NumPy's is listed beside it for comparison.

    python -m benchmarks.speed.machine '{"threads": 1, "cores": [0]}'      prints the rates as JSON

A term is a dictionary of plain values, so that it goes to JSON: {"kind": "gemm", "shape": [m, k, n], "count": 2}.
"""

import json
import os
import platform
import sys
import time
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np

__all__ = ["Term", "description", "floor", "measured_rates"]

Term = dict[str, Any]

SMALL, MANY = 4_000_000, 64
BLOCK = 1 << 16
LARGEST = 1 << 28
_SLICE, _SLICES = 0.003, 5  # seconds of a measurement of a term; its median counts


def floor(terms: list[Term], threads: int) -> Callable[[int], float]:
    """Return the window of a worker that measures the seconds of one unit of work, the sum of its terms."""
    import torch

    torch.set_num_threads(threads)
    with torch.no_grad():
        parts = [(float(term.get("count", 1)), _MAKERS[term["kind"]](term)) for term in terms]
    repeats = [_repeats(call) for _, (call, _) in parts]

    def window(_: int) -> float:
        with torch.no_grad():
            taken = [_median(call, n) / share for (_, (call, share)), n in zip(parts, repeats, strict=True)]
        return sum(count * t for (count, _), t in zip(parts, taken, strict=True))

    return window


def _repeats(call: Callable[[], Any]) -> int:
    """Return how many calls take about `_SLICE` seconds."""
    return max(1, round(_SLICE / max(1e-7, _timed(call, 2))))


def _median(call: Callable[[], Any], n: int) -> float:
    return sorted(_timed(call, n) for _ in range(_SLICES))[_SLICES // 2]


def _timed(call: Callable[[], Any], n: int) -> float:
    """Return seconds of a call, by the processor's clock: a floor that another program slows down is none.

    With threads the wall's clock is taken.
    """
    import torch

    clock = time.process_time if torch.get_num_threads() == 1 else time.perf_counter
    began = clock()
    for _ in range(n):
        call()
    return (clock() - began) / n


def _gemm(term: Term) -> tuple[Callable[[], Any], float]:
    """Return the fastest of a plain product, one by oneDNN, a batch of MANY and, for vectors, what is made for them."""
    import torch

    (m, k, n), dtype = term["shape"], getattr(torch, term.get("dtype", "float32"))
    a, b, c = torch.randn(m, k, dtype=dtype), torch.randn(k, n, dtype=dtype), torch.empty(m, n, dtype=dtype)
    ways: list[tuple[Callable[[], Any], float]] = [(lambda: torch.mm(a, b, out=c), 1.0)]
    if dtype == torch.float32 and hasattr(torch.ops.mkldnn, "_linear_pointwise"):
        ways.append((lambda: torch.ops.mkldnn._linear_pointwise(a, b.t(), None, "none", [], ""), 1.0))
    if n == 1:
        ways.append((lambda: torch.mv(a, b[:, 0], out=c[:, 0]), 1.0))
    if m == 1:
        ways.append((lambda: torch.mv(b.t(), a[0], out=c[0]), 1.0))
    if k == 1:
        ways.append((lambda: torch.mul(a, b, out=c), 1.0))
    if 2 * m * k * n < SMALL:
        A, B = torch.randn(MANY, m, k, dtype=dtype), torch.randn(MANY, k, n, dtype=dtype)
        C = torch.empty(MANY, m, n, dtype=dtype)
        ways.append((lambda: torch.bmm(A, B, out=C), float(MANY)))
    return ways[0] if len(ways) == 1 else _fastest(ways)


def _fastest(ways: list[tuple[Callable[[], Any], float]]) -> tuple[Callable[[], Any], float]:
    for call, _ in ways:
        call()
    return min(ways, key=lambda way: min(_timed(way[0], 3) for _ in range(3)) / way[1])


def _random(fill: str) -> Callable[[Term], tuple[Callable[[], Any], float]]:
    def made(_: Term) -> tuple[Callable[[], Any], float]:
        import torch

        block, generator = torch.empty(BLOCK), torch.Generator().manual_seed(0)
        return lambda: getattr(block, fill)(generator=generator), float(BLOCK)

    return made


def _bytes(term: Term) -> tuple[Callable[[], Any], float]:
    """Return an addition over arrays of `footprint` bytes; `count` is the bytes moved, the term is one of them."""
    import torch

    n = max(1, int(min(term["footprint"], LARGEST)) // 12)
    a, b, c = torch.randn(n), torch.randn(n), torch.empty(n)
    return lambda: torch.add(a, b, out=c), 12.0 * n


def _sort(term: Term) -> tuple[Callable[[], Any], float]:
    import torch

    rows, n = term["shape"]
    x = torch.randn(rows, n, dtype=getattr(torch, term.get("dtype", "float32"))).numpy()
    return lambda: np.sort(x, axis=1), 1.0


def _root(term: Term) -> tuple[Callable[[], Any], float]:
    import torch

    x = torch.rand(BLOCK, dtype=getattr(torch, term.get("dtype", "float32")))
    y = torch.empty_like(x)
    return lambda: torch.sqrt(x, out=y), float(BLOCK)


def _conv(term: Term) -> tuple[Callable[[], Any], float]:
    """Return the faster of the kernels in the two layouts of memory."""
    import torch

    return _fastest([(_conv_kernel(term, layout), 1.0) for layout in (torch.contiguous_format, torch.channels_last)])


def _conv_kernel(term: Term, layout: Any) -> Callable[[], Any]:
    import torch

    stride, padding, more = [term["stride"]] * 2, [term["padding"]] * 2, [term.get("output_padding", 0)] * 2
    x = torch.randn(*term["input"]).contiguous(memory_format=layout)
    w = torch.randn(*term["weight"]).contiguous(memory_format=layout)
    shape = (stride, padding, [1, 1], bool(term.get("transposed")), more, 1)
    if term["pass"] == "forward":
        return lambda: torch.ops.aten.convolution(x, w, None, *shape)
    g = torch.randn_like(torch.ops.aten.convolution(x, w, None, *shape))
    mask = [term["pass"] in ("input", "both"), term["pass"] in ("weight", "both"), False]
    return lambda: torch.ops.aten.convolution_backward(g, x, w, None, *shape, mask)


_MAKERS: dict[str, Callable[[Term], tuple[Callable[[], Any], float]]] = {
    "gemm": _gemm,
    "conv": _conv,
    "normal": _random("normal_"),
    "uniform": _random("uniform_"),
    "bytes": _bytes,
    "sort": _sort,
    "root": _root,
}

SHAPES = ([64, 100, 784], [256, 128, 128], [200, 784, 500], [1024, 128, 128], [1024, 1024, 1024])


def measured_rates() -> dict[str, float]:
    """Return rates by name: GFLOP/s of GEMM and GEMV by shape, millions of random numbers a second, GB/s by size."""
    import torch

    found: dict[str, float] = {}
    for m, k, n in SHAPES:
        found[f"GEMM {m} x {k} x {n}, GFLOP/s"] = 2e-9 * m * k * n / _seconds({"kind": "gemm", "shape": [m, k, n]})
    found["GEMM 1024 x 1024 x 1024 float64, GFLOP/s"] = (
        2e-9 * 1024**3 / _seconds({"kind": "gemm", "shape": [1024] * 3, "dtype": "float64"})
    )
    a, b, c = (np.random.default_rng(0).random((1024, 1024), dtype=np.float32) for _ in range(3))
    A, B, C = (torch.from_numpy(x) for x in (a, b, c))
    for name, call in (("torch's BLAS", lambda: torch.mm(A, B, out=C)), ("NumPy", lambda: np.matmul(a, b, out=c))):
        call()
        found[f"GEMM 1024 x 1024 x 1024 by {name}, GFLOP/s"] = 2e-9 * 1024**3 / _median(call, 2)
    found["GEMV 1024 x 1024, GFLOP/s"] = 2e-9 * 1024**2 / _seconds({"kind": "gemm", "shape": [1024, 1024, 1]})
    for kind in ("normal", "uniform"):
        found[f"{kind} numbers, million/s"] = 1e-6 / _seconds({"kind": kind})
    for name, size in (("1 MB", 1e6), ("16 MB", 16e6), ("256 MB", 256e6)):
        found[f"memory, arrays of {name}, GB/s"] = 1e-9 / _seconds({"kind": "bytes", "footprint": size})
    return found


def _seconds(term: Term) -> float:
    call, share = _MAKERS[term["kind"]](term)
    return _median(call, _repeats(call)) / share


def description(threads: int, cores: list[int]) -> dict[str, Any]:
    """Return what a reader must know of the machine; no names of hosts or folders."""
    return {
        "processor": _processor(),
        "cores": os.cpu_count(),
        "threads": threads,
        "pinned_to": cores,
        "memory_gb": _memory(),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "versions": {name: found for name in ("torch", "numpy", "reverie") if (found := _version(name))},
        "load": [round(x, 2) for x in os.getloadavg()] if hasattr(os, "getloadavg") else None,
    }


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def _processor() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.exists() else []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def _memory() -> float | None:
    try:
        return round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9, 1)
    except (ValueError, AttributeError):
        return None


def main() -> None:
    """Print the rates as JSON."""
    spec: dict[str, Any] = json.loads(sys.argv[1]) if len(sys.argv) > 1 else {"threads": 1}
    if spec.get("cores") and hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, spec["cores"])
    import torch

    torch.set_num_threads(spec["threads"])
    with torch.no_grad():
        print(json.dumps(measured_rates()))


if __name__ == "__main__":
    main()
