"""One training run, for every model: batches and noise, checks of its health, rollbacks, the best state, exact resume.

What is trained is a `TrainStep`: it owns networks and optimisers, takes steps, and at a check says how it does on rows
that it never sees. A part of the events is held out for that. At each of some dozens of checks
(`reverie.training.monitor`)

    best state     the networks at the check that the monitor calls the best: of the least held-out loss, or by the
                   score of the samples; of several replicas, the best of each
    on_alarm       "rollback" returns to the last healthy state and halves the learning rate when a value stops being
                   finite or the step says that it diverges; the step of a GAN asks for it at any alarm. "warn" notes
                   alarms and lets divergence end training; "stop" ends it at any alarm

Checks draw from generators of their own, so training takes the same steps with and without them, unless they interfere.
"""

import copy
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from reverie.compile.step import Compiled, declined, take_up
from reverie.core.errors import CheckpointError, InputError, TrainingError
from reverie.core.lazy import sample_rows
from reverie.core.protocols import Runtime
from reverie.core.random import child_generator, child_seed
from reverie.core.types import State
from reverie.data.batches import Batches, ReplicaBatches
from reverie.data.lazy import divided, is_lazy, some_rows, whole_rows
from reverie.data.orbits import OrbitRows
from reverie.models.preprocessing import data_mark
from reverie.models.replicas import over_replicas
from reverie.networks.noise import set_noise_generator
from reverie.networks.normalisation import share_batch_norm
from reverie.networks.replicas import replica_views
from reverie.training.alarms import Alarm
from reverie.training.callbacks import Callback
from reverie.training.descent import Descent
from reverie.training.loop import Record, train
from reverie.training.monitor import Check, Monitor, Observation
from reverie.training.parallel import own_rows, share
from reverie.training.reference import HealthReference
from reverie.training.threads import chosen_threads

__all__ = [
    "FEW_EVENTS",
    "TrainStep",
    "TrainingOptions",
    "TrainingRun",
    "held_out_numbers",
    "held_out_size",
    "take_weights",
]

Rows = Mapping[str, Tensor]
FEW_EVENTS = 2000  # training events below which defaults are those of few: see docs/how-to/little_data.md
_LEAST_HELD_OUT, _MOST_HELD_OUT, _FEWEST_EVENTS = 20, 2000, 64
_MOST_REFERENCE_ROWS = 10_000
_MOST_DRAWS, _MOST_NUMBERS = 8, 4_000_000  # of orbits that are learned from at once
_ROLLED_BACK = "Training went back to the last healthy state and goes on at half the learning rate."
_OLDER_STATE = (
    "Expected a training state of this version of reverie, got one of an older version, which cannot be carried on. "
    "Start the run again with --overwrite; models that were saved at its end still load."
)


@dataclass(frozen=True)
class TrainingOptions:
    """How long a training is and how it is checked: options of `reverie.models.options.SharedOptions`, resolved.

    Parameters
    ----------
    batch_size : rows of a step, of each replica.
    n_replicas : independent trainings in one, whose rows are interleaved.
    bootstrap : whether batches are those of a bootstrap sample of the events, another for each replica.
    """

    batch_size: int
    max_steps: int
    record_every: int = 50
    n_checks: int = 40
    validation_fraction: float = 0.1
    keep_best: bool = True
    on_alarm: str = "rollback"
    n_threads: int | str = "auto"
    n_replicas: int = 1
    bootstrap: bool = False

    @property
    def steps_between_checks(self) -> int:
        """Whole windows between two checks, in steps; 0 for none."""
        if self.n_checks < 1:
            return 0
        return max(1, round(self.max_steps / self.n_checks / self.record_every)) * self.record_every


def take_weights(network: nn.Module, of: nn.Module) -> None:
    """Give `network` the weights of a fitted one; what it knows of the shares of its own events stays, "log_shares"."""
    own = {name: x for name, x in network.state_dict().items() if name.endswith("log_shares")}
    network.load_state_dict(of.state_dict() | own)


