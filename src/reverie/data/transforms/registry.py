"""The transforms by name, for reading them back from JSON.

Only classes in this table are ever built from a file. A transform of your own is readable after
``TRANSFORMS["Mine"] = Mine``.
"""

from collections.abc import Mapping
from typing import Any

import torch

from reverie.core.checks import check_choice
from reverie.core.errors import InputError
from reverie.data.transforms.affine import Identity, Rescale, Standardise
from reverie.data.transforms.base import InvertibleTransform
from reverie.data.transforms.bounded import Asinh, Log, Logit
from reverie.data.transforms.chain import Chain
from reverie.data.transforms.columns import Columns
from reverie.data.transforms.discrete import Bits, Dequantise, OneHot
from reverie.data.transforms.periodic import Periodic
from reverie.data.transforms.pointmass import PointMass
from reverie.data.transforms.quantile import Quantile

__all__ = ["TRANSFORMS", "transform_from_json"]

TRANSFORMS: dict[str, type[InvertibleTransform]] = {
    "Asinh": Asinh,
    "Bits": Bits,
    "Chain": Chain,
    "Columns": Columns,
    "Dequantise": Dequantise,
    "Identity": Identity,
    "Log": Log,
    "Logit": Logit,
    "OneHot": OneHot,
    "Periodic": Periodic,
    "PointMass": PointMass,
    "Quantile": Quantile,
    "Rescale": Rescale,
    "Standardise": Standardise,
}


def transform_from_json(record: Mapping[str, Any]) -> InvertibleTransform:
    """Return the transform that ``to_json`` described, bit for bit.

    Raises
    ------
    InputError
        For a record that is not of a transform, or of an unknown one.
    """
    if not isinstance(record, Mapping) or not {"transform", "config", "state"} <= set(record):
        raise InputError(
            "Expected a record with the keys 'transform', 'config' and 'state', "
            f"got {type(record).__name__}. Give what to_json() returned."
        )
    made = check_choice("transform", record["transform"], TRANSFORMS)
    config = {name: _as_tuple(_decoded(value)) for name, value in record["config"].items()}
    state = {name: _decoded(value) for name, value in record["state"].items()}
    unknown = set(config) - set(made._parameters())
    if unknown:
        raise InputError(
            f"Expected the options of {made.__name__}, got also {sorted(unknown)}. The file is of another version."
        )
    return made(**config)._restore(state)


def _decoded(value: Any) -> Any:
    if isinstance(value, Mapping):
        if "transform" in value:
            return transform_from_json(value)
        if set(value) == {"tensor"}:
            return torch.tensor(value["tensor"], dtype=torch.float64)
        return {key: _decoded(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_decoded(item) for item in value]
    return value


def _as_tuple(value: Any) -> Any:
    return tuple(_as_tuple(item) for item in value) if isinstance(value, list) else value
