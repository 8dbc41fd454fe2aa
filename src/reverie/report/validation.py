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

from reverie.plots.validation import (
    auc,
    checks_in_noise_units,
    choose_checks,
    importances,
    log_weights,
    observable_means,
    region_shares,
)
from reverie.report.page import Block, Cell, Details, Gallery, Text, Tile, Verdict, svg, table
from reverie.report.words import count, events, measured, number, p_value

if TYPE_CHECKING:
    from reverie.validation.power.biases import Bias
    from reverie.validation.power.events_needed import EventsNeeded
    from reverie.validation.results.result import ValidationResult
    from reverie.validation.results.tests import ClassifierResult, TestResult
    from reverie.validation.statistics.memorisation import MemorisationResult
    from reverie.validation.statistics.observables import ObservableMeans

__all__ = ["copies", "differences", "tests", "tone", "verdict"]

_CLOSE_AUC = 0.60

_HEADLINES = {
    "good": "No difference found at this sample size",
    "close": "Close to the real data, but distinguishable",
    "bad": "Distinguishable from the real data",
    "unknown": "Not validated",
}
_NUMBERS = ("Value", "Noise, 5–95 %", "Real vs real", "p", "p adjusted")
_COLUMNS = {"Statistic": "plain", "Column": "plain"} | dict.fromkeys(_NUMBERS, "number") | {"Distinguishes": "plain"}
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


def verdict(result: "ValidationResult | None", unvalidated: str = "", warning: str = "") -> list[Block]:
    """Return the verdict in words and its headline numbers; `unvalidated` says why there is no result.

    `warning` is a sentence to stand below the verdict, such as on alarms in training.
    """
    kind = tone(result)
    warned: list[Block] = [Text(warning, "warning")] if warning else []
    if result is None:
        sentence = unvalidated or (
            "There is no validation result in this report. Run reverie validate before you trust the samples."
        )
        return [Verdict(kind, _HEADLINES[kind], sentence), *warned]
    n_tests = len({check.name for check in result.checks}) + len(result.classifiers)
    p = p_value(result.p_value, result.n_permutations)
    tiles = [Tile("Global p-value", p, f"{n_tests} tests, one answer")]
    if result.auc is not None:
        value, reference = _areas(result.auc)
        tiles.append(Tile("Classifier AUC, chance is 0.5", value, f"real vs real: {reference}"))
        n, low, high = result.n_distinguish, events(result.n_distinguish_low), events(result.n_distinguish_high)
        by = f"best of {result.n_distinguish_of} tests" if result.n_distinguish_of else "this classifier"
        if n is not None and math.isinf(n):
            tiles.append(Tile("Events needed to tell apart", f"> {low}", f"95 % lower limit, {by}"))
        elif n is not None:
            tiles.append(Tile("Events needed to tell apart", events(n), f"{low} to {high}, {by}"))
    if "n_generated" in result.sizes and "n_real" in result.sizes:
        note = f"with {count(result.sizes['n_real'])} real ones"
        tiles.append(Tile("Generated events compared", count(result.sizes["n_generated"]), note))
    blocks: list[Block] = [Verdict(kind, _HEADLINES[kind], str(result.verdict), tuple(tiles)), *warned]
    blocks += [Text("\n".join(result.warnings), "warning")] if result.warnings else []
    return [*blocks, Details("How the colour is chosen", (Text(_RULE, "note"),))]


