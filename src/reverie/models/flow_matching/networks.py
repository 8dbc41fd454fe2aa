r"""Velocity networks: (x, t, condition) -> dx/dt, for tables, images and lattices.

Both networks learn what a Gaussian leaves open (`reverie.models.flow_matching.path`): with q = t^2 + (1 - t)^2

    v = (2 t - 1) / q x + F(x / sqrt(q), t, c) / sqrt(q)          on lines,        v = F        on circles

Time enters as cosines and sines of frequencies pi/2 ... 64 pi, and with the condition as a vector e that every block
adds to its features. The last layer starts at zero, so that training starts from the velocity of normal coordinates.

    VelocityMLP     residual blocks  h + V a(W a(h) + U e);  an angle is seen as cosine and sine, and of
                    coordinates on lines also the waves cos(w x), sin(w x): w = 1, 2, 4 of up to 32 coordinates, 8 and
                    16 too of up to three. Without them a perceptron learns edges and thin structures last (Tancik et
                    al., arXiv:2006.10739). They fade in as the noise goes: by exp(-(0.3 w)^2 r / 2) with
                    r = (1 - t)^2 / q, the share of the noise in the variance. Times then come close to the events,
                    `late`
    VelocityUNet    an encoder and a decoder with shortcuts (Ronneberger, Fischer and Brox, arXiv:1505.04597), residual
                    convolutions at every grid; sides are halved while they are at least 7 and any size fits; on a
                    periodic lattice edges touch. Beside images without a condition it may be shown the centre of
                    their cluster (`reverie.models.clusters`)
    VelocitySet     layers of `reverie.networks.sets`, so that the velocities permute with the particles; those of
                    padding are zero. The mask is a condition: it stands before what the user conditions on. So are
                    observables of the whole set, such as its mass, where the model is shown some: their law given the
                    number of particles is learnt by a small VelocityMLP

On a processor the U-Net costs what its convolutions cost, which run near the peak already, so that it is made cheap by
doing less: cells of 2 x 2 pixels become channels (space to depth, Shi et al., arXiv:1609.05158) where sides are at
least 16, of 4 x 4 from 64, and the finest convolutions work on a quarter or a sixteenth of the places; features are
narrowed before they go to a finer grid, and not after. On the smallest grid every place attends to every other (Vaswani
et al., arXiv:1706.03762), for little. Periodic lattices, whose physics is in what neighbouring sites do together, have
a finest grid twice as fine for as much arithmetic, with half the channels (`unet_width`).

What a large image shows is decided early on the path: its many pixels tell it together while each alone is noise still.
So images whose cells are folded, and lattices of spins of that size, are learnt at times of which the logit
log(t / (1 - t)) is normal, of mean -0.8 and unit width (Esser et al., arXiv:2403.03206). So are lattices of angles of
any size, whose order comes out of the uniform noise early. Smaller images are learnt at equally many of all times, and
so are lattices of real numbers, whose values are settled late.
"""

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from reverie.core.errors import InputError
from reverie.models.clusters import Clusters
from reverie.models.density_features import Coordinates
from reverie.models.flow_matching.path import in_turn, late
from reverie.models.multiplicity import MultiplicityLaw
from reverie.models.sets import moments_of_sets
from reverie.networks.convolutional import CircularConv2d, as_channels, grids
from reverie.networks.init import initialised
from reverie.networks.mlp import MLP, make_activation
from reverie.networks.sets import SetKind, SetTrunk
from reverie.networks.user import check_trial, user_network

__all__ = [
    "EDITION",
    "UserVelocity",
    "Velocity",
    "VelocityMLP",
    "VelocitySet",
    "VelocityUNet",
    "build_velocity",
    "unet_width",
]

EDITION = 6  # of the networks that are trained now; models that were saved without one have the first
_LATE = 2.0  # power with which times come closer towards the events
_LATE_OF_SETS = 1.5  # the same for the steps of a solver with sets
_FEW, _SOME = 3, 32  # coordinates on lines up to which all waves are seen, and the slower ones; all learn many by heart
_WAVES, _SLOW_WAVES, _FADED = 5, 3, 0.3
_FREQUENCIES = 8  # 1/2, 1, 2 ... 64 half turns over the time from 0 to 1
_GROUP = 8  # channels of a group that is normalised together
_HEAD = 32  # channels of a head of attention
_OBSERVABLES_WIDTH, _OBSERVABLES_BLOCKS = 64, 2  # of the network of a few numbers of each set
_CENTRE = -0.8  # of the logits of the times at which large images are learnt
_FOLDED, _FOLDED_TWICE = 16, 64  # least sides of images whose cells of 2 x 2, or 4 x 4, pixels become channels


