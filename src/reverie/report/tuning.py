"""A search for good options in words and as a page, both made from what tune.json holds.

A score is kept small-is-good. A likelihood is shown the other way round, as log p in nats per event: more is better.
"""

from collections.abc import Sequence
from typing import Any

from reverie.core.measured import Measured
from reverie.plots.style import to_svg
from reverie.plots.tuning import Trial, history, slice_of
from reverie.report.page import Block, Cell, Details, Gallery, Page, Picture, Section, Table, Text, Tile, Verdict
from reverie.report.provenance import references_section
from reverie.report.words import JsonObject, measured, number, p_value

__all__ = [
    "as_text",
    "measure",
    "option_text",
    "options_text",
    "score_text",
    "sentences",
    "shown",
    "tuning_page",
    "verdict",
]

_LEVEL = 0.05
_MOST_LINES = 10
_STATES = {"stopped": "stopped early", "failed": "could not be tried", "running": "running", "diverged": "diverged"}


def measure(by: str) -> str:
    """Return what a score is called."""
    return "log-likelihood (nats per event)" if by == "likelihood" else "score D of the samples"


def shown(value: float, by: str) -> float:
    """Return a score as it is shown."""
    return -value if by == "likelihood" else value


def score_text(trial: JsonObject, by: str) -> str:
    """Return the score of a trial with its error, or what became of it."""
    if trial["state"] != "done":
        why = f" ({trial['why']})" if trial["state"] == "failed" and trial.get("why") else ""
        return _STATES[trial["state"]] + why
    name = "log-likelihood" if by == "likelihood" else "score"
    return f"{name} {measured(shown(trial['value'], by), trial['error'])}"


def options_text(trial: JsonObject) -> str:
    """Return the options of a trial, such as "learning_rate 0.0021, batch_size 128"."""
    if trial["number"] == 0:
        return "the default"
    return ", ".join(f"{name} {option_text(value)}" for name, value in trial["options"].items())


def option_text(value: Any) -> str:
    """Return the value of an option as a reader wants it."""
    if isinstance(value, float):
        return f"{value:g}"
    if isinstance(value, (list, tuple)):
        return "×".join(str(v) for v in value)
    return "none" if value is None else str(value)


def as_text(content: JsonObject) -> str:
    """Return the best trials as a table, and the sentences, for a terminal."""
    trials = [trial for trial in content["trials"] if trial["state"] == "done"]
    trials.sort(key=lambda trial: (trial["value"], trial["number"]))
    rows = [[str(t["number"]), measured(shown(t["value"], content["by"]), t["error"]), options_text(t)] for t in trials]
    lines = [["Trial", measure(content["by"]), "Options"], *rows[:_MOST_LINES]]
    widths = [max(map(len, column)) for column in list(zip(*lines, strict=True))[:2]]
    table = [f"{a:<{widths[0]}}  {b:<{widths[1]}}  {c}" for a, b, c in lines]
    more = [f"... and {len(rows) - _MOST_LINES} more"] if len(rows) > _MOST_LINES else []
    return "\n".join([*table, *more, "", *sentences(content)])


def sentences(content: JsonObject) -> list[str]:
    """Return what was found, how sure it is, and what became of the other trials."""
    if content["best"] is None:
        return ["No trial has come to a finite score yet.", *_others(content["trials"])]
    best = next(trial for trial in content["trials"] if trial["number"] == content["best"])
    lines = [f"Best of {_counted(content['trials'])}: trial {best['number']} ({options_text(best)})."]
    lines += _on_quotes(content)
    return lines + _on_tuning(content) + _others(content["trials"])


def verdict(content: JsonObject) -> tuple[str, str]:
    """Return the tone ("good", "close", "bad" or "unknown") and the headline."""
    quoted = content["quoted"]
    if content["best"] is None:
        return "unknown", "No trial has come to a finite score"
    if content["best"] == 0:
        return "close", "No trial was better than the default"
    if quoted is None or quoted["difference"] is None:
        return "unknown", f"Trial {content['best']} is the best; it has not been trained anew yet"
    difference = quoted["difference"]
    if difference["p_value"] >= _LEVEL:
        return "close", f"Trial {content['best']} is not told apart from the default"
    if difference["gain"] < 0:
        return "bad", f"Trial {content['best']} is worse than the default"
    return "good", f"Trial {content['best']} is better than the default"


