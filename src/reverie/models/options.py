"""The training options that all models share, documented once.

    @with_shared_options
    class X(GenerativeModel):
        ...

adds to the docstring of X the sentences of those shared options that its constructor has and its own docstring leaves
out, so that `help(X)` and the help of the command line show every option. A model for which an option means more writes
a sentence of its own.
"""

import inspect
import re
import textwrap
from typing import TypeVar

__all__ = ["SHARED", "with_shared_options"]

Model = TypeVar("Model", bound=type)
_WIDTH = 116

SHARED: dict[str, str] = {
    "device": '"auto" (a CUDA device when there is one), "cpu", "cuda", "cuda:1", ...',
    "random_state": "seed of weights, batches and noise; None draws one, kept as `seed_`.",
    "preprocessing": (
        'change of variables before the network: "auto", "quantile", "standardise" or "asinh" for all columns; a '
        "dictionary of such words or transforms for some columns, by name; or a `Transform`."
    ),
    "validation_fraction": (
        "part of the events, in [0, 1), held out of training to check its health; at most 2000 events, and none of "
        "fewer than 200. 0 switches the checks off."
    ),
    "on_alarm": (
        'what an alarm does: "warn" notes it, "stop" ends training, "rollback" returns from divergence to the last '
        "healthy state at half the learning rate."
    ),
    "record_every": "steps between two records of the history.",
    "n_threads": 'processor threads while training; "auto" takes one for small networks, else torch\'s number.',
    "compile": (
        'whether training steps are compiled for this machine: True, False, or "auto" for runs that repay the seconds '
        "that it takes; what cannot be compiled runs as it is. The numbers are the same up to rounding."
    ),
}


def with_shared_options(model: Model) -> Model:
    """Add the sentences of `SHARED` to the section "Parameters" of the docstring of `model`, where they are missing."""
    doc = inspect.cleandoc(model.__doc__ or "")
    head, _, rest = doc.partition("\nParameters\n----------\n")
    section, gap, tail = rest.partition("\n\n")
    own = {name.strip() for names in re.findall(r"^(\S.*?) : ", section, flags=re.M) for name in names.split(",")}
    missing = [name for name in inspect.signature(model).parameters if name in SHARED and name not in own]
    lines = [textwrap.fill(f"{name} : {SHARED[name]}", _WIDTH, subsequent_indent="    ") for name in missing]
    model.__doc__ = f"{head}\nParameters\n----------\n" + "\n".join([section, *lines]) + gap + tail
    return model
