"""Event weights that cancel, vanish or are beyond the numbers: a result, or one sentence, in the whole folder."""

import contextlib

import numpy as np
import pytest

from reverie.core.errors import InputError
from reverie.data import Dataset
from reverie.explore import bitwise_dimension, forest, hierarchy, kmeans, principal_components, two_nn

rng = np.random.default_rng(0)
ROWS = rng.normal(size=(60, 3))
NUMBER = np.arange(60)
CALLS = {
    "principal components": lambda d: principal_components(d, random_state=0),
    "kmeans": lambda d: kmeans(d, n_clusters=2, random_state=0).occupancy(d),
    "hierarchy": lambda d: hierarchy(d, random_state=0),
    "hierarchy of small clusters": lambda d: hierarchy(d, condense=10, random_state=0),
    "forest": lambda d: forest(d, NUMBER % 2, n_estimators=2, random_state=0),
    "dimension": lambda d: two_nn(d),
    "bits": lambda d: bitwise_dimension(Dataset((d.values > 0).astype(int), weights=d.weights)),
}
REFUSED = {
    "all zero": (np.zeros(60), "positive sum"),
    "cancel": (np.where(NUMBER % 2, 1.0, -1.0), "30 below 0 and the sum 0"),
    "one below zero": (np.where(NUMBER == 3, -1.0, 1.0), "1 below 0 and the sum 58"),
    "a sum beyond all numbers": (np.full(60, 1e308), "of at most 1e"),
    "squares beyond all numbers": (np.full(60, 1e200), "of at most 1e"),
    "squares below all numbers": (np.full(60, 1e-200), "of at most 1e"),
    "subnormal": (np.full(60, 5e-324), "of at most 1e"),
}


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
@pytest.mark.parametrize(("weights", "words"), REFUSED.values(), ids=REFUSED)
def test_weights_that_cannot_weigh_are_refused(call, weights, words):
    with pytest.raises(InputError, match=words):
        call(Dataset(ROWS, weights=weights))


@pytest.mark.parametrize("n_positive", [1, 2])
@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
def test_few_rows_of_weight_give_a_result_or_a_sentence(call, n_positive):
    with contextlib.suppress(InputError):  # any other error, and any warning, fails
        call(Dataset(ROWS, weights=1.0 * (NUMBER < n_positive)))


def test_components_of_two_rows_have_no_error():
    found = principal_components(ROWS[:2], random_state=0)  # half of the replicas hold one row twice
    assert found.explained_variance_ratio == pytest.approx([1.0])
    assert found.ratio_error == pytest.approx([0.0], abs=1e-12)
