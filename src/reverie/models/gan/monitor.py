"""The watch over a game: looks at held-out events, alarms, best state, way back, equilibrium stop.

A part of the events is held out of training. A few dozen times a run the averaged generator draws
one sample for each of them, always from the same noise; `reverie.training.health` compares the two
sets and reads the signs of failure off them. What follows is decided here:

    best state     the weights of the generator at the check that the monitor calls the best
    on_alarm       "warn" notes the alarm, "stop" ends training, "rollback" restores the state of the
                   last check without alarm and halves both learning rates, three times at most
    equilibrium    the learning rate is lowered over as many steps as the held phase took, then
                   training ends

Replicas are watched one by one. The watch draws from generators of its own, so a run takes the same
steps with and without it, unless it interferes.
"""

import copy
from dataclasses import dataclass
from typing import Any, Self

import torch
from torch import Tensor, nn

from reverie.core.errors import TrainingError
from reverie.core.random import child_generator
from reverie.data.lazy import some_rows
from reverie.models.gan.game import AdversarialGame, Rows, draw_noise
from reverie.models.gan.generator import ShapedGenerator
from reverie.networks.replicas import Stacked
from reverie.objectives.adversarial import equilibrium_outputs
from reverie.training.health import Alarm, Check, Evidence, HealthMonitor, HealthReference

__all__ = ["Look", "Watch", "flat_rows"]

_MOST_TRAINING_ROWS = 10_000  # that the reference keeps; the nearest of them are searched for copies
_MOST_ROLLBACKS = 3
_GRADIENT_ROWS = 256
_BANDS = ("score", "coverage", "plausible")


@dataclass(frozen=True)
class Look:
    """What one look found: named numbers for the history, and alarms."""

    scalars: dict[str, float]
    alarms: tuple[Alarm, ...] = ()


