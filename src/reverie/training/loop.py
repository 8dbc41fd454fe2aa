"""The training loop, written once, as a generator of records.

The loop knows a model only as a `Trainable`: something that takes a step on a batch. It never
forces the device to wait: the named scalars of the steps stay where they are until a window of
`record_every` steps is full, and come over together as one `Record` of means. The consumer of the
records draws progress, writes history, saves states and decides when to stop; between two records
the model stands at the boundary of a step, so its state may be saved.
"""

import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from reverie.core.errors import TrainingError
from reverie.core.protocols import Runtime, Trainable
from reverie.training.alarms import Alarm
from reverie.training.threads import Threads

__all__ = ["Record", "train"]


@dataclass(frozen=True)
class Record:
    """What training reports after a window of steps.

    Attributes
    ----------
    step : steps taken since the beginning of the run, earlier sessions included.
    seconds : wall time since this call of `train` began.
    scalars : mean of each named scalar over the window.
    alarms : what looked wrong at the end of the window; the model adds them.
    window : scalars of each of its steps, where training stopped before the window was full; else none.
    """

    step: int
    seconds: float
    scalars: Mapping[str, float]
    alarms: tuple[Alarm, ...] = ()
    window: tuple[Mapping[str, Tensor], ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Return one dictionary, a line of the history; "alarms" only when there are any."""
        line = {"step": self.step, "seconds": round(self.seconds, 3), **self.scalars}
        return line | {"alarms": [alarm.to_json() for alarm in self.alarms]} if self.alarms else line


def train(
    model: Trainable,
    batch_at: Callable[[int], object],
    *,
    generator: torch.Generator,
    start: int = 0,
    max_steps: int,
    record_every: int = 50,
    stop: Callable[[], bool] | None = None,
    runtime: Runtime | None = None,
    window: Sequence[Mapping[str, Tensor]] = (),
    threads: Threads | None = None,
) -> Iterator[Record]:
    """Take steps `start` ... `max_steps` - 1, yielding a record after each window.

    Raises `TrainingError` when a scalar is not finite; names the step and the scalar.

    Parameters
    ----------
    model : takes the steps.
    batch_at : the batch of a step, as the model takes it: (batch, *event), or rows of several tensors.
    generator : source of the model's noise; its state belongs to the model's checkpoint.
    start : number of steps taken before.
    max_steps : number of steps of the whole run.
    record_every : steps in a window.
    stop : asked after every step; true ends training after a last record.
    runtime : the processes that share this training; records are then of all of them, and `stop` is asked at the end
        of a window, for all.
    window : scalars of the last steps before `start` where these left a window open (`Record.window`), so that its
        record is that of a run without a break.
    threads : chooses how many threads take the steps; None leaves that to torch.
    """
    began = time.perf_counter()
    steps = list(window)
    if threads is not None:
        threads.try_out(model, batch_at, generator, range(start, max_steps))
    take = (lambda call: call()) if threads is None else threads.take
    for step in range(start, max_steps):
        steps.append(take(lambda step=step: model.train_step(batch_at(step), generator)))
        done = step + 1
        stopping = runtime is None and stop is not None and stop()
        is_full = done % record_every == 0 or done == max_steps
        if is_full or stopping:
            means = _means(steps, done - len(steps) + 1, runtime)
            if runtime is not None:  # any process may want to stop
                (share,) = runtime.mean([torch.tensor([float(stop is not None and stop())])])
                stopping = share is not None and float(share) > 0
            yield Record(done, time.perf_counter() - began, means, window=() if is_full else tuple(steps))
            steps = []
        if stopping:
            return


def _means(window: list[Mapping[str, Tensor]], first_step: int, runtime: Runtime | None) -> dict[str, float]:
    names = list(window[0])
    table: Tensor | None = torch.stack([torch.stack([scalars[name].detach() for name in names]) for scalars in window])
    table = table if runtime is None else runtime.mean([table])[0]
    assert table is not None
    means = table.mean(dim=0).tolist()  # the one wait for the device per window
    bad = [] if all(map(math.isfinite, means)) else torch.nonzero(~torch.isfinite(table)).tolist()
    if bad:
        row, column = bad[0]
        raise TrainingError(
            f"Training stopped: {names[column]} became {table[row, column].item()} at step {first_step + row}. "
            "Lower the learning rate, raise the penalty weight, or look for extreme values in the data.",
            step=first_step + row,
        )
    return dict(zip(names, means, strict=True))
