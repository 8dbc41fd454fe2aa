"""Data from Python: every container that holds a table is read as one, what holds none is refused in one sentence."""

import datetime
import decimal
import sys

import numpy as np
import pytest
import scipy.sparse
import torch

from reverie.core.errors import InputError
from reverie.core.lazy import LazyTable
from reverie.core.tables import as_array, tabular, to_raw
from reverie.core.words import in_same_words, recoded
from reverie.data.dataset import Dataset
from reverie.explore.tables import read_table
from reverie.models import GAN, RBM, load_model
from reverie.validation.inputs.samples import read_sample

pd = pytest.importorskip("pandas")
pa = pytest.importorskip("pyarrow")

NUMBERS = [[1.0, 2.0], [3.0, 4.0], [5.0, 7.0]]


class _Own(torch.Tensor):
    pass


def _frame():
    return pd.DataFrame(NUMBERS, columns=["a", "b"])


def _masked():
    return np.ma.MaskedArray(NUMBERS, mask=[[False, False], [False, True], [False, False]])


def _structured():
    return np.array([tuple(row) for row in NUMBERS], dtype=[("a", "f4"), ("b", "f8")])


TABLES = {
    "list": NUMBERS,
    "array": np.array(NUMBERS),
    "integers": np.array(NUMBERS).astype(np.int16),
    "objects": np.array(NUMBERS, dtype=object),
    "words that spell numbers": [["1", "2"], ["3", "4"], ["5", "7"]],
    "decimals": [[decimal.Decimal(int(x)) for x in row] for row in NUMBERS],
    "long double": np.array(NUMBERS, dtype=np.longdouble),
    "matrix": np.array(NUMBERS).view(np.matrix),
    "structured": _structured(),
    "records": _structured().view(np.recarray),
    "nothing masked": np.ma.MaskedArray(NUMBERS, mask=False),
    "big endian": np.array(NUMBERS).astype(">f8"),
    "backwards": np.array(NUMBERS)[::-1][::-1],
    "tensor": torch.tensor(NUMBERS),
    "tensor with gradient": torch.tensor(NUMBERS, requires_grad=True),
    "parameter": torch.nn.Parameter(torch.tensor(NUMBERS)),
    "bfloat16": torch.tensor(NUMBERS, dtype=torch.bfloat16),
    "float8": torch.tensor(NUMBERS).to(torch.float8_e4m3fn),
    "half": torch.tensor(NUMBERS, dtype=torch.float16),
    "own tensor": torch.tensor(NUMBERS).as_subclass(_Own),
    "list of tensors": list(torch.tensor(NUMBERS)),
    "frame": _frame(),
    "frame of several types": _frame().astype({"a": "int8", "b": "float32"}),
    "nullable": _frame().astype({"a": "Int64", "b": "Float32"}),
    "sparse columns": _frame().astype(pd.SparseDtype("float64", 0.0)),
    "Arrow types of pandas": _frame().convert_dtypes(dtype_backend="pyarrow"),
    "numbers as categories": _frame().astype({"a": "category"}),
    "objects in a frame": _frame().astype(object),
    "Arrow": pa.table({"a": [1, 3, 5], "b": [2.0, 4.0, 7.0]}),
    "columns": {"a": [1, 3, 5], "b": torch.tensor([2.0, 4.0, 7.0], requires_grad=True)},
}


@pytest.mark.parametrize("table", TABLES.values(), ids=TABLES)
def test_a_table_is_read_from_every_container(table):
    np.testing.assert_array_equal(np.asarray(to_raw(table).values, dtype=float), NUMBERS)
    np.testing.assert_array_equal(Dataset(table).values, NUMBERS)
    np.testing.assert_array_equal(read_table(table).values, NUMBERS)
    np.testing.assert_array_equal(read_sample(table, "real").values, NUMBERS)


def _polars(**columns):
    return pytest.importorskip("polars").DataFrame(columns)


