"""One training shared by several processes: the same batches in parts, the mean of the gradients.

Every process holds the whole model and the whole order of the batches. Of the batch of a step, process r of R takes
rows r, r + R, r + 2R, ...; its noise comes from a seed made of the run's, the step and r. Each player of the model has
the gradients of its loss averaged over the processes before its optimiser's step (`reverie.training.descent`), so all
hold the same weights: those of one process that is given the whole batch and all the noise, up to rounding. Gradients
are asked for explicitly, so no wrapper of the networks has to guess when a backward pass is over.

Batch normalisation takes its means over the whole batch (`reverie.networks.normalisation`). Checks, alarms and
rollbacks need no communication: they are functions of the weights and of data that all processes have. Losses are
averaged once per window, and the wish to stop is shared then. Nothing but the step is needed to carry on, so a resumed
run goes on bit for bit with as many processes, and up to rounding with another number that divides its batches.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence

import torch
from torch import Tensor

from reverie.compile.step import Compiled
from reverie.core.errors import InputError
from reverie.core.protocols import Runtime
from reverie.core.random import child_seed
from reverie.training.descent import Descent

__all__ = ["own_rows", "share"]

Rows = Mapping[str, Tensor]


def own_rows(
    batch_at: Callable[[int], Tensor | Rows], runtime: Runtime, seed: int, generator: torch.Generator
) -> Callable[[int], Rows]:
    """Return the function from a step to the rows of its batch that this process takes.

    It also seeds `generator`, the source of the noise of the step, for this step and process.
    """

    def at(step: int) -> Rows:
        generator.manual_seed(child_seed(seed, "noise", step, runtime.rank))
        batch = batch_at(step)
        rows = {"x": batch} if isinstance(batch, Tensor) else batch
        return {key: x[runtime.rank :: runtime.world_size] for key, x in rows.items()}

    return at


def share(
    runtime: Runtime, batch_size: int, descents: Iterable[Descent], compiled: Iterable[Compiled], mark: Sequence[float]
) -> None:
    """Let players average their gradients over the processes; their steps are then not compiled.

    Raises `InputError` if the batch of all processes cannot be divided, or they were given different data, as the
    numbers of `mark` tell.
    """
    if batch_size % runtime.world_size:
        raise InputError(
            f"Expected a batch_size that {runtime.world_size} processes can share, got {batch_size}. "
            f"Take {batch_size - batch_size % runtime.world_size or runtime.world_size}."
        )
    own = torch.tensor(list(mark), dtype=torch.float64)
    # pyrefly: ignore[unsupported-operation] - the mean of a tensor is one
    square = (own - runtime.mean([own])[0]).square()
    (spread,) = runtime.mean([square])
    if spread is None or float(spread.max()) > 1e-12 * float(own.square().max().clamp(min=1.0)):
        raise InputError("Expected the same data in all processes, got different ones. Give all the same file.")
    for descent in descents:
        descent.reduce = runtime.mean
    for step in compiled:
        step.decline("gradients are averaged between processes")
