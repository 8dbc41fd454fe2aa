"""One training of a model without an opponent: its batches and noise, the watch over it, and the way back.

What is trained is a `Learner`: it takes steps, and at a check says how it does on rows that it never sees. A part
of the events is held out for that. At each of some dozens of checks (`reverie.training.monitor`)

    best state     the weights at the check with the least held-out loss, or else the least score of the samples
    on_alarm       "rollback" (the default of these models) returns to the last healthy state and halves the
                   learning rate when a value stops being finite or the learner says that it diverges, five times at
                   most; "warn" notes alarms and lets divergence end training; "stop" ends it at any alarm

Checks draw from a generator of their own, the same at each, so training takes the same steps with and without them,
unless they interfere.
"""

import copy
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from reverie.compile.step import Compiled, declined, take_up
from reverie.core.errors import CheckpointError, TrainingError
from reverie.core.protocols import Runtime, Trainable
from reverie.core.random import child_generator
from reverie.data.batches import Batches
from reverie.data.lazy import divided, some_rows
from reverie.models.gan.monitor import held_out_numbers
from reverie.models.preprocessing import data_mark
from reverie.networks.normalisation import share_batch_norm
from reverie.training.health import Alarm, HealthReference
from reverie.training.loop import Record, train
from reverie.training.monitor import Monitor, Observation
from reverie.training.parallel import Parallel, share
from reverie.training.threads import chosen_threads

__all__ = ["Course", "Learner", "Plan"]

Rows = Mapping[str, Tensor]
_MOST_ROLLBACKS = 5
_MOST_REFERENCE_ROWS = 10_000
_WENT_BACK = "Training went back to the last healthy state and goes on at half the learning rate."


class Learner(Trainable, Protocol):
    """What a course trains: it owns its networks and optimiser.

    `step` counts the steps taken; `rate_factor` multiplies its learning rate; both are part of its state. `compiled`
    takes them.
    A `TrainingError` raised by `train_step` or `observe` says that it diverges.
    """

    step: int
    rate_factor: float
    compiled: Compiled

    def networks(self) -> Mapping[str, nn.Module]:
        """Return the networks that samples are drawn from, averaged where the learner averages."""
        ...

    def observe(self, held_out: Rows, train: Rows, generator: torch.Generator) -> Observation:
        """Return losses on held-out rows, samples, and what looks wrong; leaves the training state alone."""
        ...


@dataclass(frozen=True)
class Plan:
    """How long a course is and how it is watched; the options of the models by the same names.

    Parameters
    ----------
    batch_size : rows of a step.
    max_steps, record_every, n_checks : steps of the run and of a window; looks at its health.
    validation_fraction : part of the events held out of training.
    keep_best : whether the best state is kept, rather than the last.
    on_alarm : "warn", "stop" or "rollback".
    n_threads : processor threads, or "auto".
    """

    batch_size: int
    max_steps: int
    record_every: int = 50
    n_checks: int = 40
    validation_fraction: float = 0.1
    keep_best: bool = True
    on_alarm: str = "rollback"
    n_threads: int | str = "auto"

    @property
    def steps_between_checks(self) -> int:
        """Whole windows between two checks, in steps; 0 for none."""
        if self.n_checks < 1:
            return 0
        return max(1, round(self.max_steps / self.n_checks / self.record_every)) * self.record_every


