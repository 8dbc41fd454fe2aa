r"""The rows that the validation of a conditional model sees: event and condition side by side.

A conditional model is right when the joint law p(x, c) is. For tables the conditions are further columns.
For images they are further "pixels": a category as one-hot, a number standardised, an image as it is.
They are scaled so that the variance of the whole condition equals that of the whole image,

    s^2 sum_j var(c_j) = sum_i var(x_i),

so a wrong label weighs as much in a distance as a wrong image does.
"""

from typing import Any

import numpy as np

from reverie.data import Schema
from reverie.experiment.inputs import Inputs, Part

__all__ = ["joint_names", "joint_rows", "joined"]


def joint_rows(inputs: Inputs, part: Part) -> Any:
    """Return the rows of `part` as `reverie.validate` takes them: a Dataset or an array."""
    if part.conditions is None:
        return part.events
    return joined(inputs, part.events.values, part.conditions.values)


def joined(inputs: Inputs, values: np.ndarray, conditions: np.ndarray | None) -> np.ndarray:
    """Return events (n, *event) with their conditions (n, k) or (n, *image): (n, d + k), or (n, 1, features) of images.

    Parameters
    ----------
    inputs : the data of the run, which set the scale.
    values, conditions : row by row; no conditions leave the events as they are.
    """
    known = inputs.source.conditions
    if conditions is None or known is None:
        return values
    if inputs.source.is_one_table:
        return np.concatenate([values, conditions], axis=1)
    schema, image_like = known.schema, inputs.prior.events.values
    reference = _encoded(np.asarray(known.values), np.asarray(known.values), schema)
    scale = np.sqrt(_variance(image_like) / max(_variance(reference), 1e-300))
    beside = scale * _encoded(np.asarray(conditions), np.asarray(known.values), schema)
    return np.concatenate([values.reshape(len(values), -1), beside], axis=1)[:, None, :]


def joint_names(inputs: Inputs) -> list[str] | None:
    """Return the names of the features of joint rows; None where the events have names of their own."""
    source = inputs.source
    if source.conditions is None:
        return None
    if source.is_one_table:
        return source.schema.names
    pixels = [f"pixel[{','.join(map(str, index))}]" for index in np.ndindex(*source.events.event_shape)]
    return pixels + _encoded_names(source.conditions.schema)


def _variance(rows: np.ndarray) -> float:
    return float(rows.reshape(len(rows), -1).astype(np.float64).var(axis=0).sum())


def _encoded(values: np.ndarray, reference: np.ndarray, schema: Schema) -> np.ndarray:
    """Return categories one-hot and numbers divided by their spread in `reference`, (n, features)."""
    if not schema.is_table:
        return values.reshape(len(values), -1).astype(np.float64)
    blocks = []
    for j, column in enumerate(schema.columns):
        x = values[:, [j]].astype(np.float64)
        if column.levels is not None:
            blocks.append((x == np.array(column.levels)).astype(np.float64))
        else:
            blocks.append(x / (reference[:, j].astype(np.float64).std() or 1.0))
    return np.concatenate(blocks, axis=1)


def _encoded_names(schema: Schema) -> list[str]:
    if not schema.is_table:
        return [f"condition[{','.join(map(str, index))}]" for index in np.ndindex(*schema.event_shape)]
    names = []
    for column in schema.columns:
        levels = column.labels or [f"{v:g}" for v in column.levels or ()]
        names += [f"{column.name} = {level}" for level in levels] or [column.name]
    return names
