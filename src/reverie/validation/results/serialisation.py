"""Frozen results as plain dictionaries, and back: what JSON can hold, by the types of the fields.

Dataclasses become dictionaries, tuples and arrays lists, numbers that are not finite None. On the way back the
type of each field says what a list or a dictionary was; None is nan where the type is float.
"""

import math
import types
import typing
from dataclasses import MISSING, fields, is_dataclass
from typing import Any, TypeVar

import numpy as np

from reverie.core.errors import InputError

__all__ = ["from_plain", "to_plain"]

T = TypeVar("T")


def to_plain(value: object) -> Any:
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


def from_plain(cls: type[T], content: object, place: str = "") -> T:
    """Return the dataclass `cls` that `to_plain` wrote; unknown keys are left out, absent ones take their default.

    Parameters
    ----------
    cls : the dataclass.
    content : what JSON held.
    place : The place in the file, such as "checks[3]", which errors name.

    Raises
    ------
    InputError
        For another content: names the place.
    """
    entries, values = _checked(content, (dict,), "named entries", place), {}
    hints = typing.get_type_hints(cls)
    for field in fields(typing.cast(Any, cls)):
        inner = f"{place}.{field.name}" if place else field.name
        if field.name in entries:
            values[field.name] = _as_type(hints[field.name], entries[field.name], inner)
        elif field.default is MISSING and field.default_factory is MISSING:
            raise InputError(f"Expected the entry {inner!r}, got none.")
    return cls(**values)


def _as_type(hint: Any, value: object, place: str) -> object:
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin in (types.UnionType, typing.Union):
        inner = [a for a in arguments if a is not type(None)]
        return None if value is None else _as_type(inner[0], value, place) if len(inner) == 1 else value
    if hint is float:
        return math.nan if value is None else float(_checked(value, (int, float), "a number", place))
    if hint is np.ndarray:
        return _as_array(value, place)
    if origin is tuple:
        items = _checked(value, (list,), "a list", place)
        each = [arguments[0]] * len(items) if arguments[-1] is Ellipsis else arguments
        if len(each) != len(items):
            raise _unlike(f"{len(each)} values", value, place)
        return tuple(_as_type(a, v, f"{place}[{k}]") for k, (a, v) in enumerate(zip(each, items, strict=True)))
    if origin is dict:
        entries = _checked(value, (dict,), "named entries", place)
        return {k: _as_type(arguments[1], v, f"{place}.{k}") for k, v in entries.items()}
    if is_dataclass(hint) and isinstance(hint, type):
        return from_plain(hint, value, place)
    return _checked(value, (hint,), _PLAIN[hint], place) if hint in _PLAIN else value


_PLAIN: dict[object, str] = {str: "text", int: "a whole number", bool: "true or false"}


def _checked(value: object, kinds: tuple[Any, ...], words: str, place: str) -> Any:
    """Return `value` if it is of one of the `kinds`; true and false are no numbers."""
    if not isinstance(value, kinds) or (isinstance(value, bool) and bool not in kinds):
        raise _unlike(words, value, place)
    return value


def _as_array(value: object, place: str) -> np.ndarray:
    rows = _checked(value, (list,), "a list", place)
    is_flat = not any(isinstance(row, (list, dict)) for row in rows)
    try:
        array = np.asarray([np.nan if v is None else v for v in rows] if is_flat else rows)
    except ValueError:  # rows of several lengths
        raise _unlike("rows of one length", value, place) from None
    if array.size and array.dtype.kind not in "fiub":
        raise _unlike("numbers", value, place)
    return array


def _unlike(words: str, value: object, place: str) -> InputError:
    got = "null" if value is None else repr(value)
    return InputError(f"Expected {words} at {place or 'the top'}, got {got[:60]}{'...' if len(got) > 60 else ''}.")