def test_polars_frames_are_tables():
    frame = _polars(a=[1, 3, None], b=[2.0, None, 7.0], c=["x", "y", "x"])
    raw = to_raw(frame)
    np.testing.assert_array_equal(raw.values, [[1.0, 2.0, 0.0], [3.0, np.nan, 1.0], [np.nan, 7.0, 0.0]])
    assert (raw.names, raw.labels) == (["a", "b", "c"], {"c": ("x", "y")})


def _xarray(**columns):
    xr = pytest.importorskip("xarray")
    return xr.Dataset({name: ("hit", np.asarray(x), {"units": "GeV"}) for name, x in columns.items()})


def _data_array(**columns):
    return _xarray(**columns).to_dataarray("quantity").T


@pytest.mark.parametrize(
    "make", [_polars, lambda **columns: pa.table(columns), pd.DataFrame, _xarray, _data_array],
    ids=["polars", "Arrow", "pandas", "xarray", "DataArray"],
)  # fmt: skip
def test_samples_come_back_in_the_table_that_was_given(make, tmp_path):
    """As a model of them says, one that was saved, and its completions; no column is lost or changes its place."""
    columns = {"a": np.arange(40.0), "b": np.arange(40) % 7 + 0.5}
    X = make(columns) if make is pd.DataFrame else make(**columns)
    np.testing.assert_array_equal(to_raw(X).values, np.stack(list(columns.values()), axis=1))
    assert to_raw(X).names == ["a", "b"]
    model = GAN(max_steps=2, random_state=0).fit(X)
    samples = model.sample(5, random_state=0)
    assert type(samples) is type(X)
    assert to_raw(samples).names == ["a", "b"]
    assert to_raw(samples).units == to_raw(X).units
    assert list(getattr(samples, "sizes", ())) == list(getattr(X, "sizes", ()))
    again = load_model(model.save(tmp_path / "model")).sample(5, random_state=0)
    assert type(again) is type(X)
    np.testing.assert_array_equal(to_raw(again).values, to_raw(samples).values)
    assert np.isfinite(model.score(X))
    assert read_sample(samples, "generated").names == ("a", "b")


def test_images_of_xarray_keep_axes_name_and_unit(tmp_path):
    xr = pytest.importorskip("xarray")
    values = np.random.default_rng(0).normal(size=(40, 2, 3))
    where = {"lat": [10.0, 20.0], "lon": [1.0, 2.0, 3.0], "time": np.arange(40)}
    X = xr.DataArray(values, where, ["time", "lat", "lon"], "T", {"units": "K"})
    model = RBM(max_steps=2, random_state=0).fit(X)
    samples = load_model(model.save(tmp_path / "model")).sample(5, random_state=0)
    xr.testing.assert_allclose(samples * 0, X[:5].drop_vars("time") * 0)
    assert (samples.name, samples.attrs) == ("T", {"units": "K"})


def test_conditions_and_weights_come_from_any_table():
    """Series of polars, columns of Arrow and variables of xarray stand for arrays, frames of them for tables."""
    rng = np.random.default_rng(0)
    X, y, w = rng.normal(size=(60, 2)), np.array(["e", "mu"])[rng.integers(0, 2, 60)], rng.uniform(1, 2, 60)
    expected = GAN(max_steps=2, random_state=0).fit(X, y, w).sample(9, random_state=0, condition="mu")
    givers = [lambda x: pa.chunked_array([x])]
    if "polars" in sys.modules:
        givers.append(sys.modules["polars"].Series)
    if "xarray" in sys.modules:
        givers.append(lambda x: sys.modules["xarray"].DataArray(x, dims="hit"))
    for given in givers:
        model = GAN(max_steps=2, random_state=0).fit(X, given(y), given(w))
        np.testing.assert_array_equal(model.sample(9, random_state=0, condition="mu"), expected)
    table = pa.table({"kind": y, "E": w})
    model = GAN(max_steps=2, random_state=0).fit(X, table)
    drawn = model.sample_conditions(7, random_state=0)
    assert drawn.schema.types == table.schema.types
    np.testing.assert_array_equal(model.sample(7, random_state=0), model.sample(7, random_state=0, condition=drawn))


