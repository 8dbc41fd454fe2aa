"""The two networks of a GAN: a generator with an output head, and a discriminator, of one model or several replicas.

The generator works between whitened features, in which a discriminator sees the thin directions of the data:

    z, c -> network -> y_0 -> unwhiten -> head -> whiten -> y,      features = unwhiten(y)

The head makes raw features admissible (angles on their circle, one category at a time), so it acts between the two
linear maps. With a kinematic fit (`reverie.models.gan.kinematic_fit`) the network emits k numbers more, and y is moved
to where k observables have the values they ask for; the head then acts once more. Images are not whitened. A vector c
that the sample is conditioned on joins the noise; an image goes to the network as it is. Of sets of particles the mask,
which is drawn by a law of its own, stands before c, and the head leaves padding at zero.

Categories of a table are drawn by the last numbers of z, which the network does not see, one for each one-hot feature:
with u their distribution function, -log(-log u) follows Gumbel's law, and the largest sum of it and a raw feature is a
draw by the softmax of the raw features (`reverie.networks.features`). Without this noise the network has to cut z into
regions of the right size itself, whose edges the gradient of the softmax hardly moves.
"""

import math
from collections.abc import Sequence
from typing import Any, cast

import torch
from torch import Tensor, nn

from reverie.core.errors import InputError
from reverie.core.protocols import Transform
from reverie.data.transforms import Particles
from reverie.models.clusters import Clusters
from reverie.models.gan.kinematic_fit import KinematicFit
from reverie.models.multiplicity import MultiplicityLaw
from reverie.networks.features import OutputHead, Whitening
from reverie.networks.init import initialised
from reverie.networks.sets import SetHead

__all__ = ["Generator", "draw_noise", "head_of", "matching_generator", "start_at_mean"]

_LEAST_SHARE = 1e-6  # of a distribution function from either end: beyond lies no finite number of Gumbel's law
_LARGEST_MEAN = 0.97  # of a tanh feature: a pixel that is always black starts where the tanh still has a slope


class Generator(nn.Module):
    """Noise (batch, n_noise), and perhaps a condition, to whitened samples (batch, *event).

    Parameters
    ----------
    network : noise to raw samples, flat or of the event's shape; with image conditions (noise, image) to them.
    head : activation of each feature.
    whitening : fitted map between features and whitened ones, or None.
    event_shape : shape of one sample.
    fit : moves samples of a table to the observables they ask for, or None.
    multiplicity : the law of the number of particles of sets, whose conditions begin with the mask; else None.
    clusters : of images without other conditions, each of which is made given its cluster; else None.
    category_prior : law of the numbers of z by which categories are drawn, as in `draw_noise`; None draws none.
    """

    def __init__(
        self,
        network: nn.Module,
        head: OutputHead | SetHead,
        whitening: Whitening | None,
        event_shape: tuple[int, ...],
        fit: KinematicFit | None = None,
        multiplicity: MultiplicityLaw | None = None,
        clusters: Clusters | None = None,
        category_prior: str | None = None,
    ) -> None:
        super().__init__()
        self.category_prior = category_prior
        self.fit, self.multiplicity, self.clusters = fit, multiplicity, clusters
        self.network, self.head, self.whitening, self.event_shape = network, head, whitening, event_shape

    def forward(self, z: Tensor, condition: Tensor | None = None) -> Tensor:
        """Return whitened samples (batch, *event) of noise z (batch, n_noise) and the condition of each."""
        gumbel = None
        if self.category_prior is not None:
            n = len(cast("OutputHead", self.head).simplex)
            z, last = z[:, :-n], z[:, -n:]
            u = (1 + last) / 2 if self.category_prior == "uniform" else torch.special.erfc(-last / math.sqrt(2)) / 2
            gumbel = -(-u.clamp(_LEAST_SHARE, 1 - _LEAST_SHARE).log()).log()
        y = self._raw(z, condition).flatten(1)
        if self.fit is None:
            return self._admissible(y, gumbel).reshape(-1, *self.event_shape)
        y, shift = y[:, : -self.fit.n_values], y[:, -self.fit.n_values :]
        return self._admissible(self.fit(self._admissible(y, gumbel), shift, z, self.unwhiten))

    def around(self, network: nn.Module) -> "Generator":
        """Return the same generator around another network, such as one replica's, in evaluation mode."""
        laws = (self.fit, self.multiplicity, self.clusters, self.category_prior)
        return Generator(network, self.head, self.whitening, self.event_shape, *laws).eval()

    @property
    def draws_first(self) -> bool:
        """Whether a number of particles or a cluster is drawn before the sample."""
        return self.multiplicity is not None or self.clusters is not None

    def given(self, u: Tensor, condition: Tensor | None) -> Tensor | None:
        """Return what the network is given of conditions: those of sets after masks of uniform numbers u (batch,).

        Of images in clusters that is a cluster, drawn by u.
        """
        if self.clusters is not None:
            return self.clusters.drawn(u)
        if self.multiplicity is None:
            return condition
        mask = self.multiplicity.masks(u, condition)
        return mask if condition is None else torch.cat([mask, condition], dim=1)

    def _admissible(self, y: Tensor, gumbel: Tensor | None = None) -> Tensor:
        y = self.unwhiten(y)
        return self.whiten(self.head(y) if gumbel is None else self.head(y, gumbel))

    def _raw(self, z: Tensor, condition: Tensor | None) -> Tensor:
        if condition is None:
            return self.network(z)
        return self.network(torch.cat([z, condition], dim=1)) if condition.ndim == 2 else self.network(z, condition)

    def whiten(self, features: Tensor) -> Tensor:
        """Return whitened features of features, both (batch, *event)."""
        return features if self.whitening is None else self.whitening(features)

    def unwhiten(self, samples: Tensor) -> Tensor:
        """Return features of whitened ones, both (batch, *event)."""
        return samples if self.whitening is None else self.whitening.inverse(samples)


