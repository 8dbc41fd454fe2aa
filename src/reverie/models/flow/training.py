"""How a normalizing flow learns, and what of its features lies on circles.

A step descends the mean of -log q over a batch with AdamW, the gradient cut to a largest norm; the rate falls along a
cosine, and an exponential average of the weights is what is kept.
"""

import copy
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from reverie.compile.step import Compiled
from reverie.core.errors import InputError
from reverie.data.schema import Schema
from reverie.models.training_run import TrainStep
from reverie.training.averaging import ema_decay, ema_update
from reverie.training.descent import Descent
from reverie.training.monitor import Observation
from reverie.training.optimizers import learning_rate_factor

__all__ = ["FlowLearner", "circles_of", "repeated_values"]

Rows = Mapping[str, Tensor]
_REPEATED = 0.01  # share of one value from which a continuous column is said to have a point mass


def circles_of(transform: Any) -> list[tuple[int, int]]:
    """Return the features of `transform` that lie on a circle, as pairs (cosine, sine).

    Raises
    ------
    InputError
        For one-hot features, on which there is no density.
    """
    groups: dict[int, list[int]] = {}
    for j, output in enumerate(transform.outputs):
        if output.kind == "simplex":
            raise InputError(
                "Expected features with a density, got one-hot categories. Use preprocessing='auto', or Dequantise."
            )
        if output.kind == "circle":
            groups.setdefault(output.group, []).append(j)
    return [(pair[0], pair[1]) for pair in groups.values()]


def repeated_values(values: np.ndarray, schema: Schema) -> list[str]:
    """Return warnings about numbers that repeat one value often, so that their density has no limit."""
    warnings = []
    for j, column in enumerate(schema.columns if schema.is_table else ()):
        if column.kind not in ("continuous", "bounded") or column.atom is not None:
            continue
        levels, counts = np.unique(values[:, j], return_counts=True)
        if len(levels) > 1 and counts.max() > max(1, _REPEATED * len(values)):
            share, value = counts.max() / len(values), levels[counts.argmax()]
            warnings.append(
                f"{share:.1%} of {column.name} are exactly {value:.6g}: the density there, and the likelihood, depend "
                "on how finely the flow resolves it. Declare an atom or levels in the schema."
            )
    return warnings


class FlowLearner(TrainStep):
    """Maximum likelihood of a flow (`reverie.models.flow.networks.FlowNetwork`) by AdamW.

    Parameters
    ----------
    network : on its device; it is trained in place.
    max_steps : length of the run, for the schedule.
    learning_rate, weight_decay : first step size, and the share of it by which a step shrinks the weights.
    gradient_clip : largest norm of the gradient.
    ema_decay : of the average of the weights, in [0, 1).
    compile : as in `reverie.compile.step.Compiled`.
    """

    def __init__(
        self,
        network: Any,
        *,
        max_steps: int,
        learning_rate: float,
        weight_decay: float,
        gradient_clip: float,
        ema_decay: float,
        compile: bool | str = False,
    ) -> None:
        self.network, self.average = network, copy.deepcopy(network).requires_grad_(requires_grad=False)
        self.step, self.rate_factor = 0, 1.0
        self._max_steps, self._rate, self._decay = max_steps, learning_rate, ema_decay
        options: Any = {"betas": (0.9, 0.999), "weight_decay": weight_decay, "clip": gradient_clip}
        self.descent = Descent(network.parameters(), "adamw", learning_rate=learning_rate, **options)
        self.compiled = Compiled(self._update, mode=compile, n_calls=max_steps)

    def train_step(self, batch: Rows, generator: torch.Generator) -> dict[str, Tensor]:
        """Take one step on a batch of features "x", with "condition" and "weight" if there are any."""
        factor = learning_rate_factor(self.step, self._max_steps, hold=0.0) * self.rate_factor
        numbers = {"rate": self._rate * factor, "decay": ema_decay(self.step, self._decay)}
        told = self.compiled((dict(batch), numbers), generator)
        self.step += 1
        return told

    def _update(self, inputs: tuple[Rows, Mapping[str, Any]], generator: torch.Generator) -> dict[str, Tensor]:
        batch, numbers = inputs
        losses = _losses(self.network, batch)
        loss = (losses * batch["weight"] if "weight" in batch else losses).mean()
        norm: Any = self.descent.along(loss, numbers["rate"])
        ema_update(list(self.average.parameters()), self.descent.weights, decay=numbers["decay"])
        return {"loss": loss.detach(), "gradient": norm}

    def trained(self) -> list[nn.Module]:
        """Return the networks whose weights are trained."""
        return [self.network]

    def networks(self) -> dict[str, nn.Module]:
        """Return the averaged network."""
        return {"flow": self.average}

    def observe(self, held_out: Rows, train: Rows, generator: torch.Generator) -> Observation:
        """Return -log q of the held-out rows, and as many samples."""
        x, given = held_out["x"], held_out.get("condition")
        exact = copy.deepcopy(self.average).double()
        with torch.no_grad():
            generated = exact.draw(len(x), generator, None if given is None else given.flatten(1).double())
            return Observation(
                self.step, losses=_losses(self.average, held_out), generated=generated.to(x).reshape_as(x)
            )

    def state_dict(self) -> dict[str, Any]:
        """Return weights, average, optimiser, step and rate."""
        return {
            "step": self.step,
            "rate_factor": self.rate_factor,
            "network": self.network.state_dict(),
            "average": self.average.state_dict(),
            "optimizer": self.descent.state_dict(),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take up what `state_dict` returned."""
        self.step, self.rate_factor = state["step"], state["rate_factor"]
        self.network.load_state_dict(state["network"])
        self.average.load_state_dict(state["average"])
        self.descent.load_state_dict(state["optimizer"])


def _losses(network: Any, rows: Rows) -> Tensor:
    """Return -log q (batch,) of rows."""
    given = rows.get("condition")
    return -network.log_prob(rows["x"].flatten(1), None if given is None else given.flatten(1))
