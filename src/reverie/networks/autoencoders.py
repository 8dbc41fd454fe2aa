"""Encoders and decoders: from events to a few numbers and back.

"mlp"        two hidden layers of 128 (256 or 512 for more than 32 or 128 features); the decoder mirrors them
"conv"       images halved by convolutions down to a small grid, and doubled back (see `reverie.networks.convolutional`)
"auto"       images of more than 1024 values: "conv"; else "mlp"
(100, 50)    perceptrons with these hidden widths; () is a linear map
nn.Module    a copy of it is trained
factory      called with (event_shape, n_outputs) for an encoder, (n_latent, event_shape) for a decoder

An encoder maps events (batch, *event) to n_outputs numbers, a decoder latent vectors (batch, n_latent) to raw events of
n_features numbers, flat or shaped. A condition, flattened to a vector c, is joined to the inputs of perceptrons and
to the latent vector; a convolutional encoder meets it after its convolutions. A module of the user's with conditions
is called with events flattened and joined, and a factory gets the joined shape.
"""

import math

import torch
from torch import Tensor, nn

from reverie.core.checks import check_choice
from reverie.networks.convolutional import ConvDiscriminator, as_channels, doubling, grids
from reverie.networks.init import initialised
from reverie.networks.mlp import MLP, default_width, is_widths, make_activation
from reverie.networks.user import Specification, check_trial, user_network

__all__ = ["ConvDecoder", "Decoder", "Encoder", "build_decoder", "build_encoder"]

_MOST_FLAT = 1024  # values of an image up to which a perceptron is taken; a step on 28 x 28 costs 0.3 of "conv"
_SMALLEST_GRID = 8  # a side of 7 is not halved again, as in `reverie.networks.convolutional`
_WIDTH = 16  # channels of the finest grid of a decoder; doubled at every coarser one
_BODY = 128  # features of a convolutional encoder before the condition joins


class Encoder(nn.Module):
    """Events, and perhaps a condition, to the numbers of a code.

    `head` takes the features of `body` joined with the condition; None where the body takes events and condition.
    """

    def __init__(self, body: nn.Module, head: nn.Module | None = None) -> None:
        super().__init__()
        self.body, self.head = body, head

    def forward(self, x: Tensor, condition: Tensor | None = None) -> Tensor:
        """Return (batch, outputs) of events x (batch, *event) and conditions (batch, *c)."""
        if self.head is not None:
            return self.head(_joined(self.body(x), condition))
        return self.body(x if condition is None else _joined(x.flatten(1), condition))


class Decoder(nn.Module):
    """Latent vectors, and perhaps a condition, to raw events, which `body` gives flat or shaped."""

    def __init__(self, body: nn.Module) -> None:
        super().__init__()
        self.body = body

    def forward(self, z: Tensor, condition: Tensor | None = None) -> Tensor:
        """Return raw events (..., features) of z (..., batch, latent) and conditions (batch, *c)."""
        if condition is not None:
            c = condition.flatten(1)
            z = torch.cat([z, c.expand(*z.shape[:-1], c.shape[-1])], dim=-1)
        return self.body(z.flatten(0, -2)).reshape(*z.shape[:-1], -1)


