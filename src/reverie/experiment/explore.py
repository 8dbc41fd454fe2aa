"""`reverie explore`: a data set goes through the stages of `reverie.explore`, and the findings come back as one.

A covariance matrix is explored through its spectrum.

Constant columns, columns of words or labels and, beside other columns, two-valued ones are left out, and said so. A
table is standardised unless all its columns have one and the same unit; images, lattices and rows of bits are not:
their cells have one unit.

Above `WIDE` features, clusters, dimension, forest and t-SNE look at the leading components only: distances
among more features are mostly noise, and cost time.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

import reverie.explore as explore
from reverie.core.checks import check_choice, check_positive
from reverie.core.errors import InputError
from reverie.core.random import child_seed
from reverie.data import Dataset, catalogue
from reverie.data.covariances import read_covariance
from reverie.experiment.datasets import is_file_name, open_data, open_with_conditions
from reverie.experiment.folder import made_folder, write_json
from reverie.explore.bitwise import MIN_ROWS
from reverie.explore.hierarchy import LINKAGES

__all__ = ["CovarianceExploration", "explore_covariance", "explore_data", "write"]

LEAST_ROWS = 20
LEFT_OUT = {"categorical": "is a label", "spin": "has two values only"}


@dataclass(frozen=True, eq=False)
class CovarianceExploration:
    """What was found about a covariance matrix.

    Parameters
    ----------
    name : Name of the file.
    result : Its principal components.
    correlation, names : Correlations (p, p) of the rows with a positive variance, and the names of these rows.
    notes : What to keep in mind.
    """

    name: str
    result: explore.CovarianceResult
    correlation: np.ndarray
    names: tuple[str, ...]
    notes: tuple[str, ...] = ()

    @property
    def n_components(self) -> int:
        """How many eigenvectors hold 90 % of the variance."""
        return int(np.searchsorted(np.cumsum(self.result.explained_variance_ratio), 0.9 - 1e-12)) + 1

    @property
    def sentences(self) -> tuple[str, ...]:
        """What was found, without the notes."""
        d, size = len(self.result.eigenvalues), np.abs(self.correlation - np.eye(len(self.names)))
        i, j = np.unravel_index(int(size.argmax()), size.shape)
        said = [f"{self.name}: a covariance matrix of {d} x {d}.", str(self.result)]
        count = self.n_components
        holds = f"One of {d} eigenvectors holds" if count == 1 else f"{count} of {d} eigenvectors hold"
        said.append(f"{holds} 90 % of the variance.")
        if len(self.names) > 1:
            pairs = size[np.triu_indices(len(size), 1)]
            said.append(
                f"The largest correlation is {self.correlation[i, j]:+.3f}, of {self.names[i]} with {self.names[j]}; "
                f"{100 * (pairs > 0.5).mean():.0f} % of the pairs are beyond 0.5."
            )
        return tuple(said)

    def to_json(self) -> dict[str, object]:
        """Return a dictionary that `json` can write; of the eigenvectors the first ten."""
        content = self.result.to_json() | {"components": self.result.components[:10].tolist()}
        return {"name": self.name, "sentences": list(self.sentences), "notes": list(self.notes), **content}

    def __str__(self) -> str:
        return "\n".join([*self.sentences, *(f"Note: {note}" for note in self.notes)])


def explore_covariance(data: str) -> CovarianceExploration:
    """Return what is found about the covariance matrix in a file, or of planck_plik_lite; `InputError` for others."""
    if data in catalogue.entries():
        matrix, names = catalogue.load_covariance(data), catalogue.load_covariance_names(data)
    else:
        matrix, names = read_covariance(data)
    result = explore.principal_components_of_covariance(matrix, names=names)
    varies = np.diag(matrix) > 0
    kept = tuple(name for name, positive in zip(result.names, varies, strict=True) if positive)
    correlation = explore.correlation_matrix(matrix[np.ix_(varies, varies)])
    notes = [f"{int((~varies).sum())} rows have no variance and no correlations."] if not varies.all() else []
    if result.n_negative:
        notes.append(
            f"{result.n_negative} eigenvalues are negative, down to {result.smallest:.2g}: rounding of the matrix."
        )
    return CovarianceExploration(Path(data).name, result, correlation, kept, tuple(notes))


@dataclass(frozen=True)
class Features:
    """The rows that are explored.

    Parameters
    ----------
    events : n rows, perhaps with weights.
    answers : (n,) what a forest is to predict, words where there were words; None without a target.
    target : Name of the target, or "".
    n_given : Number of rows there were.
    bits : Whether the rows have two values only.
    standardise : Whether features are to be divided by their standard deviations.
    even : Rows of equal weight: all of them, unless there are weights.
    notes : What was left out.
    """

    events: Dataset
    answers: np.ndarray | None
    target: str
    n_given: int
    bits: bool
    standardise: bool
    even: np.ndarray
    notes: tuple[str, ...]


def read_features(
    data: str,
    *,
    columns: str | None = None,
    target: str | None = None,
    weights: str | None = None,
    standardise: bool | None = None,
    max_rows: int = 20_000,
    drop_missing: bool = False,
    seed: int = 0,
) -> Features:
    """Return the features in `data`; parameters and errors as in `reverie.experiment.explore.explore_data`."""
    check_positive("max_rows", max_rows, integer=True)
    events, asked = _read(data, columns, target, weights, drop_missing=drop_missing)
    if events.schema.is_set:
        raise InputError(
            f"Expected a table, images or lattices to explore, got {events!r}. Explore a table of observables of each "
            "set, such as multiplicity and mass, or columns of the sets: --columns a,b."
        )
    n, notes = len(events), []
    if min(n, max_rows) < LEAST_ROWS:
        raise InputError(
            f"Expected at least {LEAST_ROWS} rows to explore, got {min(n, max_rows)} of {data!r}. "
            "Rows are samples; give more of them."
        )
    kept = np.arange(n)
    if n > max_rows:
        kept = np.sort(np.random.default_rng(child_seed(seed, "rows")).choice(n, max_rows, replace=False))
        notes.append(f"{max_rows:,} of {n:,} rows were used, drawn at random.")
    kept = _with_weight(events.take(kept).weights, kept)
    rows, left_out = _varying(events.take(kept), data)
    values, w = np.asarray(rows.values), rows.weights
    bits = bool(((values == values.min()) | (values == values.max())).all())
    units = {column.unit for column in rows.schema.columns}
    differ = rows.schema.is_table and not bits and (len(units) > 1 or units == {""})
    even = np.arange(len(rows))
    if w is not None and np.ptp(w) > 0:  # row i is kept with probability w_i / max w (hit or miss)
        even = np.flatnonzero(np.random.default_rng(child_seed(seed, "even")).random(len(w)) * w.max() < w)
        left_out.append(
            f"Dimension and t-SNE know no weights: they see {len(even):,} rows drawn in proportion to them."
        )
    return Features(
        events=rows,
        answers=None if asked is None else _words(asked.take(kept)),
        target="" if asked is None else asked.names[0],
        n_given=n,
        bits=bits,
        standardise=differ if standardise is None else standardise,
        even=even,
        notes=(*notes, *left_out),
    )


def _read(
    data: str, columns: str | None, target: str | None, weights: str | None, *, drop_missing: bool
) -> tuple[Dataset, Dataset | None]:
    if target is None:
        return open_data(data, columns=columns, weights=weights, drop_missing=drop_missing), None
    if not is_file_name(target) and data in catalogue.entries() and len(catalogue.entry(data).event_shape) > 1:
        if target != "label":
            raise InputError(
                f"Expected --target label (of digits and mnist) or a file with one row per image, got {target!r}."
            )
    elif "," in target:
        raise InputError(f"Expected one column as --target, got {target!r}. A forest predicts one.")
    events, asked = open_with_conditions(data, target, columns=columns, weights=weights, drop_missing=drop_missing)
    if asked is None or asked.values.ndim != 2 or asked.values.shape[1] != 1:
        raise InputError(f"Expected one column in {target!r} to predict, got several. Give a file of one column.")
    return events, asked


def _with_weight(weights: np.ndarray | None, rows: np.ndarray) -> np.ndarray:
    """Return those of the numbered rows whose weight is not zero."""
    if weights is None:
        return rows
    if (weights < 0).any():
        raise InputError(
            f"Expected event weights >= 0, got {int((weights < 0).sum()):,} negative ones. Neither distances nor "
            "clusters are defined with them; leave --weights out, or drop these events."
        )
    rows = rows[weights > 0]
    if len(rows) < LEAST_ROWS:
        raise InputError(
            f"Expected at least {LEAST_ROWS} rows with a weight, got {len(rows)}. Name another column, or none."
        )
    return rows


def _words(asked: Dataset) -> np.ndarray:
    """Return the answers (n,): words for the codes of words, whole numbers as integers."""
    x, column = np.asarray(asked.values)[:, 0], asked.schema.columns[0]
    if column.labels is not None:
        return np.asarray(column.labels)[x.astype(int)]
    return x.astype(int) if np.all(x == np.round(x)) else x


def _varying(rows: Dataset, data: str) -> tuple[Dataset, list[str]]:
    """Return the columns that vary and have distances, and notes; cells of images may be constant."""
    if not rows.schema.is_table:
        return rows, []
    plain = any(column.kind not in LEFT_OUT for column in rows.schema.columns)
    reasons = {}
    for column, x in zip(rows.schema.columns, np.asarray(rows.values).T, strict=True):
        if x.min() == x.max():
            reasons[column.name] = "is constant"
        elif column.kind == "categorical" and column.labels is not None or (plain and column.kind in LEFT_OUT):
            reasons[column.name] = LEFT_OUT[column.kind]
    kept = [name for name in rows.names if name not in reasons]
    if len(kept) < 2:
        why = "".join(f"; {name} {reason}" for name, reason in list(reasons.items())[:4])
        got = f"one, {kept[0]}" if kept else "none"
        raise InputError(f"Expected at least two columns of numbers that vary in {data!r}, got {got}{why}. Add some.")
    notes = [f"{name} was left out: it {reason}." for name, reason in reasons.items()]
    circles = [c.name for c in rows.schema.columns if c.kind == "periodic" and c.name in kept]
    if circles:
        notes.append(f"{', '.join(circles)}: angles are taken as they are; distances do not close the circle.")
    return rows.select(kept), notes


WIDE = 50  # features, as for t-SNE (van der Maaten and Hinton 2008)
KEPT = 200  # components of wide data
WIDE_ROWS = 5_000  # rows whose neighbours are looked for: time grows with their square
CHOICES, CHOICE_ROWS = range(2, 13), 2_000  # numbers of clusters tried, on so many rows of wide data, else twice
TREES, FOREST_VALUES = 100, 400_000  # trees, and rows times features they grow on: half a minute
RANGE_MAX = 64
QUANTILES = (1.0, 0.5, 0.3, 0.2, 0.1, 0.05)  # shares of the pairs of rows, those at the smallest distances
GOOD_FIT = 1e-3  # nats between the histogram of these pairs and the law: the next smaller share changes little

Say = Callable[[str], None]


def explore_data(
    data: str,
    *,
    n_clusters: int | None = None,
    linkage: str = "ward",
    with_tsne: bool = False,
    seed: int = 0,
    say: Say = lambda _: None,
    **options: Any,
) -> explore.Exploration:
    """Return what is found about the data at a path or of a catalogue name.

    Raises `InputError` for data that cannot be read, an unknown column, fewer than two columns or 20 rows.

    Parameters
    ----------
    data : Path or catalogue name.
    n_clusters : Number of clusters of K-means and of the tree; None chooses by their own rules.
    linkage : "ward", "single", "complete" or "average".
    with_tsne : Whether to make the t-SNE picture.
    seed : Root of all randomness.
    say : Called with the name of each stage that begins.
    columns, weights : Names of columns between commas, all by default, and the column of event weights.
    target : A column, "label" of digits and mnist, or a file of one column, for a forest to predict.
    standardise : None: a table is, unless all its columns have the same unit.
    max_rows, drop_missing : More rows, by default than 20,000, are cut at random, and those with missing entries are
        left out if so asked.
    """
    check_choice("linkage", linkage, LINKAGES)
    if n_clusters is not None:
        check_positive("clusters", n_clusters, integer=True)
    rows = read_features(data, seed=seed, **options)
    say("principal components")
    n, d = len(rows.events), int(np.prod(rows.events.event_shape))
    leading = None if d <= WIDE else min(KEPT, n - 1, d)
    pca = explore.principal_components(
        rows.events, n_components=leading, standardise=rows.standardise, random_state=child_seed(seed, "components")
    )
    near, scaled, notes = _near(rows, pca)
    say("intrinsic dimension")
    scan, bits, doubts = _bits(rows, seed) if rows.bits else _dimension(near, rows, scaled=scaled, seed=seed)
    say("clusters")
    common: dict[str, Any] = {"n_clusters": n_clusters, "standardise": scaled}
    most = CHOICE_ROWS if near is not rows.events else 2 * CHOICE_ROWS
    clusters = explore.kmeans(near, choices=CHOICES, max_rows=most, random_state=child_seed(seed, "clusters"), **common)
    tree = explore.hierarchy(near, linkage=linkage, random_state=child_seed(seed, "tree"), **common)
    notes += [*doubts, *clusters.warnings, *tree.warnings]
    grown = picture = None
    if rows.answers is not None:
        say("forest")
        grown, cut = _forest(near, rows.answers, seed)
        notes += [*grown.warnings, *cut]
    if with_tsne:
        say("t-SNE")
        picture = _tsne(near, rows, scaled=scaled, seed=seed)
        notes += picture.notes
    return explore.Exploration(
        name=Path(data).name,
        n=n,
        n_given=rows.n_given,
        event_shape=tuple(rows.events.event_shape),
        standardised=rows.standardise,
        pca=pca,
        plane=explore.biplot(pca, rows.events),
        dimension=scan,
        bits=bits,
        clusters=clusters,
        tree=tree,
        forest=grown,
        target=rows.target,
        answers=rows.answers,
        picture=picture,
        seed=seed,
        notes=tuple(dict.fromkeys((*rows.notes, *notes))),
    )


def _near(rows: Features, pca: explore.PCAResult) -> tuple[Dataset, bool, list[str]]:
    """Return rows whose distances mean something, whether they are still to be standardised, and a note."""
    if len(pca.names) <= WIDE:
        return rows.events, rows.standardise, []
    scores = pca.transform(rows.events)[:, :WIDE]
    names = [f"component {k + 1}" for k in range(scores.shape[1])]
    held = 100 * pca.explained_variance_ratio[: len(names)].sum()
    stages = ["clusters", "tree"] + ([] if rows.bits else ["dimension"]) + ([] if rows.answers is None else ["forest"])
    note = f"{', '.join(stages).capitalize()}: in the leading {len(names)} components, {held:.0f} % of the variance."
    return Dataset(scores, names=names, kind="continuous", weights=rows.events.weights), False, [note]


def _dimension(
    near: Dataset, rows: Features, *, scaled: bool, seed: int
) -> tuple[explore.DimensionScan | None, None, tuple[str, ...]]:
    values = _values(near, scaled=scaled)[rows.even]
    distinct = len(np.unique(values, axis=0))
    if distinct < LEAST_ROWS:
        return None, None, (f"No intrinsic dimension: only {distinct} rows differ.",)
    reach = min(RANGE_MAX, 2 ** int(np.log2(max(2, distinct // 10))))
    most = WIDE_ROWS if values.shape[1] > WIDE // 2 else len(values)
    try:
        scan = explore.gride(values, reach, max_rows=most, random_state=child_seed(seed, "dimension"))
    except InputError as error:
        return None, None, (f"No intrinsic dimension. {error}",)
    return scan, None, _headed("Dimension", scan.results[0].notes)


def _bits(rows: Features, seed: int) -> tuple[None, explore.BitwiseDimension | None, tuple[str, ...]]:
    """Return the dimension of bits, from as many of the nearest pairs as the law fits."""
    values, dimension, share = np.asarray(rows.events.values)[rows.even], None, 1.0
    if len(values) < MIN_ROWS:
        return None, None, (f"No intrinsic dimension: it takes {MIN_ROWS} rows of bits.",)
    fit = partial(explore.bitwise_dimension, values, max_rows=WIDE_ROWS, random_state=child_seed(seed, "dimension"))
    for quantile in QUANTILES:
        try:
            dimension, share = fit(quantile=quantile), quantile
        except InputError as error:  # fewer than three distances
            return None, dimension, (f"Dimension: {error}",)
        if dimension.log_kl < np.log(GOOD_FIT):
            break
    notes = () if dimension is None else _headed("Dimension", dimension.notes)
    if share == 1:
        return None, dimension, notes
    few = f"Dimension: fitted to the {100 * share:.0f} % of pairs at the smallest distances; the law misses the others."
    return None, dimension, (few, *notes)


def _forest(near: Dataset, answers: np.ndarray, seed: int) -> tuple[explore.ForestResult, tuple[str, ...]]:
    most, n, note = FOREST_VALUES // int(np.prod(near.event_shape)), len(near), ()
    if n > most:
        kept = np.sort(np.random.default_rng(child_seed(seed, "forest rows")).choice(n, most, replace=False))
        near, answers = near.take(kept), answers[kept]
        note = (f"The forest has seen {most:,} of these rows, drawn at random.",)
    return explore.forest(near, answers, n_estimators=TREES, random_state=child_seed(seed, "forest")), note


def _tsne(near: Dataset, rows: Features, *, scaled: bool, seed: int) -> explore.Embedding:
    values = _values(near, scaled=scaled)[rows.even]
    picture = explore.tsne(values, perplexity=min(30.0, (len(values) - 1) / 3), random_state=child_seed(seed, "tsne"))
    return replace(picture, rows=rows.even[picture.rows], notes=_headed("t-SNE", picture.notes))


def _headed(stage: str, notes: Sequence[str]) -> tuple[str, ...]:
    return tuple(f"{stage}: {note[0].lower()}{note[1:]}" for note in notes)


def _values(near: Dataset, *, scaled: bool) -> np.ndarray:
    """Return the rows (n, d) flat, centred and divided by their standard deviations if `scaled`."""
    values = np.asarray(near.values, dtype=float).reshape(len(near), -1)
    return (values - values.mean(0)) / values.std(0) if scaled else values


def write(exploration: explore.Exploration | CovarianceExploration, out: str | Path) -> Path:
    """Write exploration.json and exploration.html into the folder `out`, made if need be; return the page."""
    from reverie.report import save
    from reverie.report.exploration import covariance_page, exploration_page

    with made_folder(out) as folder:
        write_json(folder / "exploration.json", exploration.to_json())
    if isinstance(exploration, explore.Exploration):
        return save(Path(out) / "exploration.html", exploration_page(exploration))
    parts = {"result": exploration.result, "correlation": exploration.correlation, "names": exploration.names}
    page = covariance_page(name=exploration.name, sentences=exploration.sentences, notes=exploration.notes, **parts)
    return save(Path(out) / "exploration.html", page)
