"""What a study has found: the winner as a configuration, the figures in tune.json, and the page."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from reverie.core.bibliography import BIBLIOGRAPHY
from reverie.experiment.config import RunConfig
from reverie.experiment.folder import write_json, write_text
from reverie.experiment.inputs import Inputs
from reverie.experiment.search_space import Range, search_space
from reverie.experiment.study import Slot, Study
from reverie.experiment.tune_folder import StudySettings
from reverie.experiment.tune_scores import Scored, average, difference
from reverie.experiment.yardstick import split_off

__all__ = ["best_slot", "configured", "results", "trial_entry", "write_results"]


def best_slot(slots: Sequence[Slot]) -> Slot | None:
    """Return the trial with the least score, the first of equals; None without a finite one."""
    scored = [slot for slot in slots if slot.state == "done" and math.isfinite(slot.value)]
    return min(scored, key=lambda slot: (slot.value, slot.number), default=None)


def configured(config: RunConfig, options: Mapping[str, Any], *, seed: int | None = None) -> RunConfig:
    """Return `config` with other options of the model, and with another seed if one is given."""
    model = {**config.model, **options}
    return replace(config, model=model, seed=config.seed if seed is None else seed)


def write_results(folder: Path, settings: StudySettings, inputs: Inputs) -> str:
    """Write best.yaml, tune.json and tune.html from what the study knows; return the sentences for a terminal."""
    from reverie.report.html import save
    from reverie.report.tuning import as_text, tuning_page

    content = results(folder, settings, inputs)
    write_json(folder / "tune.json", content)
    lines = [as_text(content)]
    if content["best"] is not None:
        best = next(trial for trial in content["trials"] if trial["number"] == content["best"])
        text = configured(settings.run, best["options"]).to_yaml()
        write_text(folder / "best.yaml", f"# reverie run --config {folder / 'best.yaml'} --out runs/best\n{text}")
        lines.append(f"best: {folder / 'best.yaml'}")
        content["configuration"] = text
    lines.append(f"page: {save(folder / 'tune.html', tuning_page(content, references=_references()))}")
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
        "options": {name: _scale(option) for name, option in space.options.items()},
        "default": {name: settings.run.model_options[name] for name in space.options},
        "rows": {"learnt": len(learnt), "judged": len(judged), "quoted": len(inputs.held_out)},
        "seed": settings.run.seed,
        "tune_fraction": settings.tune_fraction,
        "max_steps": settings.run.model_options["max_steps"],
        "trials": [{**trial_entry(slot), "gain": _gain(folder / "scores", slot)} for slot in slots],
        "best": None if best is None else best.number,
        "quoted": None if best is None else _quoted(folder, best.number, settings.repeats),
    }


def _scale(option: Any) -> str:
    return ("log" if option.is_log else "linear") if isinstance(option, Range) else "choice"


def trial_entry(slot: Slot) -> dict[str, Any]:
    """Return what tune.json says of a trial."""
    is_finite = slot.state == "done" and math.isfinite(slot.value)
    state = "diverged" if slot.state == "done" and not is_finite else slot.state
    told = {key: slot.notes.get(key) for key in ("error", "seconds", "why")}
    return {
        "number": slot.number,
        "state": state,
        "value": slot.value if is_finite else None,
        "options": dict(slot.notes.get("options", {})),
        **told,
    }


def _gain(folder: Path, slot: Slot) -> list[float] | None:
    """Return by how much a trial is better than the default on the events that judge both, with the error."""
    files = [folder / f"{number}.npz" for number in (slot.number, 0)]
    if slot.number == 0 or not math.isfinite(slot.value) or not all(file.is_file() for file in files):
        return None
    found = difference(*([Scored.load(file)] for file in files))
    return [found.gain, found.error]


def _quoted(folder: Path, best: int, repeats: int) -> dict[str, Any] | None:
    """Return winner and default as trained anew, and their difference; None before all of it is done."""
    found = {}
    for slot in dict.fromkeys((best, 0)):
        told = Study(folder, f"quotes of {slot}").slots()
        if sum(quote.state == "done" for quote in told) < repeats:
            return None
        found[slot] = {q.number: Scored.load(folder / "quotes" / f"{slot}-{q.number}.npz")
                       for q in told if q.state == "done" and math.isfinite(q.value)}  # fmt: skip
    both = sorted(set(found[best]) & set(found[0]))
    entry: dict[str, Any] = {"repeats": repeats, "n_diverged": repeats - len(both), "difference": None}
    for name, slot in (("best", best), ("default", 0)):
        known = [found[slot][r] for r in both]
        entry[name] = average(known).to_json() if known else None
    if best and both:
        entry["difference"] = asdict(difference([found[best][r] for r in both], [found[0][r] for r in both]))
    return entry


def _references() -> list[tuple[str, str]]:
    return [(key, BIBLIOGRAPHY[key]) for key in ("reverie", "akiba2019", "bergstra2011")]
