"""Network shapes: perceptrons, convolutional pairs, sets, the lectures' pairs, and what they see, draw and share."""

from reverie.networks.build import build_discriminator, build_generator
from reverie.networks.conditional import ConditionalDiscriminator
from reverie.networks.convolutional import ConvDiscriminator, ConvGenerator, UNetGenerator
from reverie.networks.features import OutputHead, Whitening
from reverie.networks.mlp import MLP, ResidualMLP
from reverie.networks.noise import Dropout, GaussianNoise, set_noise_generator
from reverie.networks.replicas import Stacked
from reverie.networks.sets import SetDiscriminator, SetGenerator, SetTrunk
from reverie.networks.summary import ModelSummary, NetworkSummary, summary

__all__ = [
    "MLP",
    "ConditionalDiscriminator",
    "ConvDiscriminator",
    "ConvGenerator",
    "Dropout",
    "GaussianNoise",
    "ModelSummary",
    "NetworkSummary",
    "OutputHead",
    "ResidualMLP",
    "SetDiscriminator",
    "SetGenerator",
    "SetTrunk",
    "Stacked",
    "UNetGenerator",
    "Whitening",
    "build_discriminator",
    "build_generator",
    "set_noise_generator",
    "summary",
]
