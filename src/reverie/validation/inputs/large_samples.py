r"""Samples too large for the tests: a part of the rows is tested, and all of them are looked at once.

The tests of the battery, the classifiers and the search for copies look at `max_samples` rows of each sample at most:
beyond some thousands of rows every generator is told apart, and more rows change the verdict of none. Of a sample with
more numbers than `reverie.core.lazy.LARGE` these rows are drawn at random from a random part, 2^18 rows, before
anything else is computed. Rare things hide from a part. One pass over all rows, a block at a time, therefore gives

    moments       mean and standard deviation of each feature, merged block by block (Chan, Golub and LeVeque 1983)
    distance      max |F - G| over 999 quantiles of the real part: the KS distance of all rows, up to 0.001
    range         generated values below the least or above the greatest real one
    constraints   events that break each one that was given
    equal rows    by a 64-bit hash of their values: different rows whose hash falls below a threshold are counted, and
                  the threshold is halved whenever they are more than 2^19. Equal rows are counted or left out
                  together, so their share is that of all rows (distinct sampling, Gibbons, VLDB 2001)

These numbers are no tests. Their errors are those of independent rows: sqrt((1/n + 1/m) var) for a difference of
means, and chance exceeds the distance sqrt(log(2 / 0.05) (1/n + 1/m) / 2) in at most 5 % of samples of one law.
"""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from reverie.core.checks import check_finite
from reverie.core.lazy import LazyTable, is_large, row_blocks, sample_rows, sample_size
from reverie.core.tables import labels_of, tabular
from reverie.core.types import ArrayLike
from reverie.validation.permutation.duplicates import row_hashes
from reverie.validation.statistics.constraints import Constraint, breaks

__all__ = ["Part", "Streamed", "StreamedFeature", "part_of", "stream"]

_QUANTILES = np.arange(1, 1000) / 1000
_MOST_HASHES = 1 << 19
_MOST_LINES = 6


@dataclass(frozen=True)
class Part:
    """Rows of a sample that stand for it: values, names, weights and words as `reverie.validate` reads them.

    `n_rows` is how many rows the sample has.
    """

    values: np.ndarray
    names: tuple[str, ...] | None
    weights: np.ndarray | None
    n_rows: int
    labels: Mapping[str, Sequence[str]]


@dataclass(frozen=True)
class StreamedFeature:
    """One feature of all rows.

    Parameters
    ----------
    name : Name of the feature.
    real_mean, real_deviation, generated_mean, generated_deviation : Mean and standard deviation of all rows.
    distance : KS distance of all rows, up to 0.001.
    outside : generated values beyond the range of real ones.
    """

    name: str
    real_mean: float
    real_deviation: float
    generated_mean: float
    generated_deviation: float
    distance: float
    outside: int

    def sentence(self, n_real: int, n_generated: int) -> str:
        """Return what there is to say, given the numbers of rows."""
        error = math.sqrt(self.real_deviation**2 / n_real + self.generated_deviation**2 / n_generated)
        z = (self.generated_mean - self.real_mean) / error if error > 0 else 0.0
        beyond = f"; {self.outside:,} beyond the real range" if self.outside else ""
        return (
            f"{self.name}: KS distance {self.distance:.4f}; mean {self.generated_mean:.5g}, real {self.real_mean:.5g} "
            f"(z = {z:.1f}); standard deviation {self.generated_deviation:.5g}, real {self.real_deviation:.5g}{beyond}."
        )


