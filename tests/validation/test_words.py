"""Columns of words: what a validation says names words, never their codes, and no order of the words counts."""

import numpy as np
import pandas as pd
import pytest
import torch

from reverie import validate
from reverie.core.errors import InputError
from reverie.core.random import child_generator
from reverie.validation import check_constraints
from reverie.validation.classifiers.regions import worst_regions
from reverie.validation.permutation.relabelling import relabellings
from reverie.validation.statistics.marginal import change_of_shape, marginal_columns
from reverie.validation.statistics.occupancy import Bins, bin_statistic, region_names

FAST = {"tests": ["features one by one", "bins", "hard constraints"], "locate": False, "n_permutations": 99}
WORDS = ("barrel", "endcap", "forward")


def _events(n: int, seed: int, shares: tuple[float, ...] = (0.5, 0.3, 0.2)) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    return pd.DataFrame(
        {
            "pt": rng.exponential(30, n),
            "region": rng.choice(WORDS, size=n, p=shares),
            "isolated": rng.choice(["no", "yes"], size=n, p=[0.9, 0.1]),
        }
    )


@pytest.fixture(scope="module")
def result():
    generated = _events(1500, 1, (0.35, 0.3, 0.35))
    generated.loc[::30, "isolated"] = "perhaps"
    return validate(_events(1500, 0), generated, calibration=_events(1500, 2), random_state=0, **FAST)


def test_a_finding_names_the_words_with_their_shares(result):
    (told,) = [str(one) for one in result.findings if str(one).startswith("region differs")]
    assert ": generated events are " in told
    for word in ("forward", "barrel"):
        assert f"{word} in " in told
    assert "widths" not in told


def test_a_broken_rule_names_the_words(result):
    (rule,) = [one for one in result.constraints if one.name.startswith("isolated")]
    assert rule.name == "isolated is no or yes"
    assert rule.broken_generated == 50


def test_the_bias_of_a_word_is_that_of_its_share(result):
    found = {one.column: one for one in result.biases if one.quantity == "share"}
    assert set(found) >= {"region = barrel", "region = endcap", "region = forward"}
    shares = [np.mean(x["region"] == "forward") for x in (_events(1500, 0), _events(1500, 1, (0.35, 0.3, 0.35)))]
    expected = (shares[1] - shares[0]) / np.sqrt(shares[0] * (1 - shares[0]))
    assert found["region = forward"].value == pytest.approx(expected, rel=1e-6)
    assert not {one.column for one in result.biases} & {"region", "isolated"}


def test_tails_are_those_of_numbers_and_shares_those_of_words(result):
    assert [one.feature for one in result.checks if one.name == "tails"] == ["pt"]
    assert [one.feature for one in result.checks if one.name == "shares"] == ["region", "isolated"]


def test_rules_of_two_samples_name_words():
    found = check_constraints(_events(500, 0), _events(500, 1))
    assert "region is barrel, endcap or forward" in {one.name for one in found}


def test_what_the_words_are_called_does_not_move_the_shares():
    """Other names, and with them another order of the codes, leave shares alone; the KS distance goes by the order."""
    rng, values = np.random.default_rng(0), {}
    codes = np.concatenate([rng.choice(6, 600), rng.choice(6, 600, p=np.array([5, 3, 5, 3, 5, 3]) / 24)])
    relabel = relabellings(600, 600, 99, child_generator(0, "permutations"))
    for name, order in {"as they are": np.arange(6), "renamed": np.array([0, 3, 1, 4, 2, 5])}.items():
        renamed = torch.from_numpy(order[codes])
        shares = bin_statistic(Bins(torch.empty(6, 0), renamed), relabel)
        ks = marginal_columns(renamed[:, None].double(), relabel)[0][0]
        values[name] = shares.values, ks.values
    assert values["renamed"][0] == pytest.approx(values["as they are"][0], rel=1e-9)
    assert values["renamed"][1][0] > 1.5 * values["as they are"][1][0]


def test_a_region_is_named_by_a_word_only_where_all_its_events_have_it():
    centres = np.array([[0.0, 1.0], [2.0, 1.0], [1.0, 5.0], [0.5, 1.0]])
    called = region_names(centres, ["region", "pt"], {"region": WORDS})
    assert called[1] == "the region near region = forward, pt = 1"
    assert called[3] == "the region near pt = 1"
    assert region_names(np.array([[0.5], [1.0]]), ["region"], {"region": WORDS})[0] == "a region of mixed words"


def test_a_box_of_the_classifier_lists_words():
    rng = np.random.default_rng(0)
    code, labels = rng.integers(3, size=4000).astype(float), np.repeat([1, 0], 2000)
    code[labels == 0] = rng.choice(3, size=2000, p=[0.1, 0.1, 0.8])
    log_weights = np.where(code == 2, -1.0, 1.0)
    table = np.stack([code, rng.normal(size=4000)], axis=1)
    boxes = worst_regions(table, ["region", "pt"], log_weights, labels, words={"region": WORDS})
    assert {str(box.conditions[0]) for box in boxes} == {"region = forward", "region = barrel or endcap"}


def test_numbers_beside_words_are_codes_or_refused():
    real, generated = _events(200, 0), _events(200, 1)
    coded = generated.assign(region=pd.Categorical(generated["region"], WORDS).codes, isolated="no")
    with pytest.warns(UserWarning, match="0 = barrel, 1 = endcap, 2 = forward"):
        found = check_constraints(real, coded)
    assert str(found[0]) == str(check_constraints(real, generated.assign(isolated="no"))[0])
    with pytest.raises(InputError, match="no codes of them"):
        check_constraints(real, coded.assign(region=coded["region"] + 1))


def test_a_lost_mass_at_one_value_is_said():
    rng = np.random.default_rng(0)
    x, y = (np.where(rng.random(2000) < 0.2, at, rng.exponential(size=2000)) for at in (0.0, 1e-9))
    y = np.where(y == 1e-9, 1e-9 * rng.random(2000), y)
    assert change_of_shape(x, y).startswith("0 % at one value where 2")
    assert "at one value" not in change_of_shape(x, rng.permutation(x))


@pytest.mark.parametrize("word", ["True", "False"])
def test_truth_values_in_words_are_those_in_numbers(word):
    rng = np.random.default_rng(0)
    real = pd.DataFrame({"a": rng.normal(size=200), "seen": rng.random(200) < 0.5})
    told = pd.DataFrame({"a": rng.normal(size=200), "seen": [word] * 200})
    numbers = told.assign(seen=np.full(200, word == "True"))
    one, two = (check_constraints(real, generated) for generated in (told, numbers))
    assert [str(rule) for rule in one] == [str(rule) for rule in two]
    results = [validate(real, generated, random_state=0, **FAST) for generated in (told, numbers)]
    assert [c.value for c in results[0].checks if c.name == "KS"] == [
        c.value for c in results[1].checks if c.name == "KS"
    ]
