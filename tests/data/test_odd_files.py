"""Odd files: every one is read or refused in one sentence, at once, and none makes a library speak."""

import gzip
import os
import struct
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest

from reverie.core.errors import InputError, ReverieError
from reverie.data import check_trainable, describe, read
from reverie.data.formats import text

pytestmark = pytest.mark.timeout(30)
ROWS = "".join(f"{i},{i * i % 7}\n" for i in range(60))


def _npy(shape: str, content: bytes = b"\0" * 800, descr: str = "'<f8'") -> bytes:
    """Return an npy file whose header declares this shape, be it possible or not."""
    header = f"{{'descr': {descr}, 'fortran_order': False, 'shape': {shape}, }}".encode()
    header += b" " * (63 - (len(header) + 10) % 64) + b"\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header + content


def _npz(entry: str, content: bytes) -> bytes:
    import io

    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr(entry, content)
    return buffer.getvalue()


def _two_tebibytes() -> bytes:
    """Return an archive whose directory declares an array of 2 TiB."""
    raw = bytearray(_npz("x.npy", _npy("(274877906944, 1)")))
    place = raw.rindex(b"PK\x01\x02")
    raw[place + 24 : place + 28] = struct.pack("<I", 0xFFFFFFFE)
    return bytes(raw)


REFUSED = {
    "truncated.csv.gz": gzip.compress(ROWS.encode() * 50)[:60],
    "fake.csv.gz": ROWS.encode(),
    "damaged.csv.gz": gzip.compress(ROWS.encode() * 50)[:40] + b"\xff" * 40,
    "empty.csv.gz": b"",
    "negative.npy": _npy("(-5, 2)"),
    "absurd.npy": _npy("(99999999999999999999999, 2)"),
    "terabytes.npy": _npy("(137438953472, 2)"),
    "no_shape.npy": _npy("'wide'"),
    "no_header.npy": b"\x93NUMPY\x01\x00",
    "other_version.npy": b"\x93NUMPY\x09\x09" + b"\0" * 100,
    "no_type.npy": _npy("(50, 2)", descr="'<q99'"),
    "pickle.npy": _npy("(50, 2)", descr="'|O'"),
    "unclosed.npy": b"\x93NUMPY\x01\x00\x76\x00" + b"{'descr': ((((((" + b" " * 102,
    "times.npy": _npy("(50, 2)", descr="'<M8[s]'"),
    "scalar.npy": _npy("()"),
    "text.npz": _npz("readme.txt", b"no array"),
    "broken_entry.npz": _npz("x.npy", b"no array"),
    "negative.npz": _npz("x.npy", _npy("(-5, 2)")),
    "terabytes.npz": _npz("x.npy", _npy("(137438953472, 2)")),
    "bomb.npz": _two_tebibytes(),
    "no_zip.npz": b"PK\x03\x04" + b"\0" * 60,
    "utf16.csv": ("a,b\n" + ROWS).encode("utf-16"),
    "binary.csv": bytes(range(256)) * 50,
    "zeros.csv": b"\0" * 1000,
    "one_line.csv": b"1.5" * (1 << 24),
    "large_field.csv": b"a,b\n1," + b"x" * 200_000 + b"\n2,3\n",
    "wide.csv": (",".join(f"c{j}" for j in range(20_000)) + "\n" + ",".join(["1.5"] * 20_000) + "\n").encode(),
    "wider.csv": (",".join(["1.5"] * 1_000_000) + "\n").encode(),
    "open_quote.csv": b'a,b\n"1,2\n3,4\n5,6\n',
    "twice.csv": ("a,a\n" + ROWS).encode(),
    "fake.parquet": ROWS.encode(),
    "stub.parquet": b"PAR1" + b"\0" * 40 + b"PAR1",
    "fake.h5": ROWS.encode(),
    "stub.h5": b"\x89HDF\r\n\x1a\n" + b"\0" * 100,
    "fake.root": ROWS.encode(),
    "stub.root": b"root" + b"\0" * 300,
    "table.xlsx": b"PK\x03\x04" + b"\0" * 60,
    "no_suffix": ROWS.encode(),
}


@pytest.mark.parametrize(("name", "content"), REFUSED.items(), ids=REFUSED)
def test_odd_files_are_refused_in_one_sentence(name, content, tmp_path):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ReverieError) as caught:
        describe(read(tmp_path / name))
    message = str(caught.value)
    assert "\n" not in message
    assert len(message) < 600


READ = {
    "bom.csv": "\ufeffa,b\n".encode() + ROWS.encode(),
    "crlf.csv": ("a,b\n" + ROWS).replace("\n", "\r\n").encode(),
    "cr.csv": ("a,b\n" + ROWS).replace("\n", "\r").encode(),
    "quotes.csv": ('"a","b"\n' + "".join(f'"{i}","{i % 7}"\n' for i in range(60))).encode(),
    "no_end.csv": ("a,b\n" + ROWS).rstrip().encode(),
    "empty_lines.csv": ("\n\n# a comment\na,b\n\n" + ROWS).encode(),
    "whole.csv.gz": gzip.compress(("a,b\n" + ROWS).encode()),
    "UPPER.CSV": ("a,b\n" + ROWS).encode(),
    "with space \u00e9 \u202f.csv": ("a,b\n" + ROWS).encode(),
}


@pytest.mark.parametrize(("name", "content"), READ.items(), ids=READ)
def test_harmless_oddities_are_read(name, content, tmp_path):
    (tmp_path / name).write_bytes(content)
    data = read(tmp_path / name)
    assert data.names == ["a", "b"]
    np.testing.assert_array_equal(data.values[:, 1] % 7, data.values[:, 1])
    assert len(data) == 60


