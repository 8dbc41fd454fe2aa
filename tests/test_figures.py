"""README and docs quote figures from one source, and each has a command that prints it again."""

import re
from importlib.util import find_spec

import pytest
from benchmarks.figures import PAGE, QUOTED, ROOT, benchmarks_page, quoting_pages, tables, with_figures

SOURCE = tables()


def test_every_row_has_a_cell_for_each_column():
    for name, table in SOURCE.items():
        for row, cells in table["rows"].items():
            assert len(cells) == len(table["columns"]), f"{name}/{row}"
            assert all(isinstance(cell, str) for cell in cells), f"{name}/{row}: a number needs quotation marks"


def test_every_table_names_commands_that_exist():
    for name, table in SOURCE.items():
        modules = [re.match(r"python -m ([\w.]+)", command)[1] for command in table["commands"]]
        assert all(find_spec(module) for module in modules), f"{name}: {modules}"


def test_the_page_of_benchmarks_is_that_of_the_source():
    assert PAGE.read_text(encoding="utf-8") == benchmarks_page(SOURCE), "run python -m benchmarks.figures"


@pytest.mark.parametrize("page", quoting_pages(), ids=lambda page: str(page.relative_to(ROOT)))
def test_pages_quote_the_figures_of_the_source(page):
    text = page.read_text(encoding="utf-8")
    assert with_figures(text, SOURCE) == text, "run python -m benchmarks.figures"


# What a benchmark measures: a value with its error, a classifier's AUC, a rate or a share of seeds.
MEASURED = re.compile(
    r"\d(?: %)? ± \d"
    r"|AUC(?! above| one)(?! of the| stays below)[^.|]{0,30}\b[01]\.\d"
    r"|\d+ of \d+ seeds|\d (?:events|samples|steps) a second"
)
PRINTED = r"```.*?```|^(?: {4}|>).*?$|`[^`\n]+`|(?<![*\w])\*[^*\n]+\*(?![*\w])"  # code, quotes and examples in italics
SHOWN = re.compile(PRINTED, flags=re.DOTALL | re.MULTILINE)


def own_figures(text: str) -> list[str]:
    """Return the lines of a page with a measured figure that is no quote; what a program prints is none of a page's."""
    text = SHOWN.sub("", QUOTED.sub("", text))
    return [line for line in text.splitlines() if MEASURED.search(line)]


def test_pages_hold_no_measured_figure_of_their_own():
    own = {str(page.relative_to(ROOT)): own_figures(page.read_text(encoding="utf-8")) for page in quoting_pages()}
    assert {page: lines for page, lines in own.items() if lines} == {}, "quote benchmarks/figures.yaml instead"


@pytest.mark.parametrize("line", ["| GAN | 0.551 ± 0.007 |", "The AUC is 0.551.", "in 19 of 20 seeds", "1 % ± 0.2 %"])
def test_a_figure_of_a_page_of_its_own_is_noticed(line):
    assert own_figures(f"# A page\n\n{line}\n") == [line]
    assert not own_figures(
        "    an AUC of 0.5\n> AUC 0.5 ± 0.1\n*AUC 0.541*, quoted: <!--=dimuon/z_auc/1-->0.5 ± 0.1<!--/-->"
    )


def test_a_changed_figure_and_an_unknown_one_are_noticed():
    changed = "AUC <!--=dimuon/z_auc/1-->0.5<!--/-->"
    assert with_figures(changed, SOURCE) == f"AUC <!--=dimuon/z_auc/1-->{SOURCE['dimuon']['rows']['z_auc'][1]}<!--/-->"
    with pytest.raises(KeyError, match="no_such_row"):
        with_figures("<!--=dimuon/no_such_row/1-->0.5<!--/-->", SOURCE)
