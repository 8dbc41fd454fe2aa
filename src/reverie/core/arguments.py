"""Arguments, checked against the annotations of what takes them, with one wording for all.

The annotation of a parameter is the one place that says what it may be: a type, a range, words, or several of these.

    n_checks: Whole = 40                        an integer >= 0
    validation_fraction: Share = 0.1            a number in [0, 1)
    n_noise: Count | Literal["auto"] = "auto"   an integer >= 1 or 'auto'

`checked` asks this of a function at every call, `check_arguments` of values that are at hand, such as the parameters of
an estimator, which scikit-learn wants stored as they came and looked at in `fit`.

Numbers of NumPy count as those of Python. A whole number must be of an integer type, for 4.0 is more often the outcome
of a wrong division than a number of events; True and False are no numbers. Numbers are finite and integers below
2^63 in size, unless the default of the parameter is not. Where an array is asked for, all that NumPy makes one of will
do. Where an annotation is a protocol, a type variable or a name that only a type checker knows, every value passes,
and the function answers for it.
"""

import collections.abc as abc
import functools
import inspect
import math
import numbers
import types
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, ParamSpec, TypeAlias, TypeVar, Union, get_args, get_origin, get_type_hints

import numpy as np

from reverie.core.errors import InputError, nearest

__all__ = [
    "Count",
    "Interval",
    "Level",
    "NonNegative",
    "Positive",
    "Share",
    "Whole",
    "check_arguments",
    "check_fields",
    "checked",
    "shown",
]

_LARGEST = 2**63  # integers of torch and NumPy are below it in size

P = ParamSpec("P")
R = TypeVar("R")


@dataclass(frozen=True)
class Interval:
    """Range of a number, for ``Annotated[float, Interval(0, 1)]``.

    Parameters
    ----------
    low, high : Ends of the range; None where there is none.
    ends : Which of the ends belong to it: "both", "left", "right" or "neither".
    """

    low: float | None = None
    high: float | None = None
    ends: Literal["both", "left", "right", "neither"] = "both"

    def __contains__(self, value: Any) -> bool:
        above = self.low is None or value > self.low or (value == self.low and self.ends in ("both", "left"))
        return above and (self.high is None or value < self.high or (value == self.high and self._is_closed_above))

    def __str__(self) -> str:
        # 1 and 1.0 are one key of the cache of `typing`, so that either may stand here for both: written alike
        low, high = (int(end) if end is not None and end == int(end) else end for end in (self.low, self.high))
        if low is None or high is None:
            one_end = f" >{'=' * (self.ends in ('both', 'left'))} {low}" if low is not None else ""
            return one_end or (f" <{'=' * self._is_closed_above} {high}" if high is not None else "")
        opening, closing = "[" if self.ends in ("both", "left") else "(", "]" if self._is_closed_above else ")"
        return f" in {opening}{low}, {high}{closing}"

    @property
    def _is_closed_above(self) -> bool:
        return self.ends in ("both", "right")


Count: TypeAlias = Annotated[int, Interval(1)]
Whole: TypeAlias = Annotated[int, Interval(0)]
Positive: TypeAlias = Annotated[float, Interval(0, ends="neither")]
NonNegative: TypeAlias = Annotated[float, Interval(0)]
Share: TypeAlias = Annotated[float, Interval(0, 1, ends="left")]  # a part of all, a decay, a momentum
Level: TypeAlias = Annotated[float, Interval(0, 1, ends="neither")]  # a significance, a coverage, a quantile


def checked(call: Callable[P, R]) -> Callable[P, R]:
    """Return `call` with its arguments checked against its annotations, see the module."""
    signature = inspect.signature(call)

    @functools.wraps(call)
    def checked_call(*args: P.args, **kwargs: P.kwargs) -> R:
        check_arguments(call, signature.bind(*args, **kwargs).arguments)
        return call(*args, **kwargs)

    return checked_call


def check_arguments(call: Callable[..., object], given: Mapping[str, Any], *, of: str = "") -> None:
    """Raise `InputError` for the first of the arguments `given`, by name, that is not what `call` takes.

    Parameters
    ----------
    call : a function or a class; annotations are those of its parameters.
    given : values by name; names that `call` does not have are left to it.
    of : Name of the object whose arguments they are, for the message, such as "GAN".
    """
    parameters = _parameters(call)
    for name, value in given.items():
        if name not in parameters:
            continue
        annotation, parameter = parameters[name]
        values = value if parameter.kind is parameter.VAR_POSITIONAL else (value,)
        for one in value.values() if parameter.kind is parameter.VAR_KEYWORD else values:
            if one is parameter.default or _accepts(annotation, one):
                continue
            close = nearest(one, _allowed(annotation)) if isinstance(one, str) else None
            or_not = "" if parameter.default is parameter.empty else ", or leave it out"
            hint = f"Give such a value{or_not}." if close is None else f"Did you mean {close!r}?"
            if isinstance(one, (float, np.floating)) and float(one).is_integer() and _accepts(annotation, int(one)):
                hint = f"Give the integer {int(one)}."
            whose = f"{name} of {of}" if of else name
            raise InputError(f"Expected {whose} to be {_wanted(annotation)}, got {shown(one)}. {hint}")


def check_fields(instance: object) -> None:
    """Raise `InputError` for the first field of a dataclass that is not what its annotation says."""
    check_arguments(type(instance), vars(instance), of=type(instance).__name__)


