"""Symmetries in training: each is tested on the data, and training rows are then drawn from the orbits of the events.

The test compares each event with its own transforms (`reverie.validation.invariance`), conditions beside it, so that
p(x | y) must be invariant for every y. Of S symmetries one is broken if Holm's adjusted p-value is below 1 %: of those
that hold, fewer than 1 % of all calls refuse one.

In training every row is a random group element of an event, drawn anew now and then (`reverie.data.orbits`), of the
events that are trained on alone. Held-out events, and those that copies are looked for among, stay as they are: a
sample near the transform of a training event is no copy of the event.
"""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from reverie.core.assessment import Assessment, Quantity
from reverie.core.errors import BrokenSymmetryError
from reverie.core.lazy import sample_rows
from reverie.core.random import child_seed
from reverie.data.dataset import Dataset
from reverie.data.lazy import Features
from reverie.data.schema import Schema
from reverie.data.symmetries import Symmetry
from reverie.validation.inputs.sets import set_features
from reverie.validation.invariance import invariance_test
from reverie.validation.permutation.multiple_testing import holm

__all__ = ["ALPHA", "SymmetryTest", "check_symmetries", "symmetries_assessed", "symmetry_tests"]

ALPHA = 0.01
_UNTESTED = "rows in the order of what it changes, or too few of them. Shuffle rows that are independent."
_WIDEST = 160  # numbers of an event, up to which all rows are taken
_MOST_CONDITIONS = 32  # columns
_TRIES = 5  # more, to draw a group element that changes an event: of two elements, 1 event in 64 is left as it is
_MOST_TRANSFORMS = 7  # of an event under a large group
_SIDES = 6, 4  # of the grids on which images, and products of neighbours, are averaged: 57 columns with the others
_FOUND_AT = 6.1  # z of a mean sign that is found in 95 % of samples: see `reverie.validation.invariance`


@dataclass(frozen=True)
class SymmetryTest:
    """What the data say of a symmetry.

    Parameters
    ----------
    name : of the symmetry.
    p_value : that of events and their transforms, adjusted for the number of symmetries.
    feature : what differs most, in words.
    z : by how many standard deviations.
    n_events : independent events of equal weight that a comparison with the mirror image would need to find as much.
    """

    name: str
    p_value: float
    feature: str
    z: float
    n_events: float

    @property
    def holds(self) -> bool:
        """Whether the data do not contradict it, though they could."""
        return self.p_value >= ALPHA and self.is_tested

    @property
    def is_tested(self) -> bool:
        """Whether the data could contradict it: not if they are worth few independent events, or in its order."""
        return self.least < 1

    @property
    def least(self) -> float:
        """Share of events on the wrong side of it that 95 % of such tests find."""
        return min(1.0, _FOUND_AT / np.sqrt(max(self.n_events, 1.0)))

    def __str__(self) -> str:
        if self.p_value >= ALPHA and not self.is_tested:
            return f"{self.name}: not tested: {_UNTESTED}"
        if self.holds:
            return f"{self.name}: holds (p = {self.p_value:.2g}); asymmetries from about {self.least:.1%} on are found"
        return f"{self.name}: broken (p = {self.p_value:.2g}; {self.feature}: {self.z:+.1f} standard deviations)"


