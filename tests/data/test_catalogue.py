"""The catalogue: what every entry must say, no network unasked, and the real files with their known numbers."""

import re
import subprocess
import sys

import numpy as np
import pytest

from reverie.core.errors import InputError, UnknownNameError
from reverie.data import catalogue
from reverie.data.dataset import Dataset, check_trainable

NAMES = list(catalogue.entries())
REAL = [name for name in NAMES if catalogue.entry(name).files]


@pytest.fixture
def no_network(monkeypatch):
    import pooch

    def refuse(url, **options):
        raise ConnectionError("no network in tests")

    monkeypatch.setattr(pooch, "retrieve", refuse)


@pytest.mark.parametrize("name", NAMES)
def test_every_entry_is_complete(name):
    entry = catalogue.entry(name)
    assert entry.title
    assert entry.source
    assert entry.licence
    assert re.match(r"@\w+\{[a-z]+\d{4}\w+,\n", entry.citation)
    assert entry.citation.count("{") == entry.citation.count("}")
    assert entry.key in entry.citation
    assert entry.source in str(entry)
    for file in entry.files:
        assert re.fullmatch("[0-9a-f]{64}", file.sha256)
        assert file.url.startswith("https://") or (not file.url and entry.note)  # derived: the note says from what
        assert file.size > 0
    if len(entry.columns) > 1:
        assert set(entry.default_columns) <= {column.name for column in entry.columns}


def test_listing_has_a_line_per_entry():
    lines = catalogue.listing().splitlines()
    assert [line.split()[0] for line in lines] == NAMES


def test_listing_is_immediate():
    code = "import sys, reverie.data.catalogue as c; c.listing(); print(HEAVY & set(sys.modules))"
    code = code.replace("HEAVY", repr({"torch", "pandas", "scipy", "pooch", "sklearn", "pyarrow", "h5py"}))
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


def test_unknown_names_are_answered_with_the_nearest():
    with pytest.raises(UnknownNameError, match="Unknown data set 'dimuon_zz'. Did you mean 'dimuon_z'"):
        catalogue.load("dimuon_zz")
    with pytest.raises(UnknownNameError, match="Did you mean 'test'"):
        catalogue.load("mnist", part="tets")
    with pytest.raises(UnknownNameError, match="planck_plik_lite"):
        catalogue.load_covariance("ring")
    with pytest.raises(InputError, match="Expected no n for digits"):
        catalogue.load("digits", n=3)


def test_digits_need_no_file(no_network, monkeypatch):
    monkeypatch.delenv("REVERIE_DATA", raising=False)
    data = catalogue.load("digits")
    assert data.values.shape == (1797, 8, 8)
    assert data.values.dtype == np.uint8
    assert (data.values.min(), data.values.max()) == (0, 16)
    assert data.schema.columns[0].upper == 16
    assert catalogue.fetch("digits") == []


@pytest.mark.parametrize("name", ["ring", "grid", "broad_ring", "broad_grid", "shifted_grid", "swiss_roll"])
def test_toys(name, no_network):
    data = catalogue.load(name, n=100)
    assert data.names == ["x", "y"]
    assert len(catalogue.load(name)) == catalogue.DEFAULT_POINTS
    np.testing.assert_array_equal(data.values, catalogue.load(name, n=100, random_state=0).values)
    assert catalogue.load(name, "y", n=5).names == ["y"]


def test_offline_is_one_sentence(no_network, monkeypatch, tmp_path):
    monkeypatch.setenv("REVERIE_DATA", str(tmp_path))
    with pytest.raises(InputError, match=r"got ConnectionError from https.*Download it by hand.*set REVERIE_DATA"):
        catalogue.load("magic")


def test_damaged_files_are_refused(no_network, monkeypatch, tmp_path):
    monkeypatch.setenv("REVERIE_DATA", str(tmp_path))
    (tmp_path / "magic_gamma").mkdir()
    (tmp_path / "magic_gamma" / "magic04.data").write_text("1,2\n")
    with pytest.raises(InputError, match="sha256 e9314b7ebd4b"):
        catalogue.load("magic")


