"""`reverie explore` from the command line, and the page on it."""

import json
import re
import shlex
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from reverie.cli import explore

PAGE = (Path(__file__).parents[2] / "docs" / "how-to" / "explore.md").read_text(encoding="utf-8")
COMMANDS = re.findall(r"^\$ reverie explore (.*)$", PAGE, flags=re.MULTILINE)
WORDS = re.compile(r"[^\W\d]+")


def test_sentences_then_notes_then_the_page(call, table, tmp_path):
    code, out, err = call("explore", table, "--clusters", "2", "--out", tmp_path / "out")
    lines = out.splitlines()
    assert (code, err) == (0, "")
    assert lines[0] == "events.csv: 240 rows of 3 columns, each divided by its standard deviation."
    assert lines[-1] == f"page: {tmp_path / 'out' / 'exploration.html'}"
    assert (tmp_path / "out" / "exploration.html").is_file()


def test_json_alone(call, table, tmp_path):
    _, out, _ = call("explore", "--json", table, "--clusters", "2", "--columns", "px,pz", "--out", tmp_path / "out")
    content = json.loads(out)
    assert content["pca"]["names"] == ["px", "pz"]
    assert content == json.loads((tmp_path / "out" / "exploration.json").read_text(encoding="utf-8"))


def test_a_target_and_no_standardising(call, table):
    _, out, _ = call("explore", table, "--clusters", "2", "--target", "py", "--no-standardise", "--linkage", "average")
    assert "2 columns, as they are" in out
    assert "A random forest predicts py with R²" in out
    assert "average linkage" in out


def test_a_covariance(call, tmp_path):
    np.savetxt(tmp_path / "c.txt", np.diag([3.0, 2.0, 1.0]))
    code, out, _ = call("explore", tmp_path / "c.txt", "--covariance", "--out", tmp_path)
    assert code == 0
    assert "Rank 3 of 3; condition number 3 " in out


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("nowhere.csv",), "nowhere.csv"),
        (("{table}", "--columns", "px,pq"), "'pq'"),
        (("{table}", "--columns", "px"), "at least two columns"),
        (("{table}", "--max-rows", "12"), "at least 20 rows"),
        (("{table}", "--target", "pq"), "'pq'"),
        (("{table}", "--linkage", "wards"), "ward"),
        (("{table}", "--seed", "-1"), "--seed"),
        (("{table}", "--clusters", "two"), "--clusters"),
        (("{table}", "--standardise", "--no-standardise"), "both"),
        (("{table}", "--covariance"), "square"),
        (("{table}", "--tsn"), "--tsne"),
        ((), "reverie explore DATA"),
        (("--lecture",), "--out"),
    ],
)
def test_what_is_wrong_is_said_in_one_line(call, table, options, words):
    code, out, err = call("explore", *[str(option).format(table=table) for option in options])
    assert (code, out) == (2, "")
    assert words in err
    assert len(err.splitlines()) == 1


def test_a_folder_that_cannot_be_written(call, table, tmp_path):
    (tmp_path / "file").write_text("")
    code, _, err = call("explore", table, "--clusters", "2", "--out", tmp_path / "file")
    assert code == 2
    assert len(err.splitlines()) == 1


def test_control_c_is_a_clean_end(call, table, monkeypatch):
    def stopped(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr("reverie.explore.kmeans", stopped)
    assert call("explore", table) == (130, "", "reverie: Stopped.\n")


def test_the_help_needs_no_heavy_library():
    code = (
        "import sys\nfrom reverie.cli.main import main\nmain(['explore', '--help'])\n"
        "print([name for name in ('torch', 'sklearn', 'scipy', 'matplotlib') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"


def test_commands_of_the_page_are_known():
    assert len(COMMANDS) >= 5
    for command in COMMANDS:
        explore.options().parse(shlex.split(command, comments=True))


def test_python_of_the_page_runs(capsys):
    names = {}
    for block in re.findall(r"```python\n(.*?)```", PAGE, flags=re.DOTALL):
        exec(compile(block, "explore.md", "exec"), names)
    assert "principal components" in capsys.readouterr().out


@pytest.mark.slow  # sentences of a command: test_sentences_then_notes_then_the_page
def test_what_the_page_shows_is_what_is_printed(call):
    """The output shown below the command on the ring is that of today, but for digits, which hang on the machine."""
    command, shown = re.search(r"^\$ reverie (explore ring.*)\n((?:.+\n)+)```", PAGE, flags=re.MULTILINE).groups()
    printed = call(*shlex.split(command))[1]
    assert WORDS.findall(printed) == WORDS.findall(shown)
    assert "find 8 clusters" in printed
