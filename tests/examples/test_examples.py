"""The examples run, print figures and leave a picture."""

import runpy
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parents[2] / "examples"
LECTURES = ("lecture_mlp", "thesis_pair", "dcgan28", "wgan_conv")
SMALL = {"thesis_pair": ("--data", "ring", "--columns", "x,y")}


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


@pytest.mark.parametrize("name", LECTURES)
def test_an_example_is_short_and_runs(run, name):
    assert len((EXAMPLES / f"{name}.py").read_text().splitlines()) <= 40
    printed = run(name, *SMALL.get(name, ("--data", "digits")), "--max-steps", "4")
    assert "distance from held-out" in printed or "score" in printed
    assert f"picture: {name}.png" in printed


def test_a_wave_function_is_learnt(run, real_data):
    printed = run("tfim1d", "--max-steps", "20")
    assert "fidelity" in printed
    assert "picture: tfim1d.png" in printed


@pytest.mark.slow
@pytest.mark.parametrize("name", LECTURES)
def test_an_example_runs_on_its_own_data(run, name, real_data):
    assert "picture" in run(name, "--max-steps", "2")
