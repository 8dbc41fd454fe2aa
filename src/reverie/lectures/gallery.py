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
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import yaml

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


def run_page(name: str, out: str | Path, *, quick: bool, store: bool = False) -> list[Path]:
    """Run a page and write its figures and a record of what it printed into the folder `out`; return the files.

    A record to store, which the documentation shows below the page, is small: NAME.yaml with the command, the time and
    the numbers beside the lecture's, and all figures as one picture NAME.webp of at most 60 kB.

    Raises `UnknownNameError` for another name, with the nearest; `FolderError` when the folder cannot be written.

    Parameters
    ----------
    name : Name of the page.
    out : Folder for NAME_1.png, NAME_2.png, ... and NAME.json; or for NAME.yaml and NAME.webp.
    quick : Whether it takes its short budget.
    store : Whether to write the small record.
    """
    import matplotlib
    from matplotlib import pyplot as plt

    from reverie.plots import to_png

    every = pages()
    page = check_choice("page", name, every)
    command = f"reverie lecture {name}{' --quick' if quick else ''}"
    printed, before = io.StringIO(), os.environ.get("REVERIE_FAST")
    began, worked = time.perf_counter(), time.process_time()
    os.environ["REVERIE_FAST"] = str(int(quick))
    try:
        with matplotlib.rc_context({"backend": "agg"}), contextlib.redirect_stdout(_Both(sys.stdout, printed)):
            plt.close("all")
            runpy.run_path(str(page.path), run_name="__main__")
            pictures = [to_png(plt.figure(number), dpi=80 if store else 130) for number in plt.get_fignums()]
    finally:
        plt.close("all")
        os.environ.pop("REVERIE_FAST")
        if before is not None:
            os.environ["REVERIE_FAST"] = before
    record: dict[str, object] = {"page": name, "command": command, "seconds": round(time.perf_counter() - began, 1)}
    record["processor_seconds"] = round(time.process_time() - worked, 1)
    lines = printed.getvalue().splitlines()
    with made_folder(out) as folder:
        if store:
            record["numbers"] = [line for line in lines if re.search(": lecture .*, here ", line)]
            text = yaml.safe_dump(record, sort_keys=False, allow_unicode=True, width=120)
            write_text(folder / f"{name}.yaml", text)
            (folder / f"{name}.webp").write_bytes(_one_picture(pictures))
            return [folder / f"{name}.webp", folder / f"{name}.yaml"]
        files = [folder / f"{name}_{k}.png" for k in range(1, len(pictures) + 1)]
        for file, picture in zip(files, pictures, strict=True):
            file.write_bytes(picture)
        record |= {"printed": lines, "figures": [file.name for file in files]}
        write_text(folder / f"{name}.json", json.dumps(record, indent=1, ensure_ascii=False) + "\n")
    return [*files, folder / f"{name}.json"]


def _one_picture(pictures: Sequence[bytes], most: int = 60_000) -> bytes:
    """Return PNG pictures below each other as one WebP of at most `most` bytes."""
    from PIL import Image

    parts = [Image.open(io.BytesIO(picture)).convert("RGB") for picture in pictures]
    page = Image.new("RGB", (max(part.width for part in parts), sum(part.height for part in parts)), "white")
    top = 0
    for part in parts:
        page.paste(part, (0, top))
        top += part.height
    for quality in (80, 60, 40, 25, 10):
        out = io.BytesIO()
        page.save(out, "WEBP", quality=quality, method=6)
        if out.tell() <= most:
            break
    return out.getvalue()


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
