"""A search for good options in words and as a page, both made from what tune.json holds.

A score is kept small-is-good. A likelihood is shown the other way round, as log p in nats per event: more is better.
"""

from collections.abc import Sequence

from reverie.plots.tuning import Trial, history, slice_of
from reverie.report.page import (
    Block,
    Details,
    Gallery,
    Page,
    Table,
    Text,
    Tile,
    Verdict,
    sections,
    svg,
    table,
)
from reverie.report.provenance import references_of
from reverie.report.words import JsonObject, aligned, measured, number, p_value

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


def option_text(value: object) -> str:
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
    rows = [[str(t["number"]), _with_error(t, content["by"]), options_text(t)] for t in trials]
    best_first = aligned(["Trial", measure(content["by"]), "Options"], rows[:_MOST_LINES])
    more = [f"... and {len(rows) - _MOST_LINES} more"] if len(rows) > _MOST_LINES else []
    return "\n".join([best_first, *more, "", *sentences(content)])


def sentences(content: JsonObject) -> list[str]:
    """Return what was found, how sure it is, and what became of the other trials."""
    trials, n = content["trials"], f"{len(content['trials'])} trial{'s' * (len(content['trials']) != 1)}"
    counts = {state: sum(trial["state"] == state for trial in trials) for state in _STATES}
    others = ", ".join(f"{count} {_STATES[state]}" for state, count in counts.items() if count)
    rest = [f"Of {n}, {others}."] if others else []
    if content["best"] is None:
        return ["No trial has come to a finite score yet.", *rest]
    best = next(trial for trial in trials if trial["number"] == content["best"])
    lines = [f"Best of {n}: trial {best['number']} ({options_text(best)}).", *_on_quotes(content)]
    if best["gain"] is not None:
        gain = measured(*best["gain"])
        lines.append(
            f"On the events that chose it the gain read {gain}: biased upwards, since of many trials the luckiest wins."
        )
    return lines + rest


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
    quoted, by = content["quoted"], content["by"]
    if quoted is None:
        return ["Its quote is still missing: the same command makes it."]
    diverged = f"{quoted['n_diverged']} of {quoted['repeats']} trainings anew diverged, of one or the other."
    lines = [diverged] if quoted["n_diverged"] else []
    if quoted["best"] is None:
        return [*lines, "Nothing can be quoted."]
    times = "once" if quoted["repeats"] == 1 else f"{quoted['repeats']} times"
    seen = f"Trained anew {times} and judged by events that no trial has seen"
    name, unit = ("log-likelihood", " nats per event") if by == "likelihood" else (measure(by), "")
    best, default = (
        number(shown(quoted[key]["value"], by)) if quoted[key]["error"] is None else _with_error(quoted[key], by)
        for key in ("best", "default")
    )
    if content["best"] == 0:
        return [*lines, f"{seen}, it has a {name} of {best}{unit}. Keep the default."]
    lines.append(f"{seen}, it has a {name} of {best}{unit}; the default has {default}.")
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
    return [*lines, sentence]


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
    references : Pairs (key, BibTeX entry).
    """
    rows = content["rows"]
    meta = (
        f"judged by: {measure(content['by'])}",
        f"rows: {rows['learnt']:,} learnt, {rows['judged']:,} judge trials, {rows['quoted']:,} quoted",
        f"{content['max_steps']:,} steps a training",
    )
    title = f"Options of a {content['model']} for {content['data']}"
    made = sections(
        ("verdict", "Verdict", "", _verdict(content)),
        ("trials", "The trials", "Trials", _trials(content)),
        ("options", "Option by option", "Options", _options(content)),
        ("method", "How it was searched and judged", "Method", _method(content)),
        ("references", "Methods used, and whom to cite", "References", references_of(references)),
    )
    return Page(title, f"{len(content['trials'])} trials", made, meta=meta)


def _verdict(content: JsonObject) -> list[Block]:
    (tone, headline), quoted, tiles = verdict(content), content["quoted"], []
    if quoted is not None and quoted["best"] is not None:
        note = f"{quoted['repeats']} trainings, events that no trial has seen"
        names = {"best": f"Trial {content['best']}"} if content["best"] else {"best": "The default"}
        names |= {"default": "The default"} if content["best"] else {}
        tiles = [Tile(label, _with_error(quoted[key], content["by"]), note) for key, label in names.items()]
        if (difference := quoted["difference"]) is not None:
            parts = f"± {difference['from_events']:.2g} from events"
            if difference["from_training"] is not None:
                parts += f", ± {difference['from_training']:.2g} from training to training"
            tiles.append(Tile("Better by", measured(difference["gain"], difference["error"]), parts))
    return [Verdict(tone, headline, " ".join(sentences(content)), tuple(tiles))]


def _trials(content: JsonObject) -> list[Block]:
    chart = history(_drawn(content), y_label=measure(content["by"]), larger_is_better=content["by"] == "likelihood")
    caption = (
        "Each trial, on the events that judge the trials; the line is the best so far, the square and the dashed line "
        "the default. Bars are standard errors of the difference from the default, event by event: the scatter that "
        "all trials share drops out. Crosses at the edge were stopped early, diverged or could not be tried; triangles "
        "lie beyond the edge."
    )
    alt = f"Chart of the scores of {len(content['trials'])} trials in their order."
    done = [trial for trial in content["trials"] if trial["state"] == "done"]
    done.sort(key=lambda trial: (trial["value"], trial["number"]))
    rest = [*done[_MOST_ROWS:], *(trial for trial in content["trials"] if trial["state"] != "done")]
    blocks: list[Block] = [svg(chart, alt, caption, wide=True), _table(done[:_MOST_ROWS], content)]
    return [*blocks, *([Details(f"The other {len(rest)} trials", (_table(rest, content),))] if rest else [])]


def _options(content: JsonObject) -> list[Block]:
    if content["best"] is None:
        return []
    drawn, look = (
        _drawn(content),
        {"y_label": measure(content["by"]), "larger_is_better": content["by"] == "likelihood"},
    )
    pictures = []
    for name, scale in content["options"].items():
        values = {t["number"]: t["options"].get(name) for t in content["trials"] if t["number"]}
        values[0] = content["default"][name]
        texts = {k: v if scale != "choice" else option_text(v) for k, v in values.items()}
        pictures.append(svg(slice_of(drawn, texts, name=name, scale=scale, **look), f"Score against {name}."))
    caption = (
        "The score of each trial against one option, the others being what they were. Square: the default, where its "
        "value is one of these; dashed: its score. The ring is the winner."
    )
    return [Gallery(tuple(pictures), caption, "large")]


def _method(content: JsonObject) -> list[Block]:
    of_score = _OF_LIKELIHOOD if content["by"] == "likelihood" else _OF_SAMPLES
    default = ", ".join(f"{name} {option_text(value)}" for name, value in content["default"].items())
    blocks: list[Block] = [
        Text(f"{of_score} {_METHOD}"),
        Text(f"Searched: {content['space']}. Default: {default}. Seed {content['seed']}.", "note"),
    ]
    if "configuration" in content:
        blocks.append(Details("best.yaml", (Text(content["configuration"], "code"),)))
    return blocks


def _table(trials: Sequence[JsonObject], content: JsonObject) -> Table:
    names, rows = list(content["options"]), []
    for trial in trials:
        options = content["default"] if trial["number"] == 0 else trial["options"]
        is_done, label = trial["state"] == "done", f"{trial['number']} (default)" if trial["number"] == 0 else None
        score = _with_error(trial, content["by"]) if is_done else score_text(trial, content["by"])
        gain = "–" if trial["gain"] is None else measured(*trial["gain"])
        texts = (option_text(options[name]) if name in options else "–" for name in names)
        rows.append((label or str(trial["number"]), score, gain, *texts, option_text(trial["seconds"])))
    numbers = (measure(content["by"]), "Better than the default by", *names, "Seconds")
    return table({"Trial": "plain"} | dict.fromkeys(numbers, "number"), rows)


def _with_error(score: JsonObject, by: str) -> str:
    return measured(shown(score["value"], by), score["error"])


def _drawn(content: JsonObject) -> list[Trial]:
    """Return the trials as they are drawn, with the errors of their differences from the default where known."""
    drawn = []
    for trial in content["trials"]:
        value = None if trial["value"] is None else shown(trial["value"], content["by"])
        error = None if trial["gain"] is None else trial["gain"][1]
        if trial["state"] != "running":
            drawn.append(Trial(trial["number"], value, error, trial["number"] == content["best"]))
    return drawn
