"""The verdict, and the numbers it rests on.

The colour follows fixed rules, printed on the page:

* good (green): the global p-value is at least 0.05, and so is the classifier's;
* close (amber): a test tells the two apart, but the classifier's AUC is at most 0.60;
* bad (red): a test tells them apart, and the AUC is above 0.60 or unknown;
* unknown (grey): nothing was tested.
"""

from collections.abc import Sequence
from typing import Any

from reverie.plots.style import to_svg
from reverie.plots.validation import auc, checks_in_noise_units, distinguishes, importances
from reverie.report.page import Block, Cell, Details, Gallery, Picture, Section, Table, Text, Tile, Verdict
from reverie.report.words import count, measured, number, p_value

__all__ = ["tone", "validation_section", "verdict_section"]

_ALPHA = 0.05
_CLOSE_AUC = 0.60

_HEADLINES = {
    "good": "No difference found at this sample size",
    "close": "Close to the real data, but distinguishable",
    "bad": "Distinguishable from the real data",
    "unknown": "Not validated",
}
_MEANINGS = {
    "KS": "Kolmogorov–Smirnov: the largest gap between the two cumulative distributions of one column; it sees "
    "shifts and changes of shape, less so the far tails.",
    "correlation difference": "The largest difference between the two correlation matrices; it sees wrong linear "
    "dependence between columns even when every column by itself is right.",
    "sliced Wasserstein": "The mean distance the mass must be moved, averaged over random directions through the "
    "data; it sees displaced or missing regions in all columns together.",
    "energy distance": "Compares distances between and within the two samples; it is zero only for equal "
    "distributions, of any number of columns.",
    "MMD": "Maximum mean discrepancy: the distance between the samples' means in a kernel's feature space; several "
    "widths of the kernel see coarse and fine structure.",
}
_EXPLANATION = (
    "Each p-value is the fraction of random relabellings of real and generated events that give a statistic at least "
    "as large, (1 + k)/(B + 1). Adjusted p-values account for the number of tests (Holm). The noise band holds the "
    "central 90 % of the relabellings. The column “real vs real” is the same statistic between two real samples of "
    "equal size: what a perfect generator would score."
)
_RULE = (
    "Green: global and classifier p-values are at least 0.05. Amber: a test tells the "
    "samples apart, but the classifier’s AUC is at most 0.60. Red: a test tells them apart and the AUC is above 0.60 "
    "or unknown. A test without a difference is no proof of equality: more events see smaller differences."
)


def tone(result: Any) -> str:
    """Return "good", "close", "bad" or, without a result, "unknown", by the rules above."""
    if result is None:
        return "unknown"
    classifier = result.auc
    apart = result.p_value < _ALPHA or (classifier is not None and _is_small(classifier.p_value))
    if not apart:
        return "good"
    return "close" if classifier is not None and classifier.value <= _CLOSE_AUC else "bad"


def verdict_section(result: Any) -> Section:
    """Return the first section: the verdict in words and its headline numbers (`result` may be None)."""
    kind = tone(result)
    if result is None:
        sentence = "There is no validation result in this report. Run reverie validate before you trust the samples."
        return Section("verdict", "Verdict", (Verdict(kind, _HEADLINES[kind], sentence),))
    blocks: list[Block] = [Verdict(kind, _HEADLINES[kind], str(result.verdict), _tiles(result))]
    blocks += [Text(str(warning), "warning") for warning in result.warnings]
    blocks.append(Details("How the colour is chosen", (Text(_RULE, "note"),)))
    return Section("verdict", "Verdict", tuple(blocks))


def validation_section(result: Any) -> Section:
    """Return the section with the charts, the table of all tests, and their meaning in small print."""
    blocks: list[Block] = [Text(_EXPLANATION)]
    chart = checks_in_noise_units(result.checks)
    if chart is not None:
        found = sum(distinguishes(check) for check in result.checks)
        alt = f"Chart of {len(result.checks)} test statistics in units of their noise; {found} distinguish."
        caption = (
            "Every statistic in units of its own noise: inside the grey band is what real data against real data "
            "give. p-values are adjusted for the number of tests."
        )
        blocks.append(Picture(to_svg(chart), alt, caption, wide=True))
    blocks += _classifier_blocks(result.auc)
    blocks += [_table(result), Details("What each test sees", tuple(_meanings(result)))]
    return Section("validation", "The tests, one by one", tuple(blocks), "Validation")


