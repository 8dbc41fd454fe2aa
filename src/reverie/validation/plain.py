"""Frozen results as plain dictionaries, and back: what JSON can hold, by the types of the fields.

Dataclasses become dictionaries, tuples and arrays lists, numbers that are not finite None. On the way back the
type of each field says what a list or a dictionary was; None is nan where the type is float.
"""

import math
import types
import typing
from dataclasses import fields, is_dataclass
from typing import Any, TypeVar

import numpy as np

__all__ = ["from_plain", "to_plain"]

T = TypeVar("T")


def to_plain(value: Any) -> Any:
    """Return `value` as dictionaries, lists, strings, booleans and finite numbers."""
    if is_dataclass(value) and not isinstance(value, type):
        return {field.name: to_plain(getattr(value, field.name)) for field in fields(value)}
    if isinstance(value, dict):
        return {str(k): to_plain(v) for k, v in value.items()}
    if isinstance(value, (list, tuple, np.ndarray)):
        return [to_plain(v) for v in value]
    if isinstance(value, np.generic):
        return to_plain(value.item())
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


def from_plain(cls: type[T], content: Any) -> T:
    """Return the dataclass `cls` that `to_plain` wrote; unknown keys are left out, absent ones take their default.

    Raises
    ------
    KeyError, TypeError, AttributeError
        For another content.
    """
    hints = typing.get_type_hints(cls)
    known = {field.name for field in fields(typing.cast(Any, cls))}
    return cls(**{key: _as_type(hints[key], value) for key, value in content.items() if key in known})


def _as_type(hint: Any, value: Any) -> Any:
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin in (types.UnionType, typing.Union):
        inner = [a for a in arguments if a is not type(None)]
        return None if value is None else _as_type(inner[0], value) if len(inner) == 1 else value
    if hint is float:
        return math.nan if value is None else float(value)
    if hint is np.ndarray:
        return np.asarray([np.nan if v is None else v for v in value]) if _is_flat(value) else np.asarray(value)
    if origin is tuple:
        each = [arguments[0]] * len(value) if arguments[-1] is Ellipsis else arguments
        return tuple(_as_type(a, v) for a, v in zip(each, value, strict=True))
    if origin is dict:
        return {k: _as_type(arguments[1], v) for k, v in value.items()}
    if is_dataclass(hint) and isinstance(hint, type):
        return from_plain(hint, value)
    return value


def _is_flat(value: Any) -> bool:
    return not any(isinstance(v, (list, dict)) for v in value)
