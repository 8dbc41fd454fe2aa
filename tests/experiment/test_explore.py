"""What `explore` says of data whose answers are known."""

import json
from typing import Any

import numpy as np
import pytest

from reverie.core.errors import InputError, UnknownNameError
from reverie.data import catalogue
from reverie.experiment import lecture
from reverie.experiment.explore import explore_covariance, explore_data, read_features, write
from reverie.experiment.lecture import tree_averages, write_lecture

Z = 3.9  # two-sided, 1e-4


def save(path, columns):
    """Write columns by name into a CSV file; words stay words."""
    rows = zip(*columns.values(), strict=True)
    path.write_text("\n".join([",".join(columns), *(",".join(map(str, row)) for row in rows)]) + "\n")
    return str(path)


@pytest.fixture(scope="module")
def blobs(tmp_path_factory):
    """CSV file of three narrow clusters in the plane a, b; c is noise; kind tells the cluster."""
    r = np.random.default_rng(0)
    k = np.repeat([0, 1, 2], (200, 150, 100))
    a, b = 6.0 * np.array([[0, 0], [1, 0], [0.5, 1]])[k].T + r.normal(0, 0.3, (2, len(k)))
    columns = {"a [GeV]": a, "b [GeV]": b, "c [GeV]": r.normal(0, 0.3, len(k))}
    path = tmp_path_factory.mktemp("explore") / "blobs.csv"
    return save(path, columns | {"kind": np.array(["x", "y", "z"])[k], "one": np.ones(len(k))})


@pytest.fixture(scope="module")
def found(blobs):
    return explore_data(blobs, target="kind", n_clusters=None, seed=1)


def test_three_clusters_are_found_and_said(found):
    assert found.clusters.n_clusters == 3
    assert sorted(found.clusters.sizes) == [100, 150, 200]
    assert found.agree
    assert "all find 3 clusters, sizes 200, 150, 100" in str(found)


def test_the_forest_names_the_clusters(found):
    assert found.forest.held_out.value > 0.97
    assert found.forest.classes.tolist() == ["x", "y", "z"]
    assert "what matters most: " in str(found)
    assert "c" not in str(found).split("what matters most: ")[1].split(".")[0].replace("and", "")


def test_the_dimension_is_three(found):
    """Within two clusters' width of the truth: 3 columns, dense clusters."""
    assert abs(found.intrinsic.value - 3) < Z * found.intrinsic.error + 0.2


def test_what_was_left_out_is_said(found):
    assert found.notes[0] == "one was left out: it is constant."
    assert found.pca.names == ("a", "b", "c")


def test_sentences_first_and_notes_last(found):
    lines = str(found).splitlines()
    assert lines[0].startswith("blobs.csv: 450 rows of 3 columns")
    first_note = next(k for k, line in enumerate(lines) if line.startswith("Note: "))
    assert all(line.startswith("Note: ") for line in lines[first_note:])


@pytest.mark.slow  # each part has a test of its seed in tests/explore
def test_one_seed_one_result(blobs, found):
    again = explore_data(blobs, target="kind", seed=1)
    assert again.to_json() == found.to_json()


def test_json_and_page(found, tmp_path):
    page = write(found, tmp_path / "out")
    assert json.loads((tmp_path / "out" / "exploration.json").read_text())["clusters"]["sizes"] == [200, 150, 100]
    text = page.read_text(encoding="utf-8")
    assert "Exploration of blobs.csv" in text
    assert "Random forest for kind" in text
    assert "<script" not in text


@pytest.mark.slow  # quick: three clusters are found and said
def test_flat_data_have_no_clusters(tmp_path):
    r = np.random.default_rng(2)
    path = save(tmp_path / "flat.csv", {"a": r.random(400), "b": r.random(400)})
    found = explore_data(path)
    assert found.clusters.preferred["gap"] == 1
    assert not found.agree
    assert "the gap statistic finds 1 cluster, the silhouette" in str(found)
    assert "disagree" in str(found)


