"""Memorisation: the exchange test is exact, sees few copies, and its parts are those of the definitions.

Statistical tests have a false-alarm rate of 1e-4.
"""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy import stats
from scipy.signal import lfilter

from reverie.core.errors import InputError
from reverie.validation.statistics.memorisation import (
    MemorisationResult,
    authenticity,
    copying_score,
    distances_to_train,
    exchange_test,
    memorisation,
)


def _samples(n, d, share=0.0, noise=0.0, seed=0, m=None):
    r = np.random.default_rng(seed)
    train, holdout, generated = r.normal(size=(n, d)), r.normal(size=(n, d)), r.normal(size=(m or n, d))
    copied = r.permutation(len(generated))[: round(share * len(generated))]
    generated[copied] = train[r.permutation(n)[: len(copied)]] + noise * r.normal(size=(len(copied), d))
    return train, holdout, generated


def _tensors(*arrays):
    return tuple(torch.from_numpy(a) for a in arrays)


def _rejected(runs, *, n, d, share, noise, n_permutations=199):
    samples = (_samples(n, d, share, noise, seed) for seed in range(runs))
    options = {"n_permutations": n_permutations}
    return sum(memorisation(*s, random_state=i, **options).memorised for i, s in enumerate(samples))


# --- laws


@pytest.mark.parametrize(("t", "h"), [(100, 100), (150, 50)])
def test_the_share_is_that_of_its_definition_at_any_sizes(t, h):
    r = np.random.default_rng(0)
    train, holdout, generated = _tensors(r.normal(size=(t, 3)), r.normal(size=(h, 3)), r.normal(size=(70, 3)))
    found = exchange_test(train, holdout, generated, n_permutations=9)
    to_t, to_h = torch.cdist(generated, train).amin(1), torch.cdist(generated, holdout).amin(1)
    assert found.share == pytest.approx(float((to_t < to_h).double().mean()))
    assert found.share_expected == t / (t + h)


@pytest.mark.slow  # size; the share: test_the_share_is_that_of_its_definition_at_any_sizes
def test_p_values_are_uniform_without_copies():
    runs = 80  # exact for exchangeable labels
    p = [
        exchange_test(*_tensors(*_samples(60, 3, seed=seed)), n_permutations=39, seed=seed).p_value
        for seed in range(runs)
    ]
    assert np.mean(np.array(p) <= 0.05) <= stats.binom.ppf(1 - 1e-4, runs, 0.05) / runs
    assert stats.kstest(np.array(p) - 1 / 80, "uniform").pvalue > 1e-4  # steps of 1/40


def test_lattice_events_that_equal_training_events_by_chance_are_no_copies():
    # 16 states: every generated event has exact twins in both
    def p(seed):
        r = np.random.default_rng(seed)
        spins = [r.integers(0, 2, (100, 4)).astype(float) for _ in range(3)]
        return memorisation(*spins, n_permutations=19, random_state=seed).p_value

    assert sum(p(seed) <= 0.05 for seed in range(40)) <= stats.binom.ppf(1 - 1e-4, 40, 0.05)


@pytest.mark.slow  # quick: lattice events that equal training events by chance
@pytest.mark.parametrize("states", [pytest.param(0, marks=pytest.mark.slow), 400])
def test_copies_are_told_from_rates_at_samples_of_different_sizes(states):
    # perfect generators, 1,500 generated beside 150 held-out events; the rule is asked at 5 % whatever the p-value
    said, by_counts, runs = 0, 0, 50
    for seed in range(runs):
        r = np.random.default_rng(seed)
        train, holdout, generated = (
            r.integers(0, states, (n, 1)).astype(float) if states else r.normal(size=(n, 2)) for n in (300, 150, 1500)
        )
        result = replace(memorisation(train, holdout, generated, n_permutations=9, random_state=seed), p_value=0.01)
        said += "some are copied" in result.verdict
        by_counts += result.near_low > 0.01 or result.duplicates > result.duplicates_holdout
    most = stats.binom.ppf(1 - 1e-4, runs, 0.05)
    assert said <= most
    assert by_counts > most  # the twin: a bare count, and 1 % as if it were known without error


@pytest.mark.slow  # size over 50 pairs of chains
def test_blocks_keep_the_size_for_chains():
    # generated events sit in one corner, which two chains visit for unequal times
    def chain(r):
        return lfilter([np.sqrt(1 - 0.95**2)], [1, -0.95], r.normal(size=(600, 1)), axis=0)

    def rejected(block):
        count = 0
        for seed in range(50):
            r = np.random.default_rng(seed)
            samples = _tensors(chain(r), chain(r), 1 + 0.3 * r.normal(size=(600, 1)))
            count += exchange_test(*samples, n_permutations=39, block=block, seed=seed).share_p <= 0.05
        return count

    most = stats.binom.ppf(1 - 1e-4, 50, 0.05)
    assert rejected(150) <= most
    assert rejected(1) > most


# --- known answers


def test_copies_have_the_share_that_mixes_one_and_a_half():
    # 30 % copies nearest to T for certain: 0.3 + 0.7 / 2; sd below 0.015
    found = memorisation(*_samples(2000, 5, 0.3, 0.01), random_state=0, n_permutations=19)
    assert found.share == pytest.approx(0.65, abs=3.89 * 0.015)
    assert 0.5 * 0.011 < found.share_error < 0.03


