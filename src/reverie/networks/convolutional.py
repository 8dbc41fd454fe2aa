"""Convolutional generators and discriminators for images and lattices of any size and number of channels.

`ConvGenerator` and `ConvDiscriminator` follow DCGAN (Radford, Metz and Chintala, arXiv:1511.06434): the generator
projects the noise onto a small grid and doubles it by transposed convolutions (kernel 4, stride 2, padding 1); the
discriminator halves it by convolutions of the same kernel. The number of stages follows from the size: halve (rounding
up) while the smaller side is at least 8, so 28 -> 14 -> 7 and 32 -> 16 -> 8 -> 4. To an odd side leads a kernel of 3.
The discriminator has no batch normalisation: it would mix samples that gradient penalties treat one by one.

Weights lie in memory with the channels last, in which order convolutions of few channels are faster
on a processor; it changes no result beyond rounding.

`UNetGenerator` makes images from images: an encoder and a decoder with shortcuts, and noise at the narrowest grid,

    e_0 = condition,  e_k = halve(e_{k-1}),   d_K = mix(e_K, project(z)),
    d_{k-1} = double(d_k) joined with e_{k-1},   y = last(d_0)

The shortcuts (U-Net: Ronneberger, Fischer and Brox, arXiv:1505.04597; as a conditional generator: Isola
et al., arXiv:1611.07004) carry what the condition tells about each pixel past the narrow grid. Grids are
halved and cropped as above, so that any size fits. Layers are normalised within
each sample (group normalisation: Wu and He, arXiv:1803.08494), so a sample does not depend on its
neighbours in the batch; the first grid is left as it is, since absolute values matter in physics.

`CircularConv2d` is torch's convolution with ``padding_mode="circular"`` for lattices whose opposite edges touch. It
gathers the padded places by one index of the flattened grid; torch's own padding, which copies edge by edge, takes as
long as all the rest of a training step.
"""

import math

import torch
from torch import Tensor, nn

from reverie.core.errors import InputError

__all__ = [
    "CircularConv2d",
    "ConvDiscriminator",
    "ConvGenerator",
    "JoinedGenerator",
    "UNetGenerator",
    "as_channels",
    "grids",
    "halving",
]

_SMALLEST_SIDE = 4
_LEAST_HALVED = 2 * _SMALLEST_SIDE  # 7 stays as it is: digits came out better, and cheaper, than from 4
_G_WIDTH, _D_WIDTH = 16, 32  # channels of the finest grid; of 16, D soon sees no more difference
_DENSE = 4  # width of the discriminator's dense layer over that of its finest grid
_LEAK = 0.2  # as in the DCGAN paper
_GROUP = 8  # channels that are normalised together


def grids(height: int, width: int, *, least: int = 2 * _SMALLEST_SIDE - 1) -> list[tuple[int, int]]:
    """Return the sizes from the image down to the smallest grid: sides are halved while both are at least `least`."""
    sizes = [(height, width)]
    while min(sizes[-1]) >= least:
        h, w = sizes[-1]
        sizes.append((math.ceil(h / 2), math.ceil(w / 2)))
    return sizes


def as_channels(event_shape: tuple[int, ...]) -> tuple[int, int, int]:
    """Return (channel, height, width) of images without or with a channel axis; raise `InputError` for others."""
    if len(event_shape) not in (2, 3):
        raise InputError(
            f"Expected images (height, width) or (channel, height, width) for a convolutional network, "
            f"got event shape {event_shape}. Use generator='mlp' for tables."
        )
    channels, height, width = (1, *event_shape) if len(event_shape) == 2 else event_shape
    return channels, height, width


def halving(n_inputs: int, n_outputs: int, size: tuple[int, int], *, kernel_size: int = 4) -> list[nn.Module]:
    """Return the layers that halve a grid of `size`, rounding up: an odd side is padded once more."""
    before = (kernel_size - 1) // 2
    h, w = (kernel_size - 2 - before + side % 2 for side in size)
    if max(h, w) <= before:  # the convolution pads both ends alike without a copy; one more row at the end goes unseen
        return [nn.Conv2d(n_inputs, n_outputs, kernel_size, stride=2, padding=before)]
    return [nn.ZeroPad2d((before, w, before, h)), nn.Conv2d(n_inputs, n_outputs, kernel_size, stride=2)]


def kernel_to(fine: tuple[int, int]) -> tuple[int, int]:
    """Return the kernel that links a grid of size `fine` to that of half its size: 4, and 3 along odd sides."""
    return (4 - fine[0] % 2, 4 - fine[1] % 2)


