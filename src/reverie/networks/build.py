"""From what a user writes to a network: a name, hidden widths, a module or a factory.

"mlp"        three hidden layers of 128 (256 or 512 for more than 32 or 128 features)
"residual"   three residual blocks of width 128
"dcgan"      the convolutional pair of `reverie.networks.convolutional`
"lattice"    the pair of periodic lattices of `reverie.networks.lattices`
"unet"       a generator of images from images, `reverie.networks.convolutional`
"lecture_mlp", "thesis", "dcgan28", "wgan_conv"   the lectures' pairs, `reverie.networks.lectures`
"auto"       a generator given images: "unet"; periodic lattices: "lattice"; images of at least 16 pixels a side:
             "dcgan"; else "mlp"
(100,)       a perceptron with these hidden widths
nn.Module    a copy of it is trained: noise (batch, n_noise) -> samples, or samples (batch, *event) -> (batch, 1)
factory      called with (n_noise, event_shape) or (event_shape,), returns such a module

How a discriminator sees observables and conditions stands in `reverie.networks.conditional`; what becomes of a module
or factory of the user's, in `reverie.networks.user`.
"""

import math
from collections.abc import Callable, Sequence
from functools import partial

import torch
from torch import nn

import reverie.networks.lectures as lectures
from reverie.core.checks import check_choice
from reverie.core.errors import InputError
from reverie.networks.conditional import SideInputs, conditional
from reverie.networks.convolutional import ConvDiscriminator, ConvGenerator, JoinedGenerator, UNetGenerator
from reverie.networks.init import initialised
from reverie.networks.lattices import LatticeDiscriminator, LatticeGenerator
from reverie.networks.mlp import MLP, ResidualMLP, default_width, is_widths
from reverie.networks.normalisation import normalise_spectrum
from reverie.networks.user import Specification, check_trial, user_discriminator, user_network

__all__ = ["NETWORK_WORKS", "build_discriminator", "build_generator", "has_batch_norm", "resolved_name"]

Shape = tuple[int, ...]

NETWORK_WORKS: dict[str, tuple[str, ...]] = {  # keys of the bibliography
    "dcgan": ("radford2016",),
    "dcgan28": ("radford2016", "srivastava2014"),
    "epic": ("buhmann2023",),
    "attention": ("buhmann2023", "lee2019"),
    "lecture_mlp": ("raschka2022", "srivastava2014"),
    "thesis": ("radford2016", "srivastava2014"),
    "lattice": ("he2016",),
    "unet": ("ronneberger2015", "isola2017", "wuhe2018"),
    "wgan_conv": ("raschka2022",),
}


def _widths(n_features: int, hidden: Sequence[int] | None) -> Sequence[int]:
    return (default_width(n_features),) * 3 if hidden is None else hidden


def _generator_mlp(n_noise: int, shape: Shape, activation: str, hidden: Sequence[int] | None = None) -> MLP:
    n = math.prod(shape)
    return MLP(n_noise, n, hidden=_widths(n, hidden), activation=activation)


def _discriminator_mlp(shape: Shape, activation: str, hidden: Sequence[int] | None = None) -> nn.Sequential:
    n = math.prod(shape)
    return nn.Sequential(nn.Flatten(), MLP(n, 1, hidden=_widths(n, hidden), activation=activation))


_GENERATORS: dict[str, Callable[[int, Shape, str], nn.Module]] = {  # noise, shape of an event, activation
    "mlp": _generator_mlp,
    "residual": lambda n_noise, shape, activation: ResidualMLP(n_noise, math.prod(shape), activation=activation),
    "dcgan": lambda n_noise, shape, activation: ConvGenerator(n_noise, shape),
    "lattice": lambda n_noise, shape, activation, **n: LatticeGenerator(n_noise, shape, activation=activation, **n),
    "lecture_mlp": lambda n_noise, shape, activation: lectures.lecture_generator(n_noise, shape),
    "thesis": lambda n_noise, shape, activation: lectures.thesis_generator(n_noise, shape),
    "dcgan28": lambda n_noise, shape, activation: lectures.dcgan28_generator(n_noise, shape),
    "wgan_conv": lambda n_noise, shape, activation: lectures.wgan_conv_generator(n_noise, shape),
}
_DISCRIMINATORS: dict[str, Callable[[Shape, str], nn.Module]] = {  # shape of an event, activation
    "mlp": _discriminator_mlp,
    "residual": lambda shape, activation: nn.Sequential(
        nn.Flatten(), ResidualMLP(math.prod(shape), 1, activation=activation)
    ),
    "dcgan": lambda shape, activation: ConvDiscriminator(shape),
    "lattice": lambda shape, activation: LatticeDiscriminator(shape, activation=activation),
    "lecture_mlp": lambda shape, activation: lectures.lecture_discriminator(shape),
    "thesis": lambda shape, activation: lectures.thesis_discriminator(shape),
    "dcgan28": lambda shape, activation: lectures.dcgan28_discriminator(shape),
    "wgan_conv": lambda shape, activation: lectures.wgan_conv_discriminator(shape),
}
_CONVOLUTIONAL = {"dcgan", "lattice", "dcgan28", "wgan_conv"}  # the others take and give vectors
_SMALLEST_CONV_SIDE = 16  # below this a perceptron of the same cost is as good


