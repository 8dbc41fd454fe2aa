"""The machine that training runs on: its device, and how many processor threads take the steps.

The networks of physics are small. Threads that share a product of a tenth of a millisecond wait for each other, and
where another program has one of their cores, for that program: a step of the default GAN takes 5.2 to 6.3 ms with one
thread, with two 3.7 to 5.5 ms on a quiet 2-core machine, and 40 to 200 ms on a busy one. What pays depends on the load
of the machine, and the result must not. Whether it does is a matter of sums: several threads add up in another order.
In torch (2.13, one and two threads, an AMD EPYC) products, convolutions, their gradients, batch normalisation, norms
and sums over an axis came out the same to the last bit, and sums of more than 32,768 numbers to a single one did not.
The decision:

    1  A number that the user gives is kept. Small perceptrons take one thread, which serves them best.
    2  Else the first eight steps are taken with one thread and with more, and undone. Where all tensors and all scalars
       end at the same bits, the number leaves no trace and is free: the clock chooses it, takes one thread when steps
       take half as long again as before, and tries the other number from time to time, for 2 % of the time at most.
    3  Where bits differ, as in most convolutional games, the number that was fastest in these steps is kept to the end,
       and stands in the state of the training: a resumed run takes it up, and ends at the bits of the unbroken one.
       Two runs of one seed then differ in their last bits if the machine was busy at the start of one of them only.
       Whoever wants these bits too gives n_threads.

A sum may agree by chance, in one step perhaps one time in three, in eight one in thousands. In compiled steps products
and convolutions alone are shared. A training of less than 200 steps is not tried and takes one thread. The number is
never above that of torch, which is what OMP_NUM_THREADS or `torch.set_num_threads` say, and torch has its own again
after every step.
"""

import copy
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TypeVar

import torch
from torch import Tensor, nn
from torch.utils import _pytree as tree

from reverie.core.errors import InputError, TrainingError
from reverie.core.protocols import Runtime, Trainable

__all__ = ["Threads", "chosen_threads", "resolved_device", "same_bits", "suggested_threads", "thread_limit"]

T = TypeVar("T")
MOST_THREADS = 1024  # the library behind torch crashes for numbers that no machine can start
_WORTH_SHARING = 100_000_000  # weights times rows of a step from which the default shares; chosen, not measured
_TRIED = 8  # steps with each number
_REPAID = 200  # steps from which a trial is worth its own
_BLOCK, _PROBE = 16, 4  # steps between two decisions, and of a look at the other number
_FASTER, _SLOWER = 0.9, 1.5
_REST = 50.0  # times the time of a look in vain passes before the next


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


def chosen_threads(
    asked: int | str, networks: Sequence[nn.Module], n_rows: int, device: torch.device, runtime: Runtime | None = None
) -> tuple[int, "Threads | None"]:
    """Return the number of threads of a training, and the choice of another for its steps where that is open.

    A number that was asked for is kept; on other devices than the processor, and on several processes, none is chosen.
    """
    if asked != "auto":
        return int(asked), None
    most = suggested_threads(networks, n_rows)
    if most == 1 or device.type != "cpu" or runtime is not None:
        return most, None
    return 1, Threads(most)


class Threads:
    """The number of threads that calls of a kind are made with, one or several, up to `most`.

    Attributes
    ----------
    n : the present number.
    many : the number above one that the clock may change to, since it leaves no trace; 1 for none.
    is_known : whether the number was found, here or before an interruption.
    """

    def __init__(self, most: int, clock: Callable[[], float] = time.perf_counter) -> None:
        self.most, self.n, self.many, self.is_known = most, 1, 1, False
        self._clock, self._times, self._is_look = clock, [], False
        self._usual, self._least = 0.0, {}
        self._rest_until = 0.0

    def try_out(
        self, model: Trainable, batch_at: Callable[[int], object], noise: torch.Generator, steps: range
    ) -> None:
        """Take the first of `steps` with different numbers, and undo them; sets `many` and `n`."""
        if self.is_known or len(steps) < _REPAID:
            return
        self.is_known, is_free = True, True
        start, drawn = copy.deepcopy(model.state_dict()), noise.get_state()

        def taken(n: int, n_steps: int = _TRIED) -> tuple[float, object]:
            model.load_state_dict(copy.deepcopy(start))
            noise.set_state(drawn)
            seconds, told = [], []
            with thread_limit(n):
                for step in steps[:n_steps]:
                    began = self._clock()
                    told.append(dict(model.train_step(batch_at(step), noise)))
                    seconds.append(self._clock() - began)
            return statistics.median(seconds), (told, copy.deepcopy(model.state_dict()), noise.get_state())

        try:
            taken(1, 1)  # first calls, and compilation, whose own loops then take one thread
            least, expected = taken(1)
            for n in sorted({*(1 << k for k in range(1, self.most.bit_length())), self.most} - {1}):  # 2, 4, 8, ...
                seconds, found = taken(n)
                is_free = is_free and same_bits(found, expected)
                self.many = n if self.many == 1 or seconds < least else self.many
                if seconds > _FASTER * least:
                    break
                least, self.n = seconds, n
            self.many = self.many if is_free else 1
        except TrainingError:  # it will come again, where it is expected
            self.many = self.n = 1
        finally:
            model.load_state_dict(start)
            noise.set_state(drawn)

    def take(self, call: Callable[[], T]) -> T:
        """Return what `call` returns, made with the present number of threads."""
        if self.n == self.many == 1:
            return call()
        began = self._clock()
        with thread_limit(self.n):
            result = call()
        if self.many == 1:
            return result
        self._times.append(self._clock() - began)
        is_in_vain = self._is_look and self._times[-1] > 2 * self._usual
        if is_in_vain or len(self._times) == (_PROBE if self._is_look else _BLOCK):
            self._decide(statistics.median(self._times), sum(self._times))
            self._times = []
        return result

    @property
    def kept(self) -> int:
        """The number that a resumed run has to take up, part of its state; 0 where it is free or not yet known."""
        return self.n if self.is_known and self.many == 1 else 0

    @kept.setter
    def kept(self, n: int) -> None:
        self.n, self.is_known = max(n, 1), n > 0

    def _decide(self, seconds: float, spent: float) -> None:
        """Keep the number, go back to it after a look at the other, or look at the other."""
        now = self._clock()
        if self._is_look:
            self._is_look = False
            if seconds > _FASTER * self._usual:
                self.n = self._other
                self._rest_until = now + _REST * spent
            return
        self._usual = seconds
        self._least[self.n] = min(seconds, self._least.get(self.n, seconds))
        is_slow = self.n == 1 or seconds > _SLOWER * self._least[self.n]
        if is_slow and now >= self._rest_until:
            self.n, self._is_look = self._other, True

    @property
    def _other(self) -> int:
        return self.many if self.n == 1 else 1


def same_bits(a: object, b: object) -> bool:
    """Return whether nested tensors, numbers and texts agree to the last bit; NaN agrees with NaN."""
    ours, theirs = tree.tree_leaves(a), tree.tree_leaves(b)
    if len(ours) != len(theirs):
        return False
    for x, y in zip(ours, theirs, strict=True):
        if isinstance(x, Tensor) and isinstance(y, Tensor):
            same = x.shape == y.shape and x.dtype == y.dtype and bool(((x == y) | ((x != x) & (y != y))).all())
        else:
            same = bool(x == y or (x != x and y != y))
        if not same:
            return False
    return True
