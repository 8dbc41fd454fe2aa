r"""Symmetries of a data set: groups of transformations g under which the law of the events does not change.

    p(g x) = p(x)     for every g of the group,                                     |det dg/dx| = 1

A model that is told so learns from the whole orbit {g x} of each event, and the effective number of events grows with
it. A `Symmetry` draws a random element of its group for each row, of the uniform (Haar) measure:

    rotate WORD       x_j -> x_j + a P_j, a uniform in [0, 1), the same a for all periodic columns j that WORD names,
                      P_j the period: a common rotation of angles, wrapped into the circle of each column
    rotate X Y        (x, y) -> (x cos a - y sin a, x sin a + y cos a), a uniform in [0, 2 pi), the same a for all pairs
                      of columns that the two words name, which are not periodic: "rotate px py" turns momenta px1, py1,
                      px2, py2, ... about the beam
    reflect WORD      x_j -> -x_j for all columns that WORD names together
    exchange          permutes like particles: columns whose names differ in a number, as pt1, phi1 and pt2, phi2;
    exchange 1 2      these numbers only
    negate            x -> -x of all columns or sites: the Z2 of Ising spins and of fields
    translate         periodic shifts of an image or lattice along both axes
    flip              mirrors images left to right and top to bottom; flip horizontal, flip vertical: one of them
    quarter turns     turns square images or lattices by multiples of 90 degrees
    a function        values (n, *event) -> values, each row replaced with probability 1/2; it must preserve the law and
                      be its own inverse. A function of (values, numpy.random.Generator) draws group elements itself

WORD is the name of a column, or a part that the names of several columns have in common, such as "phi" or "eta". On
sets of particles rotate, reflect and negate act alike on all particles of a set, and padding stays what it is.

Whether the data have the symmetry is tested by `reverie.models.symmetries`.
"""

import inspect
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from reverie.core.errors import InputError, UnknownNameError
from reverie.data.schema import Column, Schema

__all__ = ["WORDS", "Symmetry", "closed_schema", "likely_symmetries", "resolve_symmetries", "transformed"]

WORDS = ("rotate", "reflect", "exchange", "negate", "translate", "flip", "quarter turns")
Action = Callable[[np.ndarray, np.random.Generator], np.ndarray]
Spec = str | Callable[..., np.ndarray]
_IMAGE_WORDS = ("translate", "flip", "flip horizontal", "flip vertical", "quarter turns")
_NUMBER = re.compile(r"(?<!\d)\d+(?!\d)")


@dataclass(frozen=True)
class Symmetry:
    """A group that acts on events, one random element for each row.

    Parameters
    ----------
    name : what the user called it.
    action : values (n, *event), float64, and a generator -> as many values; it may write into what it is given.
    mirrored : positions of the columns that change their sign.
    alike : positions of columns that change places, and so have one range.
    turned : positions of columns that a rotation of a plane mixes.
    is_large : whether the group has many elements, as rotations and translations.
    """

    name: str
    action: Action
    mirrored: tuple[int, ...] = ()
    alike: tuple[tuple[int, ...], ...] = ()
    turned: tuple[int, ...] = ()
    is_large: bool = False

    def __call__(self, values: np.ndarray, generator: np.random.Generator) -> np.ndarray:
        """Return `values` (n, *event), each row under a random element of the group, in their own type."""
        try:
            moved = np.asarray(self.action(np.array(values, dtype=np.float64), generator))
        except Exception as error:  # whatever a function of the user's may raise
            raise InputError(
                f"Expected values of shape {values.shape} from the symmetry {self.name!r}, which failed: "
                f"{type(error).__name__}: {error}. Mend the function."
            ) from error
        if moved.shape != values.shape or not np.isfinite(moved).all():
            got = f"shape {moved.shape}" if moved.shape != values.shape else "NaN or infinite values"
            raise InputError(
                f"Expected finite values of shape {values.shape} from the symmetry {self.name!r}, got {got}. "
                "Return a value for every entry."
            )
        return moved.astype(values.dtype)


def transformed(values: np.ndarray, generator: np.random.Generator, *, symmetries: Sequence[Symmetry]) -> np.ndarray:
    """Return `values` (n, *event), each row under a random element of every symmetry in turn."""
    for symmetry in symmetries:
        values = symmetry(values, generator)
    return values


