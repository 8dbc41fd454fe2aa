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


@pytest.mark.parametrize("name", ["README.md", "docs/choose.md"])
def test_tables_of_the_front_pages_hold_no_figure_of_their_own(name):
    text = QUOTED.sub("", (ROOT / name).read_text(encoding="utf-8"))
    own = [line for line in text.splitlines() if line.startswith("|") and "±" in line]
    assert not own, "quote benchmarks/figures.yaml instead"


def test_a_changed_figure_and_an_unknown_one_are_noticed():
    changed = "AUC <!--=dimuon/z_auc/1-->0.5<!--/-->"
    assert with_figures(changed, SOURCE) == f"AUC <!--=dimuon/z_auc/1-->{SOURCE['dimuon']['rows']['z_auc'][1]}<!--/-->"
    with pytest.raises(KeyError, match="no_such_row"):
        with_figures("<!--=dimuon/no_such_row/1-->0.5<!--/-->", SOURCE)
