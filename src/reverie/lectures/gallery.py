"""The pages of the lectures: which there are, where in the lectures they belong, and how one is run."""

import ast
import contextlib
import io
import json
import os
import re
import runpy
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from reverie.core.checks import check_choice
from reverie.experiment.folder import made_folder, write_text
from reverie.lectures import LECTURES

__all__ = ["Page", "pages", "pages_by_lecture", "run_page"]

_FOLDER = Path(__file__).parent


@dataclass(frozen=True)
class Page:
    """A page of the gallery.

    Parameters
    ----------
    name : Name of the script, such as "langevin".
    path : The script.
    title : First line of its docstring.
    places : Letters of the lectures and the sections there, such as ("A", "Langevin sampling").
    """

    name: str
    path: Path
    title: str
    places: tuple[tuple[str, str], ...]


def pages() -> dict[str, Page]:
    """Return all pages by name."""
    found = {}
    for path in sorted(_FOLDER.glob("*/*.py")):
        text = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
        places = re.findall(r"^:Lecture ([A-E]): (.+)$", text, flags=re.MULTILINE)
        found[path.stem] = Page(path.stem, path, text.split("\n", 1)[0], tuple(places))
    return found


def pages_by_lecture() -> Iterator[tuple[str, list[tuple[str, Page]]]]:
    """Yield each lecture with its sections and their pages."""
    every = pages().values()
    for letter, lecture in LECTURES.items():
        yield f"{letter}  {lecture}", [(section, page) for page in every for at, section in page.places if at == letter]


def run_page(name: str, out: str | Path, *, quick: bool) -> list[Path]:
    """Run a page and write its figures and a record of what it printed into the folder `out`; return the files.

    Raises `UnknownNameError` for another name, with the nearest; `FolderError` when the folder cannot be written.

    Parameters
    ----------
    name : Name of the page.
    out : Folder for NAME_1.png, NAME_2.png, ... and NAME.json.
    quick : Whether it takes its short budget.
    """
    import matplotlib
    from matplotlib import pyplot as plt

    from reverie.plots import to_png

    every = pages()
    page = check_choice("page", name, every)
    command = f"reverie lecture {name}{' --quick' if quick else ''}"
    printed, before, began = io.StringIO(), os.environ.get("REVERIE_FAST"), time.perf_counter()
    os.environ["REVERIE_FAST"] = str(int(quick))
    try:
        with matplotlib.rc_context({"backend": "agg"}), contextlib.redirect_stdout(_Both(sys.stdout, printed)):
            plt.close("all")
            runpy.run_path(str(page.path), run_name="__main__")
            pictures = [to_png(plt.figure(number), dpi=130) for number in plt.get_fignums()]
    finally:
        plt.close("all")
        os.environ.pop("REVERIE_FAST")
        if before is not None:
            os.environ["REVERIE_FAST"] = before
    seconds = time.perf_counter() - began
    with made_folder(out) as folder:
        files = [folder / f"{name}_{k}.png" for k in range(1, len(pictures) + 1)]
        for file, picture in zip(files, pictures, strict=True):
            file.write_bytes(picture)
        record = {"page": name, "command": command, "seconds": round(seconds, 1)}
        record |= {"printed": printed.getvalue().splitlines(), "figures": [file.name for file in files]}
        write_text(folder / f"{name}.json", json.dumps(record, indent=1, ensure_ascii=False) + "\n")
    return [*files, folder / f"{name}.json"]


class _Both(io.TextIOBase):
    """Writes to two streams."""

    def __init__(self, *streams: IO[str]) -> None:
        self.streams = streams

    def write(self, text: str) -> int:
        """Write to both, at once."""
        for stream in self.streams:
            stream.write(text)
            stream.flush()
        return len(text)
