"""What is printed is less than what is made: a stream that fails is given up, and nothing is raised."""

import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest

from reverie.core.streams import LenientStream, lenient_streams


def reader_gone():
    read, write = os.pipe()
    os.close(read)
    return os.fdopen(write, "w")


def closed():
    stream = open(os.devnull, "w")
    stream.close()
    return stream


BROKEN = {"full disk": lambda: open("/dev/full", "w"), "no reader": reader_gone, "closed": closed}


@pytest.mark.parametrize("opened", BROKEN.values(), ids=BROKEN)
def test_a_broken_stream_is_given_up_and_can_be_closed(opened):
    if not Path("/dev/full").exists():
        pytest.skip("needs /dev/full")
    inner = opened()
    stream = LenientStream(inner)
    for _ in range(3):
        print("x" * 9000, file=stream, flush=True)
    assert stream.error is not None
    inner.close()  # writes what is kept back: nowhere, and without an error


def test_a_stream_that_python_found_closed_takes_all():
    stream = LenientStream(None)
    print("lost", file=stream, flush=True)
    assert not stream.isatty()


def test_letters_that_the_encoding_lacks_are_replaced(tmp_path):
    with open(tmp_path / "ascii.txt", "w", encoding="ascii") as inner:
        print("0.5 ± 0.1", file=LenientStream(inner))
    assert (tmp_path / "ascii.txt").read_text() == "0.5 ? 0.1\n"


def test_a_good_stream_says_what_is_written(capsys):
    with lenient_streams() as (out, _):
        print("kept")
        assert out.error is None
    assert capsys.readouterr().out == "kept\n"


SHELL = {
    "reader gone": ("{} --help | head -1 >/dev/null; echo ${{PIPESTATUS[0]}} >&2", "0\n"),
    "output closed": ("{} --help >&-; echo $? >&2", "0\n"),
    "all closed": ("{} nonsense >&- 2>&-; test $? = 2 && echo good >&2", "good\n"),
}


@pytest.mark.parametrize(("script", "said"), SHELL.values(), ids=SHELL)
def test_the_command_ends_without_a_trace(script, said):
    command = script.format(f"{sys.executable} -m reverie")
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=False)
    assert done.stderr == said


def test_results_that_could_not_be_printed_are_an_error():
    if not Path("/dev/full").exists():
        pytest.skip("needs /dev/full")
    command = [sys.executable, "-m", "reverie", "--help"]
    with open("/dev/full", "w") as full:
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert os.strerror(errno.ENOSPC) in done.stderr