class TrainStep(ABC):
    """What a `TrainingRun` trains: it owns networks and optimisers, and knows nothing of data files, checks or time.

    A child writes `train_step`, `observe`, `networks` and `parts`, and stores `compiled`, the `Compiled` function
    through which its steps go; where its training can be shared by several processes, also `descent`, its one
    optimiser. The other methods are for steps that are not like that.

    A `TrainingError` raised by `train_step` or `observe` says that it diverges.

    Attributes
    ----------
    step : steps taken; part of its state.
    rate_factor : multiplies its learning rate, 1 at first and less after a rollback; part of its state.
    max_rollbacks : how many times it may be rolled back. Five halvings take a learning rate that was a factor of 30 too
        large to where it is not.
    rolls_back_on_alarms : whether any alarm is a reason to roll back, and not divergence alone.
    """

    step: int = 0
    rate_factor: float = 1.0
    max_rollbacks: ClassVar[int] = 5
    rolls_back_on_alarms: ClassVar[bool] = False
    compiled: Compiled
    descent: Descent

    @abstractmethod
    def train_step(self, batch: Any, generator: torch.Generator) -> Mapping[str, Tensor]:
        """Take one step on a batch, drawing from `generator` alone; return named scalars, still on the device."""

    @abstractmethod
    def observe(self, held_out: Rows, train: Rows, generator: torch.Generator) -> Observation:
        """Return losses on held-out rows, samples, and what looks wrong; leaves the training state alone."""

    @abstractmethod
    def networks(self) -> Mapping[str, nn.Module]:
        """Return the networks that samples are drawn from, averaged where the step averages."""

    def parts(self) -> Mapping[str, nn.Module | Descent]:
        """Return by name what an exact resume needs: networks, their averages and optimisers."""
        return {}

    def state_dict(self) -> State:
        """Return all that an exact resume needs: the step, and the states of the parts."""
        states = {name: part.state_dict() for name, part in self.parts().items()}
        return {"step": self.step, "rate_factor": self.rate_factor} | states

    def load_state_dict(self, state: State) -> None:
        """Take up what `state_dict` returned, of a step of the same networks and optimisers."""
        self.step, self.rate_factor = state["step"], state["rate_factor"]
        for name, part in self.parts().items():
            part.load_state_dict(state[name])

    def trained(self) -> Sequence[nn.Module]:
        """Return the networks whose weights are trained."""
        return list(self.networks().values())

    def compiled_steps(self) -> Sequence[Compiled]:
        """Return the functions that may be compiled."""
        return (self.compiled,)

    def descents(self) -> Sequence[Descent]:
        """Return the optimisers, whose gradients processes average."""
        return (self.descent,)

    def prepared(self, rows: dict[str, Any]) -> dict[str, Any]:
        """Return the rows of all events as the step takes them."""
        return rows

    def batches(
        self, rows: dict[str, Any], options: TrainingOptions, seed: int, device: torch.device | str
    ) -> Callable[[int], Any]:
        """Return the function from a step to its batch of these rows."""
        size = {"batch_size": options.batch_size, "device": device, "resample": options.bootstrap}
        if options.n_replicas == 1:
            return Batches(rows, seed=seed, **size).at
        seeds = [child_seed(seed, "replica", r) for r in range(options.n_replicas)]
        return ReplicaBatches(rows, seeds=seeds, **size).at

    def noise_generator(self, seed: int, device: torch.device) -> torch.Generator:
        """Return the generator that the steps draw from."""
        return child_generator(seed, "noise", device=device)

    def rows_at_once(self, size: int) -> int:
        """Return how many rows go through the networks in a step on a batch of this size; it decides on threads."""
        return size

    def compared(self, rows: Rows) -> Tensor:
        """Return what of these rows samples are compared with, (n, d)."""
        return rows["x"]

    def observations(self, held_out: Rows, train: Rows, generator: torch.Generator) -> list[Observation]:
        """Return what is observed of each replica."""
        return [self.observe(held_out, train, generator)]

    def is_done(self) -> bool:
        """Tell whether training has come to its end before its last step."""
        return False

    def adapt(self, observations: Sequence[Observation], checks: Sequence[Check]) -> None:  # noqa: B027 - as the next
        """Act on what a check saw of each replica, and on what was found, after its consequences."""

    def start_at(self, networks: Mapping[str, nn.Module]) -> None:
        """Take the weights of fitted networks, as `networks` of another step returned them, before the first step."""
        raise InputError(
            f"Expected a model that descends a loss of its own to start at a fitted one, got {type(self).__name__}. "
            "Train it on all events together, without start."
        )

    def reschedule(self) -> None:  # noqa: B027 - most have no schedule but that of their options
        """Forget a schedule of the learning rate that a loaded state brought: the run has got another length."""

    def settle(self) -> None:  # noqa: B027 - most steps have nothing to do here
        """Act on a check that finds all replicas at equilibrium."""


