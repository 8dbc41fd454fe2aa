"""Symmetries: each action is one of its group, keeps what the group keeps, and refuses what it cannot act on."""

import numpy as np
import pytest

from reverie.core.errors import InputError, UnknownNameError
from reverie.data import Dataset
from reverie.data.schema import Column, Schema
from reverie.data.symmetries import closed_schema, likely_symmetries, resolve_symmetries, transformed

NAMES = ["pt1", "eta1", "phi1", "pt2", "eta2", "phi2"]


def _events(n=2000):
    rng = np.random.default_rng(0)
    phi = rng.uniform(-np.pi, np.pi, (n, 2))
    columns = [rng.exponential(1, n), rng.normal(size=n), phi[:, 0], rng.exponential(1, n), rng.normal(size=n)]
    return Dataset(np.column_stack([*columns, phi[:, 1]]), names=NAMES)


def _drawn(data, *words):
    values = transformed(data.values, np.random.default_rng(1), symmetries=resolve_symmetries(words, data.schema))
    again = transformed(data.values, np.random.default_rng(1), symmetries=resolve_symmetries(words, data.schema))
    assert np.array_equal(values, again)
    assert values.dtype == data.values.dtype
    return values


def test_a_rotation_turns_all_angles_of_an_event_alike():
    data = _events()
    y = _drawn(data, "rotate phi")
    turn = (y - data.values)[:, [2, 5]] % (2 * np.pi)
    assert np.abs(np.exp(1j * turn[:, 0]) - np.exp(1j * turn[:, 1])).max() < 1e-9
    assert y[:, [2, 5]].min() >= -np.pi
    assert y[:, [2, 5]].max() < np.pi
    assert abs(np.exp(1j * turn[:, 0]).mean()) < 4 / np.sqrt(len(y))  # uniform turns: false alarm 1e-7
    assert np.array_equal(np.delete(y, [2, 5], axis=1), np.delete(data.values, [2, 5], axis=1))


def test_whole_degrees_stay_whole():
    angle = np.random.default_rng(0).integers(0, 360, (500, 1))
    schema = Schema((Column("phi", "periodic", lower=0, period=360, integral=True, dtype="int64"),), (1,), "int64")
    y = _drawn(Dataset(angle, schema=schema), "rotate phi")
    assert set(np.unique(y)) <= set(range(360))


def test_a_reflection_changes_the_sign_of_its_columns_together_in_half_of_the_events():
    data = _events()
    y = _drawn(data, "reflect eta")
    ratio = y[:, [1, 4]] / data.values[:, [1, 4]]
    assert np.array_equal(ratio[:, 0], ratio[:, 1])
    assert abs((ratio[:, 0] < 0).mean() - 0.5) < 0.06  # five standard deviations
    back = _drawn(data, "reflect phi")
    flipped = np.where(back[:, 2] == data.values[:, 2], 1, -1)
    assert np.allclose(np.exp(1j * back[:, 2]), np.exp(1j * flipped * data.values[:, 2]))


def test_a_plane_is_turned_by_one_angle_for_all_pairs_of_its_columns():
    rng = np.random.default_rng(0)
    data = Dataset(rng.normal(size=(2000, 6)), names=["px1", "py1", "pz1", "px2", "py2", "pz2"])
    y, x = _drawn(data, "rotate px py"), data.values
    first, second = ((v[:, [0, 3]] + 1j * v[:, [1, 4]]) for v in (x, y))
    turn = second / first
    assert np.allclose(np.abs(turn), 1)
    assert np.allclose(turn[:, 0], turn[:, 1])
    assert abs(turn[:, 0].mean()) < 4 / np.sqrt(len(y))  # uniform angles: false alarm 1e-7
    assert np.array_equal(y[:, [2, 5]], x[:, [2, 5]])
    one = _drawn(data, "rotate px1 py1")
    assert np.array_equal(one[:, 2:], x[:, 2:])


