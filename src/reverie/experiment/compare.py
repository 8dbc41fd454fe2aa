"""Several runs on the same data: ranked, with errors, and which differences are significant.

Run i has a statistic s_i, by default the AUC of its classifier test, with standard error e_i. Small is good: the tests
of a validation reject for large values. Two runs are compared by

    z = (s_j - s_i) / sqrt(e_i^2 + e_j^2),      p = 2 Phi(-|z|),

and the p-values of all pairs are corrected together (Holm 1979).

Correlation: runs of one seed are judged by the same real events, so their errors are correlated, which z leaves out.
About half the variance of an AUC comes from the real events. If two generators err in the same direction, the
correlation is positive, up to 1/2: z is too small, by up to sqrt(2), and the test is conservative. If they err in
opposite directions, it is negative, down to -1/2: z is too large, by up to sqrt(3/2) = 1.22. A p-value close to the
level calls for a larger held-out sample. Runs of different seeds hold out different rows; a fraction f of the rows
held out leaves f of those rows in common on average, so the same bounds hold, times f.

Runs, or recipes? e_i is the error of the test of one trained generator with one trained classifier. Another seed gives
another generator. Whether one configuration is better than another is asked of groups of runs that differ in nothing
but the seed: mean and standard error over the runs, and Welch's t-test (1947) between groups of at least two.
"""

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np

from reverie.core.errors import FolderError, InputError, UnknownNameError
from reverie.experiment.compared import AUC, CLASSIFIER_ROW, Run, Score, check_comparable, read_runs
from reverie.experiment.config import flatten
from reverie.experiment.folder import write_json
from reverie.validation.permutation.multiple_testing import holm

__all__ = ["Comparison", "Group", "Pair", "compare_runs", "difference", "welch"]

_NO_ERRORS = (
    "{by} has no standard errors in these runs: the order is that of the values, and no difference is called "
    "significant."
)


@dataclass(frozen=True)
class Pair:
    """Two runs, or two groups of runs: `better` has the smaller value, by `difference`, at `distance` errors (z or t).

    The p-values are None where no errors are known; `p_adjusted` is Holm's, over all pairs.
    """

    better: str
    worse: str
    difference: float
    distance: float | None
    p_value: float | None
    p_adjusted: float | None = None
    is_significant: bool = False


@dataclass(frozen=True)
class Group:
    """Runs that differ in nothing but the seed: mean and its standard error over the runs (None of a single run)."""

    name: str
    runs: tuple[str, ...]
    mean: float
    error: float | None


@dataclass(frozen=True)
class Comparison:
    """Runs in order, the best first.

    Parameters
    ----------
    by : the statistic that ranks them.
    runs, ranks : "=1" for all runs that are not significantly worse than the best, when there are several.
    statistics : all statistics of the joint law that every run has.
    pairs : of runs, in order.
    groups, group_pairs : of runs of one configuration; empty unless one has several seeds.
    differences : of the configurations: key -> run -> value, for keys that differ; a run may lack the key.
    notes : what to keep in mind, in sentences.
    alpha : level of significance.
    """

    by: str
    runs: tuple[Run, ...]
    ranks: tuple[str, ...]
    statistics: tuple[str, ...]
    pairs: tuple[Pair, ...]
    groups: tuple[Group, ...]
    group_pairs: tuple[Pair, ...]
    differences: dict[str, dict[str, Any]]
    notes: tuple[str, ...]
    alpha: float

    def to_json(self) -> dict[str, Any]:
        """Return plain dictionaries, lists, numbers and strings: what comparison.json holds."""
        from reverie.report.comparison import sentences

        runs = [{"rank": rank, **run.to_json()} for rank, run in zip(self.ranks, self.runs, strict=True)]
        parts = {key: [asdict(part) for part in getattr(self, key)] for key in ("pairs", "groups", "group_pairs")}
        content = {
            "by": self.by,
            "alpha": self.alpha,
            "statistics": list(self.statistics),
            "runs": runs,
            **parts,
            "differences": self.differences,
            "notes": list(self.notes),
        }
        return {**content, "sentences": sentences(content)}

    def __str__(self) -> str:
        from reverie.report.comparison import as_text

        return as_text(self.to_json())

    def write(self, out: str | Path) -> Path:
        """Write comparison.json and comparison.html into the folder `out`, made if need be; return the page.

        Raises
        ------
        FolderError
            When the folder cannot be written.
        """
        from reverie.report import save
        from reverie.report.comparison import comparison_page

        content = self.to_json()
        try:
            Path(out).mkdir(parents=True, exist_ok=True)
            write_json(Path(out) / "comparison.json", content)
        except OSError as error:
            raise FolderError(f"Expected a folder to write in at {str(out)!r}, got: {error.strerror}.") from error
        return save(Path(out) / "comparison.html", comparison_page(content))


