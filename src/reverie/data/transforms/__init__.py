"""Invertible changes of variables between data in original units and what a network works on."""

from reverie.data.transforms.auto import auto_transform
from reverie.data.transforms.base import TRANSFORMS, Elementwise, InvertibleTransform, Output, transform_from_json
from reverie.data.transforms.composite import Chain, Columns
from reverie.data.transforms.continuous import Asinh, Identity, Log, Logit, Rescale, Standardise
from reverie.data.transforms.discrete import Bits, ConstantCells, Dequantise, OneHot, PointMass
from reverie.data.transforms.kinematic_fit import ObservablesBeside
from reverie.data.transforms.observable import ObservableCoordinate
from reverie.data.transforms.particles import Particles
from reverie.data.transforms.periodic import Periodic
from reverie.data.transforms.quantile import Quantile
from reverie.data.transforms.separated import Separated

__all__ = [
    "TRANSFORMS",
    "Asinh",
    "Bits",
    "Chain",
    "Columns",
    "ConstantCells",
    "Dequantise",
    "Elementwise",
    "Identity",
    "InvertibleTransform",
    "Log",
    "Logit",
    "ObservableCoordinate",
    "ObservablesBeside",
    "OneHot",
    "Output",
    "Particles",
    "Periodic",
    "PointMass",
    "Quantile",
    "Rescale",
    "Separated",
    "Standardise",
    "auto_transform",
    "transform_from_json",
]
