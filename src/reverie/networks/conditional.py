r"""Discriminators that see more than the sample: observables of it, and what it is conditioned on.

Symbols: x a sample, o(x) observables of it, c its condition, phi(x, o) features of a trunk network.

    concatenate   D = v . phi(x, o, c) + b
    projection    D = v . phi(x, o) + b + (V c) . phi(x, o)
    auxiliary     D = v . phi(x, o) + b,   and a classifier  c^ = W phi(x, o) + b'

The projection is the form that the log ratio of two conditional densities takes when log p(c|x) is
linear in c, as it is for classes (Miyato and Koyama, arXiv:1802.05637, eq. 3); V starts at zero, so the
game starts as the unconditional one. The auxiliary classifier (AC-GAN: Odena, Olah and Shlens,
arXiv:1610.09585) can stand beside the projection too, whose phi does not see c; its outputs are logits or
means, without activation.

How the inputs meet depends on the trunk. A flat trunk (perceptrons) takes everything as one vector. A
convolutional trunk takes a condition vector as constant planes beside the image, an image condition
as further channels, and observables through a small perceptron of their own beside its features.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from reverie.core.checks import check_choice
from reverie.core.errors import InputError
from reverie.networks.convolutional import as_channels
from reverie.networks.mlp import MLP

__all__ = [
    "SideInputs",
    "ConditionalDiscriminator",
    "ProjectionHead",
    "conditional",
    "joined",
    "with_projection",
]

_OBSERVABLE_WIDTH = 64  # of the small perceptron that brings observables to the features of an image

Shape = tuple[int, ...]


@dataclass(frozen=True)
class SideInputs:
    """What a discriminator takes beside the sample, and gives beside the logit.

    Raises `InputError` for an unknown mode, or a classifier of a condition that is joined to the sample: it could read
    it off.

    Parameters
    ----------
    n_observables : number of observables k; 0 for none.
    condition_shape : (c,) of a vector, (channel, height, width) or (height, width) of an image, None for none.
    mode : how a condition vector enters: "projection", "concatenate" or "auxiliary" (it does not). An image
        is always joined, unless the mode is "auxiliary".
    n_aux : outputs of the auxiliary classifier.
    """

    n_observables: int = 0
    condition_shape: Shape | None = None
    mode: str = "projection"
    n_aux: int = 0

    def __post_init__(self) -> None:
        check_choice("condition mode", self.mode, {"projection": 1, "concatenate": 1, "auxiliary": 1})
        if self.n_aux and self.joined is not None:
            raise InputError(
                "Expected condition mode 'projection' or 'auxiliary' with an auxiliary classifier, which could read "
                "a condition joined to the sample off its input. Change the mode, or leave the classifier out."
            )

    @property
    def is_empty(self) -> bool:
        """Whether the network is a plain one."""
        return not self.n_observables and self.condition_shape is None and not self.n_aux

    @property
    def seen(self) -> Shape | None:
        """Shape of the condition that enters the logit, or None."""
        return None if self.mode == "auxiliary" else self.condition_shape

    @property
    def joined(self) -> Shape | None:
        """Shape of the condition that is joined to the sample, or None."""
        return self.seen if self.seen is not None and (len(self.seen) > 1 or self.mode == "concatenate") else None

    @property
    def names(self) -> list[str]:
        """Names of the inputs beside the sample."""
        shown = {"observables": self.n_observables > 0, "condition": self.seen is not None}
        return [name for name in shown if shown[name]]


class ProjectionHead(nn.Module):
    """Features phi (batch, n_features) and a condition to one logit and `n_aux` outputs of a classifier.

    Without entries of a condition vector (`n_condition`) there is no term (V c) . phi.
    """

    def __init__(self, n_features: int, *, n_condition: int = 0, n_aux: int = 0) -> None:
        super().__init__()
        self.linear = nn.Linear(n_features, 1 + n_aux)
        self.embedding = nn.Linear(n_condition, n_features, bias=False) if n_condition else None
        if self.embedding is not None:
            self.embedding.zero_init = True  # pyrefly: ignore[bad-argument-type] - a mark for `reverie.networks.init`

    def forward(self, phi: Tensor, condition: Tensor | None = None) -> Tensor:
        """Return outputs (batch, 1 + n_aux), the logit first."""
        outputs = self.linear(phi)
        if self.embedding is None:
            return outputs
        return with_projection(outputs, (self.embedding(condition) * phi).sum(dim=-1, keepdim=True))


class ConditionalDiscriminator(nn.Module):
    """Samples, observables and conditions to logits (batch, 1 + n_aux).

    Parameters
    ----------
    trunk : joined inputs to features phi (batch, n_features).
    n_features : width of phi.
    side : inputs beside the sample, and outputs beside the logit.
    is_flat : whether the trunk takes vectors, else images.
    """

    def __init__(self, trunk: nn.Module, n_features: int, side: SideInputs, *, is_flat: bool) -> None:
        super().__init__()
        self.trunk, self.side, self.is_flat = trunk, side, is_flat
        self.from_observables = None
        if side.n_observables and not is_flat:
            width = _OBSERVABLE_WIDTH
            self.from_observables = nn.Sequential(MLP(side.n_observables, width, hidden=(width,)), nn.SiLU())
            n_features += width
        projected = side.seen if side.joined is None else None
        n_projected = 0 if projected is None else projected[0]
        self.head = ProjectionHead(n_features, n_condition=n_projected, n_aux=side.n_aux)

    def forward(self, x: Tensor, observables: Tensor | None = None, condition: Tensor | None = None) -> Tensor:
        """Return logits (batch, 1 + n_aux) of samples (batch, *event), observables (batch, k) and conditions.

        Raises `InputError` when an input that the network was built for is missing.
        """
        self.check_inputs(observables, condition)
        joining = None if self.side.joined is None else condition
        if self.is_flat:
            phi = self.trunk(joined((x, observables, joining), start=1))
        else:
            images = x.reshape(len(x), -1, *x.shape[-2:])
            if joining is not None and joining.ndim == 2:  # a vector becomes constant planes
                planes = joining[:, :, None, None].expand(-1, -1, *x.shape[-2:])
                images = torch.cat([images, planes], dim=1)
            elif joining is not None:
                images = torch.cat([images, joining.reshape(len(x), -1, *x.shape[-2:])], dim=1)
            phi = self.trunk(images)
        if self.from_observables is not None:
            phi = torch.cat([phi, self.from_observables(observables)], dim=1)
        return self.head(phi, condition)

    def check_inputs(self, observables: Tensor | None, condition: Tensor | None) -> None:
        """Raise `InputError` when an input that the network was built for is missing."""
        for name, given in (("observables", observables), ("condition", condition)):
            if given is None and name in self.side.names:
                raise InputError(f"Expected {name} beside the samples, got none. Pass {name}=, as in training.")


def conditional(
    maker: Callable[[Shape, str], nn.Module], event_shape: Shape, activation: str, *, is_flat: bool, side: SideInputs
) -> ConditionalDiscriminator:
    """Return the discriminator whose trunk is the network of `maker` up to its last linear layer.

    The maker is called with the shape of one joined input and the activation. Raises `InputError` when an image
    condition has another size than the sample.
    """
    if is_flat:
        n_joined = 0 if side.joined is None else math.prod(side.joined)
        shape = (math.prod(event_shape) + side.n_observables + n_joined,)
    else:
        channels, height, breadth = as_channels(event_shape)
        if side.joined is not None and len(side.joined) == 1:
            channels += side.joined[0]
        elif side.joined is not None:
            more, *size = as_channels(side.joined)
            if size != [height, breadth]:
                raise InputError(
                    f"Expected an image condition of {height} x {breadth} pixels like the samples, got shape "
                    f"{side.joined}. Resize one of them, or use discriminator='mlp'."
                )
            channels += more
        shape = (channels, height, breadth)
    trunk = maker(shape, activation)
    *_, (path, last) = ((path, layer) for path, layer in trunk.named_modules() if isinstance(layer, nn.Linear))
    trunk.set_submodule(path, nn.Identity())
    return ConditionalDiscriminator(trunk, last.in_features, side, is_flat=is_flat)


def joined(parts: Sequence[Tensor | None], *, start: int) -> Tensor:
    """Return what is present of `parts`, flattened from axis `start` on, as one vector per sample."""
    flat = [part.flatten(start) for part in parts if part is not None]
    return flat[0] if len(flat) == 1 else torch.cat(flat, dim=-1)


def with_projection(outputs: Tensor, projection: Tensor) -> Tensor:
    """Return outputs (..., 1 + n_aux) with `projection` (..., 1) added to the logit."""
    if outputs.shape[-1] == 1:
        return outputs + projection
    return torch.cat([outputs[..., :1] + projection, outputs[..., 1:]], dim=-1)
