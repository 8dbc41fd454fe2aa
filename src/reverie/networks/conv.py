"""Convolutional pairs for images and lattices of any size and number of channels.

After DCGAN (Radford, Metz and Chintala, arXiv:1511.06434): the generator projects the noise onto a
small grid and doubles it by transposed convolutions (kernel 4, stride 2, padding 1); the
discriminator halves it by convolutions of the same kernel. The number of stages follows from the
size: halve (rounding up) while the smaller side stays at least 4. Grids that overshoot, such as 7 for 28 or
4 for 25, are cropped to the asked size. The discriminator has no batch normalisation: it would mix
samples that gradient penalties treat one by one.
"""

import math

from torch import Tensor, nn

from reverie.core.errors import InputError

__all__ = ["ConvDiscriminator", "ConvGenerator"]

_SMALLEST_SIDE = 4
_LEAK = 0.2  # as in the DCGAN paper


def _grids(height: int, width: int) -> list[tuple[int, int]]:
    """Sizes from the image down to the smallest grid."""
    sizes = [(height, width)]
    while min(sizes[-1]) >= 2 * _SMALLEST_SIDE - 1:
        h, w = sizes[-1]
        sizes.append((math.ceil(h / 2), math.ceil(w / 2)))
    return sizes


def _as_channels(event_shape: tuple[int, ...]) -> tuple[int, int, int]:
    if len(event_shape) not in (2, 3):
        raise InputError(
            f"Expected images (height, width) or (channel, height, width) for a convolutional network, "
            f"got event shape {event_shape}. Use generator='mlp' for tables."
        )
    return (1, *event_shape) if len(event_shape) == 2 else event_shape  # pyright: ignore[reportReturnType]


class ConvGenerator(nn.Module):
    """Noise to images: project, then double by transposed convolutions.

    Parameters
    ----------
    n_noise : latent size.
    event_shape : (height, width) or (channel, height, width) of the images.
    width : channels before the last layer; doubled at every coarser grid.

    Notes
    -----
    The values are unbounded; the output head comes after.
    """

    def __init__(self, n_noise: int, event_shape: tuple[int, ...], *, width: int = 32) -> None:
        super().__init__()
        channels, height, breadth = _as_channels(tuple(event_shape))
        self.size = (height, breadth)
        grids = _grids(height, breadth)
        n_stages = len(grids) - 1
        top = width * 2 ** max(0, n_stages - 1)
        self.start = (top, *grids[-1])
        self.project = nn.Sequential(
            nn.Linear(n_noise, math.prod(self.start)), nn.Unflatten(1, self.start), nn.BatchNorm2d(top), nn.ReLU()
        )
        layers: list[nn.Module] = []
        for k in range(n_stages):
            last = k == n_stages - 1
            out = channels if last else top // 2
            layers.append(nn.ConvTranspose2d(top, out, kernel_size=4, stride=2, padding=1, bias=last))
            layers += [] if last else [nn.BatchNorm2d(out), nn.ReLU()]
            top = out
        self.grow = nn.Sequential(*layers) if layers else nn.Conv2d(top, channels, kernel_size=3, padding=1)

    def forward(self, z: Tensor) -> Tensor:
        """Map noise (batch, n_noise) to raw images (batch, channel, height, width)."""
        return self.grow(self.project(z))[..., : self.size[0], : self.size[1]]


class ConvDiscriminator(nn.Module):
    """Images to one logit each: halve by convolutions, then a linear layer.

    Parameters
    ----------
    event_shape : (height, width) or (channel, height, width) of the images.
    width : channels after the first layer; doubled at every coarser grid.
    n_outputs : logits per image.
    """

    def __init__(self, event_shape: tuple[int, ...], *, width: int = 32, n_outputs: int = 1) -> None:
        super().__init__()
        self.shape = _as_channels(tuple(event_shape))
        channels, height, breadth = self.shape
        layers: list[nn.Module] = []
        grids = _grids(height, breadth)
        for h, w in grids[:-1]:
            padding = (1 + h % 2, 1 + w % 2)  # an odd side is padded, so that it halves to its ceiling
            layers += [
                nn.ZeroPad2d((1, padding[1], 1, padding[0])),
                nn.Conv2d(channels, width, kernel_size=4, stride=2),
                nn.LeakyReLU(_LEAK),
            ]
            channels, width = width, width * 2
        h, w = grids[-1]
        self.body = nn.Sequential(*layers, nn.Flatten(), nn.Linear(channels * h * w, n_outputs))

    def forward(self, x: Tensor) -> Tensor:
        """Map images (batch, *event) to logits (batch, n_outputs)."""
        return self.body(x.reshape(-1, *self.shape))
