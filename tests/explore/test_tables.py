"""The reader of exploration: everything a user may hold becomes the same table."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from reverie.core.errors import InputError
from reverie.explore.tables import read_table

VALUES = np.arange(6.0).reshape(3, 2)


def _data_set(**changes):
    parts = {"values": VALUES, "names": ("pt", "eta"), "weights": np.array([1.0, 2.0, 0.0])}
    return SimpleNamespace(**(parts | changes))


def test_all_containers_give_one_table():
    pandas = pytest.importorskip("pandas")
    structured = np.array([tuple(row) for row in VALUES], dtype=[("pt", "f8"), ("eta", "f8")])
    frame = pandas.DataFrame(VALUES, columns=["pt", "eta"])
    for X in (VALUES, VALUES.tolist(), torch.from_numpy(VALUES).float(), structured, frame, _data_set()):
        table = read_table(X, names=("a", "b"))
        np.testing.assert_array_equal(table.values, VALUES)
        assert table.values.dtype == np.float64
        assert (table.names, table.event_shape) == (("a", "b"), (2,))
    assert read_table(structured).names == read_table(frame).names == read_table(_data_set()).names == ("pt", "eta")
    assert read_table(VALUES).names == ("x0", "x1")


def test_images_are_flattened_and_pixels_named():
    table = read_table(np.arange(12).reshape(2, 2, 3))
    assert table.values.shape == (2, 6)
    assert table.event_shape == (2, 3)
    assert table.names[4] == "pixel[1,1]"


def test_a_column_called_weights_is_a_column():
    pandas = pytest.importorskip("pandas")
    table = read_table(pandas.DataFrame({"weights": [1.0, -2.0], "names": [3.0, 4.0]}))
    assert table.names == ("weights", "names")
    assert table.weights is None
    np.testing.assert_array_equal(read_table(_data_set()).weights, [1, 2, 0])


@pytest.mark.parametrize(
    ("X", "names", "words"),
    [
        (np.array([[1.0, np.nan], [0, 0]]), ("pt", "eta"), "column eta: 1"),
        (np.array([[1.0, np.inf], [0, 0]]), None, "1 inf"),
        (np.arange(3.0), None, "Expected 2D array"),
        (np.zeros((0, 3)), None, "at least 1 rows"),
        (np.array([["a", "b"]]), None, "Drop or encode"),
        (VALUES, ("pt",), "1 names for 2 features"),
        (_data_set(weights=np.ones(2)), None, "Expected one weight per event"),
        (_data_set(weights=np.array([1.0, 1.0, -1.0])), None, "Expected event weights >= 0"),
    ],
)
def test_what_cannot_be_used_is_refused_in_words(X, names, words):
    with pytest.raises(InputError, match=words):
        read_table(X, names)
