r"""Velocity network of images and lattices: an encoder and a decoder with shortcuts.

A U-Net (Ronneberger, Fischer and Brox, arXiv:1505.04597) of residual convolutions at every grid; sides are halved while
they are at least 7 and any size fits; on a periodic lattice edges touch. Beside images without a condition it may be
shown the centre of their cluster (`reverie.models.clusters`).

On a processor it costs what its convolutions cost, which run near the peak already, so that it is made cheap by doing
less: cells of 2 x 2 pixels become channels (space to depth, Shi et al., arXiv:1609.05158) where sides are at least 16,
of 4 x 4 from 64, and the finest convolutions work on a quarter or a sixteenth of the places; features are narrowed
before they go to a finer grid, and not after. On the smallest grid every place attends to every other (Vaswani et al.,
arXiv:1706.03762), for little. Periodic lattices, whose physics is in what neighbouring sites do together, have a finest
grid twice as fine for as much arithmetic, with half the channels (`unet_width`).

What a large image shows is decided early on the path: its many pixels tell it together while each alone is noise still.
So images whose cells are folded, and lattices of spins of that size, are learnt at times of which the logit
log(t / (1 - t)) is normal, of mean -0.8 and unit width (Esser et al., arXiv:2403.03206). So are lattices of angles of
any size, whose order comes out of the uniform noise early. Smaller images are learnt at equally many of all times, and
so are lattices of real numbers, whose values are settled late.
"""

import math

import torch
from torch import Tensor, nn

from reverie.core.errors import InputError
from reverie.models.clusters import Clusters
from reverie.models.density_features import Coordinates
from reverie.models.flow_matching.velocity import EDITION, TimeEmbedding, Velocity
from reverie.networks.convolutional import CircularConv2d, as_channels, grids
from reverie.networks.mlp import make_activation

__all__ = ["VelocityUNet", "unet_width"]

_GROUP = 8  # channels of a group that is normalised together
_HEAD = 32  # channels of a head of attention
_CENTRE = -0.8  # of the logits of the times at which large images are learnt
_FOLDED, _FOLDED_TWICE = 16, 64  # least sides of images whose cells of 2 x 2, or 4 x 4, pixels become channels


