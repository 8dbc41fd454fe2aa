"""`reverie simulate`: configurations of a simulator, and a run on them."""

import re

import numpy as np

from reverie.data.sources import read
from reverie.simulators import kaufman


def test_configurations_are_written_with_averages_beside_exact_values(call, tmp_path):
    path = tmp_path / "spins.npy"
    code, out, _ = call("simulate", "ising", "--side", 6, "--beta", 0.3, "-n", 2000, "-o", path)
    assert code == 0
    spins = np.load(path)
    assert spins.shape == (2000, 6, 6)
    assert set(np.unique(spins)) == {-1, 1}
    value, error = map(float, re.search(r"energy +(-[\d.]+) ± ([\d.]+)", out).groups())
    assert abs(value - kaufman(6, 0.3).energy) < 4 * error  # false alarm below 1e-4
    assert f"{kaufman(6, 0.3).energy:.6f}" in out


def test_the_same_seed_gives_the_same_file_and_nothing_is_overwritten_unasked(call, tmp_path):
    path = tmp_path / "s.csv"
    argv = ("simulate", "ising", "--side", 3, "--beta", 0.2, "--field", 0.1, "-n", 50, "-o", path)
    assert call(*argv)[0] == 0
    first = path.read_bytes()
    code, _, err = call(*argv)
    assert code == 2
    assert "exists" in err
    assert call(*argv, "--overwrite")[0] == 0
    assert path.read_bytes() == first


def test_wrong_words_are_answered(call, tmp_path):
    assert "ising" in call("simulate", "isng")[2]
    assert "side" in call("simulate", "ising", "--side", 1, "-o", tmp_path / "x.npy")[2]
    assert "-n" in call("simulate", "ising", "-n", 0)[2]


def test_muons_are_written_with_their_mass_and_take_their_own_options_only(call, tmp_path):
    path = tmp_path / "muons.csv"
    code, out, _ = call("simulate", "dimuon", "-n", 300, "-o", path, "--min-pt", 25)
    assert code == 0
    assert "mass of the pair: median 9" in out
    data = read(path)
    assert data.names == ["pt1", "eta1", "phi1", "pt2", "eta2", "phi2"]
    assert data.values[:, [0, 3]].min() > 25
    code, _, err = call("simulate", "dimuon", "--beta", 0.4)
    assert code == 2
    assert "--beta, of another simulator" in err


def test_sets_of_known_density_are_written_and_cited_programmes_named(call, tmp_path):
    path = tmp_path / "sets.parquet"
    code, out, _ = call("simulate", "toy_sets", "-n", 200, "--mean-size", 5, "--max-size", 9, "-o", path)
    assert code == 0
    assert re.search(r"log p of a set: [\d.]+ ± [\d.]+ \(n = 200\) nats", out)
    data = read(path)
    assert data.schema.is_set
    assert data.event_shape == (9, 4)
    assert "toy_sets" in call("simulate", "toysets")[2]
    assert ".npz" in call("simulate", "toy_sets", "-n", 5, "-o", tmp_path / "sets.csv")[2]
    code, out, _ = call("cite", "jets")
    assert code == 0
    assert "PYTHIA" in out
    assert "FastJet" in out
