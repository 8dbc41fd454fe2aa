"""The folder of a search: what it is about, who may join it, and what it has found.

study.yaml       the settings: configuration of the default, space, how trials are judged; never changed
data.json        the data, by their sha256
journal.jsonl    all trials, as Optuna keeps them
scores/          what each event adds to the scores of the default and of the best trials
quotes/          the same of the trainings that are quoted
best.yaml, tune.json, tune.html     the results
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Self

import yaml

from reverie.core.bibliography import BIBLIOGRAPHY
from reverie.core.checks import check_positive
from reverie.core.errors import FolderError, InputError
from reverie.core.typed_files import checked, read_json
from reverie.experiment.config import RunConfig, flatten, read_yaml
from reverie.experiment.folder import remove, write_json, write_text
from reverie.experiment.inputs import Inputs
from reverie.experiment.records import DataRecord
from reverie.experiment.search_space import Range, search_space
from reverie.experiment.tune_scores import Scored, average, difference, split_off
from reverie.experiment.tune_study import JOURNAL, Slot, Study, living

__all__ = [
    "StudySettings",
    "best_slot",
    "configured",
    "forget_study",
    "open_study_folder",
    "trial_entry",
    "write_results",
]

_SETTINGS, _DATA = "study.yaml", "data.json"
_REMEDY = "Restore it from a copy, or begin anew with --overwrite."
_OWN = (
    JOURNAL, f"{JOURNAL}.lock", "turn", "turn.lock", "workers", "scores", "quotes", _DATA, "command.txt", "best.yaml",
    "tune.json", "tune.html", _SETTINGS,
)  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class StudySettings:
    """What a study is; processes that join it must agree on all of it.

    Parameters
    ----------
    run : Configuration of the default: data, split, seed, model with all its options.
    space : The search space, as it is written.
    by : "likelihood" or "samples".
    tune_fraction : Part of the training rows, in (0, 1), that judges the trials.
    repeats : Trainings of the winner and of the default that are quoted, at least 1.
    prune : Whether the median rule stops trials early.
    """

    run: RunConfig
    space: str
    by: str
    tune_fraction: float = 0.25
    repeats: int = 3
    prune: bool = True

    def __post_init__(self) -> None:
        if not 0 < self.tune_fraction < 1:
            raise InputError(f"Expected --tune-fraction between 0 and 1, got {self.tune_fraction}. Try 0.25.")
        check_positive("--repeats", self.repeats, integer=True)

    def to_yaml(self) -> str:
        """Return the text of `study.yaml`."""
        content = asdict(self) | {"run": yaml.safe_load(self.run.to_yaml())}
        return yaml.safe_dump(content, sort_keys=False, allow_unicode=True, default_flow_style=None)

    @classmethod
    def of(cls, folder: Path) -> Self:
        """Return the settings of the study in `folder`; `InputError` if there is none."""
        path = folder / _SETTINGS
        if not path.is_file():
            raise InputError(f"Expected the folder of a study, got {str(folder)!r}. Make one with 'reverie tune'.")
        content = read_yaml(path)
        RunConfig.check_content(content.get("run"), path)
        return checked(content, cls, path, remedy=_REMEDY)


def open_study_folder(
    folder: Path, settings: StudySettings, inputs: Inputs, *, overwrite: bool = False, command: str = ""
) -> bool:
    """Make the folder of a study, or join the one that is there; tell whether it was there.

    Raises `FolderError` when the folder holds something else, or a study of other settings, and `CheckpointError` when
    the data have changed.
    """
    if folder.exists() and not folder.is_dir():
        raise FolderError(f"Expected {str(folder)!r} to be a folder, got a file. Give another --out.")
    if overwrite and (folder / _SETTINGS).is_file() and not forget_study(folder):
        raise FolderError(f"Expected {str(folder)!r} to be free, got a study in progress there. Wait for it.")
    if (folder / _SETTINGS).is_file():
        contents = [yaml.safe_load(one.to_yaml()) for one in (StudySettings.of(folder), settings)]
        recorded, given = ({**flatten(content.pop("run")), **content} for content in contents)
        for name, value in given.items():
            if recorded.get(name) != value:
                raise FolderError(
                    f"Expected the settings of the study in {str(folder)!r} ({name} = {recorded.get(name)}), got "
                    f"{value}. Give the same command to go on, --overwrite to begin anew, or another --out."
                )
        if (folder / _DATA).is_file():
            inputs.check_same(read_json(folder / _DATA, DataRecord, remedy=_REMEDY))
        return True
    if folder.is_dir() and any(path.name not in _OWN and path.name[0] != "." for path in folder.iterdir()):
        raise FolderError(
            f"Expected a new or empty folder, got {str(folder)!r}, which holds other files and no study. "
            "Give another --out."
        )
    try:
        for part in ("scores", "quotes", "workers"):
            (folder / part).mkdir(parents=True, exist_ok=True)
    except PermissionError as error:
        raise FolderError(f"Expected to be able to write in {str(folder)!r}, got: {error.strerror}.") from error
    write_text(folder / "command.txt", command + "\n")
    write_json(folder / _DATA, inputs.to_json())
    write_text(folder / _SETTINGS, settings.to_yaml())
    return False


def forget_study(folder: Path) -> bool:
    """Remove what a study writes, and nothing else; return False, and touch nothing, while somebody works on it."""
    if living(folder):
        return False
    for name in _OWN:
        remove(folder / name)
    if not any(folder.iterdir()):
        folder.rmdir()
    return True


def best_slot(slots: Sequence[Slot]) -> Slot | None:
    """Return the trial with the least score, the first of equals; None without a finite one."""
    scored = [slot for slot in slots if slot.state == "done" and math.isfinite(slot.value)]
    return min(scored, key=lambda slot: (slot.value, slot.number), default=None)


def configured(config: RunConfig, options: Mapping[str, object], *, seed: int | None = None) -> RunConfig:
    """Return `config` with other options of the model, and with another seed if one is given."""
    model = {**config.model, **options}
    return replace(config, model=model, seed=config.seed if seed is None else seed)


def write_results(folder: Path, settings: StudySettings, inputs: Inputs) -> str:
    """Write best.yaml, tune.json and tune.html from what the study knows; return the sentences for a terminal."""
    from reverie.report.page import save
    from reverie.report.tuning import as_text, tuning_page

    content = results(folder, settings, inputs)
    write_json(folder / "tune.json", content)
    lines = [as_text(content)]
    references = [(key, BIBLIOGRAPHY[key]) for key in ("reverie", "akiba2019", "bergstra2011")]
    if content["best"] is not None:
        best = next(trial for trial in content["trials"] if trial["number"] == content["best"])
        text = configured(settings.run, best["options"]).to_yaml()
        write_text(folder / "best.yaml", f"# reverie run --config {folder / 'best.yaml'} --out runs/best\n{text}")
        lines.append(f"best: {folder / 'best.yaml'}")
        content["configuration"] = text
    lines.append(f"page: {save(folder / 'tune.html', tuning_page(content, references=references))}")
    return "\n".join(lines)


def results(folder: Path, settings: StudySettings, inputs: Inputs) -> dict[str, Any]:
    """Return what tune.json holds."""
    slots = Study(folder, "trials").slots()
    best = best_slot(slots)
    learnt, judged = split_off(inputs, settings.tune_fraction, settings.run.seed)
    space = search_space(settings.space, settings.run.model_name, settings.run.model_options)
    return {
        "format": "reverie-study",
        "model": settings.run.model_name,
        "data": settings.run.data.rsplit("/", 1)[-1],
        "by": settings.by,
        "space": settings.space,
        "options": {
            name: ("log" if option.is_log else "linear") if isinstance(option, Range) else "choice"
            for name, option in space.options.items()
        },
        "default": {name: settings.run.model_options[name] for name in space.options},
        "rows": {"learnt": len(learnt), "judged": len(judged), "quoted": len(inputs.held_out)},
        "seed": settings.run.seed,
        "tune_fraction": settings.tune_fraction,
        "max_steps": settings.run.model_options["max_steps"],
        "trials": [{**trial_entry(slot), "gain": _gain(folder / "scores", slot)} for slot in slots],
        "best": None if best is None else best.number,
        "quoted": None if best is None else _quoted(folder, best.number, settings.repeats),
    }


def trial_entry(slot: Slot) -> dict[str, Any]:
    """Return what tune.json says of a trial."""
    is_finite = slot.state == "done" and math.isfinite(slot.value)
    state = "diverged" if slot.state == "done" and not is_finite else slot.state
    return {
        "number": slot.number,
        "state": state,
        "value": slot.value if is_finite else None,
        "options": dict(slot.notes.get("options", {})),
        **{key: slot.notes.get(key) for key in ("error", "seconds", "why")},
    }


def _gain(folder: Path, slot: Slot) -> list[float] | None:
    """Return by how much a trial is better than the default on the events that judge both, with the error."""
    files = [folder / f"{number}.npz" for number in (slot.number, 0)]
    if slot.number == 0 or not math.isfinite(slot.value) or not all(file.is_file() for file in files):
        return None
    gain = difference(*([Scored.load(file)] for file in files))
    return [gain.gain, gain.error]


def _quoted(folder: Path, best: int, repeats: int) -> dict[str, object] | None:
    """Return winner and default as trained anew, and their difference; None before all of it is done."""
    scores = {}
    for slot in dict.fromkeys((best, 0)):
        quotes = Study(folder, f"quotes of {slot}").slots()
        if sum(quote.state == "done" for quote in quotes) < repeats:
            return None
        scores[slot] = {q.number: Scored.load(folder / "quotes" / f"{slot}-{q.number}.npz")
                       for q in quotes if q.state == "done" and math.isfinite(q.value)}  # fmt: skip
    both = sorted(set(scores[best]) & set(scores[0]))
    entry: dict[str, object] = {"repeats": repeats, "n_diverged": repeats - len(both), "difference": None}
    for name, slot in (("best", best), ("default", 0)):
        known = [scores[slot][r] for r in both]
        entry[name] = average(known).to_json() if known else None
    if best and both:
        entry["difference"] = asdict(difference([scores[best][r] for r in both], [scores[0][r] for r in both]))
    return entry
