"""Which observables a validation looks at: those the user names, those the model was shown, those of lattices."""

from collections.abc import Callable, Sequence
from typing import Any

from torch import Tensor

from reverie.core.errors import UnknownNameError
from reverie.data import Schema
from reverie.data.observables import OBSERVABLES, SPECTRA, resolve_observables

__all__ = ["observables_of"]

_LATTICE = ("energy", "magnetisation", "abs_magnetisation", "correlation_function")


def observables_of(schema: Schema, asked: Sequence[str] = (), shown: Any = ()) -> dict[str, Callable[[Tensor], Any]]:
    """Return functions of events by name.

    Parameters
    ----------
    schema : of the events.
    asked : names, as in `reverie.data.observables.resolve_observables`, or of `SPECTRA`.
    shown : observables that the discriminator of the model was shown, in any form that it takes.

    Raises
    ------
    UnknownNameError
        For an unknown name, with the nearest.
    """
    known = [*OBSERVABLES, *SPECTRA]
    for name in asked:
        if "(" not in name and name not in known:
            raise UnknownNameError("observable", name, known)
    names = list(dict.fromkeys([*asked, *(_LATTICE if _is_lattice(schema) else ())]))
    functions: dict[str, Callable[[Tensor], Any]] = {name: SPECTRA[name] for name in names if name in SPECTRA}
    given = [shown] if isinstance(shown, str) or callable(shown) else list(shown or ())
    wanted = [spec for spec in given if not isinstance(spec, str) or spec not in names]
    for one in resolve_observables([*(name for name in names if name not in SPECTRA), *wanted], schema):
        functions[one.name] = one.function
    return functions


def _is_lattice(schema: Schema) -> bool:
    return not schema.is_table and all(column.kind == "spin" for column in schema.columns)
