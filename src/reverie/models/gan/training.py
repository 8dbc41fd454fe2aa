"""One training of a GAN: the game, its batches and noise, the watch over it, and the referee after it.

The events are divided once into rows to train on and rows to hold out. `records` plays the game to its end,
looks at its health after each window of steps, and goes on after each way back that the watch takes. What is
left when training is over are the best generator and, for tables, a referee.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from reverie.compile.step import declined, take_up
from reverie.core.errors import InputError, TrainingError
from reverie.core.protocols import Runtime
from reverie.core.random import child_generator, child_seed
from reverie.data.batches import Batches, ReplicaBatches
from reverie.data.lazy import LazyRows, divided, some_rows
from reverie.models.gan.game import Rows, restore
from reverie.models.gan.generator import ShapedGenerator
from reverie.models.gan.monitor import Watch
from reverie.models.gan.networks import make_game, resolved_activation, resolved_batch_size
from reverie.models.gan.rejection import Referee, fit_referee
from reverie.models.gan.sampling import Drawing
from reverie.models.preprocessing import data_mark
from reverie.models.training_run import held_out_numbers
from reverie.networks.build import resolved_name
from reverie.networks.noise import set_noise_generator
from reverie.networks.normalisation import share_batch_norm
from reverie.training.health import Alarm
from reverie.training.loop import Record, train
from reverie.training.parallel import Parallel, share
from reverie.training.threads import chosen_threads

__all__ = ["Training"]

_FAKES_PER_EVENT, _FEWEST_FAKES, _MOST_FAKES = 16, 20_000, 200_000
_MOST_REFEREE_STEPS = 4000


class Training:
    """A game with all that it is played with.

    Parameters
    ----------
    model : a `reverie.models.gan.GAN` with seed, device and fitted preprocessing.
    rows : features of the events (n, *event) as "x", with observables, conditions and weights if there are any.
    runtime : the processes that share the training; None for one.

    Attributes
    ----------
    game : the game; its `step` is that of the training.
    n_threads : processor threads to train on.
    """

    def __init__(self, model: Any, rows: Rows, runtime: Runtime | None = None) -> None:
        self._model, self._seed, device = model, model.seed_, model.device_
        self._runtime = runtime
        out = held_out_numbers(rows, fraction=model.validation_fraction, seed=self._seed)
        self.game = make_game(model, some_rows(divided(rows, out)[0], seed=self._seed))
        rows = {**rows, "x": self._in_game(rows["x"])}
        self._data_mark = data_mark(rows["x"])
        self._train, self._held_out = divided(rows, out)
        self._batches = self._made_batches()
        self._noise = child_generator(self._seed, "noise", device=device)
        for network in (self.game.G, self.game.D):
            set_noise_generator(network, self._noise)
        self.watch = Watch.of(model, self.game, self._train, self._held_out)
        features = model.preprocessing_.transform.output_shape
        n_rows = resolved_batch_size(model, 1 << 30, int(np.prod(features))) * model.n_replicas
        players = [self.game.G, self.game.D]
        self.n_threads, self._threads = chosen_threads(model.n_threads, players, n_rows, device, runtime)
        self._window: Sequence[Mapping[str, Tensor]] = ()  # scalars of a window that a stop left open
        if runtime is not None:
            self._share(runtime)

    def records(self, stop: Callable[[], bool] | None) -> Iterator[Record]:
        """Yield the records of the game from its present step to its last, each with what the watch saw.

        Raises
        ------
        TrainingError
            When a value stops being finite and the watch knows no way back.
        """
        game, spent = self.game, 0.0
        recovered: tuple[Alarm, ...] = ()  # since the last record
        while game.step < game.end and not self.watch.is_over:
            seconds = 0.0
            try:
                for record in self._played(stop):
                    seconds, self._window = record.seconds, record.window
                    yield replace(record, seconds=spent + seconds, alarms=(*recovered, *record.alarms))
                    recovered = ()
                    if self.watch.is_over or game.step != record.step:
                        break
                else:
                    return
            except TrainingError as error:
                alarm = self.watch.recover(error)
                if alarm is None:
                    raise
                recovered = (*recovered, alarm)
            spent += seconds

    def best(self) -> tuple[ShapedGenerator, int]:
        """Return the generator to keep and the number of the replica that scored best."""
        return self.watch.best_generator(), self.watch.best_replica

    def referee(self, drawing: Drawing) -> Referee | None:
        """Return a referee of samples of `drawing`, or None before the end of training and where none is wanted."""
        over = self.game.step >= self.game.end or self.watch.is_over
        helps = self._runtime is not None and self._runtime.rank > 0  # the first process alone keeps the model
        if helps or not (over and self._referee_steps() > 0 and len(self._held_out["x"]) > 0):
            return None
        real = some_rows(self._train, seed=self._seed)
        n_rows = len(real["x"])
        n = min(max(_FAKES_PER_EVENT * n_rows, _FEWEST_FAKES), _MOST_FAKES)
        condition = None if "condition" not in real else real["condition"][torch.arange(n) % n_rows]
        noise = child_generator(self._seed, "referee pool", device=self._model.device_)
        return fit_referee(
            drawing.known(real),
            drawing.known(self._held_out),
            drawing.known(drawing.rows(n, condition, noise)),
            weight=real.get("weight"),
            held_out_weight=self._held_out.get("weight"),
            max_steps=self._referee_steps(),
            n_physical=len(self._model.schema_.columns),
            seed=self._seed,
        )

    def resolved(self) -> dict[str, Any]:
        """Return what the options that can be left open come to, by name."""
        model, s, x = self._model, self.game.settings, self._train["x"]
        shape = tuple(x.shape[1:])
        rows = resolved_batch_size(model, len(x), x[0].numel())
        values = {name: getattr(s, name) for name in ("n_noise", "n_critic", "penalty", "penalty_weight")}
        return values | {
            "batch_size": rows // s.n_critic,
            "learning_rate": s.generator_rate,
            "discriminator_learning_rate": s.discriminator_rate,
            "betas": list(s.betas),
            "penalty_every": s.penalty_every,
            "activation": resolved_activation(model),
            "discriminator": resolved_name(str(model.discriminator), shape),
            "kinematic_fit": self.game.G.fit is not None,
            "refine": self._referee_steps() > 0,
            "n_threads": self.n_threads,
            "device": str(model.device_),
        }

    def state_dict(self) -> dict[str, Any]:
        """Return what an exact resume needs: networks, optimisers, noise and watch, and a mark of the data."""
        return {
            "data": self._data_mark,
            "noise": self._noise.get_state(),
            "game": self.game.state_dict(),
            "watch": self.watch.state_dict(),
            "declined": declined(self.game.rounds.values()),
            "window": [dict(scalars) for scalars in self._window],
            "threads": 0 if self._threads is None else self._threads.kept,
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take up a state of a training of the same data and configuration; `CheckpointError` for any other."""
        restore(self.game, self._noise, state, self._data_mark)
        self.watch.load_state_dict(state["watch"])
        take_up(self.game.rounds.values(), state.get("declined", ()))
        device = self._model.device_
        self._window = [{k: x.to(device) for k, x in scalars.items()} for scalars in state.get("window", ())]
        if self._threads is not None:
            self._threads.kept = state.get("threads", 0)

    def _played(self, stop: Callable[[], bool] | None) -> Iterator[Record]:
        """Yield the records of the game as it is played on from its present step."""
        game = self.game
        window, self._window = self._window, ()
        records = train(
            game if self._runtime is None else Parallel(game, self._runtime, self._seed),
            self._batches.at,
            generator=self._noise,
            start=game.step,
            max_steps=self._model.max_steps,
            record_every=self._model.record_every,
            stop=lambda: (stop is not None and stop()) or game.step >= game.end,
            runtime=self._runtime,
            window=window,
            threads=self._threads,
        )
        for record in records:
            seen = self.watch.look(record.step)
            yield replace(record, scalars={**record.scalars, **seen.scalars}, alarms=seen.alarms)

    def _in_game(self, x: Any) -> Any:
        """Return features (n, *event) of data as the game sees them, still on the CPU."""
        if isinstance(x, LazyRows):
            return x.mapped(self._in_game)
        return self.game.G.to_game(x.to(self._model.device_)).to(x.device)

    def _share(self, runtime: Runtime) -> None:
        """Divide batches among processes, and average gradients and batch statistics over them."""
        if self._model.n_replicas > 1:
            raise InputError(
                f"Expected one replica for a training of {runtime.world_size} processes, got {self._model.n_replicas}. "
                "Train replicas on one process, or one model on several."
            )
        game = self.game
        for network in (game.G, game.D):
            share_batch_norm(network, runtime.differentiable_mean, runtime.world_size)
        size = resolved_batch_size(self._model, len(self._train["x"]), self._train["x"][0].numel())
        share(runtime, size, [game.g_descent, game.d_descent], game.rounds.values(), self._data_mark)

    def _made_batches(self) -> Batches | ReplicaBatches:
        x: Tensor = self._train["x"]
        size = resolved_batch_size(self._model, len(x), x[0].numel())
        options = {"batch_size": size, "device": self._model.device_, "resample": self._model.bootstrap}
        if self._model.n_replicas == 1:
            return Batches(dict(self._train), seed=self._seed, **options)
        seeds = [child_seed(self._seed, "replica", r) for r in range(self._model.n_replicas)]
        return ReplicaBatches(dict(self._train), seeds=seeds, **options)

    def _referee_steps(self) -> int:
        """Return how long a referee is trained at most: half as long as the game, and not at all for images."""
        model = self._model
        wanted = model.refine in (True, "auto") and len(model.preprocessing_.transform.output_shape) == 1
        return min(_MOST_REFEREE_STEPS, model.max_steps // 2) if wanted else 0
