"""A generator network dressed for the data: its output head, and the space in which the game is played.

    z, c -> network -> y_0 -> unwhiten -> head -> whiten -> y,      features = unwhiten(y)

With a kinematic fit (`reverie.models.gan.kinematic_fit`) the network emits k numbers more, and y is moved to where k
observables have the values they ask for; the head then acts once more. The head makes raw features
admissible (angles on their circle, one category at a time), so it acts between the two linear
maps. Images are played as they are. A vector c that the sample is conditioned on joins the noise; an image
goes to the network as it is.
"""

import math
from typing import Any

import torch
from torch import Tensor, nn

from reverie.models.gan.kinematic_fit import KinematicFit
from reverie.networks.heads import OutputHead
from reverie.networks.whitening import Whitening

__all__ = ["ShapedGenerator", "head_of"]


class ShapedGenerator(nn.Module):
    """Noise (batch, n_noise), and perhaps a condition, to samples of the game (batch, *event).

    Parameters
    ----------
    network : noise to raw samples, flat or of the event's shape; with image conditions (noise, image) to them.
    head : activation of each feature.
    whitening : fitted map between features and the game, or None.
    event_shape : shape of one sample.
    fit : moves samples of a table to the observables they ask for, or None.
    """

    def __init__(
        self,
        network: nn.Module,
        head: OutputHead,
        whitening: Whitening | None,
        event_shape: tuple[int, ...],
        fit: KinematicFit | None = None,
    ) -> None:
        super().__init__()
        self.fit = fit
        self.network, self.head, self.whitening, self.event_shape = network, head, whitening, event_shape

    def forward(self, z: Tensor, condition: Tensor | None = None) -> Tensor:
        """Return samples of the game (batch, *event) of noise z (batch, n_noise) and the condition of each."""
        y = self._raw(z, condition).flatten(1)
        if self.fit is None:
            return self._admissible(y).reshape(-1, *self.event_shape)
        y, shift = y[:, : -self.fit.n_values], y[:, -self.fit.n_values :]
        return self._admissible(self.fit(self._admissible(y), shift, z, self.from_game))

    def alone(self, network: nn.Module) -> "ShapedGenerator":
        """Return a generator dressed alike around another network, such as one replica's, in evaluation mode."""
        return ShapedGenerator(network, self.head, self.whitening, self.event_shape, self.fit).eval()

    def _admissible(self, y: Tensor) -> Tensor:
        return self.head(y) if self.whitening is None else self.whitening(self.head(self.whitening.inverse(y)))

    def _raw(self, z: Tensor, condition: Tensor | None) -> Tensor:
        if condition is None:
            return self.network(z)
        return self.network(torch.cat([z, condition], dim=1)) if condition.ndim == 2 else self.network(z, condition)

    def to_game(self, features: Tensor) -> Tensor:
        """Return features (batch, *event) of data as the game sees them."""
        return features if self.whitening is None else self.whitening(features)

    def from_game(self, samples: Tensor) -> Tensor:
        """Return the features of samples of the game, both (batch, *event)."""
        return samples if self.whitening is None else self.whitening.inverse(samples)


def head_of(transform: Any) -> OutputHead:
    """Return the output head for features of a fitted change of variables, from its `outputs` and `output_shape`."""
    shape = tuple(transform.output_shape)
    tags = list(transform.outputs) * (1 if len(shape) == 1 else math.prod(shape))  # images carry one tag for all
    return OutputHead([tag.kind for tag in tags], [tag.group for tag in tags])
