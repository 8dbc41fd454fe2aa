"""The networks of the lectures on generative adversarial networks, layer by layer.

"lecture_mlp"   the MLP GAN of the lecture "Writing Our First Generative Adversarial Network", whose listing is that of
                chapter 17 of Raschka, Liu and Mirjalili, "Machine Learning with PyTorch and Scikit-Learn" (2022): one
                hidden layer of 100, LeakyReLU(0.01), 20-100-784 and 784-100-1 for MNIST. The slide cuts the listing
                off within the discriminator; the book goes on with a first layer without bias and Dropout(0.5) before
                the last. 81,284 and 78,501 parameters
"thesis"        the dense-plus-convolution pair for vectors of the lectures' thesis (section 3.5): a dense layer onto
                two planes of 10 x 10, four convolutions 3 x 3 of 128, 64, 32 and 16 filters, a dense layer. With 100
                numbers of noise and 3 generated features the generator has 125,835 parameters (880 of them running
                statistics); with 2 input features the discriminator has 101,513
"dcgan28"       the DCGAN of the tutorial that the lectures adapt (TensorFlow tutorials, "Deep Convolutional Generative
                Adversarial Network"), after Radford, Metz and Chintala, arXiv:1511.06434: kernels 5 x 5, from
                7 x 7 x 256 to 28 x 28; LeakyReLU(0.3), dropout 0.3 in the discriminator; 2,330,944 parameters (25,472
                of them running statistics) and 212,865
"wgan_conv"     the convolutional Wasserstein pair of the same book's chapter 17: n_filters = 32 doubled from grid to
                grid, instance normalisation without weights, which treats samples one by one as the gradient penalty
                asks (Gulrajani et al., arXiv:1704.00028); 311,808 and 109,056 parameters

The last activation of a generator (tanh or none) is left to the output head, that of a discriminator (a sigmoid) to the
objective, and first weights are drawn as for all networks (`reverie.networks.init`), not by the rule of Keras. The
image pairs fit other sizes than 28 x 28 too. Keras and torch pad strided 5 x 5 convolutions of an even side differently
by one pixel; sizes and numbers of parameters agree.

Where the documents contradict themselves or their method, these networks follow the method:

* The listing of "wgan_conv" ends its critic in a sigmoid. A critic estimates a Wasserstein distance, for which it must
  be free to take any value (Arjovsky et al., arXiv:1701.07875, section 3): ours ends in its last convolution.
* The generator of the thesis gives three features and its discriminator takes two (figures 3.7 and 3.8): here both have
  as many as the data. "Each layer is followed by batch normalisation" holds in its table for all layers but the last.
* The lecture minimises E log(1 - D(G(h))) in its formulas, and in its listing the cross-entropy between D(G(h)) and
  ones, which is the objective called "non_saturating" here. The presets follow the listings.
"""

import math
from collections.abc import Callable

from torch import Tensor, nn

from reverie.networks.convolutional import as_channels, grids, halving, kernel_to
from reverie.networks.noise import Dropout

__all__ = [
    "AsImages",
    "Cropped",
    "dcgan28_discriminator",
    "dcgan28_generator",
    "lecture_discriminator",
    "lecture_generator",
    "thesis_discriminator",
    "thesis_generator",
    "wgan_conv_discriminator",
    "wgan_conv_generator",
]

_WIDTH, _LECTURE_LEAK, _LECTURE_DROPOUT = 100, 0.01, 0.5  # of the lecture's layers; torch's default slope
_PLANES, _FILTERS, _THESIS_LEAK, _THESIS_DROPOUT = (2, 10, 10), (128, 64, 32, 16), 0.2, 0.2
_DCGAN_FILTERS = (256, 128, 64)
_KERAS_LEAK, _DCGAN_DROPOUT = 0.3, 0.3  # Keras' default slope; the tutorial's rate
_KERAS_MOMENTUM, _KERAS_EPSILON = 0.01, 1e-3  # Keras' 0.99 and 0.001; torch counts the momentum from the other end
_WGAN_LEAK = 0.2