def tests(result: "ValidationResult | None") -> list[Block]:
    """Return the charts, the table of all tests, and their meaning in small print."""
    if result is None:
        return []
    blocks: list[Block] = [Text(_EXPLANATION)]
    chart = checks_in_noise_units(result.checks)
    if chart is not None:
        n_distinguish = sum(check.distinguishes for check in result.checks)
        alt = f"Chart of {len(result.checks)} test statistics in units of their noise; {n_distinguish} distinguish."
        caption = (
            "Every statistic in units of its own noise: the grey band is what chance gives when real and generated "
            "events are relabelled at random. p-values are adjusted for the number of tests."
        )
        blocks.append(svg(chart, alt, caption, wide=True))
    if result.auc is not None:
        alt = f"Classifier area under the curve {_areas(result.auc)[0]}, chance is 0.5."
        pictures, looked_at = [svg(auc(result.auc), alt)], dict(result.auc.importances or {})
        caption = (
            f"A classifier ({result.auc.learner}) is trained to tell generated from real events and judged on events "
            "that it has not seen."
        )
        chart = importances(looked_at) if len(looked_at) > 1 else None
        if chart is not None:
            pictures.append(svg(chart, "Importance of each column to the classifier."))
            caption += " The columns it relies on are the ones to look at first."
        blocks.append(Gallery(tuple(pictures), caption, size="large"))
    columns = {"What happens": "plain", "At N events": "number", "95 % limits": "number"}
    needed = [_reach(f"seen by: {one.test}", one) for one in result.needs]
    ordered = sorted(result.biases, key=lambda one: (one.events is None, one.events or one.low))
    biased = [_reach(f"{one.quantity} of {one.column} off by its error", one) for one in ordered]
    if needed or biased:
        blocks.append(table(columns, [*needed, *biased[:_BIASES]], _REACH))
    if len(biased) > _BIASES:
        blocks.append(Details(f"All {len(biased)} means, widths and tails", (table(columns, biased),)))
    shown = choose_checks(result.checks)
    rows = [_row(check, result.n_permutations) for check in shown]
    for one in result.classifiers:
        value, reference = _areas(one)
        figures = (value, "–", reference, p_value(one.p_value), "–")
        rows.append((f"classifier AUC ({one.learner})", "all", *figures, _answer(one.p_value <= result.alpha)))
    if len(shown) == len(result.checks):
        blocks.append(table(_COLUMNS, rows, "Every test, with the same number for real against real beside it."))
    else:
        everything = table(_COLUMNS, [_row(check, result.n_permutations) for check in result.checks])
        blocks.append(table(_COLUMNS, rows, f"The {len(shown)} of {len(result.checks)} tests that say most."))
        blocks.append(Details(f"All {len(result.checks)} tests", (everything,)))
    sentences = {check.name: check.description for check in result.checks}
    sentences |= {f"classifier AUC ({one.learner})": one.description for one in result.classifiers}
    meanings = [Text(f"{name}. {sentence}") for name, sentence in sentences.items() if sentence]
    meanings += [Text(f"Seen here: {check.detail}.", "note") for check in result.checks if check.detail]
    return [*blocks, Details("What each test sees", tuple(meanings))]


def _reach(what: str, one: "EventsNeeded | Bias") -> tuple[str, str, str]:
    if one.events is None:
        return what, "not known", f"> {events(one.low)}"
    return what, events(one.events), f"{events(one.low)} … {events(one.high)}"


def _areas(classifier: "ClassifierResult") -> tuple[str, str]:
    """Return AUC and its real-against-real twin, three decimals each; "–" where that was not asked for."""
    pairs = (classifier.value, classifier.error), (classifier.real_vs_real, classifier.real_vs_real_error)
    value, reference = ("–" if math.isnan(a) else f"{a:.3f} ± {e:.3f}" for a, e in pairs)
    return value, reference


def _row(check: "TestResult", n_permutations: int) -> tuple[str | Cell, ...]:
    band = f"{number(check.noise_low)} … {number(check.noise_high)}"
    figures = (measured(check.value, check.error), band, number(check.real_vs_real))
    of_p = (p_value(check.p_value, n_permutations), p_value(check.p_adjusted))
    return (check.name, check.feature or "all", *figures, *of_p, _answer(check.distinguishes))


def _answer(yes: object) -> Cell:
    return Cell("yes", "bad") if yes else Cell("no", "good")


