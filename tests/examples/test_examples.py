"""The examples run in a tiny budget, print figures as they go and leave a picture; one page links them all."""

import re
import runpy
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "examples"
NAMES = sorted(path.stem for path in EXAMPLES.glob("*.py"))
LECTURES = ("lecture_mlp", "thesis_pair", "dcgan28", "wgan_conv")
SMALL = {"thesis_pair": ("--data", "ring", "--columns", "x,y"), "lecture_mlp": ("--data", "digits")}
STEPS = {"thesis_pair": 1}  # its convolutions of 10 x 10 planes take a second a step


@pytest.fixture
def run(monkeypatch, tmp_path, capsys):
    """Run an example in an empty folder; return what it prints."""

    def run(name: str, *options: str) -> str:
        monkeypatch.chdir(tmp_path)
        monkeypatch.setattr(sys, "argv", [f"{name}.py", *options])
        runpy.run_path(str(EXAMPLES / f"{name}.py"), run_name="__main__")
        assert (tmp_path / f"{name}.png").read_bytes().startswith(b"\x89PNG")
        return capsys.readouterr().out

    return run


@pytest.mark.parametrize(  # of the two pairs of convolutions on small digits one is quick
    "name", [pytest.param(n, marks=pytest.mark.slow) if n in ("thesis_pair", "dcgan28") else n for n in LECTURES]
)
def test_an_example_of_the_lectures_is_short_and_shows_how_far_it_is(run, name):
    assert len((EXAMPLES / f"{name}.py").read_text().splitlines()) <= 50
    n_steps = STEPS.get(name, 2)
    printed = run(name, *SMALL.get(name, ()), "--max-steps", str(n_steps))
    steps = [int(step) for step in re.findall(rf"^step +(\d+) of {n_steps} ", printed, re.M)]
    assert steps == list(range(1, n_steps + 1))
    assert len(re.findall(r"score \d|digits \d", printed)) >= n_steps
    assert f"picture: {name}.png" in printed


@pytest.mark.parametrize("name", sorted({*NAMES} - {*LECTURES, "tfim1d"}))
def test_an_example_runs_and_prints_an_error(run, name):
    assert re.search(r"error.* \d", run(name, "--max-steps", "2"))


def test_a_wave_function_is_learnt(run, real_data):
    printed = run("tfim1d", "--max-steps", "20")
    assert "fidelity" in printed
    assert "picture: tfim1d.png" in printed


def test_the_page_links_every_example_and_every_preset_of_the_lectures():
    page = (ROOT / "docs" / "lectures.md").read_text(encoding="utf-8")
    linked = set(re.findall(r"\(\.\./examples/(\w+)\.py\)", page))
    assert linked == set(NAMES)
    for name in LECTURES:
        line = next(line for line in page.splitlines() if f"../examples/{name}.py" in line)
        assert re.search(r"\d+ (?:s|min|minutes?)\b", line), name  # how long it takes


@pytest.mark.slow
@pytest.mark.parametrize("name", ["lecture_mlp", "thesis_pair"])
def test_an_example_runs_on_its_own_data(run, name, real_data):
    assert "picture" in run(name, "--max-steps", "2")


@pytest.mark.slow
@pytest.mark.parametrize("name", ["dcgan28", "wgan_conv"])
def test_an_example_runs_at_full_size(run, name, real_data):
    assert "picture" in run(name, "--full", "--max-steps", "2")
