"""Laws of Dataset: frozen, disjoint splits, weights that follow their events; and what it refuses."""

import copy
import pickle

import numpy as np
import pandas as pd
import pytest
import torch

from reverie.core.errors import InputError, UnknownNameError
from reverie.core.protocols import Tabular
from reverie.data.dataset import Dataset, check_trainable, describe


@pytest.fixture
def table() -> Dataset:
    r = np.random.default_rng(0)
    columns = {"pt [GeV]": r.lognormal(3, 0.4, 200), "phi": np.pi * (2 * r.random(200) - 1), "n": r.poisson(2, 200)}
    return Dataset(columns, weights=np.arange(200.0), provenance={"source": "test"})


def test_meets_the_protocol(table):
    assert isinstance(table, Tabular)


def test_frozen(table):
    with pytest.raises(ValueError, match="read-only"):
        table.values[0, 0] = 1
    with pytest.raises(ValueError, match="read-only"):
        table.weights[0] = 1
    with pytest.raises(AttributeError):
        table.values = 0
    with pytest.raises(TypeError):
        table.provenance["source"] = "other"


def test_the_callers_array_stays_writable():
    x = np.zeros((3, 2))
    Dataset(x)
    x[0, 0] = 1
    assert x.flags.writeable


def test_forms_of_input_agree():
    x = np.arange(12.0).reshape(4, 3) / 7
    names = ["a", "b", "c"]
    frame = pd.DataFrame(x, columns=names)
    record = np.array([tuple(row) for row in x], dtype=[(name, "f8") for name in names])
    forms = [
        x.tolist(),
        torch.tensor(x),
        torch.tensor(x, requires_grad=True),
        frame,
        {n: x[:, j] for j, n in enumerate(names)},
        record,
    ]
    for form in forms:
        data = Dataset(form, names=names)
        np.testing.assert_array_equal(data.values, x)
        assert data.names == names
    assert Dataset(frame).names == names
    assert Dataset(Dataset(x, names=names)).names == names


def test_mixed_data_frame_comes_back_as_it_was():
    frame = pd.DataFrame(
        {
            "pt": np.array([1.5, 2.5, 3.5], np.float32),
            "n": np.array([1, 2, 3], np.int64),
            "ok": [True, False, True],
            "class": ["h", "g", "h"],
        }
    )
    data = Dataset(frame)
    assert [c.kind for c in data.schema.columns] == ["continuous", "integer", "categorical", "categorical"]
    assert data.schema["class"].labels == ("g", "h")
    np.testing.assert_array_equal(data.values[:, 3], [1, 0, 1])
    back = data.to_frame()
    assert back["pt"].dtype == np.float32
    assert back["n"].dtype == np.int64
    assert back["ok"].dtype == bool
    assert back["class"].tolist() == ["h", "g", "h"]


def test_missing_words_and_nullable_integers_become_nan():
    frame = pd.DataFrame({"class": ["a", None, "b"], "n": pd.array([1, None, 3], dtype="Int64")})
    data = Dataset(frame)
    assert np.isnan(data.values).sum(axis=0).tolist() == [1, 1]
    assert len(data.drop_missing()) == 2


def test_select(table):
    part = table.select(["n", "pt"])
    assert part.names == ["n", "pt"]
    np.testing.assert_array_equal(part.values, table.values[:, [2, 0]])
    np.testing.assert_array_equal(part.weights, table.weights)
    assert part.schema["pt"].unit == "GeV"
    assert table.select("n, pt").names == ["n", "pt"]
    with pytest.raises(UnknownNameError, match="Unknown column 'ptt'. Did you mean 'pt'"):
        table.select(["ptt"])
    with pytest.raises(InputError, match="once"):
        table.select(["n", "n"])
    with pytest.raises(InputError, match="Expected a table"):
        Dataset(np.zeros((3, 4, 4))).select(["a"])


def test_take_by_index_mask_and_slice(table):
    for index in (np.array([3, 1]), np.arange(200) < 5, slice(2, 9)):
        part = table.take(index)
        np.testing.assert_array_equal(part.values, table.values[index])
        np.testing.assert_array_equal(part.weights, table.weights[index])
        assert part.schema is table.schema


@pytest.mark.parametrize("fractions", [(0.8,), (0.5, 0.3), (0.5, 0.5), (0.1, 0.1, 0.1)])
def test_split_is_a_partition_and_weights_follow(table, fractions):
    parts = table.split(*fractions, random_state=3)
    sizes = [round(f * 200) for f in fractions]
    expected = sizes if sum(fractions) > 0.999 else [*sizes, 200 - sum(sizes)]
    assert [len(part) for part in parts] == expected
    together = np.concatenate([part.weights for part in parts])
    assert sorted(together) == list(range(200))
    for part in parts:
        np.testing.assert_array_equal(part.values, table.values[part.weights.astype(int)])


def test_split_depends_on_the_seed_only(table):
    first, again, other = (table.split(0.5, random_state=s)[0].weights for s in (0, 0, 1))
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)
    assert not np.array_equal(first, np.arange(100)), "a split in order is no random split"
    assert "seed 0" in table.split(0.5, random_state=0)[0].provenance["split"]


@pytest.mark.parametrize("fractions", [(0.0,), (1.0,), (0.7, 0.7), (-0.1,), (0.001,)])
def test_split_refuses(table, fractions):
    with pytest.raises(InputError):
        table.split(*fractions, random_state=0)


