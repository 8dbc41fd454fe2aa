r"""How a velocity field is learnt: least squares on points of random paths.

    loss = mean_i w_i |v(x_t, t, c_i) - dx_t/dt|^2 / n

with noise x_0, an event x_1, w its weight (of mean one over all events), a time t, and x_t on the path between the two
(`reverie.models.flow_matching.path`); n is the number of coordinates, of which those that are missing from an event add
nothing. Times are t = 1 - (1 - u)^p with the power p of the network (2 where it sees waves, else 1), of large
images early ones (`reverie.models.flow_matching.unet`), one u anywhere in each of batch equal parts of [0, 1],
which takes the scatter of t out of the loss. Where a network shares what it makes of a time, in tables without
conditions, there are 64 parts in place of one for each of 512 events: that spares a third of the products, and what a
part of 1/64 adds to the scatter is small beside that of noise and events. The divergence of the model from the events
is at most int t / (1 - t) E|error of v|^2 dt (Song et al., arXiv:2101.09258, for straight paths), so that of tables
late times count most. Noise and events are paired at random: pairs chosen by optimal transport within a batch would
bias a model with conditions.

Of tables without conditions, weights, levels and point masses the velocity of a path is split into its mean m over all
paths to events of the batch that lead through x_t and a rest that no network can know,

    |v - dx_t/dt|^2  ->  |v - m|^2 + |m - dx_t/dt|^2,

which has the same expectation, since the product of v - m and the rest is zero on average, and a gradient with less
scatter: on mixtures of eight Gaussians in two and five columns the divergence falls by two fifths in as many steps.

Levels and point masses that narrow noise spreads over cells are taken with all of that noise at once, not with one draw
of it, which a network would learn by heart.

The loss has a floor, the variance of dx_t/dt given x_t, and it comes close to the floor long before the samples are
good. So samples choose the best state: at each check some are drawn and compared with held-out events
(`reverie.training.monitor`). Some hundred or thousand held-out events cannot tell the samples of many states apart, and
the latest of these may have learnt training events by heart. The loss on the held-out events, of many points on the
path to each and always the same, sees that at once, and among states that samples cannot tell apart the one of the
least loss is kept. Of few events samples tell nothing, and the loss decides alone.

Of sets the coordinates of the particles that are there add to the loss, over their mean number; padding stays at zero.
The law of their number is learnt beside it, by -log p(N | c), and so is that of their observables, if the model is
shown some, by the error of a velocity of their own. Samples are compared by features of whole sets that no
order of the particles changes (`reverie.models.sets`), in units of their spread in the training events.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Unpack

import torch
from torch import Tensor

from reverie.models.averaged_step import AveragedStep, Descending
from reverie.models.density_features import NarrowNoise
from reverie.models.flow_matching.path import in_turn, mean_over_batch, path
from reverie.models.flow_matching.sampling import conditioning_noise, draw_conditioning, solve_ode
from reverie.models.flow_matching.set_network import VelocitySet
from reverie.models.flow_matching.velocity import Velocity
from reverie.models.sets import moments_of_sets, rows_of_sets
from reverie.objectives.adversarial import batch_mean
from reverie.training.monitor import Observation

__all__ = ["FlowMatchingStep", "observed"]

Rows = Mapping[str, Tensor]
_POINTS = 8192  # on paths to the held-out events, at a check
_TIMES = 64  # of a batch, where a network shares them
_MOST_CHECKED = 1 << 17  # numbers of the samples of a check: 2000 events of 64 values, 167 images of 28 x 28


class FlowMatchingStep(AveragedStep[Velocity]):
    """Takes the steps of a velocity network.

    Parameters
    ----------
    network : Velocity network on its device; it is trained in place.
    n_evaluations, solver : How samples of a check are drawn, as in `reverie.models.flow_matching.sampling`.
    narrow : Cells in which narrow noise spreads levels and point masses of the events, on the network's device. Paths
        then end at their middles and take the noise into account at once; None where there are none.
    by_loss : Whether the least loss on held-out events alone chooses the best state, and not samples first; see
        `reverie.training.monitor`.
    how : As in `reverie.models.averaged_step.AveragedStep`.
    """

    def __init__(
        self,
        network: Velocity,
        *,
        n_evaluations: int,
        solver: str,
        narrow: NarrowNoise | None = None,
        by_loss: bool = False,
        **how: Unpack[Descending],
    ) -> None:
        super().__init__(network, **how)
        self._n_evaluations, self._solver, self._narrow, self._by_loss = n_evaluations, solver, narrow, by_loss

    def prepared(self, rows: dict[str, Any]) -> dict[str, Any]:
        """Return the rows; of sets with the mask before the condition."""
        return rows_of_sets(rows) if isinstance(self.network, VelocitySet) else rows

    def compared(self, rows: Rows) -> Tensor:
        """Return the features of each event, of sets features of the whole set."""
        return compared(self.network, rows["x"])

    def loss(self, batch: Rows, generator: torch.Generator) -> tuple[Tensor, dict[str, Tensor]]:
        """Return the mean squared error of the velocity per coordinate on one random point of each event's path.

        Of sets the terms of `_errors_of_sets` are added, which the history has each on its own.
        """
        network, batch = self.network, _given(batch)
        is_table, narrow = network.shares_times and "condition" not in batch, self._narrow
        how = {
            "n_times": _TIMES if is_table and len(batch["x"]) % _TIMES == 0 else None,
            "over_batch": is_table and narrow is None and "weight" not in batch,
        }
        loss, terms = batch_mean(_errors(network, batch, generator, narrow, **how), batch.get("weight")), {}
        if isinstance(network, VelocitySet):
            errors = _errors_of_sets(network, batch["condition"], generator)
            terms = {name: batch_mean(error, batch.get("weight")) for name, error in errors.items()}
        return loss + sum(terms.values()), {name: term.detach() for name, term in terms.items()}

    def networks(self) -> dict[str, Velocity]:
        """Return the averaged network."""
        return {"velocity": self.averaged()}

    def observe(self, held_out: Rows, train: Rows, generator: torch.Generator) -> Observation:
        """Return as many samples as held-out rows, of large events fewer, and the loss on the held-out rows."""
        drawn = {"n_evaluations": self._n_evaluations, "solver": self._solver}
        seen = observed(self.averaged().eval(), self.step, held_out, generator, **drawn, narrow=self._narrow)
        return replace(seen, by_samples=not self._by_loss)


@torch.no_grad()
def observed(
    network: Velocity,
    step: int,
    held_out: Rows,
    generator: torch.Generator,
    n_evaluations: int,
    solver: str,
    narrow: NarrowNoise | None = None,
) -> Observation:
    """Return what a check sees of a velocity field: samples, and the loss on points of the paths to held-out rows.

    Parameters
    ----------
    network : The velocity field.
    step : Steps taken.
    held_out : Rows that it is not trained on. There are as many samples, of large events fewer.
    generator : Source of the noise.
    n_evaluations, solver : As in `reverie.models.flow_matching.sampling.solve_ode`.
    narrow : As in `FlowMatchingStep`.
    """
    held_out = _given(held_out)
    x, condition = held_out["x"], held_out.get("condition")
    n_points = max(1, min(_POINTS, _MOST_CHECKED // x[0].numel()) // len(x))
    n = max(1, min(len(x), _MOST_CHECKED // x[0].numel()))
    how = {"n_evaluations": n_evaluations, "solver": solver}
    given = None if condition is None else condition[:n]
    beside = network.split_given(given)[2] if isinstance(network, VelocitySet) and given is not None else given
    given = draw_conditioning(network, conditioning_noise(network, n, generator), beside, **how)
    noise = network.noise(n, generator, given)
    end = solve_ode(network, noise, given, **how)
    generated = compared(network, network.features(end, given).reshape(n, *x.shape[1:]))
    rows = {key: torch.cat([x] * n_points) for key, x in held_out.items()}
    errors = _errors(network, rows, generator, narrow)
    if isinstance(network, VelocitySet):
        errors = sum(_errors_of_sets(network, rows["condition"], generator).values(), errors)
    return Observation(step, losses=errors.reshape(n_points, -1).mean(0), generated=generated, by_samples=True)


def _given(rows: Rows) -> Rows:
    """Return the rows, with observables of sets, where there are some, between mask and condition."""
    if "observables" not in rows:
        return rows
    size = rows["x"].shape[1]
    mask, condition = rows["condition"][:, :size], rows["condition"][:, size:]
    others = {key: x for key, x in rows.items() if key != "observables"}
    return {**others, "condition": torch.cat([mask, rows["observables"], condition], dim=1)}


def compared(network: Velocity, features: Tensor) -> Tensor:
    """Return what samples are compared by, (n, d), of features (n, *event)."""
    return moments_of_sets(features) / network.spreads if isinstance(network, VelocitySet) else features


def _errors(
    network: Velocity,
    rows: Rows,
    generator: torch.Generator,
    narrow: NarrowNoise | None = None,
    n_times: int | None = None,
    *,
    over_batch: bool = False,
) -> Tensor:
    """Return the squared error (batch,) of the velocity per coordinate, at one point of a path to each event.

    The events, which come in random order, take `n_times` times in turn, by default each one of its own. With
    `over_batch` the velocity of a path is split into its mean over paths to all of these events and a rest.
    """
    coordinates, condition = network.coordinates, rows.get("condition")
    if network.clusters is not None:
        condition = network.clusters.of(rows["x"].flatten(1))
    x1 = network.points(rows["x"])
    n = len(x1)
    x0 = network.noise(n, generator, condition)
    k = n_times or n
    parts = torch.arange(k, device=x1.device, dtype=x1.dtype)[:, None]
    moments = network.times((parts + torch.rand(k, 1, generator=generator, device=x1.device)) / k)
    t = in_turn(moments, n)
    std = None
    if narrow is not None:
        line, std = narrow(x1[:, : coordinates.n_lines])
        x1 = torch.cat([line, x1[:, coordinates.n_lines :]], dim=1)
    x, d = path(x0, x1, t, coordinates.n_lines, std)
    if over_batch:
        mean = mean_over_batch(x, d, x1, t, coordinates.n_lines)
        return ((network(x, moments, condition) - mean).square() + (mean - d).square()).mean(1)
    error = network(x, moments, condition) - d
    if network.sees_missing:  # before the square, whose gradient at NaN would be NaN where it counts for nothing too
        error = torch.where(d.isnan(), 0.0, error)
    if isinstance(network, VelocitySet):
        return error.square().sum(1) / (coordinates.n / network.size * rows["x"][..., -1].sum(1).mean().clamp(min=1))
    return error.square().mean(1)


def _errors_of_sets(network: VelocitySet, given: Tensor, generator: torch.Generator) -> dict[str, Tensor]:
    """Return by name the errors (batch,) of the laws that are learnt beside the velocity of the particles.

    They are -log p(N | c) where there are conditions, and where there are observables the squared error of their
    velocity. `given` is what the network is given, (batch, P + k + c).
    """
    mask, observables, condition = network.split_given(given)
    errors = {} if condition is None else {"loss_of_number": -network.log_number(given)}
    if network.observables is not None:
        rows = {"x": observables, "condition": network.with_number(mask, condition)}
        errors["loss_of_observables"] = _errors(network.observables, rows, generator)
    return errors
