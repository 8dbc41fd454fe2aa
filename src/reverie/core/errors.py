"""The exceptions of reverie: what was expected, what came instead, what to do.

    Exception
    └── ReverieError
        ├── InputError (ValueError)            a file, array, name or option that cannot be used
        │   ├── InputTypeError (TypeError)     objects where numbers belong
        │   ├── BrokenSymmetryError            data without a symmetry that the model was told
        │   ├── ShortChainError                too few rows of a Markov chain for a p-value
        │   └── UnknownNameError               no such column, data set, model, ...: names the nearest
        ├── MissingDependencyError (ImportError)  an optional library: names the extra to install
        ├── FolderError (OSError)              a run folder that exists, or cannot be written
        ├── CheckpointError (ValueError)       a saved model or state that is corrupt or foreign
        ├── TrainingError (ArithmeticError)    training cannot go on: step, cause, last good checkpoint
        └── WorkerError (RuntimeError)         a process of several died, or cannot be reached

`InputError` is a `ValueError`, so code written for scikit-learn catches it. The command line prints
any `ReverieError` as one sentence without a traceback. Where that is not enough, `page` names the page of docs/errors
that says more, which `reverie explain PAGE` prints.
"""

import difflib
from collections.abc import Iterable
from functools import partial
from typing import ClassVar

__all__ = [
    "BrokenSymmetryError",
    "CheckpointError",
    "FolderError",
    "InputError",
    "InputTypeError",
    "MissingDependencyError",
    "ReverieError",
    "SamplingWarning",
    "ShortChainError",
    "TrainingError",
    "UnknownNameError",
    "WorkerError",
    "nearest",
]


class ReverieError(Exception):
    """Parent of every error that reverie raises on purpose."""

    page: ClassVar[str] = ""


class InputError(ReverieError, ValueError):
    """The user's data, name or option cannot be used; the message says why and what to do."""


class InputTypeError(InputError, TypeError):
    """Objects where numbers belong; scikit-learn asks for a `TypeError` then."""


class BrokenSymmetryError(InputError):
    """Data that do not have a symmetry that the model was told."""

    page = "symmetry"


class ShortChainError(InputError):
    """Rows of a Markov chain that are worth too few independent ones for a p-value."""

    page = "chains"


class UnknownNameError(InputError):
    """A name that is not among the known ones.

    Parameters
    ----------
    what : the sort of thing that was named, such as "column" or "objective".
    name : what the user wrote.
    known : the names that would have been right.
    """

    def __init__(self, what: str, name: object, known: Iterable[str]) -> None:
        self.what, self.name, self.known = what, name, tuple(known)
        close = nearest(str(name)[:200], self.known)
        hint = f"Did you mean {close!r}? " if close else ""
        names = ", ".join(self.known[:12]) + (f", ... ({len(self.known)} in all)" if len(self.known) > 12 else "")
        super().__init__(f"Unknown {what} {str(name)[:60]!r}. {hint}Known: {names}.")

    def __reduce__(self):
        return type(self), (self.what, self.name, self.known)  # as it comes back from another process


class MissingDependencyError(ReverieError, ImportError):
    """An optional library is needed and absent.

    Parameters
    ----------
    library : its import name, such as "uproot".
    extra : the extra of reverie that installs it, such as "root".
    purpose : what it was needed for, such as "read ROOT files".
    """

    def __init__(self, library: str, extra: str, purpose: str) -> None:
        self.library, self.extra, self.purpose = library, extra, purpose
        super().__init__(f"To {purpose}, reverie needs {library!r}. Install it: pip install 'reverie[{extra}]'")

    def __reduce__(self):
        return type(self), (self.library, self.extra, self.purpose)


class FolderError(ReverieError, OSError):
    """A run folder that exists already, or that cannot be written."""


class CheckpointError(ReverieError, ValueError):
    """A saved model or training state that is corrupt, foreign or unsafe to load."""

    page = "checkpoint"


class TrainingError(ReverieError, ArithmeticError):
    """Training cannot go on.

    Attributes
    ----------
    step : the step at which the cause was seen.
    checkpoint : path of the last good state, or None.
    """

    page = "training"

    def __init__(self, message: str, *, step: int, checkpoint: str | None = None) -> None:
        self.step, self.checkpoint = step, checkpoint
        super().__init__(message)

    def __reduce__(self):
        return partial(type(self), step=self.step, checkpoint=self.checkpoint), self.args


class SamplingWarning(UserWarning):
    """Samples came out, but not all of them as they were asked for."""


class WorkerError(ReverieError, RuntimeError):
    """A process of several died, or a cluster cannot be reached."""

    page = "workers"


def nearest(name: str, known: Iterable[str]) -> str | None:
    """Return the shortest known name that begins with `name`, else the one most like it, or None; case is ignored."""
    by_lower = {k.lower(): k for k in known}
    longer = [k for k in by_lower if name and k.startswith(name.lower())]
    if longer:
        return by_lower[min(longer, key=len)]
    hits = difflib.get_close_matches(name.lower(), list(by_lower), n=1, cutoff=0.5)
    return by_lower[hits[0]] if hits else None
