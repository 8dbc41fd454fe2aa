"""Which options of a model a search varies, and over what: one line of text, read into checked options.

    learning_rate=1e-4:1e-2:log      numbers from 1e-4 to 1e-2, evenly in their logarithm
    n_hidden=16:512:log              whole numbers, where both ends are written as such
    batch_size=64|128|256            one of these words or numbers
    hidden=[64,64]|[128,128]         one of these lists

Commas separate options. The names are those of the constructor of the model. Without a text a space of the options
that matter most is searched, the attribute `search_space` of its class; an option that the user has set, so that it
differs from the constructor's default, is left as it is.
"""

import inspect
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import yaml

from reverie.core.errors import InputError, UnknownNameError
from reverie.experiment.config import model_class

if TYPE_CHECKING:
    from optuna import Trial

__all__ = ["Choice", "Range", "SearchSpace", "search_space"]

_NOT_SEARCHED = ("random_state", "device", "n_threads", "record_every", "n_checks")
_FORM = "Write it like learning_rate=1e-4:1e-2:log,batch_size=64|128|256."


@dataclass(frozen=True)
class Range:
    """Numbers from `low` to `high`, both included; `is_log` searches evenly in the logarithm."""

    low: float
    high: float
    is_log: bool = False
    is_integer: bool = False

    def holds(self, value: object) -> bool:
        """Tell whether the search could come upon `value`."""
        if not isinstance(value, (int, float)) or isinstance(value, bool):
            return False
        return self.low <= value <= self.high and (not self.is_integer or float(value).is_integer())

    def suggest(self, trial: "Trial", name: str) -> float | int:
        """Return the value that the trial of Optuna proposes, with four significant digits."""
        if self.is_integer:
            return trial.suggest_int(name, int(self.low), int(self.high), log=self.is_log)
        value = trial.suggest_float(name, float(self.low), float(self.high), log=self.is_log)
        return min(max(float(f"{value:.4g}"), self.low), self.high)

    def encoded(self, value: float) -> float:
        """Return `value` as Optuna knows it."""
        return int(value) if self.is_integer else float(value)


@dataclass(frozen=True)
class Choice:
    """One of several values, by the words they are written in."""

    values: Mapping[str, object]

    def holds(self, value: object) -> bool:
        """Tell whether `value` is one of them."""
        return any(_is_same(known, value) for known in self.values.values())

    def suggest(self, trial: "Trial", name: str) -> object:
        """Return the value that the trial of Optuna proposes."""
        return self.values[trial.suggest_categorical(name, list(self.values))]

    def encoded(self, value: object) -> str:
        """Return the word for `value`."""
        return next(word for word, known in self.values.items() if _is_same(known, value))


@dataclass(frozen=True)
class SearchSpace:
    """Options by name, in their order, with a `Range` or a `Choice` each, and the text that says so."""

    options: Mapping[str, Range | Choice]
    text: str

    def suggest(self, trial: "Trial", held: Mapping[str, object] | None = None) -> dict[str, object]:
        """Return the values of a trial of Optuna; of the default, only those that the search could come upon."""
        names = [name for name, option in self.options.items() if held is None or option.holds(held[name])]
        return {name: self.options[name].suggest(trial, name) for name in names}

    def encoded(self, values: Mapping[str, Any]) -> dict[str, object]:
        """Return those `values` that the search could come upon, as Optuna knows them."""
        return {name: o.encoded(values[name]) for name, o in self.options.items() if o.holds(values[name])}


def search_space(text: str | None, model: str, base: Mapping[str, object]) -> SearchSpace:
    """Return the space that `text` describes, or the default one of the model.

    `base` are the options of the model without a search. A text of another form, an unknown option (the nearest is
    named), and nothing left to search are an `InputError`.
    """
    kind: Any = model_class(model)
    known = inspect.signature(kind).parameters
    options = {}
    for part in filter(str.strip, re.split(r",(?![^\[(]*[\])])", text if text is not None else kind.search_space)):
        name, equals, values = part.partition("=")
        name = name.strip().removeprefix("model.").replace("-", "_")
        if not equals or not values.strip():
            raise InputError(f"Expected --space NAME=VALUES,NAME=VALUES, got {part.strip()!r}. {_FORM}")
        if name not in known or name in _NOT_SEARCHED:
            raise UnknownNameError(f"option of {model} in --space:", name, [n for n in known if n not in _NOT_SEARCHED])
        if name in options:
            raise InputError(f"Expected each option of --space once, got {name!r} twice. Leave one of them out.")
        default, needs = known[name].default, kind.search_space_needs.get(name, {})
        # an option of the default space is searched if nothing that the user has set says otherwise
        is_free = _is_same(base.get(name, default), default) and all(base.get(key, v) == v for key, v in needs.items())
        if text is not None or is_free:
            options[name] = values.strip(), _option(name, values.strip())
    if not options:
        raise InputError("Expected options to search, got none: those of the default space are all set. Give --space.")
    text = ",".join(f"{name}={values}" for name, (values, _) in options.items())
    return SearchSpace({name: option for name, (_, option) in options.items()}, text)


def _option(name: str, text: str) -> Range | Choice:
    if "|" in text or ":" not in text:
        words = [word.strip() for word in text.split("|")]
        if not all(words) or len(set(words)) < max(2, len(words)):
            raise InputError(f"Expected two or more different values for {name}, got {'|'.join(words)!r}. {_FORM}")
        return Choice({word: _value(word) for word in words})
    low, high, *more = (word.strip() for word in text.split(":"))
    if more not in ([], ["log"]):
        raise InputError(f"Expected {name}=LOW:HIGH or {name}=LOW:HIGH:log, got {text!r}. {_FORM}")
    first, last = _number(low), _number(high)
    if first is None or last is None or not first < last or (more and first <= 0):
        above = "0 < LOW < HIGH" if more else "LOW < HIGH"
        raise InputError(f"Expected {name}=LOW:HIGH with numbers {above}, got {text!r}. {_FORM}")
    whole = all(re.fullmatch(r"[-+]?\d+", word) for word in (low, high))
    return Range(first, last, is_log=bool(more), is_integer=whole)


def _number(word: str) -> float | None:
    try:
        value = float(word)
    except ValueError:
        return None
    return value if math.isfinite(value) else None


def _value(word: str) -> object:
    """Return what a word means: a number (YAML takes 1e-3 for text), true, null, a list, or the word itself."""
    number = _number(word)
    if number is not None:
        return int(word) if re.fullmatch(r"[-+]?\d+", word) else number
    try:
        value = yaml.safe_load(word)
    except yaml.YAMLError:
        return word
    return value if value is None or isinstance(value, (bool, list)) else word


def _is_same(a: object, b: object) -> bool:
    """Compare two option values; lists and tuples are alike, true and 1 are not."""
    if isinstance(a, (list, tuple)) and isinstance(b, (list, tuple)):
        return len(a) == len(b) and all(_is_same(x, y) for x, y in zip(a, b, strict=True))
    return isinstance(a, bool) == isinstance(b, bool) and a == b