class Velocity(nn.Module):
    """Parent of the velocity networks: the part that is known, and `remainder`, which a child learns.

    Parameters
    ----------
    coordinates : Coordinates of an event.
    sees_missing : Whether coordinates may be NaN, of events that are known in part. Their velocities then are NaN too.

    Attributes
    ----------
    late : Power with which steps of a solver come closer towards the events, see `reverie.models.flow_matching.path`.
    ends_in_mean : Whether samples end at the mean of what is left open, since they are then rounded to levels; see
        `reverie.models.flow_matching.sampling`.
    shares_times : Whether `forward` takes fewer times than rows, which is cheaper where there is no condition.
    clusters : Of images without another condition, of which each is drawn given its cluster; None for other events.
    """

    late: float = 1.0
    ends_in_mean: bool = False
    shares_times: bool = False

    def __init__(self, coordinates: Coordinates, *, sees_missing: bool = False) -> None:
        super().__init__()
        self.coordinates, self.sees_missing = coordinates, sees_missing
        self.clusters: Clusters | None = None

    def remainder(self, x: Tensor, t: Tensor, condition: Tensor | None) -> Tensor:
        """Return F (batch, n) of coordinates (batch, n), lines over sqrt(q), times (batch, 1) and conditions."""
        raise NotImplementedError

    def times(self, u: Tensor) -> Tensor:
        """Return the times of points in training, (batch, 1), of numbers (batch, 1) that are uniform in [0, 1)."""
        return late(u, self.late)

    def points(self, features: Tensor) -> Tensor:
        """Return coordinates (batch, n) of features (batch, *event)."""
        return self.coordinates.of(features.flatten(1))

    def features(self, x: Tensor, condition: Tensor | None) -> Tensor:
        """Return features (batch, n_features) of coordinates (batch, n) and the conditions that they were made with."""
        return self.coordinates.features(x)

    def noise(self, n: int, generator: torch.Generator, condition: Tensor | None) -> Tensor:
        """Return `n` points x_0 (n, coordinates) of the noise."""
        return self.coordinates.noise(n, generator)

    def forward(self, x: Tensor, t: Tensor, condition: Tensor | None = None) -> Tensor:
        """Return the velocity (batch, n) at coordinates `x` (batch, n), times `t` (batch, 1) and conditions.

        One time for all rows may be given as (1, 1), which without a condition spares its embedding row by row. A
        network that `shares_times` takes k times (k, 1) where k divides the batch: row i has the time i modulo k.
        """
        n, moments, t = self.coordinates.n_lines, t, in_turn(t, x.shape[0])
        q = t.square() + (1 - t).square()
        line, angle = x[:, :n], x[:, n:]
        f = self.remainder(torch.cat([line * q.rsqrt(), angle], dim=1), moments, condition)
        v = (2 * t - 1) / q * line + f[:, :n] * q.rsqrt()
        return torch.cat([v, f[:, n:]], dim=1) if angle.shape[1] else v


class _Embedding(nn.Module):
    """Times and condition vectors to the vector e that every block adds."""

    frequencies: Tensor

    def __init__(self, n_condition: int, width: int, activation: str) -> None:
        super().__init__()
        self.register_buffer("frequencies", math.pi * 2.0 ** torch.arange(-1, _FREQUENCIES - 1), persistent=False)
        self.layers = MLP(2 * _FREQUENCIES + n_condition, width, hidden=(width,), activation=activation)

    def forward(self, t: Tensor, condition: Tensor | None) -> Tensor:
        """Return e (batch, width) of times (batch, 1), or one time (1, 1) for all, and conditions (batch, c)."""
        phase = t * self.frequencies
        times = torch.cat([phase.cos(), phase.sin()], dim=1)
        if condition is None:
            return self.layers(times)
        return self.layers(torch.cat([times.expand(condition.shape[0], -1), condition], dim=1))