def test_a_lazy_frame_is_answered_with_what_to_call():
    frame = _polars(a=[1.0, 2.0]).lazy()
    with pytest.raises(InputError, match=r"collect\(\)"):
        GAN().fit(frame)


def test_record_batches_are_tables():
    batch = pa.RecordBatch.from_pydict({"a": [1.0, 2.0], "b": [3, 4]})
    np.testing.assert_array_equal(to_raw(batch).values, [[1.0, 3.0], [2.0, 4.0]])


def test_variables_of_several_axes_are_no_table():
    xr = pytest.importorskip("xarray")
    with pytest.raises(InputError, match="one number per event in column 'b'"):
        Dataset(xr.Dataset({"a": ("hit", [1.0, 2.0]), "b": (("hit", "x"), np.ones((2, 2)))}))


def test_gaps_become_nan():
    expected = [[1.0, 2.0], [3.0, np.nan], [5.0, 7.0]]
    nullable = pd.DataFrame({"a": pd.array([1, 3, 5], "Int64"), "b": pd.array([2, None, 7], "Int64")})
    for table in (
        _masked(),
        nullable,
        pa.table({"a": [1, 3, 5], "b": [2, None, 7]}),
        {"a": [1, 3, 5], "b": [2, None, 7]},
    ):
        np.testing.assert_array_equal(to_raw(table).values, expected)


class _Hostile:
    def __array__(self, dtype=None, copy=None):
        raise RuntimeError("no\nway")


class _HostileNumber:
    def __float__(self):
        raise KeyError("no number")


TWICE = pd.DataFrame(NUMBERS, columns=["a", "a"])
WORDS = pd.DataFrame({"a": [1.0, 2.0, 3.0], "b": [f"word {i}" for i in range(3)]})
TIMES = pd.DataFrame({"a": [1.0, 2.0, 3.0], "t": pd.date_range("2020-01-01", periods=3)})
REFUSED = {
    "equal names": (TWICE, "'a' twice"),
    "equal names as words": ({"1": [1.0], 1: [2.0]}, "'1' twice"),
    "times in a frame": (TIMES, "'t'"),
    "times": (np.array([["2020-01-01"]], dtype="datetime64[D]"), "datetime64"),
    "times in a column": ({"t": np.array(["2020-01-01"], dtype="datetime64[ns]")}, "times"),
    "time spans": (np.ones((2, 2), dtype="timedelta64[s]"), "timedelta64"),
    "dates": ([[datetime.date(2020, 1, 1)]], "objects"),
    "scipy sparse": (scipy.sparse.eye(3).tocsr(), "sparse"),
    "scipy sparse array": (scipy.sparse.coo_array(np.eye(3)), "sparse"),
    "scipy sparse by key": (scipy.sparse.eye(3).todok(), "sparse"),
    "torch sparse": (torch.eye(3).to_sparse(), "sparse"),
    "meta tensor": (torch.ones(3, 2, device="meta"), "meta"),
    "complex tensor": (torch.ones(3, 2, dtype=torch.complex64), "Complex"),
    "complex": (np.ones((3, 2)) * 1j, "Complex"),
    "complex objects": ([[1 + 2j, object()]], "Complex"),
    "number": (3.0, "0D"),
    "tensor of no axis": (torch.tensor(3.0), "0D"),
    "one axis": (np.ones(3), "1D"),
    "none": (None, "X"),
    "word": ("events.csv", "X"),
    "ragged": ([[1.0, 2.0], [3.0]], "equal length"),
    "ragged objects": (np.array([np.ones(2), np.ones(3)], dtype=object), "different lengths"),
    "sets": ([{1, 2}, {3, 4}], "objects"),
    "generator": ((row for row in NUMBERS), "objects"),
    "nested records": (np.zeros(3, dtype=[("a", "f4"), ("b", [("c", "f4")])]), "'b'"),
    "columns of several numbers": (np.zeros(3, dtype=[("a", "f4", (2,))]), "'a'"),
    "no columns": ({}, "at least one column"),
    "columns of two lengths": ({"a": [1, 2], "b": [1]}, "one length"),
    "hostile": (_Hostile(), "no way"),
    "hostile number": ([[_HostileNumber()]], "objects"),
    "too wide": (np.zeros((2, 20_000)), "at most 10,000 columns"),
    "wide frame": (pd.DataFrame(np.zeros((2, 20_000))), "at most 10,000 columns"),
    "integers beyond all floats": ({"a": [10**400, 1]}, "'a'"),
}


