"""The verdict, the tests it rests on, and where generated and real events differ.

The colour follows fixed rules, printed on the page:

* good (green): the global p-value is above the level of the validation (0.05 unless set otherwise);
* close (amber): it is not, but the classifier's AUC is at most 0.60;
* bad (red): it is not, and the AUC is above 0.60 or unknown;
* unknown (grey): nothing was tested.
"""

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from reverie.plots.regions import log_weights, observable_means, region_shares
from reverie.plots.style import to_svg
from reverie.plots.validation import auc, checks_in_noise_units, choose_checks, importances
from reverie.report.page import Block, Cell, Details, Gallery, Picture, Section, Table, Text, Tile, Verdict
from reverie.report.words import count, events, measured, number, p_value

if TYPE_CHECKING:
    from reverie.validation.classifiers.regions import Located
    from reverie.validation.power.biases import Bias
    from reverie.validation.power.events_needed import EventsNeeded
    from reverie.validation.results.result import ValidationResult
    from reverie.validation.results.tests import ClassifierResult, TestResult
    from reverie.validation.statistics.constraints import ConstraintResult
    from reverie.validation.statistics.memorisation import MemorisationResult
    from reverie.validation.statistics.observables import ObservableMeans
    from reverie.validation.statistics.occupancy import Occupancy

__all__ = ["copies_section", "tone", "validation_section", "verdict_section", "where_section"]

_CLOSE_AUC = 0.60

_HEADLINES = {
    "good": "No difference found at this sample size",
    "close": "Close to the real data, but distinguishable",
    "bad": "Distinguishable from the real data",
    "unknown": "Not validated",
}
_HEADERS = ("Statistic", "Column", "Value", "Noise, 5–95 %", "Real vs real", "p", "p adjusted", "Distinguishes")
_EXPLANATION = (
    "Each p-value is the fraction of random relabellings of real and generated events that give a statistic at least "
    "as large, (1 + k)/(B + 1); all tests see the same relabellings. Adjusted p-values account for the number of tests "
    "with these (Westfall and Young, step-down): by feature within a test, and among the tests of all features. The "
    "noise band holds the central 90 % of the relabellings; errors are those of the jackknife and cover both samples. "
    "The column “real vs real” is the same statistic between two real samples of equal size: what a perfect generator "
    "would score. The p-value of a classifier is that of a rank test of its scores on fresh events. The global one is "
    "the smallest of the battery’s (min-P over all of its tests), the classifiers’ and the constraints’, times their "
    "number; the verdict names the one it comes from."
)
_BIASES = 9
_REACH = (
    "From how many events the difference shows. A test sees it when it rejects at 5 % with 80 % power in samples of N "
    "independent events of either class; a better test may need fewer, and a comparison with a law known exactly half "
    "as many. A bias equals the statistical error of an analysis of N events: its mean, its width (standard "
    "deviation), its tails (share beyond the 1 % and 99 % quantiles of real events). The limits hold for all tests, "
    "and for all biases, at once."
)
_RULE = (
    "Green: the global p-value, which combines all tests and the classifier, is above the level (0.05 unless set "
    "otherwise). Amber: it is not, but the classifier’s AUC is at most 0.60. Red: it is not, and the AUC is above 0.60 "
    "or unknown. No difference found is no proof of equality: more events see smaller differences."
)


def tone(result: "ValidationResult | None") -> str:
    """Return "good", "close", "bad" or, without a result, "unknown", by the rules above."""
    if result is None:
        return "unknown"
    if not result.distinguishes:
        return "good"
    return "close" if result.auc is not None and result.auc.value <= _CLOSE_AUC else "bad"


