"""Sinks: what is written is read again, and whatever goes wrong leaves no half-written file."""

import subprocess
import sys

import numpy as np
import pytest

from reverie.core.errors import FolderError, InputError, MissingDependencyError
from reverie.data.sinks import WRITERS, open_sink
from reverie.data.sources import read

for library in ("h5py", "pyarrow", "uproot"):
    pytest.importorskip(library)

SUFFIXES = [".npy", ".h5", ".csv", ".parquet", ".root", ".npz"]
NAMES = ["pt", "n", "Q"]


def table(n: int = 1000) -> np.ndarray:
    r = np.random.default_rng(0)
    return np.stack([r.lognormal(3, 1, n), r.poisson(3, n), 2 * r.integers(0, 2, n) - 1], axis=1)


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("known", [True, False], ids=["n_total", "open end"])
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_round_trip_in_blocks(tmp_path, suffix, known, dtype):
    x = table().astype(dtype)
    path = tmp_path / f"samples{suffix}"
    with open_sink(path, names=NAMES, event_shape=(3,), dtype=dtype, n_total=1000 if known else None) as sink:
        for start in range(0, 1000, 300):
            sink.write(x[start : start + 300])
    assert sink.n_written == 1000
    back = read(path)
    np.testing.assert_array_equal(back.values.astype(dtype), x)
    assert back.names == (["x0", "x1", "x2"] if suffix == ".npy" else NAMES)
    assert [entry.name for entry in tmp_path.iterdir()] == [path.name]


@pytest.mark.parametrize("suffix", [".csv", ".parquet", ".root"])
def test_each_column_in_its_own_type(tmp_path, suffix):
    path = tmp_path / f"samples{suffix}"
    x = table(50) + np.array([0, 1e-9, -1e-9])  # not quite whole, as networks give them
    with open_sink(path, names=NAMES, event_shape=(3,), dtype=["float32", "int64", "int8"]) as sink:
        sink.write(x)
    back = read(path)
    assert back.schema["n"].dtype == "int64"
    assert back.schema["Q"].kind == "spin"
    np.testing.assert_array_equal(back.values[:, 1:], np.rint(x[:, 1:]))


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("shape", [(4, 3), (2, 4, 3)])
def test_images(tmp_path, suffix, shape):
    x = np.random.default_rng(0).integers(0, 256, (20, *shape)).astype(np.uint8)
    path = tmp_path / f"samples{suffix}"
    with open_sink(path, event_shape=shape, dtype="uint8", n_total=20) as sink:
        sink.write(x[:15])
        sink.write(x[15:])
    back = read(path)
    keeps = suffix in (".npy", ".h5", ".npz")
    assert back.event_shape == (shape if keeps else (int(np.prod(shape)),))
    np.testing.assert_array_equal(back.values.reshape(x.shape), x)
    if not keeps:
        assert back.names[-1] == "pixel_" + "_".join(str(n - 1) for n in shape)


@pytest.mark.parametrize("suffix", [".csv", ".parquet", ".npz", ".h5", ".root"])
def test_words_are_written_as_words(tmp_path, suffix):
    path = tmp_path / f"samples{suffix}"
    words = ["gamma, soft", "hadron"]
    with open_sink(
        path, names=["E", "class"], event_shape=(2,), dtype=["float64", "str"], labels={"class": words}
    ) as sink:
        sink.write(np.array([[1.5, 1.0], [2.5, 0.0]]))
    back = read(path)
    assert back.schema["class"].labels == tuple(words)
    assert back.values[:, 1].tolist() == [1, 0]


def test_root_is_a_tree_that_old_readers_know(tmp_path):
    import uproot

    with open_sink(tmp_path / "a.root", names=["x"], event_shape=(1,)) as sink:
        sink.write(np.zeros((2, 1)))
    with uproot.open(tmp_path / "a.root") as file:
        assert file.classnames(cycle=False) == {"samples": "TTree"}


def test_npy_is_what_numpy_writes(tmp_path):
    x = table().astype("float32")
    with open_sink(tmp_path / "a.npy", event_shape=(3,), dtype="float32") as sink:
        sink.write(x)
    np.save(tmp_path / "b.npy", x)
    assert (tmp_path / "a.npy").read_bytes() == (tmp_path / "b.npy").read_bytes()


