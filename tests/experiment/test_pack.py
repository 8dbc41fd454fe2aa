"""A run in one file: it comes back as it was, every change of it is seen, and nothing unsafe is unpacked."""

import hashlib
import shutil
import stat
import subprocess
import zipfile
from pathlib import Path

import numpy as np
import pytest

import reverie
from reverie.cli.main import main
from reverie.core.errors import InputError
from reverie.experiment.folder import RunFolder
from reverie.experiment.pack import check, pack, unpack

FINISHED = Path(__file__).parents[1] / "cli" / "runs_0_1" / "finished"


@pytest.fixture
def run(tmp_path) -> RunFolder:
    shutil.copytree(FINISHED, tmp_path / "run")
    (tmp_path / "run" / "diary.txt").write_text("mine")
    (tmp_path / "run" / "model" / "secret.pkl").write_text("mine")
    return RunFolder(tmp_path / "run")


def _changed(file: Path, out: Path, change) -> Path:
    """Copy an archive, each entry (name, content) through `change`, which may return several or none."""
    with zipfile.ZipFile(file) as source, zipfile.ZipFile(out, "w") as target:
        for name in source.namelist():
            for entry, content in change(name, source.read(name)):
                target.writestr(entry, content)
    return out


def test_a_run_comes_back_from_its_file(run, tmp_path, capsys):
    assert main(["pack", str(run.path)]) == 0
    file = tmp_path / "run.zip"
    assert str(file) in capsys.readouterr().out
    assert main(["pack", "--check", str(file)]) == 0
    assert "all as they were packed" in capsys.readouterr().out
    assert main(["pack", "--unpack", str(file), "--out", str(tmp_path / "copy")]) == 0
    copy = tmp_path / "copy"
    names = {path.relative_to(copy).as_posix() for path in copy.rglob("*") if path.is_file()}
    own = {path.relative_to(run.path).as_posix() for path in run.path.rglob("*") if path.is_file()}
    left_out = {name for name in own if name.startswith("checkpoints/")} | {"diary.txt", "model/secret.pkl"}
    assert names == own - left_out | {"README.md", "SHA256SUMS"}
    for name in names & own:
        assert (copy / name).read_bytes() == (run / name).read_bytes()
    x, y = (reverie.load(folder).sample(20, random_state=0).values for folder in (run.path, copy))
    np.testing.assert_array_equal(x, y)
    subprocess.run(["sha256sum", "--check", "--quiet", "SHA256SUMS"], cwd=copy, check=True)
    assert main(["resume", str(copy), "--max-steps", "9999"]) == 2
    assert "the run was packed" in capsys.readouterr().err


def test_the_card_says_what_it_is(run, tmp_path):
    with zipfile.ZipFile(pack(run, tmp_path / "x.zip")) as archive:
        card = archive.read("README.md").decode()
    for words in (
        run.command,
        run.validation().verdict,
        run.read_json("data.json")["sha256"],
        "@",
        "max_steps = ",
        "torch",
    ):
        assert words in card


def test_the_same_run_gives_the_same_bytes(run, tmp_path):
    first, second = pack(run, tmp_path / "a.zip"), pack(run, tmp_path / "b.zip")
    assert first.read_bytes() == second.read_bytes()


def test_every_change_is_seen(run, tmp_path):
    file = pack(run, tmp_path / "x.zip")
    for name in check(file):
        other = _changed(file, tmp_path / "y.zip", lambda n, c, name=name: [(n, c + b"\n" if n == name else c)])
        if name != "SHA256SUMS":
            with pytest.raises(InputError, match="which has changed"):
                check(other)
        missing = _changed(file, tmp_path / "z.zip", lambda n, c, name=name: [] if n == name else [(n, c)])
        with pytest.raises(InputError, match=r"which is missing|no SHA256SUMS"):
            check(missing)
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 0xFF
    (tmp_path / "x.zip").write_bytes(content)
    with pytest.raises(InputError, match="ask for another copy"):
        check(file)
    for junk in (b"", b"PK\x03\x04", b"no archive"):
        file.write_bytes(junk)
        with pytest.raises(InputError, match="cannot be read"):
            check(file)


def _link() -> zipfile.ZipInfo:
    entry = zipfile.ZipInfo("link.txt")
    entry.external_attr = (stat.S_IFLNK | 0o777) << 16
    return entry


UNSAFE = [
    "../out.txt",
    "/abs.txt",
    "a/../../out.txt",
    "a\\b.txt",
    "C:x.txt",
    "model/x.pkl",
    "checkpoints/s.pt",
    _link(),
    "a//b.txt",
]


@pytest.mark.parametrize("name", UNSAFE, ids=str)
def test_nothing_unsafe_is_unpacked_even_with_its_sum(run, tmp_path, name):
    evil, called = b"evil", name if isinstance(name, str) else name.filename

    def add(n, content):
        if n != "SHA256SUMS":
            return [(n, content)]
        line = f"{hashlib.sha256(evil).hexdigest()}  {called}\n"
        return [(n, content + line.encode()), (name, evil)]

    file = _changed(pack(run, tmp_path / "x.zip"), tmp_path / "y.zip", add)
    with pytest.raises(InputError, match="which no run has"):
        unpack(file, tmp_path / "sub" / "copy")
    assert not (tmp_path / "sub").exists()
    assert not list(tmp_path.rglob("out.txt"))


def test_what_is_not_listed_is_refused(run, tmp_path):
    more = lambda n, c: [(n, c), ("more.txt", b"")] if n == "SHA256SUMS" else [(n, c)]  # noqa: E731
    with pytest.raises(InputError, match="not in SHA256SUMS"):
        check(_changed(pack(run, tmp_path / "x.zip"), tmp_path / "y.zip", more))


def test_wrong_calls_are_answered(run, tmp_path, capsys):
    for argv, word in (
        ([], "Expected one of RUN"),
        ([str(run.path), "--check", "x.zip"], "Expected one of RUN"),
        (["--unpack", "x.zip"], "Add --out"),
        (["--check", str(tmp_path / "none.zip")], "cannot be read"),
        ([str(run.path), "--out", "x.tar"], "suffix .zip"),
        ([str(FINISHED.parent / "stopped")], "Expected a trained run"),
    ):
        assert main(["pack", *argv]) == 2
        assert word in capsys.readouterr().err
    pack(run)
    assert main(["pack", str(run.path)]) == 2
    assert main(["pack", str(run.path), "--overwrite"]) == 0