@pytest.mark.parametrize("name", REAL)
def test_real_files(name, real_data, no_network):
    entry = catalogue.entry(name)
    paths = catalogue.fetch(name)
    assert [path.stat().st_size for path in paths] == [file.size for file in entry.files]
    data = catalogue.load(name)
    assert len(data) == entry.n_rows
    assert entry.default_columns or data.event_shape == entry.event_shape
    check_trainable(data)
    assert data.provenance["citation"] == entry.key
    for column, x in zip(data.schema.columns, data.values.T if data.schema.is_table else [data.values], strict=True):
        assert column.lower is None or x.min() >= column.lower - 1e-3
        assert column.upper is None or x.max() <= column.upper + 1e-3
        assert column.levels is None or set(np.unique(x)) <= set(column.levels)


def test_ising_spins_have_the_exact_energy(real_data):
    """Mean energy per site within 5 standard errors of Kaufman's at the critical point: a wrong unpacking misses it."""
    from reverie.simulators import kaufman

    for side in (4, 8):
        spins = catalogue.load(f"ising_{side}x{side}").values.astype(float)
        bonds = spins * np.roll(spins, 1, 1) + spins * np.roll(spins, 1, 2)
        energy = -bonds.mean(axis=(1, 2))
        exact = kaufman(side, np.log(1 + np.sqrt(2)) / 2).energy
        assert abs(energy.mean() - exact) < 5 * energy.std() / np.sqrt(len(energy) / 10)


def test_covariances_alone(real_data):
    for name, size, rank in (("theory_covariance", 205, 3), ("drell_yan_covariance", 132, 132)):
        matrix, names = catalogue.load_covariance(name), catalogue.load_covariance_names(name)
        assert names is None or (len(names) == size and names[-1] == "TOP/ATLAS_TTBAR_8TEV_TOT_X-SEC/0")
        np.testing.assert_array_equal(matrix, matrix.T)
        values = np.linalg.eigvalsh(matrix)
        assert (len(matrix), int((values > 1e-9 * values.max()).sum())) == (size, rank)


def mass(data: Dataset) -> np.ndarray:
    """Invariant mass of two muons from their transverse momenta and directions, masses neglected."""
    pt1, eta1, phi1, pt2, eta2, phi2 = data.select("pt1,eta1,phi1,pt2,eta2,phi2").values.T
    return np.sqrt(2 * pt1 * pt2 * (np.cosh(eta1 - eta2) - np.cos(phi1 - phi2)))


@pytest.mark.parametrize(("name", "low", "high"), [("dimuon_z", 60, 120), ("dimuon_upsilon", 9, 9.7)])
def test_dimuon_columns_agree_with_each_other(name, low, high, real_data):
    data = catalogue.load(name)
    m = data.select("M").values.ravel()
    assert low <= m.min() < m.max() <= high
    ratio = mass(data) / m
    assert abs(np.median(ratio) - 1) < 0.01
    assert data.schema["pt1"].unit == "GeV"
    assert data.schema["phi1"].kind == "periodic"
    assert np.all(data.select("Q1").values == -data.select("Q2").values)
    assert "Run" not in data.names


def test_columns_beyond_the_default_can_be_chosen(real_data):
    data = catalogue.load("dimuon_upsilon", "Run,Type2,M")
    assert data.names == ["Run", "Type2", "M"]
    assert data.schema["Type2"].labels == ("G", "T")
    assert data.values[:, 1].sum() == 1039
    with pytest.raises(UnknownNameError, match="Did you mean 'phi2'"):
        catalogue.load("dimuon_z", ["pt1", "phi3"])


def test_magic_classes(real_data):
    data = catalogue.load("magic")
    assert data.schema["class"].labels == ("g", "h")
    assert int(data.values[:, -1].sum()) == 6688


def test_image_parts(real_data):
    test = catalogue.load("mnist", part="test").values
    assert test.shape == (10000, 28, 28)
    assert test.mean() == pytest.approx(0.1325 * 255, rel=0.01)
    binary = catalogue.load("binarized_mnist", part="valid").values
    assert binary.shape == (10000, 28, 28)
    assert binary.mean() == pytest.approx(0.131, abs=0.01)
    # Columns of the file are rows of the image: a digit is taller than wide.
    height, width = (np.ptp(np.nonzero(binary.any(axis=axes))[0]) for axes in ((0, 2), (0, 1)))
    assert height >= width - 4


