"""The machine that training runs on: its device, and how many processor threads pay.

The networks of physics are small. A matrix product of 256 rows and 128 columns takes a tenth of a
millisecond, and threads that share it wait for each other. A step of the default game was measured
at 5.2 to 6.3 ms with one thread; with two at 3.7 to 5.5 ms on a quiet 2-core machine, and at 40 to
200 ms beside another running program. One thread is the safe choice, more are an option.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import nn

from reverie.core.errors import InputError

__all__ = ["resolved_device", "suggested_threads", "thread_limit"]

MOST_THREADS = 1024  # the library behind torch crashes for numbers that no machine can start
_WORTH_SHARING = 100_000_000  # weights times rows of a step from which the default shares; chosen, not measured


def resolved_device(name: str) -> torch.device:
    """Return the device called `name`; "auto" is a CUDA device when there is one. `InputError` if it is not there."""
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError:
        raise InputError(f"Expected device 'auto', 'cpu' or 'cuda', got {name!r}.") from None
    if device.type not in ("cpu", "cuda"):
        raise InputError(f"Expected device 'auto', 'cpu' or 'cuda', got {name!r}. Models are tested on these.")
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count() > 0:
        raise InputError(f"Expected a device that this machine has, got {name!r}. It has {torch.cuda.device_count()}.")
    if device.type == "cuda" and not torch.cuda.is_available():
        raise InputError(f"Expected a device that this machine has, got {name!r} without CUDA. Use device='auto'.")
    return device


def suggested_threads(networks: Sequence[nn.Module], batch_size: int) -> int:
    """Return 1 for small perceptrons, whose threads would wait on a busy machine, else torch's current number."""
    layers = [layer for network in networks for layer in network.modules()]
    if any(isinstance(layer, nn.modules.conv._ConvNd) for layer in layers):
        return torch.get_num_threads()
    n_weights = sum(weight.numel() for network in networks for weight in network.parameters())
    return torch.get_num_threads() if n_weights * batch_size > _WORTH_SHARING else 1


@contextmanager
def thread_limit(n_threads: int) -> Iterator[None]:
    """Use `n_threads` threads inside, and as many as before outside; `InputError` for more than a machine can start."""
    if n_threads > MOST_THREADS:
        raise InputError(f"Expected at most {MOST_THREADS:,} threads, got {n_threads:,}. Leave n_threads out.")
    before = torch.get_num_threads()
    torch.set_num_threads(n_threads)
    try:
        yield
    finally:
        torch.set_num_threads(before)