def _sets(n=500):
    """Return sets of hits with a sign, an azimuth and an energy; a fifth of the places is padding."""
    rng = np.random.default_rng(0)
    mask = rng.random((n, 5, 1)) < 0.8
    hits = [rng.normal(size=(n, 5, 2)), rng.uniform(1, 1 + 2 * np.pi, (n, 5, 1)), rng.exponential(size=(n, 5, 1))]
    columns = (Column("x"), Column("y"), Column("phi", "periodic", lower=1.0), Column("energy", lower=0.0))
    values = np.concatenate([*hits, np.ones((n, 5, 1))], axis=2) * mask
    return Dataset(values, schema=Schema((*columns, Column("mask", "mask")), (5, 5)))


def test_all_particles_of_a_set_are_moved_alike_and_padding_stays():
    data = _sets()
    x, mask = data.values, data.values[..., -1]
    there = mask > 0

    def to_the_left(values):
        return values - 1

    for words in (["reflect x"], ["rotate phi"], ["rotate x y"], ["negate"], [to_the_left]):
        y = _drawn(data, *words)
        assert np.array_equal(y[..., -1], mask)
        assert not y[~there].any()
        assert not np.array_equal(y, x)
    y = _drawn(data, "reflect x")
    sides = np.sign(y[..., 0] * x[..., 0])  # 0 of padding
    assert np.array_equal(np.abs(sides.sum(axis=1)), there.sum(axis=1))
    assert np.array_equal(y[..., 1:], x[..., 1:])
    y = _drawn(data, "rotate phi")
    turn = np.where(there, np.exp(1j * (y[..., 2] - x[..., 2])), 0)
    assert np.allclose(np.abs(turn.sum(axis=1)), there.sum(axis=1))
    assert y[there, 2].min() >= 1
    assert y[there, 2].max() < 1 + 2 * np.pi
    y = _drawn(data, "rotate x y")
    points, moved = (v[..., 0] + 1j * v[..., 1] for v in (x, y))
    turns = np.where(there, moved * points.conj() / np.where(there, np.abs(points) ** 2, 1), 0)
    assert np.allclose(np.abs(turns.sum(axis=1)), there.sum(axis=1))  # one angle for all particles of a set
    assert [s.name for s in likely_symmetries(x, data.schema)] == [
        "rotate phi", "reflect x", "reflect y", "rotate x y"
    ]  # fmt: skip


def test_an_exchange_swaps_whole_particles():
    data = _events()
    y, x = _drawn(data, "exchange"), data.values
    swapped = y[:, 0] != x[:, 0]
    assert abs(swapped.mean() - 0.5) < 0.06
    assert np.array_equal(y[swapped], x[swapped][:, [3, 4, 5, 0, 1, 2]])
    three = Dataset(np.arange(600.0).reshape(200, 3), names=["E1", "E2", "E3"])
    assert np.array_equal(np.sort(_drawn(three, "exchange"), axis=1), three.values)
    assert np.array_equal(_drawn(three, "exchange 1 2")[:, 2], three.values[:, 2])


@pytest.mark.parametrize("word", ["translate", "flip", "flip horizontal", "flip vertical", "quarter turns"])
def test_images_are_moved_by_every_element_of_the_group_alike(word):
    image = np.arange(9.0).reshape(3, 3)
    group = {
        "translate": [np.roll(image, (i, j), (0, 1)) for i in range(3) for j in range(3)],
        "flip": [image[::a, ::b] for a in (1, -1) for b in (1, -1)],
        "flip horizontal": [image, image[:, ::-1]],
        "flip vertical": [image, image[::-1]],
        "quarter turns": [np.rot90(image, k) for k in range(4)],
    }[word]
    for shape in ((3, 3), (2, 3, 3)):  # channels move together
        data = Dataset(np.broadcast_to(image, (1800, *shape)).copy(), kind="continuous")
        y = _drawn(data, word).reshape(1800, -1, 3, 3)
        assert (y == y[:, :1]).all()
        share = np.array([(y[:, 0] == element).all(axis=(1, 2)).mean() for element in group])
        error = np.sqrt(1 / len(group) / 1800)
        assert abs(share.sum() - 1) < 1e-9
        assert (np.abs(share - 1 / len(group)) < 5 * error).all()


