"""Where everything came from: data, settings, versions, the command, and the works to cite."""

import re
import unicodedata
from collections.abc import Mapping, Sequence

from reverie.report.page import Block, Details, Reference, References, Text, table
from reverie.report.words import JsonObject, flattened

__all__ = ["origins", "read_bibtex", "references_of"]

_MARKS = dict(zip("`'^~\"=.cvuH", "\u0300\u0301\u0302\u0303\u0308\u0304\u0307\u0327\u030c\u0306\u030b", strict=True))
_ACCENT = re.compile(r"""\\([`'^~"=.])\s*\{?(\w)\}?|\\([cvuH])\s*\{(\w)\}""")
_FIELD = re.compile(r"(\w+)\s*=\s*(?=[{\"\d])")


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
    """Return the works used, readable, with their BibTeX behind a summary line.

    Parameters
    ----------
    works : Pairs (key, text); a text that starts with @ is read as a BibTeX entry.
    """
    if not works:
        return []
    entries = [read_bibtex(key, text) if text.lstrip().startswith("@") else Reference(key, text) for key, text in works]
    bibtex = "\n\n".join(text.strip() for _, text in works if text.lstrip().startswith("@"))
    return [References(tuple(entries)), *([Details("BibTeX", (Text(bibtex, "code"),))] if bibtex else [])]


def read_bibtex(key: str, entry: str) -> Reference:
    """Return a BibTeX entry as one line of text and an address (doi, arXiv or url); unknown forms come back whole."""
    fields = {name.lower(): value for name, value in _fields(entry)}
    if "title" not in fields:
        return Reference(key, " ".join(entry.split()))
    authors = _authors(fields.get("author", ""))
    place = fields.get("journal") or fields.get("booktitle") or fields.get("publisher") or ""
    numbers = ", ".join(filter(None, (fields.get("volume"), fields.get("pages", "").replace("--", "–"))))
    year = f" ({fields['year']})" if "year" in fields else ""
    where = ", ".join(filter(None, (place, numbers)))
    text = f"{authors}{year}. {fields['title']}." if authors else f"{fields['title']}{year}."
    return Reference(key, text + (f" {where}." if where else ""), _address(fields))


def _address(fields: Mapping[str, str]) -> str:
    if "doi" in fields:
        return f"https://doi.org/{fields['doi']}"
    if "eprint" in fields:
        return f"https://arxiv.org/abs/{fields['eprint']}"
    url = fields.get("url", "")
    return url if url.startswith(("https://", "http://")) else ""


def _authors(text: str) -> str:
    names = [" ".join(reversed([part.strip() for part in name.split(",", 1)])) for name in text.split(" and ")]
    names = [name for name in names if name]
    if len(names) > 3:
        return f"{names[0]} et al."
    return ", ".join(names[:-1]) + (" and " if len(names) > 1 else "") + names[-1] if names else ""


def _fields(entry: str) -> list[tuple[str, str]]:
    fields = []
    position = entry.find(",")
    while position >= 0 and (match := _FIELD.search(entry, position)):
        value, position = _value(entry, match.end())
        fields.append((match.group(1), _plain(value)))
    return fields


def _value(entry: str, start: int) -> tuple[str, int]:
    """Return the braced, quoted or bare value at `start`, and the position behind it."""
    if entry[start] not in '{"':
        end = re.compile(r"[,}\n]|$").search(entry, start)
        return entry[start : end.start() if end else None], end.start() if end else len(entry)
    depth, quoted = 0, entry[start] == '"'
    for i in range(start, len(entry)):
        depth += (entry[i] == "{") - (entry[i] == "}")
        if depth == 0 and i > start and (not quoted or entry[i] == '"') or depth == 0 and not quoted and i > start:
            return entry[start + 1 : i], i + 1
    return entry[start + 1 :], len(entry)


def _plain(text: str) -> str:
    accented = _ACCENT.sub(_combined, text)
    return " ".join(re.sub(r"[{}\\]", "", accented).replace("~", " ").split())


def _combined(match: re.Match[str]) -> str:
    mark, letter = match.group(1) or match.group(3), match.group(2) or match.group(4)
    return unicodedata.normalize("NFC", letter + _MARKS[mark])
