"""A search for good options as a page, made from what tune.json holds."""

from collections.abc import Mapping, Sequence
from typing import Any

from reverie.plots.style import to_svg
from reverie.plots.tuning import Trial, history, slice_of
from reverie.report.origin import references_section
from reverie.report.page import Block, Cell, Details, Gallery, Page, Picture, Section, Table, Text, Tile, Verdict
from reverie.report.tuning_words import (
    as_text,
    measure,
    option_text,
    score_text,
    sentences,
    shown,
    verdict,
)
from reverie.report.words import measured

__all__ = ["as_text", "tuning_page"]

_MOST_ROWS = 15
_METHOD = (
    "The rows are split in three. The trials learn the first part and are judged by the second. The winner is picked "
    "by its score there, which is therefore too good: among many trials with errors the luckiest wins. Hence winner "
    "and default are trained anew on the first two parts, with seeds that both share, and quoted on the third part, "
    "which no trial has seen. The error of their difference has two parts, added in squares: the scatter of the "
    "difference from event to event, and that from training to training; the p-value is two-sided, from Student’s t "
    "with degrees of freedom after Welch and Satterthwaite. Searching on after having seen the quote, and quoting "
    "again, makes the quote a little too good as well."
)
_OF_LIKELIHOOD = "The score is the mean log p of held-out events in nats, in the units of the data; more is better."
_OF_SAMPLES = (
    "The score D compares generated with held-out events, a generalised energy distance over all widths: 0 in "
    "expectation for a perfect generator, about 1 where all samples sit on one point; less is better."
)


def tuning_page(content: Mapping[str, Any], *, references: Sequence[tuple[str, str]] = ()) -> Page:
    """Return the page.

    Parameters
    ----------
    content : what tune.json holds, and under "configuration" the text of best.yaml.
    references : pairs (key, BibTeX entry).
    """
    sections = [_verdict_section(content), _history_section(content)]
    if content["best"] is not None:
        sections.append(_slices_section(content))
    sections.append(_settings_section(content))
    if references:
        sections.append(references_section(references))
    rows = content["rows"]
    meta = (
        f"judged by: {measure(content['by'])}",
        f"rows: {rows['learnt']:,} learnt, {rows['judged']:,} judge trials, {rows['quoted']:,} quoted",
        f"{content['max_steps']:,} steps a training",
    )
    title = f"Options of a {content['model']} for {content['data']}"
    footer = "One self-contained file: no scripts, and nothing is loaded from elsewhere."
    return Page(title, f"{len(content['trials'])} trials", tuple(sections), footer, meta)


def _verdict_section(content: Mapping[str, Any]) -> Section:
    tone, headline = verdict(content)
    return Section("verdict", "Verdict", (Verdict(tone, headline, " ".join(sentences(content)), _tiles(content)),))


def _tiles(content: Mapping[str, Any]) -> tuple[Tile, ...]:
    quoted, by = content["quoted"], content["by"]
    if quoted is None or quoted["best"] is None:
        return ()
    note = f"{quoted['repeats']} trainings, events that no trial has seen"
    names = (
        {"best": f"Trial {content['best']}", "default": "The default"} if content["best"] else {"best": "The default"}
    )
    tiles = [
        Tile(label, measured(shown(quoted[key]["value"], by), quoted[key]["error"]), note)
        for key, label in names.items()
    ]
    if quoted["difference"] is not None:
        found = quoted["difference"]
        parts = f"± {found['from_events']:.2g} from events"
        if found["from_training"] is not None:
            parts += f", ± {found['from_training']:.2g} from training to training"
        tiles.append(Tile("Better by", measured(found["gain"], found["error"]), parts))
    return tuple(tiles)