def test_planck_covariance(real_data):
    covariance = catalogue.load_covariance("planck_plik_lite")
    sigma = catalogue.load("planck_plik_lite", "sigma").values.ravel()
    assert covariance.shape == (613, 613)
    np.testing.assert_array_equal(covariance, covariance.T)
    np.testing.assert_allclose(np.sqrt(np.diag(covariance)), sigma, rtol=1e-12)
    assert np.linalg.eigvalsh(covariance / np.outer(sigma, sigma)).min() > 0


@pytest.mark.parametrize(("name", "sites"), [("tfim1d", 10), ("qubits", 2)])
def test_quantum_states_stand_behind_their_measurements(name, sites, real_data):
    outcomes, psi = catalogue.load(name).values, catalogue.load_state(name)
    assert psi.shape == (1 << sites,)
    assert np.linalg.norm(psi) == pytest.approx(1, abs=1e-8)
    if name == "qubits":
        bases = catalogue.load_bases(name)
        assert [bases.count(basis) for basis in ("ZZ", "XZ", "ZX", "YZ", "ZY")] == [200] * 5
        outcomes = outcomes[np.array(bases) == "ZZ"]
    numbers = outcomes @ (1 << np.arange(sites)[::-1])  # the first site is the most significant bit
    share = np.bincount(numbers, minlength=1 << sites) / len(numbers)
    assert np.sqrt(share) @ np.abs(psi) > 0.98
    with pytest.raises(UnknownNameError, match="tfim1d"):
        catalogue.load_state("ring")


def test_a_published_machine_comes_with_its_images(real_data, no_network, monkeypatch, tmp_path):
    weights = catalogue.load_weights("rbm_cd25_500")
    assert [x.shape for x in weights.values()] == [(784, 500), (784,), (500,)]
    images = catalogue.load("rbm_cd25_500", part="test").values
    assert images.shape == (10000, 28, 28)
    v = images.reshape(-1, 784).astype(float)
    free = -v @ weights["visible_bias"] - np.logaddexp(0, v @ weights["W"] + weights["hidden_bias"]).sum(axis=1)
    assert -free.mean() - 451.28 == pytest.approx(-86.34, abs=0.02)  # Salakhutdinov and Murray (2008), Table 1
    height, width = (np.ptp(np.nonzero(images[:500].mean(axis=0).max(axis=a) > 0.1)[0]) for a in (1, 0))
    assert height > width
    with pytest.raises(UnknownNameError, match="rbm_cd25_500"):
        catalogue.load_weights("mnist")
    monkeypatch.setenv("REVERIE_DATA", str(tmp_path))
    with pytest.raises(InputError, match=r"no public file has this form. Make it from https://github.com/gpapamak"):
        catalogue.load_weights("rbm_cd25_500")


def test_labels_belong_to_the_images():
    images, labels = catalogue.load("digits").values, catalogue.load_labels("digits")
    assert labels.shape == (len(images),)
    assert np.bincount(labels).tolist() == [178, 182, 177, 183, 181, 182, 181, 179, 174, 180]
    ones, zeros = (images[labels == k].mean(axis=0) for k in (1, 0))
    assert ones[3:5, 3:5].mean() > 10 > 3 > zeros[3:5, 3:5].mean()  # a nought is empty inside
    with pytest.raises(UnknownNameError, match="digits, mnist"):
        catalogue.load_labels("ring")


def test_labels_of_mnist(real_data):
    assert np.bincount(catalogue.load_labels("mnist", part="test"))[:3].tolist() == [980, 1135, 1032]
    assert catalogue.load_labels("mnist").shape == (60000,)


@pytest.mark.parametrize("path", ["events.csv", "runs/jets"])
def test_a_path_is_answered_with_the_function_that_reads_files(path):
    with pytest.raises(InputError, match=r"got '.+', a path\. Read your own files by reverie\.data\.read"):
        catalogue.load(path)
