"""Files of sets of particles: what is written is read again, foreign forms are read, odd ones refused in a sentence."""

import numpy as np
import pytest

from reverie.core.errors import InputError, ReverieError
from reverie.data import Dataset, check_trainable, describe, open_sink, particle_sets, read

h5py = pytest.importorskip("h5py", reason="HDF5 files need h5py")
pa = pytest.importorskip("pyarrow", reason="Parquet files need pyarrow")
uproot = pytest.importorskip("uproot", reason="ROOT files need uproot")
import awkward as ak  # noqa: E402
import pyarrow.parquet as pq  # noqa: E402

SUFFIXES = [".parquet", ".root", ".h5", ".npz"]
NAMES = ["eta_rel", "phi_rel", "pt_rel"]


@pytest.fixture(scope="module")
def jets() -> Dataset:
    r = np.random.default_rng(0)
    sizes = r.integers(1, 8, 60)
    return particle_sets(
        [np.column_stack([r.normal(0, 0.1, (n, 2)), r.random(n) + 0.01]).astype("float32") for n in sizes], names=NAMES
    )


@pytest.fixture(scope="module")
def columns() -> np.ndarray:
    r = np.random.default_rng(1)
    return np.column_stack([r.normal(1000, 100, 60).astype("float32"), r.integers(0, 3, 60), r.random(60) + 0.5])


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("known", [True, False], ids=["n_total", "open end"])
def test_round_trip_in_blocks_with_columns_of_the_sets(tmp_path, suffix, known, jets, columns):
    path = tmp_path / f"jets{suffix}"
    beside = {"beside": ["jet_pt", "jet_class", "w"], "beside_dtype": ["float32", "int64", "float64"]}
    shape = {"names": jets.names, "event_shape": jets.event_shape, "dtype": jets.schema.dtypes}
    with open_sink(path, **shape, **beside, n_total=60 if known else None) as sink:
        for rows in (slice(0, 25), slice(25, 60)):
            sink.write(jets.values[rows], columns[rows])
    back = read(path)
    np.testing.assert_array_equal(back.values, jets.values)
    assert back.schema == jets.schema
    assert back.provenance["columns_of_the_sets"] == "jet_pt, jet_class, w"
    table = read(path, columns="jet_class,jet_pt")
    np.testing.assert_array_equal(table.values, columns[:, [1, 0]])
    assert table.schema.dtypes == (["int64", "float32"] if suffix != ".h5" else ["float64"] * 2)
    np.testing.assert_array_equal(read(path, weights="w").weights, columns[:, 2])
    one = read(path, columns="pt_rel", weights="w")
    assert one.names == ["pt_rel", "mask"]
    np.testing.assert_array_equal(one.values, jets.values[..., 2:])


@pytest.mark.parametrize("suffix", [*SUFFIXES, ".npy"])
def test_sets_alone(tmp_path, suffix, jets):
    with open_sink(tmp_path / f"a{suffix}", names=jets.names, event_shape=jets.event_shape) as sink:
        sink.write(jets.values)
    back = read(tmp_path / f"a{suffix}")
    np.testing.assert_array_equal(back.values, jets.values)
    assert back.schema.is_set == (suffix != ".npy")  # nothing in an array says so


def test_sinks_refuse_what_they_cannot_hold(tmp_path, jets):
    shape = {"names": jets.names, "event_shape": jets.event_shape}
    for name, given, sentence in (
        ("a.csv", shape, "one of the suffixes .npz"),
        ("a.npy", shape | {"beside": ["jet_pt"]}, "one of the suffixes .npz"),
        ("a.npz", {"event_shape": (3,), "beside": ["jet_pt"]}, "Leave beside out"),
    ):
        with pytest.raises(InputError, match=sentence):
            open_sink(tmp_path / name, **given)
    with open_sink(tmp_path / "a.npz", **shape, beside=["jet_pt"]) as sink:
        for beside in (None, np.zeros((60, 2)), np.zeros((9, 1))):
            with pytest.raises(InputError, match="columns of the sets of shape"):
                sink.write(jets.values, beside)
        sink.write(jets.values, np.zeros((60, 1)))


def test_the_form_of_jetnet(tmp_path, jets, columns):
    with h5py.File(tmp_path / "g.hdf5", "w") as file:
        file["particle_features"] = jets.values
        file["jet_features"] = np.column_stack([columns, columns[:, 0]])
    data = read(tmp_path / "g.hdf5")
    assert data.schema == jets.schema
    np.testing.assert_array_equal(data.values, jets.values)
    assert data.provenance["columns_of_the_sets"] == "jet_pt, jet_eta, jet_mass, jet_n_particles"
    assert read(tmp_path / "g.hdf5:particle_features").schema.is_set


