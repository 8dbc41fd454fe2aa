"""A comparison of runs as text and as a page, both made from what comparison.json holds.

With up to `MOST_PAIRS` pairs of runs each has its sentence; with more, the best run is set against the others in two
sentences. The page has a table of them all.
"""

from collections.abc import Mapping, Sequence
from typing import TypeAlias

from reverie.plots.comparison import Bar, comparison
from reverie.report.page import Block, Details, Page, Table, Text, Tile, Verdict, sections, svg, table
from reverie.report.words import JsonObject, aligned, events, measured, number, p_value

__all__ = ["MOST_PAIRS", "as_text", "comparison_page", "sentences"]

Values: TypeAlias = Mapping[str, tuple[float, float | None]]

MOST_PAIRS = 6
_AUC = "AUC"
_SHORT = ("Rank", "Run", "Model", "{by}", "Real vs real", "Global p", "Events to tell apart", "Training")
_METHOD = (
    "Two runs are compared by z = difference / √(error₁² + error₂²), two-sided, and the p-values of all pairs are "
    "corrected together by Holm’s method. Runs that were judged by the same real events have correlated errors, which "
    "z leaves out: it is too small, by up to √2, where both generators err in one direction, and too large, by up to "
    "1.22, where they err in opposite directions."
)
_RECIPES = (
    "The errors above are those of the test of one trained generator. Another seed gives another generator: which "
    "configuration is better is asked of groups of runs that differ in nothing but the seed. Errors are standard "
    "errors of the mean over the runs; groups of at least two are compared by Welch’s t-test, corrected by Holm’s "
    "method."
)


def as_text(content: JsonObject) -> str:
    """Return the tables and the sentences for a terminal."""
    parts = [aligned(*_ranking(content))]
    headers, rows = _statistics(content)
    if len(headers) > 1:
        parts.append(aligned(headers, rows))
    if content["groups"]:
        parts.append(aligned(*_groups(content)))
    parts.append("\n".join(content["sentences"]))
    if content["notes"]:
        parts.append("\n".join(f"Note: {note}" for note in content["notes"]))
    return "\n\n".join(parts)


def sentences(content: JsonObject) -> list[str]:
    """Return what is significant and what is not: sentences on runs, then on groups of them."""
    return [*_on_runs(content), *_on_groups(content)]


def comparison_page(content: JsonObject) -> Page:
    """Return the page of what comparison.json holds."""
    runs = content["runs"]
    meta = (f"ranked by: {content['by']}", f"level: {content['alpha']:g}", f"pairs: {len(content['pairs'])}")
    title = f"{len(runs)} runs compared"
    shown = sections(
        ("verdict", "Verdict", "", _verdict(content)),
        ("ranking", "The runs, best first", "Ranking", _runs(content)),
        ("pairs", "Which differences are significant", "Pairs", _pairs(content)),
        ("configurations", "Configurations, over seeds", "Seeds", _configurations(content)),
        ("differences", "What differs between the runs", "Differences", _differences(content)),
    )
    return Page(title, _listed([run["name"] for run in runs]), shown, meta=meta)


def _ranking(content: JsonObject) -> tuple[list[str], list[list[str]]]:
    by, rows = content["by"], []
    for run in content["runs"]:
        bound = run["n_distinguish_is_lower_bound"]
        needed = f"> {events(run['n_distinguish_low'])}" if bound else events(run["n_distinguish"])
        p = p_value(run["p_value"], run["n_permutations"])
        rows.append([run["rank"], run["name"], run["model"], *_score_texts(run["scores"][by]), p, needed, run["time"]])
    return [header.format(by=by) for header in _SHORT], rows


def _statistics(content: JsonObject) -> tuple[list[str], list[list[str]]]:
    """The other statistics of all columns together, real against real in brackets."""
    names = [name for name in content["statistics"] if name != content["by"]]
    rows = []
    for run in content["runs"]:
        scores = [_score_texts(run["scores"][name]) for name in names]
        rows.append([run["name"], *(f"{value} ({real})" for value, real in scores)])
    return ["Run", *(f"{name} (real)" for name in names)], rows


def _groups(content: JsonObject) -> tuple[list[str], list[list[str]]]:
    rows = [
        [
            group["name"],
            str(len(group["runs"])),
            _measured(group["mean"], group["error"]),
            _listed(sorted(group["runs"])),
        ]
        for group in content["groups"]
    ]
    return ["Configuration", "Runs", f"Mean {content['by']}", "Names"], rows


