r"""Steps of one network that descend one loss, and the average of its weights along their path.

    w <- w - rate * (Adam's or AdamW's direction of grad loss),        w_mean <- beta w_mean + (1 - beta) w

The learning rate is held for a share of the run, then lowered along a cosine; beta rises to its value over the first
steps (`reverie.training.descent`). Samples and likelihoods come from the averaged weights.

Few events are soon known by heart: from then on the loss on held-out events rises. Training on few ends when it has
taken twice the steps to the best state, and 300 more.
"""

import copy
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import Generic, NotRequired, TypedDict, TypeVar, Unpack

import torch
from torch import Tensor, nn

from reverie.compile.step import Compiled
from reverie.core.types import State
from reverie.models.training_run import TrainStep, take_weights
from reverie.training.descent import Descent, ema_decay, ema_update
from reverie.training.monitor import Check, Observation
from reverie.training.optimizers import learning_rate_factor

__all__ = ["AveragedStep", "Descending"]

_MORE_STEPS = 300

Rows = Mapping[str, Tensor]
Network = TypeVar("Network", bound=nn.Module)


class Descending(TypedDict):
    """How an `AveragedStep` descends."""

    max_steps: int  # of the run
    learning_rate: float  # at the start
    ema_decay: float  # beta per step, in [0, 1); 0 keeps the last weights
    hold: NotRequired[float]  # share of the run at the full learning rate, by default a half
    optimizer: NotRequired[str]  # "adam" by default; this and the next three as in `reverie.training.descent.Descent`
    betas: NotRequired[tuple[float, float]]
    weight_decay: NotRequired[float | None]
    clip: NotRequired[float | None]
    ends_early: NotRequired[bool]  # whether training ends some time after its best state
    compile: NotRequired[bool | str]  # as in `reverie.compile.step.Compiled`


class AveragedStep(TrainStep, Generic[Network]):
    """Takes the steps of one network, on its device; a child writes `loss`, `networks` and `observe`.

    Attributes
    ----------
    average : copy of the network with the averaged weights.
    """

    def __init__(self, network: Network, **how: Unpack[Descending]) -> None:
        self.network = network.train()
        self.average = copy.deepcopy(network).requires_grad_(requires_grad=False)
        self.max_steps, self._rate, self._decay = how["max_steps"], how["learning_rate"], how["ema_decay"]
        self._hold, self._ends_early = how.get("hold", 0.5), how.get("ends_early", False)
        self._best_at: int | None = None  # the step of the best state
        self.descent = Descent(
            [p for p in network.parameters() if p.requires_grad],
            how.get("optimizer", "adam"),
            learning_rate=self._rate,
            betas=how.get("betas", (0.9, 0.999)),
            weight_decay=how.get("weight_decay"),
            clip=how.get("clip"),
        )
        self.compiled = Compiled(self._update, mode=how.get("compile", False), n_calls=self.max_steps)

    @abstractmethod
    def loss(self, batch: Rows, generator: torch.Generator) -> tuple[Tensor, dict[str, Tensor]]:
        """Return the loss of a batch, a scalar that depends on the weights, and scalars for the history, detached."""

    def train_step(self, batch: Rows, generator: torch.Generator) -> dict[str, Tensor]:
        """Take a step on a batch of features "x", with "condition" and "weight" if there are any."""
        factor = learning_rate_factor(self.step, self.max_steps, hold=self._hold) * self.rate_factor
        numbers = {"rate": self._rate * factor, "decay": ema_decay(self.step, self._decay)}
        scalars = self.compiled((dict(batch), numbers), generator)
        self.step += 1
        return scalars

    def _update(
        self, inputs: tuple[Rows, Mapping[str, float | Tensor]], generator: torch.Generator
    ) -> dict[str, Tensor]:
        batch, numbers = inputs
        loss, scalars = self.loss(batch, generator)
        norm = self.descent.along(loss, numbers["rate"])
        if self._decay:
            current = [p.detach() for p in self.network.parameters()]
            ema_update(list(self.average.parameters()), current, decay=numbers["decay"])
        return {"loss": loss.detach(), **scalars, **({} if norm is None else {"gradient": norm})}

    def adapt(self, observations: Sequence[Observation], checks: Sequence[Check]) -> None:
        """Note whether this state is the best so far."""
        self._best_at = self.step if checks[0].improved else self._best_at

    def is_done(self) -> bool:
        """Tell whether few events have long been known by heart."""
        return self._ends_early and self._best_at is not None and self.step >= 2 * self._best_at + _MORE_STEPS

    def reschedule(self) -> None:
        """Train on where training ended before its last step."""
        self._best_at = None

    def averaged(self) -> Network:
        """Return the averaged network; buffers, and without an average the weights too, are the present ones."""
        if not self._decay:
            self.average.load_state_dict(self.network.state_dict())
        for averaged, present in zip(self.average.buffers(), self.network.buffers(), strict=True):
            averaged.copy_(present)
        return self.average

    def start_at(self, networks: Mapping[str, nn.Module]) -> None:
        """Take the weights of fitted networks."""
        for name, network in self.networks().items():
            take_weights(network, networks[name])
        self.network.load_state_dict(self.average.state_dict())

    def trained(self) -> list[nn.Module]:
        """Return the networks whose weights are trained."""
        return [self.network]

    def parts(self) -> Mapping[str, nn.Module | Descent]:
        """Return the network, its average and its optimiser."""
        return {"network": self.network, "average": self.average, "optimizer": self.descent}

    def state_dict(self) -> State:
        """Return all that an exact resume needs."""
        return super().state_dict() | {"best_at": self._best_at}

    def load_state_dict(self, state: State) -> None:
        """Take up what `state_dict` returned."""
        super().load_state_dict(state)
        self._best_at = state.get("best_at")
