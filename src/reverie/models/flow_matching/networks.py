"""The velocity network for a kind of events, by name, or one of the user."""

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from reverie.core.errors import InputError
from reverie.models.density_features import Coordinates
from reverie.models.flow_matching.perceptron import VelocityMLP
from reverie.models.flow_matching.set_network import VelocitySet
from reverie.models.flow_matching.unet import VelocityUNet
from reverie.models.flow_matching.velocity import Velocity
from reverie.networks.init import initialised
from reverie.networks.user import check_trial, user_network

__all__ = ["UserVelocity", "build_velocity"]


class UserVelocity(Velocity):
    """A network of the user's: ``network(x, t)``, or ``network(x, t, condition)`` where there is a condition.

    Parameters
    ----------
    coordinates : Coordinates of an event.
    network : Points (batch, *event), lines over sqrt(q), times (batch, 1) and conditions to F (batch, n), what a
        Gaussian leaves open of the velocity; see the module.
    event_shape : Shape in which the coordinates of an event are given to it.
    """

    def __init__(self, coordinates: Coordinates, network: nn.Module, event_shape: tuple[int, ...]) -> None:
        super().__init__(coordinates)
        self.network, self.event_shape = network, event_shape

    def remainder(self, x: Tensor, t: Tensor, condition: Tensor | None) -> Tensor:
        """Return F (batch, n); see `Velocity`."""
        given = () if condition is None else (condition,)
        return self.network(x.reshape(-1, *self.event_shape), t.expand(len(x), 1), *given).flatten(1)


def build_velocity(
    spec: str | nn.Module | Callable[..., nn.Module],
    coordinates: Coordinates,
    *,
    event_shape: tuple[int, ...],
    condition_shape: tuple[int, ...] | None,
    n_observables: int = 0,
    n_clusters: int = 0,
    width: int,
    n_blocks: int,
    activation: str,
    periodic: bool,
    sees_missing: bool,
    edition: int,
    random_generator: torch.Generator,
) -> Velocity:
    """Return an untrained velocity network.

    Parameters
    ----------
    spec : "mlp", "unet", "epic", "attention", a module, or a factory called with (event_shape, n_outputs).
    coordinates : Coordinates of an event.
    event_shape : Shape of one event as features.
    condition_shape : Shape of one condition, or None.
    n_observables : As in `VelocitySet`.
    n_clusters : As in `VelocityUNet`.
    width, n_blocks, activation, periodic, sees_missing, edition : As in `VelocityMLP` and `VelocityUNet`.
    random_generator : Source of the first weights.

    Raises
    ------
    InputError
        For events that are no images for "unet", a network that does not fit, or one that cannot see what is missing.
    """
    if sees_missing and spec != "mlp":
        raise InputError(
            f"Expected network='mlp' or 'trees' for events with missing values, got {spec!r}. Take one of those, or "
            "leave out incomplete rows (--drop-missing, or Dataset.drop_missing())."
        )
    if isinstance(spec, str):
        is_unet = spec == "unet"
        n_condition = 0 if condition_shape is None else math.prod(condition_shape)

        def make() -> Velocity:
            if spec in ("epic", "attention"):
                layers: dict[str, Any] = {"width": width, "n_layers": n_blocks, "kind": spec, "activation": activation}
                return VelocitySet(coordinates, event_shape[0], n_condition, n_observables=n_observables, **layers)
            if is_unet:
                images = {"width": width, "activation": activation, "periodic": periodic, "edition": edition}
                return VelocityUNet(coordinates, event_shape, condition_shape, n_clusters=n_clusters, **images)
            sizes = {"width": width, "n_blocks": n_blocks, "activation": activation, "sees_missing": sees_missing}
            return VelocityMLP(coordinates, n_condition, **sizes, edition=edition)

        return initialised(make, random_generator)
    shape = (coordinates.n,) if coordinates.circles else event_shape
    network = user_network(spec, (shape, coordinates.n), random_generator)
    conditions = [] if condition_shape is None else [torch.zeros(2, *condition_shape)]
    do = f"It is called with points, times{' and conditions' * bool(conditions)}."
    inputs = [torch.zeros(2, *shape), torch.full((2, 1), 0.5), *conditions]
    check_trial(network, "velocity", inputs, coordinates.n, named={}, do=do)
    return UserVelocity(coordinates, network, shape)
