"""Where generated and real events differ: findings, regions, observables, constraints, copies of training events."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from reverie.plots.regions import log_weights, observable_means, region_shares
from reverie.plots.style import to_svg
from reverie.report.page import Block, Cell, Details, Picture, Section, Table, Text
from reverie.report.words import count, measured, number, p_value

if TYPE_CHECKING:
    from reverie.validation.classifiers.regions import Located
    from reverie.validation.results.result import ValidationResult
    from reverie.validation.statistics.constraints import ConstraintResult
    from reverie.validation.statistics.memorisation_result import MemorisationResult
    from reverie.validation.statistics.observables import ObservableMeans
    from reverie.validation.statistics.occupancy import Occupancy

__all__ = ["copies_section", "where_section"]


def where_section(result: "ValidationResult") -> Section | None:
    """Return what is wrong and where, or None when there is nothing to show."""
    blocks: list[Block] = []
    if result.findings:
        rows = tuple((Cell(finding.kind), Cell(finding.sentence)) for finding in result.findings)
        blocks.append(Table(("Kind", "What was seen"), rows, "What is wrong, the strongest kind first."))
    elif not result.distinguishes:
        blocks.append(Text("No test distinguishes the samples, so what follows shows fluctuations, no faults.", "note"))
    blocks += _constraints(result.constraints) + _located(result.located)
    blocks += _regions(result.regions) + _observables(result.observables)
    return Section("where", "Where they differ", tuple(blocks), "Where") if len(blocks) > 1 else None


def copies_section(result: "MemorisationResult | None") -> Section | None:
    """Return whether training events were copied, with the closest pairs, or None without training events."""
    if result is None:
        return None
    lines = str(result).splitlines()
    blocks: list[Block] = [Text(lines[0], "warning" if result.memorised else "plain"), *map(Text, lines[1:])]
    rows = tuple(
        tuple(Cell(text, "number") for text in (count(pair.generated), count(pair.train), number(pair.distance)))
        for pair in result.closest
    )
    headers = ("Generated event (row)", "Training event (row)", "Distance, units of the spread")
    if rows:
        blocks.append(Details("The closest pairs", (Table(headers, rows),)))
    return Section("copies", "Copies of training events", tuple(blocks), "Copies")


def _constraints(constraints: Sequence["ConstraintResult"]) -> list[Block]:
    if not constraints:
        return []
    rows = []
    for one in constraints:
        broken = f"{one.fraction:.2%} ({one.low:.2%} … {one.high:.2%})"
        real = f"{one.real_fraction:.2%} of {count(one.n_real)}"
        cells = [Cell(text, "number") for text in (broken, real, p_value(one.p_value))]
        rows.append((Cell(one.name), *cells, Cell("read off" if one.inferred else "given")))
    headers = ("Constraint", "Generated events that break it", "Real events", "p", "Source")
    return [Table(headers, tuple(rows), "Hard constraints, with 95 % intervals.")]


def _located(located: "Located | None") -> list[Block]:
    if located is None:
        return []
    alt = "Histogram of the logarithm of the calibrated weights of real and generated events."
    blocks: list[Block] = [Picture(to_svg(log_weights(located)), alt, located.sentence, wide=True)]
    rows = tuple(
        (
            Cell(" and ".join(str(condition) for condition in box.conditions)),
            *(
                Cell(text, "number")
                for text in (
                    f"{box.share_real:.2%}",
                    f"{box.share_generated:.2%}",
                    f"{box.z:+.1f}",
                    p_value(box.p_adjusted),
                )
            ),
        )
        for box in located.boxes
    )
    if rows:
        headers = ("Where", "Real", "Generated", "z", "p adjusted")
        blocks.append(Table(headers, rows, "Ranges that the classifier found, counted on events that it had not seen."))
    return blocks


def _regions(occupancy: "Occupancy | None") -> list[Block]:
    figure = None if occupancy is None else region_shares(occupancy)
    if occupancy is None or figure is None:
        return []
    caption = (
        f"Shares of events in the regions that differ most, of {len(occupancy.regions)} k-means regions. "
        f"{occupancy.counted}; {len(occupancy.worst)} still do after correction. A mode of less than "
        f"{occupancy.blind_below:.2%} of the events could be missing unseen."
    )
    alt = f"Shares of real and generated events by region; {len(occupancy.worst)} regions differ."
    return [Picture(to_svg(figure), alt, caption, wide=True)]


def _observables(observables: Sequence["ObservableMeans"]) -> list[Block]:
    figure = observable_means(observables)
    if figure is None:
        return []
    alt = f"Deviations of {len(observables)} observables in units of their errors."
    headers = ("Observable", "Real", "Generated", "χ² / components", "Real vs real", "p adjusted")
    rows = []
    for one in observables:
        single = len(one.real) == 1
        real = measured(one.real[0], one.real_error[0]) if single else f"{len(one.real)} components"
        made = measured(one.generated[0], one.generated_error[0]) if single else "–"
        texts = (real, made, f"{number(one.chi2)} / {one.dof}", number(one.real_vs_real), p_value(one.p_adjusted))
        rows.append((Cell(one.name), *(Cell(text, "number") for text in texts)))
    return [Picture(to_svg(figure), alt, wide=True), Table(headers, tuple(rows), "Means of the observables.")]
