"""Sets of particles: all forms give the same values, the way back gives the particles, and what is refused."""

import pickle

import numpy as np
import pytest

from reverie.core.errors import InputError, UnknownNameError
from reverie.core.sets import multiplicities, padded, real_entries
from reverie.data import Column, Dataset, Schema, check_trainable, describe, particle_sets
from reverie.models import RBM

NAMES = ["eta_rel", "phi_rel", "pt_rel [GeV]"]


@pytest.fixture(scope="module")
def lists() -> list[np.ndarray]:
    r = np.random.default_rng(0)
    return [np.column_stack([r.normal(0, 0.1, (n, 2)), r.random(n) + 0.01]) for n in r.integers(1, 8, 60)]


@pytest.fixture(scope="module")
def jets(lists) -> Dataset:
    return particle_sets(lists, names=NAMES)


def test_values_are_padded_with_the_mask_last(lists, jets):
    assert jets.event_shape == (7, 4)
    assert jets.schema.is_set
    assert not jets.schema.is_table
    assert jets.names == ["eta_rel", "phi_rel", "pt_rel", "mask"]
    for row, one in zip(jets.values, lists, strict=True):
        np.testing.assert_array_equal(row[: len(one), :3], one)
        assert row[: len(one), 3].min() == 1
        assert not row[len(one) :].any()


def test_forms_agree(lists, jets):
    values, mask = jets.values[..., :3], jets.values[..., 3]
    nan_padded = np.where(mask[..., None] == 1, values, np.nan)
    for form in ((jets.values,), (values, mask), (values, mask.astype(bool)), (nan_padded, mask), (lists,)):
        again = particle_sets(*form, names=NAMES)
        np.testing.assert_array_equal(again.values, jets.values)
        assert again.schema == jets.schema
    assert Dataset(jets.values, [*NAMES, "mask"]).schema == jets.schema
    assert Dataset(jets.values, ["a", "b", "c", "there"], kind=["continuous"] * 3 + ["mask"]).schema.is_set
    assert Dataset(jets.values, kind={"mask": "mask"}, names=[*NAMES, "mask"]).schema == jets.schema
    assert not Dataset(jets.values).schema.is_set


def test_awkward_arrays_there_and_back(lists, jets):
    ak = pytest.importorskip("awkward", reason="awkward arrays need the package awkward")
    records = jets.to_awkward()
    assert str(records.type) == "60 * var * {eta_rel: float64, phi_rel: float64, pt_rel: float64}"
    for form in (records, {name: records[name] for name in ak.fields(records)}):
        again = particle_sets(form, units={"pt_rel": "GeV"})
        np.testing.assert_array_equal(again.values, jets.values)
        assert again.schema == jets.schema
    np.testing.assert_array_equal(particle_sets(ak.Array([one.tolist() for one in lists])).values, jets.values)
    counted = particle_sets(ak.Array([[{"n": 1, "x": 0.5}], [{"n": 2, "x": 0.25}, {"n": 0, "x": 1.5}]]))
    assert counted.schema.dtypes[:2] == ["int64", "float64"]
    assert str(counted.to_awkward().type) == "2 * var * {n: int64, x: float64}"


def test_order_and_place_of_particles_are_kept(jets):
    values = jets.values[:, ::-1]
    np.testing.assert_array_equal(particle_sets(values, names=NAMES).values, values)
    np.testing.assert_array_equal(multiplicities(values), multiplicities(jets.values))


def test_hardest_particles_are_kept_when_asked(lists):
    hard = particle_sets(lists, names=NAMES, max_size=3, hardest="pt_rel")
    assert hard.event_shape == (3, 4)
    for row, one in zip(hard.values, lists, strict=True):
        kept = one[np.isin(one[:, 2], np.sort(one[:, 2])[-3:])]  # in their order
        np.testing.assert_array_equal(row[: len(kept), :3], kept)
    assert particle_sets(lists, max_size=9).event_shape == (9, 4)