class TrainingRun:
    """A training of one model on one set of events.

    Parameters
    ----------
    make_train_step : training rows -> the step, before it is taken first.
    rows : features of the events (n, *event) as "x", with "condition" and "weight" if there are any, on the CPU;
        `make_train_step` sees a sample of those of a large table.
    options : length and checks.
    seed : root of the noise, the order of the rows and the checks.
    device : where the networks are.
    runtime : the processes that share the training; None for one.
    callbacks : what is called at records and checks.
    orbits : features of all events under random elements of a symmetry group, by name; batches hold these in the
        place of `rows`.

    Attributes
    ----------
    train_step : what is trained; its `step` is that of the run.
    train_rows, held_out : rows that are trained on, and rows that are not, as the step takes them.
    is_over : whether training was ended by an alarm or a callback.
    n_threads : processor threads to train on.
    best_replica : number of the replica of the best score.
    """

    def __init__(
        self,
        make_train_step: Callable[[Rows], TrainStep],
        rows: Rows,
        options: TrainingOptions,
        *,
        seed: int,
        device: torch.device,
        runtime: Runtime | None = None,
        callbacks: Sequence[Callback] = (),
        orbits: Mapping[str, OrbitRows] = MappingProxyType({}),
    ) -> None:
        self.options, self._seed, self._device = options, seed, device
        self._runtime, self._callbacks = runtime, callbacks
        out = held_out_numbers(rows, fraction=options.validation_fraction, seed=seed)
        moving = {key: x.without(out.numpy()) for key, x in orbits.items()}
        self.train_step = step = make_train_step(_moved(some_rows(divided(rows, out)[0], seed=seed), moving, 1))
        rows = step.prepared(dict(rows))
        self._data_mark = [*data_mark(rows["x"]), *(data_mark(rows["label"][:, None]) if "label" in rows else ())]
        self.train_rows, held_out = divided(rows, out)
        self.held_out = {key: x.to(device) for key, x in held_out.items()}
        size = min(options.batch_size, len(self.train_rows["x"]))
        self._orbits = step.prepared(moving) if moving else {}
        self._batch_at = step.batches(
            {**self.train_rows, **self._orbits}, replace(options, batch_size=size), seed, device
        )
        self._noise = step.noise_generator(seed, device)
        for network in step.trained():
            set_noise_generator(network, self._noise)
        self._monitors: list[Monitor] = []
        self._watched: dict[str, Tensor] = {}  # training rows that are checked beside the held-out ones
        if len(out) and options.n_checks:
            some = some_rows(whole_rows(self.train_rows), _MOST_REFERENCE_ROWS, seed=seed, name="watched rows")
            self._watched = {key: x[: len(out)].to(device) for key, x in some.items()}
            weight = held_out.get("weight")
            reference = HealthReference(
                step.compared(some), step.compared(held_out), seed=seed, weight=weight, train_weight=some.get("weight")
            )
            self._monitors = [Monitor(reference, weight) for _ in range(options.n_replicas)]
        self._best: list[dict[str, dict[str, Tensor]]] = [{} for _ in range(options.n_replicas)]
        self._best_scores = [float("inf")] * options.n_replicas
        self._good = _copied(step.state_dict()) if options.on_alarm == "rollback" else None
        self._rollbacks, self.is_over = 0, False
        self._window: Sequence[Mapping[str, Tensor]] = ()  # scalars of a window that a stop left open
        n_rows = step.rows_at_once(size) * options.n_replicas
        self.n_threads, self._threads = chosen_threads(options.n_threads, step.trained(), n_rows, device, runtime)
        if runtime is not None:
            for network in step.trained():
                share_batch_norm(network, runtime.differentiable_mean, runtime.world_size)
            share(runtime, size, step.descents(), step.compiled_steps(), self._data_mark)

    @property
    def is_finished(self) -> bool:
        """Whether no step is left to take."""
        return self.is_over or self.train_step.step >= self.options.max_steps or self.train_step.is_done()

    @property
    def keeps_model(self) -> bool:
        """Whether this process keeps the model: of several, the first."""
        return self._runtime is None or self._runtime.rank == 0

    @property
    def best_replica(self) -> int:
        """Number of the replica that scored best."""
        return min(range(len(self._best_scores)), key=self._best_scores.__getitem__)

    def known_rows(self) -> dict[str, Tensor]:
        """Return what may be learned from all at once: the training rows, of a large table or orbits a sample."""
        return _moved(some_rows(self.train_rows, seed=self._seed), self._orbits, _MOST_DRAWS)

    def records(self, stop: Callable[[], bool] | None) -> Iterator[Record]:
        """Yield the records of the training from its present step to its last.

        Raises
        ------
        TrainingError
            When it diverges and cannot be rolled back.
        """
        spent = 0.0
        recovered: tuple[Alarm, ...] = ()  # since the last record
        while not self.is_finished:
            seconds = 0.0
            try:
                for record in self._steps(stop):
                    seconds, self._window = record.seconds, record.window
                    yield replace(record, seconds=spent + seconds, alarms=(*recovered, *record.alarms))
                    recovered = ()
                    if self.is_over or self.train_step.step != record.step:  # ended, or rolled back
                        break
                else:
                    return
            except TrainingError as error:  # go back to the last healthy state, if that is asked for and has helped
                step, most = self.train_step.step, self.train_step.max_rollbacks
                if self._good is None:
                    raise
                if self._rollbacks >= most:
                    raise TrainingError(
                        f"{error} Training went back {most} times, in vain.", step=error.step
                    ) from error
                self._roll_back(self._good)
                recovered = (*recovered, Alarm("divergence", step, str(error), _ROLLED_BACK))
            spent += seconds

    def kept_networks(self) -> dict[str, nn.Module]:
        """Return copies of the networks, with the best weights if they are kept, of each replica its own."""
        networks = {name: copy.deepcopy(network) for name, network in self.train_step.networks().items()}
        for name, network in networks.items():
            for r, best in enumerate(self._best if self.options.keep_best else ()):
                views = replica_views(network, r)
                for key, kept in best.get(name, {}).items():
                    views[key].copy_(kept)
            network.eval().requires_grad_(requires_grad=False)
        return networks

    def state_dict(self) -> State:
        """Return what an exact resume needs, and a mark of the data."""
        return {
            "data": self._data_mark,
            "max_steps": self.options.max_steps,
            "noise": self._noise.get_state(),
            "train_step": self.train_step.state_dict(),
            "monitors": [monitor.state_dict() for monitor in self._monitors],
            "best": self._best,
            "best_scores": self._best_scores,
            "good": self._good,
            "rollbacks": self._rollbacks,
            "is_over": self.is_over,
            "declined": declined(self.train_step.compiled_steps()),
            "window": [dict(scalars) for scalars in self._window],
            "threads": 0 if self._threads is None else self._threads.kept,
        }

    def load_state_dict(self, state: State) -> None:
        """Take up a state of a training of the same data and configuration; `max_steps` may be another.

        A run of another length goes on with the learning rate and the checks of that length.

        Raises
        ------
        CheckpointError
            For other data or other networks than those of the saved training, or a state of an older version.
        """
        if "train_step" not in state:
            raise CheckpointError(_OLDER_STATE)
        if state["data"] != self._data_mark:
            raise CheckpointError(
                "Expected the data that the saved run was trained on, got other values, labels or another order. "
                "Resume with the same file and columns, and the version of reverie that began it."
            )
        try:
            self.train_step.load_state_dict(state["train_step"])
        except (RuntimeError, KeyError, ValueError) as error:
            raise CheckpointError(
                f"Expected a state of networks of this configuration, got another ({error}). "
                "Resume with the configuration of the saved run, and the version of reverie that began it."
            ) from None
        self._noise.set_state(state["noise"].cpu())
        for monitor, kept in zip(self._monitors, state["monitors"], strict=True):
            monitor.load_state_dict(kept)
        self._best, self._best_scores, self._good = state["best"], state["best_scores"], state["good"]
        self._rollbacks, self.is_over = state["rollbacks"], state["is_over"]
        if state.get("max_steps", self.options.max_steps) != self.options.max_steps:
            self.is_over, step = False, self.train_step
            if self._good is not None:
                step.load_state_dict(self._good)
                step.reschedule()
                self._good = _copied(step.state_dict())
                step.load_state_dict(state["train_step"])
            step.reschedule()
        take_up(self.train_step.compiled_steps(), state["declined"])
        self._window = [{k: x.to(self._device) for k, x in scalars.items()} for scalars in state["window"]]
        if self._threads is not None:
            self._threads.kept = state["threads"]

    def _steps(self, stop: Callable[[], bool] | None) -> Iterator[Record]:
        """Yield the records of the steps from the present one on, with what a check adds to them."""
        step, every = self.train_step, self.options.steps_between_checks
        window, self._window = self._window, ()
        runtime, noise = self._runtime, self._noise
        records = train(
            step,
            self._batch_at if runtime is None else own_rows(self._batch_at, runtime, self._seed, noise),
            generator=noise,
            start=step.step,
            max_steps=self.options.max_steps,
            record_every=self.options.record_every,
            stop=lambda: (stop is not None and stop()) or step.is_done(),
            runtime=runtime,
            window=window,
            threads=self._threads,
        )
        for record in records:
            if self._monitors and (record.step % every == 0 or self.is_finished):
                scalars, alarms = self._check()
                record = replace(record, scalars={**record.scalars, **scalars}, alarms=alarms)  # noqa: PLW2901
            for callback in self._callbacks:
                self.is_over = bool(callback.on_record(record)) or self.is_over
            yield record

    def _check(self) -> tuple[dict[str, float], tuple[Alarm, ...]]:
        """Check every replica, keep what is best and what is healthy, and act on alarms."""
        step, generator = self.train_step, child_generator(self._seed, "check", device=self._device)
        observations = step.observations(self.held_out, self._watched, generator)
        checks = [monitor.check(seen) for monitor, seen in zip(self._monitors, observations, strict=True)]
        alarms = tuple(alarm for check in checks for alarm in check.alarms)
        diverged = [alarm for alarm in alarms if alarm.kind == "non-finite values"]
        if diverged and not step.rolls_back_on_alarms:
            alarm = diverged[0]
            raise TrainingError(f"Training stopped: {alarm.evidence} {alarm.remedy}", step=alarm.step)
        for r, check in enumerate(checks):
            if check.improved:
                self._best[r] = {
                    name: {key: x.clone() for key, x in replica_views(network, r).items()}
                    for name, network in step.networks().items()
                }
                self._best_scores[r] = check.scalars.get("score", 0.0)
            for callback in self._callbacks:
                self.is_over = bool(callback.on_check(check)) or self.is_over
        if alarms and self.options.on_alarm == "stop":
            self.is_over = True
        elif alarms and step.rolls_back_on_alarms and self._good is not None:
            if self._rollbacks < step.max_rollbacks:
                self._roll_back(self._good)
        elif self._good is not None and all(check.healthy for check in checks):
            self._good = _copied(step.state_dict())
        if all(check.at_equilibrium for check in checks):
            step.settle()
        step.adapt(observations, checks)
        return over_replicas([check.scalars for check in checks]), alarms

    def _roll_back(self, good: State) -> None:
        self._rollbacks += 1
        self.train_step.load_state_dict(_copied(good))
        self.train_step.rate_factor = 0.5**self._rollbacks
        for monitor in self._monitors:
            monitor.restart()