class Course:
    """A training.

    Parameters
    ----------
    make_learner : training rows -> the learner, before its first step.
    rows : features of the events (n, *event) as "x", with "condition" and "weight" if there are any, on the CPU;
        `make_learner` sees a sample of those of a large table.
    plan : length and watch.
    seed, device : of the training.
    runtime : the processes that share it; None for one.
    """

    def __init__(
        self,
        make_learner: Callable[[Rows], Learner],
        rows: Rows,
        plan: Plan,
        *,
        seed: int,
        device: torch.device,
        runtime: Runtime | None = None,
    ) -> None:
        self._runtime = runtime
        self.plan, self._seed, self._device = plan, seed, device
        out = held_out_numbers(rows, fraction=plan.validation_fraction, seed=seed)
        self._data_mark = data_mark(rows["x"])
        self._train, held_out = divided(rows, out)
        self._held_out = {key: x.to(device) for key, x in held_out.items()}
        self.learner = make_learner(some_rows(self._train, seed=seed))
        size = min(plan.batch_size, len(self._train["x"]))
        self._batches = Batches(dict(self._train), batch_size=size, seed=seed, device=device)
        self._noise = child_generator(seed, "noise", device=device)
        self._watched = _some(self._train, len(out), seed, device)
        self._monitor = Monitor(self._reference(), self._held_out.get("weight")) if len(out) and plan.n_checks else None
        self._best: dict[str, dict[str, Tensor]] | None = None
        self._good = copy.deepcopy(self.learner.state_dict()) if plan.on_alarm == "rollback" else None
        self._rollbacks, self.is_over = 0, False
        self._window: Sequence[Mapping[str, Tensor]] = ()  # scalars of a window that a stop left open
        networks = list(self.learner.networks().values())
        self.n_threads, self._threads = chosen_threads(plan.n_threads, networks, size, device, runtime)
        if runtime is not None:
            self._share(runtime, size)

    def records(self, stop: Callable[[], bool] | None) -> Iterator[Record]:
        """Yield the records of the training from its present step to its last.

        Raises
        ------
        TrainingError
            When it diverges and knows no way back.
        """
        spent = 0.0
        recovered: tuple[Alarm, ...] = ()  # since the last record
        while self.learner.step < self.plan.max_steps and not self.is_over:
            seconds = 0.0
            try:
                for record in self._taken(stop):
                    seconds, self._window = record.seconds, record.window
                    yield replace(record, seconds=spent + seconds, alarms=(*recovered, *record.alarms))
                    recovered = ()
                    if self.is_over:
                        break
                else:
                    return
            except TrainingError as error:
                recovered = (*recovered, self._recover(error))
            spent += seconds

    def kept_networks(self) -> dict[str, nn.Module]:
        """Return copies of the networks, with the best weights if they are kept."""
        networks = {name: copy.deepcopy(network) for name, network in self.learner.networks().items()}
        for name, network in networks.items():
            if self.plan.keep_best and self._best is not None:
                network.load_state_dict(self._best[name])
            network.eval().requires_grad_(requires_grad=False)
        return networks

    def state_dict(self) -> dict[str, Any]:
        """Return what an exact resume needs, and a mark of the data."""
        return {
            "data": self._data_mark,
            "noise": self._noise.get_state(),
            "learner": self.learner.state_dict(),
            "monitor": None if self._monitor is None else self._monitor.state_dict(),
            "best": self._best,
            "good": self._good,
            "rollbacks": self._rollbacks,
            "is_over": self.is_over,
            "declined": declined([self.learner.compiled]),
            "window": [dict(scalars) for scalars in self._window],
            "threads": 0 if self._threads is None else self._threads.kept,
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take up a state of a training of the same data and configuration; `CheckpointError` for any other."""
        if state["data"] != self._data_mark:
            raise CheckpointError(
                "Expected the data that the saved run was trained on, got other values, labels or another order. "
                "Resume with the same file and columns."
            )
        try:
            self.learner.load_state_dict(state["learner"])
        except (RuntimeError, KeyError, ValueError) as error:
            raise CheckpointError(
                f"Expected a state of networks of this configuration, got another ({error}). "
                "Resume with the configuration of the saved run."
            ) from None
        self._noise.set_state(state["noise"])
        if self._monitor is not None:
            self._monitor.load_state_dict(state["monitor"])
        self._best, self._good = state["best"], state["good"]
        self._rollbacks, self.is_over = state["rollbacks"], state["is_over"]
        take_up([self.learner.compiled], state.get("declined", ()))
        self._window = [{k: x.to(self._device) for k, x in scalars.items()} for scalars in state.get("window", ())]
        if self._threads is not None:
            self._threads.kept = state.get("threads", 0)

    def _share(self, runtime: Runtime, batch_size: int) -> None:
        """Divide batches among processes, and average gradients and batch statistics over them."""
        learner: Any = self.learner
        for network in learner.trained():
            share_batch_norm(network, runtime.differentiable_mean, runtime.world_size)
        share(runtime, batch_size, [learner.descent], [learner.compiled], self._data_mark)

    def _taken(self, stop: Callable[[], bool] | None) -> Iterator[Record]:
        """Yield the records of the steps from the present one on."""
        every = self.plan.steps_between_checks
        window, self._window = self._window, ()
        records = train(
            self.learner if self._runtime is None else Parallel(self.learner, self._runtime, self._seed),
            self._batches.at,
            generator=self._noise,
            start=self.learner.step,
            max_steps=self.plan.max_steps,
            record_every=self.plan.record_every,
            stop=stop,
            runtime=self._runtime,
            window=window,
            threads=self._threads,
        )
        for record in records:
            if self._monitor is None or (record.step % every and record.step < self.plan.max_steps):
                yield record
                continue
            scalars, alarms = self._look(self._monitor)
            yield replace(record, scalars={**record.scalars, **scalars}, alarms=alarms)

    def _look(self, monitor: Monitor) -> tuple[dict[str, float], tuple[Alarm, ...]]:
        """Check the learner, keep what is best and what is healthy, and act on alarms."""
        generator = child_generator(self._seed, "check", device=self._device)
        check = monitor.check(self.learner.observe(self._held_out, self._watched, generator))
        if any(alarm.kind == "non-finite values" for alarm in check.alarms):
            alarm = check.alarms[0]
            raise TrainingError(f"Training stopped: {alarm.evidence} {alarm.remedy}", step=alarm.step)
        if check.improved:
            self._best = {name: _copied(network) for name, network in self.learner.networks().items()}
        if check.alarms and self.plan.on_alarm == "stop":
            self.is_over = True
        elif check.healthy and self._good is not None:
            self._good = copy.deepcopy(self.learner.state_dict())
        return check.scalars, check.alarms

    def _recover(self, error: TrainingError) -> Alarm:
        """Go back to the last healthy state; raise `error` when that is not asked for or has not helped."""
        if self._good is None:
            raise error
        if self._rollbacks >= _MOST_ROLLBACKS:
            raise TrainingError(f"{error} Training went back {_MOST_ROLLBACKS} times, in vain.", step=error.step)
        self._rollbacks += 1
        step = self.learner.step
        self.learner.load_state_dict(copy.deepcopy(self._good))
        self.learner.rate_factor = 0.5**self._rollbacks
        if self._monitor is not None:
            self._monitor.restart()
        return Alarm("divergence", step, str(error), _WENT_BACK)

    def _reference(self) -> HealthReference:
        some = _some(self._train, _MOST_REFERENCE_ROWS, self._seed, torch.device("cpu"))
        return HealthReference(
            some["x"],
            self._held_out["x"].cpu(),
            seed=self._seed,
            weight=_on_cpu(self._held_out.get("weight")),
            train_weight=some.get("weight"),
        )


def _some(rows: Rows, n: int, seed: int, device: torch.device) -> dict[str, Tensor]:
    """Return at most `n` of the rows, chosen by `seed`."""
    return {key: x.to(device) for key, x in some_rows(rows, n, seed=seed, name="watched rows").items()}


def _copied(network: nn.Module) -> dict[str, Tensor]:
    return {key: value.detach().clone() for key, value in network.state_dict().items()}


def _on_cpu(x: Tensor | None) -> Tensor | None:
    return None if x is None else x.cpu()