class Cropped(nn.Sequential):
    """Layers whose images (batch, channel, height, width) are cut to `size`, (height, width)."""

    def __init__(self, *layers: nn.Module, size: tuple[int, int]) -> None:
        super().__init__(*layers)
        self.size = size

    def forward(self, input: Tensor) -> Tensor:
        """Map noise (batch, n_noise) to images (batch, channel, *size)."""
        return super().forward(input)[..., : self.size[0], : self.size[1]]


class AsImages(nn.Module):
    """Give samples (batch, *event) the shape (batch, channel, height, width)."""

    def __init__(self, shape: tuple[int, int, int]) -> None:
        super().__init__()
        self.shape = shape

    def forward(self, x: Tensor) -> Tensor:
        """Return the same values in that shape."""
        return x.reshape(-1, *self.shape)


def lecture_generator(n_noise: int, event_shape: tuple[int, ...]) -> nn.Module:
    """Return noise (batch, n_noise) -> 100 -> (batch, features)."""
    n_features = math.prod(event_shape)
    return nn.Sequential(nn.Linear(n_noise, _WIDTH), nn.LeakyReLU(_LECTURE_LEAK), nn.Linear(_WIDTH, n_features))


def lecture_discriminator(event_shape: tuple[int, ...]) -> nn.Module:
    """Return samples (batch, *event) -> 100 -> logits (batch, 1)."""
    layers = [nn.Flatten(), nn.Linear(math.prod(event_shape), _WIDTH, bias=False), nn.LeakyReLU(_LECTURE_LEAK)]
    return nn.Sequential(*layers, Dropout(_LECTURE_DROPOUT), nn.Linear(_WIDTH, 1))


def thesis_generator(n_noise: int, event_shape: tuple[int, ...]) -> nn.Module:
    """Return noise (batch, n_noise) -> (batch, features) through four transposed convolutions of 10 x 10 planes."""
    n_start = math.prod(_PLANES)
    layers: list[nn.Module] = [nn.Linear(n_noise, n_start), _keras_norm(nn.BatchNorm1d, n_start)]
    layers += [nn.LeakyReLU(_THESIS_LEAK), nn.Unflatten(1, _PLANES)]
    for a, b in zip((_PLANES[0], *_FILTERS[:-1]), _FILTERS, strict=True):
        layers += [nn.ConvTranspose2d(a, b, 3, padding=1, bias=False), _keras_norm(nn.BatchNorm2d, b)]
        layers += [nn.LeakyReLU(_THESIS_LEAK)]
    n_last = _FILTERS[-1] * _PLANES[1] * _PLANES[2]
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(n_last, math.prod(event_shape)))


def thesis_discriminator(event_shape: tuple[int, ...]) -> nn.Module:
    """Return samples (batch, *event) -> logits (batch, 1) through four convolutions of 10 x 10 planes."""
    layers: list[nn.Module] = [nn.Flatten(), nn.Linear(math.prod(event_shape), math.prod(_PLANES))]
    layers += [nn.Unflatten(1, _PLANES)]
    for a, b in zip((_PLANES[0], *_FILTERS[:-1]), _FILTERS, strict=True):
        layers += [nn.Conv2d(a, b, 3, padding=1), nn.LeakyReLU(_THESIS_LEAK)]
    n_last = _FILTERS[-1] * _PLANES[1] * _PLANES[2]
    return nn.Sequential(*layers, nn.Flatten(), Dropout(_THESIS_DROPOUT), nn.Linear(n_last, 1))


def dcgan28_generator(n_noise: int, event_shape: tuple[int, ...]) -> nn.Module:
    """Return noise (batch, n_noise) -> 7 x 7 x 256 -> 128 -> 64 -> images (batch, channel, height, width)."""
    channels, height, breadth = as_channels(tuple(event_shape))
    first, *others = _DCGAN_FILTERS
    start = (first, math.ceil(height / 4), math.ceil(breadth / 4))
    n_start = math.prod(start)
    layers: list[nn.Module] = [nn.Linear(n_noise, n_start, bias=False), _keras_norm(nn.BatchNorm1d, n_start)]
    layers += [nn.LeakyReLU(_KERAS_LEAK), nn.Unflatten(1, start)]
    for k, (a, b) in enumerate(zip(_DCGAN_FILTERS[:-1], others, strict=True)):
        layers += [_growing(a, b, stride=1 + (k > 0)), _keras_norm(nn.BatchNorm2d, b), nn.LeakyReLU(_KERAS_LEAK)]
    return Cropped(*layers, _growing(others[-1], channels, stride=2), size=(height, breadth))