def test_drop_missing():
    x = np.arange(10.0).reshape(5, 2)
    x[1, 0], x[3, 1] = np.nan, np.inf
    data = Dataset(x, weights=np.arange(5.0)).drop_missing()
    np.testing.assert_array_equal(data.weights, [0, 2, 4])
    assert data.provenance["dropped_rows"] == 2
    assert data.drop_missing() is data


def test_fingerprint_tells_values_shapes_and_types_apart():
    x = np.arange(6.0)
    prints = [
        Dataset(v).fingerprint()
        for v in (x.reshape(3, 2), x.reshape(2, 3), x.reshape(3, 2).astype("f4"), -x.reshape(3, 2))
    ]
    assert len(set(prints)) == 4
    assert Dataset(np.asfortranarray(x.reshape(3, 2))).fingerprint() == prints[0]
    assert len(prints[0]) == 64


def test_memory_maps_stay_on_disk(tmp_path):
    np.save(tmp_path / "x.npy", np.random.default_rng(0).normal(size=(50, 3)))
    data = Dataset(np.load(tmp_path / "x.npy", mmap_mode="r"))
    assert isinstance(data.values, np.memmap)
    assert data.fingerprint() == Dataset(np.array(data.values)).fingerprint()


def test_copies(table):
    for other in (copy.deepcopy(table), pickle.loads(pickle.dumps(table))):
        np.testing.assert_array_equal(other.values, table.values)
        assert other.schema == table.schema
        assert other.provenance == table.provenance


def test_to_tensor_is_a_copy(table):
    tensor = table.to_tensor(torch.float32)
    tensor[0, 0] = -1
    assert tensor.dtype == torch.float32
    assert table.values[0, 0] > 0


def test_weights_from_a_column():
    data = Dataset({"x": [1.5, 2.5], "w": [0.5, 2.0]}, weights="w")
    assert data.names == ["x"]
    assert data.weights.tolist() == [0.5, 2]
    with pytest.raises(UnknownNameError):
        Dataset({"x": [1.5, 2.5]}, weights="w")


@pytest.mark.parametrize(
    ("values", "options", "message"),
    [
        ([1, 2, 3], {}, "2D array"),
        ([[1, 2], [3]], {}, "equal length"),
        ([["a"], ["b"]], {}, "got text"),
        (np.zeros((2, 2), complex), {}, "Complex data not supported"),
        ({"a": [1, 2], "b": [1]}, {}, "a: 2, b: 1"),
        ({}, {}, "at least one column"),
        (np.zeros((2, 2)), {"names": ["a"]}, "2 column"),
        (np.zeros((2, 2)), {"weights": [1.0]}, "one weight per event"),
        (np.zeros((2, 2)), {"weights": [1.0, np.nan]}, "finite event weights"),
        (pd.DataFrame({"id": [f"id{i}" for i in range(200)]}), {}, "'id', got 200 words"),
        (pd.DataFrame([[1, 2]], columns=["a", "a"]), {}, "different column names"),
    ],
)
def test_refusals(values, options, message):
    with pytest.raises(InputError, match=message):
        Dataset(values, **options)


def test_schema_of_another_shape():
    schema = Dataset(np.zeros((3, 8, 8))).schema
    with pytest.raises(InputError, match=r"shape \(8, 8\), got \(9, 9\)"):
        Dataset(np.zeros((3, 9, 9)), schema=schema)


def test_trainable(table):
    check_trainable(table)
    images = np.zeros((5, 4, 4))
    images[2, 1, 1] = 1
    check_trainable(Dataset(images))


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"a": [1.5, 2.5], "b": [3.5, 3.5]}, "1 constant: b = 3.5"),
        ({"a": [1.5, 2.5], "type": ["G", "G"]}, "type = G"),
        (
            {"a": [1.5, np.nan, 2.5], "b": [1.5, np.inf, -np.inf]},
            r"1 NaN and 2 inf \(column a: 1, b: 2\).*--drop-missing",
        ),
        ({"a": [1.5], "b": [2.5]}, "at least 2 rows"),
    ],
)
def test_not_trainable(columns, message):
    with pytest.raises(InputError, match=message):
        check_trainable(Dataset(columns))


def test_blank_images_are_not_trainable():
    with pytest.raises(InputError, match="constant"):
        check_trainable(Dataset(np.zeros((5, 4, 4))))


def test_printed_forms(table):
    assert repr(table) == "Dataset(200 events x 3 columns: pt [GeV], phi, n, weighted)"
    assert repr(Dataset(np.zeros((3, 4, 4), np.uint8))) == "Dataset(3 events of 4 x 4, pixel)"


def test_describe_shows_range_missing_and_notes(table):
    values = table.values.copy()
    values[:7, 0] = np.nan
    values[:, 2] = 4
    text = describe(Dataset(values, names=["pt [GeV]", "phi", "n"], weights=np.ones(200)))
    lines = {line.split()[0]: line for line in text.splitlines() if line}
    assert " 7 " in lines["pt"] + " "
    assert "GeV" in lines["pt"]
    assert "period 6.28319" in lines["phi"]
    assert "constant" in lines["n"]
    assert "effective number of events 200" in text
    assert f"{np.median(table.values[:, 1]):.6g}" in lines["phi"]


def test_words_are_no_event_weights():
    with pytest.raises(InputError, match="got words in 'kind'"):
        Dataset({"a": np.arange(4.0), "kind": np.array(["x", "y", "x", "y"])}, weights="kind")
