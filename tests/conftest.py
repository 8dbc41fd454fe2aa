"""What all tests share: real data where they lie, one thread, and a watch on torch's global random state."""

import gc
import os
from pathlib import Path

import pytest

ALPHA = 1e-4  # false-alarm rate of the whole suite's statistical tests, each


def pytest_sessionstart():
    """Let what is imported and collected lie: next to nothing of it is garbage."""
    gc.disable()


def pytest_collection_finish():
    """Keep the garbage collector from walking through libraries and collected tests again and again."""
    gc.freeze()
    gc.set_threshold(10_000)
    gc.enable()


@pytest.fixture(scope="session")
def real_data() -> Path:
    """Folder of the real data sets; the test is skipped where there is none."""
    folder = os.environ.get("REVERIE_DATA")
    if not folder or not Path(folder).is_dir():
        pytest.skip("needs real data: set REVERIE_DATA to a folder that holds them")
    return Path(folder)


@pytest.fixture(scope="module")
def unpainted():
    """Let figures be made without painting them; the tests of plots, reports and the README paint theirs."""
    blank = b'<?xml version="1.0"?><svg xmlns="http://www.w3.org/2000/svg" width="1pt" height="1pt"/>'
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("matplotlib.figure.Figure.savefig", lambda figure, file, **options: file.write(blank))
        yield


@pytest.fixture
def short_chains(monkeypatch):
    """Chains of an EBM settle in 8 steps and are looked at for 24, where a test claims no accuracy of them."""
    monkeypatch.setattr("reverie.models.ebm.sampling._SETTLING", 8)
    monkeypatch.setattr("reverie.models.ebm.sampling._MEASURED", 24)


@pytest.fixture
def small_units(monkeypatch):
    """Models draw 64 samples at once instead of 1024, where a test wants few and no number of its own seed."""
    monkeypatch.setattr("reverie.models.base.UNIT", 64)
    monkeypatch.setattr("reverie.models.conditions.UNIT", 64)


@pytest.fixture
def global_random_state_untouched():
    """Fail a test whose code reseeds or draws from torch's global generator."""
    import torch  # the process that only hands out tests to its workers does without

    before = torch.random.get_rng_state()
    yield
    assert torch.equal(before, torch.random.get_rng_state()), "torch's global random state was changed"