def verdict_section(result: "ValidationResult | None", *, unvalidated: str = "", warning: str = "") -> Section:
    """Return the first section: the verdict in words and its headline numbers.

    Parameters
    ----------
    result : Result of the validation, or None.
    unvalidated : why there is none.
    warning : a sentence to stand below the verdict, such as on alarms in training.
    """
    kind = tone(result)
    warned: list[Block] = [Text(warning, "warning")] if warning else []
    if result is None:
        sentence = unvalidated or (
            "There is no validation result in this report. Run reverie validate before you trust the samples."
        )
        return Section("verdict", "Verdict", (Verdict(kind, _HEADLINES[kind], sentence), *warned))
    blocks: list[Block] = [Verdict(kind, _HEADLINES[kind], str(result.verdict), _tiles(result)), *warned]
    if result.warnings:
        blocks.append(Text("\n".join(result.warnings), "warning"))
    blocks.append(Details("How the colour is chosen", (Text(_RULE, "note"),)))
    return Section("verdict", "Verdict", tuple(blocks))


def validation_section(result: "ValidationResult") -> Section:
    """Return the section with the charts, the table of all tests, and their meaning in small print."""
    blocks: list[Block] = [Text(_EXPLANATION)]
    chart = checks_in_noise_units(result.checks)
    if chart is not None:
        n_distinguish = sum(check.distinguishes for check in result.checks)
        alt = f"Chart of {len(result.checks)} test statistics in units of their noise; {n_distinguish} distinguish."
        caption = (
            "Every statistic in units of its own noise: the grey band is what chance gives when real and generated "
            "events are relabelled at random. p-values are adjusted for the number of tests."
        )
        blocks.append(Picture(to_svg(chart), alt, caption, wide=True))
    blocks += _classifier_blocks(result.auc) + _reach_blocks(result)
    blocks += [*_tables(result), Details("What each test sees", tuple(_meanings(result)))]
    return Section("validation", "The tests, one by one", tuple(blocks), "Validation")


def _tiles(result: "ValidationResult") -> tuple[Tile, ...]:
    permutations = result.n_permutations
    tests = len({check.name for check in result.checks}) + len(result.classifiers)
    tiles = [Tile("Global p-value", p_value(result.p_value, permutations), f"{tests} tests, one answer")]
    if result.auc is not None:
        value, reference = _areas(result.auc)
        tiles.append(Tile("Classifier AUC, chance is 0.5", value, f"real vs real: {reference}"))
        tiles += _events_tile(result)
    if "n_generated" in result.sizes and "n_real" in result.sizes:
        note = f"with {count(result.sizes['n_real'])} real ones"
        tiles.append(Tile("Generated events compared", count(result.sizes["n_generated"]), note))
    return tuple(tiles)


def _events_tile(result: "ValidationResult") -> list[Tile]:
    n, low, high = result.n_distinguish, result.n_distinguish_low, result.n_distinguish_high
    if n is None:
        return []
    label = "Events needed to tell apart"
    if math.isinf(n):
        return [Tile(label, f"> {events(low)}", f"95 % lower limit, {_tests(result)}")]
    return [Tile(label, events(n), f"{events(low)} to {events(high)}, {_tests(result)}")]


def _tests(result: "ValidationResult") -> str:
    return f"best of {result.n_distinguish_of} tests" if result.n_distinguish_of else "this classifier"


def _reach_blocks(result: "ValidationResult") -> list[Block]:
    """The events that the strongest tests need, and those at which biases equal the statistical error."""
    rows = [_reach_row(f"seen by: {one.test}", one) for one in result.needs]
    ordered = sorted(result.biases, key=lambda one: (one.events is None, one.events or one.low))
    biased = [_reach_row(f"{one.quantity} of {one.column} off by its error", one) for one in ordered]
    if not rows and not biased:
        return []
    headers = ("What happens", "At N events", "95 % limits")
    blocks: list[Block] = [Table(headers, (*rows, *biased[:_BIASES]), _REACH)]
    if len(biased) > _BIASES:
        blocks.append(Details(f"All {len(biased)} means, widths and tails", (Table(headers, tuple(biased)),)))
    return blocks