def test_records_of_awkward_arrays(tmp_path, jets):
    pytest.importorskip("pyarrow", minversion="17.0", reason="awkward writes Parquet by pyarrow 17 and later")
    records = jets.to_awkward()
    ak.to_parquet(ak.zip({"jet_pt": np.arange(60.0), "particles": records}, depth_limit=1), tmp_path / "a.parquet")
    with uproot.recreate(tmp_path / "a.root") as file:
        file["events"] = {"particles": records, "jet_pt": np.arange(60.0)}
    for name in ("a.parquet", "a.root"):
        data = read(tmp_path / name)
        np.testing.assert_array_equal(data.values, jets.values)
        assert [one.removeprefix("particles_") for one in data.names] == jets.names
        assert data.provenance["columns_of_the_sets"] == "jet_pt"


def test_large_sets_and_nulls(tmp_path, monkeypatch, jets):
    lists = [None if k == 3 else one for k, one in enumerate(jets.to_awkward()["pt_rel"].to_list())]
    pq.write_table(pa.table({"pt_rel": pa.array(lists, pa.large_list(pa.float32()))}), tmp_path / "a.parquet")
    assert read(tmp_path / "a.parquet").missing_rows().tolist() == [3]  # a null is an empty set
    monkeypatch.setenv("REVERIE_LARGE", "100")
    assert read(tmp_path / "a.parquet", drop_missing=True).event_shape == (7, 2)


def _parquet(**columns):
    return lambda path: pq.write_table(pa.table(columns), path)


def _npz(**arrays):
    return lambda path: np.savez(path, **arrays)


def _h5(**arrays):
    def write(path):
        with h5py.File(path, "w") as file:
            for name, x in arrays.items():
                file[name] = x

    return write


def _root(**branches):
    def write(path):
        with uproot.recreate(path) as file:
            file["events"] = branches

    return write


def _sets(**changes: tuple) -> np.ndarray:
    """Return forty sets (40, 3, 4), of which in some places another value stands."""
    r = np.random.default_rng(2)
    x = np.concatenate([r.random((40, 3, 3)) + 0.1, np.ones((40, 3, 1))], axis=-1)
    x[::2, 2] = 0
    for place in changes.values():
        *index, value = place
        x[tuple(index)] = value
    return x


