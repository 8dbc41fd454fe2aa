"""The conditions that samples are asked for: those of given rows, one for all, or those of training events.

Row numbers count all samples of one call, so any part of them can be had without those before it.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from reverie.core.errors import InputError, UnknownNameError
from reverie.data import Column, Dataset, Schema
from reverie.experiment.config import parse_condition

__all__ = ["Asked", "asked_for", "asked_rows"]


@dataclass(frozen=True)
class Asked:
    """Conditions of samples.

    Parameters
    ----------
    schema : of the conditions.
    told : what the model is given as `condition`; None lets it draw them.
    rows : (start, n) -> conditions of samples start ... start + n - 1, (n, k) or (n, *image).
    """

    schema: Schema
    told: Any
    rows: Callable[[int, int], np.ndarray]


def asked_rows(conditions: Dataset | None) -> Asked | None:
    """Return a condition for each sample, or None."""
    if conditions is None:
        return None
    return Asked(conditions.schema, conditions, lambda start, n: np.asarray(conditions.values[start : start + n]))


def asked_for(model: Any, condition: str | None, seed: int) -> Asked | None:
    """Return the condition that a user wrote, the same for all samples, or those of training events.

    Parameters
    ----------
    model : trained; None is returned for one without conditions.
    condition : such as "label=3,energy=20.5", or None.
    seed : of the samples.

    Raises
    ------
    InputError
        For a condition that the model was not trained with, or one that is missing.
    """
    schema = getattr(model, "conditions_", None)
    if schema is None:
        if condition is not None:
            raise InputError(
                f"Expected a model trained with conditions for --condition {condition}, got one without. Train it "
                "with 'reverie run ... --condition COLUMN'."
            )
        return None
    if condition is None:
        return Asked(schema, None, lambda start, n: _values(model.sample_conditions(n, seed, start=start)))
    if not schema.is_table:
        raise InputError("Expected no --condition for a model trained on image conditions. Use the Python interface.")
    row = _row(parse_condition(condition), schema)
    return Asked(schema, row, lambda start, n: np.tile(row, (n, 1)))  # noqa: ARG005 - the same for all


def _values(conditions: Any) -> np.ndarray:
    has_values = isinstance(conditions, Dataset) or hasattr(conditions, "iloc")
    return np.asarray(conditions.values if has_values else conditions)


def _row(asked: Mapping[str, str], schema: Schema) -> np.ndarray:
    """Return the one row (k,) of values that `asked` names, words as their codes."""
    unknown = next((name for name in asked if name not in schema.names), None)
    if unknown is not None:
        raise UnknownNameError("condition", unknown, schema.names)
    missing = [name for name in schema.names if name not in asked]
    if missing:
        raise InputError(
            f"Expected a value for each condition ({', '.join(schema.names)}), got none for {', '.join(missing)}. "
            f"Write --condition {','.join(f'{name}=...' for name in schema.names)}."
        )
    return np.array([_number(asked[column.name], column) for column in schema.columns])


def _number(word: str, column: Column) -> float:
    if column.labels is not None:
        if word not in column.labels:
            raise UnknownNameError(f"value of {column.name}", word, column.labels)
        return float(column.labels.index(word))
    try:
        value = float(word)
    except ValueError:
        raise InputError(f"Expected a number for the condition {column.name}, got {word!r}. Correct it.") from None
    if column.levels is not None and value not in column.levels:
        levels = ", ".join(f"{level:g}" for level in column.levels[:20])
        raise InputError(
            f"Expected {column.name} to be one of {levels}, got {word}. Choose a level that was trained on."
        )
    return value