@functools.cache
def _parameters(call: Callable[..., object]) -> dict[str, tuple[object, inspect.Parameter]]:
    """Return each parameter, with its annotation, by name."""
    found = {}
    function = inspect.unwrap(call.__init__ if isinstance(call, type) else call)
    names = getattr(function, "__globals__", {})
    for name, parameter in inspect.signature(call).parameters.items():
        annotation: object = object if parameter.annotation is parameter.empty else parameter.annotation
        try:
            holder = types.SimpleNamespace(__annotations__={name: annotation})
            annotation = get_type_hints(holder, globalns=names, include_extras=True)[name]
        except NameError:  # imported for type checkers only
            annotation = object
        found[name] = (annotation, parameter)
    return found


def _accepts(annotation: object, value: object) -> bool:
    origin, parts = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return _accepts(parts[0], value) and all(value in part for part in parts[1:] if isinstance(part, Interval))
    if origin in (Union, types.UnionType):
        return any(_accepts(part, value) for part in parts)
    if origin is Literal:
        return any(type(value) is type(part) and value == part for part in parts)
    if origin is not None:
        return _accepts_several(origin, parts, value)
    if annotation in _PLAIN:
        return _PLAIN[annotation](value)
    is_open = getattr(annotation, "_is_protocol", False) and not getattr(annotation, "_is_runtime_protocol", False)
    return not isinstance(annotation, type) or is_open or isinstance(value, annotation)


def _accepts_several(origin: Any, parts: tuple[object, ...], value: Any) -> bool:
    """Whether `value` is a container of such parts; what can be gone through only once is not looked into."""
    if origin is abc.Callable:
        return callable(value)
    if isinstance(origin, type) and issubclass(origin, Mapping):
        key, item = parts
        return isinstance(value, Mapping) and all(_accepts(key, k) and _accepts(item, v) for k, v in value.items())
    if origin in (abc.Iterable, abc.Iterator, abc.Collection):
        return isinstance(value, origin) and not isinstance(value, (str, bytes))
    if origin not in (tuple, list, abc.Sequence):
        return _accepts(origin, value)
    if hasattr(value, "ndim") and hasattr(value, "__len__"):
        is_list = value.ndim == 1
    else:  # a word is no sequence of letters
        is_list = isinstance(value, abc.Sequence) and not isinstance(value, (str, bytes))
    if not is_list:
        return False
    if origin is tuple and parts[-1:] != (Ellipsis,):
        return len(value) == len(parts) and all(map(_accepts, parts, value))
    return all(_accepts(parts[0], one) for one in value)


def _is_real(value: object) -> bool:
    if isinstance(value, (bool, np.bool_)) or not isinstance(value, (float, int, np.floating, np.integer)):
        return False
    try:
        return math.isfinite(value)
    except OverflowError:  # an integer beyond the largest float
        return False


def _is_integer(value: object) -> bool:
    return isinstance(value, numbers.Integral) and not isinstance(value, bool) and abs(int(value)) < _LARGEST


_PLAIN: dict[object, Callable[[object], bool]] = {
    Any: lambda value: True,
    object: lambda value: True,
    None: lambda value: value is None,
    type(None): lambda value: value is None,
    bool: lambda value: isinstance(value, (bool, np.bool_)),
    int: _is_integer,
    float: _is_real,
    np.ndarray: lambda value: hasattr(value, "__array__") or isinstance(value, (list, tuple)),
}
_WORDS: dict[object, str] = {
    None: "None", type(None): "None", bool: "True or False", int: "an integer", float: "a finite number",
    str: "a word", Path: "a path", Any: "any value", dict: "a mapping", np.ndarray: "an array",
    abc.Callable: "a function",
}  # fmt: skip


def _wanted(annotation: object) -> str:
    """Return what an annotation asks for, in words."""
    origin, parts = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        ranges = "".join(str(part) for part in parts[1:] if isinstance(part, Interval))
        return f"{'a number' if parts[0] is float and ranges else _wanted(parts[0])}{ranges}"
    if origin in (Union, types.UnionType, Literal):
        words = list(dict.fromkeys(repr(part) if origin is Literal else _wanted(part) for part in parts))
        return ", ".join(words[:-1]) + f" or {words[-1]}" if len(words) > 1 else words[0]
    if origin is tuple and parts[-1:] != (Ellipsis,):
        return f"{len(parts)} values ({', '.join(_wanted(part) for part in parts)})"
    if isinstance(origin, type) and issubclass(origin, Mapping):
        return "a mapping"
    if origin in (abc.Sequence, list, tuple):
        return f"a list, each part {_wanted(parts[0])}"
    kind = origin or annotation
    return _WORDS.get(kind, f"of type {getattr(kind, '__name__', str(kind))}")


def _allowed(annotation: object) -> list[str]:
    """Return the words among the values that an annotation allows."""
    parts = get_args(annotation)
    if get_origin(annotation) is Literal:
        return [part for part in parts if isinstance(part, str)]
    return [word for part in parts for word in _allowed(part)] if get_origin(annotation) is not Annotated else []


def shown(value: object) -> str:
    """Return a value in short: numbers and words as they are, others by their type."""
    if isinstance(value, int) and value.bit_length() >= 200:
        return "a huge integer"
    if value is None or isinstance(value, (bool, int, float, complex, str, bytes, np.generic)):
        text = repr(value.item() if isinstance(value, np.generic) else value)
        return text if len(text) <= 60 else f"{text[:57]}..."
    if isinstance(value, (list, tuple)) and len(value) <= 8:
        return f"({', '.join(shown(part) for part in value)})" if value else "an empty list"
    return f"a value of type {type(value).__name__}"