LISTS = [[0.5, 0.25], [0.125]] * 20
SHORT = [[0.5], [0.125]] * 20
JAGGED, FLAT = ak.Array(LISTS), np.arange(40.0)
MASK = _sets()[..., 3]
ODD = {  # file -> how it is written, and a part of the sentence that refuses it
    "unequal_lists.parquet": (_parquet(pt=LISTS, eta=SHORT), "others in 'pt' and 'eta' of set 0"),
    "lists_of_words.parquet": (_parquet(pt=LISTS, name=[["a", "b"], ["c"]] * 20), "Expected numbers"),
    "lists_of_lists.parquet": (_parquet(pt=[[[0.5]], [[1.0, 2.0]]] * 20), "Expected numbers in column 'pt'"),
    "lists_of_times.parquet": (_parquet(t=pa.array([[0], [1, 2]] * 20, pa.list_(pa.timestamp("s")))), "numbers"),
    "null_records.parquet": (_parquet(p=[[{"pt": 1.0}, None], [{"pt": 2.5}]] * 20), "20 nulls"),
    "one_feature_twice.parquet": (_parquet(p=[[{"pt": 1.5}]] * 40, pt=[[1.5]] * 40), "'pt' twice"),
    "nested_records.parquet": (_parquet(p=[[{"v": {"x": 1.5}}]] * 40), "Expected numbers in column 'v'"),
    "all_empty.parquet": (_parquet(pt=pa.array([[]] * 40, pa.list_(pa.float64()))), "particle in every set"),
    "some_empty.parquet": (_parquet(pt=[[], *LISTS[1:]]), "got none in 1 of 40"),
    "nan_inside.parquet": (_parquet(pt=[[float("nan")], *LISTS[1:]]), "1 NaN and 0 inf .*pt: 1"),
    "inf_inside.parquet": (_parquet(pt=[[float("inf")], *LISTS[1:]]), "0 NaN and 1 inf .*pt: 1"),
    "constant.parquet": (_parquet(pt=LISTS, q=[[1.0, 1.0], [1.0]] * 20), "1 constant: q = 1"),
    "no_rows.parquet": (_parquet(pt=pa.array([], pa.list_(pa.float64()))), "Expected events"),
    "one_huge_set.parquet": (_parquet(pt=[[0.5] * 200_000, *([[0.25]] * 20_000)]), "memory|hardest"),
    "unequal_branches.root": (_root(pt=JAGGED, eta=ak.Array(SHORT)), "others in 'eta' and 'pt' of set 0"),
    "empty_events.root": (_root(pt=ak.Array([[], *LISTS[1:]])), "got none in 1 of 40"),
    "nan_inside.root": (_root(pt=ak.Array([[np.nan], *LISTS[1:]])), "1 NaN"),
    "mask_over_nothing.npz": (_npz(particles=_sets(a=(0, 2, 3, 1))), "mask of 0 where all features are 0"),
    "no_mask_over_something.npz": (_npz(particles=_sets(a=(1, 2, 3, 0))), "features of 0 where the mask is 0"),
    "mask_of_halves.npz": (_npz(particles=_sets()[..., :3], mask=MASK / 2), "mask of 0 and 1, got 100 other values"),
    "mask_of_nan.npz": (_npz(particles=_sets()[..., :3], mask=np.where(MASK > 0, 1, np.nan)), "mask of 0 and 1"),
    "mask_of_words.npz": (_npz(particles=_sets()[..., :3], mask=np.full((40, 3), "a")), "Expected numbers in the mask"),
    "mask_too_short.npz": (_npz(particles=_sets()[..., :3], mask=MASK[:, :2]), r"mask of shape \(40, 3\)"),
    "mask_of_fewer.npz": (_npz(particles=_sets()[..., :3], mask=MASK[:9]), r"mask of shape \(40, 3\)"),
    "no_mask.npz": (_npz(particles=_sets()[..., :3]), "mask of 0 and 1 as the last column"),
    "mask_alone.npz": (_npz(particles=_sets()[..., 3:]), "mask of 0 and 1 as the last column"),
    "too_many_names.npz": (_npz(particles=_sets(), names=np.array(list("abcdef"))), "names for the 3 features"),
    "one_name_twice.npz": (_npz(particles=_sets(), names=np.array(["a", "a", "b"])), "a twice"),
    "complex.npz": (_npz(particles=_sets() + 0j), "Complex"),
    "words.npz": (_npz(particles=np.full((40, 3, 4), "pt")), "Expected numbers"),
    "no_sets.npz": (_npz(particles=_sets()[:0]), "Expected events"),
    "no_places.npz": (_npz(particles=_sets()[:, :0]), "Expected|Found"),
    "column_of_fewer.npz": (_npz(particles=_sets(), jet_pt=FLAT[:9]), "one number for each of 40 sets"),
    "constant_feature.npz": (_npz(particles=_sets(a=(slice(1, 40, 2), ..., 1, 0.5))[1::2]), "1 constant: x1 = 0.5"),
    "mask_over_nothing.h5": (_h5(particle_features=_sets(a=(0, 2, 3, 1))), "mask of 0 where all features are 0"),
    "minus_one.hdf5": (_h5(particle_features=_sets(a=(0, 2, 3, -1))), "mask of 0 and 1"),
    "jets_of_fewer.hdf5": (_h5(particle_features=_sets(), jet_features=np.ones((9, 4))), "one number for each of 40"),
    "huge_numbers.h5": (_h5(particle_features=_sets(a=(0, 0, 0, 1e80))), "at most 1e.70"),
}  # fmt: skip


def _learn(path):
    """Read and show a file, and ask whether a model can learn it, as the command line does."""
    data = read(path)
    describe(data)
    data._repr_html_()
    check_trainable(data)


@pytest.mark.parametrize("name", ODD)
def test_odd_files_of_sets_are_refused_in_one_sentence(name, tmp_path, monkeypatch):
    write, sentence = ODD[name]
    write(tmp_path / name)
    if name.startswith("one_huge"):
        monkeypatch.setattr("os.sysconf", lambda what: 1 << 12 if "SIZE" in what else 1 << 20)  # 4 GiB
    with pytest.raises(ReverieError, match=sentence) as caught:
        _learn(tmp_path / name)
    message = str(caught.value)
    assert "\n" not in message
    assert len(message) < 600


def test_thirty_odd_files():
    assert len(ODD) >= 30