class Watch:
    """Looks after a game.

    Parameters
    ----------
    game : the game.
    train, held_out : rows of events, on the CPU.
    seed : root of the noise of the looks.
    every : steps between two looks, 0 for none.
    on_alarm, keep_best, stop_at_equilibrium : see `reverie.models.gan.GAN`.
    """

    def __init__(
        self,
        game: AdversarialGame,
        train: Rows,
        held_out: Rows,
        *,
        seed: int,
        every: int,
        on_alarm: str,
        keep_best: bool,
        stop_at_equilibrium: bool,
    ) -> None:
        self._game, self._on_alarm = game, on_alarm
        self._keep_best, self._stop_at_equilibrium = keep_best, stop_at_equilibrium
        self._every = every if len(held_out["x"]) > 0 else 0
        self.is_over, self._rollbacks = False, 0
        R = game.settings.n_replicas
        self._best: list[list[Tensor]] = [[] for _ in range(R)]
        self._best_scores = [float("inf")] * R
        self._good: dict[str, Any] | None = copy.deepcopy(game.state_dict()) if on_alarm == "rollback" else None
        if self._every:
            device = next(game.D.parameters()).device
            self._held_out = {key: x.repeat_interleave(R, dim=0).to(device) for key, x in held_out.items()}
            some = some_rows(train, _MOST_TRAINING_ROWS, seed=seed, name="watched rows")
            self._train = {k: x[: len(held_out["x"])].repeat_interleave(R, dim=0).to(device) for k, x in some.items()}
            self._z = draw_noise(
                len(self._held_out["x"]),
                game.settings.n_noise,
                prior=game.settings.noise_prior,
                generator=child_generator(seed, "watch", device=device),
            )
            reference = HealthReference(
                flat_rows(some),
                flat_rows(held_out),
                seed=seed,
                weight=held_out.get("weight"),
                train_weight=some.get("weight"),
            )
            self._monitors = [HealthMonitor(reference) for _ in range(R)]

    @classmethod
    def of(cls, model: Any, game: AdversarialGame, train: Rows, held_out: Rows) -> Self:
        """Return the watch that the GAN `model` is configured for."""
        every = 0
        if model.n_checks > 0:
            records = max(1, round(model.max_steps / model.n_checks / model.record_every))
            every = records * model.record_every
        return cls(
            game,
            train,
            held_out,
            seed=model.seed_,
            every=every,
            on_alarm=model.on_alarm,
            keep_best=model.keep_best,
            stop_at_equilibrium=model.stop_at_equilibrium,
        )

    def look(self, step: int) -> Look:
        """Look at the game after `step` steps, when it is time to, and act on what is seen."""
        if not self._every or (step % self._every and step < self._game.end):
            return Look({})
        checks = [m.check(e) for m, e in zip(self._monitors, self._evidence(step), strict=True)]
        for r, check in enumerate(checks):
            if check.improved:
                self._best[r] = [x.clone() for x in _weights_of(self._game.drawing_network.network, r)]
                self._best_scores[r] = check.scalars["score"]
        alarms = tuple(alarm for check in checks for alarm in check.alarms)
        self._act(checks, alarms)
        return Look(_scalars(checks), alarms)

    def recover(self, error: TrainingError) -> Alarm | None:
        """Return to the last good state after a value that is not finite; None when that is not asked for."""
        if self._good is None or self._rollbacks >= _MOST_ROLLBACKS:
            return None
        step = self._game.step
        self._roll_back()
        return Alarm("non-finite values", step, str(error), "Training went back and goes on at half the learning rate.")

    def best_generator(self) -> ShapedGenerator:
        """Return a copy of the network that samples are drawn from, with the best weights if they are kept."""
        network = copy.deepcopy(self._game.drawing_network).eval().requires_grad_(requires_grad=False)
        if self._keep_best:
            for r, best in enumerate(self._best):
                for x, kept in zip(_weights_of(network.network, r), best, strict=False):
                    x.copy_(kept)
        return network

    @property
    def best_replica(self) -> int:
        """Number of the replica that scored best."""
        return min(range(len(self._best_scores)), key=self._best_scores.__getitem__)

    def _act(self, checks: list[Check], alarms: tuple[Alarm, ...]) -> None:
        if alarms and self._on_alarm == "stop":
            self.is_over = True
        elif alarms and self._good is not None and self._rollbacks < _MOST_ROLLBACKS:
            self._roll_back()
        elif not alarms and self._good is not None:
            self._good = copy.deepcopy(self._game.state_dict())
        if self._stop_at_equilibrium and all(check.at_equilibrium for check in checks):
            self._game.cool_down(self._game.step)

    def _roll_back(self) -> None:
        self._rollbacks += 1
        self._game.load_state_dict(copy.deepcopy(self._good))  # pyright: ignore[reportArgumentType]
        self._game.rate_factor = 0.5**self._rollbacks

    def _evidence(self, step: int) -> list[Evidence]:
        game, R = self._game, self._game.settings.n_replicas
        generated = self._generated()
        answers = {}
        game.D.eval()
        with torch.no_grad():
            for name, rows in (("held_out", self._held_out), ("generated", generated), ("train", self._train)):
                answers[name] = game.judge(rows)[:, 0].cpu()
        n = min(len(self._z), _GRADIENT_ROWS * R)
        gradient = game.sample_gradient({k: x[:n] for k, x in self._held_out.items()}, self._z[:n])
        game.D.train()
        flat = flat_rows(generated).cpu()
        return [
            Evidence(
                step=step,
                generated=flat[r::R],
                d_held_out=answers["held_out"][r::R].contiguous(),
                d_generated=answers["generated"][r::R].contiguous(),
                d_train=answers["train"][r::R].contiguous(),
                d_outputs=_answers(game, answers["held_out"][r::R], answers["generated"][r::R]),
                generator_gradient=float(gradient[r::R].mean()),
            )
            for r in range(R)
        ]

    def _generated(self) -> dict[str, Tensor]:
        condition = self._held_out.get("condition")
        with torch.no_grad():
            x = self._game.draw(self._z, condition)
            return self._game.seen(x, condition)

    def state_dict(self) -> dict[str, Any]:
        """Return what an exact resume needs."""
        monitors = [m.state_dict() for m in self._monitors] if self._every else []
        return {
            "monitors": monitors,
            "best": self._best,
            "scores": self._best_scores,
            "good": self._good,
            "rollbacks": self._rollbacks,
            "is_over": self.is_over,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take up the state of a watch over the same game."""
        for monitor, kept in zip(self._monitors if self._every else [], state["monitors"], strict=True):
            monitor.load_state_dict(kept)
        self._best, self._best_scores, self._good = state["best"], state["scores"], state["good"]
        self._rollbacks, self.is_over = state["rollbacks"], state["is_over"]


def flat_rows(rows: Rows) -> Tensor:
    """Return what is compared of each event: sample, observables and a condition vector, side by side, (rows, d)."""
    parts = [rows[key].flatten(1) for key in ("x", "observables", "condition") if key in rows]
    return torch.cat([part for k, part in enumerate(parts) if k == 0 or part.shape[1] < 1000], dim=1)


def _answers(game: AdversarialGame, real: Tensor, fake: Tensor) -> tuple[float, float]:
    d_real, d_fake = equilibrium_outputs(real, fake, scale=game.objective.scale)
    return float(d_real), float(d_fake)


def _weights_of(network: nn.Module, r: int) -> list[Tensor]:
    """Return the weights and running statistics of replica `r`, as views."""
    tensors = [*network.parameters(), *network.buffers()]
    return [x.detach()[r] for x in tensors] if isinstance(network, Stacked) else [x.detach() for x in tensors]


def _scalars(checks: list[Check]) -> dict[str, float]:
    """Return the mean of each number over the replicas, and for several the ends of those that are drawn as bands."""
    found = {key: [check.scalars[key] for check in checks] for key in checks[0].scalars}
    bands = (
        {f"{key}_{end.__name__}": end(found[key]) for key in _BANDS for end in (min, max)} if len(checks) > 1 else {}
    )
    return {key: sum(values) / len(values) for key, values in found.items()} | bands
