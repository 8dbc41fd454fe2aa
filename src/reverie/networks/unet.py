"""Images from images: an encoder and a decoder with shortcuts, and noise at the narrowest place.

    e_0 = condition,  e_k = halve(e_{k-1}),   d_K = mix(e_K, project(z)),
    d_{k-1} = double(d_k) joined with e_{k-1},   y = last(d_0)

The shortcuts (U-Net: Ronneberger, Fischer and Brox, arXiv:1505.04597; as a conditional generator: Isola
et al., arXiv:1611.07004) carry what the condition tells about each pixel past the narrow grid. Grids are
halved and cropped as in `reverie.networks.conv`, so that any size fits. Layers are normalised within
each sample (group normalisation: Wu and He, arXiv:1803.08494), so a sample does not depend on its
neighbours in the batch; the first grid is left as it is, since absolute values matter in physics.
"""

import math

import torch
from torch import Tensor, nn

from reverie.core.errors import InputError
from reverie.networks.conv import as_channels, grids, halving

__all__ = ["JoinedGenerator", "UNetGenerator"]

_LEAK = 0.2
_GROUP = 8  # channels in a group


class UNetGenerator(nn.Module):
    """Noise and an image condition to images of the same height and width.

    Parameters
    ----------
    n_noise : latent size.
    event_shape : (height, width) or (channel, height, width) of the images.
    condition_shape : the same of the condition; its channels may differ.
    width : channels on the finest grid; doubled at every coarser one, up to eight times.

    Raises
    ------
    InputError
        When the two differ in height or width, or are no images.

    Examples
    --------
    >>> import torch
    >>> G = UNetGenerator(8, (28, 28), (2, 28, 28), width=4)
    >>> G(torch.zeros(5, 8), torch.zeros(5, 2, 28, 28)).shape
    torch.Size([5, 1, 28, 28])
    """

    def __init__(
        self, n_noise: int, event_shape: tuple[int, ...], condition_shape: tuple[int, ...], *, width: int = 32
    ) -> None:
        super().__init__()
        channels, height, breadth = as_channels(tuple(event_shape))
        self.condition_shape = as_channels(tuple(condition_shape))
        if self.condition_shape[1:] != (height, breadth):
            raise InputError(
                f"Expected an image condition of {height} x {breadth} pixels like the samples, got shape "
                f"{tuple(condition_shape)}. Resize one of them."
            )
        self.sizes = grids(height, breadth)
        widths = [min(width * 2**k, 8 * width) for k in range(len(self.sizes))]
        self.first = nn.Sequential(nn.Conv2d(self.condition_shape[0], width, 3, padding=1), nn.LeakyReLU(_LEAK))
        self.down = nn.ModuleList(
            nn.Sequential(*halving(a, b, size), _norm(b), nn.LeakyReLU(_LEAK))
            for a, b, size in zip(widths[:-1], widths[1:], self.sizes[:-1], strict=True)
        )
        self.project = nn.Sequential(
            nn.Linear(n_noise, width * math.prod(self.sizes[-1])), nn.Unflatten(1, (width, *self.sizes[-1]))
        )
        self.mix = _convolution(widths[-1] + width, widths[-1])
        self.up = nn.ModuleList(
            nn.ConvTranspose2d(b, a, kernel_size=4, stride=2, padding=1)
            for a, b in zip(widths[:-1], widths[1:], strict=True)
        )
        self.join = nn.ModuleList(_convolution(2 * a, a) for a in widths[:-1])
        self.last = nn.Conv2d(width, channels, 3, padding=1)

    def forward(self, z: Tensor, image: Tensor) -> Tensor:
        """Map noise (batch, n_noise) and conditions (batch, *condition) to raw images (batch, *event)."""
        encoded = [self.first(image.reshape(-1, *self.condition_shape))]
        for halve in self.down:
            encoded.append(halve(encoded[-1]))
        h = self.mix(torch.cat([encoded[-1], self.project(z)], dim=1))
        for k in reversed(range(len(self.up))):
            height, breadth = self.sizes[k]
            h = self.up[k](h)[..., :height, :breadth]
            h = self.join[k](torch.cat([h, encoded[k]], dim=1))
        return self.last(h)


class JoinedGenerator(nn.Module):
    """Noise and an image condition, joined to one vector, to samples.

    Parameters
    ----------
    network : (batch, n_noise + pixels) to raw samples.
    """

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, z: Tensor, image: Tensor) -> Tensor:
        """Map noise (batch, n_noise) and conditions (batch, *condition) to what the network gives."""
        return self.network(torch.cat([z, image.flatten(1)], dim=1))


def _convolution(n_inputs: int, n_outputs: int) -> nn.Module:
    return nn.Sequential(nn.Conv2d(n_inputs, n_outputs, 3, padding=1), _norm(n_outputs), nn.LeakyReLU(_LEAK))


def _norm(channels: int) -> nn.Module:
    return nn.GroupNorm(math.gcd(channels, max(1, channels // _GROUP)), channels)