def resolve_symmetries(specs: Sequence[Spec], schema: Schema) -> tuple[Symmetry, ...]:
    """Return the symmetries that `specs`, words of the module's table or functions, name for events of this schema.

    Raises
    ------
    UnknownNameError
        For an unknown symmetry or column; the nearest is named.
    InputError
        For columns or events that the symmetry cannot act on, and for one that is given twice.
    """
    symmetries: dict[str, Symmetry] = {}
    for spec in specs:
        if callable(spec):
            name = str(getattr(spec, "__name__", type(spec).__name__))
            one = Symmetry(f"{name} {len(symmetries) + 1}" if name in symmetries else name, _own(spec))
        else:
            one = _named(" ".join(spec.split()), schema)
        if one.name in symmetries:
            raise InputError(f"Expected different symmetries, got {one.name!r} twice. Give it once.")
        symmetries[one.name] = replace(one, action=_of_sets(one.action)) if schema.is_set else one
    return tuple(symmetries.values())


def likely_symmetries(values: np.ndarray, schema: Schema) -> tuple[Symmetry, ...]:
    """Return the symmetries of the module's table that events (n, *event) of this schema may have.

    Reflections are of columns with both signs, all of one name but for its number. Planes are those of names that
    differ in x, y and z, such as px and py, and of eta_rel and phi_rel.
    """
    if schema.is_table or schema.is_set:
        has_signs = (values.reshape(-1, len(schema.columns)).min(axis=0) < 0).tolist()
        stems = list(dict.fromkeys(_stem(column.name) for column in schema.columns if column.kind != "mask"))
        words = ["exchange", *(f"rotate {stem}" for stem in stems), *(f"reflect {stem}" for stem in stems)]
        words += [f"rotate {first} {second}" for first, second in _planes(stems)]
        words += ["negate"] if len(stems) > 1 and not schema.is_set else []  # else it is the reflection
    else:
        has_signs = [bool(values.min() < 0)] * len(schema.columns)
        words = ["translate", "flip horizontal", "flip vertical", "quarter turns", "negate"]
    likely = []
    for word in words:
        try:
            (one,) = resolve_symmetries([word], schema)
        except InputError:
            continue
        if all(has_signs[j] and schema.columns[j].kind != "categorical" for j in (*one.mirrored, *one.turned)):
            likely.append(one)
    return tuple(likely)


def _planes(stems: Sequence[str]) -> list[tuple[str, str]]:
    """Return pairs of stems that are like axes of a plane: names that differ in x, y or z, or eta_rel and phi_rel."""
    named = [
        (stem, f"{stem[:k]}{other}{stem[k + 1 :]}")
        for stem in stems
        for k, letter in enumerate(stem)
        for other in {"x": "yz", "y": "z"}.get(letter, "")
    ]
    return [pair for pair in (*named, ("eta_rel", "phi_rel")) if set(pair) <= set(stems)]


def closed_schema(schema: Schema, symmetries: Sequence[Symmetry]) -> Schema:
    """Return the schema with ranges and levels that the symmetries keep: mirrored, or common to like columns."""
    columns = list(schema.columns)
    for symmetry in symmetries:
        for group in symmetry.alike:
            for j in group:
                columns[j] = _common([columns[k] for k in group], columns[j])
        for j in symmetry.mirrored:
            c = columns[j]
            if c.kind != "periodic":
                ends = {"lower": None if c.upper is None else -c.upper, "upper": None if c.lower is None else -c.lower}
                levels = None if c.levels is None else tuple(sorted(-level for level in c.levels))
                columns[j] = _common([c, replace(c, **ends, levels=levels)], c)
    return replace(schema, columns=tuple(columns))


def _common(columns: Sequence[Column], own: Column) -> Column:
    """Return the column `own` with a range and levels that hold those of all `columns`."""
    if own.kind in ("periodic", "spin"):
        return own
    lows, highs = [c.lower for c in columns], [c.upper for c in columns]
    lower = None if None in lows else min(low for low in lows if low is not None)
    upper = None if None in highs else max(high for high in highs if high is not None)
    levels = tuple(sorted({level for c in columns for level in c.levels or ()})) or None
    kind = "continuous" if own.kind == "bounded" and (lower is None or upper is None) else own.kind
    return replace(own, kind=kind, lower=lower, upper=upper, levels=levels)


def _named(spec: str, schema: Schema) -> Symmetry:
    word, _, rest = spec.partition(" ")
    if spec in _IMAGE_WORDS:
        return _of_images(spec, schema)
    if spec != "negate" and word not in ("rotate", "reflect", "exchange"):
        raise UnknownNameError("symmetry", spec, WORDS)
    if spec != "negate" and not (schema.is_table or schema.is_set):
        raise InputError(f"Expected a table for the symmetry {spec!r}, got images. Use {', '.join(_IMAGE_WORDS)}.")
    if word == "exchange" and schema.is_set:
        raise InputError(
            f"Expected other symmetries for sets of particles, got {spec!r}. Leave it out: the order of the particles "
            "means nothing to a model of sets already."
        )
    if word == "exchange":
        return _exchange(spec, rest.split(), schema)
    if spec == "reflect":
        raise InputError("Expected columns to reflect, got none. Name them, such as 'reflect eta', or use 'negate'.")
    n_columns = len(schema.columns) - schema.is_set  # a mask is nothing to act on
    groups = [_matches(part, schema.names[:n_columns]) for part in rest.split()] or [tuple(range(n_columns))]
    places = tuple(dict.fromkeys(j for group in groups for j in group))
    if word == "rotate":
        is_circle = len(groups) != 2 or any(schema.columns[j].kind == "periodic" for j in places)
        return _rotation(spec, places, schema) if is_circle else _plane(spec, groups[0], groups[1], schema)
    return _reflection(spec, places, schema)


