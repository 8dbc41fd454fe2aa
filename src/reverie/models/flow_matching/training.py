r"""How a velocity field is learnt: least squares on points of random paths.

    loss = mean_i w_i |v(x_t, t, c_i) - dx_t/dt|^2 / n

with noise x_0, an event x_1, w its weight (of mean one over all events), a time t, and x_t on the path between the two
(`reverie.models.flow_matching.path`); n is the number of coordinates, of which those that are missing from an event add
nothing. Times are t = 1 - (1 - u)^p with the power p of the network (2 for at most three coordinates, else 1), one u in
each of batch equal parts of [0, 1], which takes the scatter of t out of the loss: the divergence of the model from the
events is at most int t / (1 - t) E|error of v|^2 dt (Song et al., arXiv:2101.09258, for straight paths), so that late
times count most. Noise and events are paired at random: pairs chosen by optimal transport within a batch would bias a
model with conditions.

The loss has a floor, the variance of dx_t/dt given x_t, and it comes close to the floor long before the samples are
good. So the best state is that of the best samples: at each check samples are drawn and compared with held-out events
(`reverie.training.monitor`); the loss on those stands beside it in the history. Of few events that is turned round: a
few dozen held-out events cannot tell the samples of two states apart, the latest state would be kept, and that one has
learnt the training events by heart. The loss on the held-out events, of many points on the path to each and always the
same, sees it at once, and the state of the least is kept.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Unpack

import torch
from torch import Tensor

from reverie.models.averaged_step import AveragedStep, Descending
from reverie.models.flow_matching.networks import Velocity
from reverie.models.flow_matching.path import late, path
from reverie.models.flow_matching.sampling import carried
from reverie.objectives.adversarial import weighted_mean
from reverie.training.monitor import Observation

__all__ = ["FlowMatchingStep", "observed"]

Rows = Mapping[str, Tensor]
_POINTS_OF_FEW = 8192  # on paths to the held-out events of few, at a check
_MOST_CHECKED = 1 << 17  # numbers of the samples of a check: 2000 events of 64 values, 167 images of 28 x 28


class FlowMatchingStep(AveragedStep[Velocity]):
    """Takes the steps of a velocity network.

    Parameters
    ----------
    network : Velocity network on its device; it is trained in place.
    n_evaluations, solver : How samples of a check are drawn, as in `reverie.models.flow_matching.sampling`.
    by_loss : Whether the best state is that of the least loss on held-out events, and not that of the best samples.
    how : As in `reverie.models.averaged_step.AveragedStep`.
    """

    def __init__(
        self, network: Velocity, *, n_evaluations: int, solver: str, by_loss: bool = False, **how: Unpack[Descending]
    ) -> None:
        super().__init__(network, **how)
        self._n_evaluations, self._solver, self._by_loss = n_evaluations, solver, by_loss

    def loss(self, batch: Rows, generator: torch.Generator) -> tuple[Tensor, dict[str, Tensor]]:
        """Return the mean squared error of the velocity per coordinate on one random point of each event's path."""
        return weighted_mean(_errors(self.network, batch, generator), batch.get("weight")), {}

    def networks(self) -> dict[str, Velocity]:
        """Return the averaged network."""
        return {"velocity": self.averaged()}

    def observe(self, held_out: Rows, train: Rows, generator: torch.Generator) -> Observation:
        """Return as many samples as held-out rows, of large events fewer, and the loss on the held-out rows."""
        network, n = self.averaged().eval(), len(held_out["x"])
        seen = observed(network, self.step, held_out, generator, self._n_evaluations, self._solver)
        if not self._by_loss:
            return seen
        times = max(1, min(_POINTS_OF_FEW, _MOST_CHECKED // held_out["x"][0].numel()) // n)
        with torch.no_grad():
            errors = _errors(network, {key: torch.cat([x] * times) for key, x in held_out.items()}, generator)
        return replace(seen, losses=errors.reshape(times, n).mean(dim=0))


@torch.no_grad()
def observed(
    network: Velocity, step: int, held_out: Rows, generator: torch.Generator, n_evaluations: int, solver: str
) -> Observation:
    """Return what a check sees of a velocity field: samples and the loss on the held-out rows.

    Parameters
    ----------
    network : The velocity field.
    step : Steps taken.
    held_out : Rows that it is not trained on. There are as many samples, of large events fewer.
    generator : Source of the noise.
    n_evaluations, solver : As in `reverie.models.flow_matching.sampling.carried`.
    """
    x, condition = held_out["x"], held_out.get("condition")
    n = max(1, min(len(x), _MOST_CHECKED // x[0].numel()))
    noise = network.coordinates.noise(n, generator)
    given = None if condition is None else condition[:n]
    end = carried(network, noise, given, n_evaluations=n_evaluations, solver=solver)
    generated = network.coordinates.features(end).reshape(n, *x.shape[1:])
    error = weighted_mean(_errors(network, held_out, generator), held_out.get("weight"))
    return Observation(step, generated=generated, scalars={"held_out_error_of_velocity": float(error)})


def _errors(network: Velocity, rows: Rows, generator: torch.Generator) -> Tensor:
    """Return the squared error (batch,) of the velocity per coordinate, at one point of a path to each event."""
    coordinates = network.coordinates
    x1 = coordinates.of(rows["x"].flatten(1))
    n = len(x1)
    x0 = coordinates.noise(n, generator)
    start = torch.rand(1, 1, generator=generator, device=x1.device)
    parts = torch.arange(n, device=x1.device, dtype=x1.dtype)[:, None] / n
    t = late(torch.remainder(start + parts, 1.0), network.late)  # events of a batch come in random order
    x, d = path(x0, x1, t, coordinates.n_lines)
    error = network(x, t, rows.get("condition")) - d
    if network.sees_missing:  # before the square, whose gradient at NaN would be NaN where it counts for nothing too
        error = torch.where(d.isnan(), 0.0, error)
    return error.square().mean(1)
