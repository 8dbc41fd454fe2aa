"""Figures of README and docs, from one source: `python -m benchmarks.figures` writes them into the pages.

`benchmarks/figures.yaml` holds each measured figure once, with the command that prints it again.
`docs/benchmarks.md` is made from it whole. In all other pages a figure stands between two comments,
`<!--=TABLE/ROW/N-->` and `<!--/-->`, where N counts the cells of the row after its name. `tests/test_figures.py`
fails where a page differs from the source, or quotes a row that is not there.
"""

import re
from pathlib import Path

import yaml

ROOT = Path(__file__).parents[1]
SOURCE = Path(__file__).with_name("figures.yaml")
PAGE = ROOT / "docs" / "benchmarks.md"
QUOTED = re.compile(r"<!--=(?P<table>\w+)/(?P<row>\w+)/(?P<cell>\d+)-->(?P<text>.*?)<!--/-->")
HEAD = """# Benchmarks

Every figure that README and docs quote, with the command that prints it again, on two cores unless said. This page is
written by `python -m benchmarks.figures` from `benchmarks/figures.yaml`; change that file, not this one.
"""


def tables() -> dict[str, dict]:
    """Return the tables of the source by name."""
    return yaml.safe_load(SOURCE.read_text(encoding="utf-8"))


def quoting_pages() -> list[Path]:
    """Return the pages that may quote figures: the README and all of docs but the page made here."""
    pages = [page for page in sorted((ROOT / "docs").rglob("*.md")) if "_build" not in page.parts]
    return [ROOT / "README.md", *(page for page in pages if page != PAGE)]


def benchmarks_page(source: dict[str, dict]) -> str:
    """Return the text of docs/benchmarks.md: one section a table."""
    parts = [HEAD]
    for table in source.values():
        columns = table["columns"]
        rows = [columns, ["---", *["--:"] * (len(columns) - 1)], *table["rows"].values()]
        lines = ["| " + " | ".join(str(cell) for cell in row) + " |" for row in rows]
        commands = ", ".join(f"`{command}`" for command in table["commands"])
        parts.append(
            f"## {table['title']}\n\n" + "\n".join(lines) + f"\n\n{table['measured']} Printed by {commands}.\n"
        )
    return "\n".join(parts)


def with_figures(text: str, source: dict[str, dict]) -> str:
    """Return the text of a page with all quoted figures as the source has them.

    Raises
    ------
    KeyError
        For a table or row that the source does not have; it names the comment.
    """

    def figure(match: re.Match[str]) -> str:
        try:
            cell = source[match["table"]]["rows"][match["row"]][int(match["cell"])]
        except (KeyError, IndexError):
            raise KeyError(f"benchmarks/figures.yaml has no figure for {match[0]!r}") from None
        return f"<!--={match['table']}/{match['row']}/{match['cell']}-->{cell}<!--/-->"

    return QUOTED.sub(figure, text)


def main() -> None:
    """Write docs/benchmarks.md and the quoted figures of all pages."""
    source = tables()
    PAGE.write_text(benchmarks_page(source), encoding="utf-8")
    for page in quoting_pages():
        text = page.read_text(encoding="utf-8")
        if (new := with_figures(text, source)) != text:
            page.write_text(new, encoding="utf-8")
            print(f"changed: {page.relative_to(ROOT)}")


if __name__ == "__main__":
    main()
