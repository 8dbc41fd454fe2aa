"""Columns are known by their names: in data sets, mappings and structured arrays, of events and of conditions."""

import numpy as np
import pandas as pd
import pytest

from reverie.core.errors import InputError
from reverie.data import Dataset
from reverie.models import GAN, VAE, Flow

RNG = np.random.default_rng(0)
EVENTS = pd.DataFrame({"a": RNG.normal(size=300), "b": RNG.normal(100, 1, 300)})
GIVEN = pd.DataFrame({"u": RNG.normal(size=300), "v": RNG.normal(100, 1, 300)})
CONTAINERS = {
    "data set": Dataset,
    "mapping": lambda table: {name: table[name].to_numpy() for name in table},
    "structured array": lambda table: table.to_records(index=False),
}
TINY = {"max_steps": 5, "random_state": 0}


@pytest.mark.parametrize("name", CONTAINERS)
def test_columns_in_another_order_are_put_right_and_other_names_refused(name):
    container = CONTAINERS[name]
    model = Flow(hidden=(8,), n_transforms=2, **TINY).fit(container(EVENTS))
    expected = model.score(container(EVENTS))
    assert model.score(container(EVENTS[["b", "a"]])) == expected
    assert model.score(EVENTS.to_numpy()) == expected  # without names, in the order of the training
    assert model.score(Dataset(EVENTS.to_numpy())) == expected
    with pytest.raises(InputError, match="Expected the columns a, b in X, got c, b"):
        model.score(container(EVENTS.rename(columns={"a": "c"})))


@pytest.mark.parametrize("name", CONTAINERS)
def test_conditions_are_known_by_their_names(name):
    container = CONTAINERS[name]
    model = Flow(hidden=(8,), n_transforms=2, **TINY).fit(EVENTS.to_numpy(), container(GIVEN))
    assert model._conditions.schema.names == ["u", "v"]
    one = GIVEN[:1]
    expected = model.sample(1, condition=one.to_numpy()[0], random_state=0)
    np.testing.assert_array_equal(model.sample(1, condition=container(one[["v", "u"]]), random_state=0), expected)
    with pytest.raises(InputError, match=r"Expected (the columns u, v in the conditions|a condition for \['u'\])"):
        model.sample(1, condition=container(one.rename(columns={"u": "w"})))


def test_completion_goes_by_names():
    table = EVENTS.assign(w=np.where(EVENTS.a > 0, "p", "m"))
    model = GAN(generator=(8,), discriminator=(8,), refine=False, **TINY).fit(table)
    few = table[:4]
    mask = np.array([False, True, True])
    expected = model.complete(Dataset(few), mask, random_state=0)
    found = model.complete(Dataset(few[["w", "b", "a"]]), mask, random_state=0)
    np.testing.assert_array_equal(found.values, expected.values)


def test_types_of_columns_come_back_without_words_too():
    table = EVENTS.assign(year=RNG.integers(2010, 2024, 300), seen=EVENTS.a > 0)
    assert VAE(**TINY).fit(table).sample(3).dtypes.tolist() == table.dtypes.tolist()


WORDS_AND_NUMBERS = {
    "frame": pd.DataFrame({"s": ["p", "m"] * 150, "v": GIVEN.u}),
    "objects": np.stack([np.array(["p", "m"] * 150, object), GIVEN.u.to_numpy().astype(object)], axis=1),
}


@pytest.mark.parametrize("name", WORDS_AND_NUMBERS)
def test_a_word_and_a_number_are_one_condition(name):
    model = VAE(**TINY).fit(EVENTS.to_numpy(), WORDS_AND_NUMBERS[name])
    assert [column.kind for column in model._conditions.schema.columns] == ["categorical", "continuous"]
    one, two = (model.sample(2, condition=given, random_state=0) for given in (["p", 0.5], [["p", 0.5], ["p", 0.5]]))
    np.testing.assert_array_equal(one, two)
    with pytest.raises(InputError, match=r"Expected numbers for|Expected s to be one of"):
        model.sample(1, condition=["p", "q"])


def test_objects_are_read_as_columns_of_frames_are():
    x = EVENTS.to_numpy()
    with pytest.raises(InputError, match="75 NaN"):
        VAE(**TINY).fit(x, pd.Series(["mu", "e", None, "e"] * 75))
    numbers = VAE(**TINY).fit(x, GIVEN.u.to_numpy().astype(object))
    assert numbers._conditions.schema.columns[0].kind == "continuous"
    words = VAE(**TINY).fit(x, np.array(["mu", "e", "e"] * 100))
    assert "labels: [e, mu]" in words._conditions.schema.to_yaml()


def test_numbered_columns_go_by_their_names_too():
    data = Dataset(EVENTS.to_numpy())
    model = Flow(hidden=(8,), n_transforms=2, **TINY).fit(data)
    assert model.score(data.select(["x1", "x0"])) == model.score(data)


def test_scores_of_mappings_and_lists_take_the_same_rows():
    rows = np.tile(EVENTS.to_numpy(), (10, 1))
    y = np.tile(["p", "m"], 1500)
    model = GAN(generator=(8,), discriminator=(8,), refine=False, **TINY).fit(rows, y)
    mapping = {"x0": rows[:, 0], "x1": rows[:, 1]}
    expected = model.score(rows, y)
    for x, given in ((mapping, y), (rows, {"condition": y}), (rows.tolist(), y.tolist()), (rows, pd.Series(y))):
        assert model.score(x, given) == expected


@pytest.mark.parametrize("as_table", [True, False])
def test_categories_of_numbers_are_categories(as_table):
    y = pd.Series(pd.Categorical([1, 2, 3] * 100), name="k")
    model = VAE(**TINY).fit(EVENTS.to_numpy(), y.to_frame() if as_table else y)
    assert model._conditions.schema.columns[0].kind == "categorical"
    assert model.sample(2, condition=3).shape == (2, 2)