def test_spins_are_negated_as_a_whole_and_keep_their_type():
    spins = np.random.default_rng(0).choice([-1, 1], (500, 4, 4)).astype(np.int8)
    y = _drawn(Dataset(spins), "negate")
    assert set(np.unique((y * spins).reshape(500, -1).mean(axis=1))) == {-1.0, 1.0}


def test_functions_of_the_user_are_applied_to_half_of_the_rows_or_draw_themselves():
    data = _events()

    def mirrored(x):
        return x * np.array([1, -1, 1, 1, -1, 1])

    def turned(x, generator):
        x[:, 2] = generator.uniform(-np.pi, np.pi, len(x))
        return x

    y = _drawn(data, mirrored, turned)
    assert abs((y[:, 1] != data.values[:, 1]).mean() - 0.5) < 0.06
    assert (y[:, 2] != data.values[:, 2]).all()
    assert [s.name for s in resolve_symmetries([mirrored, lambda x: x, lambda x: x], data.schema)] == [
        "mirrored", "<lambda>", "<lambda> 3"
    ]  # fmt: skip
    with pytest.raises(InputError, match=r"finite values of shape \(2000, 6\) from the symmetry '<lambda>', got shape"):
        _drawn(data, lambda x: x[:, :2])
    with pytest.raises(
        InputError, match="from the symmetry '<lambda>', which failed: KeyError: 'pt'. Mend the function"
    ):
        _drawn(data, lambda x: {}["pt"])


def test_ranges_are_those_of_the_orbits():
    schema = Schema(
        (
            Column("a1", "bounded", lower=-1, upper=3),
            Column("a2", lower=-2),
            Column("phi", "periodic"),
            Column("q", "categorical", levels=(-2, 1)),
        ),
        (4,),
    )
    closed = closed_schema(schema, resolve_symmetries(["exchange", "reflect q", "rotate phi"], schema))
    assert [(c.kind, c.lower, c.upper) for c in closed.columns[:2]] == [("continuous", -2, None)] * 2
    assert closed["q"].levels == (-2, -1, 1, 2)
    assert closed["phi"] == schema["phi"]
    assert closed_schema(schema, resolve_symmetries(["reflect a1"], schema))["a1"].lower == -3


def test_what_cannot_act_is_refused_in_a_sentence():
    table, images = _events().schema, Schema((Column("x"),), (4, 6))
    for words, schema, error, match in (
        (["rotte phi"], table, UnknownNameError, "symmetry"),
        (["reflect etta"], table, UnknownNameError, "eta1"),
        (["rotate pt"], table, InputError, "periodic columns"),
        (["reflect"], table, InputError, "Name them"),
        (["flip"], table, InputError, "images or lattices"),
        (["exchange 1 3"], table, InputError, "each of the particles"),
        (["quarter turns"], images, InputError, "square images"),
        (["rotate phi"], images, InputError, "a table"),
        (["rotate x energy"], _sets().schema, InputError, "any value for the symmetry .*, got 'energy'"),
        (["rotate eta1 pt2"], table, InputError, "Expected pairs of columns"),
        (["rotate eta eta"], table, InputError, "Expected pairs of columns"),
        (["exchange"], _sets().schema, InputError, "order of the particles means nothing"),
        (["reflect mask"], _sets().schema, UnknownNameError, "column"),
        (["flip"], _sets().schema, InputError, "images or lattices"),
        (["exchange", "exchange"], table, InputError, "twice"),
    ):
        with pytest.raises(error, match=match):
            resolve_symmetries(words, schema)
    unlike = Schema((Column("phi1", "periodic"), Column("phi2")), (2,))
    with pytest.raises(InputError, match="like columns"):
        resolve_symmetries(["exchange"], unlike)


def test_likely_symmetries_are_those_that_can_act_and_have_both_signs():
    data = _events()
    names = [s.name for s in likely_symmetries(data.values, data.schema)]
    assert names == ["exchange", "rotate phi", "reflect eta", "reflect phi"]
    lattice = Dataset(np.random.default_rng(0).choice([-1, 1], (50, 4, 6)))
    names = [s.name for s in likely_symmetries(lattice.values, lattice.schema)]
    assert names == ["translate", "flip horizontal", "flip vertical", "negate"]
