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

import json
import math
import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np

from reverie.core.errors import InputError, UnknownNameError
from reverie.core.typed_files import rebuilt
from reverie.experiment.config import RunConfig, flatten, format_duration
from reverie.experiment.folder import RunFolder, made_folder, write_json
from reverie.validation import ValidationResult
from reverie.validation.permutation.multiple_testing import holm

__all__ = ["Comparison", "Group", "Pair", "Run", "Score", "compare_runs", "difference", "scores_of", "welch"]

AUC = "AUC"
CLASSIFIER_ROW = "classifier AUC"  # as `ValidationResult.table` calls it
Test = tuple[float, float | None, float | None]  # difference, distance in errors, p-value
_NO_ERRORS = (
    "{by} has no standard errors in these runs: the order is that of the values, and no difference is called "
    "significant."
)


@dataclass(frozen=True)
class Score:
    """One statistic of a run: value and real against real, each with its standard error (None if unknown)."""

    value: float
    error: float | None = None
    real_vs_real: float | None = None
    real_vs_real_error: float | None = None


@dataclass(frozen=True)
class Run:
    """A run as it is compared.

    Parameters
    ----------
    name : Path of the run, as far as it differs from those of the others.
    path : Path of the run folder, as it was given.
    config, data : What config.yaml and data.json hold.
    result : Validation of the run.
    seconds : Seconds of training, None if unknown.
    scores : Statistics by name; those of single features are called "KS pt1".
    """

    name: str
    path: str
    config: RunConfig
    data: dict[str, Any]
    result: ValidationResult
    seconds: float | None
    scores: dict[str, Score]

    @property
    def recipe(self) -> str:
        """All of the configuration but the seed, as text."""
        return json.dumps({**asdict(self.config), "seed": None}, sort_keys=True, default=str)

    def to_json(self) -> dict[str, Any]:
        """Return what comparison.json says of the run."""
        return {
            "name": self.name,
            "path": self.path,
            "model": self.config.model_name,
            "seed": self.config.seed,
            "p_value": self.result.p_value,
            "n_permutations": self.result.n_permutations,
            "n_distinguish": _finite(self.result.n_distinguish),
            "n_distinguish_low": _finite(self.result.n_distinguish_low),
            "n_distinguish_is_lower_bound": self.result.n_distinguish == math.inf,
            "seconds": self.seconds,
            "time": "–" if self.seconds is None else format_duration(self.seconds),
            "scores": {name: asdict(score) for name, score in self.scores.items()},
        }


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
    by : Statistic that ranks the runs.
    runs, ranks : "=1" for all runs that are not significantly worse than the best, when there are several.
    statistics : All statistics of the joint law that every run has.
    pairs : Pairs of runs, in their order.
    groups, group_pairs : Groups of runs of one configuration, and their pairs; empty unless one has several seeds.
    differences : Values of the configuration by key and run, for keys that differ; a run may lack the key.
    notes : Sentences on what to keep in mind.
    alpha : Level of significance.
    """

    by: str
    runs: tuple[Run, ...]
    ranks: tuple[str, ...]
    statistics: tuple[str, ...]
    pairs: tuple[Pair, ...]
    groups: tuple[Group, ...]
    group_pairs: tuple[Pair, ...]
    differences: dict[str, dict[str, object]]
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
        """Write comparison.json and comparison.html into the folder `out`, made if need be; return the page."""
        from reverie.report import save
        from reverie.report.comparison import comparison_page

        content = self.to_json()
        with made_folder(out) as folder:
            write_json(folder / "comparison.json", content)
        return save(Path(out) / "comparison.html", comparison_page(content))


def compare_runs(paths: Sequence[str | Path], *, by: str | None = None, alpha: float = 0.05) -> Comparison:
    """Rank the runs in the folders `paths` by one statistic, the smallest first.

    Raises `InputError` for fewer than two runs, one run twice, no run folder, no validation, different data, an unknown
    statistic.

    Parameters
    ----------
    paths : At least two run folders with a validation, on the same data. A folder of run folders stands for these.
    by : A statistic, or how its name begins, such as "auc", "energy" or "KS pt1"; the AUC, or else the first that all
        runs have.
    alpha : Level of significance.
    """
    runs = read_runs(paths)
    notes = check_comparable(runs)
    shared = [name for name in runs[0].scores if all(name in run.scores for run in runs)]
    by = _chosen(by, shared)
    runs.sort(key=lambda run: run.scores[by].value)
    tests = [(a.name, b.name, difference(a.scores[by], b.scores[by])) for a, b in combinations(runs, 2)]
    pairs = _adjusted(tests, alpha)
    if any(pair.p_value is None for pair in pairs):
        notes.append(_NO_ERRORS.format(by=by))
    best = runs[0].name  # shares its rank with all runs that are not significantly worse
    tied = {p.worse for p in pairs if p.better == best and p.p_adjusted is not None and not p.is_significant}
    tied |= {best} if tied else set()
    groups, group_pairs = _grouped(runs, by, alpha)
    flat = {run.name: flatten(asdict(run.config)) for run in runs}
    keys = dict.fromkeys(key for values in flat.values() for key in values)
    options = {key: {name: values[key] for name, values in flat.items() if key in values} for key in keys}
    joint = {row["statistic"] for row in runs[0].result.table() if row["feature"] is None} | {AUC}
    return Comparison(
        by=by,
        runs=tuple(runs),
        ranks=tuple("=1" if run.name in tied else str(position) for position, run in enumerate(runs, 1)),
        statistics=tuple(name for name in shared if name in joint),
        pairs=pairs,
        groups=groups,
        group_pairs=group_pairs,
        differences={
            key: row for key, row in options.items() if len(row) < len(runs) or len(set(map(str, row.values()))) > 1
        },
        notes=tuple(notes),
        alpha=alpha,
    )


def difference(a: Score, b: Score) -> Test:
    """Return b - a, its z, and the two-sided p-value; None where an error is unknown (see the module)."""
    gap = b.value - a.value
    if not a.error or not b.error:
        return gap, None, None
    z = gap / math.hypot(a.error, b.error)
    return gap, z, math.erfc(abs(z) / math.sqrt(2))


def welch(a: Sequence[float], b: Sequence[float]) -> Test:
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


def _adjusted(tests: Sequence[tuple[str, str, Test]], alpha: float) -> tuple[Pair, ...]:
    """Return the pairs (better, worse, test) with Holm's p-values, over those that have one."""
    known = iter(holm([p for _, _, (_, _, p) in tests if p is not None]))
    pairs = []
    for better, worse, test in tests:
        q = None if test[2] is None else next(known)
        pairs.append(Pair(better, worse, *test, q, q is not None and q <= alpha))
    return tuple(pairs)


