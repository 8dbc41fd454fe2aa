"""A small table and one finished run, made once for all tests of the command line."""

from pathlib import Path

import numpy as np
import pytest

from reverie.cli.main import main
from reverie.experiment import validate as stage

TINY = ("--model.max_steps", "60", "--model.record_every", "20", "--model.batch_size", "32", "--quiet")
PLAIN = ("--model.refine", "false")  # `finished` has the classifier that refuses samples


@pytest.fixture(scope="session")
def tiny() -> tuple[str, ...]:
    """Options of a training that takes a moment."""
    return ("--model.max_steps", "20", "--model.record_every", "10", "--model.batch_size", "32", "--quiet", *PLAIN)


@pytest.fixture(scope="session")
def as_finished() -> tuple[str, ...]:
    """Options of a training like that of `finished`."""
    return TINY + PLAIN


@pytest.fixture
def call(capsys):
    """Run the command line in this process; return exit code, standard output and standard error."""

    def run(*argv: str) -> tuple[int, str, str]:
        capsys.readouterr()
        code = main([str(part) for part in argv])
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return run


@pytest.fixture(scope="session", autouse=True)
def quick_validation():
    """Let validations in this process take 19 permutations; the tests of `reverie demo` take all of them."""
    whole = stage.validate

    def quick(*samples, **options):
        return whole(*samples, **options | {"n_permutations": min(19, options.get("n_permutations", 19))})

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(stage, "validate", quick)
        yield


@pytest.fixture(scope="module", autouse=True)
def without_painting(unpainted):
    """No test of the command line looks at a figure."""


@pytest.fixture(scope="session")
def table(tmp_path_factory) -> Path:
    """CSV file of 240 correlated rows in three columns."""
    rng = np.random.default_rng(3)
    x = rng.normal(size=(240, 3)) @ np.array([[1.0, 0.5, 0.0], [0.0, 1.0, 0.3], [0.0, 0.0, 1.0]])
    path = tmp_path_factory.mktemp("data") / "events.csv"
    np.savetxt(path, x, delimiter=",", header="px,py,pz", comments="", fmt="%.8f")
    return path


@pytest.fixture(scope="session")
def finished(table, tmp_path_factory) -> Path:
    """Folder of one complete tiny run."""
    out = tmp_path_factory.mktemp("runs") / "x"
    assert main(["run", "gan", str(table), "--out", str(out), "--seed", "5", *TINY]) == 0
    return out
