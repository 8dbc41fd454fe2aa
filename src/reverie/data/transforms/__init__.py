"""Invertible changes of variables between data in original units and what a network works on."""

from reverie.data.transforms.affine import Identity, Rescale, Standardise
from reverie.data.transforms.auto import auto_transform
from reverie.data.transforms.base import Elementwise, InvertibleTransform, Output
from reverie.data.transforms.bounded import Asinh, Log, Logit
from reverie.data.transforms.chain import Chain
from reverie.data.transforms.columns import Columns
from reverie.data.transforms.discrete import Bits, Dequantise, OneHot
from reverie.data.transforms.periodic import Periodic
from reverie.data.transforms.pointmass import PointMass
from reverie.data.transforms.quantile import Quantile
from reverie.data.transforms.registry import TRANSFORMS, transform_from_json

__all__ = [
    "TRANSFORMS",
    "Asinh",
    "Bits",
    "Chain",
    "Columns",
    "Dequantise",
    "Elementwise",
    "Identity",
    "InvertibleTransform",
    "Log",
    "Logit",
    "OneHot",
    "Output",
    "Periodic",
    "PointMass",
    "Quantile",
    "Rescale",
    "Standardise",
    "auto_transform",
    "transform_from_json",
]