def _score_texts(score: JsonObject) -> tuple[str, str]:
    return _measured(score["value"], score["error"]), _measured(score["real_vs_real"], score["real_vs_real_error"])


def _on_runs(content: JsonObject) -> list[str]:
    pairs, best = content["pairs"], content["runs"][0]["name"]
    values = {run["name"]: _value(run, content) for run in content["runs"]}
    known = [pair for pair in pairs if pair["p_adjusted"] is not None]
    if len(pairs) <= MOST_PAIRS:
        return [_sentence(pair, values, content["by"], len(known)) for pair in known]
    alike = [pair for pair in known if pair["better"] == best and not pair["is_significant"]]
    worse = [pair for pair in known if pair["better"] == best and pair["is_significant"]]
    lines = []
    if alike:
        least = min(pair["p_adjusted"] for pair in alike)
        lines.append(
            f"{best} is not told apart from {_listed([pair['worse'] for pair in alike])} ({_p(least, 'or more')})."
        )
    if worse:
        largest = max(pair["p_adjusted"] for pair in worse)
        lines.append(f"{best} is better than {_listed([pair['worse'] for pair in worse])} ({_p(largest, 'or less')}).")
    if known:
        n_different = sum(pair["is_significant"] for pair in known)
        lines.append(
            f"Of {len(known)} pairs of runs {n_different} differ significantly; p-values are corrected for them all."
        )
    return lines


def _on_groups(content: JsonObject) -> list[str]:
    pairs = content["group_pairs"]
    if len(content["groups"]) > 1 and not pairs:
        return ["Some configurations have one run only: train them with another --seed to compare configurations."]
    values = {group["name"]: (group["mean"], group["error"]) for group in content["groups"]}
    n_tested = sum(pair["p_adjusted"] is not None for pair in pairs)
    return [_sentence(pair, values, content["by"], n_tested) for pair in pairs]


def _sentence(pair: JsonObject, values: Values, by: str, n_pairs: int) -> str:
    better, worse = pair["better"], pair["worse"]
    if pair["p_adjusted"] is None:
        return f"{better} and {worse}: no spread between their runs, and so no test."
    p = _p(pair["p_adjusted"])
    if not pair["is_significant"]:
        return f"{better} and {worse} are not told apart ({p})."
    corrected = f" after Holm’s correction for {n_pairs} pairs" if n_pairs > 1 else ""
    figures = f"{by} {_measured(*values[better])} against {_measured(*values[worse])}"
    return f"{better} is better than {worse} ({figures}, {p}{corrected})."


def _p(p: float, more: str = "") -> str:
    text = p_value(p)
    return f"p {text}" if text.startswith("<") else f"p = {text} {more}".rstrip()


def _measured(value: float | None, error: float | None) -> str:
    return number(value) if error is None else measured(value, error)


def _listed(names: Sequence[str], most: int = 8) -> str:
    return ", ".join(names) if len(names) <= most else f"{', '.join(names[: most - 1])}, … ({len(names)} in all)"


def _verdict(content: JsonObject) -> list[Block]:
    runs, pairs = content["runs"], content["pairs"]
    best, known = runs[0], [pair for pair in pairs if pair["p_adjusted"] is not None]
    tied = [run["name"] for run in runs if run["rank"] == "=1"]
    if not known:
        tone, headline = "unknown", f"{best['name']} has the smallest {content['by']}; no error is known"
    elif tied:
        tone, headline = "close", f"{_listed(tied, 3)} share the first place"
    else:
        tone, headline = "good", f"{best['name']} is the best"
    n_different = sum(pair["is_significant"] for pair in known)
    differ = f"{n_different} of {len(pairs)}" if known else "not tested"
    tiles = (
        Tile(f"Smallest {content['by']}", _measured(*_value(best, content)), f"of {best['name']}"),
        Tile(f"Largest {content['by']}", _measured(*_value(runs[-1], content)), f"of {runs[-1]['name']}"),
        Tile("Pairs that differ", differ, f"at the level {content['alpha']:g}, Holm"),
    )
    blocks: list[Block] = [Verdict(tone, headline, " ".join(_on_runs(content)), tiles)]
    return [*blocks, *([Text("\n".join(content["notes"]), "warning")] if content["notes"] else [])]