def dcgan28_discriminator(event_shape: tuple[int, ...]) -> nn.Module:
    """Return images (batch, *event) -> 64 -> 128 -> logits (batch, 1)."""
    channels, height, breadth = as_channels(tuple(event_shape))
    layers: list[nn.Module] = [AsImages((channels, height, breadth))]
    for filters in (64, 128):
        layers += [*halving(channels, filters, (height, breadth), kernel_size=5)]
        layers += [nn.LeakyReLU(_KERAS_LEAK), Dropout(_DCGAN_DROPOUT)]
        channels, height, breadth = filters, math.ceil(height / 2), math.ceil(breadth / 2)
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(channels * height * breadth, 1))


def wgan_conv_generator(n_noise: int, event_shape: tuple[int, ...], *, n_filters: int = 32) -> nn.Module:
    """Return noise (batch, n_noise) -> 4 x 4 x 128 -> 7 x 7 x 64 -> 14 x 14 x 32 -> images of 28 x 28."""
    channels, height, breadth = as_channels(tuple(event_shape))
    sizes = grids(height, breadth)[::-1]
    filters = [n_filters * 2**k for k in reversed(range(len(sizes) - 1))] or [n_filters]
    start = (filters[0], *sizes[0])
    layers: list[nn.Module] = [nn.Linear(n_noise, math.prod(start), bias=False), nn.Unflatten(1, start)]
    layers += [nn.InstanceNorm2d(filters[0]), nn.LeakyReLU(_WGAN_LEAK)]
    for a, b, size in zip(filters[:-1], filters[1:], sizes[1:-1], strict=True):
        layers += [nn.ConvTranspose2d(a, b, kernel_to(size), stride=2, padding=1, bias=False)]
        layers += [nn.InstanceNorm2d(b), nn.LeakyReLU(_WGAN_LEAK)]
    last = nn.ConvTranspose2d if len(sizes) > 1 else nn.Conv2d
    kernel, stride = (kernel_to(sizes[-1]), 2) if len(sizes) > 1 else ((3, 3), 1)
    return nn.Sequential(*layers, last(filters[-1], channels, kernel, stride=stride, padding=1, bias=False))


def wgan_conv_discriminator(event_shape: tuple[int, ...], *, n_filters: int = 32) -> nn.Module:
    """Return images (batch, *event) -> 14 x 14 x 32 -> 7 x 7 x 64 -> 4 x 4 x 128 -> values (batch, 1)."""
    shape = as_channels(tuple(event_shape))
    channels, *_ = shape
    sizes = grids(*shape[1:])
    layers: list[nn.Module] = [AsImages(shape)]
    for k, size in enumerate(sizes[:-1]):
        filters = n_filters * 2**k
        layers += [nn.Conv2d(channels, filters, kernel_to(size), stride=2, padding=1, bias=False)]
        layers += [nn.InstanceNorm2d(filters)] if k > 0 else []
        layers += [nn.LeakyReLU(_WGAN_LEAK)]
        channels = filters
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(channels * math.prod(sizes[-1]), 1, bias=False))


def _keras_norm(layer: Callable[..., nn.Module], n_features: int) -> nn.Module:
    return layer(n_features, momentum=_KERAS_MOMENTUM, eps=_KERAS_EPSILON)


def _growing(n_inputs: int, n_outputs: int, *, stride: int) -> nn.Module:
    """Return a transposed convolution 5 x 5 that makes a grid exactly `stride` times as large."""
    return nn.ConvTranspose2d(n_inputs, n_outputs, 5, stride=stride, padding=2, output_padding=stride - 1, bias=False)
