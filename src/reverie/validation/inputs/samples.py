"""The samples of one validation: read, checked, cut to size, given their roles and one common scale.

Roles (validation reference, section 4.0): R is the reference, G the generated sample, H a second
real sample. G is compared with R, and H with R at |H| = |G|: what H shows against R is what chance
alone shows.

    calibration given       R = real, H = calibration, G = generated; H and G cut to the smaller of both
    no calibration sample   real is split at random in halves R and H; G is cut to the size of H

In the second case the reference is half of real for *both* comparisons, so the numbers in a row of
the table always have equal sizes; the price is half of the real events. Give a calibration sample
(real events, the training sample will do) to use all of `real` as the reference.

Centre and scale come from H, by feature: median and interquartile range / 1.349 (which is the
standard deviation of a normal law), the standard deviation where that range is 0. Images have one
scale for all their pixels. H is real, so the unit does not depend on the generator; and it is neither
R nor G, so exchanging their rows leaves it alone and permutation tests stay exact. (With the scale of
R, samples of 60 events with three levels were rejected at 5 % in 10 % of 1,500 null runs.) Never one
scale per sample: that would hide a pure error of scale. Beyond 50 units from the centre the scale is logarithmic,

    u -> sign(u) 50 (1 + log(|u| / 50)),

the same for all samples and one to one, so no test loses its size and ranks stay what they are. On a linear scale
one entry of 10^12 would leave no digits of float32 to the distances between all other events.

Event weights, negative ones too, stay with their events. Weighted samples are cut to one size, which the permutations
need (`reverie.validation.permutation.relabelling`). Rows of Markov chains (`reverie.validation.inputs.chains`) keep
their order: halves and cuts are then contiguous instead of random.

Events that stand in the tables more than once (`reverie.validation.permutation.duplicates`) are taken once, with the
number of their rows as weight: rows that are copies of each other are not independent, and a classifier that meets one
of them in training and the other in testing tells any two samples apart. They are recognised by the evenness of the
repeats in `real`, unless the generated sample holds the same rows, as it does if both are random parts of one table or
if the law is discrete.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from reverie.core.checks import check_positive
from reverie.core.errors import InputError, UnknownNameError
from reverie.core.proportions import percent
from reverie.core.random import child_seed
from reverie.core.sets import check_sets
from reverie.core.statistics import effective_size
from reverie.core.tables import check_weights, feature_names, read_table
from reverie.core.types import ArrayLike
from reverie.validation.inputs.chains import ChainReport, inspect_chains
from reverie.validation.inputs.sets import set_features
from reverie.validation.permutation.duplicates import evenness, n_pairs, row_hashes

__all__ = [
    "Sample",
    "Samples",
    "aligned",
    "checked_weights",
    "gather_samples",
    "one_precision",
    "read_sample",
    "robust_scale",
]

MIN_ROWS = 20  # in each sample, after all cuts: below, no test here means anything
_FAR = 50.0  # units from the centre beyond which the scale is logarithmic
_DOMINANT = 1 / 3  # share of the variance in one event from which on moments see little else
_HARDLY = 0.1  # variance, in units of the scale, below which one feature does not dominate several
_UNEVEN = -4.0  # z below which repeats are too even for chance, which it exceeds in 1 of 30,000 tables at most
_LEAST_SETS = 10  # of equal real rows that make it worth a word
_SHARED = 0.1  # of the equal pairs expected between real and generated rows of one law, below which there are few


@dataclass(frozen=True)
class Sample:
    """One sample as a table.

    Parameters
    ----------
    values : Rows, shape (n, d), float; of sets of particles their features (`reverie.validation.inputs.sets`).
    names : One name per feature, or None.
    event_shape : Shape of one event; (d,) for sets too, whose features are a table.
    weights : Event weights, shape (n,), if any.
    sets, columns : The sets themselves, shape (n, P, F + 1), and the names of their columns; None for other events.
    labels : The words behind the codes of columns of words, by name.
    """

    values: np.ndarray
    names: tuple[str, ...] | None
    event_shape: tuple[int, ...]
    weights: np.ndarray | None = None
    sets: np.ndarray | None = None
    columns: tuple[str, ...] | None = None
    labels: Mapping[str, Sequence[str]] = field(default_factory=dict)

    @property
    def events(self) -> np.ndarray:
        """The events in their own shape, (n, *event), sets as such."""
        return self.values.reshape(-1, *self.event_shape) if self.sets is None else self.sets

    def take(self, rows: np.ndarray | slice) -> "Sample":
        """Return the rows at an index or slice."""
        weights, sets = (None if x is None else x[rows] for x in (self.weights, self.sets))
        return replace(self, values=self.values[rows], weights=weights, sets=sets)


@dataclass(frozen=True)
class Samples:
    """The three samples of a validation, in original units, with their common scale.

    Parameters
    ----------
    reference, generated, calibration : R, G and H; G and H have the same number of rows.
    names : d feature names.
    event_shape : shape of one event.
    centre, scale : (d,), of the calibration sample.
    sizes : rows used and rows given.
    warnings : what was cut, and what that means.
    calibration_source : "given", "training" or "half of real".
    chains : whether rows depend on their neighbours, and the blocks to exchange.
    labels : the words behind the codes of columns of words, by name, those of all samples.
    """

    reference: Sample
    generated: Sample
    calibration: Sample
    names: tuple[str, ...]
    event_shape: tuple[int, ...]
    centre: np.ndarray
    scale: np.ndarray
    sizes: dict[str, int]
    warnings: tuple[str, ...]
    calibration_source: str
    chains: ChainReport = ChainReport()
    labels: Mapping[str, Sequence[str]] = field(default_factory=dict)

    @property
    def is_weighted(self) -> bool:
        """Whether any event weighs more than another."""
        return any(sample.weights is not None for sample in (self.reference, self.generated, self.calibration))

    def seen_by(self, learner: str, sample: Sample) -> tuple[np.ndarray, tuple[int, ...]]:
        """Return the rows (n, d) of a sample as a classifier sees them, and the shape of one event."""
        if learner == "sets":
            return sample.events.reshape(len(sample.values), -1), sample.events.shape[1:]
        return self.scaled(sample.values), self.event_shape

    def scaled(self, values: np.ndarray) -> np.ndarray:
        """Return `values` (n, d) in units of the spread of real events, about their centre; far out as logarithms."""
        u = (values - self.centre) / self.scale
        return np.where(np.abs(u) > _FAR, np.sign(u) * _FAR * (1 + np.log(np.maximum(np.abs(u), _FAR) / _FAR)), u)

    def unscaled(self, u: np.ndarray, features: Sequence[int]) -> np.ndarray:
        """Return values (n, k) in the unit of the data from what `scaled` makes of the given features."""
        linear = np.where(np.abs(u) > _FAR, np.sign(u) * _FAR * np.exp(np.abs(u) / _FAR - 1), u)
        return linear * self.scale[list(features)] + self.centre[list(features)]


def read_sample(sample: ArrayLike, what: str, names: tuple[str, ...] | None = None) -> Sample:
    """Return array, tensor, DataFrame or `reverie.core.protocols.Tabular` as a `Sample`.

    Raises
    ------
    InputError
        For text, NaN or infinity (with the column), fewer than two axes, no rows, or weights of another length.
    """
    # single precision stays visible as such until both samples have been compared
    table = read_table(sample, what, names)
    weights = checked_weights(table.weights, len(table.values), what)
    if table.columns is None:
        return Sample(table.values, table.names, table.event_shape, weights, labels=table.labels)
    return _of_sets(table.values.reshape(-1, *table.event_shape), table.columns, weights)


def _of_sets(sets: np.ndarray, columns: tuple[str, ...], weights: np.ndarray | None) -> Sample:
    check_sets(sets)
    features, called = set_features(sets, columns)
    return Sample(features, called, features.shape[1:], weights, sets, columns)


def checked_weights(weights: ArrayLike | None, n: int, what: str) -> np.ndarray | None:
    """Return weights (n,) that differ, or None where there are none or all are alike."""
    w = check_weights(weights, n, what)
    return w if w is not None and np.ptp(w) > 0 else None


def gather_samples(
    real: ArrayLike,
    generated: ArrayLike,
    calibration: ArrayLike | None,
    *,
    names: tuple[str, ...] | None,
    seed: int,
    max_samples: int,
    correlated: str = "auto",
    calibration_source: str = "given",
) -> Samples:
    """Return the samples in their roles, cut to size, with the scale of the calibration sample.

    `correlated` is that of `reverie.validation.inputs.chains.inspect_chains`; weights are made one for all events of a
    sample without weights as soon as another sample has some.
    """
    check_positive("max_samples", max_samples, integer=True)
    given = [("real", real), ("generated", generated), ("calibration", calibration)]
    read = {what: read_sample(sample, what, names) for what, sample in given if sample is not None}
    n_read = {what: len(sample.values) for what, sample in read.items()}
    read = {what: _of_some_weight(sample) for what, sample in read.items()}
    weightless = {what: n - len(read[what].values) for what, n in n_read.items()}
    first = read["real"]
    read = {what: sample if sample is first else aligned(first, sample, what) for what, sample in read.items()}
    if first.sets is not None:  # padded to the size of the largest
        wide = {what: sample.events for what, sample in read.items()}
        largest = max(x.shape[1] for x in wide.values())
        wide = {what: np.pad(x, ((0, 0), (0, largest - x.shape[1]), (0, 0))) for what, x in wide.items()}
        read = {what: replace(sample, sets=wide[what]) for what, sample in read.items()}
    labels: dict[str, Sequence[str]] = {}  # of the sample that knows most words: codes are alike in all
    for name, words in (pair for sample in read.values() for pair in sample.labels.items()):
        labels[name] = max(labels.get(name, ()), words, key=len)
    tables = one_precision(*(sample.values for sample in read.values()))
    read = {what: replace(read[what], values=values) for what, values in zip(read, tables, strict=True)}
    sizes = {f"given_{what}": len(sample.values) for what, sample in read.items()}
    called = first.names or feature_names(first.event_shape)
    # rows of the smallest role; real is halved where there is no calibration sample
    of_real = sizes["given_real"] // (2 if calibration is None else 1)
    usable = min(of_real, max_samples, *(n for what, n in sizes.items() if what != "given_real"))
    chains = inspect_chains({what: s.values for what, s in read.items()}, called, correlated, usable)
    in_order = chains.block > 1
    read, copied = (read, []) if chains.is_chain else _each_once(read)
    is_weighted = any(sample.weights is not None for sample in read.values())
    for what, sample in read.items():
        kept = sample if in_order else sample.take(chains.kept(len(sample.values)))
        if is_weighted and kept.weights is None:
            kept = replace(kept, weights=np.ones(len(kept.values)))
        read[what] = kept
    roles, notes = _roles(read, seed, max_samples, in_order=in_order)
    if in_order:
        roles = {what: sample.take(chains.kept(len(sample.values))) for what, sample in roles.items()}
    notes += _notes_of_sizes(roles, halved=calibration is None)
    event_shape, table = first.event_shape, {what: sample.values for what, sample in roles.items()}
    centre, scale = robust_scale(table["calibration"], np.concatenate(list(table.values())), image=len(event_shape) > 1)
    if first.sets is not None:
        scale[0] = max(scale[0], 1.0)  # of multiplicities, most of which may be the largest that is kept
    samples = Samples(
        reference=roles["real"],
        generated=roles["generated"],
        calibration=roles["calibration"],
        names=called,
        event_shape=event_shape,
        centre=centre,
        scale=scale,
        sizes={f"n_{what}": len(rows) for what, rows in table.items()} | sizes | {"n_features": len(centre)},
        warnings=(
            *(f"{n:,} {what} events of weight 0 were left out." for what, n in weightless.items() if n),
            *(*copied, *notes, *chains.warnings),
        ),
        calibration_source="half of real" if calibration is None else calibration_source,
        chains=chains,
        labels=labels,
    )
    return replace(samples, warnings=(*samples.warnings, *_notes_of_far_entries(samples)))


def _notes_of_sizes(roles: Mapping[str, Sample], *, halved: bool) -> list[str]:
    """Return what weights leave of small samples; raise `InputError` for what is too small for any test."""
    notes = []
    for what, sample in roles.items():
        if len(sample.values) < MIN_ROWS:
            hint = (
                " (half of what was given, as there is no calibration sample)" if halved and what != "generated" else ""
            )
            raise InputError(
                f"Expected at least {MIN_ROWS} {what} samples, got n_samples = {len(sample.values)}{hint}. Give more "
                "events."
            )
        worth = effective_size(sample.weights) if sample.weights is not None else math.inf
        if worth >= MIN_ROWS:
            continue
        if (np.asarray(sample.weights) < 0).any():
            raise InputError(
                f"Expected {what} events with weights that leave them worth at least {MIN_ROWS} equal ones, got "
                f"{worth:.3g}, (sum w)^2 / sum w^2 of {len(sample.values):,}. Give more events, or fewer negative ones."
            )
        notes.append(f"The weights leave {len(sample.values):,} {what} events worth {worth:.3g} equal ones.")
    return notes


def _notes_of_far_entries(samples: Samples) -> list[str]:
    """Return which features have entries far out, and what that does to the tests."""
    roles = (samples.reference, samples.generated, samples.calibration)
    u = np.concatenate([samples.scaled(sample.values) for sample in roles])
    squares, notes = np.square(u - u.mean(axis=0)), []
    far = (np.abs(u) > _FAR).any(axis=0)
    few = (squares.max(axis=0) > _DOMINANT * squares.sum(axis=0)) & (len(samples.event_shape) == 1)
    for features, what in (
        (
            far,
            f"entries lie more than {_FAR:g} widths of the real events from their median. Beyond that, tests of "
            "several features together measure distances on a logarithmic scale.",
        ),
        (
            few & (squares.mean(axis=0) > _HARDLY),
            "one event holds more than a third of the variance. Correlations, Frechet distance and polynomial MMD see "
            "little besides it; tests of single features go by rank and do.",
        ),
    ):
        names = [samples.names[j] for j in np.flatnonzero(features)]
        more = f", ... ({len(names)} features)" if len(names) > 4 else ""
        notes += [f"{', '.join(names[:4])}{more}: {what}"] if names else []
    return notes


def _each_once(read: dict[str, Sample]) -> tuple[dict[str, Sample], list[str]]:
    """Return the samples with events that stand in them more than once taken once, and what there is to say."""
    sets = {what: row_hashes(sample.values) for what, sample in read.items()}
    real, generated = sets["real"], sets["generated"]
    counts = np.unique(real, return_counts=True)[1]
    expected = 2 * n_pairs(real) * len(generated) / max(len(real) - 1, 1)
    is_shared = n_pairs(real, generated) > _SHARED * expected
    if (counts > 1).sum() < _LEAST_SETS or is_shared:
        return read, []
    repeated = f"{percent(float(counts[counts > 1].sum() / len(real)))} of the real events equal another real one"
    if evenness(real) > _UNEVEN:
        note = (
            f"{repeated}, and next to no generated event equals one. Are events copied in the table? Tests take the "
            "copies for independent events, and then reject too easily: leave them out."
        )
        return read, [note]
    once = {}
    for what, sample in read.items():  # the first of each set, in their order, with the sum of the weights of the set
        _, first, place = np.unique(sets[what], return_index=True, return_inverse=True)
        rows = np.sort(first)
        weights = np.bincount(place, sample.weights)[place[rows]]
        weights = weights if np.ptp(weights) > 0 else None
        once[what] = replace(sample, values=sample.values[rows], weights=weights)
    sizes = ", ".join(f"{len(sample.values):,} of {len(sets[what]):,} {what}" for what, sample in once.items())
    note = (
        f"{repeated}, too evenly for chance: events stand in the table more than once. Equal rows of a sample were "
        f"taken as one event with their number as its weight, which leaves {sizes} events."
    )
    return once, [note]


def _of_some_weight(sample: Sample) -> Sample:
    """Return the sample without its events of weight 0, and without weights where the others are all alike."""
    if sample.weights is None or (sample.weights != 0).all():
        return sample
    kept = sample.take(sample.weights != 0)
    return kept if np.ptp(np.asarray(kept.weights)) > 0 else replace(kept, weights=None)


def aligned(real: Sample, sample: Sample, what: str, first: str = "real") -> Sample:
    """Return `sample` with its columns in the order of those of `real`, which messages call `first`.

    Raises
    ------
    InputError
        For other features.
    """
    if real.columns is not None and sample.columns != real.columns:
        sets, columns = (sample.events, real.columns) if sample.columns is None else (sample.sets, sample.columns)
        if sets is None or sets.ndim != 3 or sets.shape[2] != len(columns) or set(columns) != set(real.columns):
            got = f"events of shape {sample.event_shape}" if sample.columns is None else ", ".join(columns)
            raise InputError(
                f"Expected {what} as sets with the columns {', '.join(real.columns)} of {first}, got {got}. "
                "reverie.data.particle_sets makes them."
            )
        sample = _of_sets(sets[..., [columns.index(name) for name in real.columns]], real.columns, sample.weights)
    if real.names and sample.names and set(real.names) != set(sample.names):
        missing = [name for name in sample.names if name not in real.names]
        if missing:
            raise UnknownNameError(f"column of {what}", missing[0], real.names)
    if real.values.shape[1] != sample.values.shape[1]:
        raise InputError(
            f"Expected {what} with the {real.values.shape[1]} features of {first}, got "
            f"{sample.values.shape[1]} (event shapes {real.event_shape} and {sample.event_shape}). "
            "Select the same columns in both."
        )
    if real.event_shape != sample.event_shape:
        raise InputError(
            f"Expected {what} events of shape {real.event_shape} as in {first}, got {sample.event_shape}. Reshape "
            f"them: x.reshape(-1, {', '.join(map(str, real.event_shape))})."
        )
    if real.names and sample.names and real.names != sample.names:
        order = [sample.names.index(name) for name in real.names]
        return replace(sample, values=sample.values[:, order], names=real.names)
    return sample


def one_precision(*tables: np.ndarray) -> list[np.ndarray]:
    """Return tables in double precision, rounded to single precision if one of them is.

    0.1 in single precision is not 0.1 in double: levels and equal rows would differ by their digits.
    """
    kind = np.float32 if any(table.dtype == np.float32 for table in tables) else np.float64
    return [table.astype(kind).astype(np.float64) for table in tables]


def _roles(read: dict[str, Sample], seed: int, most: int, *, in_order: bool) -> tuple[dict[str, Sample], list[str]]:
    """Return R, G and H, cut to size; at random, or from the first row on where the order matters."""

    def shuffled(what: str, n: int) -> np.ndarray:
        return np.arange(n) if in_order else np.random.default_rng(child_seed(seed, what)).permutation(n)

    order = {what: shuffled(what, len(sample.values)) for what, sample in read.items()}
    notes = []
    if "calibration" not in read:
        first, second = np.split(order["real"], [len(order["real"]) // 2])
        read = read | {"calibration": read["real"]}
        order |= {"real": second, "calibration": first}
        how = "into its first and its second half" if in_order else "at random into two halves"
        notes.append(
            f"No calibration sample was given: real was split {how}, reference and calibration. "
            "Every number compares samples of that size."
        )
    size = min(most, len(order["generated"]), len(order["calibration"]))
    weighted = read["real"].weights is not None
    keep = {"real": min(size if weighted else most, len(order["real"])), "generated": size, "calibration": size}
    if weighted:
        keep = dict.fromkeys(keep, keep["real"])
    for what, rows in keep.items():
        if rows < len(order[what]):
            why = "max_samples" if rows == most else "equal sizes of the samples"
            how = "the first of the chain" if in_order else "drawn at random"
            notes.append(f"{rows:,} of {len(order[what]):,} {what} events were used, {how} ({why}).")
    return {what: read[what].take(np.sort(order[what][:rows])) for what, rows in keep.items()}, notes


def robust_scale(real: np.ndarray, everything: np.ndarray, *, image: bool) -> tuple[np.ndarray, np.ndarray]:
    """Return centre and scale (d,) of real rows (n, d) as in the module; `everything` lends it where none varies."""
    if image:
        spread = float(np.sqrt(real.var(axis=0).mean())) or float(everything.std()) or 1.0
        return real.mean(axis=0), np.full(real.shape[1], spread)
    low, centre, high = np.quantile(real, [0.25, 0.5, 0.75], axis=0)
    scale = (high - low) / 1.349
    for fallback in (real.std(axis=0), everything.std(axis=0), np.ones(len(scale))):
        scale = np.where(scale > 0, scale, fallback)
    return centre, scale