def compare_runs(paths: Sequence[str | Path], *, by: str | None = None, alpha: float = 0.05) -> Comparison:
    """Rank the runs in the folders `paths` by one statistic, the smallest first.

    Parameters
    ----------
    paths : at least two run folders with a validation, on the same data.
    by : a statistic, or how its name begins, such as "auc", "energy" or "KS pt1"; the AUC, or else the first that all
        runs have.
    alpha : level of significance.

    Raises
    ------
    InputError
        For fewer than two runs, one run twice, no run folder, no validation, different data, an unknown statistic.
    """
    runs = read_runs(paths)
    notes = check_comparable(runs)
    shared = [name for name in runs[0].scores if all(name in run.scores for run in runs)]
    by = _chosen(by, shared)
    runs.sort(key=lambda run: run.scores[by].value)
    scores = [run.scores[by] for run in runs]
    pairs = _adjusted(
        [Pair(runs[i].name, runs[j].name, *difference(scores[i], scores[j])) for i, j in _index_pairs(runs)], alpha
    )
    if any(pair.p_value is None for pair in pairs):
        notes.append(_NO_ERRORS.format(by=by))
    groups, group_pairs = _grouped(runs, by, alpha)
    joint = {row["statistic"] for row in runs[0].result.table() if row["feature"] is None} | {AUC}
    return Comparison(
        by=by,
        runs=tuple(runs),
        ranks=tuple(_ranks(runs, pairs)),
        statistics=tuple(name for name in shared if name in joint),
        pairs=tuple(pairs),
        groups=tuple(groups),
        group_pairs=tuple(group_pairs),
        differences=_differences(runs),
        notes=tuple(notes),
        alpha=alpha,
    )


def difference(a: Score, b: Score) -> tuple[float, float | None, float | None]:
    """Return b - a, its z, and the two-sided p-value; None where an error is unknown (see the module)."""
    gap = b.value - a.value
    if not a.error or not b.error:
        return gap, None, None
    z = gap / math.hypot(a.error, b.error)
    return gap, z, math.erfc(abs(z) / math.sqrt(2))


def welch(a: Sequence[float], b: Sequence[float]) -> tuple[float, float | None, float | None]:
    """Return mean b - mean a, Welch's t and the two-sided p-value; None without two values each, or any spread."""
    gap = float(np.mean(b) - np.mean(a))
    if min(len(a), len(b)) < 2 or np.ptp(a) == np.ptp(b) == 0:
        return gap, None, None
    from scipy.stats import ttest_ind_from_stats

    moments = [moment for x in (b, a) for moment in (np.mean(x), np.std(x, ddof=1), len(x))]
    t, p = ttest_ind_from_stats(*moments, equal_var=False)
    return gap, float(t), float(p)


def _chosen(by: str | None, shared: Sequence[str]) -> str:
    """Return the statistic that `by` names, in any case, whole or by its beginning."""
    if not shared:
        raise InputError("Expected runs with a statistic in common, got none. Validate them anew: reverie validate RUN")
    if by is None:
        return shared[0]
    wanted = by.lower().strip()
    wanted = AUC.lower() if wanted == CLASSIFIER_ROW.lower() else wanted
    hits = [name for name in shared if name.lower() == wanted] or [n for n in shared if n.lower().startswith(wanted)]
    if not hits:
        raise UnknownNameError("statistic", by, shared)
    if len(hits) > 1:
        raise InputError(f"Expected one statistic, got {by!r}, which may be {', '.join(hits[:12])}. Write one of them.")
    return hits[0]


def _index_pairs(items: Sequence[Any]) -> list[tuple[int, int]]:
    return list(combinations(range(len(items)), 2))


def _adjusted(pairs: Sequence[Pair], alpha: float) -> list[Pair]:
    """Return `pairs` with Holm's p-values, over those that have one."""
    known = iter(holm([pair.p_value for pair in pairs if pair.p_value is not None]))
    adjusted = [None if pair.p_value is None else next(known) for pair in pairs]
    return [
        Pair(p.better, p.worse, p.difference, p.distance, p.p_value, q, q is not None and q <= alpha)
        for p, q in zip(pairs, adjusted, strict=True)
    ]


def _ranks(runs: Sequence[Run], pairs: Sequence[Pair]) -> list[str]:
    """Return "1", "2", ...; "=1" for the best and all that are not told apart from it."""
    best = runs[0].name
    tied = {p.worse for p in pairs if p.better == best and p.p_adjusted is not None and not p.is_significant}
    names = [run.name for run in runs]
    return [
        "=1" if tied and (name == best or name in tied) else str(position) for position, name in enumerate(names, 1)
    ]


def _grouped(runs: Sequence[Run], by: str, alpha: float) -> tuple[list[Group], list[Pair]]:
    """Return the groups of one configuration, the best first, and their pairs; nothing if each is a single run."""
    members: dict[str, list[Run]] = {}
    for run in runs:
        members.setdefault(run.recipe, []).append(run)
    if len(members) == len(runs):
        return [], []
    ordered = sorted(members.values(), key=lambda group: np.mean(_values(group, by)))
    groups = [
        Group(f"group {k}", tuple(run.name for run in group), float(np.mean(x)), _standard_error(x))
        for k, group in enumerate(ordered, 1)
        for x in [_values(group, by)]
    ]
    if min(map(len, ordered)) < 2:
        return groups, []
    tests = [(i, j, welch(_values(ordered[i], by), _values(ordered[j], by))) for i, j in _index_pairs(ordered)]
    return groups, _adjusted([Pair(groups[i].name, groups[j].name, *test) for i, j, test in tests], alpha)


def _values(runs: Sequence[Run], by: str) -> list[float]:
    return [run.scores[by].value for run in runs]


def _standard_error(values: Sequence[float]) -> float | None:
    return float(np.std(values, ddof=1) / math.sqrt(len(values))) if len(values) > 1 else None


def _differences(runs: Sequence[Run]) -> dict[str, dict[str, Any]]:
    """Return the values of the keys of config.yaml that are not the same in all runs."""
    flat = {run.name: flatten(asdict(run.config)) for run in runs}
    keys = dict.fromkeys(key for values in flat.values() for key in values)
    rows = {key: {name: values[key] for name, values in flat.items() if key in values} for key in keys}
    return {key: row for key, row in rows.items() if len(row) < len(runs) or len(set(map(str, row.values()))) > 1}