def test_repr_card_and_description_look_at_real_entries_only(jets):
    assert repr(jets) == "Dataset(60 sets of at most 7 particles: eta_rel, phi_rel, pt_rel [GeV])"
    counts, entries = multiplicities(jets.values), real_entries(jets.values)
    lines = {line.split()[0]: line for line in describe(jets).splitlines()[2:7] if line}
    assert f"{entries[:, 2].min():.6g}" in lines["pt_rel"]  # not the zero of the padding
    assert f"mean {counts.mean():.3f}" in lines["mask"]
    assert "particles in a set" in jets._repr_html_()
    assert "<img" not in jets._repr_html_()


def test_events_columns_and_weights_go_through(jets):
    weighted = Dataset(jets, weights=np.arange(60.0))
    assert weighted.schema == jets.schema
    part = pickle.loads(pickle.dumps(weighted)).take([3, 5]).select("pt_rel")
    assert part.names == ["pt_rel", "mask"]
    np.testing.assert_array_equal(part.values, jets.values[[3, 5]][..., 2:])
    np.testing.assert_array_equal(part.weights, [3, 5])
    hist = pytest.importorskip("hist", reason="histograms need the package hist")
    assert isinstance(weighted.to_hist("pt_rel"), hist.Hist)


def test_schema_there_and_back(jets):
    assert Schema.from_yaml(jets.schema.to_yaml()) == jets.schema
    assert Schema.from_json(jets.schema.to_json()).is_set
    assert jets.schema["mask"].integral
    assert jets.schema["mask"].levels == (0.0, 1.0)


@pytest.mark.parametrize(
    ("columns", "shape"),
    [
        ((Column("m", "mask"),), (3, 1)),
        ((Column("m", "mask"),), (3, 3)),
        ((Column("m", "mask"), Column("x")), (3, 2)),
        ((Column("x"), Column("m", "mask")), (2,)),
        ((Column("x"), Column("l", "mask"), Column("m", "mask")), (5, 3)),
        ((Column("x"), Column("m", "mask")), (5, 3)),
        ((Column("x"), Column("m", "mask")), (5, 2, 2)),
    ],
)
def test_a_mask_stands_last_in_a_set_and_nowhere_else(columns, shape):
    with pytest.raises(InputError):
        Schema(columns, shape)


def _changed(values, place, to):
    values = values.copy()
    values[place] = to
    return values


REFUSED = {  # what is wrong -> particles, keyword arguments, the sentence
    "mask 1 over padding": (lambda v, ls: _changed(v, (slice(None), -1, -1), 1), {}, "mask of 0 where all features"),
    "mask 0 over a particle": (lambda v, ls: _changed(v, (3, 0, -1), 0), {}, "features of 0 where the mask is 0"),
    "mask of other values": (lambda v, ls: v[..., :3], {"mask": np.full((60, 7), 0.5)}, "mask of 0 and 1, got"),
    "mask of another shape": (lambda v, ls: v[..., :3], {"mask": np.ones((60, 5))}, r"mask of shape \(60, 7\)"),
    "no mask": (lambda v, ls: v[..., :3], {}, "mask of 0 and 1 as the last column"),
    "mask beside lists": (lambda v, ls: ls, {"mask": np.ones((60, 7))}, "Leave it out"),
    "too long": (lambda v, ls: ls, {"max_size": 3}, "at most 3 particles, got .* the largest 7"),
    "max_size of 0": (lambda v, ls: ls, {"max_size": 0}, "max_size to be an integer > 0"),
    "unequal features": (lambda v, ls: [ls[0], ls[1][:, :2]], {}, r"set 1, \(\d, 2\)"),
    "lists of numbers": (lambda v, ls: [[1.0, 2.0], [3.0]], {}, r"array \(n_i, F\) for each set"),
    "no sets": (lambda v, ls: [], {}, "got no particles"),
    "no particles": (lambda v, ls: [np.empty((0, 3))], {}, "got no particles"),
    "words": (lambda v, ls: [[["a", "b"]]], {}, "Expected numbers"),
    "a table": (lambda v, ls: v[:, 0], {}, "shape .n, P, F. with a mask"),
    "too few names": (lambda v, ls: ls, {"names": ["pt"]}, "name for each of 3 features"),
    "one name twice": (lambda v, ls: ls, {"names": ["a", "a", "b"]}, "different column names"),
    "weights of a wrong number": (lambda v, ls: ls, {"weights": np.ones(3)}, "one weight per event"),
}


