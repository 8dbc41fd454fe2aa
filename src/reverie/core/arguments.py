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
do. Where an annotation is a protocol, a type variable or a name
that only a type checker knows, every value passes, and the function answers for it.
"""

import collections.abc as abc
import functools
import inspect
import math
import numbers
import types
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, TypeAlias, TypeVar, Union, get_args, get_origin, get_type_hints

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

F = TypeVar("F", bound=Callable[..., Any])


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
        if self.low is None or self.high is None:
            one_end = f" >{'=' * (self.ends in ('both', 'left'))} {self.low}" if self.low is not None else ""
            return one_end or (f" <{'=' * self._is_closed_above} {self.high}" if self.high is not None else "")
        opening, closing = "[" if self.ends in ("both", "left") else "(", "]" if self._is_closed_above else ")"
        return f" in {opening}{self.low}, {self.high}{closing}"

    @property
    def _is_closed_above(self) -> bool:
        return self.ends in ("both", "right")


Count: TypeAlias = Annotated[int, Interval(1)]
Whole: TypeAlias = Annotated[int, Interval(0)]
Positive: TypeAlias = Annotated[float, Interval(0, ends="neither")]
NonNegative: TypeAlias = Annotated[float, Interval(0)]
Share: TypeAlias = Annotated[float, Interval(0, 1, ends="left")]  # a part of all, a decay, a momentum
Level: TypeAlias = Annotated[float, Interval(0, 1, ends="neither")]  # a significance, a coverage, a quantile


def checked(call: F) -> F:
    """Return `call` with its arguments checked against its annotations, see the module."""
    signature = inspect.signature(call)

    @functools.wraps(call)
    def checked_call(*args: Any, **kwargs: Any) -> Any:
        check_arguments(call, signature.bind(*args, **kwargs).arguments)
        return call(*args, **kwargs)

    return checked_call  # pyright: ignore[reportReturnType]


def check_arguments(call: Callable[..., Any], given: Mapping[str, Any], *, of: str = "") -> None:
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
        annotation, default, kind = parameters[name]
        values = value if kind is inspect.Parameter.VAR_POSITIONAL else (value,)
        values = value.values() if kind is inspect.Parameter.VAR_KEYWORD else values
        for one in values:
            if one is default or _accepts(annotation, one):
                continue
            whose = f"{name} of {of}" if of else name
            raise InputError(
                f"Expected {whose} to be {_wanted(annotation)}, got {shown(one)}. {_hint(annotation, one)}"
            )


def check_fields(instance: Any) -> None:
    """Raise `InputError` for the first field of a dataclass that is not what its annotation says."""
    check_arguments(type(instance), vars(instance), of=type(instance).__name__)


@functools.cache
def _parameters(call: Callable[..., Any]) -> dict[str, tuple[Any, Any, Any]]:
    """Return annotation, default and kind of each parameter by name."""
    found = {}
    function = inspect.unwrap(call.__init__ if isinstance(call, type) else call)
    names = getattr(function, "__globals__", {})
    for name, parameter in inspect.signature(call).parameters.items():
        annotation = Any if parameter.annotation is parameter.empty else parameter.annotation
        try:
            holder = types.SimpleNamespace(__annotations__={name: annotation})
            annotation = get_type_hints(holder, globalns=names, include_extras=True)[name]
        except NameError:  # imported for type checkers only
            annotation = Any
        found[name] = (annotation, parameter.default, parameter.kind)
    return found


def _accepts(annotation: Any, value: Any) -> bool:
    origin, parts = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        ranges = [part for part in parts[1:] if isinstance(part, Interval)]
        return _accepts(parts[0], value) and all(value in interval for interval in ranges)
    if origin in (Union, types.UnionType):
        return any(_accepts(part, value) for part in parts)
    if origin is Literal:
        return any(type(value) is type(part) and value == part for part in parts)
    if origin is not None:
        return _accepts_several(origin, parts, value)
    if annotation is None or annotation is type(None):
        return value is None
    if annotation in _PLAIN:
        return _PLAIN[annotation](value)
    if not isinstance(annotation, type):
        return True
    if getattr(annotation, "_is_protocol", False) and not getattr(annotation, "_is_runtime_protocol", False):
        return True
    return isinstance(value, annotation)


def _accepts_several(origin: Any, parts: tuple[Any, ...], value: Any) -> bool:
    """Whether `value` is a container of such parts; what can be gone through only once is not looked into."""
    if origin is abc.Callable:
        return callable(value)
    if origin is tuple and len(parts) == 2 and parts[1] is Ellipsis:
        return _is_sequence(value) and all(_accepts(parts[0], part) for part in value)
    if origin is tuple:
        pairs = zip(parts, value, strict=True) if _is_sequence(value) and len(value) == len(parts) else None
        return pairs is not None and all(_accepts(part, one) for part, one in pairs)
    if isinstance(origin, type) and issubclass(origin, Mapping):
        return isinstance(value, Mapping) and all(_accepts(a, k) and _accepts(b, v)
                                                  for (a, b) in [parts] for k, v in value.items())  # fmt: skip
    if origin in (abc.Sequence, list):
        return _is_sequence(value) and all(_accepts(parts[0], part) for part in value)
    if origin in (abc.Iterable, abc.Iterator, abc.Collection):
        return isinstance(value, origin) and not isinstance(value, (str, bytes))
    return _accepts(origin, value)


def _is_sequence(value: Any) -> bool:
    """Whether `value` is a list, tuple, range or one-dimensional array: a word is no sequence of letters."""
    if hasattr(value, "ndim") and hasattr(value, "__len__"):
        return value.ndim == 1
    return isinstance(value, abc.Sequence) and not isinstance(value, (str, bytes))


def _is_integer(value: Any) -> bool:
    return isinstance(value, numbers.Integral) and not isinstance(value, bool) and abs(int(value)) < _LARGEST


def _is_real(value: Any) -> bool:
    if isinstance(value, (bool, np.bool_)) or not isinstance(value, (float, int, np.floating, np.integer)):
        return False
    try:
        return math.isfinite(value)
    except OverflowError:  # an integer beyond the largest float
        return False


_PLAIN: dict[Any, Callable[[Any], bool]] = {
    Any: lambda value: True,
    object: lambda value: True,
    bool: lambda value: isinstance(value, (bool, np.bool_)),
    int: _is_integer,
    float: _is_real,
    complex: lambda value: isinstance(value, (complex, np.complexfloating)) or _is_real(value),
    Path: lambda value: isinstance(value, Path),
    np.ndarray: lambda value: hasattr(value, "__array__") or isinstance(value, (list, tuple)),
}
_WORDS = {
    None: "None", type(None): "None", bool: "True or False", int: "an integer", float: "a finite number",
    str: "a word", Path: "a path", Any: "any value", dict: "a mapping", np.ndarray: "an array",
}  # fmt: skip


def _wanted(annotation: Any) -> str:
    """Return what an annotation asks for, in words."""
    origin, parts = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        ranges = "".join(str(part) for part in parts[1:] if isinstance(part, Interval))
        return f"{'a number' if parts[0] is float and ranges else _wanted(parts[0])}{ranges}"
    if origin in (Union, types.UnionType):
        words = list(dict.fromkeys(_wanted(part) for part in parts))
        return ", ".join(words[:-1]) + f" or {words[-1]}" if len(words) > 1 else words[0]
    if origin is Literal:
        return _one_of([repr(part) for part in parts])
    if origin is abc.Callable:
        return "a function"
    if origin is tuple and parts[-1:] != (Ellipsis,):
        return f"{len(parts)} values ({', '.join(_wanted(part) for part in parts)})"
    if isinstance(origin, type) and issubclass(origin, Mapping):
        return "a mapping"
    if origin in (abc.Sequence, list, tuple):
        return f"a list, each part {_wanted(parts[0])}"
    kind = origin or annotation
    return _WORDS.get(kind, f"of type {getattr(kind, '__name__', str(kind))}")


def _hint(annotation: Any, value: Any) -> str:
    """Return what to do: the nearest of the words that are allowed, a whole number for a float, or nothing special."""
    words = _allowed(annotation)
    close = nearest(value, words) if isinstance(value, str) else None
    if close is not None:
        return f"Did you mean {close!r}?"
    if isinstance(value, (float, np.floating)) and float(value).is_integer() and _accepts(annotation, int(value)):
        return f"Give the integer {int(value)}."
    return "Give such a value, or leave it out."


def _allowed(annotation: Any) -> list[str]:
    parts: Iterable[Any] = get_args(annotation)
    if get_origin(annotation) is Literal:
        return [part for part in parts if isinstance(part, str)]
    return [word for part in parts for word in _allowed(part)] if get_origin(annotation) is not Annotated else []


def _one_of(words: list[str]) -> str:
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} or {words[-1]}"


def shown(value: Any) -> str:
    """Return a value in short: numbers and words as they are, others by their type."""
    if value is None or isinstance(value, (bool, int, float, complex, str, bytes, np.generic)):
        text = repr(value.item() if isinstance(value, np.generic) else value) if _is_short(value) else "a huge integer"
        return text if len(text) <= 60 else f"{text[:57]}..."
    if isinstance(value, (list, tuple)) and len(value) <= 8:
        return f"({', '.join(shown(part) for part in value)})" if value else "an empty list"
    return f"a value of type {type(value).__name__}"


def _is_short(value: Any) -> bool:
    return not isinstance(value, int) or value.bit_length() < 200