def _runs(content: JsonObject) -> list[Block]:
    by, best = content["by"], content["runs"][0]["name"]
    worse = {pair["worse"] for pair in content["pairs"] if pair["better"] == best and pair["is_significant"]}
    bars = [Bar(run["name"], **run["scores"][by], is_worse=run["name"] in worse) for run in content["runs"]]
    caption = (
        "Each run with its standard error; squares, and the grey bands of one standard error, are real against real."
    )
    chart = comparison(bars, statistic=by, chance=0.5 if by == _AUC else None)
    blocks: list[Block] = [svg(chart, f"Chart of the {by} of {len(bars)} runs.", caption, wide=True)]
    blocks.append(_table(*_ranking(content), "“=1”: not told apart from the best.", words=("Run", "Model")))
    headers, rows = _statistics(content)
    if len(headers) > 1:
        blocks.append(_table(headers, rows, "The other statistics, real against real in brackets.", words=("Run",)))
    paths = [[run["name"], run["path"], str(run["seed"])] for run in content["runs"]]
    folders = _table(["Run", "Folder", "Seed"], paths, words=("Run", "Folder"))
    return [*blocks, Details("Folders and seeds", (folders,))]


def _pairs(content: JsonObject) -> list[Block]:
    pairs, best = content["pairs"], content["runs"][0]["name"]
    if all(pair["p_adjusted"] is None for pair in pairs):
        return []
    if len(pairs) <= MOST_PAIRS:
        return [Text(_METHOD), _pair_table(pairs, "z")]
    first = _pair_table([pair for pair in pairs if pair["better"] == best], "z")
    return [Text(_METHOD), first, Details(f"All {len(pairs)} pairs", (_pair_table(pairs, "z"),))]


def _configurations(content: JsonObject) -> list[Block]:
    if not content["groups"]:
        return []
    by, best = content["by"], content["groups"][0]["name"]
    worse = {pair["worse"] for pair in content["group_pairs"] if pair["better"] == best and pair["is_significant"]}
    bars = [Bar(g["name"], g["mean"], g["error"], is_worse=g["name"] in worse) for g in content["groups"]]
    chart = comparison(bars, statistic=f"mean {by}", chance=0.5 if by == _AUC else None)
    blocks: list[Block] = [
        Text(_RECIPES),
        svg(chart, f"Chart of the mean {by} of {len(bars)} configurations.", wide=True),
    ]
    blocks.append(_table(*_groups(content), words=("Configuration", "Names")))
    blocks += [Text(" ".join(_on_groups(content)))] if len(content["groups"]) > 1 else []
    return [*blocks, *([_pair_table(content["group_pairs"], "t")] if content["group_pairs"] else [])]


def _differences(content: JsonObject) -> list[Block]:
    names = [run["name"] for run in content["runs"]]
    rows = []
    for key, values in content["differences"].items():
        texts = ("none" if values.get(name, "") is None else str(values.get(name, "–")) for name in names)
        rows.append((key, *texts))
    columns = {"Key": "code"} | dict.fromkeys(names, "number")
    return [table(columns, rows, "Keys of config.yaml that are not the same in all runs.")] if rows else []


def _pair_table(pairs: Sequence[JsonObject], distance: str) -> Table:
    rows = []
    for pair in pairs:
        figures = (number(pair["difference"]), number(pair["distance"]), p_value(pair["p_value"]))
        answer = "not tested" if pair["p_adjusted"] is None else "yes" if pair["is_significant"] else "no"
        rows.append((pair["better"], pair["worse"], *figures, p_value(pair["p_adjusted"]), answer))
    headers = ("Better", "Worse", "Difference", distance, "p", "p adjusted", "Significant")
    return _table(headers, rows, words=("Better", "Worse", "Significant"))


def _table(headers: Sequence[str], rows: Sequence[Sequence[str]], caption: str = "", *, words: Sequence[str]) -> Table:
    """Return a table of texts; all columns but those of `words` hold numbers."""
    return table({header: "plain" if header in words else "number" for header in headers}, rows, caption)


def _value(run: JsonObject, content: JsonObject) -> tuple[float, float | None]:
    score = run["scores"][content["by"]]
    return score["value"], score["error"]