@dataclass(frozen=True)
class Streamed:
    """What one pass over all rows of both samples found.

    Parameters
    ----------
    n_real, n_generated : rows there.
    used_real, used_generated : rows that the tests could draw from.
    features : The features, one by one.
    equal_real, equal_generated : share of rows that equal an earlier one of their sample.
    equal_to_real : share of different generated rows that equal a real one.
    n_hashed : different rows of both samples that were compared for this.
    broken : name of a constraint -> real and generated events that break it.
    """

    n_real: int
    n_generated: int
    used_real: int
    used_generated: int
    features: tuple[StreamedFeature, ...]
    equal_real: float
    equal_generated: float
    equal_to_real: float
    n_hashed: int
    broken: dict[str, tuple[int, int]]

    @property
    def chance(self) -> float:
        """Distance that 5 % of samples of one law exceed at most."""
        return math.sqrt(math.log(2 / 0.05) * (1 / self.n_real + 1 / self.n_generated) / 2)

    def __str__(self) -> str:
        worst = sorted(self.features, key=lambda one: -one.distance)
        shown = [one.sentence(self.n_real, self.n_generated) for one in worst[:_MOST_LINES]]
        rest = len(worst) - len(shown)
        lines = [
            f"Rows: the tests drew from {self.used_real:,} of {self.n_real:,} real and {self.used_generated:,} of "
            f"{self.n_generated:,} generated events. All of them, looked at once (chance: a distance up to "
            f"{self.chance:.4f}):",
            *[f"  {line}" for line in shown],
            *([f"  {rest} more features with smaller distances."] if rest else []),
            f"  Equal rows: {_share(self.equal_generated)} of generated events equal an earlier one, "
            f"{_share(self.equal_real)} of real ones; {_share(self.equal_to_real)} of generated events equal "
            f"a real one ({self.n_hashed:,} different rows compared).",
        ]
        lines += [
            f"  {generated:,} of {self.n_generated:,} generated events break '{name}', "
            f"{real:,} of {self.n_real:,} real."
            for name, (real, generated) in self.broken.items()
        ]
        return "\n".join(lines)


def part_of(sample: ArrayLike, what: str, *, most: int, seed: int) -> ArrayLike:
    """Return a random `Part` of a large sample, in the order of its rows; another sample as it is.

    Parameters
    ----------
    sample : whatever `reverie.validate` takes.
    what : its name in messages.
    most : rows that the tests will ask for.
    seed : Seed of the choice.

    Raises
    ------
    InputError
        For NaN or infinite entries anywhere.
    """
    values, names, weights = tabular(sample, what)
    if not is_large(values):
        return sample
    n = len(values)
    check_finite(values, names, name=what)
    rows = sample_rows(n, max(2 * most, sample_size(n, values.shape[1:])), seed)
    return Part(values[rows], names, None if weights is None else np.asarray(weights)[rows], n, labels_of(sample))


def stream(
    samples: tuple[ArrayLike, ArrayLike],
    parts: tuple[ArrayLike, ArrayLike],
    names: Sequence[str],
    *,
    constraints: Mapping[str, Constraint] | None = None,
    tolerance: float = 1e-6,
) -> Streamed | None:
    """Return what one pass over all rows finds, or None where the tests saw all rows already.

    Parameters
    ----------
    samples : real and generated, as `reverie.validate` takes them.
    parts : what `part_of` made of them.
    names : Names of the features of real, flattened.
    constraints, tolerance : Constraints by name, and the tolerance of residuals, as `check_constraints` takes them.
    """
    if not any(isinstance(part, Part) for part in parts):
        return None
    tables = [_in_order(sample, names) for sample in samples]
    used = [len(tabular(part)[0]) for part in parts]
    single, rules = np.float32 in [table.dtype for table in tables], constraints or {}
    edges = np.quantile(_rounded(tabular(parts[0])[0], single=single), _QUANTILES, axis=0)
    x, y = (_Pass(edges) for _ in tables)
    for seen, table in zip((x, y), tables, strict=True):
        for block in row_blocks(table):
            rows = _rounded(block, single=single)
            events = rows.reshape(block.shape)
            seen.add(rows, {name: int(breaks(name, rule, events, tolerance).sum()) for name, rule in rules.items()})
    outside = np.zeros(edges.shape[1], np.int64)  # known only now that all real rows have been seen
    for block in row_blocks(tables[1]):
        rows = _rounded(block, single=single)
        outside += ((rows < x.low) | (rows > x.high)).sum(axis=0)
    distance = np.abs(x.below / x.n - y.below / y.n).max(axis=0)
    numbers = np.stack([x.mean, x.deviation, y.mean, y.deviation, distance]).T.tolist()
    limit = min(x.limit, y.limit)
    of_real, of_generated = (seen.hashes[seen.hashes <= limit] for seen in (x, y))
    return Streamed(
        n_real=x.n,
        n_generated=y.n,
        used_real=used[0],
        used_generated=used[1],
        features=tuple(
            StreamedFeature(name, *own, outside=int(n)) for name, own, n in zip(names, numbers, outside, strict=True)
        ),
        equal_real=x.repeated,
        equal_generated=y.repeated,
        equal_to_real=float(np.isin(of_generated, of_real).mean()) if len(of_generated) else 0.0,
        n_hashed=len(of_real) + len(of_generated),
        broken={name: (x.broken[name], y.broken[name]) for name in rules},
    )


