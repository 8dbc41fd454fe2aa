"""Names of the package that documents and docstrings refer to exist."""

import importlib
import re
from pathlib import Path

ROOT = Path(__file__).parents[1]
FOLDERS = {"docs": "*.md", "src": "*.py", "benchmarks": "*.py", "examples": "*.py"}
NO_NAMES = {"reverie.NAME", "reverie.cli.VERB", "reverie.json"}  # two placeholders and a file


def _exists(name: str) -> bool:
    """Tell whether a dotted name is a module, or an attribute of one."""
    parts = name.split(".")
    for k in range(len(parts), 0, -1):
        try:
            value: object = importlib.import_module(".".join(parts[:k]))
        except ModuleNotFoundError:
            continue
        for attribute in parts[k:]:
            if not hasattr(value, attribute):
                return False
            value = getattr(value, attribute)
        return True
    return False


def test_names_in_documents_and_docstrings_exist():
    files = [ROOT / "README.md", ROOT / "CONTRIBUTING.md"]
    files += [path for folder, pattern in FOLDERS.items() for path in (ROOT / folder).rglob(pattern)]
    missing = {
        (str(path.relative_to(ROOT)), name.rstrip("."))
        for path in files
        for name in re.findall(r"`(reverie\.[a-zA-Z_.0-9]+)", path.read_text(encoding="utf-8"))
        if name.rstrip(".") not in NO_NAMES and not _exists(name.rstrip("."))
    }
    assert not missing
    assert not _exists("reverie.models.no_such_name")