@pytest.mark.parametrize(("table", "word"), REFUSED.values(), ids=REFUSED)
def test_what_is_no_table_is_refused_in_one_sentence(table, word):
    for read in (to_raw, Dataset, read_table, lambda x: read_sample(x, "X")):
        with pytest.raises(InputError, match=word) as caught:
            read(table)
        assert "\n" not in str(caught.value)


def test_words_of_two_samples_could_have_different_codes():
    assert to_raw(WORDS).labels == {"b": ("word 0", "word 1", "word 2")}
    with pytest.raises(InputError, match="words in the column 'b'"):
        tabular(WORDS)


def test_a_word_gets_one_code_in_all_samples():
    first, second = pd.DataFrame({"k": ["b", "c", "b"], "x": 1.0}), {"k": ["a", "c", "a"], "x": [1.0, 2.0, 3.0]}
    third = Dataset(pd.DataFrame({"k": ["d", None, "a"], "x": 1.0}), weights=[1.0, 2.0, 3.0])
    same = in_same_words({"real": first, "generated": second, "train": third, "calibration": None})
    assert [tabular(same[what])[0][:, 0].tolist() for what in ("real", "generated")] == [[0, 1, 0], [2, 1, 2]]
    np.testing.assert_array_equal(tabular(same["train"])[0][:, 0], [3, np.nan, 2])
    np.testing.assert_array_equal(tabular(same["train"])[2], [1.0, 2.0, 3.0])
    assert same["calibration"] is None
    alike = in_same_words({"real": third, "generated": third.take([2, 0])})
    assert alike["real"] is third


def test_words_that_have_no_code_are_refused():
    rows, own = np.array([[0.0], [1.0]]), {"k": ("a", "z")}
    np.testing.assert_array_equal(recoded(rows[:1], ["k"], own, {"k": ("b", "a")}, "X"), [[1.0]])
    with pytest.raises(InputError, match=r"'k' of X to hold b, a, got z\. Leave"):
        recoded(rows, ["k"], own, {"k": ("b", "a")}, "X")
    with pytest.raises(InputError, match="Expected numbers in the column 'k'"):
        recoded(rows, ["k"], own, {}, "X")
    assert recoded(rows, ["k"], {"k": ("False", "True")}, {}, "X") is rows
    with pytest.raises(InputError, match="too large for a copy"):
        recoded(LazyTable(rows), ["k"], own, {"k": ("b", "a")}, "X")


def test_names_and_weights_of_a_data_set_are_kept():
    data = Dataset(NUMBERS, names=["p", "q"], weights=[1.0, 2.0, 3.0])
    values, names, weights = tabular(data)
    assert names == ("p", "q")
    np.testing.assert_array_equal(weights, [1.0, 2.0, 3.0])
    np.testing.assert_array_equal(values, NUMBERS)


def test_a_memory_map_stays_one(tmp_path):
    np.save(tmp_path / "x.npy", np.array(NUMBERS))
    assert isinstance(as_array(np.load(tmp_path / "x.npy", mmap_mode="r")), np.memmap)


def test_the_reader_does_not_import_torch():
    import subprocess

    code = "import sys, reverie.core.tables; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_whole_numbers_that_lose_digits_beside_others_are_told():
    with pytest.warns(UserWarning, match="at most 2\\^53 in column 'event'"):
        to_raw({"event": np.array([2**53 + 1, 5]), "pt": np.array([0.5, 1.5])})
    raw = to_raw({"event": np.array([2**53 + 1, 5]), "run": np.array([1, 2])})
    assert int(raw.values[0, 0]) == 2**53 + 1