def _in_order(sample: object, names: Sequence[str]) -> np.ndarray | LazyTable:
    """Return all values of a sample, its columns in the order of `names` where it has such names."""
    values, own, _ = tabular(sample)
    if own is None or list(own) == list(names) or set(own) != set(names):
        return values
    order = [own.index(name) for name in names]
    return values.select(order) if isinstance(values, LazyTable) else values[:, order]


def _rounded(block: np.ndarray, *, single: bool) -> np.ndarray:
    """Return rows (k, d) in double precision; those of single precision and others beside them rounded alike."""
    table = np.asarray(block).reshape(len(block), -1)
    return (table.astype(np.float32) if single else table).astype(np.float64)


class _Pass:
    """What is known of the rows of one sample that have been seen.

    Parameters
    ----------
    edges : Values, shape (quantiles, d), up to which the rows are counted.
    """

    def __init__(self, edges: np.ndarray) -> None:
        d, self.edges = edges.shape[1], edges
        self.n, self.mean, self.squares = 0, np.zeros(d), np.zeros(d)  # squared distances from the mean, summed
        self.low, self.high, self.below = np.full(d, np.inf), np.full(d, -np.inf), np.zeros(edges.shape, np.int64)
        self.broken: Counter[str] = Counter()
        # hashes of a part of the rows, chosen by their content, and how often each was met
        self.limit, self.hashes, self.counts = np.uint64(2**64 - 1), np.empty(0, np.uint64), np.empty(0, np.int64)

    def add(self, table: np.ndarray, broken: Mapping[str, int]) -> None:
        m, mean = len(table), table.mean(axis=0)
        step, n = mean - self.mean, self.n + m
        self.squares = self.squares + ((table - mean) ** 2).sum(axis=0) + step**2 * (self.n * m / n)
        self.mean = self.mean + step * (m / n)
        self.n = n
        self.low, self.high = np.minimum(self.low, table.min(axis=0)), np.maximum(self.high, table.max(axis=0))
        for j, x in enumerate(table.T):
            self.below[:, j] += np.searchsorted(np.sort(x), self.edges[:, j], side="right")
        self.broken.update(broken)

        hashes, counts = np.unique(row_hashes(table), return_counts=True)
        below = hashes <= self.limit
        self.hashes, place = np.unique(np.concatenate([self.hashes, hashes[below]]), return_inverse=True)
        every = np.concatenate([self.counts, counts[below]])
        self.counts = np.bincount(place, weights=every, minlength=len(self.hashes)).astype(np.int64)
        while len(self.hashes) > _MOST_HASHES:
            self.limit >>= np.uint64(1)
            below = self.hashes <= self.limit
            self.hashes, self.counts = self.hashes[below], self.counts[below]

    @property
    def deviation(self) -> np.ndarray:
        return np.sqrt(self.squares / max(1, self.n - 1))

    @property
    def repeated(self) -> float:
        """Share of rows that equal an earlier one."""
        return 1 - len(self.hashes) / int(self.counts.sum()) if len(self.hashes) else 0.0


def _share(p: float) -> str:
    return "none" if p == 0 else f"{100 * p:.2g} %"
