"""The works behind models, tests and data sets, as BibTeX entries by key.

They stand in `references.bib` beside this file, one after the other. An entry begins with ``@type{key,`` at the
beginning of a line and ends with a closing brace alone on its line; what stands between two entries is comment.
"""

import re
from importlib.resources import files

__all__ = ["BIBLIOGRAPHY", "entry_key", "read_entries"]

_ENTRY = re.compile(r"^@\w+\{(?P<key>[^,\s]+),.*?^\}$", re.MULTILINE | re.DOTALL)


def read_entries(text: str) -> dict[str, str]:
    """Return the BibTeX entries in `text` by key, each as it is written."""
    return {match["key"]: match[0] for match in _ENTRY.finditer(text)}


def entry_key(entry: str) -> str:
    """Return the citation key of one BibTeX entry, which begins with ``@type{key,``."""
    return entry.partition("{")[2].partition(",")[0].strip()


BIBLIOGRAPHY: dict[str, str] = read_entries(
    files("reverie.core").joinpath("references.bib").read_text(encoding="utf-8")
)
