"""One training shared by several processes: the same batches in parts, the mean of the gradients.

Every process holds the whole model and the whole order of the batches. Of the batch of a step, process r of R takes
rows r, r + R, r + 2R, ...; its noise comes from a seed made of the run's, the step and r. Each player of the model has
the gradients of its loss averaged over the processes before its optimiser's step (`reverie.training.descent`), so all
hold the same weights: those of one process that is given the whole batch and all the noise, up to rounding. Gradients
are asked for explicitly, penalties on gradients and weights that no loss depends on included, so no wrapper of the
networks has to guess when a backward pass is over.

Batch normalisation takes its means over the whole batch (`reverie.networks.normalisation`). Checks, alarms and ways
back need no talk: they are functions of the weights and of data that all processes have. Losses are averaged once per
window, and the wish to stop is shared then.

Nothing but the step is needed to carry on, so a resumed run goes on bit for bit with as many processes, and up to
rounding with another number, if its batches can be divided among them.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from reverie.compile.step import Compiled
from reverie.core.errors import InputError
from reverie.core.protocols import Runtime
from reverie.core.random import child_seed
from reverie.training.descent import Descent

__all__ = ["Parallel", "check_same_data", "share"]

_WHY_PLAIN = "gradients are averaged between processes"


class Parallel:
    """A `Trainable` that takes its part of each batch.

    Parameters
    ----------
    model : takes the steps and counts them in `step`.
    runtime : the processes.
    seed : root of the noise.
    """

    def __init__(self, model: Any, runtime: Runtime, seed: int) -> None:
        self._model, self._runtime, self._seed = model, runtime, seed

    def train_step(self, batch: Tensor | Mapping[str, Tensor], generator: torch.Generator) -> Mapping[str, Tensor]:
        """Take one step on the own rows of `batch`, which is that of all processes."""
        rank, size = self._runtime.rank, self._runtime.world_size
        rows = {"x": batch} if isinstance(batch, Tensor) else batch
        generator.manual_seed(child_seed(self._seed, "noise", self._model.step, rank))
        return self._model.train_step({key: x[rank::size] for key, x in rows.items()}, generator)

    def state_dict(self) -> dict[str, Any]:
        """Return the state of the model."""
        return self._model.state_dict()

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take up a state of the model."""
        self._model.load_state_dict(state)


def share(
    runtime: Runtime, batch_size: int, descents: Iterable[Descent], compiled: Iterable[Compiled], mark: Sequence[float]
) -> None:
    """Let players average their gradients over the processes; their steps are then not compiled.

    Raises `InputError` if the batch cannot be divided, or the processes were given different data.

    Parameters
    ----------
    runtime : the processes.
    batch_size : rows of a batch of all of them.
    descents, compiled : of the players and of their steps.
    mark : numbers that tell the data from others.
    """
    if batch_size % runtime.world_size:
        raise InputError(
            f"Expected a batch_size that {runtime.world_size} processes can share, got {batch_size}. "
            f"Take {batch_size - batch_size % runtime.world_size or runtime.world_size}."
        )
    check_same_data(runtime, mark)
    for descent in descents:
        descent.reduce = runtime.mean
    for step in compiled:
        step.decline(_WHY_PLAIN)


def check_same_data(runtime: Runtime, mark: Sequence[float]) -> None:
    """Raise `InputError` unless all processes hold the data of this `mark`."""
    own = torch.tensor(list(mark), dtype=torch.float64)
    square = (own - runtime.mean([own])[0]).square()  # pyright: ignore[reportOperatorIssue]
    (spread,) = runtime.mean([square])
    if spread is None or float(spread.max()) > 1e-12 * float(own.square().max().clamp(min=1.0)):
        raise InputError("Expected the same data in all processes, got different ones. Give all the same file.")
