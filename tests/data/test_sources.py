"""Readers: what comes back, and the one sentence that answers each bad file."""

import gzip
import sys

import numpy as np
import pytest

from reverie.core.errors import InputError, MissingDependencyError, UnknownNameError
from reverie.data.dataset import check_trainable
from reverie.data.sources import READERS, read

h5py = pytest.importorskip("h5py")
pa = pytest.importorskip("pyarrow")
uproot = pytest.importorskip("uproot")
pq = pytest.importorskip("pyarrow.parquet")


@pytest.fixture
def write(tmp_path):
    def _write(text: str, name: str = "events.csv"):
        path = tmp_path / name
        path.write_bytes(text.encode())
        return path

    return _write


@pytest.fixture(params=["pyarrow", "numpy", "lines"])
def engine(request, monkeypatch):
    """Every way of reading text must agree."""
    if request.param != "pyarrow":
        monkeypatch.setattr("reverie.data.formats.text._with_pyarrow", lambda *a: None)
    if request.param == "lines":
        monkeypatch.setattr("reverie.data.formats.text._with_numpy", lambda *a: None)
    return request.param


@pytest.mark.parametrize(
    ("text", "name", "names"),
    [
        ("pt [GeV],eta\n1.5,2\n3.25,-4\n", "a.csv", ["pt", "eta"]),
        ("pt;eta\n1.5;2\n3.25;-4\n", "a.csv", ["pt", "eta"]),
        ("pt\teta\r\n1.5\t2\r\n3.25\t-4\r\n", "a.tsv", ["pt", "eta"]),
        ("pt eta\n 1.5  2\n3.25   -4\n", "a.txt", ["pt", "eta"]),
        ("# made by hand\n# pt eta\n1.5 2\n3.25 -4\n", "a.dat", ["pt", "eta"]),
        ("1.5,2\n3.25,-4\n", "a.data", ["x0", "x1"]),
        ("\ufeffpt,eta\n1.5,2\n3.25,-4", "a.csv", ["pt", "eta"]),
        ('"pt, fine",eta\n1.5,2\n3.25,-4\n', "a.csv", ["pt, fine", "eta"]),
        ("\n\npt,eta\n1.5,2\n\n3.25,-4\n\n", "a.csv", ["pt", "eta"]),
        ("pt, eta\n1.5, 2\n# in between\n3.25, -4\n", "a.csv", ["pt", "eta"]),
        ("1.5D0 2\n0.325D+01 -4\n", "a.dat", ["x0", "x1"]),
    ],
)
def test_text_layouts(write, engine, text, name, names):
    data = read(write(text, name))
    assert data.names == names
    np.testing.assert_array_equal(data.values, [[1.5, 2], [3.25, -4]])


def test_units_and_provenance(write):
    path = write("pt [GeV],phi (rad)\n1.5,2\n3,4\n")
    data = read(path)
    assert [c.unit for c in data.schema.columns] == ["GeV", "rad"]
    assert data.provenance == {"source": str(path), "format": ".csv", "rows_in_file": 2}


def test_numbers_are_read_to_the_last_digit(write, engine):
    x = np.random.default_rng(0).normal(size=(50, 2)) * 10.0 ** np.arange(-20, 30)[:, None]
    path = write("a,b\n" + "\n".join(",".join(map(repr, row)) for row in x.tolist()) + "\n")
    np.testing.assert_array_equal(read(path).values, x)


def test_columns_are_chosen_in_order(write, engine):
    path = write("a,b,c\n1.5,x,3\n2.5,y,4\n")
    data = read(path, "c,a")
    assert data.names == ["c", "a"]
    np.testing.assert_array_equal(data.values, [[3, 1.5], [4, 2.5]])


def test_words_become_categories(write, engine):
    data = read(write("a,class\n1.5,h\n2.5,g\n3.5,h\n"))
    assert data.schema["class"].labels == ("g", "h")
    assert data.values[:, 1].tolist() == [1, 0, 1]


def test_missing_fields(write, engine):
    path = write("a,b\n1.5,\nNaN,2\n3.5,4\n5.5,NA\n")
    data = read(path)
    assert np.isnan(data.values).sum(axis=0).tolist() == [1, 2]
    kept = read(path, drop_missing=True)
    assert kept.values.tolist() == [[3.5, 4]]
    assert kept.provenance["dropped_rows"] == 3
    with pytest.raises(InputError, match=r"3 NaN and 0 inf \(column a: 1, b: 2\).*--drop-missing"):
        check_trainable(data)


def test_weights(write):
    path = write("a,w,b\n1.5,0.5,2\n2.5,2,3\n")
    for columns in (None, "a,b"):
        data = read(path, columns, weights="w")
        assert data.names == ["a", "b"]
        assert data.weights is not None
        assert data.weights.tolist() == [0.5, 2]
    with pytest.raises(InputError, match="outside the columns"):
        read(path, "a,w", weights="w")
    with pytest.raises(UnknownNameError):
        read(path, "a", weights="ww")