def test_copying_score_is_the_mann_whitney_z_of_one_cell():
    train, holdout, generated = _tensors(*_samples(90, 2, 0.5, 0.01))
    to_g, to_h = (distances_to_train(train, part)[0] for part in (generated, holdout))
    score, spread = copying_score(train, holdout, generated, (to_g, to_h))  # below 100 events: one cell
    u = stats.mannwhitneyu(to_g, to_h).statistic
    assert score == pytest.approx((u - 90 * 90 / 2) / np.sqrt(90 * 90 * 181 / 12))
    assert spread == 1
    assert score < -2


def test_authenticity_is_that_of_its_definition():
    train, holdout, generated = _tensors(*_samples(80, 3))
    distances, rows = distances_to_train(train, generated)
    own = torch.cdist(train, train).fill_diagonal_(torch.inf).amin(1).numpy()
    assert authenticity(train, distances, rows) == pytest.approx(np.mean(distances > own[rows]))


def test_exact_copies_are_counted_and_listed():
    train, holdout, generated = _samples(300, 4)
    generated[[7, 30, 200]] = train[[5, 6, 299]]
    found = memorisation(train, holdout, generated, random_state=0, n_pairs=3, n_permutations=19)
    assert (found.duplicates, found.duplicates_holdout) == (3, 0)
    assert [(pair.generated, pair.train) for pair in found.closest] == [(7, 5), (30, 6), (200, 299)]
    assert max(pair.distance for pair in found.closest) < 1e-9


# --- power


@pytest.mark.parametrize("noise", [0.0, 0.01])
@pytest.mark.parametrize("d", [5, 20])
def test_planted_copies_are_found(d, noise):
    assert _rejected(4, n=800, d=d, share=0.1, noise=noise, n_permutations=39) == 4


@pytest.mark.parametrize("d", [5, pytest.param(20, marks=pytest.mark.slow)])
def test_ten_copies_in_two_thousand_events_are_found_by_the_closest_though_not_by_the_share(d):
    found = [memorisation(*_samples(2000, d, 0.005, 0.01, s), random_state=s, n_permutations=99) for s in range(3)]
    assert all(result.memorised for result in found)
    assert np.median([result.share_p for result in found]) > 0.05


@pytest.mark.slow
@pytest.mark.parametrize(("d", "share", "noise"), [(5, 0.1, 0.0), (5, 0.1, 0.01), (20, 0.1, 0.0), (20, 0.1, 0.01)])
def test_planted_copies_are_found_in_95_of_100_repetitions(d, share, noise):
    rejected = _rejected(100, n=5000, d=d, share=share, noise=noise)
    print(f"d = {d}, noise {noise}: {rejected} of 100")
    assert rejected >= 95


@pytest.mark.slow
@pytest.mark.parametrize("d", [5, 20])
def test_size_at_production_sizes(d):
    rejected = _rejected(60, n=5000, d=d, share=0, noise=0)
    print(f"d = {d}, no copies: {rejected} of 60")
    assert rejected <= stats.binom.ppf(1 - 1e-4, 60, 0.05)


# --- behaviour


def test_units_do_not_matter_and_seeds_do_decide():
    samples = _samples(200, 3, 0.05, 0.01)
    unit = np.array([1e-3, 1.0, 1e6])
    options = {"random_state": 1, "n_permutations": 99}
    a = memorisation(*samples, **options)
    b = memorisation(*(s * unit + 5 * unit for s in samples), **options)
    assert (a.p_value, a.share, a.duplicates) == (b.p_value, b.share, b.duplicates)
    assert [p.distance for p in a.closest] == pytest.approx([p.distance for p in b.closest])
    assert memorisation(*samples, **options) == a


def test_the_result_speaks_and_travels():
    found = memorisation(*_samples(300, 3, 0.2, 0.001), random_state=0)
    assert MemorisationResult.from_json(json.loads(json.dumps(found.to_json()))) == found
    assert found.memorised
    assert "some are copied" in found.verdict
    assert "a model that has not memorised gives 50 %" in str(found)
    clean = memorisation(*_samples(300, 3), random_state=0)
    assert "No sign" in str(clean)
    with pytest.raises(InputError, match="memorisation"):
        MemorisationResult.from_json({"p_value": 1})


def test_images_and_single_precision_are_read():
    r = np.random.default_rng(0)
    train, holdout, generated = (r.normal(size=(60, 4, 4)).astype(np.float32) for _ in range(3))
    generated = generated.astype(np.float64)
    generated[:3] = train[:3].astype(np.float64) + 1e-9
    assert memorisation(train, holdout, torch.from_numpy(generated), random_state=0).duplicates == 3


def test_unusable_input_is_refused():
    train, holdout, generated = _samples(30, 2)
    with pytest.raises(InputError, match="features"):
        memorisation(train, holdout, generated[:, :1])
    with pytest.raises(InputError, match="at least 20"):
        memorisation(train[:5], holdout, generated)
    with pytest.raises(InputError, match="finite"):
        memorisation(train, holdout, np.full((30, 2), np.nan))
