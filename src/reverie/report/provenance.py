"""Where everything came from: data, settings, versions, the command, and the works to cite."""

import re
import unicodedata
from collections.abc import Sequence

from reverie.report.page import Block, Details, Reference, References, Text, table
from reverie.report.words import JsonObject, flattened

__all__ = ["origins", "read_bibtex", "references_of"]

_MARKS: dict[str, str] = dict(
    zip("`'^~\"=.cvuH", "\u0300\u0301\u0302\u0303\u0308\u0304\u0307\u0327\u030c\u0306\u030b", strict=True)
)
_ACCENT = re.compile(r"""\\([`'^~"=.])\s*\{?(\w)\}?|\\([cvuH])\s*\{(\w)\}""")
_BRACED = r"\{(?:[^{}]|\{(?:[^{}]|\{[^{}]*\})*\})*\}"  # with braces in it, three deep
_FIELD = re.compile(rf"""(\w+)\s*=\s*({_BRACED}|"(?:[^"{{}}]|{_BRACED})*"|\w+)""")


def origins(
    command: str | None,
    data: JsonObject | None,
    config: JsonObject | None,
    resolved: JsonObject | None,
    environment: JsonObject | None,
) -> list[Block]:
    """Return data, settings, versions and the command to run it again, as far as they are known."""
    blocks: list[Block] = [Text("To run this again:"), Text(command, "code")] if command else []
    columns = {"Entry": "plain", "Value": "code"}
    if data:
        blocks.append(table(columns, flattened(data), "Data and samples"))
    settings = ((config, "Configuration"), (resolved, "What options left open came to"))
    for values, summary in (*settings, (environment, "Software and machine")):
        if values:
            rows = flattened(values)
            blocks.append(Details(f"{summary} ({len(rows)} entries)", (table(columns, rows),)))
    return blocks


def references_of(works: Sequence[tuple[str, str]] | None) -> list[Block]:
    """Return the works, pairs (key, text or BibTeX entry), readable, with their BibTeX behind a summary line."""
    if not works:
        return []
    entries = [read_bibtex(key, text) if text.lstrip().startswith("@") else Reference(key, text) for key, text in works]
    bibtex = "\n\n".join(text.strip() for _, text in works if text.lstrip().startswith("@"))
    return [References(tuple(entries)), *([Details("BibTeX", (Text(bibtex, "code"),))] if bibtex else [])]


def read_bibtex(key: str, entry: str) -> Reference:
    """Return a BibTeX entry as one line of text and an address (doi, arXiv or url); unknown forms come back whole."""
    fields = {name.lower(): _plain(value) for name, value in _FIELD.findall(entry.partition(",")[2])}
    if "title" not in fields:
        return Reference(key, " ".join(entry.split()))
    names = [" ".join(reversed(name.strip().split(", ", 1))) for name in fields.get("author", "").split(" and ")]
    names = [names[0] + " et al."] if len(names) > 3 else names
    authors = ", ".join(names[:-1]) + (" and " if len(names) > 1 else "") + names[-1]
    place = fields.get("journal") or fields.get("booktitle") or fields.get("publisher") or ""
    numbers = ", ".join(filter(None, (fields.get("volume"), fields.get("pages", "").replace("--", "–"))))
    year = f" ({fields['year']})" if "year" in fields else ""
    where = ", ".join(filter(None, (place, numbers)))
    text = f"{authors}{year}. {fields['title']}." if authors else f"{fields['title']}{year}."
    if "doi" in fields:
        address = f"https://doi.org/{fields['doi']}"
    elif "eprint" in fields:
        address = f"https://arxiv.org/abs/{fields['eprint']}"
    else:
        url = fields.get("url", "")
        address = url if url.startswith(("https://", "http://")) else ""
    return Reference(key, text + (f" {where}." if where else ""), address)


def _plain(value: str) -> str:
    """Return the value of a field without quotes, braces and TeX: accents become letters."""

    def letter(match: re.Match[str]) -> str:
        mark, plain = match.group(1) or match.group(3), match.group(2) or match.group(4)
        return unicodedata.normalize("NFC", plain + _MARKS[mark])

    accented = _ACCENT.sub(letter, value.strip('"'))
    return " ".join(re.sub(r"[{}\\]", "", accented).replace("~", " ").split())
