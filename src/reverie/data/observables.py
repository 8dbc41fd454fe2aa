"""Observables: physical functions of one event that a discriminator is shown beside the raw columns.

For two particles those of `reverie.data.kinematics`: the mass of both, their distance in angle, the momentum
of the pair. For lattices of spins s with N sites and periodic edges:

    energy         -(1/N) sum over neighbours s_i s_j       (Ising model with coupling 1)
    magnetisation  (1/N) sum s_i,   abs_magnetisation its size

For sets of particles with the columns eta_rel, phi_rel, pt_rel, or eta, phi, pt, those of jets in `reverie.core.jets`:
jet_mass, jet_pt, jet_width, multiplicity (of any set), tau21, tau32, d2.

A generator learns through these functions, so each must be finite with finite gradients for any event that
the bounds of the columns allow; `check_observable` tries it.

`SPECTRA` are functions of one lattice or image with several numbers each. Validation compares their means with
their covariance; discriminators do not take them.

To add one: a function of tensors, and a row in `OBSERVABLES` with the columns it takes.
"""

import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor

from reverie.core import jets
from reverie.core.errors import InputError, UnknownNameError
from reverie.data import kinematics
from reverie.data.schema import Schema

__all__ = [
    "OBSERVABLES",
    "SPECTRA",
    "Form",
    "Observable",
    "abs_magnetisation",
    "check_observable",
    "correlation_function",
    "ising_energy",
    "magnetisation",
    "power_spectrum",
    "resolve_observables",
]

Function = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class Observable:
    """A number per event.

    Parameters
    ----------
    name : what the user called it; for a named one, `resolve_observables` rebuilds it from this.
    function : physical events (batch, *event) to values (batch,), differentiable.
    named : whether it is built of `OBSERVABLES` rather than of a function of the user's.
    """

    name: str
    function: Function
    named: bool = False


@dataclass(frozen=True)
class Form:
    """One way to compute an observable: from the columns `columns` in this order, or from the whole event if none.

    `options` are further arguments that may be absent, with 0 in their place. Of sets, if `of_sets`, a column is
    (batch, particle), and "mask" is one.
    """

    function: Callable[..., Tensor]
    columns: tuple[str, ...] = ()
    options: tuple[str, ...] = ()
    of_sets: bool = False


def ising_energy(x: Tensor) -> Tensor:
    """Return -(1/N) sum over neighbours s_i s_j (batch,) of lattices (batch, height, width) or with channels before."""
    x = x if x.is_floating_point() else x.float()
    return -(x * (x.roll(1, -1) + x.roll(1, -2))).flatten(1).mean(1)


def magnetisation(x: Tensor) -> Tensor:
    """Return the mean over all sites of x (batch, *event), (batch,)."""
    return (x if x.is_floating_point() else x.float()).flatten(1).mean(1)


def abs_magnetisation(x: Tensor) -> Tensor:
    """Return the size of the mean over all sites of x (batch, *event), (batch,)."""
    return magnetisation(x).abs()