@pytest.mark.parametrize("fault", REFUSED)
def test_refused_in_one_sentence(fault, lists, jets):
    given, more, sentence = REFUSED[fault]
    with pytest.raises(InputError, match=sentence) as raised:
        particle_sets(given(jets.values, lists), **more)
    assert "\n" not in str(raised.value)
    assert len(str(raised.value)) < 300


def test_refused_awkward_arrays():
    ak = pytest.importorskip("awkward", reason="awkward arrays need the package awkward")
    x, short, flat = ak.Array([[1.0, 2.0], [3.0]]), ak.Array([[1.0], [3.0]]), ak.Array([1.0, 2.0])
    for given, sentence in (
        ({"a": x, "b": short}, "others in 'a' and 'b' of set 0"),
        ({"a": x, "b": flat}, "are conditions of a model"),
        ({"a": x, "b": x[:1]}, "of set 1"),
        (x, "awkward.zip"),
        (ak.Array([[[1.0], [1.0, 2.0]]]), "from 1 to 2"),
    ):
        with pytest.raises(InputError, match=sentence):
            particle_sets(given)


def test_unknown_feature_of_the_hardest(lists):
    with pytest.raises(UnknownNameError, match="pt_rel"):
        particle_sets(lists, names=NAMES, max_size=3, hardest="pt")


def test_grid_places_may_be_zero():
    hits = particle_sets([np.array([[0, 0], [0, 1]]), np.array([[2, 3]])], names=["row", "column"])
    assert multiplicities(hits.values).tolist() == [2, 1]


def test_what_cannot_be_learnt_is_shown_dropped_and_refused(jets):
    for place, to, sentence in (
        ((3,), 0, "got none in 1 of 60"),
        ((3, 0, 1), np.nan, r"1 NaN .* \(column phi_rel: 1\)"),
    ):
        data = particle_sets(_changed(jets.values, place, to), names=NAMES)
        with pytest.raises(InputError, match=sentence):
            check_trainable(data)
        assert len(data.drop_missing()) == 59
        check_trainable(data.drop_missing())
    assert "empty, leave them out: 1" in describe(particle_sets(_changed(jets.values, (3,), 0)))
    constant = jets.values.copy()
    constant[..., 1] = 0.25 * constant[..., 3]
    with pytest.raises(InputError, match="got 1 constant: phi_rel = 0.25"):
        check_trainable(particle_sets(constant, names=NAMES))


def test_models_of_tables_decline_sets(jets):
    with pytest.raises(InputError, match="learnt by GAN and FlowMatching"):
        RBM().fit(jets)
    for call in (jets.to_frame, lambda: Dataset(jets, weights="mask")):
        with pytest.raises(InputError):
            call()


def test_large_sets_stay_on_disk(jets, monkeypatch):
    monkeypatch.setenv("REVERIE_LARGE", "100")
    lazy = Dataset(jets.values, [*NAMES, "mask"])
    assert lazy.schema == jets.schema
    np.testing.assert_array_equal(lazy.select("pt_rel").values, jets.select("pt_rel").values)
    assert describe(lazy).splitlines()[:7] == describe(jets).splitlines()[:7]
    check_trainable(lazy)


def test_padding_needs_room():
    with pytest.raises(InputError, match="hardest particles"):
        padded(np.zeros((1, 3)), np.array([10**14, 1]))  # refused before anything is allocated
