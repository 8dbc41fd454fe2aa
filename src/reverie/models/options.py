"""The options that all models share: documented once, typed, keyword-only.

A model is a dataclass of its options, made by `estimator`:

    @estimator
    class X(GenerativeModel):
        n_latent: Count = 8
        max_steps: Count = 2_000

    X(n_latent=4, device="cpu")

`GenerativeModel` is a child of `SharedOptions`, whose fields are options of X too; X declares again only those that
have another default. The docstring of X gets the sentences of the options that it leaves out, so that `help(X)` and the
help of the command line show every one, in the order of the docstring; a model for which an option means more writes a
sentence of its own. An option that a model has not is a field that its constructor leaves out,
``n_checks: Whole = field(default=0, init=False)``.

As scikit-learn wants it, the constructor stores what it is given and looks at nothing; `fit` does.
"""

import inspect
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Any, Literal, TypeVar, cast, dataclass_transform

import numpy as np

from reverie.core.arguments import Count, Share, Whole
from reverie.core.types import RandomState
from reverie.models.preprocessing import ChangeOfVariables

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

__all__ = ["SharedOptions", "estimator", "options_of"]

Model = TypeVar("Model", bound=type)
Settings = TypeVar("Settings", bound="DataclassInstance")


@dataclass(kw_only=True, eq=False, repr=False)
class SharedOptions:
    """Options of every training.

    Parameters
    ----------
    batch_size : rows of a step; "auto" takes 256, or all rows of a smaller table.
    max_steps : steps of the whole run, at least 1.
    preprocessing : change of variables before the network: "auto", "quantile", "standardise" or "asinh" for all
        columns; a dictionary of such words or transforms for some columns, by name; or a `Transform`.
    device : "auto" (a CUDA device when there is one), "cpu", "cuda", "cuda:1", ...
    random_state : seed of weights, batches and noise; None draws one, kept as `seed_`.
    validation_fraction : part of the events, in [0, 1), held out of training to check its health; at most 2000 events,
        a quarter or 20 of fewer than 200, and none of fewer than 64. 0 switches the checks off.
    n_checks : checks of the health of training in a whole run; 0 switches them off.
    keep_best : whether the weights of the best check are kept, rather than the last.
    on_alarm : what an alarm does: "warn" notes it, "stop" ends training, "rollback" returns from divergence to the last
        healthy state at half the learning rate.
    record_every : steps between two records of the history.
    symmetries : words such as "rotate phi", "reflect eta", "exchange", "translate" or "flip" (see
        `reverie.data.symmetries`), or functions values (n, *event) -> values that are their own inverse: training sees
        random transforms of the events. Each is first tested on the data, and refused if they break it.
    on_broken_symmetry : what happens where the data break a symmetry: "refuse", or "warn" and train with it.
    n_threads : processor threads while training; "auto" takes one for small networks, else torch's number.
    compile : whether training steps are compiled for this machine: True, False, or "auto" for runs that repay the
        seconds that it takes; what cannot be compiled runs as it is. The numbers are the same up to rounding.
    n_replicas : models that are trained in turn, each from a seed of its own; samples are shared out over them, and the
        density is the mean of theirs. Their spread says how far the result can be trusted.
    bootstrap : whether a model, or each replica, is trained on a bootstrap sample of the events, to which its change of
        variables is fitted too. The spread of replicas then covers the finite number of training events.
    """

    batch_size: Count | Literal["auto"] = "auto"
    max_steps: Count = 5_000
    preprocessing: ChangeOfVariables = "auto"
    device: str = "auto"
    random_state: RandomState = None
    validation_fraction: Share = 0.1
    n_checks: Whole = 40
    keep_best: bool = True
    on_alarm: Literal["warn", "stop", "rollback"] = "rollback"
    record_every: Count = 50
    symmetries: Sequence[str | Callable[..., np.ndarray]] | None = None
    on_broken_symmetry: Literal["refuse", "warn"] = "refuse"
    n_threads: Count | Literal["auto"] = "auto"
    compile: bool | Literal["auto"] = "auto"
    n_replicas: Count = 1
    bootstrap: bool = False

    def __post_init__(self) -> None:
        """Write a `torch.device` as its name."""
        self.device = str(self.device)


def options_of(model: SharedOptions, settings: type[Settings], **resolved: Any) -> Settings:
    """Return the dataclass `settings` of the options of a model that it has fields for, some of them resolved."""
    names = [field.name for field in fields(settings)]
    return settings(**{name: getattr(model, name) for name in names if hasattr(model, name)} | resolved)


_HEADER = "\nParameters\n----------\n"


@dataclass_transform(kw_only_default=True, eq_default=False, field_specifiers=(field,))
def estimator(model: Model) -> Model:
    """Return the class with a constructor that takes its annotated fields, keyword-only, and all of them documented."""
    model = cast("Model", dataclass(model, kw_only=True, eq=False, repr=False))
    signature = inspect.signature(model.__init__)
    head, _, rest = inspect.cleandoc(model.__doc__ or "").partition(_HEADER)
    section, gap, tail = rest.partition("\n\n")
    own, shared = _entries(section), _entries(inspect.cleandoc(SharedOptions.__doc__ or "").partition(_HEADER)[2])
    missing = [name for name in signature.parameters if name in shared and name not in own]
    model.__doc__ = head + _HEADER + "\n".join([section, *(shared[name] for name in missing)]) + gap + tail
    order = [*own, *missing]
    parameters = sorted(signature.parameters.values(), key=lambda p: order.index(p.name) if p.name in order else -1)
    # pyrefly: ignore[missing-attribute] - where `inspect.signature` looks first
    model.__init__.__signature__ = signature.replace(parameters=parameters)
    return model


def _entries(section: str) -> dict[str, str]:
    """Return the lines ``name : sentence`` of each parameter of a section; names that share one have it each."""
    entries = re.split(r"\n(?=\S)", section)
    return {name.strip(): entry for entry in entries for name in entry.partition(" : ")[0].split(",")}