@pytest.mark.parametrize(
    ("units", "asked", "expected"),
    [(("GeV", "GeV"), None, False), (("GeV", "rad"), None, True), (("", ""), None, True), (("", ""), False, False)],
)
def test_tables_are_standardised_unless_the_units_are_equal(tmp_path, units, asked, expected):
    r = np.random.default_rng(3)
    names = [f"{name} [{unit}]" if unit else name for name, unit in zip("ab", units, strict=True)]
    path = save(tmp_path / "x.csv", {name: r.normal(size=50) for name in names})
    assert read_features(path, standardise=asked).standardise is expected


def test_rows_are_cut_and_it_is_said(blobs):
    rows = read_features(blobs, max_rows=100, target="kind")
    assert rows.answers is not None
    assert len(rows.events) == len(rows.answers) == 100
    assert rows.notes[0] == "100 of 450 rows were used, drawn at random."


def test_answers_stay_with_their_rows(tmp_path):
    x = np.arange(500) / 7.0
    path = save(tmp_path / "x.csv", {"a": x, "b": -x, "w": np.arange(500) % 5, "t": 2 * x})
    rows = read_features(path, target="t", weights="w", max_rows=200)
    assert rows.answers is not None
    assert rows.events.weights is not None
    np.testing.assert_allclose(rows.answers, 2 * rows.events.values[:, 0])
    assert rows.events.weights.min() > 0  # rows of weight 0 are gone


def test_weights_are_honoured(tmp_path):
    """Rows of weight 0.01 count for nothing: the component is that of the heavy ones."""
    r = np.random.default_rng(4)
    x = np.concatenate([r.normal(size=(400, 2)) * [1, 0.1], r.normal(size=(400, 2)) * [0.1, 3]])
    w = np.repeat([1.0, 0.01], 400)
    path = save(tmp_path / "x.csv", {"a": x[:, 0], "b": x[:, 1], "w": w})
    found = explore_data(path, weights="w", standardise=False, n_clusters=2)
    assert abs(found.pca.components[0, 0]) > 0.99
    assert any(note.startswith("Dimension and t-SNE know no weights") for note in found.notes)
    assert abs(explore_data(path, columns="a,b", standardise=False, n_clusters=2).pca.components[0, 0]) < 0.01


def test_independent_bits_have_as_many_dimensions(tmp_path):
    path = tmp_path / "spins.npy"
    np.save(path, np.random.default_rng(5).choice([-1, 1], (400, 3, 4)))
    found = explore_data(str(path), n_clusters=2)
    assert found.bits is not None
    assert abs(found.bits.d0.value - 12) < Z * found.bits.d0.error
    assert not found.standardised
    assert "images of 3 x 4 bits" in str(found)


@pytest.mark.slow  # quick: spins beside columns are left out
def test_the_first_component_of_ordered_spins_is_the_magnetisation(tmp_path):
    r = np.random.default_rng(6)
    spins = r.choice([-1, 1], (150, 1, 1)) * np.where(r.random((150, 4, 4)) < 0.1, -1, 1)
    np.save(tmp_path / "ordered.npy", spins)
    found = explore_data(str(tmp_path / "ordered.npy"))
    assert "is the mean over all cells" in str(found)
    assert found.clusters.preferred["silhouette"] == 2
    np.save(tmp_path / "free.npy", r.choice([-1, 1], (300, 4, 4)))
    assert "is the mean over all cells" not in str(explore_data(str(tmp_path / "free.npy"), n_clusters=2))


@pytest.mark.slow  # t-SNE: tests/explore/test_embedding.py; components: the spins above
def test_images_are_seen_through_their_components():
    found: Any = explore_data("digits", target="label", max_rows=300, n_clusters=10, with_tsne=True)
    assert found.event_shape == (8, 8)
    assert not found.standardised
    assert len(found.clusters.names) == 50
    assert found.forest.held_out.value > 0.7  # chance is 0.1
    assert found.picture.trustworthiness > found.picture.pca_trustworthiness
    assert len(found.answers) == found.n == 300