def _group_norm(width: int) -> nn.GroupNorm:
    return nn.GroupNorm(math.gcd(width, max(1, width // _GROUP)), width)


class _Block(nn.Module):
    """h + conv(a(norm(conv(a(norm(h))) + U e))), the first h brought to the new number of channels."""

    def __init__(self, n_inputs: int, n_outputs: int, n_embedding: int, activation: str, *, periodic: bool) -> None:
        super().__init__()
        self.activation = make_activation(activation)
        self.norms = nn.ModuleList(_group_norm(n) for n in (n_inputs, n_outputs))
        conv = CircularConv2d if periodic else nn.Conv2d
        self.inner, self.outer = (conv(n, n_outputs, 3, padding=1) for n in (n_inputs, n_outputs))
        self.beside = nn.Linear(n_embedding, n_outputs)
        self.direct = nn.Conv2d(n_inputs, n_outputs, 1) if n_inputs != n_outputs else nn.Identity()

    def forward(self, h: Tensor, e: Tensor) -> Tensor:
        """Return features (batch, n_outputs, height, width)."""
        g = self.inner(self.activation(self.norms[0](h))) + self.beside(e)[:, :, None, None]
        return self.direct(h) + self.outer(self.activation(self.norms[1](g)))


class _Attention(nn.Module):
    """h + V a(norm(h)), in which every place of a grid attends to every other, in heads of 32 channels."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.n_heads = math.gcd(width, max(1, width // _HEAD))
        self.norm = _group_norm(width)
        self.inner, self.outer = nn.Conv2d(width, 3 * width, 1), nn.Conv2d(width, width, 1)
        self.outer.zero_init = True  # pyrefly: ignore[bad-argument-type] - a mark for `reverie.networks.init`

    def forward(self, h: Tensor) -> Tensor:
        """Return features of the shape of `h`, (batch, width, height, width of the grid)."""
        n, c, *_ = h.shape
        q, k, v = self.inner(self.norm(h)).reshape(n, 3, self.n_heads, c // self.n_heads, -1).unbind(1)
        weight = (q.transpose(2, 3) @ k * (c // self.n_heads) ** -0.5).softmax(-1)
        return h + self.outer((v @ weight.transpose(2, 3)).reshape(h.shape))


class VelocityUNet(Velocity):
    """Convolutional network with shortcuts between grids of one size, for images and lattices.

    Parameters
    ----------
    coordinates : Coordinates of an event: its pixels, all on lines, or all on circles and seen as cosine and sine.
    event_shape : (height, width) or (channel, height, width) of the features.
    condition_shape : (c,) of a vector, the shape of an image of the same height and width, or None.
    n_clusters : Clusters of events without a condition, each of which is learnt given the centre of its own; 0 for
        none.
    width : Channels on the finest grid; twice as many on the next, and four times on those after.
    activation : Key of `reverie.networks.mlp.ACTIVATIONS`.
    periodic : Whether opposite edges touch.
    edition : 6, or that of a model that was saved before. Up to 5 the number of a cluster stands beside the time, and
        its centre is not seen. Up to 4 the cells of lattices become channels as those of images do. The network of 1
        folds no cells, has no attention, and narrows features on the finer grid, for five times the arithmetic on
        images of 28 x 28.

    Raises
    ------
    InputError
        For events that are no images, or an image condition of another size.
    """

    def __init__(
        self,
        coordinates: Coordinates,
        event_shape: tuple[int, ...],
        condition_shape: tuple[int, ...] | None = None,
        *,
        n_clusters: int = 0,
        width: int = 32,
        activation: str = "silu",
        periodic: bool = False,
        edition: int = EDITION,
    ) -> None:
        super().__init__(coordinates)
        self.shape = as_channels(event_shape)
        self.is_image_condition = condition_shape is not None and len(condition_shape) > 1
        n_planes = as_channels(condition_shape)[0] if condition_shape is not None and self.is_image_condition else 0
        if condition_shape is not None and self.is_image_condition and condition_shape[-2:] != event_shape[-2:]:
            raise InputError(
                f"Expected an image condition of {self.shape[1]} x {self.shape[2]} pixels like the events, got shape "
                f"{tuple(condition_shape)}. Resize one of them, or use network='mlp'."
            )
        n_vector = 0 if condition_shape is None or self.is_image_condition else math.prod(condition_shape)
        if n_clusters and condition_shape is None:
            self.clusters = Clusters(n_clusters, coordinates.n)
            n_vector, n_planes = (0, self.shape[0]) if edition > 5 else (n_clusters, 0)
        n_embedding, conv = 4 * width, CircularConv2d if periodic else nn.Conv2d
        self.embedding = TimeEmbedding(n_vector, n_embedding, activation)
        self.activation, self.edition = make_activation(activation), edition
        self.fold = 1 if edition == 1 else _cells(*self.shape[1:], periodic=periodic, edition=edition)
        self.sizes = grids(*(math.ceil(side / self.fold) for side in self.shape[1:]))
        widths = [width * min(2**k, 4) for k in range(len(self.sizes))]
        pairs = list(zip(widths[:-1], widths[1:], strict=True))

        def block(n_inputs: int, n_outputs: int) -> _Block:
            return _Block(n_inputs, n_outputs, n_embedding, activation, periodic=periodic)

        self.first = conv((self.shape[0] + n_planes) * self.fold**2, width, 3, padding=1)
        self.down = nn.ModuleList(block(a, a) for a in widths[:-1])
        self.coarser = nn.ModuleList(conv(a, b, 3, stride=2, padding=1) for a, b in pairs)
        self.middle = nn.ModuleList(block(widths[-1], widths[-1]) for _ in range(2))
        self.attention = nn.Identity() if edition == 1 else _Attention(widths[-1])
        n, pad = (3, 1) if edition == 1 else (1, 0)
        self.finer = nn.ModuleList(conv(b, a, n, padding=pad) for a, b in pairs)
        self.up = nn.ModuleList(block(2 * a, a) for a in widths[:-1])
        self.norm = _group_norm(width)
        n_planes = self.shape[0] // 2 if coordinates.circles else self.shape[0]  # an angle for a cosine and a sine
        self.last = conv(width, n_planes * self.fold**2, 3, padding=1)
        self.last.zero_init = True  # pyrefly: ignore[bad-argument-type] - a mark for `reverie.networks.init`
        self.to(memory_format=torch.channels_last)  # pyrefly: ignore[no-matching-overload] - torch takes it

    def times(self, u: Tensor) -> Tensor:
        """Return the times of points in training, (batch, 1): early, but of small images and lattices of fields."""
        is_large, are_angles = min(self.shape[1:]) >= _FOLDED, len(self.coordinates.circles) > 0
        are_early = self.fold > 1 or are_angles or (is_large and self.ends_in_mean)
        return torch.sigmoid(_CENTRE + torch.special.ndtri(u)) if are_early else u

    def remainder(self, x: Tensor, t: Tensor, condition: Tensor | None) -> Tensor:
        """Return F (batch, n); see `Velocity`."""
        vector, beside = (None, condition) if self.is_image_condition else (condition, None)
        if condition is not None and self.clusters is not None and self.edition > 5:
            vector, beside = None, self.clusters.centre(condition)
        e = self.activation(self.embedding(t, None if vector is None else vector.flatten(1)))
        seen = torch.cat([x.cos(), x.sin()], dim=1) if self.coordinates.circles else x
        image = seen.reshape(-1, *self.shape)
        if beside is not None:
            n = x.shape[0]  # an export would take len(x) for a constant
            image = torch.cat([image, beside.reshape(n, -1, *self.shape[1:])], dim=1)
        if self.fold > 1:
            _, height, breadth = self.shape
            image = nn.functional.pad(image, (0, -breadth % self.fold, 0, -height % self.fold))
            image = nn.functional.pixel_unshuffle(image, self.fold)
        h, kept = self.first(image), []
        for block, coarser in zip(self.down, self.coarser, strict=True):
            kept.append(block(h, e))
            h = coarser(kept[-1])
        h = self.middle[1](self.attention(self.middle[0](h, e)), e)
        for k in reversed(range(len(self.up))):
            height, breadth = self.sizes[k]
            h = self.finer[k](h) if self.edition > 1 else h
            h = nn.functional.interpolate(h, scale_factor=2)[..., :height, :breadth]
            h = h if self.edition > 1 else self.finer[k](h)
            h = self.up[k](torch.cat([h, kept[k]], dim=1), e)
        h = self.last(self.activation(self.norm(h)))
        if self.fold > 1:
            h = nn.functional.pixel_shuffle(h, self.fold)[..., : self.shape[1], : self.shape[2]]
        return h.flatten(1)


def _cells(height: int, width: int, *, periodic: bool, edition: int) -> int:
    """Return the side in pixels of the cells that become channels, 1 for none; of a periodic lattice they fit whole."""
    side = 4 if min(height, width) >= _FOLDED_TWICE else 2 if min(height, width) >= _FOLDED else 1
    if periodic and edition > 4:
        side = max(1, side // 2)
    return math.gcd(side, height, width) if periodic else side


def unet_width(height: int, width: int, *, periodic: bool, edition: int) -> int:
    """Return the channels on the finest grid unless others are asked for: 32, of large periodic lattices 16.

    Parameters
    ----------
    height, width : Sides of the images in pixels; large are those of at least 16.
    periodic : Whether opposite edges touch, so that cells are folded less and the finest grid has four times as many
        places.
    edition : As in `VelocityUNet`; up to 4 there are always 32.
    """
    return 16 if periodic and edition > 4 and min(height, width) >= _FOLDED else 32