def _grouped(runs: Sequence[Run], by: str, alpha: float) -> tuple[tuple[Group, ...], tuple[Pair, ...]]:
    """Return the groups of one configuration, the best first, and their pairs; nothing if each is a single run."""
    members: dict[str, list[Run]] = {}
    for run in runs:
        members.setdefault(run.recipe, []).append(run)
    if len(members) == len(runs):
        return (), ()
    values = [([run.scores[by].value for run in group], group) for group in members.values()]
    groups = []
    for k, (x, group) in enumerate(sorted(values, key=lambda pair: np.mean(pair[0])), 1):
        error = float(np.std(x, ddof=1) / math.sqrt(len(x))) if len(x) > 1 else None
        groups.append((Group(f"group {k}", tuple(run.name for run in group), float(np.mean(x)), error), x))
    tests = [(a.name, b.name, welch(x, y)) for (a, x), (b, y) in combinations(groups, 2)]
    alone = min(len(x) for _, x in groups) < 2
    return tuple(group for group, _ in groups), () if alone else _adjusted(tests, alpha)


def read_runs(paths: Sequence[str | Path]) -> list[Run]:
    """Return the runs in the folders `paths`, in this order; raises as `compare_runs` does."""
    paths = [run for path in paths for run in _runs_in(path)]
    if len(paths) < 2:
        raise InputError(f"Expected two or more run folders, got {len(paths)}. Write: reverie compare runs/a runs/b")
    real = [Path(path).resolve() for path in paths]
    doubled = next((path for path, place in zip(paths, real, strict=True) if real.count(place) > 1), None)
    if doubled is not None:
        raise InputError(f"Expected each run once, got {str(doubled)!r} twice. Leave one of them out.")
    places = [Path(os.path.abspath(path)) for path in paths]
    common = os.path.commonpath([place.parent for place in places])
    runs = []
    for path, place in zip(paths, places, strict=True):
        folder = RunFolder(path)
        config, remedy = folder.config(), f"Make it anew: reverie validate {path}"
        with rebuilt("a validation", folder / "validation.json", remedy=remedy):
            result = folder.validation()
            scores = {} if result is None else scores_of(result)
        if result is None:
            verb = "resume" if folder.samples is None else "validate"
            raise InputError(f"Expected validation.json in {str(path)!r}, got none. Make it: reverie {verb} {path}")
        data, status = folder.read_json("data.json"), folder.read_json("status.json", {})
        if data is None:
            raise InputError(f"Expected data.json in {str(path)!r}, got none. Restore it from a copy, or train again.")
        seconds = status.get("training", {}).get("seconds")
        runs.append(Run(str(place.relative_to(common)), str(path), config, data, result, seconds, scores))
    return runs


