"""How a normalizing flow learns: maximum likelihood by AdamW.

A step descends the mean of -log q over a batch, the gradient cut to a largest norm; the rate falls along a cosine, and
an exponential average of the weights is what is kept.
"""

from collections.abc import Mapping

import torch
from torch import Tensor

from reverie.models.averaged_step import AveragedStep
from reverie.models.flow.networks import FlowNetwork
from reverie.objectives.adversarial import batch_mean
from reverie.training.monitor import Observation

__all__ = ["FlowStep"]

Rows = Mapping[str, Tensor]


class FlowStep(AveragedStep[FlowNetwork]):
    """Takes the steps of a flow."""

    def loss(self, batch: Rows, generator: torch.Generator) -> tuple[Tensor, dict[str, Tensor]]:
        """Return the mean of -log q over a batch."""
        return batch_mean(_minus_log_prob(self.network, batch), batch.get("weight")), {}

    def networks(self) -> dict[str, FlowNetwork]:
        """Return the averaged network."""
        return {"flow": self.averaged()}

    @torch.no_grad()
    def observe(self, held_out: Rows, train: Rows, generator: torch.Generator) -> Observation:
        """Return -log q of the held-out rows, and as many samples."""
        x, condition, average = held_out["x"], held_out.get("condition"), self.averaged()
        given = None if condition is None else condition.flatten(1).double()
        generated = average.in_float64().draw(len(x), generator, given).to(x).reshape_as(x)
        return Observation(self.step, losses=_minus_log_prob(average, held_out), generated=generated)


def _minus_log_prob(network: FlowNetwork, rows: Rows) -> Tensor:
    """Return -log q (batch,) of rows."""
    condition = rows.get("condition")
    return -network.log_prob(rows["x"].flatten(1), None if condition is None else condition.flatten(1))