def draw_noise(n: int, n_noise: int, *, prior: str, generator: torch.Generator) -> Tensor:
    """Return noise (n, n_noise) on the generator's device: "normal" N(0, 1), or "uniform" on [-1, 1)."""
    if prior == "normal":
        return torch.randn(n, n_noise, generator=generator, device=generator.device)
    if prior == "uniform":
        return torch.empty(n, n_noise, device=generator.device).uniform_(-1, 1, generator=generator)
    raise InputError(f"Expected noise_prior 'normal' or 'uniform', got {prior!r}.")


def head_of(transform: Transform) -> OutputHead | SetHead:
    """Return the output head for features of a fitted change of variables, from its `outputs` and `output_shape`."""
    shape = tuple(transform.output_shape)
    if isinstance(transform, Particles):
        own = transform.outputs[:-1]
        return SetHead(OutputHead([tag.kind for tag in own], [tag.group for tag in own]), shape[0])
    tags = list(transform.outputs)
    tags = tags * math.prod(shape) if len(tags) == 1 else tags  # images of numbers carry one tag for all
    return OutputHead([tag.kind for tag in tags], [tag.group for tag in tags])


def matching_generator(
    transform: Transform, *, n_noise: int, hidden: Sequence[int], random_generator: torch.Generator
) -> Generator:
    """Return a perceptron with batch normalisation after each hidden layer, its output admissible for the data.

    Parameters
    ----------
    transform : fitted change of variables; its `output_shape` and `outputs` say what samples may be.
    n_noise : numbers of noise, uniform on [-1, 1).
    hidden : widths of the hidden layers.
    random_generator : source of the first weights.
    """
    shape, widths = tuple(transform.output_shape), [n_noise, *hidden]

    def make() -> nn.Module:
        layers: list[nn.Module] = []
        for a, b in zip(widths[:-1], widths[1:], strict=True):
            layers += [nn.Linear(a, b), nn.LeakyReLU(0.2), nn.BatchNorm1d(b)]
        return nn.Sequential(*layers, nn.Linear(widths[-1], math.prod(shape)))

    return Generator(initialised(make, random_generator), head_of(transform), None, shape)


@torch.no_grad()
def start_at_mean(G: Generator, mean: Tensor) -> None:
    """Let the first samples of a perceptron lie at the mean of the features (*event)."""
    network: Any = G.network
    last = network[-1]
    kinds = G.head.kinds if isinstance(G.head, OutputHead) else G.head.head.kinds
    through_tanh = torch.tensor([kind == "tanh" for kind in kinds], device=mean.device)
    bounded = mean.flatten().clamp(-_LARGEST_MEAN, _LARGEST_MEAN)
    last.bias.copy_(torch.where(through_tanh, torch.atanh(bounded), mean.flatten()))
