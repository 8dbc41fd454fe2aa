"""A new model is its own file and one row of the registry: the skeleton goes through everything that a user does.

It is copied into a package outside of reverie, and registered by a string as the library's own models are.
"""

import shutil
from pathlib import Path

import numpy as np
import pytest

import reverie
from reverie.cli.main import main as command
from reverie.models.registry import MODELS, model_class

SKELETON = Path(__file__).parents[2] / "docs" / "developer" / "skeletons" / "model.py"
SHORT = ["--max-steps", "30", "--record-every", "5", "--n-checks", "2", "--quiet"]


@pytest.fixture
def table(tmp_path, monkeypatch):
    """Register the skeleton as "x" of a package of a user, and return the path of a table; figures are not painted."""
    monkeypatch.setattr("matplotlib.figure.Figure.savefig", lambda figure, file, **options: file.write(b"<svg/>"))
    package = tmp_path / "somebodys_package"
    package.mkdir()
    (package / "__init__.py").touch()
    shutil.copy(SKELETON, package / "x.py")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setitem(MODELS, "x", "somebodys_package.x:X")
    rows = np.random.default_rng(0).normal([3.0, -1.0], [2.0, 0.5], (600, 2))
    np.savetxt(tmp_path / "table.csv", rows, delimiter=",", header="a,b", comments="")
    return str(tmp_path / "table.csv")


def test_a_registered_model_runs_resumes_loads_is_cited_and_tuned(table, tmp_path, capsys):
    run = str(tmp_path / "run")
    assert command(["run", "x", table, "--out", run, "--seed", "0", "--no-validate", *SHORT]) == 0
    model = reverie.load(Path(run) / "model")
    assert type(model).__module__ == "somebodys_package.x"
    assert model.sample(5, random_state=0).values.shape == (5, 2)
    assert command(["sample", run, "-n", "7", "-o", str(tmp_path / "seven.npy")]) == 0
    assert len(np.load(tmp_path / "seven.npy")) == 7
    assert command(["resume", run]) == 0
    capsys.readouterr()
    assert command(["cite", run]) == 0
    assert "GAN" not in capsys.readouterr().out.replace("reverie", "")
    tuned = str(tmp_path / "tune")
    assert (
        command(["tune", "x", table, "--out", tuned, "--trials", "2", "--repeats", "1", "--max-steps", "10", "--quiet"])
        == 0
    )


def test_a_registered_model_goes_on_where_it_was_stopped(table):
    kind = model_class("x")
    options = {"max_steps": 20, "record_every": 5, "n_checks": 2, "random_state": 0}
    rows = np.loadtxt(table, delimiter=",", skiprows=1)
    unbroken, stopped, resumed = kind(**options), kind(**options), kind(**options)
    next(stopped.iter_fit(rows))
    for _ in resumed.iter_fit(rows, resume=stopped.training_state()):
        pass
    samples = [model.sample(5, random_state=1) for model in (unbroken.fit(rows), resumed)]
    np.testing.assert_array_equal(*samples)