class ConvDecoder(nn.Sequential):
    """Latent vectors to images: project onto a small grid, then double by transposed convolutions.

    Unlike the generator of `reverie.networks.convolutional` it has no batch normalisation, which would let the events
    of a batch see each other: their likelihoods would not be theirs alone. Its `width` channels before the last layer
    double at every coarser grid.
    """

    def __init__(self, n_inputs: int, event_shape: tuple[int, ...], *, width: int = _WIDTH, activation: str = "silu"):
        channels, height, breadth = as_channels(tuple(event_shape))
        smallest, *larger = grids(height, breadth, least=_SMALLEST_GRID)[::-1]
        top = width * 2 ** len(larger)
        layers: list[nn.Module] = [
            nn.Linear(n_inputs, top * math.prod(smallest)),
            nn.Unflatten(1, (top, *smallest)),
            make_activation(activation),
        ]
        for size in larger:
            layers += [doubling(top, top // 2, size), make_activation(activation)]
            top //= 2
        super().__init__(*layers, nn.Conv2d(top, channels, kernel_size=3, padding=1))
        self.to(memory_format=torch.channels_last)  # pyrefly: ignore[no-matching-overload] - torch takes it


def build_encoder(
    spec: Specification,
    *,
    event_shape: tuple[int, ...],
    n_outputs: int,
    random_generator: torch.Generator,
    activation: str = "silu",
    n_conditions: int = 0,
) -> Encoder:
    """Return an encoder, events (batch, *event) and conditions (batch, n_conditions) -> (batch, n_outputs).

    Raises `InputError` for an unknown name, or a network with other outputs.

    Parameters
    ----------
    spec : a name, hidden widths, a module or a factory (see the module docstring).
    event_shape, n_outputs : shape of one event as the network sees it, and numbers that describe a code.
    random_generator, activation : source of the initial weights, and a key of `reverie.networks.mlp.ACTIVATIONS`.
    n_conditions : length of the condition vector, 0 for none.
    """
    kind, hidden = _resolved("encoder", spec, event_shape)
    n_features = math.prod(event_shape)
    if kind == "own":
        shape = (n_features + n_conditions,) if n_conditions else event_shape
        encoder = Encoder(user_network(spec, (shape, n_outputs), random_generator))
        _check_own(encoder, "encoder", torch.zeros(2, *event_shape), n_conditions, n_outputs)
        return encoder

    def make() -> Encoder:
        if kind == "conv":
            body = nn.Sequential(ConvDiscriminator(event_shape, n_outputs=_BODY), make_activation(activation))
            return Encoder(body, MLP(_BODY + n_conditions, n_outputs, hidden=(_BODY,), activation=activation))
        perceptron = MLP(n_features + n_conditions, n_outputs, hidden=hidden, activation=activation)
        return Encoder(nn.Sequential(nn.Flatten(), perceptron))

    return initialised(make, random_generator)


def build_decoder(
    spec: Specification,
    *,
    n_latent: int,
    event_shape: tuple[int, ...],
    random_generator: torch.Generator,
    activation: str = "silu",
    n_conditions: int = 0,
) -> Decoder:
    """Return a decoder, latent vectors (batch, n_latent) and conditions -> raw events (batch, features).

    Parameters and errors are those of `build_encoder`; `n_latent` is the size of the latent vector.
    """
    kind, hidden = _resolved("decoder", spec, event_shape)
    n_inputs, n_features = n_latent + n_conditions, math.prod(event_shape)
    if kind == "own":
        decoder = Decoder(user_network(spec, (n_inputs, event_shape), random_generator))
        _check_own(decoder, "decoder", torch.zeros(2, n_latent), n_conditions, n_features)
        return decoder

    def make() -> Decoder:
        if kind == "conv":
            return Decoder(ConvDecoder(n_inputs, event_shape, activation=activation))
        return Decoder(MLP(n_inputs, n_features, hidden=hidden[::-1], activation=activation))

    return initialised(make, random_generator)


def _resolved(what: str, spec: Specification, event_shape: tuple[int, ...]) -> tuple[str, tuple[int, ...]]:
    """Return "mlp", "conv" or "own", and the widths of the hidden layers of a perceptron that encodes."""
    width = default_width(math.prod(event_shape))
    if is_widths(spec):
        return "mlp", tuple(spec)
    if not isinstance(spec, str):
        return "own", ()
    is_image = len(event_shape) > 1 and math.prod(event_shape) > _MOST_FLAT
    names = {"auto": "conv" if is_image else "mlp", "mlp": "mlp", "conv": "conv"}
    return check_choice(what, spec, names), (width, width)


def _joined(h: Tensor, condition: Tensor | None) -> Tensor:
    return h if condition is None else torch.cat([h, condition.flatten(1)], dim=1)


def _check_own(network: nn.Module, what: str, example: Tensor, n_conditions: int, n_outputs: int) -> None:
    """Raise `InputError` unless a network of the user's gives `n_outputs` numbers for each of two rows."""
    inputs = [example] + ([torch.zeros(2, n_conditions)] if n_conditions else [])
    do = "An encoder gives mean and spread of the code, a decoder the features of an event."
    check_trial(network, what, inputs, n_outputs, named={}, do=do)