def correlation_function(x: Tensor) -> Tensor:
    """Return G(r) = (1/N) sum over sites of s_i (s_{i + r x} + s_{i + r y}) / 2, r = 1 ... L/2, periodic, (batch, L/2).

    x : lattices (batch, height, width) or with channels before; L the shorter side. The mean is not subtracted.
    """
    reach = max(1, min(x.shape[-2:]) // 2)
    pairs = [x * (x.roll(r, -1) + x.roll(r, -2)) / 2 for r in range(1, reach + 1)]
    return torch.stack([pair.flatten(1).mean(1) for pair in pairs], dim=1)


def power_spectrum(x: Tensor) -> Tensor:
    """Return log of the mean power |F(k)|^2 in rings of wave number |k| = 1 ... L/2, (batch, L/2).

    x : images (batch, height, width) or with channels before; L the shorter side, k in cycles per image.
    """
    power = torch.fft.fft2(x).abs().square().reshape(len(x), -1, *x.shape[-2:]).mean(1)
    height, width = x.shape[-2:]
    k_y, k_x = torch.fft.fftfreq(height, 1 / height), torch.fft.fftfreq(width, 1 / width)
    ring = torch.hypot(k_y[:, None], k_x).round().long()
    rings = [power[:, ring == k].mean(1) for k in range(1, max(1, min(height, width) // 2) + 1)]
    about = torch.finfo(power.dtype)  # what rounding leaves of a ring without power, in any unit; of empty images too
    return torch.stack(rings, dim=1).clamp_min(max(about.tiny, about.eps**2 * float(power.mean()))).log()


SPECTRA: dict[str, Function] = {  # several numbers per event: for validation
    "correlation_function": correlation_function,
    "power_spectrum": power_spectrum,
}

_POLAR = ("pt1", "eta1", "phi1", "pt2", "eta2", "phi2")
_MOMENTA = ("px1", "py1", "pz1", "px2", "py2", "pz2")
_FOUR_VECTORS = ("E1", *_MOMENTA[:3], "E2", *_MOMENTA[3:])


def _angular(function: Callable[..., Tensor], *columns: str) -> tuple[Form, ...]:
    return Form(function, columns), Form(kinematics.of_momenta(function, *columns), _MOMENTA)


def _of_jets(function: Callable[..., Tensor]) -> tuple[Form, ...]:
    return tuple(Form(function, tuple(f"{c}{of}" for c in ("eta", "phi", "pt")), of_sets=True) for of in ("_rel", ""))


OBSERVABLES: dict[str, tuple[Form, ...]] = {  # the first form whose columns are there is taken
    "mass": (Form(kinematics.invariant_mass, _POLAR, ("m1", "m2")), Form(kinematics.four_vector_mass, _FOUR_VECTORS)),
    "delta_r": _angular(kinematics.delta_r, "eta1", "phi1", "eta2", "phi2"),
    "delta_phi": _angular(kinematics.delta_phi, "phi1", "phi2"),
    "cos_delta_phi": _angular(kinematics.cos_delta_phi, "phi1", "phi2"),
    "delta_eta": _angular(kinematics.delta_eta, "eta1", "eta2"),
    "pt_pair": _angular(kinematics.pt_pair, "pt1", "phi1", "pt2", "phi2"),
    "rapidity_pair": (
        Form(kinematics.rapidity_pair, ("pt1", "eta1", "pt2", "eta2"), ("m1", "m2")),
        Form(kinematics.four_vector_rapidity, _FOUR_VECTORS),
    ),
    "energy": (Form(ising_energy),),
    "magnetisation": (Form(magnetisation),),
    "abs_magnetisation": (Form(abs_magnetisation),),
    "jet_mass": _of_jets(jets.jet_mass),
    "jet_pt": _of_jets(jets.jet_pt),
    "jet_width": _of_jets(jets.jet_width),
    "multiplicity": (Form(jets.multiplicity, ("mask",), of_sets=True),),
    "tau21": _of_jets(jets.tau21),
    "tau32": _of_jets(jets.tau32),
    "d2": _of_jets(jets.d2),
}


@dataclass(frozen=True)
class _OfColumns:
    """`function` of columns (position, factor) or constants, in the order of its arguments."""

    function: Callable[..., Tensor]
    arguments: tuple[tuple[int, float] | float, ...]

    def __call__(self, x: Tensor) -> Tensor:
        columns, values = x.unbind(-1), []
        for source in self.arguments:
            if isinstance(source, tuple):
                column, factor = columns[source[0]], source[1]
                source = column if factor == 1 else column * factor
            values.append(source)
        return self.function(*values)


Spec = str | Observable | Callable[..., object]


def resolve_observables(specs: Spec | Sequence[Spec], schema: Schema) -> tuple[Observable, ...]:
    """Return the observables that `specs` name.

    Parameters
    ----------
    specs : one or several of
        - a name in `OBSERVABLES`, such as "mass", whose columns pt1, eta1, phi1, pt2, ... (or E1, px1, py1, pz1,
          ...) are found in the schema, regardless of case and underscores;
        - a name with columns, such as "mass(pt_a, eta_a, phi_a, pt_b, eta_b, phi_b, m1=0.106, m2=0.106)";
          a number stands for a constant;
        - a differentiable torch function of physical events (batch, *event) in float64 that returns (batch,).
    schema : Schema of the events. Angles are taken in the unit that their period says, else in radians.

    Raises
    ------
    UnknownNameError
        For an unknown observable, argument or column; names the nearest.
    InputError
        For columns that the schema does not have, and for a name given twice.
    """
    observables: dict[str, Observable] = {}
    is_one = isinstance(specs, (str, Observable)) or callable(specs)
    several: list[Spec] = [specs] if is_one else list(specs)
    for spec in several:
        if isinstance(spec, (str, Observable)):
            one = _named(spec, schema) if isinstance(spec, str) else spec
        elif callable(spec):
            name, number = str(getattr(spec, "__name__", type(spec).__name__)), 2
            while name in observables:  # two lambdas are two observables
                name, number = f"{name.rsplit(' ', 1)[0]} {number}", number + 1
            one = Observable(name, cast("Function", spec))  # `check_observable` tries it
        else:
            raise InputError(
                f"Expected an observable as a name or a torch function of events, got {type(spec).__name__}. "
                f"Names: {', '.join(OBSERVABLES)}."
            )
        if one.name in observables:
            raise InputError(f"Expected different observables, got {one.name!r} twice. Give it once.")
        observables[one.name] = one
    return tuple(observables.values())


def check_observable(observable: Observable, x: Tensor, what: str = "events") -> None:
    """Try an observable on physical events x (batch, *event), called `what` in messages.

    Raises
    ------
    InputError
        If it fails, returns another shape than (batch,), or values or gradients that are missing or not finite.
    """
    x = x.detach().clone().requires_grad_()

    def bad(expected: str, got: str) -> InputError:
        name = f"the observable {observable.name!r} on {what}"
        return InputError(f"Expected {expected} from {name}, got {got}.")

    try:
        values = observable.function(x)
    except (RuntimeError, TypeError, ValueError, IndexError) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        got = f"an error ({reason}). It is called with a tensor {tuple(x.shape)} of {x.dtype}"
        raise bad("one number per event", got) from error
    if not isinstance(values, Tensor) or values.shape != x.shape[:1]:
        got = f"shape {tuple(values.shape)}" if isinstance(values, Tensor) else type(values).__name__
        raise bad(f"a tensor of one number per event, shape ({len(x)},)", f"{got}. Leave the batch axis alone")
    if not torch.isfinite(values).all():
        n = int((~torch.isfinite(values)).sum())
        raise bad("finite values", f"{n} NaN or inf of {len(x)}. Guard its logarithms, roots and divisions")
    gradient = torch.autograd.grad(values.sum(), x, allow_unused=True)[0] if values.requires_grad else None
    if gradient is None:
        raise bad("a gradient with respect to the event", "none. Use torch operations on the event only, not NumPy")
    if not torch.isfinite(gradient).all():
        raise bad("finite gradients", "NaN or inf. Guard its roots and divisions near 0, torch.where is not enough")


def _named(spec: str, schema: Schema) -> Observable:
    match = re.fullmatch(r"\s*(\w+)\s*(?:\((.*)\))?\s*", spec)
    name, inside = (match[1], match[2] or "") if match else (spec, "")
    if name not in OBSERVABLES:
        raise UnknownNameError("observable", name, OBSERVABLES)
    forms = OBSERVABLES[name]
    wanted = "sets" if forms[0].of_sets else "a table" if forms[0].columns else "images or lattices"
    got = "sets" if schema.is_set else "a table" if schema.is_table else "images or lattices"
    if wanted != got:
        raise InputError(f"Expected {wanted} for the observable {name!r}, got {got}. Choose another observable.")
    if not forms[0].columns:
        return Observable(name, forms[0].function, named=True)
    words = [word.strip() for word in inside.split(",") if word.strip()]
    positional = [word for word in words if "=" not in word]
    given = {key.strip(): value.strip() for key, _, value in (word.partition("=") for word in words if "=" in word)}
    if positional:  # the form of as many columns as were given, or else the first whose columns are there
        fitting = [form for form in forms if len(form.columns) == len(positional)]
        if not fitting:
            ways = " or ".join(f"{name}({', '.join(form.columns)})" for form in forms)
            raise InputError(f"Expected {ways}, got {len(positional)} columns. Give all of them, in this order.")
    else:
        fitting = [form for form in forms if all(key in given or _column_like(key, schema) for key in form.columns)]
    form = [*fitting, forms[0]][0]
    given |= dict(zip(form.columns, positional, strict=False))
    for key in given:
        if key not in form.columns + form.options:
            raise UnknownNameError(f"argument of {name}", key, form.columns + form.options)
    absent = [key for key in form.options if key not in given and _column_like(key, schema) is None]
    keys = form.columns + form.options
    arguments = tuple(0.0 if key in absent else _source(name, key, given, schema) for key in keys)
    return Observable(" ".join(spec.split()), _OfColumns(form.function, arguments), named=True)


def _source(name: str, key: str, given: Mapping[str, str], schema: Schema) -> tuple[int, float] | float:
    """Return where the argument `key` comes from: position of a column and factor to radians, or a constant."""
    if key not in given:
        column = _column_like(key, schema)
        if column is None:
            raise InputError(
                f"Expected a column {key!r} for the observable {name!r}, got {', '.join(schema.names)}. "
                f"Rename the columns, or write {name}({', '.join(OBSERVABLES[name][0].columns)}) with your names."
            )
    elif given[key] in schema.names:
        column = given[key]
    else:
        try:
            value = float(given[key])
        except ValueError:
            raise UnknownNameError("column", given[key], schema.names) from None
        if not math.isfinite(value):
            raise InputError(f"Expected a finite number as an argument of an observable, got {given[key]}. Correct it.")
        return value
    period = schema[column].period if schema[column].kind == "periodic" else None
    return schema.index(column), 1.0 if period is None else 2 * math.pi / period


def _column_like(key: str, schema: Schema) -> str | None:
    """Return the column called `key`, or the only one that is apart from case and underscores."""
    if key in schema.names:
        return key
    like = [name for name in schema.names if name.lower().replace("_", "") == key.lower().replace("_", "")]
    return like[0] if len(like) == 1 else None
