"""Large tables in packed formats come as memory maps, with the values, names and types of a plain reading."""

import os

import numpy as np
import pytest

from reverie.core.lazy import LazyTable
from reverie.data import read
from reverie.data.formats.unpacked import cache_folder

N = 5000


@pytest.fixture
def values():
    rng = np.random.default_rng(0)
    return {"a [GeV]": rng.standard_normal(N).astype(np.float32), "n": rng.integers(0, 9, N), "b": rng.random(N)}


def write_parquet(path, values):
    pa, pq = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    pq.write_table(pa.table(values), path, row_group_size=700)


def write_columns(path, values, **options):
    with pytest.importorskip("h5py").File(path, "w") as file:
        for name, x in values.items():
            file.create_dataset(name, data=x, **options)


def write_packed(path, values):
    with pytest.importorskip("h5py").File(path, "w") as file:
        table = np.stack(list(values.values()), axis=1)
        file.create_dataset("t", data=table, compression="gzip").attrs["names"] = list(values)


def write_root(path, values):
    with pytest.importorskip("uproot").recreate(path) as file:
        file["t"] = values


WRITERS = {
    "x.parquet": write_parquet,
    "columns.h5": write_columns,
    "packed.h5": write_packed,
    "x.root": write_root,
}


@pytest.mark.parametrize("name", WRITERS)
def test_a_large_packed_table_is_unpacked_once_and_is_the_same_table(name, values, tmp_path, monkeypatch):
    monkeypatch.setenv("REVERIE_CACHE", str(tmp_path / "cache"))
    values = {key.split()[0]: x for key, x in values.items()} if name.endswith("root") else values
    WRITERS[name](tmp_path / name, values)
    plain = read(tmp_path / name)
    chosen = read(tmp_path / name, "b,n") if name != "packed.h5" else None
    assert "memory_map" not in plain.provenance
    monkeypatch.setenv("REVERIE_LARGE", "1000")
    large = read(tmp_path / name)
    assert isinstance(large.values, LazyTable)
    assert large.schema == plain.schema
    assert large.values.dtype == plain.values.dtype
    assert large.fingerprint() == plain.fingerprint()
    made = list(cache_folder().iterdir())
    assert [str(file) for file in made] == [large.provenance["memory_map"]]
    before = made[0].stat().st_mtime_ns
    assert read(tmp_path / name).fingerprint() == plain.fingerprint()
    assert made[0].stat().st_mtime_ns == before
    if chosen is not None:
        assert read(tmp_path / name, "b,n").fingerprint() == chosen.fingerprint()
    os.utime(tmp_path / name, ns=(0, 0))  # another file by that name
    assert read(tmp_path / name).provenance["memory_map"] != str(made[0])


def test_a_data_set_in_one_piece_is_a_memory_map_already(values, tmp_path, monkeypatch):
    monkeypatch.setenv("REVERIE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("REVERIE_LARGE", "1000")
    table = np.stack(list(values.values()), axis=1)
    with pytest.importorskip("h5py").File(tmp_path / "x.h5", "w") as file:
        file["other"], file["t"] = np.zeros((3, 2)), table
    found = read(f"{tmp_path}/x.h5:t")
    assert isinstance(found.values, LazyTable)
    assert np.array_equal(np.asarray(found.values), table)
    assert not cache_folder().exists()


def test_missing_whole_numbers_become_nan_and_words_are_read_as_a_whole(values, tmp_path, monkeypatch):
    pa, pq = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    monkeypatch.setenv("REVERIE_CACHE", str(tmp_path / "cache"))
    n = pa.array([None, *values["n"][1:].tolist()])
    pq.write_table(pa.table({"n": n, "b": values["b"]}), tmp_path / "x.parquet")
    pq.write_table(pa.table({"w": np.where(values["n"] > 4, "up", "down"), "b": values["b"]}), tmp_path / "w.parquet")
    monkeypatch.setenv("REVERIE_LARGE", "1000")
    found = read(tmp_path / "x.parquet")
    assert np.isnan(found.values[0, 0])
    assert np.array_equal(found.values[1:, 0], values["n"][1:])
    assert read(tmp_path / "w.parquet").schema["w"].labels == ("down", "up")