def symmetry_tests(
    dataset: Dataset,
    symmetries: Sequence[Symmetry],
    conditions: Features | None = None,
    weights: Tensor | np.ndarray | None = None,
    *,
    max_rows: int = 100_000,
    seed: int = 0,
) -> list[SymmetryTest]:
    """Test whether the law of the events has each of the symmetries.

    Parameters
    ----------
    dataset : events.
    conditions : features (n, ...) of their conditions, where p(x | y) is to be invariant.
    weights : (n,) event weights; None for events of equal weight.
    max_rows : most events that are looked at; of images fewer, for 160 pixels count as an event.
    seed : of transforms and swaps. The same data always get the same answer, whatever the seed of a training.
    """
    if not symmetries:
        return []
    rows = np.arange(len(dataset))
    most = max(1, max_rows * min(_WIDEST, int(np.prod(dataset.event_shape))) // int(np.prod(dataset.event_shape)))
    if len(rows) > most:
        rows = np.sort(sample_rows(len(rows), most, child_seed(seed, "symmetry rows")))
    values = np.asarray(dataset.values[rows])
    names, x = _table(values, dataset.schema)
    given = np.empty((len(rows), 0))
    if conditions is not None:
        given = conditions[torch.from_numpy(rows)].flatten(1).double().numpy()
        given = given[:, :: max(1, given.shape[1] // _MOST_CONDITIONS)]
        names += tuple(f"condition {k}" for k in range(given.shape[1]))
    x = np.column_stack([x, given])
    w = None if weights is None else np.asarray(weights, dtype=np.float64)[rows]
    outcomes, n_events = [], []
    for symmetry in symmetries:
        n_transforms = min(_MOST_TRANSFORMS, max(1, 2 * most // len(values) - 1)) if symmetry.is_large else 1
        generator = np.random.default_rng(child_seed(seed, "tested", symmetry.name))
        y = np.empty((n_transforms, *x.shape))
        for k in range(n_transforms):
            drawn = symmetry(values, generator)
            for _ in range(_TRIES if n_transforms == 1 else 0):  # a pair of equal events says nothing
                same = (drawn == values).reshape(len(values), -1).all(axis=1)
                drawn[same] = symmetry(values[same], generator)
            y[k] = np.column_stack([_table(drawn, dataset.schema)[1], given])
        outcome = invariance_test(x, y, names, weights=w, seed=child_seed(seed, symmetry.name))
        outcomes.append(outcome)
        n_events.append(outcome.n_effective / (1 + symmetry.is_large / n_transforms))
    adjusted = holm([outcome.p_value for outcome in outcomes])
    return [
        SymmetryTest(symmetry.name, p, outcome.feature, outcome.z, n)
        for symmetry, outcome, p, n in zip(symmetries, outcomes, adjusted, n_events, strict=True)
    ]


def check_symmetries(tests: Sequence[SymmetryTest]) -> None:
    """Raise `BrokenSymmetryError` for the first symmetry that the data break."""
    for test in tests:
        if test.p_value >= ALPHA and not test.is_tested:
            warnings.warn(
                f"Expected data that can tell whether {test.name!r} is a symmetry, got {_UNTESTED} The model has it "
                "all the same.",
                stacklevel=2,
            )
        elif not test.holds:
            raise BrokenSymmetryError(
                f"Expected data with the symmetry {test.name!r}, got data that break it: p = {test.p_value:.2g} of "
                f"events against their transforms ({test.feature}: {test.z:+.1f} standard deviations). "
                "Leave it out, or give on_broken_symmetry='warn' if the model is to have it all the same."
            )


def symmetries_assessed(tests: Sequence[SymmetryTest]) -> Assessment:
    """Return the symmetries of a training as a report shows them: p-values, and a warning for each that is broken."""
    numbers, warnings = [], []
    for test in tests:
        meaning = f"events against their transforms; asymmetries from about {test.least:.1%} on are found"
        numbers.append(Quantity(f"symmetry {test.name!r}: p-value", test.p_value, None, meaning))
        if test.p_value < ALPHA:
            warnings.append(
                f"The model was trained with the symmetry {test.name!r}, which the data break (p = {test.p_value:.2g}, "
                f"{test.feature}): samples have it, the data do not."
            )
    return Assessment(tuple(numbers), tuple(warnings))


def _table(values: np.ndarray, schema: Schema) -> tuple[tuple[str, ...], np.ndarray]:
    """Return names and columns (n, k) in which a broken symmetry of events (n, *event) shows.

    Angles stand beside their cosine and sine. Sets of particles have their features as a table, without substructure
    (`reverie.validation.inputs.sets`). Images are averaged over a grid; beside it stand their products with neighbours,
    averaged over the image and, of those to the right and below, over a grid.
    """
    values = values.astype(np.float64)
    if schema.is_set:
        features, names = set_features(values, schema.names, substructure=False)
        return names, features.astype(np.float64)
    if schema.is_table:
        named = {column.name: values[:, j] for j, column in enumerate(schema.columns)}
        for j, column in enumerate(schema.columns):
            if column.kind == "periodic":
                turn = 2 * np.pi * values[:, j] / (column.period or 1.0)
                named |= {f"cos {column.name}": np.cos(turn), f"sin {column.name}": np.sin(turn)}
        return tuple(named), np.column_stack(list(named.values()))
    x = values.reshape(len(values), -1, *values.shape[-2:])
    shifts = {"right": (0, 1), "below": (1, 0), "across": (1, 1), "across left": (1, -1)}
    products = {name: x * np.roll(x, shift, axis=(2, 3)) for name, shift in shifts.items()}
    named = {f"neighbours {name}": product.mean(axis=(1, 2, 3)) for name, product in products.items()}
    named["sum"] = x.sum(axis=(1, 2, 3))
    near = (products["right"] + products["below"]).sum(axis=1, keepdims=True)
    for name, image, side in zip(("region", "neighbours in region"), (x, near), _SIDES, strict=True):
        rows, columns = (np.linspace(0, n, min(n, side) + 1).astype(int)[:-1] for n in x.shape[-2:])
        coarse = np.add.reduceat(np.add.reduceat(image, rows, axis=2), columns, axis=3)
        named |= {f"{name} {place}": coarse[:, *place] for place in np.ndindex(coarse.shape[1:])}
    return tuple(named), np.column_stack(list(named.values()))
