"""The results as one HTML file with figures: bars of each row on a logarithmic axis, curves, the table, the machine."""

import statistics
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullFormatter

from benchmarks.speed.suite import FLOOR, OURS
from benchmarks.speed.table import spread
from reverie.plots.style import CRITIC, GENERATED, MUTED, REAL, new_figure, style, to_svg
from reverie.report.page import Block, Cell, Page, Picture, Section, Table, Text, save

__all__ = ["write"]

_COLOURS = (REAL, CRITIC, "#7a6ba8", "#b08d3c")


def write(path: Path, results: dict[str, Any]) -> None:
    """Write the page of results, as kept in speed.json, to `path`."""
    sections = [Section("table", "Every row", _rows(results), short="Table")]
    if results["curves"]:
        sections.append(Section("curves", "Over size", _curves(results), short="Curves"))
    if results["programs"]:
        texts = tuple(b for name, said in results["programs"].items() for b in (Text(name), Text(said, tone="code")))
        sections.append(Section("programs", "Longer programs", texts, short="Programs"))
    sections.append(Section("machine", "The machine", _machine(results), short="Machine"))
    how = results["how"]
    page = Page(
        title="How fast reverie is",
        subtitle="Our time, the peers' in the same run, and the floor of measured products, random numbers and memory.",
        sections=tuple(sections),
        meta=(
            results["machine"]["processor"],
            f"{results['machine']['threads']} of {results['machine']['cores']} cores",
            f"medians of {how['rounds']} rounds by the {how['clock']}'s clock",
        ),
    )
    save(path, page)


def _rows(results: dict[str, Any]) -> tuple[Block, ...]:
    done = [row for row in results["rows"] if row["sides"][0]["seconds"]]
    blocks: list[Block] = []
    if done:
        alt = "Time of each side over that of the floor, row by row"
        caption = "Time over the floor, which is 1; ours in teal. Rows without a floor are over the fastest side."
        blocks.append(Picture(to_svg(_ladder(done)), alt, caption))
    headers = ("task", "side", "ms", "over ours", "ours over it", "first turn, s", "peak, MB")
    lines = tuple(_line(row, side) for row in results["rows"] for side in row["sides"])
    blocks.append(Table(headers, lines, "Median (least .. greatest) of the rounds; ratios are taken within a round."))
    wanted = "; ".join(f"{row['key']}: {row['asked']}" for row in results["rows"] if row["asked"])
    return (*blocks, *([Text(f"Asked: {wanted}.", tone="note")] if wanted else []))


def _line(row: dict[str, Any], side: dict[str, Any]) -> tuple[Cell, ...]:
    first = side is row["sides"][0]
    what = Cell(f"{row['what']}, per {row['unit']}" if first else "")
    if side["error"] or not side["seconds"]:
        return (what, Cell(side["name"]), Cell(side["error"] or "not measured"), *[Cell("")] * 4)
    ratios = [f"{side[key][0]:.2f}" if key in side else "" for key in ("over_ours", "ours_over")]
    of_floor = side["name"] == FLOOR
    more = ["", ""] if of_floor else [f"{side['first_seconds']:.1f}", f"{side['peak_mb']:.0f}"]
    time = spread([1e3 * s for s in side["seconds"]])
    return (what, Cell(side["name"]), *(Cell(text, "number") for text in (time, *ratios, *more)))