def _on_quotes(content: JsonObject) -> list[str]:
    """Return the sentences on what was trained anew and judged by events that no trial has seen."""
    quoted = content["quoted"]
    if quoted is None:
        return ["Its quote is still missing: the same command makes it."]
    if quoted["n_diverged"]:
        diverged = [f"{quoted['n_diverged']} of {quoted['repeats']} trainings anew diverged, of one or the other."]
    else:
        diverged = []
    if quoted["best"] is None:
        return [*diverged, "Nothing can be quoted."]
    times = "once" if quoted["repeats"] == 1 else f"{quoted['repeats']} times"
    seen = f"Trained anew {times} and judged by events that no trial has seen"
    name = "log-likelihood" if content["by"] == "likelihood" else measure(content["by"])
    unit = " nats per event" if content["by"] == "likelihood" else ""
    best, default = (_quote_text(quoted[key], content["by"]) for key in ("best", "default"))
    if content["best"] == 0:
        return [*diverged, f"{seen}, it has a {name} of {best}{unit}. Keep the default."]
    return [*diverged, f"{seen}, it has a {name} of {best}{unit}; the default has {default}.", *_on_gain(quoted)]


def _on_gain(quoted: JsonObject) -> list[str]:
    difference = quoted["difference"]
    p = p_value(difference["p_value"])
    p = f"p {p}" if p.startswith("<") else f"p = {p}"
    tone = "better" if difference["gain"] > 0 else "worse"
    gain = measured(abs(difference["gain"]), difference["error"])
    if difference["p_value"] >= _LEVEL:
        sentence = f"The two are not told apart: trained so, the winner is {tone} by {gain} ({p}). The default will do."
    else:
        sentence = f"The winner is {tone} than the default by {gain} ({p})."
        sentence += "" if tone == "better" else " Keep the default."
    if difference["from_training"] is None:
        sentence += " One training each: how much another seed would change is not known."
    return [sentence]


def _on_tuning(content: JsonObject) -> list[str]:
    best = next(trial for trial in content["trials"] if trial["number"] == content["best"])
    if best["gain"] is None:
        return []
    gain = measured(*best["gain"])
    return [
        f"On the events that chose it the gain read {gain}: biased upwards, since of many trials the luckiest wins."
    ]


def _others(trials: Sequence[JsonObject]) -> list[str]:
    """Return what became of trials without a score."""
    counts = {state: sum(trial["state"] == state for trial in trials) for state in _STATES}
    others = [f"{n} {_STATES[state]}" for state, n in counts.items() if n]
    return [f"Of {_counted(trials)}, {', '.join(others)}."] if others else []


def _counted(trials: Sequence[Any]) -> str:
    return f"{len(trials)} trial{'s' * (len(trials) != 1)}"


def _quote_text(quote: JsonObject, by: str) -> str:
    if quote["error"] is None:
        return number(shown(quote["value"], by))
    return str(Measured(shown(quote["value"], by), quote["error"])).replace("-", "−")


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


def tuning_page(content: JsonObject, *, references: Sequence[tuple[str, str]] = ()) -> Page:
    """Return the page.

    Parameters
    ----------
    content : Content of tune.json, and under "configuration" the text of best.yaml.
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
    return Page(title, f"{len(content['trials'])} trials", tuple(sections), meta=meta)


def _verdict_section(content: JsonObject) -> Section:
    tone, headline = verdict(content)
    return Section("verdict", "Verdict", (Verdict(tone, headline, " ".join(sentences(content)), _tiles(content)),))


def _tiles(content: JsonObject) -> tuple[Tile, ...]:
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
        difference = quoted["difference"]
        parts = f"± {difference['from_events']:.2g} from events"
        if difference["from_training"] is not None:
            parts += f", ± {difference['from_training']:.2g} from training to training"
        tiles.append(Tile("Better by", measured(difference["gain"], difference["error"]), parts))
    return tuple(tiles)


def _history_section(content: JsonObject) -> Section:
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


def _slices_section(content: JsonObject) -> Section:
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


def _settings_section(content: JsonObject) -> Section:
    of_score = _OF_LIKELIHOOD if content["by"] == "likelihood" else _OF_SAMPLES
    default = ", ".join(f"{name} {option_text(value)}" for name, value in content["default"].items())
    blocks: list[Block] = [
        Text(f"{of_score} {_METHOD}"),
        Text(f"Searched: {content['space']}. Default: {default}. Seed {content['seed']}.", "note"),
    ]
    if "configuration" in content:
        blocks.append(Details("best.yaml", (Text(content["configuration"], "code"),)))
    return Section("method", "How it was searched and judged", tuple(blocks), "Method")


def _table(trials: Sequence[JsonObject], content: JsonObject) -> Table:
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


def _trials(content: JsonObject) -> list[Trial]:
    """Return the trials as they are drawn, with the errors of their differences from the default where known."""
    drawn = []
    for trial in content["trials"]:
        value = None if trial["value"] is None else shown(trial["value"], content["by"])
        error = None if trial["gain"] is None else trial["gain"][1]
        if trial["state"] != "running":
            drawn.append(Trial(trial["number"], value, error, trial["number"] == content["best"]))
    return drawn


def _is_likelihood(content: JsonObject) -> bool:
    return content["by"] == "likelihood"
