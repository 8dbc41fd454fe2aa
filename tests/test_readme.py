"""The README and the docstrings tell the truth: their Python runs, their files exist, their commands are known."""

import doctest
import importlib
import pkgutil
import re
import shlex
from pathlib import Path

import pytest

import reverie
from reverie.cli.main import VERBS

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
MODULES = [m.name for m in pkgutil.walk_packages(reverie.__path__, "reverie.") if "__main__" not in m.name]


@pytest.fixture
def quick(monkeypatch):
    """Let validations take 39 permutations, and trainings 30 steps."""
    whole, gan = reverie.validate, reverie.GAN
    monkeypatch.setattr(reverie, "validate", lambda *samples, **how: whole(*samples, **how | {"n_permutations": 39}))
    monkeypatch.setattr(reverie, "GAN", lambda **options: gan(**options | {"max_steps": 30}))


@pytest.mark.slow
@pytest.mark.parametrize("page", ["README.md", "docs/how-to/replicas.md", "docs/theory/flow_matching.md"])
def test_python_of_pages_runs_as_it_stands(page, tmp_path, monkeypatch):
    """With all its steps and permutations; blocks of a page may stand on those before them."""
    monkeypatch.chdir(tmp_path)
    blocks, names = re.findall(r"```python\n(.*?)```", (ROOT / page).read_text(encoding="utf-8"), flags=re.DOTALL), {}
    assert blocks
    for block in blocks:
        exec(compile(block, page, "exec"), names)


@pytest.mark.usefixtures("quick")
def test_python_of_the_readme_runs(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    for block in re.findall(r"```python\n(.*?)```", README, flags=re.DOTALL):
        exec(compile(block, "README.md", "exec"), {})
    assert (tmp_path / "report.html").stat().st_size > 10_000
    assert "real against real" in capsys.readouterr().out


@pytest.mark.usefixtures("quick")
def test_python_of_the_page_on_validation_runs(tmp_path, monkeypatch, capsys):
    """The report of it is not painted: that of the README is."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("matplotlib.figure.Figure.savefig", lambda figure, file, **options: file.write(b"<svg/>"))
    page = (ROOT / "docs" / "how-to" / "validate.md").read_text(encoding="utf-8")
    for block in re.findall(r"```python\n(.*?)```", page, flags=re.DOTALL):
        exec(compile(block, "validate.md", "exec"), {})
    assert "pt differs" in capsys.readouterr().out


def test_commands_of_the_readme_are_known():
    commands = re.findall(r"^\$ reverie (.*)$", README, flags=re.MULTILINE)
    assert commands
    for command in commands:
        assert shlex.split(command, comments=True)[0] in VERBS


def test_links_of_the_readme_and_of_contributing_lead_somewhere():
    for page in ("README.md", "CONTRIBUTING.md"):
        text = (ROOT / page).read_text(encoding="utf-8")
        for target in re.findall(r"\]\(([^)#]+)\)", text):
            assert target.startswith("http") or (ROOT / target).exists(), f"{page}: {target}"


def test_vision_is_short():
    assert len((ROOT / "VISION.md").read_text(encoding="utf-8").split()) < 60


@pytest.mark.parametrize("name", MODULES)
def test_examples_in_docstrings_run(name):
    module = importlib.import_module(name)
    failed, _ = doctest.testmod(module, optionflags=doctest.NORMALIZE_WHITESPACE | doctest.ELLIPSIS)
    assert failed == 0
