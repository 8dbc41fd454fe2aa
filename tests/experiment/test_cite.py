"""Citations: every method that a run can use has an entry, and the entries follow the configuration."""

import pytest

from reverie.experiment.cite import METHODS, method_keys
from reverie.experiment.config import RunConfig
from reverie.objectives import OBJECTIVES


def _config(**options):
    return RunConfig(data="ring", model={"name": "gan", **options})


@pytest.mark.parametrize("objective", list(OBJECTIVES))
def test_every_objective_is_cited(objective):
    keys = method_keys(_config(objective=objective), (2,))
    assert set(OBJECTIVES[objective].references) <= set(keys)
    assert set(keys) <= set(METHODS)


def test_citations_follow_the_data_and_the_options():
    table, images = method_keys(_config(), (6,)), method_keys(_config(), (28, 28))
    assert "kessy2018" in table
    assert "radford2016" not in table
    assert "radford2016" in images
    assert "kessy2018" not in images
    assert "karras2020" not in method_keys(_config(penalty_every=1), (6,))
    assert "kessy2018" not in method_keys(_config(whiten=False), (6,))