def _tiles(result: Any) -> tuple[Tile, ...]:
    permutations = result.n_permutations
    tiles = [Tile("Global p-value", p_value(result.p_value, permutations), f"{len(result.checks)} tests, one answer")]
    if result.auc is not None:
        value, reference = _areas(result.auc)
        tiles.append(Tile("Classifier AUC, chance is 0.5", value, f"real vs real: {reference}"))
        tiles.append(Tile("Events needed to tell apart", count(result.n_distinguish), "by that classifier"))
    sizes = ((result.sizes or {}).get("n_generated"), (result.sizes or {}).get("n_real"))
    if all(size is not None for size in sizes):
        tiles.append(Tile("Events compared", count(sizes[0]), f"with {count(sizes[1])} real ones"))
    return tuple(tiles)


def _areas(classifier: Any) -> tuple[str, str]:
    """AUC and its real-against-real twin, three decimals each."""
    pairs = (classifier.value, classifier.error), (classifier.real_vs_real, classifier.real_vs_real_error)
    value, reference = (f"{a:.3f} ± {e:.3f}" if a is not None and e is not None else measured(a, e) for a, e in pairs)
    return value, reference


def _classifier_blocks(classifier: Any) -> list[Block]:
    if classifier is None:
        return []
    alt = f"Classifier area under the curve {_areas(classifier)[0]}, chance is 0.5."
    pictures = [Picture(to_svg(auc(classifier)), alt)]
    looked_at = dict(classifier.importances or {})
    chart = importances(looked_at) if len(looked_at) > 1 else None
    if chart is not None:
        pictures.append(Picture(to_svg(chart), "Importance of each column to the classifier."))
    caption = (
        "A gradient-boosting classifier is trained to tell generated from real events and judged on events that it "
        "has not seen. The columns it relies on are the ones to look at first."
    )
    return [Gallery(tuple(pictures), caption, size="large")]


def _table(result: Any) -> Table:
    headers = ("Statistic", "Column", "Value", "Noise, 5–95 %", "Real vs real", "p", "p adjusted", "Distinguishes")
    rows = [_row(check, result.n_permutations) for check in result.checks]
    if result.auc is not None:
        rows.append(_classifier_row(result.auc))
    return Table(headers, tuple(rows), "Every test, with the same number for real against real beside it.")


def _row(check: Any, n_permutations: int) -> tuple[Cell, ...]:
    band = f"{number(check.noise_low)} … {number(check.noise_high)}"
    numbers = (number(check.value), band, number(check.real_vs_real), p_value(check.p_value, n_permutations))
    adjusted = Cell(p_value(check.p_adjusted), "number")
    cells = [Cell(text, "number") for text in numbers]
    return (Cell(check.name), Cell(check.feature or "all"), *cells, adjusted, _answer(distinguishes(check)))


def _classifier_row(classifier: Any) -> tuple[Cell, ...]:
    value, reference = _areas(classifier)
    numbers = (
        value,
        "–",
        reference,
        p_value(classifier.p_value),
        "–",
    )
    cells = [Cell(text, "number") for text in numbers]
    return (Cell("classifier AUC"), Cell("all"), *cells, _answer(_is_small(classifier.p_value)))


def _answer(yes: bool) -> Cell:
    return Cell("yes", "bad") if yes else Cell("no", "good")


def _is_small(p: float | None) -> bool:
    return p is not None and p < _ALPHA


def _meanings(result: Any) -> Sequence[Text]:
    said = {check.name: str(check.description or _MEANINGS.get(check.name, "")) for check in result.checks}
    texts = [Text(f"{name}. {sentence}") for name, sentence in said.items() if sentence]
    if result.auc is not None:
        texts.append(
            Text(
                "Classifier AUC. The chance that the classifier ranks a random generated event above a random real "
                "one; 0.5 means that it cannot tell them apart, 1 that it always can."
            )
        )
    return texts
