"""The runs of a comparison, as they are read from their folders, and whether they can be compared at all."""

import json
import math
import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from reverie.core.errors import InputError
from reverie.core.typed_files import rebuilt
from reverie.experiment.config import RunConfig, format_duration
from reverie.experiment.folder import RunFolder
from reverie.validation.results.result import ValidationResult

__all__ = ["AUC", "CLASSIFIER_ROW", "Run", "Score", "check_comparable", "read_runs", "scores_of"]

AUC = "AUC"
CLASSIFIER_ROW = "classifier AUC"  # as `ValidationResult.table` calls it


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
    name : its path, as far as it differs from those of the others.
    path : as given.
    config, data : config.yaml and data.json.
    result : its validation.
    seconds : of training, None if unknown.
    scores : statistics by name; those of single features as "KS pt1".
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
        result = self.result
        return {
            "name": self.name,
            "path": self.path,
            "model": self.config.model_name,
            "seed": self.config.seed,
            "p_value": result.p_value,
            "n_permutations": result.n_permutations,
            "n_distinguish": _finite(result.n_distinguish),
            "n_distinguish_low": _finite(result.n_distinguish_low),
            "n_distinguish_is_lower_bound": result.n_distinguish == math.inf,
            "seconds": self.seconds,
            "time": "–" if self.seconds is None else format_duration(self.seconds),
            "scores": {name: asdict(score) for name, score in self.scores.items()},
        }


def read_runs(paths: Sequence[str | Path]) -> list[Run]:
    """Return the runs in the folders `paths`, in this order; raises as `compare_runs` does."""
    if len(paths) < 2:
        raise InputError(f"Expected two or more run folders, got {len(paths)}. Write: reverie compare runs/a runs/b")
    real = [Path(path).resolve() for path in paths]
    doubled = next((path for path, place in zip(paths, real, strict=True) if real.count(place) > 1), None)
    if doubled is not None:
        raise InputError(f"Expected each run once, got {str(doubled)!r} twice. Leave one of them out.")
    places = [Path(os.path.abspath(path)) for path in paths]
    common = os.path.commonpath([place.parent for place in places])
    return [_read(path, str(place.relative_to(common))) for path, place in zip(paths, places, strict=True)]


def _read(path: str | Path, name: str) -> Run:
    folder = RunFolder(path)
    config = RunConfig.from_yaml(folder / "config.yaml")
    if not (folder / "validation.json").is_file():
        verb = "resume" if folder.samples is None else "validate"
        raise InputError(f"Expected validation.json in {str(path)!r}, got none. Make it: reverie {verb} {path}")
    remedy = f"Make it anew: reverie validate {path}"
    with rebuilt("a validation", folder / "validation.json", remedy=remedy, error=InputError):
        result: Any = folder.validation()
        scores = scores_of(result)
    data, status = folder.read_json("data.json"), folder.read_json("status.json", {})
    if data is None:
        raise InputError(f"Expected data.json in {str(path)!r}, got none. Restore it from a copy, or train again.")
    return Run(name, str(path), config, data, result, status.get("training", {}).get("seconds"), scores)


def scores_of(result: ValidationResult) -> dict[str, Score]:
    """Return the statistics by name, the AUC first; values that are not finite are left out."""
    scores: dict[str, Score] = {}
    auc = next((one for one in result.classifiers if one.learner == "boosting"), result.auc)  # the same in all runs
    if auc is not None and _finite(auc.value) is not None:
        scores[AUC] = Score(*map(_finite, (auc.value, auc.error, auc.real_vs_real, auc.real_vs_real_error)))  # pyright: ignore[reportArgumentType]
    for row in result.table():
        value = _finite(row["value"])
        if row["statistic"] != CLASSIFIER_ROW and value is not None:
            name = " ".join(filter(None, (row["statistic"], row["feature"])))
            scores.update([_growing(name, value, _finite(row.get("error")), _finite(row.get("real_vs_real")))])
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
    below = [run.name for run in runs if _is_below_chance(run.scores.get(AUC))]
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


def _is_below_chance(score: Score | None) -> bool:
    return score is not None and score.value + 3 * (score.error or math.inf) < 0.5


def _growing(name: str, value: float, error: float | None, real: float | None) -> tuple[str, Score]:
    """Return name and score of a statistic that grows with the difference; of a coverage, what it lacks to 1."""
    if name not in ("precision", "recall", "density", "coverage"):
        return name, Score(value, error, real)
    return f"1 - {name}", Score(1 - value, error, None if real is None else 1 - real)


def _finite(value: Any) -> float | None:
    return None if value is None or not math.isfinite(value) else float(value)