class Stop(BaseException):
    """Stands for Ctrl-C."""


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, Stop])
def test_any_error_leaves_the_target_as_it_was(tmp_path, suffix, error):
    path = tmp_path / f"samples{suffix}"
    path.write_text("before")
    sink = open_sink(path, names=NAMES, event_shape=(3,))
    with pytest.raises(error), sink:  # noqa: PT012
        sink.write(table(10))
        raise error
    assert path.read_text() == "before"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize(
    ("blocks", "message"),
    [
        ([np.zeros((2, 4))], r"Expected blocks \(n, \*\(3,\)\), got \(2, 4\)"),
        ([np.zeros((9, 3)), np.zeros((2, 3))], "Expected 10 events in all, got more"),
        ([np.zeros((9, 3))], "Expected 10 events, got 9"),
        ([np.full((10, 3), np.nan)], "Expected whole numbers, got"),
    ],
)
def test_wrong_blocks(tmp_path, suffix, blocks, message):
    sink = open_sink(tmp_path / f"a{suffix}", names=NAMES, event_shape=(3,), dtype="int32", n_total=10)
    with pytest.raises(InputError, match=message), sink:  # noqa: PT012
        for block in blocks:
            sink.write(block)
    assert list(tmp_path.iterdir()) == []


FULL_DISK = """
import resource, sys, numpy as np
from reverie.core.errors import FolderError
from reverie.data.sinks import open_sink
limits = resource.getrlimit(resource.RLIMIT_FSIZE)
for target in sys.argv[1:]:
    sink = open_sink(target, event_shape=(4,), dtype="float64")
    try:
        with sink:
            sink.write(np.random.default_rng(0).random((10, 4)))
            resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, limits[1]))
            for _ in range(50):
                sink.write(np.random.default_rng(0).random((1000, 4)))
    except FolderError as error:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        print("one sentence:", error)
"""


def test_full_disk_is_one_sentence(tmp_path):
    """A limit on the size of files fails a write the way a full disk does, in every format."""
    targets = [tmp_path / f"samples{suffix}" for suffix in SUFFIXES]
    command = [sys.executable, "-c", FULL_DISK, *map(str, targets)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    lines = done.stdout.splitlines()
    assert len(lines) == len(targets), done.stderr
    for target, line in zip(targets, lines, strict=True):
        assert line.startswith(f"one sentence: Expected to write {target.name} in {tmp_path}, got: ")
    assert "Traceback" not in done.stderr
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("name", "options", "kind", "message"),
    [
        ("a.xyz", {"event_shape": (2,)}, InputError, "suffixes .npy"),
        ("none/a.npy", {"event_shape": (2,)}, FolderError, "no folder"),
        ("a.npy", {"event_shape": (2,), "names": ["a"]}, InputError, "Expected 2 names, got 1"),
        ("a.npy", {"event_shape": (2,), "dtype": ["f4"] * 3}, InputError, "one type or 2, got 3"),
    ],
)
def test_refusals(tmp_path, name, options, kind, message):
    with pytest.raises(kind, match=message):
        open_sink(tmp_path / name, **options)


def test_closed_sinks_refuse_blocks(tmp_path):
    sink = open_sink(tmp_path / "a.npy", event_shape=(2,))
    with pytest.raises(InputError, match="open sink"):
        sink.write(np.zeros((1, 2)))


@pytest.mark.parametrize(("library", "suffix"), [("h5py", ".h5"), ("pyarrow", ".parquet"), ("uproot", ".root")])
def test_missing_libraries(tmp_path, monkeypatch, library, suffix):
    monkeypatch.setitem(sys.modules, library, None)
    with pytest.raises(MissingDependencyError, match="pip install"):
        open_sink(tmp_path / f"a{suffix}", event_shape=(2,)).__enter__()
    assert list(tmp_path.iterdir()) == []


def test_every_format_has_a_test():
    assert set(SUFFIXES) | {".hdf5", ".pq"} == set(WRITERS)
