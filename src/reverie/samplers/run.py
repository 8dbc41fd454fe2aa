"""The one loop of all samplers: a kernel takes one step, `steps` repeats it, `run` keeps what it passes.

A kernel is any object with `init` and `step` (`reverie.core.protocols.Kernel`) whose state has the positions
of its chains as `x` (chain, *event). It neither loops nor stores. `Cycle` is a kernel made
of kernels: what leaves p invariant in each part does so in all.

A kernel that does the same at every step says so by `is_constant`; its steps can be compiled together with the
energy (`reverie.compile.step`), which pays for long chains on small networks. Its state is flat: tensors, and
perhaps the number of steps taken.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, fields, replace
from itertools import islice
from typing import TYPE_CHECKING, TypeVar

import torch
from torch import Tensor

from reverie.compile.step import Compiled, check_compile
from reverie.core.arguments import check_fields
from reverie.core.checks import check_positive
from reverie.core.errors import InputError
from reverie.core.protocols import AnyKernel, ChainState, Kernel
from reverie.core.types import Energy
from reverie.samplers.chains import Chains

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

__all__ = ["Cycle", "run", "steps"]

S = TypeVar("S", bound="DataclassInstance")  # state and info of a kernel
I = TypeVar("I", bound="DataclassInstance")  # noqa: E741


def steps(
    kernel: Kernel[S, I],
    x: Tensor,
    energy: Energy,
    *,
    generator: torch.Generator,
    compile: bool | str = False,
    n_steps: int = 0,
) -> Iterator[tuple[S, I]]:
    """Yield (state, info) after each step of `kernel` from positions x (chain, *event), without end.

    Stopping is leaving the loop; the last state is where to go on. `compile` is as in `run`, where "auto" judges by
    `n_steps`.
    """
    _check_order(kernel, x, energy)
    state = kernel.init(x, energy)
    step = _step(kernel, energy, compile, n_steps)
    while True:
        state, info = step(state, generator)
        yield state, info


def run(
    kernel: AnyKernel,
    x: Tensor,
    energy: Energy,
    *,
    n_steps: int,
    generator: torch.Generator,
    thin: int = 1,
    burn_in: int = 0,
    compile: bool | str = "auto",
) -> Chains:
    """Return the positions of parallel chains that start at x (chain, *event).

    Parameters
    ----------
    kernel : takes the steps.
    x : starting positions; they are not changed.
    energy : (chain, *event) -> (chain,), log p = -E - log Z.
    n_steps : steps after burn-in; every `thin`-th of them is kept, n_steps // thin in all.
    generator : all randomness; the same generator state gives the same chains.
    burn_in : steps that are taken first and forgotten.
    compile : whether steps are compiled for this machine: True, False, or "auto" for chains that repay the seconds
        that it takes; what cannot be compiled runs as it is, to the same numbers up to rounding.

    Raises
    ------
    InputError
        If a number is out of range, nothing would be kept, or kernel, positions and energy are not in this order.

    Examples
    --------
    >>> from reverie.samplers import ULA
    >>> source = torch.Generator().manual_seed(0)
    >>> chains = run(ULA(0.1), torch.zeros(8, 2), lambda x: x.square().sum(1) / 2, n_steps=50, generator=source)
    >>> chains.x.shape
    torch.Size([50, 8, 2])
    """
    _check_order(kernel, x, energy)
    for name, value in (("n_steps", n_steps), ("thin", thin)):
        check_positive(name, value, integer=True)
    check_positive("burn_in", burn_in, integer=True, allow_zero=True)
    if n_steps < thin:
        raise InputError(f"Expected n_steps >= thin, got {n_steps} and {thin}. Nothing would be kept; take more steps.")
    kept = torch.empty((n_steps // thin, *x.shape), dtype=x.dtype, device=x.device)
    infos: dict[str, list[Tensor]] = {}
    check_compile(compile)
    states = steps(kernel, x, energy, generator=generator, compile=compile, n_steps=burn_in + n_steps)
    kept_states = islice(states, burn_in + thin - 1, burn_in + n_steps, thin)
    for i, (state, info) in enumerate(kept_states):
        kept[i] = state.x
        for field in fields(info):
            infos.setdefault(field.name, []).append(getattr(info, field.name))
    return Chains(kept, {name: torch.stack(values) for name, values in infos.items()}, thin)


def _check_order(kernel: object, x: object, energy: object) -> None:
    """Raise `InputError` unless these are a kernel, positions and an energy."""
    if isinstance(kernel, type) or not callable(getattr(kernel, "step", None)):
        wrong = f"{kernel.__name__}, a class" if isinstance(kernel, type) else type(kernel).__name__
        raise InputError(f"Expected a kernel first, got {wrong}. Write run(ULA(0.1), x, energy, ...).")
    if not isinstance(x, Tensor) or not callable(energy):
        raise InputError(
            "Expected positions (chain, *event) as a tensor after the kernel and then the energy, a function of them, "
            f"got {type(x).__name__} and {type(energy).__name__}. Write run(kernel, x, energy, ...), with "
            "torch.as_tensor(x) for an array."
        )


def _step(
    kernel: Kernel[S, I], energy: Energy, mode: object, n_steps: int
) -> Callable[[S, torch.Generator], tuple[S, I]]:
    """Return (state, generator) -> (state, info): the step of the kernel, compiled where that is asked for."""
    if mode is False or not getattr(kernel, "is_constant", False):
        return lambda state, generator: kernel.step(state, energy, generator)
    states: list[S] = []  # the last one, and the last info: what a graph of tensors does not hold is taken from them
    infos: list[I] = []

    def flat(tensors: dict[str, Tensor], generator: torch.Generator) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        state, info = kernel.step(replace(states[0], **tensors), energy, generator)
        infos[:] = [info]
        return _tensors(state), _tensors(info)

    compiled = Compiled(flat, mode=mode, n_calls=n_steps)

    def step(state: S, generator: torch.Generator) -> tuple[S, I]:
        states[:] = [state]
        moved, info = compiled(_tensors(state), generator)
        counted = {"step": getattr(state, "step") + 1} if hasattr(state, "step") else {}  # noqa: B009 - of some states
        return replace(state, **moved, **counted), replace(infos[0], **info)

    return step


def _tensors(record: "DataclassInstance") -> dict[str, Tensor]:
    """Return the fields of a dataclass that are tensors."""
    named = {field.name: getattr(record, field.name) for field in fields(record)}
    return {name: value for name, value in named.items() if isinstance(value, Tensor)}


@dataclass(frozen=True)
class Cycle:
    """One step is a step of every kernel in turn. Raises `InputError` without a kernel.

    Parameters
    ----------
    kernels : at least one; they share one sort of state, such as `SwendsenWang` and `Checkerboard`.
    """

    kernels: Sequence[AnyKernel]

    def __post_init__(self) -> None:
        check_fields(self)
        if not isinstance(self.kernels, (list, tuple)):
            raise InputError(f"Expected kernels in a list, got {type(self.kernels).__name__}. Give [kernel, kernel].")
        if not self.kernels:
            raise InputError("Expected at least one kernel, got none. Name the kernels to run in turn.")

    def init(self, x: Tensor, energy: Energy) -> ChainState:
        """Return the state of chains at x (chain, *event); every kernel may refuse the energy."""
        return [kernel.init(x, energy) for kernel in self.kernels][0]

    def step(self, state: ChainState, energy: Energy, generator: torch.Generator) -> tuple[ChainState, object]:
        """Return the next state and what the last kernel has to say."""
        info = None
        for kernel in self.kernels:
            state, info = kernel.step(state, energy, generator)
        return state, info