def _reach_row(what: str, one: "EventsNeeded | Bias") -> tuple[Cell, ...]:
    if one.events is None:
        return (Cell(what), Cell("not known", "number"), Cell(f"> {events(one.low)}", "number"))
    return (Cell(what), Cell(events(one.events), "number"), Cell(f"{events(one.low)} … {events(one.high)}", "number"))


def _areas(classifier: "ClassifierResult") -> tuple[str, str]:
    """AUC and its real-against-real twin, three decimals each; "–" where real against real was not asked for."""
    pairs = (classifier.value, classifier.error), (classifier.real_vs_real, classifier.real_vs_real_error)
    value, reference = ("–" if math.isnan(a) else f"{a:.3f} ± {e:.3f}" for a, e in pairs)
    return value, reference


def _classifier_blocks(classifier: "ClassifierResult | None") -> list[Block]:
    if classifier is None:
        return []
    alt = f"Classifier area under the curve {_areas(classifier)[0]}, chance is 0.5."
    pictures = [Picture(to_svg(auc(classifier)), alt)]
    advice = ""
    looked_at = dict(classifier.importances or {})
    chart = importances(looked_at) if len(looked_at) > 1 else None
    if chart is not None:
        pictures.append(Picture(to_svg(chart), "Importance of each column to the classifier."))
        advice = " The columns it relies on are the ones to look at first."
    caption = (
        f"A classifier ({classifier.learner}) is trained to tell generated from real events and judged on events that "
        "it has not seen."
    )
    return [Gallery(tuple(pictures), caption + advice, size="large")]


def _tables(result: "ValidationResult") -> list[Block]:
    """The table of the checks; with many features the worst ones, and all of them behind a summary line."""
    shown = choose_checks(result.checks)
    rows = [_row(check, result.n_permutations) for check in shown]
    rows += [_classifier_row(one, result.alpha) for one in result.classifiers]
    caption = "Every test, with the same number for real against real beside it."
    if len(shown) == len(result.checks):
        return [Table(_HEADERS, tuple(rows), caption)]
    caption = f"The {len(shown)} of {len(result.checks)} tests that say most."
    everything = tuple(_row(check, result.n_permutations) for check in result.checks)
    return [
        Table(_HEADERS, tuple(rows), caption),
        Details(f"All {len(result.checks)} tests", (Table(_HEADERS, everything),)),
    ]


def _row(check: "TestResult", n_permutations: int) -> tuple[Cell, ...]:
    band = f"{number(check.noise_low)} … {number(check.noise_high)}"
    value = measured(check.value, check.error)
    numbers = (value, band, number(check.real_vs_real), p_value(check.p_value, n_permutations))
    adjusted = Cell(p_value(check.p_adjusted), "number")
    cells = [Cell(text, "number") for text in numbers]
    return (Cell(check.name), Cell(check.feature or "all"), *cells, adjusted, _answer(check.distinguishes))


def _classifier_row(classifier: "ClassifierResult", alpha: float) -> tuple[Cell, ...]:
    value, reference = _areas(classifier)
    cells = [Cell(text, "number") for text in (value, "–", reference, p_value(classifier.p_value), "–")]
    return (Cell(f"classifier AUC ({classifier.learner})"), Cell("all"), *cells, _answer(classifier.p_value <= alpha))


def _answer(yes: object) -> Cell:
    return Cell("yes", "bad") if yes else Cell("no", "good")


def _meanings(result: "ValidationResult") -> Sequence[Text]:
    sentences = {check.name: check.description for check in result.checks}
    sentences |= {f"classifier AUC ({one.learner})": one.description for one in result.classifiers}
    details = [check.detail for check in result.checks if check.detail]
    texts = [Text(f"{name}. {sentence}") for name, sentence in sentences.items() if sentence]
    return [*texts, *(Text(f"Seen here: {detail}.", "note") for detail in details)]


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