def build_generator(
    spec: Specification,
    *,
    n_noise: int,
    event_shape: tuple[int, ...],
    random_generator: torch.Generator,
    activation: str = "silu",
    condition_shape: tuple[int, ...] | None = None,
) -> nn.Module:
    """Return the generator network, noise (batch, n_noise) -> raw samples, flat or of the event's shape.

    Raises `InputError` for an unknown name or an unusable specification.

    Parameters
    ----------
    spec : a name, hidden widths, a module or a factory (see the module docstring).
    n_noise : numbers that the network takes; a condition vector is among them.
    event_shape : shape of one sample as the network sees it.
    random_generator : source of the initial weights.
    activation : of the perceptrons, a key of `reverie.networks.mlp.ACTIVATIONS`; the others have their own.
    condition_shape : shape of a condition; for images, of two or three axes, the network is called as
        ``network(z, image)``. A vector changes nothing here.
    """
    image_shape = condition_shape if condition_shape is not None and len(condition_shape) > 1 else None
    if not isinstance(spec, str) and not is_widths(spec):
        network = user_network(spec, (n_noise, event_shape), random_generator)
        inputs = [torch.zeros(2, n_noise)] + ([] if image_shape is None else [torch.zeros(2, *image_shape)])
        do = f"An event has shape {event_shape}, flat or not; write a factory called with (n_noise, event_shape) to fit"
        check_trial(network, "generator", inputs, math.prod(event_shape), named={}, do=f"{do} any.")
        return network
    if not isinstance(spec, str):
        name, maker = "mlp", partial(_generator_mlp, hidden=tuple(spec))
    else:
        name = "unet" if spec == "auto" and image_shape is not None else resolved_name(spec, event_shape)
        maker = check_choice("generator", name, {**_GENERATORS, "unet": _GENERATORS["mlp"]})  # a U-net is made below
    if name == "unet" and image_shape is None:
        raise InputError(
            "Expected images as conditions for generator='unet', got none. Call fit(X, y) with images y, or "
            "use generator='dcgan'."
        )
    if name in _CONVOLUTIONAL and image_shape is not None:
        raise InputError(
            f"Expected a generator that takes images as conditions, got {name!r}. Use 'unet', 'mlp' or your own "
            "module, called with (noise, image)."
        )

    if name == "lattice" and condition_shape:
        maker = partial(maker, n_condition=condition_shape[0])

    def make() -> nn.Module:
        if image_shape is None:
            return maker(n_noise, event_shape, activation)
        if name == "unet":
            return UNetGenerator(n_noise, event_shape, image_shape)
        return JoinedGenerator(maker(n_noise + math.prod(image_shape), event_shape, activation))

    # pyrefly: ignore[no-matching-overload] - torch takes it
    return initialised(make, random_generator).to(memory_format=torch.channels_last)


def build_discriminator(
    spec: Specification,
    *,
    event_shape: tuple[int, ...],
    random_generator: torch.Generator,
    activation: str = "silu",
    n_observables: int = 0,
    condition_shape: tuple[int, ...] | None = None,
    mode: str = "projection",
    n_aux: int = 0,
    spectral_norm: bool = False,
    may_be_bounded: bool = False,
) -> nn.Module:
    """Return the discriminator network, samples (batch, *event) -> logits (batch, 1 + n_aux).

    Raises `InputError` for an unknown name or mode, or a specification that cannot take what it would be shown.

    Parameters
    ----------
    spec, event_shape, random_generator, activation : as in `build_generator`.
    n_observables : observables k shown beside the sample, as ``network(x, observables=...)``, (batch, k).
    condition_shape : (c,) of a condition vector or the shape of an image, shown as ``network(x, condition=...)``.
    mode : how a vector enters: "projection", "concatenate", or "auxiliary" (only the classifier answers to it).
    n_aux : outputs of an auxiliary classifier of the condition, after the logit.
    spectral_norm : whether every layer is divided by its largest singular value.
    may_be_bounded : whether a network of the user's may give outputs between 0 and 1, as a sigmoid does.
    """
    side = SideInputs(n_observables, condition_shape, mode, n_aux)
    if isinstance(spec, str):
        name = resolved_name(spec, event_shape)
        maker = check_choice("discriminator", name, _DISCRIMINATORS)
        is_flat = name not in _CONVOLUTIONAL
    elif is_widths(spec):
        maker, is_flat = partial(_discriminator_mlp, hidden=tuple(spec)), True
    else:
        network = user_discriminator(spec, event_shape, random_generator, side, may_be_bounded=may_be_bounded)
        return normalise_spectrum(network, random_generator) if spectral_norm else network
    if not side.is_empty:
        maker = partial(conditional, maker, is_flat=is_flat, side=side)
    network = initialised(partial(maker, event_shape, activation), random_generator, allow_zero=not spectral_norm)
    # pyrefly: ignore[no-matching-overload] - torch takes it
    network = network.to(memory_format=torch.channels_last)
    return normalise_spectrum(network, random_generator) if spectral_norm else network


def has_batch_norm(network: nn.Module) -> bool:
    """Tell whether any layer normalises over the batch, which gradient penalties do not allow."""
    return any(isinstance(layer, nn.modules.batchnorm._BatchNorm) for layer in network.modules())


def resolved_name(name: str, event_shape: tuple[int, ...], *, periodic: bool = False) -> str:
    """Return the network that `name` stands for, "auto" resolved by the shape of one sample.

    Parameters
    ----------
    name, event_shape : What a user writes, and the shape of one sample as the network sees it.
    periodic : Whether samples are lattices whose opposite edges touch and whose sites are alike.
    """
    if name != "auto":
        return name
    if periodic:
        return "lattice"
    return "dcgan" if len(event_shape) > 1 and min(event_shape[-2:]) >= _SMALLEST_CONV_SIDE else "mlp"
