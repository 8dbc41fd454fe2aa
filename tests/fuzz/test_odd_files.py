"""Odd files: whatever stands in a file, it is read as a data set or refused in one sentence, without a warning.

Small valid files of each format are damaged, arrays get drawn headers, and tables get drawn cells. REVERIE_FUZZ sets
how many files of each kind are drawn.
"""

import gzip
import io
import os
import warnings
import zipfile

import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from reverie.core.errors import ReverieError
from reverie.data import Dataset, describe, read

FILES = int(os.environ.get("REVERIE_FUZZ", "200"))
SECONDS = 10
TABLE = np.random.default_rng(0).normal(size=(12, 3))

law = settings(
    max_examples=FILES,
    deadline=1000 * SECONDS,
    derandomize=True,
    database=None,
    phases=[Phase.generate],
    suppress_health_check=list(HealthCheck),
)


def faults(path) -> list[str]:
    """Return what is wrong with the answer to a file; an exception that is not of reverie is raised as it is."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        try:
            data = read(path)
            text = describe(data)
        except ReverieError as error:
            return ["a message of several lines"] * ("\n" in str(error))
    return ["no data set"] * (not isinstance(data, Dataset)) + ["no text"] * (not text)


def _npy() -> bytes:
    file = io.BytesIO()
    np.save(file, TABLE)
    return file.getvalue()


def _npz() -> bytes:
    file = io.BytesIO()
    np.savez_compressed(file, a=TABLE[:, 0], b=TABLE[:, 1])
    return file.getvalue()


def _csv() -> bytes:
    return ("a [GeV],b,c\n" + "\n".join(",".join(f"{x:.6g}" for x in row) for row in TABLE) + "\n").encode()


def _parquet() -> bytes:
    arrow, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    file = io.BytesIO()
    parquet.write_table(arrow.table({"a": TABLE[:, 0], "b": np.arange(12), "c": ["up", "down"] * 6}), file)
    return file.getvalue()


def _hdf5() -> bytes:
    h5py = pytest.importorskip("h5py")
    file = io.BytesIO()
    with h5py.File(file, "w") as content:
        content["a"], content["b"] = TABLE[:, 0], np.arange(12)
    return file.getvalue()


VALID = {
    "npy": _npy,
    "npz": _npz,
    "csv": _csv,
    "csv.gz": lambda: gzip.compress(_csv(), mtime=0),
    "parquet": _parquet,
    "h5": _hdf5,
}


@st.composite
def damaged(draw, content: bytes):
    """Cut, flip, insert, double or take away bytes, up to three times."""
    for _ in range(draw(st.integers(1, 3))):
        place = draw(st.integers(0, max(0, len(content) - 1)))
        other = draw(st.binary(max_size=12))
        way = draw(st.sampled_from(["cut", "flip", "insert", "overwrite", "take away", "double"]))
        if way == "cut":
            content = content[:place]
        elif way == "flip" and content:
            content = content[:place] + bytes([content[place] ^ (1 << draw(st.integers(0, 7)))]) + content[place + 1 :]
        elif way == "insert":
            content = content[:place] + other + content[place:]
        elif way == "overwrite":
            content = content[:place] + other + content[place + len(other) :]
        elif way == "take away":
            content = content[:place] + content[place + len(other) :]
        else:
            content = content + content[place:]
    return content


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("suffix", VALID)
def test_damaged_files_are_read_or_refused_in_a_sentence(tmp_path, suffix):
    path, whole = tmp_path / f"events.{suffix}", VALID[suffix]()
    path.write_bytes(whole)
    assert faults(path) == []

    @law
    @given(damaged(whole))
    def every_damage(content):
        path.write_bytes(content)
        assert faults(path) == []

    every_damage()


SIZES = st.sampled_from([0, 1, 2, 3, 12, 36, 10**4, 2**31, 2**63 - 1, 2**63, 10**30, -1, -3, True, 2.0, None])
DTYPES = st.sampled_from(
    ["<f8", ">f8", "<f4", "<f2", "<f16", "|b1", "|i1", "<u8", ">i8", "<c16", "|O", "<U3", "|S4", "<U0", "|V8",
     "<M8[ns]", "<m8[s]", "no type", "", 7, None, [("a", "<f8"), ("b", "<i4")], [("a", "<f8", (2,))], [("a", "|O")],
     [], [("", "<f8")], [("a", [("b", "<f8")])], ("<f8", (3,))]
)  # fmt: skip


@st.composite
def npy_files(draw):
    """Arrays whose header says what was drawn, before bytes that may or may not fit it."""
    header = {
        "descr": draw(DTYPES),
        "fortran_order": draw(st.sampled_from([False, True, 0, None])),
        "shape": draw(st.one_of(st.lists(SIZES, max_size=4).map(tuple), st.just("word"), st.just(3))),
    }
    for key in draw(st.lists(st.sampled_from([*header, "other"]), max_size=1)):
        header = {k: v for k, v in header.items() if k != key} | ({"other": 1} if key == "other" else {})
    version = draw(st.sampled_from([(1, 0), (2, 0), (3, 0), (0, 9), (9, 9)]))
    text = draw(st.sampled_from([repr(header), repr(header), repr(header), "{", "", "__import__('os')", "[" * 300]))
    text = text.encode("latin1").ljust(draw(st.sampled_from([0, 118, 2000]))) + b"\n"
    n = len(text) if draw(st.integers(0, 5)) else draw(st.sampled_from([0, 5, 60000]))
    length = n.to_bytes(2 if version == (1, 0) else 4, "little")
    rows = draw(st.sampled_from([TABLE.tobytes(), b"", TABLE.tobytes()[:-3], np.full(400, 0xFF, np.uint8).tobytes()]))
    return b"\x93NUMPY" + bytes(version) + length + text + rows


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("suffix", ["npy", "npz"])
def test_arrays_with_odd_headers_are_read_or_refused_in_a_sentence(tmp_path, suffix):
    path = tmp_path / f"events.{suffix}"

    @law
    @given(npy_files())
    def every_header(content):
        if suffix == "npy":
            path.write_bytes(content)
        else:
            with zipfile.ZipFile(path, "w") as archive:
                archive.writestr("a.npy", content)
        assert faults(path) == []

    every_header()


CELLS = st.one_of(
    st.floats(width=64).map(repr),
    st.integers(-9, 9).map(str),
    st.sampled_from(
        ["", " ", "1e400", "-1e400", "1e-400", "9" * 30, "9" * 400, str(2**63), str(2**64), "nan", "NaN", "inf",
         "-Infinity", "NA", "null", "None", "-", "+", ".", "1,5", "1.5.2", "0x10", "1_000", "1d3", "1e", "True", '"',
         '""', '"1"',
         '"a,b"', '"a\nb"', "'", "\0", "1\0", "\ufeff1", "é", "日本", "\u2028", "\u00a01", "−1", "１", "a" * 5000, "#",
         "# 1", "1+2j", "2020-01-01", "\r", "\x1a", "\x85", "%", "NUL", "=1+1"]
    ),
    st.text(max_size=6),
)  # fmt: skip


@st.composite
def tables(draw):
    """Text of few rows of drawn cells, more often than not as many in each row."""
    separator = draw(st.sampled_from([",", ",", ";", "\t", " ", "|"]))
    end = draw(st.sampled_from(["\n", "\n", "\r\n", "\r"]))
    n, columns = draw(st.integers(0, 6)), draw(st.integers(1, 4))
    numbers = st.floats(-9, 9).map(repr)
    some = st.one_of(numbers, numbers, numbers, CELLS) if draw(st.booleans()) else CELLS
    rows = [draw(st.lists(some, min_size=columns, max_size=columns + (draw(st.integers(0, 9)) == 0))) for _ in range(n)]
    head = [["a [GeV]", "b", "c", "d"][:columns]] if draw(st.booleans()) else []
    text = end.join(separator.join(row) for row in [*head, *rows]) + draw(st.sampled_from(["", end, end + end]))
    return text.encode(draw(st.sampled_from(["utf-8", "utf-8", "utf-16", "utf-8-sig", "latin-1"])), "replace")


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("suffix", ["csv", "tsv", "txt", "dat"])
def test_tables_with_odd_cells_are_read_or_refused_in_a_sentence(tmp_path, suffix):
    path = tmp_path / f"events.{suffix}"

    @law
    @given(tables())
    def every_table(content):
        path.write_bytes(content)
        assert faults(path) == []

    every_table()