def test_compressed(tmp_path):
    path = tmp_path / "a.csv.gz"
    path.write_bytes(gzip.compress(b"a,b\n1,2\n3,4\n"))
    assert read(path).values.tolist() == [[1, 2], [3, 4]]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a,b\n1,2\n3,4,5\n", "Expected 2 fields on every line of events.csv, got 3 on line 3."),
        ("a,b\n\n1,2\n3\n", "got 1 on line 4."),
        ("# c\na b\n1 2\n3\n", "got 1 on line 4."),
        ("a,b\n1,2\n3,abc\n4,5\n", "number in column 'b' on line 3 of events.csv, got 'abc'"),
        ("a;b\n1,5;2\n3,5;4\n", "got '1,5'. Write decimal points"),
        ("", r"an empty file \(0 bytes\)"),
        ("\n\n", "Expected rows of numbers in events.csv, got none"),
        ("# only a comment\n", "got none"),
        ("a,b\n", "got a header only"),
        ("a,a\n1,2\n", "'a' twice"),
        ("id\n" + "\n".join(f"e{i}" for i in range(200)), "got 200 words such as 'e0'. Leave the column out"),
    ],
)
def test_bad_text(write, engine, text, message):
    with pytest.raises(InputError, match=message):
        read(write(text))


def test_a_bad_column_that_is_not_wanted_does_no_harm(write, engine):
    path = write("a,b\n1,2\n3,abc\n4,5\n")
    assert read(path, ["a"]).values.ravel().tolist() == [1, 3, 4]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a,b\n1.5,2\n1.5,3\n", "1 constant: a = 1.5"),
        ("a,b\n1.5,2\n", "at least 2 rows, got n_samples = 1"),
        ("a,b\n1.5,2\ninf,3\n", r"0 NaN and 1 inf \(column a: 1\)"),
    ],
)
def test_readable_but_not_trainable(write, text, message):
    data = read(write(text))
    with pytest.raises(InputError, match=message):
        check_trainable(data)


def test_absent_files_name_the_nearest(write, tmp_path):
    path = write("a\n1\n", "events.csv")
    with pytest.raises(InputError, match=f"Did you mean {path}"):
        read(tmp_path / "event.csv")
    with pytest.raises(InputError, match="no folder"):
        read(tmp_path / "nowhere" / "events.csv")
    with pytest.raises(InputError, match="got the folder"):
        read(tmp_path)


@pytest.mark.parametrize("suffix", [s for s in READERS if s not in (".csv", ".tsv", ".txt", ".dat", ".data")])
def test_garbage_in_every_binary_format(write, suffix):
    with pytest.raises(InputError, match=f"in bad{suffix}, got "):
        read(write("garbage " * 100, f"bad{suffix}"))


def test_unknown_suffixes_and_pickles(write):
    with pytest.raises(InputError, match=r"suffixes .npy .npz .csv.*got a.xyz"):
        read(write("x", "a.xyz"))
    with pytest.raises(InputError, match="pickle"):
        read(write("x", "a.pkl"))


def test_objects_in_npy_are_refused(tmp_path):
    np.save(tmp_path / "a.npy", np.array([{}, 1], dtype=object), allow_pickle=True)
    np.savez(tmp_path / "a.npz", a=np.array([{}, 1], dtype=object))
    for name in ("a.npy", "a.npz"):
        with pytest.raises(InputError, match="pickles and are never loaded"):
            read(tmp_path / name)


def test_npy_is_a_memory_map(tmp_path):
    images = np.random.default_rng(0).integers(0, 256, (30, 6, 5)).astype(np.uint8)
    np.save(tmp_path / "a.npy", images)
    data = read(tmp_path / "a.npy")
    assert isinstance(data.values, np.memmap)
    assert data.event_shape == (6, 5)
    assert data.schema.columns[0].kind == "pixel"
    np.save(tmp_path / "b.npy", np.arange(4.0))
    assert read(tmp_path / "b.npy").event_shape == (1,)
    np.save(tmp_path / "c.npy", np.zeros((0, 3)))
    with pytest.raises(InputError, match="Expected events in c.npy, got none"):
        read(tmp_path / "c.npy")


def save_h5(path, **arrays):
    with h5py.File(path, "w") as file:
        for name, x in arrays.items():
            file[f"run/{name}"] = x


@pytest.mark.parametrize(("suffix", "prefix"), [(".npz", ""), (".h5", "run/")])
def test_several_arrays(tmp_path, suffix, prefix):
    save = save_h5 if suffix == ".h5" else np.savez
    path = tmp_path / f"a{suffix}"
    save(path, a=np.zeros((3, 2)), b=np.ones((4, 5)))
    with pytest.raises(InputError, match=rf"got 2: {prefix}a \(3, 2\), {prefix}b \(4, 5\). Choose one: .*{prefix}a"):
        read(path)
    assert read(f"{path}:{prefix}b").event_shape == (5,)
    assert read(path, key=f"{prefix}a").event_shape == (2,)
    with pytest.raises(UnknownNameError, match=f"Unknown array in a{suffix}"):
        read(f"{path}:c")
    save(path, a=np.zeros((3, 2)))
    assert read(path).event_shape == (2,)


