"""A run in one file, to hand on: a .zip with its model, samples, verdict and report, a card, and checksums of all.

    README.md     the card: what was learnt from what, how it was trained, the verdict, how to use it, what to cite
    SHA256SUMS    a line for each other file, as the command sha256sum writes and checks them
    ...           files of the run folder by their names there (`reverie.experiment.folder`)

Training states are left out: they hold the archive format of torch, in which a file can hide code, and only a resume
needs them. So are files that are not of the run. An archive is read name by name: what is not listed, leads out of the
folder, is a link, or has a suffix that no file of a run has, is refused, and nothing is unpacked before all sums agree.
The same run gives the same bytes.
"""

import hashlib
import json
import re
import shutil
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from reverie.core.errors import InputError
from reverie.core.typed_files import digest_of_file
from reverie.data.sinks import check_new_file, check_room
from reverie.experiment.cite import references_of
from reverie.experiment.config import all_options, format_duration
from reverie.experiment.folder import RunFolder, check_new
from reverie.training.checkpoint import atomic_file

__all__ = ["check", "pack", "unpack"]

_CARD, _SUMS = "README.md", "SHA256SUMS"
_SUFFIXES = {
    ".yaml", ".txt", ".json", ".jsonl", ".npy", ".npz", ".safetensors", ".html", ".csv", ".parquet", ".h5", ".root",
    ".md",
}  # fmt: skip
_BLOCK = 1 << 20


def pack(folder: RunFolder, out: str | Path | None = None, *, overwrite: bool = False) -> Path:
    """Write a trained run into a .zip, by default beside its folder, and return its path.

    Raises `InputError` for a run whose training has not ended, and `FolderError` for a file that is there already,
    unless it is to be overwritten.
    """
    if not folder.is_trained:
        raise InputError(f"Expected a trained run, got {str(folder.path)!r}. Finish it: reverie resume {folder.path}")
    path = Path(f"{folder.path}.zip") if out is None else Path(out)
    if path.suffix != ".zip":
        raise InputError(f"Expected --out with the suffix .zip, got {str(path)!r}. Write {path.name}.zip.")
    check_new_file(path, overwrite=overwrite)
    files = {name: folder / name for name in sorted(_names(folder))}
    card = _card(folder, list(files)).encode()
    sums = {_CARD: hashlib.sha256(card).hexdigest()} | {name: digest_of_file(file) for name, file in files.items()}
    lines = "".join(f"{digest}  {name}\n" for name, digest in sums.items())
    with atomic_file(path) as target, zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in ((_CARD, card), (_SUMS, lines.encode())):
            archive.writestr(_entry(name), content)
        for name, file in files.items():
            with file.open("rb") as source, archive.open(_entry(name), "w", force_zip64=True) as place:
                shutil.copyfileobj(source, place, _BLOCK)
    return path


def check(file: str | Path) -> dict[str, int]:
    """Return the names and sizes in bytes of all files in a packed run, each of which is what it was.

    Raises `InputError` for anything else: another kind of file, one that is damaged, missing or not listed, and unsafe
    names.
    """
    try:
        with zipfile.ZipFile(file) as archive:
            entries = {entry.filename: entry for entry in archive.infolist()}
            if len(entries) < len(archive.infolist()):
                raise _unlike(file, "a name that stands there twice")
            for name, entry in entries.items():
                _check_name(file, name, entry)
            sums = _sums(file, archive)
            for name in {*sums, *entries} - {_SUMS}:
                if name not in entries or name not in sums:
                    raise _unlike(file, f"{name!r}, which is {'missing' if name in sums else f'not in {_SUMS}'}")
                with archive.open(name) as source:
                    # pyrefly: ignore[bad-argument-type] - it has readinto and readable, which its type leaves out
                    digest = hashlib.file_digest(source, "sha256").hexdigest()
                if digest != sums[name]:
                    raise _unlike(file, f"{name!r}, which has changed")
            return {name: entry.file_size for name, entry in entries.items()}
    except (zipfile.BadZipFile, NotImplementedError, EOFError, RuntimeError, UnicodeDecodeError, OSError) as error:
        said = " ".join(str(error).split())[:120]
        raise _unlike(file, f"a file that cannot be read ({type(error).__name__}: {said})") from None
    except zlib.error as error:
        raise _unlike(file, f"a damaged one ({error})") from None


def unpack(file: str | Path, out: str | Path) -> RunFolder:
    """Unpack a run, once `check` has passed it, into a new folder; nothing is left there if that fails."""
    sizes = check(file)
    path = check_new(out)
    temporary = path.with_name(f".{path.name}.tmp")
    shutil.rmtree(temporary, ignore_errors=True)
    check_room(temporary, 1, sum(sizes.values()))
    try:
        with zipfile.ZipFile(file) as archive:
            for name in sizes:
                target = temporary / name
                target.parent.mkdir(parents=True, exist_ok=True)
                with archive.open(name) as source, target.open("wb") as place:
                    shutil.copyfileobj(source, place, _BLOCK)
        if path.is_dir():
            path.rmdir()  # an empty one
        temporary.rename(path)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return RunFolder(path)


