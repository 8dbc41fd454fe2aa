"""The entries of the catalogue: what is known of each data set, and where its files are.

What is known stands in `catalogue.yaml` beside this file: source, licence, citation, columns, and the SHA-256 of the
files. A file is looked for in the folder that the environment variable ``REVERIE_DATA`` names, then in the cache of the
operating system; only then is it downloaded, by pooch, and only its checksum makes it welcome.
"""

import hashlib
import os
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

import msgspec

from reverie.core.bibliography import BIBLIOGRAPHY, entry_key
from reverie.core.errors import InputError
from reverie.data.schema import Column

__all__ = ["Entry", "RemoteFile", "local_path", "read_entries"]


@dataclass(frozen=True)
class RemoteFile:
    """A file of a data set.

    Parameters
    ----------
    path : Path below REVERIE_DATA and below the cache.
    sha256 : Checksum, 64 hexadecimal digits.
    size : Size in bytes.
    url : Address; empty for a file that was derived from a public one, and must be put into REVERIE_DATA by hand.
    holds : What is in it: "events", one part of them, "labels", "covariance", "state", "bases" or "weights".
    """

    path: str
    sha256: str
    size: int
    url: str = ""
    holds: str = "events"


@dataclass(frozen=True)
class Entry:
    """All that the catalogue knows of a data set.

    Parameters
    ----------
    name, title : Name, and what it is in a few words, for lists.
    n_rows : Number of events; 0 for simulated sets of any size.
    event_shape : Shape of one event of the whole file.
    columns : Columns, as in a `Schema`.
    source : Address of the people who made it.
    licence : Terms as its source states them.
    citation : BibTeX entry, which begins with ``@type{key,``.
    form : How its files are read, a key of `reverie.data.catalogue.FORMS`; "toy" for simulated points.
    files : Files that `fetch` fetches.
    parts : Names of the parts; the first is the default.
    default_columns : Columns that `load` returns unless others are asked for; empty for all.
    note : What a user should know.
    """

    name: str
    title: str
    n_rows: int
    event_shape: tuple[int, ...]
    columns: tuple[Column, ...]
    source: str
    licence: str
    citation: str
    form: str = "toy"
    files: tuple[RemoteFile, ...] = ()
    parts: tuple[str, ...] = ()
    default_columns: tuple[str, ...] = ()
    note: str = ""

    @property
    def key(self) -> str:
        """Citation key of the BibTeX entry."""
        return entry_key(self.citation)

    def __str__(self) -> str:
        shape = " x ".join(str(n) for n in self.event_shape)
        size = sum(file.size for file in self.files)
        lines = [f"{self.name}: {self.title}", f"events: {self.n_rows or 'any number'}, each {shape}"]
        titles = ", ".join(column.title for column in self.columns)
        lines += [f"columns: {titles}"] if 1 < len(self.columns) <= 30 else []
        lines += [f"default columns: {', '.join(self.default_columns)}"] if self.default_columns else []
        lines += [f"parts: {', '.join(self.parts)}"] if self.parts else []
        lines += [self.note] if self.note else []
        lines += [f"source: {self.source}", f"licence: {self.licence}"]
        lines += [f"files: {len(self.files)}, {size / 1e6:.1f} MB"] if self.files else []
        return "\n".join([*lines, self.citation])

    def path_of(self, what: str) -> Path:
        """Return the path of the file that holds `what`, downloaded if it is nowhere yet."""
        return local_path(self, next(file for file in self.files if file.holds == what))

    def has(self, what: str) -> bool:
        """Tell whether any file holds `what`."""
        return any(file.holds == what for file in self.files)


@cache
def read_entries() -> dict[str, Entry]:
    """Return the entries of `catalogue.yaml` by name."""
    import yaml

    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # ten times as fast, where PyYAML was built with it
    records = yaml.load(files("reverie.data").joinpath("catalogue.yaml").read_text(encoding="utf-8"), loader)
    found = {}
    for name, record in records.items():
        columns, citation = list(_columns_of(record["columns"])), BIBLIOGRAPHY[record["citation"]]
        found[name] = msgspec.convert({**record, "name": name, "columns": columns, "citation": citation}, Entry)
    return found


def _columns_of(rows: Iterable[Any]) -> Iterable[dict[str, Any]]:
    """Yield the properties of each column: lists stand for their parts, and a row with a count for so many."""
    for row in rows:
        if isinstance(row, list):
            yield from _columns_of(row)
        elif "count" in row:
            properties = {key: value for key, value in row.items() if key != "count"}
            yield from ({**properties, "name": f"{row['name']}{k}"} for k in range(row["count"]))
        else:
            yield row


def local_path(found: Entry, file: RemoteFile) -> Path:
    """Return the path of a file of an entry, downloaded if it is nowhere yet."""
    folder = os.environ.get("REVERIE_DATA")
    path = Path(folder).expanduser() / file.path if folder else Path()
    if path.is_file():
        if hashlib.sha256(path.read_bytes()).hexdigest() == file.sha256:
            return path
        raise InputError(
            f"Expected the sha256 {file.sha256[:12]}... for {path}, got another: the file is damaged or of another "
            "version. Remove it and fetch it again."
        )
    if not file.url:
        raise InputError(
            f"Expected {file.path} of {found.name} in the folder that REVERIE_DATA names, got none; no public file has "
            f"this form. Make it from {found.source} and put it there."
        )
    import pooch

    place = Path(pooch.os_cache("reverie")) / file.path
    downloader: Any = pooch.HTTPDownloader(timeout=30)
    pooch.get_logger().setLevel("WARNING")
    try:
        got = pooch.retrieve(
            file.url, known_hash=f"sha256:{file.sha256}", fname=place.name, path=place.parent, downloader=downloader
        )
    except Exception as error:  # whatever the network or its libraries raise, the remedy is the same
        reason = " ".join(str(error).split())[:100]
        raise InputError(
            f"Expected to find or download {file.path} of {found.name}, got {type(error).__name__} from {file.url} "
            f"({reason}). Download it by hand to a folder, as {file.path}, and set REVERIE_DATA to that folder."
        ) from None
    return Path(got)
