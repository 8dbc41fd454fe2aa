"""Hard constraints: counts, intervals, what is read off real events and what must not be.

Statistical tests have a false-alarm rate of 1e-4.
"""

import numpy as np
import pytest
import torch
from scipy import stats

from reverie.core.errors import InputError
from reverie.validation.statistics.constraints import check_constraints, conserved, inferred_constraints, mass_shell

NAMES = ["pt", "eta", "charge", "hits", "clipped", "a", "b", "mass"]


def _events(n, seed):
    r = np.random.default_rng(seed)
    there = r.random(n) < 0.7
    columns = [
        r.exponential(30, n),  # reaches zero
        r.normal(size=n),
        r.choice([-1.0, 1.0], n),
        r.poisson(100, n).astype(float),
        np.minimum(r.normal(3, 1, n), 4.5),  # piles up at 4.5
        r.normal(size=n) * there,
        r.normal(size=n) * there,
        r.normal(5, 1, n),  # positive, but only by chance
    ]
    return np.stack(columns, axis=1)


def _check(real, generated, **options):
    return {result.name: result for result in check_constraints(real, generated, **options)}


# --- laws


def test_every_planted_fault_is_counted_and_nothing_else():
    real, generated = _events(4000, 0), _events(2000, 1)
    generated[:20, 0] *= -1
    generated[20:50, 2] = 0.5
    generated[50:60, 3] += 0.25
    generated[60:75, 4] = 4.6
    generated[75:95, 5], generated[75:95, 6] = 0, 1.0
    generated[95:99] = generated[100]
    generated[99, 1] = np.nan
    found = _check(real, generated, names=NAMES)
    broken = {name: result.broken_generated for name, result in found.items()}
    assert broken == {
        "all numbers are finite": 1,
        "pt is at least 0": 20,
        "charge is -1 or +1": 30,
        "hits is whole": 10,
        "clipped is at most 4.5": 15,
        "b is 0 where a is 0 (and 1 such pairs)": 20,
        "no two events are equal": 5,
    }
    assert all(result.broken_real == 0 for result in found.values())
    assert found["charge is -1 or +1"].n_real == 2000  # the half that the rule was not read off
    assert found["no two events are equal"].detail.startswith("10 equal pairs where real events of that number have 0")


def test_real_events_break_no_rule_read_off_real_events():
    # the rules are measured on events that they were not read off, the p-values are exact
    p = [
        result.p_value
        for seed in range(10)
        for result in check_constraints(_events(2000, seed), _events(2000, seed + 100), names=NAMES)
    ]
    assert min(p) > 1e-4 / len(p)


def test_the_interval_and_the_p_value_are_exact():
    real, generated = np.zeros((200, 1)), np.zeros((300, 1))
    real[:2], generated[:9] = 1, 1
    result = _check(real, generated, constraints={"is 0": lambda z: z[:, 0]}, infer=False)["is 0"]
    interval = stats.binomtest(9, 300).proportion_ci(method="exact")
    assert (result.fraction, result.real_fraction) == (9 / 300, 2 / 200)
    assert (result.low, result.high) == pytest.approx((interval.low, interval.high))
    table = [[9, 291], [2, 198]]
    assert result.p_value == pytest.approx(stats.fisher_exact(table, alternative="greater").pvalue)


# --- what may and may not be read off


def _rules(column):
    return [rule.name for rule in inferred_constraints(np.asarray(column, dtype=float)[:, None], ["v"])]


def test_mere_extremes_are_no_bounds():
    r = np.random.default_rng(0)
    for column in (r.normal(size=5000), r.normal(5, 1, 5000), r.lognormal(3, 0.3, 5000), 20 + r.exponential(1, 5000)):
        assert _rules(column) == []


def test_a_positive_normal_is_rarely_taken_for_one_with_a_bound():
    # module: less than 1 %; 30 of 1,000 runs would have a chance below 1e-4
    draws = np.random.default_rng(0).normal(3, 1, (1000, 1000))
    assert sum("v is at least 0" in _rules(draw) for draw in draws) < 30


