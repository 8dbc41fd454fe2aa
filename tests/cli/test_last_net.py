"""Whatever is raised ends as one sentence and an exit code; a fault of ours also as a file with the traceback."""

import errno
import re
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from reverie.core.errors import InputError, TrainingError


def late_ctrl_c() -> None:
    """Be stopped while a library loads, which then raises an error of its own."""
    try:
        raise KeyboardInterrupt
    except KeyboardInterrupt:
        raise ImportError("numpy could not be imported") from None


def recurse() -> None:
    recurse()


def raising(error: BaseException):
    def stop() -> None:
        raise error

    return stop


ENDINGS = {
    "fault": (raising(KeyError("sha256")), 70, "fault of reverie"),
    "endless recursion": (recurse, 70, "fault of reverie"),
    "several lines": (raising(InputError("Expected a,\ngot b.")), 2, "Expected a, got b."),
    "no memory": (raising(MemoryError()), 1, "memory"),
    "no memory, as torch says it": (raising(RuntimeError("DefaultCPUAllocator: can't allocate memory")), 1, "memory"),
    "training": (raising(TrainingError("no", step=3)), 1, "no"),
    "Ctrl-C": (raising(KeyboardInterrupt()), 130, "Stopped"),
    "Ctrl-C while a library loads": (late_ctrl_c, 130, "Stopped"),
    "any error of a file": (raising(OSError(errno.ELOOP, "Too many levels", "a")), 2, "Too many levels at 'a'"),
    "an error of a file without a number": (raising(OSError("odd")), 2, "odd"),
    "exit with a sentence": (raising(SystemExit("odd")), 1, "odd"),
    "exit": (raising(SystemExit()), 0, ""),
}


@pytest.mark.parametrize(("stop", "code", "words"), ENDINGS.values(), ids=ENDINGS)
def test_endings(call, monkeypatch, tmp_path, stop, code, words):
    monkeypatch.setitem(sys.modules, "reverie.cli.cite", SimpleNamespace(main=lambda argv: stop()))
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    found, _, err = call("cite")
    assert found == code
    assert words in err
    assert "Traceback" not in err
    assert err.count("\n") == (0 if code == 0 else 1)
    assert bool(list(tmp_path.iterdir())) is (code == 70)


def test_the_trace_of_a_fault_is_kept_with_the_command(call, monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "reverie.cli.cite", SimpleNamespace(main=lambda argv: {}["sha256"]))
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    _, _, err = call("cite", "runs/x y")
    place = re.search(r"in (\S+\.txt);", err)
    assert place is not None
    text = Path(place[1]).read_text()
    assert "$ reverie cite 'runs/x y'" in text
    assert "KeyError: 'sha256'" in text
