"""Covariance files: every layout gives back what was written, and the real ones their known shapes."""

import numpy as np
import pytest

from reverie.core.errors import InputError
from reverie.data.covariances import read_covariance

MATRIX = np.array([[4.0, 1.5, -0.25], [1.5, 9.0, 1e-12], [-0.25, 1e-12, 2.0]])
NAMES = ("pt", "eta", "phi")


def _table(matrix, separator, *, header=False, index=False):
    rows = [[repr(float(v)) for v in row] for row in matrix]
    rows = [[name, *row] for name, row in zip(NAMES, rows, strict=True)] if index else rows
    rows = [["", *NAMES] if index else list(NAMES), *rows] if header else rows
    return "\n".join(separator.join(row) for row in rows) + "\n"


@pytest.mark.parametrize("separator", ["\t", ",", ";"])
@pytest.mark.parametrize("margins", [{}, {"header": True}, {"index": True}, {"header": True, "index": True}])
def test_text_tables(tmp_path, separator, margins):
    path = tmp_path / "c.csv"
    path.write_text("# a comment\n" + _table(MATRIX, separator, **margins))
    matrix, names = read_covariance(path)
    np.testing.assert_array_equal(matrix, MATRIX)
    assert names == (NAMES if margins else None)


def test_names_that_are_numbers(tmp_path):
    path = tmp_path / "c.csv"
    path.write_text(",0,1\n0,1.0,0.5\n1,0.5,2.0\n")
    matrix, names = read_covariance(path)
    np.testing.assert_array_equal(matrix, [[1, 0.5], [0.5, 2]])
    assert names == ("0", "1")


def test_white_space_and_fortran_exponents(tmp_path):
    path = tmp_path / "c.dat"
    path.write_text(_table(MATRIX, "  ").replace("e-12", "D-12"))
    np.testing.assert_array_equal(read_covariance(path)[0], MATRIX)


@pytest.mark.parametrize("first", [0, 1])
def test_triplets_in_any_order(tmp_path, first):
    lines = [f"{i + first} {j + first} {MATRIX[i, j]!r}" for i in range(3) for j in range(3)]
    path = tmp_path / "c.txt"
    path.write_text("\n".join(np.random.default_rng(0).permutation(lines)).replace("np.float64(", "").replace(")", ""))
    np.testing.assert_array_equal(read_covariance(path)[0], MATRIX)


def test_binary_files(tmp_path):
    np.save(tmp_path / "c.npy", MATRIX)
    np.savez(tmp_path / "c.npz", C=MATRIX)
    mark = (72).to_bytes(4, "little")
    (tmp_path / "c.bin").write_bytes(mark + np.tril(MATRIX).astype("<f8").tobytes() + mark)
    np.testing.assert_array_equal(read_covariance(tmp_path / "c.npy")[0], MATRIX)
    np.testing.assert_array_equal(read_covariance(str(tmp_path / "c.npz"))[0], MATRIX)
    np.testing.assert_array_equal(read_covariance(tmp_path / "c.bin")[0], np.tril(MATRIX))  # as it is


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "got none"),
        (b"1 2\n3\n", "2 numbers in row 2"),
        (b"1,2\n3,x\n", "row 2 of c.dat, got 'x'"),
        (b"1,2\n3,4\n5,6\n", "square matrix"),
        (b"1,nan\nnan,1\n", "finite numbers"),
        (b"0 0 1\n0 1 2\n1 1 3\n0 0 1\n", "every pair"),
        (b"0.5 0 1\n0 1 2\n1 1 3\n1 0 1\n", "every pair"),
        (b"\xff\xfe\x00\x01", "other bytes"),
        (b"a,b\n", "square matrix"),
    ],
)
def test_what_is_no_matrix_is_refused_in_words(tmp_path, content, words):
    path = tmp_path / "c.dat"
    path.write_bytes(content)
    with pytest.raises(InputError, match=words):
        read_covariance(path)


def test_arrays_that_are_none_are_refused(tmp_path):
    with pytest.raises(InputError, match="Check the path"):
        read_covariance(tmp_path / "missing.npy")
    np.save(tmp_path / "o.npy", np.array([{}], dtype=object), allow_pickle=True)
    np.save(tmp_path / "c.npy", MATRIX.astype(complex))
    np.savez(tmp_path / "two.npz", a=MATRIX, b=MATRIX)
    (tmp_path / "half.npz").write_bytes((tmp_path / "two.npz").read_bytes()[:100])
    for name, words in (
        ("half.npz", "half a file"),
        ("o.npy", "objects"),
        ("c.npy", "complex128"),
        ("two.npz", "2: a, b"),
    ):
        with pytest.raises(InputError, match=words):
            read_covariance(tmp_path / name)


def test_real_files(real_data):
    theory, names = read_covariance(real_data / "covariance/theory_covmat_custom.csv")
    assert theory.shape == (205, 205)
    assert names is not None
    assert names[0] == "DIS NC/NMC_NC_NOTFIXED_P_EM-SIGMARED/16"
    assert theory[0, 1] == 0.0002009295
    drell_yan, no_names = read_covariance(real_data / "covariance/CMS_Z0_7TEV_DIMUON_covmat.corr")
    assert drell_yan.shape == (132, 132)
    assert no_names is None
    assert drell_yan[0, 1] == 1200000
    planck, _ = read_covariance(real_data / "planck2018/c_matrix_plik_v22.dat")
    assert planck.shape == (613, 613)
    assert not np.triu(planck, 1).any()
    assert np.diag(planck).min() > 0