def _runs_in(path: str | Path) -> Sequence[str | Path]:
    """Return the run folders in a folder that is none itself, in the order of their names; else the path."""
    found = sorted(file.parent for file in Path(path).glob("*/config.yaml"))
    return [path] if (Path(path) / "config.yaml").exists() or not found else found


def scores_of(result: ValidationResult) -> dict[str, Score]:
    """Return the statistics by name, the AUC first; values that are not finite are left out."""
    scores: dict[str, Score] = {}
    auc = next((one for one in result.classifiers if one.learner == "boosting"), result.auc)  # the same in all runs
    if auc is not None and (value := _finite(auc.value)) is not None:
        scores[AUC] = Score(value, *map(_finite, (auc.error, auc.real_vs_real, auc.real_vs_real_error)))
    for row in result.table():
        value = _finite(row["value"])
        if row["statistic"] != CLASSIFIER_ROW and value is not None:
            name = " ".join(filter(None, (row["statistic"], row["feature"])))
            error, real = _finite(row.get("error")), _finite(row.get("real_vs_real"))
            if name in ("precision", "recall", "density", "coverage"):  # they shrink with the difference
                name, value, real = f"1 - {name}", 1 - value, None if real is None else 1 - real
            scores[name] = Score(value, error, real)
    return scores


def check_comparable(runs: Sequence[Run]) -> list[str]:
    """Refuse runs on different data or splits; return notes on what differs but is not decisive."""
    first = runs[0]
    for run in runs[1:]:
        if run.data["sha256"] != first.data["sha256"]:
            raise InputError(
                f"Expected runs on the same data, got {_data_text(first)} and {_data_text(run)}. "
                "Compare runs on one file with the same columns and conditions."
            )
        if run.config.held_out != first.config.held_out:
            raise InputError(
                f"Expected runs that hold out the same part of the data, got {first.config.held_out:g} in "
                f"{first.name!r} and {run.config.held_out:g} in {run.name!r}. Run one of them again with --held-out."
            )
    notes = []
    if len({run.config.seed for run in runs}) > 1:
        notes.append(
            "The seeds differ, and with them the rows held out: runs of different seeds share about "
            f"{first.config.held_out:.0%} of these rows. Errors are taken as independent."
        )
    if len({_test_text(run) for run in runs}) > 1:
        texts = "; ".join(f"{run.name}: {_test_text(run)}" for run in runs)
        notes.append(f"The validations differ, and so may the scale of their statistics: {texts}.")
    areas = {run.name: run.scores[AUC] for run in runs if AUC in run.scores}
    below = [name for name, auc in areas.items() if auc.value + 3 * (auc.error or math.inf) < 0.5]
    if below:
        notes.append(
            f"The AUC of {', '.join(below)} is below 1/2 by more than three errors. No difference of laws does that; "
            "samples that repeat the real events do."
        )
    return notes


def _data_text(run: Run) -> str:
    return f"{run.name!r} on {run.config.data} ({run.data.get('n_rows', 0):,} rows, sha256 {run.data['sha256'][:12]})"


def _test_text(run: Run) -> str:
    """Return what the size of a statistic depends on besides the samples."""
    sizes, auc = run.result.sizes, run.result.auc
    learner = "no classifier" if auc is None else f"classifier {auc.learner}"
    return f"{sizes.get('n_real', 0):,} real and {sizes.get('n_generated', 0):,} generated events, {learner}"


def _finite(value: float | None) -> float | None:
    return None if value is None or not math.isfinite(value) else float(value)
