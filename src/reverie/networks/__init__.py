"""Network shapes: multilayer perceptrons, residual perceptrons and convolutional pairs of any image size."""

from reverie.networks.build import build_discriminator, build_generator
from reverie.networks.conv import ConvDiscriminator, ConvGenerator
from reverie.networks.heads import OutputHead
from reverie.networks.mlp import MLP, ResidualMLP
from reverie.networks.whitening import Whitening

__all__ = [
    "MLP",
    "ConvDiscriminator",
    "ConvGenerator",
    "OutputHead",
    "ResidualMLP",
    "Whitening",
    "build_discriminator",
    "build_generator",
]
