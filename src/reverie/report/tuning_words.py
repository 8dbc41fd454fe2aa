"""A search for good options in words: its trials, its winner, and by how much that is better than the default.

A score is kept small-is-good. A likelihood is shown the other way round, as log p in nats per event: more is better.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from reverie.core.measured import Measured
from reverie.report.words import measured, number, p_value

__all__ = ["as_text", "measure", "option_text", "options_text", "score_text", "sentences", "shown", "verdict"]

_LEVEL = 0.05
_MOST_ROWS = 10
_STATES = {"stopped": "stopped early", "failed": "could not be tried", "running": "running", "diverged": "diverged"}


def measure(by: str) -> str:
    """Return what a score is called."""
    return "log-likelihood (nats per event)" if by == "likelihood" else "score D of the samples"


def shown(value: float, by: str) -> float:
    """Return a score as it is shown."""
    return -value if by == "likelihood" else value


def score_text(trial: Mapping[str, Any], by: str) -> str:
    """Return the score of a trial with its error, or what became of it."""
    if trial["state"] != "done":
        why = f" ({trial['why']})" if trial["state"] == "failed" and trial.get("why") else ""
        return _STATES[trial["state"]] + why
    name = "log-likelihood" if by == "likelihood" else "score"
    return f"{name} {measured(shown(trial['value'], by), trial['error'])}"


def options_text(trial: Mapping[str, Any]) -> str:
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


def as_text(content: Mapping[str, Any]) -> str:
    """Return the best trials as a table, and the sentences, for a terminal."""
    trials = [trial for trial in content["trials"] if trial["state"] == "done"]
    trials.sort(key=lambda trial: (trial["value"], trial["number"]))
    rows = [[str(t["number"]), measured(shown(t["value"], content["by"]), t["error"]), options_text(t)] for t in trials]
    lines = [["Trial", measure(content["by"]), "Options"], *rows[:_MOST_ROWS]]
    widths = [max(map(len, column)) for column in list(zip(*lines, strict=True))[:2]]
    table = [f"{a:<{widths[0]}}  {b:<{widths[1]}}  {c}" for a, b, c in lines]
    more = [f"... and {len(rows) - _MOST_ROWS} more"] if len(rows) > _MOST_ROWS else []
    return "\n".join([*table, *more, "", *sentences(content)])


def sentences(content: Mapping[str, Any]) -> list[str]:
    """Return what was found, how sure it is, and what became of the other trials."""
    if content["best"] is None:
        return ["No trial has come to a finite score yet.", *_others(content["trials"])]
    best = next(trial for trial in content["trials"] if trial["number"] == content["best"])
    said = [f"Best of {_counted(content['trials'])}: trial {best['number']} ({options_text(best)})."]
    said += _on_quotes(content)
    return said + _on_tuning(content) + _others(content["trials"])


def verdict(content: Mapping[str, Any]) -> tuple[str, str]:
    """Return the tone ("good", "close", "bad" or "unknown") and the headline."""
    quoted = content["quoted"]
    if content["best"] is None:
        return "unknown", "No trial has come to a finite score"
    if content["best"] == 0:
        return "close", "No trial was better than the default"
    if quoted is None or quoted["difference"] is None:
        return "unknown", f"Trial {content['best']} is the best; it has not been trained anew yet"
    found = quoted["difference"]
    if found["p_value"] >= _LEVEL:
        return "close", f"Trial {content['best']} is not told apart from the default"
    if found["gain"] < 0:
        return "bad", f"Trial {content['best']} is worse than the default"
    return "good", f"Trial {content['best']} is better than the default"


def _on_quotes(content: Mapping[str, Any]) -> list[str]:
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


def _on_gain(quoted: Mapping[str, Any]) -> list[str]:
    found = quoted["difference"]
    p = p_value(found["p_value"])
    p = f"p {p}" if p.startswith("<") else f"p = {p}"
    tone = "better" if found["gain"] > 0 else "worse"
    gain = measured(abs(found["gain"]), found["error"])
    if found["p_value"] >= _LEVEL:
        said = f"The two are not told apart: trained so, the winner is {tone} by {gain} ({p}). The default will do."
    else:
        said = f"The winner is {tone} than the default by {gain} ({p})."
        said += "" if tone == "better" else " Keep the default."
    if found["from_training"] is None:
        said += " One training each: how much another seed would change is not known."
    return [said]


def _on_tuning(content: Mapping[str, Any]) -> list[str]:
    best = next(trial for trial in content["trials"] if trial["number"] == content["best"])
    if best["gain"] is None:
        return []
    gain = measured(*best["gain"])
    return [
        f"On the events that chose it the gain read {gain}: biased upwards, since of many trials the luckiest wins."
    ]


def _others(trials: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return what became of trials without a score."""
    counts = {state: sum(trial["state"] == state for trial in trials) for state in _STATES}
    told = [f"{n} {_STATES[state]}" for state, n in counts.items() if n]
    return [f"Of {_counted(trials)}, {', '.join(told)}."] if told else []


def _counted(trials: Sequence[Any]) -> str:
    return f"{len(trials)} trial{'s' * (len(trials) != 1)}"


def _quote_text(quote: Mapping[str, Any], by: str) -> str:
    if quote["error"] is None:
        return number(shown(quote["value"], by))
    return str(Measured(shown(quote["value"], by), quote["error"])).replace("-", "−")