def _history_section(content: Mapping[str, Any]) -> Section:
    chart = to_svg(history(_trials(content), y_label=measure(content["by"]), larger_is_better=_is_likelihood(content)))
    caption = (
        "Each trial, on the events that judge the trials; the line is the best so far, the square and the dashed line "
        "the default. Bars are standard errors of the difference from the default, event by event: the scatter that "
        "all trials share drops out. Crosses at the edge were stopped early, diverged or could not be tried; triangles "
        "lie beyond the edge."
    )
    alt = f"Chart of the scores of {len(content['trials'])} trials in their order."
    done = [trial for trial in content["trials"] if trial["state"] == "done"]
    done.sort(key=lambda trial: (trial["value"], trial["number"]))
    others = [trial for trial in content["trials"] if trial["state"] != "done"]
    blocks: list[Block] = [Picture(chart, alt, caption, wide=True), _table(done[:_MOST_ROWS], content)]
    if len(done) + len(others) > min(len(done), _MOST_ROWS):
        rest = [*done[_MOST_ROWS:], *others]
        blocks.append(Details(f"The other {len(rest)} trials", (_table(rest, content),)))
    return Section("trials", "The trials", tuple(blocks), "Trials")


def _slices_section(content: Mapping[str, Any]) -> Section:
    trials, by = _trials(content), content["by"]
    pictures = []
    for name, scale in content["options"].items():
        values = {t["number"]: t["options"].get(name) for t in content["trials"] if t["number"]}
        values[0] = content["default"][name]
        figure = slice_of(
            trials,
            {k: v if scale != "choice" else option_text(v) for k, v in values.items()},
            name=name,
            scale=scale,
            y_label=measure(by),
            larger_is_better=_is_likelihood(content),
        )
        pictures.append(Picture(to_svg(figure), f"Score against {name}."))
    caption = (
        "The score of each trial against one option, the others being what they were. Square: the default, where its "
        "value is one of these; dashed: its score. The ring is the winner."
    )
    return Section("options", "Option by option", (Gallery(tuple(pictures), caption, "large"),), "Options")


def _settings_section(content: Mapping[str, Any]) -> Section:
    of_score = _OF_LIKELIHOOD if content["by"] == "likelihood" else _OF_SAMPLES
    default = ", ".join(f"{name} {option_text(value)}" for name, value in content["default"].items())
    blocks: list[Block] = [
        Text(f"{of_score} {_METHOD}"),
        Text(f"Searched: {content['space']}. Default: {default}. Seed {content['seed']}.", "note"),
    ]
    if "configuration" in content:
        blocks.append(Details("best.yaml", (Text(content["configuration"], "code"),)))
    return Section("method", "How it was searched and judged", tuple(blocks), "Method")


def _table(trials: Sequence[Mapping[str, Any]], content: Mapping[str, Any]) -> Table:
    names = list(content["options"])
    headers = ("Trial", measure(content["by"]), "Better than the default by", *names, "Seconds")
    rows = []
    for trial in trials:
        options = content["default"] if trial["number"] == 0 else trial["options"]
        score = score_text(trial, content["by"])
        if trial["state"] == "done":
            score = measured(shown(trial["value"], content["by"]), trial["error"])
        cells = [Cell(option_text(options[name]) if name in options else "–", "number") for name in names]
        label = f"{trial['number']} (default)" if trial["number"] == 0 else str(trial["number"])
        gain = "–" if trial["gain"] is None else measured(*trial["gain"])
        figures = (Cell(score, "number"), Cell(gain, "number"))
        rows.append((Cell(label), *figures, *cells, Cell(option_text(trial["seconds"]), "number")))
    return Table(headers, tuple(rows))


def _trials(content: Mapping[str, Any]) -> list[Trial]:
    """Return the trials as they are drawn, with the errors of their differences from the default where known."""
    drawn = []
    for trial in content["trials"]:
        value = None if trial["value"] is None else shown(trial["value"], content["by"])
        error = None if trial["gain"] is None else trial["gain"][1]
        if trial["state"] != "running":
            drawn.append(Trial(trial["number"], value, error, trial["number"] == content["best"]))
    return drawn


def _is_likelihood(content: Mapping[str, Any]) -> bool:
    return content["by"] == "likelihood"
