"""The one loop of all samplers: a kernel takes one step, `steps` repeats it, `run` keeps what it passes.

A kernel is any object with `init` and `step` (`reverie.core.protocols.Kernel`) whose state has the positions
of its chains as `x` (chain, *event). It neither loops nor stores.
"""

from collections.abc import Iterator
from dataclasses import fields
from itertools import islice
from typing import Any

import torch
from torch import Tensor

from reverie.core.checks import check_positive
from reverie.core.errors import InputError
from reverie.core.protocols import Kernel
from reverie.core.types import Energy
from reverie.samplers.chains import Chains

__all__ = ["run", "steps"]


def steps(
    kernel: Kernel[Any, Any], x: Tensor, energy: Energy, *, generator: torch.Generator
) -> Iterator[tuple[Any, Any]]:
    """Yield (state, info) after each step of `kernel` from positions x (chain, *event), without end.

    Stopping is leaving the loop; the last state is where to go on.
    """
    state = kernel.init(x, energy)
    while True:
        state, info = kernel.step(state, energy, generator)
        yield state, info


def run(
    kernel: Kernel[Any, Any],
    x: Tensor,
    energy: Energy,
    *,
    n_steps: int,
    generator: torch.Generator,
    thin: int = 1,
    burn_in: int = 0,
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

    Raises
    ------
    InputError
        If a number is out of range or nothing would be kept.
    """
    for name, value in (("n_steps", n_steps), ("thin", thin)):
        check_positive(name, value, integer=True)
    check_positive("burn_in", burn_in, integer=True, allow_zero=True)
    if n_steps < thin:
        raise InputError(f"Expected n_steps >= thin, got {n_steps} and {thin}. Nothing would be kept; take more steps.")
    kept = torch.empty((n_steps // thin, *x.shape), dtype=x.dtype, device=x.device)
    told: dict[str, list[Tensor]] = {}
    passed = islice(steps(kernel, x, energy, generator=generator), burn_in + thin - 1, burn_in + n_steps, thin)
    for i, (state, info) in enumerate(passed):
        kept[i] = state.x
        for field in fields(info):
            told.setdefault(field.name, []).append(getattr(info, field.name))
    return Chains(kept, {name: torch.stack(values) for name, values in told.items()}, thin)