@pytest.mark.parametrize(("suffix", "prefix"), [(".npz", ""), (".h5", "run/")])
def test_arrays_of_one_length_are_columns(tmp_path, suffix, prefix):
    path = tmp_path / f"a{suffix}"
    (save_h5 if suffix == ".h5" else np.savez)(path, pt=np.array([1.5, 2.5]), n=np.array([1, 2]))
    data = read(path)
    assert sorted(data.names) == [f"{prefix}n", f"{prefix}pt"]
    assert data.schema[f"{prefix}n"].dtype == "int64"
    assert read(path, [f"{prefix}pt"]).values.ravel().tolist() == [1.5, 2.5]
    with pytest.raises(UnknownNameError):
        read(path, ["ptt"])


def test_parquet(tmp_path):
    table = pa.table({"pt [GeV]": [1.5, None], "n": [1, 2], "class": ["a", "b"], "hits": [[1], [2, 3]]})
    pq.write_table(table, tmp_path / "a.parquet")
    data = read(tmp_path / "a.parquet", ["class", "pt"])
    assert data.names == ["class", "pt"]
    assert data.schema["pt"].unit == "GeV"
    assert np.isnan(data.values[1, 1])
    sets = read(tmp_path / "a.parquet")
    assert sets.values.tolist() == [[[1, 1], [0, 0]], [[2, 1], [3, 1]]]
    assert sets.provenance["columns_of_the_sets"] == "pt, n, class"
    with pytest.raises(UnknownNameError, match="Did you mean 'hits'"):
        read(tmp_path / "a.parquet", "hit")


def test_root_trees_and_ntuples(tmp_path):
    path = tmp_path / "a.root"
    with uproot.recreate(path) as file:
        file.mktree("events", {"pt": "float64", "n": "int64"}).extend({"pt": np.arange(3.0), "n": np.arange(3)})
        file["ntuple"] = {"x": np.arange(4.0)}
    with pytest.raises(
        InputError, match="Expected one tree in a.root, got 2: events, ntuple. Choose one: .*a.root:events"
    ):
        read(path)
    assert read(f"{path}:events").schema.dtypes == ["float64", "int64"]
    assert read(f"{path}:events", "n").values.ravel().tolist() == [0, 1, 2]
    assert len(read(path, key="ntuple")) == 4
    with pytest.raises(UnknownNameError, match="Did you mean 'events'"):
        read(f"{path}:event")
    with pytest.raises(UnknownNameError, match="Unknown column 'pq'"):
        read(f"{path}:events", "pq")


def test_jagged_root_branches_are_sets(tmp_path):
    awkward = pytest.importorskip("awkward")
    with uproot.recreate(tmp_path / "a.root") as file:
        tree = file.mktree("t", {"jets": "var * float64", "met": "float64"})
        tree.extend({"jets": awkward.Array([[1.0], [2.0, 3.0]]), "met": np.arange(2.0)})
    assert read(tmp_path / "a.root").values.tolist() == [[[1, 1], [0, 0]], [[2, 1], [3, 1]]]
    assert read(tmp_path / "a.root", "met").values.ravel().tolist() == [0, 1]


@pytest.mark.parametrize(
    ("library", "suffix", "extra"),
    [("h5py", ".h5", "io"), ("pyarrow", ".parquet", "io"), ("uproot", ".root", "root")],
)
def test_missing_libraries_say_what_to_install(write, monkeypatch, library, suffix, extra):
    for name in [m for m in sys.modules if m == library or m.startswith(f"{library}.")]:
        monkeypatch.setitem(sys.modules, name, None)
    monkeypatch.setitem(sys.modules, library, None)
    with pytest.raises(MissingDependencyError, match=rf"pip install 'reverie\[{extra}\]'"):
        read(write("x", f"a{suffix}"))


def test_real_events_from_a_plain_file(real_data):
    path = real_data / "cms_dimuon" / "Zmumu_Run2011A_masses.csv"
    data = read(path, "pt1,eta1,phi1,pt2,eta2,phi2,M,Q1")
    kinds = {column.name: column.kind for column in data.schema.columns}
    assert len(data) == 10851
    assert kinds["phi1"] == kinds["phi2"] == "periodic"
    assert kinds["pt1"] == kinds["eta1"] == "continuous"
    assert kinds["Q1"] == "spin"
    assert data.schema["M"].lower == 60
    with pytest.raises(UnknownNameError, match="Did you mean 'phi1'"):
        read(path, "phi_1")