def _stem(name: str) -> str:
    return _NUMBER.sub("", name).strip("_ ").lower()


def _matches(word: str, names: Sequence[str]) -> tuple[int, ...]:
    """Return the positions of the column of that name, of those that differ from it in a number, or that hold it."""
    tests = (lambda name: name == word, lambda name: _stem(name) == word.lower(), lambda name: word in name)
    places = ([j for j, name in enumerate(names) if test(name)] for test in tests)
    found = next((tuple(some) for some in places if some), None)
    if found is None:
        raise UnknownNameError("column", word, names)
    return found


def _of_sets(action: Action) -> Action:
    """Return an action on sets (n, P, F + 1) that leaves the mask, and what is padding, as they are."""

    def moved(x: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        mask = x[..., -1:].copy()
        image = np.asarray(action(x, rng))
        if image.shape != x.shape:
            return image  # an error, which `Symmetry` tells
        return np.concatenate([np.where(mask > 0, image[..., :-1], 0.0), mask], axis=-1)

    return moved


def _reflection(spec: str, places: tuple[int, ...], schema: Schema) -> Symmetry:
    """Return the change of sign of all columns at `places` together; images have one, for all sites."""
    for j in places:
        if schema.columns[j].labels is not None:
            raise InputError(
                f"Expected columns of numbers for the symmetry {spec!r}, got words in {schema.names[j]!r}. Name others."
            )

    def reflected(x: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        if not (schema.is_table or schema.is_set):
            return x * _signs(x, rng)
        x[..., places] *= _signs(x, rng)
        for j in places:
            if schema.columns[j].kind == "periodic":
                x[..., j] = _wrapped(x[..., j], schema.columns[j])
        return x

    return Symmetry(spec, reflected, mirrored=places)


def _signs(x: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return a random sign for each row of x (n, *event), (n, 1, ...)."""
    return rng.choice((-1.0, 1.0), size=(len(x), *(1,) * (x.ndim - 1)))


def _rotation(spec: str, places: Sequence[int], schema: Schema) -> Symmetry:
    """Return the rotation by one random part of a turn of the periodic columns among `places`."""
    circles = {j: schema.columns[j] for j in places if schema.columns[j].kind == "periodic"}
    if not circles:
        raise InputError(
            f"Expected periodic columns for the symmetry {spec!r}, got none among {', '.join(schema.names)}. "
            "Name such columns, say kind='periodic' in the schema, or name two that span a plane: 'rotate px py'."
        )
    steps = [int(c.period or 1) for c in circles.values() if c.integral]  # angles in whole numbers turn by such

    def rotated(x: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        turn = rng.integers(min(steps), size=len(x)) / min(steps) if steps else rng.random(len(x))
        turn = turn.reshape(-1, *(1,) * (x.ndim - 2))
        for j, column in circles.items():
            angle = x[..., j] + turn * (column.period or 0.0)
            x[..., j] = _wrapped(np.round(angle) if column.integral else angle, column)
        return x

    return Symmetry(spec, rotated, is_large=True)


def _plane(spec: str, first: tuple[int, ...], second: tuple[int, ...], schema: Schema) -> Symmetry:
    """Return the rotation by one random angle of the planes of columns `first` and `second`, one pair after the other.

    Columns belong together whose names have the same numbers.
    """
    numbers = [[_NUMBER.findall(schema.names[j]) for j in places] for places in (first, second)]
    if numbers[0] != numbers[1] or set(first) & set(second):
        named = [", ".join(schema.names[j] for j in places) for places in (first, second)]
        raise InputError(
            f"Expected pairs of columns for the symmetry {spec!r}, such as px1, py1 and px2, py2, got {named[0]} "
            f"beside {named[1]}. Name two columns of each pair."
        )
    for column in (schema.columns[j] for j in (*first, *second)):
        if column.kind != "continuous" or column.integral or (column.lower, column.upper) != (None, None):
            raise InputError(
                f"Expected columns that may have any value for the symmetry {spec!r}, got {column.name!r} "
                f"({column.kind} {column.notes}). Name coordinates of a plane, such as px and py."
            )

    def rotated(x: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        angle = 2 * np.pi * rng.random(len(x)).reshape(-1, *(1,) * (x.ndim - 1))
        a, b = x[..., first], x[..., second]
        x[..., first], x[..., second] = a * np.cos(angle) - b * np.sin(angle), a * np.sin(angle) + b * np.cos(angle)
        return x

    return Symmetry(spec, rotated, turned=(*first, *second), is_large=True)


def _wrapped(angle: np.ndarray, column: Column) -> np.ndarray:
    """Return angles in [lower, lower + period) of a periodic column."""
    lower, period = column.lower or 0.0, column.period or 1.0
    turned = lower + np.mod(angle - lower, period)
    return np.where(turned >= lower + period, lower, turned)  # rounding reaches the end


def _exchange(spec: str, numbers: Sequence[str], schema: Schema) -> Symmetry:
    """Return the permutations of columns whose names differ in a number only."""
    groups: dict[str, dict[str, int]] = {}
    for j, name in enumerate(schema.names):
        for match in _NUMBER.finditer(name):
            groups.setdefault(f"{name[: match.start()]}#{name[match.end() :]}", {})[match[0]] = j
    whole = max(groups.values(), key=len, default={})
    chosen = list(numbers) or sorted(whole, key=int)
    found = [group for group in groups.values() if set(chosen) <= set(group) and len(chosen) > 1]
    partly = [stem for stem, group in groups.items() if len(group) > 1 and not set(chosen) <= set(group)]
    if not found or (partly and not numbers):
        raise InputError(
            f"Expected columns for each of the particles of {spec!r}, such as pt1, phi1 and pt2, phi2, got "
            f"{', '.join(schema.names)}. Name columns of like particles alike but for their number."
        )
    alike = tuple(tuple(group[number] for number in chosen) for group in found)
    for group in alike:
        first, *others = (schema.columns[j] for j in group)
        for other in others:
            if (other.kind in _RIGID or first.kind in _RIGID) and _sort(other) != _sort(first):
                raise InputError(
                    f"Expected like columns for the symmetry {spec!r}, got {first.name!r} ({first.kind} {first.notes}) "
                    f"and {other.name!r} ({other.kind} {other.notes}). Edit the schema so that they agree."
                )
    table = np.array(alike)  # (groups, particles)

    def exchanged(x: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        order = np.argsort(rng.random((len(x), len(chosen))), axis=1)
        for places in table:
            x[:, places] = np.take_along_axis(x[:, places], order, axis=1)
        return x

    return Symmetry(spec, exchanged, alike=alike)


_RIGID = ("periodic", "spin")


def _sort(column: Column) -> tuple[object, ...]:
    return column.kind, column.period, column.lower, column.labels


def _of_images(spec: str, schema: Schema) -> Symmetry:
    shape = schema.event_shape
    is_image = not (schema.is_table or schema.is_set)
    if not is_image or (spec == "quarter turns" and shape[-1] != shape[-2]):
        wanted = "square images or lattices" if spec == "quarter turns" else "images or lattices"
        got = f"events of shape {shape}" if is_image else "sets of particles" if schema.is_set else "a table"
        raise InputError(f"Expected {wanted} for the symmetry {spec!r}, got {got}. Leave it out.")
    axes = {"flip": (-1, -2), "flip horizontal": (-1,), "flip vertical": (-2,)}.get(spec, ())

    def moved(x: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        for axis in axes:
            chosen = rng.random(len(x)) < 0.5
            x[chosen] = np.flip(x[chosen], axis)
        if spec == "quarter turns":
            turns = rng.integers(4, size=len(x))
            for k in (1, 2, 3):
                x[turns == k] = np.rot90(x[turns == k], k, axes=(-2, -1))
        if spec == "translate":
            for axis in (-2, -1):
                shift = rng.integers(x.shape[axis], size=len(x))
                index = (np.arange(x.shape[axis]) - shift[:, None]) % x.shape[axis]  # (n, L)
                index = np.expand_dims(index, tuple(k for k in range(1, x.ndim) if k != x.ndim + axis))
                x = np.take_along_axis(x, index, axis=axis)
        return x

    return Symmetry(spec, moved, is_large=spec == "translate")


def _own(function: Callable[..., np.ndarray]) -> Action:
    """Return the action of a function of the user's, of values or of (values, generator)."""
    try:
        takes_generator = len(inspect.signature(function).parameters) > 1
    except (TypeError, ValueError):
        takes_generator = False

    def moved(x: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        image = np.asarray(function(x.copy(), rng) if takes_generator else function(x.copy()))
        if takes_generator or image.shape != x.shape:
            return image
        return np.where(_signs(x, rng) > 0, image, x)

    return moved
