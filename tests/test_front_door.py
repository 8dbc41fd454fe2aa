"""The public names are pinned, and neither the library nor the help loads torch."""

import importlib
import subprocess
import sys
import time
from pathlib import Path

import pytest

import reverie

NAMES = [
    "EBM",
    "GAN",
    "RBM",
    "VAE",
    "Autoencoder",
    "Dataset",
    "Flow",
    "FlowMatching",
    "Measured",
    "SemiSupervisedGAN",
    "WaveFunctionRBM",
    "__version__",
    "data",
    "explore",
    "load",
    "models",
    "networks",
    "objectives",
    "plots",
    "report",
    "samplers",
    "simulators",
    "training",
    "validate",
    "validation",
]
SLOW_LIBRARIES = ("torch", "numpy", "scipy", "sklearn", "matplotlib", "pandas")


def test_the_public_names_are_these():
    assert reverie.__all__ == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_each_public_name_can_be_had(name):
    assert getattr(reverie, name) is not None


def test_no_function_bears_the_name_of_a_folder():
    folders = [p.name for p in Path(reverie.__file__).parent.iterdir() if (p / "__init__.py").is_file()]
    for name in set(folders) & set(reverie.__all__):
        assert getattr(reverie, name) is importlib.import_module(f"reverie.{name}")


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="has no attribute 'gan'"):
        _ = reverie.gan


@pytest.mark.parametrize(
    "code",
    ["import reverie", "from reverie.cli.main import main; main(['--help'])"],
    ids=["import", "help"],
)
def test_start_is_immediate(code):
    """The libraries that cost seconds are not loaded; the clock says so too, with room for a busy machine."""
    probe = f"{code}\nimport sys; print([m for m in {SLOW_LIBRARIES} if m in sys.modules])"
    began = time.perf_counter()
    done = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True, check=True)
    elapsed = time.perf_counter() - began
    assert done.stdout.splitlines()[-1] == "[]"
    assert elapsed < 0.5 + _start_of_python()


def _start_of_python() -> float:
    began = time.perf_counter()
    subprocess.run([sys.executable, "-c", "pass"], check=True)
    return 5 * (time.perf_counter() - began)