def differences(result: "ValidationResult | None") -> list[Block]:
    """Return what is wrong and where, or nothing when there is nothing to show."""
    if result is None:
        return []
    blocks: list[Block] = []
    if result.findings:
        rows = [(finding.kind, finding.sentence) for finding in result.findings]
        columns = {"Kind": "plain", "What was seen": "plain"}
        blocks.append(table(columns, rows, "What is wrong, the strongest kind first."))
    elif not result.distinguishes:
        blocks.append(Text("No test distinguishes the samples, so what follows shows fluctuations, no faults.", "note"))
    if result.constraints:
        rows = []
        for one in result.constraints:
            broken = f"{one.fraction:.2%} ({one.low:.2%} … {one.high:.2%})"
            real = f"{one.real_fraction:.2%} of {count(one.n_real)}"
            rows.append((one.name, broken, real, p_value(one.p_value), "read off" if one.inferred else "given"))
        columns = dict.fromkeys(("Generated events that break it", "Real events", "p"), "number")
        columns = {"Constraint": "plain", **columns, "Source": "plain"}
        blocks.append(table(columns, rows, "Hard constraints, with 95 % intervals."))
    if result.located is not None:
        alt = "Histogram of the logarithm of the calibrated weights of real and generated events."
        blocks.append(svg(log_weights(result.located), alt, result.located.sentence, wide=True))
        rows = []
        for box in result.located.boxes:
            shares = (f"{box.share_real:.2%}", f"{box.share_generated:.2%}", f"{box.z:+.1f}", p_value(box.p_adjusted))
            rows.append((" and ".join(str(condition) for condition in box.conditions), *shares))
        columns = {"Where": "plain"} | dict.fromkeys(("Real", "Generated", "z", "p adjusted"), "number")
        caption = "Ranges that the classifier found, counted on events that it had not seen."
        blocks += [table(columns, rows, caption)] if rows else []
    occupancy = result.regions
    figure = None if occupancy is None else region_shares(occupancy)
    if occupancy is not None and figure is not None:
        caption = (
            f"Shares of events in the regions that differ most, of {len(occupancy.regions)} k-means regions. "
            f"{occupancy.counted}; {len(occupancy.worst)} still do after correction. A mode of less than "
            f"{occupancy.blind_below:.2%} of the events could be missing unseen."
        )
        alt = f"Shares of real and generated events by region; {len(occupancy.worst)} regions differ."
        blocks.append(svg(figure, alt, caption, wide=True))
    blocks += _observables(result.observables)
    return blocks if len(blocks) > 1 else []


def _observables(observables: "Sequence[ObservableMeans]") -> list[Block]:
    figure = observable_means(observables)
    if figure is None:
        return []
    rows = []
    for one in observables:
        single = len(one.real) == 1
        real = measured(one.real[0], one.real_error[0]) if single else f"{len(one.real)} components"
        made = measured(one.generated[0], one.generated_error[0]) if single else "–"
        chi2 = (f"{number(one.chi2)} / {one.dof}", number(one.real_vs_real), p_value(one.p_adjusted))
        rows.append((one.name, real, made, *chi2))
    headers = ("Real", "Generated", "χ² / components", "Real vs real", "p adjusted")
    columns = {"Observable": "plain"} | dict.fromkeys(headers, "number")
    alt = f"Deviations of {len(observables)} observables in units of their errors."
    return [svg(figure, alt, wide=True), table(columns, rows, "Means of the observables.")]


def copies(result: "MemorisationResult | None") -> list[Block]:
    """Return whether training events were copied, with the closest pairs, or nothing without training events."""
    if result is None:
        return []
    lines = str(result).splitlines()
    blocks: list[Block] = [Text(lines[0], "warning" if result.memorised else "plain"), *map(Text, lines[1:])]
    rows = [(count(pair.generated), count(pair.train), number(pair.distance)) for pair in result.closest]
    headers = ("Generated event (row)", "Training event (row)", "Distance, units of the spread")
    closest = table(dict.fromkeys(headers, "number"), rows)
    return [*blocks, *([Details("The closest pairs", (closest,))] if rows else [])]