def test_repeated_rows_leave_the_dimension_out(tmp_path):
    r = np.random.default_rng(7)
    path = save(tmp_path / "x.csv", {"a": r.integers(0, 2, 200) * 1.5, "b": r.integers(0, 3, 200) * 2.5})
    found = explore_data(path, n_clusters=2)
    assert found.dimension is None
    assert any(note == "No intrinsic dimension: only 6 rows differ." for note in found.notes)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"columns": "a"}, "at least two columns"),
        ({"columns": "a,one"}, "got one, a; one is constant"),
        ({"max_rows": 10}, "at least 20 rows"),
        ({"target": "kind,one"}, "one column as --target"),
        ({"linkage": "wardd"}, "linkage"),
        ({"n_clusters": 0}, "clusters"),
    ],
)
def test_what_cannot_be_explored(blobs, options, words):
    with pytest.raises(InputError, match=words):
        explore_data(blobs, **options)


def test_unknown_names(blobs):
    with pytest.raises(UnknownNameError, match="'kind'"):
        explore_data(blobs, target="knd")
    with pytest.raises(InputError, match="--target label"):
        explore_data("digits", target="digit")


def test_negative_weights_are_refused(tmp_path):
    path = save(tmp_path / "x.csv", {"a": np.arange(30.0), "b": np.arange(30.0) ** 2, "w": np.arange(30.0) - 1})
    with pytest.raises(InputError, match="1 negative"):
        explore_data(path, weights="w")


def test_a_covariance(tmp_path):
    directions = np.random.default_rng(8).normal(size=(2, 5))
    np.save(tmp_path / "c.npy", directions.T @ directions)
    found = explore_covariance(str(tmp_path / "c.npy"))
    assert found.result.rank == 2
    assert found.correlation.shape == (5, 5)
    assert "Rank 2 of 5" in str(found)
    assert "x" in write(found, tmp_path).read_text()
    assert json.loads((tmp_path / "exploration.json").read_text())["rank"] == 2


def test_all_parts_of_the_planck_covariance(real_data):
    found = explore_covariance("planck_plik_lite")
    assert found.result.rank == len(catalogue.load_covariance("planck_plik_lite")) == 613


@pytest.mark.slow  # its figures on one screen: tests/plots
def test_the_lecture(tmp_path, monkeypatch):
    monkeypatch.setattr(lecture, "REPLICAS", 4)
    monkeypatch.setattr(lecture, "SIZES", (1, 2, 5))
    sentences = write_lecture(tmp_path, seed=0)
    names = [sentence.split(":")[0] for sentence in sentences]
    assert names == ["cube.svg", "distances.svg", "crowding.svg", "averaging.svg"]
    assert all((tmp_path / name).read_text().startswith("<?xml") for name in names)
    assert "0.785" in sentences[0]  # pi / 4


@pytest.mark.slow
def test_averages_of_trees_follow_the_formula():
    """rho sigma^2 + (1 - rho) sigma^2 / n at each n, and not the formula with rho sigma."""
    whole, measured = tree_averages(0)
    for n, m in measured.items():
        assert abs(m.value - whole.at(n)) < Z * np.hypot(m.error, whole.var_mean.error)
    sigma2, rho = whole.sigma2.value, whole.rho.value
    misprint = sigma2 / 25 + 24 / 25 * rho * np.sqrt(sigma2)
    assert abs(measured[25].value - misprint) > Z * measured[25].error


def test_spins_beside_columns_are_left_out(tmp_path):
    r = np.random.default_rng(9)
    path = save(tmp_path / "x.csv", {"a": r.normal(size=60), "b": r.normal(size=60), "Q": np.tile([-1, 1], 30)})
    rows = read_features(path)
    assert rows.events.names == ["a", "b"]
    assert rows.notes == ("Q was left out: it has two values only.",)