class VelocityMLP(Velocity):
    """Residual perceptron for tables, and for images taken as vectors.

    Parameters
    ----------
    coordinates : Coordinates of an event.
    n_condition : Numbers of a condition, flattened; 0 for none.
    width : Width of every hidden layer.
    n_blocks : Residual blocks, of two layers each.
    activation : Key of `reverie.networks.mlp.ACTIVATIONS`.
    sees_missing : Whether coordinates may be NaN. They count as zero, and what is missing is a part of the condition.
    edition : 6, or an earlier one for models that were saved before: 1 has no waves and equal times, nor has
        2 for more than three coordinates.
    """

    def __init__(
        self,
        coordinates: Coordinates,
        n_condition: int = 0,
        *,
        width: int = 128,
        n_blocks: int = 3,
        activation: str = "silu",
        sees_missing: bool = False,
        edition: int = EDITION,
    ) -> None:
        super().__init__(coordinates, sees_missing=sees_missing)
        n_circles = len(coordinates.circles)
        self.n_waves = _WAVES if coordinates.n_lines <= _FEW else _SLOW_WAVES
        if edition == 1 or coordinates.n_lines > (_FEW if edition == 2 else _SOME):
            self.n_waves = 0
        self.late = _LATE if self.n_waves else 1.0
        self.shares_times = not sees_missing
        self.embedding = _Embedding(n_condition + coordinates.n * sees_missing, width, activation)
        self.first = nn.Linear(coordinates.n + n_circles + 2 * self.n_waves * coordinates.n_lines, width)
        self.inner = nn.ModuleList(nn.Linear(width, width) for _ in range(n_blocks))
        self.beside = nn.ModuleList(nn.Linear(width, width, bias=False) for _ in range(n_blocks))
        self.outer = nn.ModuleList(nn.Linear(width, width) for _ in range(n_blocks))
        self.last = nn.Linear(width, coordinates.n)
        self.last.zero_init = True  # pyrefly: ignore[bad-argument-type] - a mark for `reverie.networks.init`
        self.activation = make_activation(activation)

    def remainder(self, x: Tensor, t: Tensor, condition: Tensor | None) -> Tensor:
        """Return F (batch, n); see `Velocity`. Fewer times than rows, see `forward`, spare rows of the embedding."""
        n, a = self.coordinates.n_lines, self.activation
        given = None if condition is None else condition.flatten(1)
        if self.sees_missing:
            missing = x.isnan().to(x.dtype)
            x, given = x.nan_to_num(0.0), missing if given is None else torch.cat([given, missing], dim=1)
        e, t = a(self.embedding(t, given)), in_turn(t, x.shape[0])
        seen, noise = [x[:, :n], x[:, n:].cos(), x[:, n:].sin()], (1 - t).square() / (t.square() + (1 - t).square())
        for w in (2**k for k in range(self.n_waves)):
            faded = torch.exp(-0.5 * (_FADED * w) ** 2 * noise)
            seen += [faded * (w * x[:, :n]).cos(), faded * (w * x[:, :n]).sin()]
        h = self.first(torch.cat(seen, dim=1))
        for inner, beside, outer in zip(self.inner, self.beside, self.outer, strict=True):
            h = h + outer(a(inner(a(h)) + in_turn(beside(e), x.shape[0])))
        return self.last(a(h))


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
        self.embedding = _Embedding(n_vector, n_embedding, activation)
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