def _ladder(rows: list[dict[str, Any]]) -> Figure:
    """Return the times of all sides over the floor, one line for each row."""
    height = 1.0 + 0.44 * len(rows)
    with style():
        figure = new_figure(7.6, height)
        ax = figure.subplots()
        figure.subplots_adjust(left=0.36, right=0.965, top=1 - 0.35 / height, bottom=0.5 / height)
        ax.axvline(1, color=MUTED, lw=0.8, label="floor")
        for y, row in enumerate(reversed(rows)):
            sides = {side["name"]: _median(side) for side in row["sides"] if side["seconds"]}
            unit = sides.pop(FLOOR, min(sides.values()))
            for name, seconds in sides.items():
                ax.plot(seconds / unit, y, zorder=3, **_mark(name, labelled=y == len(rows) - 1))
            named = sorted((s / unit, name) for name, s in sides.items() if not name.startswith((OURS, "JAX")))
            for i, (x, name) in enumerate(named):  # above and below by turns, away from each other, to stay readable
                side = "center" if i % 2 or len(named) < 3 else ("right", "left")[i > 0]
                look = {"textcoords": "offset points", "ha": side, "fontsize": 5.5, "color": MUTED}
                ax.annotate(name, (x, y), (0, -9 if i % 2 else 5), **look)
        ax.set_xscale("log")
        ax.xaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
        ax.xaxis.set_major_formatter(lambda x, _: f"{x:g}")
        ax.xaxis.set_minor_formatter(NullFormatter())
        ax.set_yticks(range(len(rows)), [row["what"] for row in reversed(rows)], fontsize=7)
        ax.set_ylim(-0.6, len(rows) - 0.3)
        ax.set_xlabel("time over the floor")
        ax.legend(loc="lower left", bbox_to_anchor=(0, 1.0), ncols=4, columnspacing=1.2, borderpad=0.1)
    return figure


def _mark(name: str, *, labelled: bool) -> dict[str, Any]:
    """Return how a side is drawn: ours, ours in another way, the bar of JAX, or another."""
    if name.startswith(OURS):
        look = {"marker": "o", "ms": 7, "color": GENERATED, "mfc": GENERATED if name == OURS else "white"}
    else:
        look = {"marker": "s", "ms": 4.5, "color": CRITIC if name.startswith("JAX") else REAL}
    legend = "JAX" if name.startswith("JAX") else name if name.startswith(OURS) else None
    return {**look, "ls": "", "label": legend if labelled else None}


def _median(side: dict[str, Any]) -> float:
    return statistics.median(side["seconds"])


def _curves(results: dict[str, Any]) -> tuple[Block, ...]:
    blocks: list[Block] = []
    for name, curve in results["curves"].items():
        alt = f"Time of a step over {curve['axis']}"
        blocks.append(Picture(to_svg(_curve(curve)), alt, f"{name}: ms of a step over {curve['axis']}."))
    return tuple(blocks)


def _curve(curve: dict[str, Any]) -> Figure:
    names = list(dict.fromkeys(side["name"] for point in curve["points"] for side in point["sides"]))
    with style():
        figure = new_figure(5.2, 3.1)
        ax = figure.subplots()
        figure.subplots_adjust(left=0.13, right=0.97, top=0.86, bottom=0.16)
        others = iter(_COLOURS)
        for name in names:
            colour = {OURS: GENERATED, FLOOR: MUTED}.get(name) or next(others)
            points = [(p["x"], side) for p in curve["points"] for side in p["sides"] if side["name"] == name]
            found = [(x, 1e3 * _median(side)) for x, side in points if side["seconds"]]
            if found:
                line = "--" if name == FLOOR else "o-"
                ax.plot(*zip(*found, strict=True), line, color=colour, label=name, ms=4, lw=1.4)
        ax.set_xscale("log")
        ax.set_yscale("log")
        xs = [point["x"] for point in curve["points"]]
        ax.set_xticks(xs, [f"{x:,}" for x in xs])
        ax.yaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
        ax.yaxis.set_major_formatter(lambda y, _: f"{y:g}")
        for axis in (ax.xaxis, ax.yaxis):
            axis.set_minor_formatter(NullFormatter())
        ax.set_xlabel(curve["axis"])
        ax.set_ylabel("ms per step")
        ax.legend(loc="lower left", bbox_to_anchor=(0, 1.0), ncols=3, fontsize=7, columnspacing=1.2, borderpad=0.1)
    return figure


def _machine(results: dict[str, Any]) -> tuple[Block, ...]:
    machine, rates = results["machine"], results["rates"]
    facts = [(name.replace("_", " "), str(value)) for name, value in machine.items() if value not in (None, [])]
    blocks: list[Block] = [Table(("machine", ""), tuple((Cell(a), Cell(b, "plain")) for a, b in facts))]
    if rates:
        lines = tuple((Cell(name), Cell(f"{value:,.1f}", "number")) for name, value in rates.items())
        blocks.append(Table(("measured rate", ""), lines, "By torch's library, operands in cache."))
    return tuple(blocks)
