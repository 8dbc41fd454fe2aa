"""A page becomes one HTML file: no script, no network, no second file; every string escaped.

Pictures are data addresses, the style sheet is inside, and a content security policy forbids the
browser to load anything else. The file is written beside its name and then renamed, so a reader sees
the old report or the new one, never half of one.
"""

import os
import tempfile
from pathlib import Path

from jinja2 import Environment, StrictUndefined

from reverie.core.errors import FolderError
from reverie.report.page import Page

__all__ = ["render", "save"]

_TEMPLATE = Path(__file__).with_name("template.html")


def render(page: Page) -> str:
    """Return `page` as the text of one self-contained HTML document."""
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    return environment.from_string(_TEMPLATE.read_text(encoding="utf-8")).render(page=page)


def save(path: str | os.PathLike[str], page: Page) -> Path:
    """Write `page` to `path` in one piece and return the path.

    Raises
    ------
    FolderError
        When the folder is missing or cannot be written; an older report stays as it was.
    """
    target = Path(path)
    text = render(page)
    temporary: str | None = None
    try:
        descriptor, temporary = tempfile.mkstemp(prefix=".tmp-", suffix=".html", dir=target.parent)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        Path(temporary).chmod(0o644)
        Path(temporary).replace(target)
    except OSError as error:
        if temporary is not None:
            Path(temporary).unlink(missing_ok=True)
        reason = error.strerror or error
        raise FolderError(
            f"Expected to write {target}, got: {reason}. Give a path in a folder that can be written."
        ) from error
    return target