class VelocitySet(Velocity):
    """Equivariant network for sets of particles, given (batch, P + k + c): mask, observables and condition.

    Parameters
    ----------
    coordinates : Coordinates of all places of a set: first the lines of one particle after the other, then the angles.
    size : Places of a set, P.
    n_condition : Numbers of a condition, c, without the mask; 0 for none.
    n_observables : Numbers of each set that the particles are drawn given, k, standard normal on the whole.
    width, n_layers, kind, activation : As in `reverie.networks.sets.SetTrunk`.

    Attributes
    ----------
    multiplicity : The law of the number of particles, which is learnt beside the velocity.
    observables : The velocity whose law is that of the observables given the number of particles and the condition,
        also learnt beside; None without observables.
    spreads : Standard deviations of `reverie.models.sets.moments_of_sets` in the training events.
    """

    late = _LATE_OF_SETS
    spreads: Tensor

    def __init__(
        self,
        coordinates: Coordinates,
        size: int,
        n_condition: int = 0,
        *,
        n_observables: int = 0,
        width: int = 128,
        n_layers: int = 6,
        kind: SetKind = "epic",
        activation: str = "silu",
    ) -> None:
        super().__init__(coordinates)
        self.size, self.n_condition, self.n_observables = size, n_condition, n_observables
        self.activation = make_activation(activation)
        self.embedding = _Embedding(n_observables + n_condition, width, activation)
        n_circles = len(coordinates.circles) // size
        trunk = {"size": size, "width": width, "n_layers": n_layers, "kind": kind, "activation": activation}
        self.trunk = SetTrunk((coordinates.n + len(coordinates.circles)) // size, width, **trunk)
        self.last = nn.Linear(width, coordinates.n_lines // size + n_circles)
        self.last.zero_init = True  # pyrefly: ignore[bad-argument-type] - a mark for `reverie.networks.init`
        self.multiplicity = MultiplicityLaw(size, n_condition)
        self.observables: VelocityMLP | None = None
        if n_observables:
            sizes = {"width": _OBSERVABLES_WIDTH, "n_blocks": _OBSERVABLES_BLOCKS, "activation": activation}
            self.observables = VelocityMLP(Coordinates(n_observables, ()), 1 + n_condition, **sizes)
        G = coordinates.n_features // size
        self.register_buffer("spreads", torch.ones(1 + 3 * G + G * (G + 1) // 2 + G * G))

    def fit(self, x: Tensor, weight: Tensor | None) -> None:
        """Learn the shares of the numbers of particles, and the spreads, of training features (n, P, G + 1)."""
        self.multiplicity.fit(x[..., -1], weight)
        self.spreads.copy_(moments_of_sets(x).std(dim=0).clamp(min=1e-6))

    def times(self, u: Tensor) -> Tensor:
        """Return the times of points in training, (batch, 1): equally many of all; early ones decide the shape."""
        return u

    def points(self, features: Tensor) -> Tensor:
        """Return coordinates (batch, n) of features (batch, P, G + 1); those of padding are 0."""
        return self.there(self.coordinates.of(features[..., :-1].flatten(1)), features[..., -1])

    def features(self, x: Tensor, condition: Tensor | None) -> Tensor:
        """Return features (batch, P (G + 1)) of coordinates, with the mask as each particle's last."""
        mask = self._mask(condition)
        particles = self.coordinates.features(x).unflatten(1, (self.size, -1)) * mask.unsqueeze(2)
        return torch.cat([particles, mask.unsqueeze(2)], dim=2).flatten(1)

    def noise(self, n: int, generator: torch.Generator, condition: Tensor | None) -> Tensor:
        """Return `n` points x_0 (n, coordinates) of the noise, 0 in padding."""
        return self.there(self.coordinates.noise(n, generator), self._mask(condition))

    def parts_of(self, given: Tensor) -> tuple[Tensor, Tensor, Tensor | None]:
        """Return masks (batch, P), observables (batch, k) and conditions (batch, c) of what the network is given."""
        mask, observables, condition = given.split([self.size, self.n_observables, self.n_condition], dim=1)
        return mask, observables, condition if self.n_condition else None

    def log_number(self, given: Tensor) -> Tensor:
        """Return log p(N | c), (batch,), of what the network is given."""
        mask, _, condition = self.parts_of(given)
        return self.multiplicity.log_prob(mask, condition)

    def number_and(self, mask: Tensor, condition: Tensor | None) -> Tensor:
        """Return (batch, 1 + c), what observables are drawn given: number of particles, standardised, and condition."""
        number = self.multiplicity.standardised(mask)
        return number if condition is None else torch.cat([number, condition], dim=1)

    def remainder(self, x: Tensor, t: Tensor, condition: Tensor | None) -> Tensor:
        """Return F (batch, n); see `Velocity`."""
        n, mask = self.coordinates.n_lines, self._mask(condition)
        line, angle = (part.unflatten(1, (self.size, -1)) for part in (x[:, :n], x[:, n:]))
        seen = torch.cat([line, angle.cos(), angle.sin()], dim=2) if angle.shape[2] else line
        whole = None if condition is None or condition.shape[1] == self.size else condition[:, self.size :]
        e = self.activation(self.embedding(t, whole))
        h, _ = self.trunk(seen, mask, e.expand(x.shape[0], -1))
        f = self.last(h) * mask.unsqueeze(2)
        n_own = line.shape[2]
        return torch.cat([f[..., :n_own].flatten(1), f[..., n_own:].flatten(1)], dim=1)

    def padding(self, condition: Tensor | None) -> Tensor:
        """Return the number (batch,) of places without a particle."""
        return self.size - self._mask(condition).sum(dim=1)

    def _mask(self, condition: Tensor | None) -> Tensor:
        assert condition is not None
        return condition[:, : self.size]

    def there(self, x: Tensor, mask: Tensor) -> Tensor:
        """Return coordinates (batch, n) with those of padding 0, of a mask (batch, P), or what begins with it."""
        lines, angles = self.coordinates.n_lines // self.size, len(self.coordinates.circles) // self.size
        mask = mask[:, : self.size]
        kept = mask.repeat_interleave(lines, dim=1)
        return x * (torch.cat([kept, mask.repeat_interleave(angles, dim=1)], dim=1) if angles else kept)


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