def test_hard_edges_levels_and_integers_are_read_off():
    r = np.random.default_rng(0)
    assert _rules(r.exponential(1, 2000)) == ["v is at least 0"]
    assert _rules(-r.exponential(1, 2000)) == ["v is at most 0"]
    assert _rules(np.maximum(r.normal(size=2000), -1)) == ["v is at least -1"]
    assert _rules(r.integers(0, 3, 2000)) == ["v is 0, 1 or 2"]
    assert _rules(r.integers(0, 10, 2000) / 2) == ["v is one of 10 levels from 0 to 4.5"]
    assert _rules(r.poisson(1000, 2000)) == ["v is whole"]
    assert _rules(np.ones(100)) == ["v is 1"]


def test_levels_seen_too_rarely_are_not_taken_for_all_there_are():
    column = np.repeat([0.0, 1.0, 2.5], [500, 495, 5])
    assert _rules(column) == ["v is at least 0"]


def test_features_with_the_same_rule_share_one():
    spins = np.random.default_rng(0).choice([-1.0, 1.0], (400, 4, 4))
    generated = spins.copy()
    generated[:8, 1, 2] = 0.9
    found = _check(spins, generated)
    assert found["each of x0, x1, ... (16 features) is -1 or +1"].broken_generated == 8


def test_levels_in_single_precision_meet_those_in_double():
    real = np.random.default_rng(0).choice([0.1, 0.7], (200, 1))
    found = _check(real, torch.from_numpy(real.astype(np.float32)))
    assert found["x0 is 0.1 or 0.7"].broken_generated == 0


# --- given constraints


def test_momentum_and_mass_shell():
    r = np.random.default_rng(0)
    p = r.normal(size=(100, 3)) * 40
    energy = np.sqrt((p**2).sum(1) + 91.2**2)
    z = np.column_stack([energy, p, -p])
    off = z.copy()
    off[:10, 0] *= 1.01
    off[5:10, 4] += 1
    constraints = {
        "E^2 - p^2 = m^2": mass_shell(0, [1, 2, 3], 91.2),
        "p_x is conserved": conserved([1, 4]),
        "p_x in numbers": lambda events: events[:, [1, 4]].sum(1),
    }
    found = _check(z, off, constraints=constraints, infer=False)
    assert [r.broken_generated for r in list(found.values())[1:]] == [10, 5, 5]
    assert [r.broken_real for r in found.values()] == [0, 0, 0, 0]


def test_constraints_see_events_in_their_shape():
    images = np.random.default_rng(0).random((50, 3, 3))
    found = _check(images, images - 0.5, constraints={"positive": lambda e: (e > 0).all(axis=(1, 2))}, infer=False)
    assert found["positive"].broken_real == 0
    assert found["positive"].broken_generated > 45


def test_the_sentences():
    real, generated = _events(5000, 0), _events(10_000, 1)
    generated[:120, 2] = 0
    found = _check(real, generated, names=NAMES)
    words = "1.2 % of generated events break 'charge is -1 or +1' (95 %: 1.0 to 1.4), none of 2,500 real ones."
    assert str(found["charge is -1 or +1"]) == words
    assert found["charge is -1 or +1"].broken()
    assert (
        str(found["hits is whole"]) == "No generated event of 10,000 breaks 'hits is whole', none of 2,500 real ones."
    )


def test_a_smaller_support_shows_as_equal_events():
    # 50 different events, repeated: pairs as in the birthday problem
    real, generated = _events(1000, 0), _events(50, 1)[np.random.default_rng(2).integers(0, 50, 1000)]
    result = _check(real, generated)["no two events are equal"]
    assert result.fraction == 1
    pairs = int(result.detail.split(" equal")[0].replace(",", ""))
    assert pairs == pytest.approx(1000 * 999 / 2 / 50, abs=3.89 * np.sqrt(1000 * 999 / 2 / 50))


def test_unusable_input_is_refused():
    with pytest.raises(InputError, match="one value per event"):
        check_constraints(np.ones((5, 2)), np.ones((5, 2)), constraints={"sum": lambda z: z.sum()})
    with pytest.raises(InputError, match="features"):
        check_constraints(np.ones((5, 2)), np.ones((5, 3)))
    with pytest.raises(InputError, match="names"):
        check_constraints(np.ones((5, 2)), np.ones((5, 2)), names=["a"])
    with pytest.raises(InputError, match="numbers"):
        check_constraints(np.array([["a"], ["b"]]), np.array([["a"], ["b"]]))
