"""A page as plain data, sections made of blocks, and its one HTML file: no script, no network, every string escaped.

    Page ── Section ── Text | Table | Picture | Gallery | Details | Verdict | References

Pictures are data addresses, the style sheet is inside, and a content security policy forbids the browser to load
anything else. The file is written beside its name and then renamed, so a reader sees the old report or the new one,
never half of one.
"""

import base64
import os
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, TypeAlias

from jinja2 import Environment, StrictUndefined
from matplotlib.figure import Figure

from reverie.core.errors import FolderError, InputError
from reverie.plots.style import to_png, to_svg

__all__ = [
    "Block",
    "Cell",
    "Details",
    "Gallery",
    "Page",
    "Picture",
    "Reference",
    "References",
    "Section",
    "Table",
    "Text",
    "Tile",
    "Verdict",
    "png",
    "render",
    "save",
    "sections",
    "svg",
    "table",
]

FOOTER = "One self-contained file: no scripts, and nothing is loaded from elsewhere."
_TYPES = {"svg": "image/svg+xml", "png": "image/png"}


@dataclass(frozen=True)
class Text:
    """One paragraph. `tone` is "plain", "note" (small print), "warning" or "code" (kept as typed)."""

    text: str
    tone: str = "plain"
    template: ClassVar[str] = "text"


@dataclass(frozen=True)
class Cell:
    """One table cell. `tone` is "plain", "number", "good", "bad" or "code"."""

    text: str
    tone: str = "plain"


@dataclass(frozen=True)
class Table:
    """Rows of cells under headers; every row has as many cells as there are headers."""

    headers: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]
    caption: str = ""
    template: ClassVar[str] = "table"

    def __post_init__(self) -> None:
        for row in self.rows:
            if len(row) != len(self.headers):
                raise InputError(f"Expected {len(self.headers)} cells in each row, got {len(row)}. Fill the row up.")


@dataclass(frozen=True)
class Picture:
    """A drawn figure.

    Parameters
    ----------
    content : The SVG or PNG document.
    alt : What it shows, for those who cannot see it.
    caption : The sentence below it.
    media : "svg" or "png".
    wide : Whether a narrow screen scrolls it sideways instead of shrinking it.
    """

    content: bytes
    alt: str
    caption: str = ""
    media: str = "svg"
    wide: bool = False
    template: ClassVar[str] = "picture"

    @property
    def source(self) -> str:
        """The picture as a data address, so that the page needs no second file."""
        return f"data:{_TYPES[self.media]};base64,{base64.b64encode(self.content).decode()}"


@dataclass(frozen=True)
class Gallery:
    """Small pictures side by side, as many to a row as the screen holds. `size` is "small" or "large"."""

    pictures: tuple[Picture, ...]
    caption: str = ""
    size: str = "small"
    template: ClassVar[str] = "gallery"


@dataclass(frozen=True)
class Details:
    """Small print behind a summary line; open on paper."""

    summary: str
    blocks: tuple["Block", ...]
    template: ClassVar[str] = "details"


@dataclass(frozen=True)
class Tile:
    """A headline number: label, value, and the line below."""

    label: str
    value: str
    note: str = ""


@dataclass(frozen=True)
class Verdict:
    """The first thing a reader sees. `tone` is "good", "close", "bad" or "unknown"."""

    tone: str
    headline: str
    sentence: str
    tiles: tuple[Tile, ...] = ()
    template: ClassVar[str] = "verdict"


@dataclass(frozen=True)
class Reference:
    """A work that was used: citation key, readable text, and a web address to go to, if any."""

    key: str
    text: str
    address: str = ""


@dataclass(frozen=True)
class References:
    """A list of works."""

    entries: tuple[Reference, ...]
    template: ClassVar[str] = "references"


Block: TypeAlias = Text | Table | Picture | Gallery | Details | Verdict | References


@dataclass(frozen=True)
class Section:
    """Blocks under a title. `key` is the anchor, `short` the word in the table of contents."""

    key: str
    title: str
    blocks: tuple[Block, ...]
    short: str = ""


@dataclass(frozen=True)
class Page:
    """A whole report."""

    title: str
    subtitle: str = ""
    sections: tuple[Section, ...] = ()
    footer: str = FOOTER
    meta: tuple[str, ...] = ()


def sections(*rows: tuple[str, str, str, Sequence[Block]]) -> tuple[Section, ...]:
    """Return the sections that have something to show; a row is key, title, word in the contents and blocks."""
    return tuple(Section(key, title, tuple(blocks), short) for key, title, short, blocks in rows if blocks)


def table(columns: Mapping[str, str], rows: Iterable[Sequence[str | Cell]], caption: str = "") -> Table:
    """Return a table of texts; `columns` holds the tone of each column by its header, a `Cell` keeps its own."""
    tones = columns.values()
    cells = [[Cell(x, tone) if isinstance(x, str) else x for x, tone in zip(row, tones, strict=True)] for row in rows]
    return Table(tuple(columns), tuple(tuple(row) for row in cells), caption)


def svg(figure: Figure, alt: str, caption: str = "", *, wide: bool = False) -> Picture:
    """Return a picture of lines, sharp at any size."""
    return Picture(to_svg(figure), alt, caption, wide=wide)


def png(figure: Figure, alt: str, caption: str = "", *, wide: bool = False) -> Picture:
    """Return a picture of many points or cells, which as SVG would weigh megabytes."""
    return Picture(to_png(figure), alt, caption, media="png", wide=wide)


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