def _names(folder: RunFolder) -> Iterator[str]:
    """Yield the names of the files of a run that are handed on."""
    single = (
        "command.txt", "config.yaml", "environment.json", "data.json", "status.json", "resolved.json", "history.jsonl",
        "validation.json", "assessment.json", "latent.npz", "replicas.npy", "report.html", "selection.json",
    )  # fmt: skip
    known = [folder / name for name in single] + [file for file in (folder.samples, folder.conditions) if file]
    inside = [*folder.snapshot_files().values(), *(folder / "model").rglob("*")]
    for file in (*known, *inside):
        if file.is_file() and not file.is_symlink() and file.suffix in _SUFFIXES:
            yield file.relative_to(folder.path).as_posix()


def _entry(name: str) -> zipfile.ZipInfo:
    """Return an entry without the time and the owner, so that the same run gives the same bytes."""
    entry = zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0))
    entry.compress_type, entry.external_attr = zipfile.ZIP_DEFLATED, 0o644 << 16
    return entry


def _check_name(file: str | Path, name: str, entry: zipfile.ZipInfo) -> None:
    parts = PurePosixPath(name).parts
    is_inside = bool(parts) and ".." not in parts and PurePosixPath(name).as_posix() == name
    is_plain = re.fullmatch(r"[\w.@+-]+(/[\w.@+-]+)*", name) is not None
    is_file = (entry.external_attr >> 16) & 0o170000 in (0, 0o100000)
    if not (is_inside and is_plain and is_file and (name == _SUMS or PurePosixPath(name).suffix in _SUFFIXES)):
        raise _unlike(file, f"{name!r}, which no run has")


def _sums(file: str | Path, archive: zipfile.ZipFile) -> dict[str, str]:
    if _SUMS not in archive.namelist() or archive.getinfo(_SUMS).file_size > _BLOCK:
        raise _unlike(file, f"no {_SUMS}")
    lines = archive.read(_SUMS).decode().splitlines()
    found = [re.fullmatch(r"([0-9a-f]{64})  (.+)", line) for line in lines]
    return {match[2]: match[1] for match in found if match}


def _unlike(file: str | Path, found: str) -> InputError:
    return InputError(
        f"Expected a run that reverie packed in {str(file)!r}, got {found}. Nothing was unpacked; ask for another copy."
    )


def _card(folder: RunFolder, names: list[str]) -> str:
    """Return the card of a run in Markdown."""
    config, data, status = folder.config(), folder.read_json("data.json", {}), folder.read_json("status.json", {})
    environment, result, ended = folder.read_json("environment.json", {}), folder.validation(), status.get("training")
    columns = [str(c.get("name")) for c in (data.get("schema") or {}).get("columns", ())]
    options = all_options(config)
    title = f"{config.model_name} on {config.data}"
    lines = [f"# {title}", "", f"A generative model ({config.model_name}) that reverie trained.", "", "## Data", ""]
    n_all, n_train, n_out = (f"{data.get(name, 0):,}" for name in ("n_rows", "n_train", "n_held_out"))
    lines += [f"{config.data}: {n_all} events, of which {n_train} were trained on and {n_out} held out. "
              f"Columns: {', '.join(columns)}. SHA-256 of the values: "
              f"{data.get('sha256', 'unknown')}. The data are not in this file."]  # fmt: skip
    lines += ["", "## Training", "", f"    {folder.command}", ""]
    if ended:
        lines += [f"{ended['step']:,} steps in {format_duration(ended['seconds'])}, ended by {ended['ended_by']}.", ""]
    lines += [
        "Options: " + ", ".join(f"{key} = {json.dumps(value, default=str)}" for key, value in options.items()) + "."
    ]
    versions = ", ".join(f"{k} {v}" for k, v in environment.get("versions", {}).items() if v != "not installed")
    lines += ["", f"Versions: {versions}.", "", "## Verdict on the samples", ""]
    lines += ["None: the samples were not validated." if result is None else result.verdict]
    lines += [
        "",
        "## Use",
        "",
        "    reverie pack --unpack FILE.zip --out run",
        "    reverie sample run -n 1000 -o samples.npy",
    ]
    lines += ["", "or in Python `reverie.load('run').sample(1000)`. `sha256sum -c SHA256SUMS` checks the files.", ""]
    lines += ["## Files", "", *(f"- {name}" for name in names), "", "## Cite", "", "```bibtex"]
    return "\n".join([*lines, *(entry for _, entry in references_of(folder)), "```", ""])