def test_places_that_are_no_files(tmp_path):
    (tmp_path / "broken.csv").symlink_to(tmp_path / "nowhere.csv")
    (tmp_path / "loop.csv").symlink_to(tmp_path / "loop.csv")
    os.mkfifo(tmp_path / "pipe.csv")
    odd = [
        "broken.csv",
        "loop.csv",
        "pipe.csv",
        "a" * 5000 + ".csv",
        "nul\0byte.csv",
        "line\nbreak.csv",
        "no\udcffutf.csv",
    ]
    for name in [*odd, "", ".", "x" * 300 + ".csv"]:
        with pytest.raises(InputError) as caught:
            read(f"{tmp_path}/{name}")
        assert "\n" not in str(caught.value)
        str(caught.value).encode()
    with pytest.raises(InputError, match="device"):
        read("/dev/null")


def test_a_file_that_may_not_be_read(tmp_path, monkeypatch):
    path = tmp_path / "secret.csv"
    path.write_text(ROWS)
    monkeypatch.setattr(Path, "open", lambda *a, **k: (_ for _ in ()).throw(PermissionError(13, "Permission denied")))
    with pytest.raises(InputError, match="no access"):
        read(path)


def test_parquet_with_a_column_twice_or_a_dot_in_its_name(tmp_path):
    pa = pytest.importorskip("pyarrow")
    import pyarrow.parquet as pq

    column = pa.array(np.arange(60.0))
    pq.write_table(pa.Table.from_arrays([column, column], names=["a", "a"]), tmp_path / "twice.parquet")
    with pytest.raises(InputError, match="'a' twice"):
        read(tmp_path / "twice.parquet")
    pq.write_table(pa.Table.from_arrays([column, column], names=["a.b", "c"]), tmp_path / "dot.parquet")
    assert read(tmp_path / "dot.parquet").names == ["a.b", "c"]


def test_hdf5_that_declares_more_than_there_is_room_for(tmp_path, monkeypatch):
    h5py = pytest.importorskip("h5py")
    monkeypatch.setenv("REVERIE_CACHE", str(tmp_path / "cache"))
    with h5py.File(tmp_path / "huge.h5", "w") as file:
        file.create_dataset("x", shape=(1 << 38, 8), dtype="f8", chunks=(1024, 8))
    with pytest.raises(ReverieError, match="GiB free"):
        read(tmp_path / "huge.h5")


@pytest.mark.parametrize("size", [1.7e308, 1e-310, 5e-324, 1e120])
def test_values_near_the_ends_of_double_precision(size, tmp_path):
    """They are shown by describe, and refused by everything that computes with them."""
    import reverie

    rng = np.random.default_rng(0)
    values = np.column_stack([rng.uniform(-1, 1, 3000) * size, rng.normal(size=3000)])
    np.save(tmp_path / "x.npy", values)
    data = read(tmp_path / "x.npy")
    describe(data)
    for use in (check_trainable, reverie.explore.principal_components, lambda x: reverie.validate(x, x)):
        with pytest.raises(InputError, match="largest one of .* power of ten"):
            use(data)


def test_ordinary_units_are_far_from_these_ends():
    """The twin: masses of particles in kilogrammes and distances of galaxies in metres are numbers like others."""
    from reverie.core.checks import check_finite

    check_finite(np.array([[9.1e-31, 1e26], [1.7e-27, 4e26]]))
    check_finite(np.array([[0.0, 1e-40], [0.0, 3e38]], dtype=np.float32))


@pytest.mark.slow
def test_the_command_answers_at_once(tmp_path):
    (tmp_path / "wider.csv").write_bytes(REFUSED["wider.csv"])
    command = [sys.executable, "-m", "reverie", "data", "describe", str(tmp_path / "wider.csv")]
    found = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    assert found.returncode == 2
    assert "at most 10,000 columns" in found.stderr


@pytest.mark.parametrize("reader", ["pyarrow", "line by line"])
def test_words_lose_the_blanks_about_them_and_comments_are_no_rows(reader, tmp_path, monkeypatch):
    if reader == "line by line":
        monkeypatch.setattr(text, "_with_pyarrow", lambda *given: None)
    (tmp_path / "a.csv").write_text("w, a\nmu, 1.5\n e, 2\nNA , 3\n# run 7, 12\n")
    raw = text.read_text(tmp_path / "a.csv")
    assert raw.labels == {"w": ("e", "mu")}
    np.testing.assert_array_equal(raw.values, [[1, 1.5], [0, 2], [np.nan, 3]])


@pytest.mark.parametrize("reader", ["pyarrow", "line by line"])
def test_words_in_quotes_may_begin_like_a_comment(reader, tmp_path, monkeypatch):
    if reader == "line by line":
        monkeypatch.setattr(text, "_with_pyarrow", lambda *given: None)
    (tmp_path / "a.csv").write_text('w,a\n"#ff",1.5\n"red",2\n# no event,1\n"%",3\n')
    raw = text.read_text(tmp_path / "a.csv")
    assert raw.labels == {"w": ("#ff", "%", "red")}
    assert raw.values[:, 1].tolist() == [1.5, 2, 3]
    (tmp_path / "b.csv").write_text('w,a\n"#ff",1.5\n"red",2\n# no event,1\n"%",x\n')
    with pytest.raises(InputError, match="on line 5"):
        text.read_text(tmp_path / "b.csv")