def doubling(n_inputs: int, n_outputs: int, size: tuple[int, int], *, bias: bool = True) -> nn.Module:
    """Return the transposed convolution that leads to a grid of `size` from one of half of it, rounded up."""
    return nn.ConvTranspose2d(n_inputs, n_outputs, kernel_to(size), stride=2, padding=1, bias=bias)


class CircularConv2d(nn.Conv2d):
    """`torch.nn.Conv2d` of images (batch, channel, height, width) whose opposite edges touch.

    Parameters
    ----------
    n_inputs, n_outputs, kernel_size : As in `torch.nn.Conv2d`.
    stride : Step between the places of the output.
    padding : Rows and columns of the opposite edge that are put before and after each edge.
    """

    def __init__(self, n_inputs: int, n_outputs: int, kernel_size: int, *, stride: int = 1, padding: int = 0) -> None:
        super().__init__(n_inputs, n_outputs, kernel_size, stride=stride)
        self.circular_padding = padding

    def forward(self, input: Tensor) -> Tensor:
        """Return features (batch, n_outputs, height', width') of `input`, as torch's circular padding gives them."""
        n, c, height, width = input.shape
        p = self.circular_padding
        if p == 0:
            return super().forward(input)
        rows = torch.arange(-p, height + p, device=input.device) % height
        columns = torch.arange(-p, width + p, device=input.device) % width
        places = (rows[:, None] * width + columns).flatten()
        by_place = input.permute(0, 2, 3, 1).reshape(n, height * width, c).index_select(1, places)
        return super().forward(by_place.reshape(n, height + 2 * p, width + 2 * p, c).permute(0, 3, 1, 2))


class ConvGenerator(nn.Module):
    """Noise to images: project, then double by transposed convolutions. An output head comes after.

    Its `width` channels before the last layer double at every coarser grid.
    """

    def __init__(self, n_noise: int, event_shape: tuple[int, ...], *, width: int = _G_WIDTH) -> None:
        super().__init__()
        channels, height, breadth = as_channels(tuple(event_shape))
        smallest, *larger = grids(height, breadth, least=_LEAST_HALVED)[::-1]
        top = width * 2 ** max(0, len(larger) - 1)
        self.project = nn.Sequential(
            nn.Linear(n_noise, top * math.prod(smallest)),
            nn.Unflatten(1, (top, *smallest)),
            nn.BatchNorm2d(top),
            nn.ReLU(),
        )
        layers: list[nn.Module] = []
        for size in larger[:-1]:
            layers += [doubling(top, top // 2, size, bias=False), nn.BatchNorm2d(top // 2), nn.ReLU()]
            top //= 2
        last = doubling(top, channels, larger[-1]) if larger else nn.Conv2d(top, channels, kernel_size=3, padding=1)
        # pyrefly: ignore[no-matching-overload] - torch takes it
        self.grow = nn.Sequential(*layers, last).to(memory_format=torch.channels_last)

    def forward(self, z: Tensor) -> Tensor:
        """Map noise (batch, n_noise) to raw images (batch, channel, height, width)."""
        return self.grow(self.project(z))


class ConvDiscriminator(nn.Module):
    """Images to one logit each: halve by convolutions, then a dense layer and a linear one.

    The dense layer is what sees a picture as a whole: a linear layer on the grid adds up what its places look
    like, and lets pass digits whose strokes are right one by one. Its `width` channels after the first layer double at
    every coarser grid.
    """

    def __init__(self, event_shape: tuple[int, ...], *, width: int = _D_WIDTH, n_outputs: int = 1) -> None:
        super().__init__()
        self.shape = as_channels(tuple(event_shape))
        channels, height, breadth = self.shape
        dense = _DENSE * width
        layers: list[nn.Module] = []
        sizes = grids(height, breadth, least=_LEAST_HALVED)
        for size in sizes[:-1]:
            layers += [*halving(channels, width, size), nn.LeakyReLU(_LEAK)]
            channels, width = width, width * 2
        h, w = sizes[-1]
        layers += [nn.Flatten(), nn.Linear(channels * h * w, dense), nn.LeakyReLU(_LEAK)]
        layers += [nn.Linear(dense, n_outputs)]
        # pyrefly: ignore[no-matching-overload] - torch takes it
        self.body = nn.Sequential(*layers).to(memory_format=torch.channels_last)

    def forward(self, x: Tensor) -> Tensor:
        """Map images (batch, *event) to logits (batch, n_outputs)."""
        return self.body(x.reshape(-1, *self.shape))


class UNetGenerator(nn.Module):
    """Noise and an image condition to images of the same height and width.

    Its `width` channels on the finest grid double at every coarser one, up to eight times as many. Raises `InputError`
    when images and conditions differ in height or width, or are no images.

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
    """Noise and an image condition, joined to one vector, which `network` turns into samples."""

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