def _copied(state: Any) -> Any:
    """Return a copy of a state; `copy.deepcopy` takes seven times as long for the tensors of a small network."""
    if isinstance(state, Tensor):
        return state.detach().clone()
    if isinstance(state, dict):  # shallow first: that of a network carries versions of its layers as an attribute
        copied = copy.copy(state)
        copied.update({key: _copied(value) for key, value in state.items()})
        return copied
    if type(state) in (list, tuple):
        return type(state)(map(_copied, state))
    return copy.deepcopy(state)


def held_out_size(n: int, fraction: float) -> int:
    """Return how many of `n` events are held out of training: of fewer than 200 up to 20, of fewer than 64 none."""
    least = min(_LEAST_HELD_OUT, n // 4) if n < _LEAST_HELD_OUT / 0.1 and fraction > 0 else 0
    return min(max(round(fraction * n), least), _MOST_HELD_OUT) if n >= _FEWEST_EVENTS else 0


def held_out_numbers(rows: Mapping[str, Any], *, fraction: float, seed: int) -> Tensor:
    """Return the numbers of the rows to hold out of training, increasing; nothing is missing from them."""
    n = len(rows["x"])
    if is_lazy(rows):
        return torch.from_numpy(sample_rows(n, held_out_size(n, fraction), child_seed(seed, "held out")))
    whole = (~rows["x"].flatten(1).isnan().any(dim=1)).nonzero()[:, 0]
    order = torch.randperm(len(whole), generator=child_generator(seed, "held out"))
    return whole[order[: held_out_size(len(whole), fraction)]].sort().values


def _moved(rows: dict[str, Tensor], orbits: Mapping[str, OrbitRows], n_draws: int) -> dict[str, Tensor]:
    """Return rows with so many random points of the orbit of each event in its place, or fewer of many events.

    The events of a large table stay as they are: `rows` are then a sample of them.
    """
    if not orbits or any(x.is_lazy for x in orbits.values()):
        return rows
    n_draws = max(1, min(n_draws, _MOST_NUMBERS // max(1, rows["x"].numel())))
    repeated = {key: torch.cat([x] * n_draws) for key, x in rows.items()}
    return repeated | {key: torch.cat([x.drawn("known", k) for k in range(n_draws)]) for key, x in orbits.items()}
