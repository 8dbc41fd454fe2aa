"""What a developer is told is true: the skeletons run inside the library, and CONTRIBUTING names what there is.

The laws of a model are tried on its skeleton in tests/models/test_course.py, those of an objective and of a statistic
in tests/objectives and tests/laws, beside the library's own.
"""

import re
import runpy
from pathlib import Path

import numpy as np
import pytest
import torch

from reverie.data import catalogue
from reverie.models import GAN, load_model, save_model
from reverie.models.registry import MODELS
from reverie.objectives import OBJECTIVES
from reverie.validation import validate
from reverie.validation.statistics.registry import CHECKS, STATISTICS

ROOT = Path(__file__).parents[2]
SKELETONS = ROOT / "docs" / "developer" / "skeletons"
CONTRIBUTING = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
TINY = {"max_steps": 6, "record_every": 3, "n_checks": 2, "random_state": 0, "n_threads": 1}


def _skeleton(name):
    return runpy.run_path(str(SKELETONS / f"{name}.py"))


@pytest.mark.parametrize("name", ["model", "objective", "statistic"])
def test_a_skeleton_defines_what_it_says(name):
    content = _skeleton(name)
    assert content["__all__"]
    assert all(word in content for word in content["__all__"])


def test_the_objective_plays_a_game_of_weighted_events(monkeypatch):
    """It is that of Mao et al., so the game is that of "least_squares", bit for bit."""
    monkeypatch.setitem(OBJECTIVES, "skeleton", _skeleton("objective")["LEAST_SQUARES"])
    X, options = catalogue.load("ring", n=300), {**TINY, "generator": (8,), "discriminator": (8,), "refine": False}
    weight = np.linspace(0.5, 1.5, 300)
    ours, theirs = (
        GAN(objective=name, **options).fit(X, sample_weight=weight).sample(20, random_state=0).values
        for name in ("skeleton", "least_squares")
    )
    np.testing.assert_array_equal(ours, theirs)


def test_the_model_learns_is_saved_and_comes_back(monkeypatch, tmp_path):
    X, model = np.random.default_rng(0).normal(3.0, 2.0, (300, 2)), _skeleton("model")["X"]
    monkeypatch.setitem(MODELS, "x", model)
    fitted = model(**TINY).fit(X)
    back = load_model(save_model(fitted, tmp_path / "x"))
    np.testing.assert_array_equal(back.sample(5, random_state=0), fitted.sample(5, random_state=0))
    np.testing.assert_allclose(back.score_samples(X[:5]), fitted.score_samples(X[:5]))


def test_the_statistic_is_the_length_of_the_shift():
    x = torch.randn(50, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    assert float(_skeleton("statistic")["mean_shift"](x, x + torch.tensor([3.0, 4.0]))) == pytest.approx(5.0)


def test_the_statistic_becomes_one_of_the_battery_by_its_row(monkeypatch):
    """It runs, is judged, says what it needs and is cited; a shift is found and its twin without shift is not."""
    row = _skeleton("statistic")["ROW"]
    monkeypatch.setattr("reverie.validation.battery.STATISTICS", (*STATISTICS, row))
    monkeypatch.setitem(CHECKS, row.checks[0].name, row.checks[0])
    x, y = np.random.default_rng(0).normal(size=(2, 300, 2))
    options = {"tests": ["mean shift"], "classifiers": (), "n_permutations": 99, "random_state": 0}
    shifted, alike = validate(x, y + 1.0, **options), validate(x, y, **options)
    assert [check.name for check in shifted.checks] == ["mean shift"]
    assert (shifted.distinguishes, alike.distinguishes) == (True, False)
    assert shifted.n_distinguish_test == "mean shift" or "Gaussian" in shifted.n_distinguish_test
    assert "hotelling1931" in shifted.references
    assert "Mean shift: " in str(shifted)
    assert "finer structure (mean shift)" in shifted.verdict


def test_contributing_names_files_that_are_there():
    """Paths are those of the package, of tests, or of the repository; x.py and x.md are files to write."""
    paths = set(re.findall(r"`((?:[\w-]+/)+[\w.-]*)`", CONTRIBUTING))
    paths |= {target for target in re.findall(r"\]\(([\w./-]+)\)", CONTRIBUTING)}
    assert len(paths) > 20
    for path in paths - {path for path in paths if path.endswith(("/x.py", "/x.md"))}:
        places = [ROOT / path, ROOT / "src" / "reverie" / path, ROOT / "docs" / "developer" / path]
        assert any(place.exists() for place in places), path


def test_contributing_names_tables_and_methods_that_are_there():
    pairs = re.findall(r"`([A-Za-z_]+)` (?:in|of|from) `((?:[\w-]+/)+[\w.]+\.py)`", CONTRIBUTING)
    assert len(pairs) > 10
    for name, path in pairs:
        if path.endswith("/x.py"):  # the file to write
            continue
        file = next(p for p in (ROOT / path, ROOT / "src" / "reverie" / path) if p.exists())
        assert re.search(rf"^\s*(?:(?:class|def) {name}\b|{name}\b.*=)", file.read_text("utf-8"), re.M), (name, path)
