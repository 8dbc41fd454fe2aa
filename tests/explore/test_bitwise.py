"""Bit-wise dimension: histograms by enumeration, the published example, copies of bits in closed form."""

import json
import math

import numpy as np
import pytest
from scipy import stats

from reverie.core.errors import InputError
from reverie.explore.bitwise import bitwise_dimension, fit_distances, hamming_histogram

ALPHA = 1e-4
Z = stats.norm.isf(ALPHA / 2)


def _bits(n, d, seed):
    return np.random.default_rng(seed).random((n, d)) < 0.5


@pytest.mark.parametrize(("groups", "block"), [(1, 1024), (1, 7), (4, 5)])
def test_histogram_counts_each_pair_once(groups, block):
    bits = _bits(41, 9, 0)
    distance = (bits[:, None] != bits[None]).sum(2)[np.triu_indices(41, 1)]
    counts = hamming_histogram(bits, n_groups=groups, block_size=block)
    np.testing.assert_array_equal(counts.sum((0, 1)), np.bincount(distance, minlength=10))
    assert not np.tril(counts.sum(2), -1).any()


@pytest.mark.parametrize(("d0", "d1"), [(20.0, 0.0), (12.0, 0.4), (30.0, -0.2)])
def test_fit_finds_the_law_it_assumes(d0, d1):
    r = np.arange(0, 15)
    d = d0 + d1 * r
    weight = np.exp([-x * math.log(2) + math.lgamma(x + 1) - math.lgamma(k + 1) - math.lgamma(x - k + 1)
                     for x, k in zip(d, r, strict=True)])  # fmt: skip
    found = fit_distances(weight / weight.sum())
    assert found[:2] == pytest.approx((d0, d1), abs=1e-4)
    assert found[2] < 1e-10


def test_published_example_of_independent_spins():
    # DADApy's test of BID: 5000 x 100 spins of legacy seed 1, d0 = 99.855, d1 = 0.003, log KL = -12.39 after a
    # million random steps. Its parameters, put into the same KL, give -12.37; the minimum lies below.
    spins = 2 * np.random.RandomState(1).randint(0, 2, size=(5000, 100)) - 1
    result = bitwise_dimension(spins, random_state=0)
    np.testing.assert_array_equal(np.rint(result.observed[:5] * 5000 * 4999 / 2), [4, 6, 34, 52, 120])
    assert (result.distance[0], result.distance[-1]) == (25, 77)
    assert result.d0.value == pytest.approx(99.855, abs=0.2)
    assert result.d1.value == pytest.approx(0.003, abs=0.004)
    assert result.log_kl == pytest.approx(-12.986, abs=1e-3)
    assert abs(result.d0.value - 100) < Z * result.d0.error
    assert abs(result.d1.value) < Z * result.d1.error
    assert abs(result.d0.value - 99) > Z * result.d0.error  # twin: one bit fewer is seen


@pytest.mark.parametrize("copies", [2, pytest.param(3, marks=pytest.mark.slow), 4])
def test_copies_of_bits_have_the_normal_limit(copies):
    result = bitwise_dimension(np.repeat(_bits(1500, 60, 3), copies, axis=1), random_state=0)
    assert result.d0.value == pytest.approx(60 * copies / math.sqrt(copies), rel=0.02)
    assert result.d1.value == pytest.approx(2 - 2 / math.sqrt(copies), abs=0.02)


@pytest.mark.slow  # the published example above checks the error at one size
def test_errors_are_those_of_repetition():
    # Chi-square of the variance over 40 repetitions, two-sided ALPHA.
    found = [bitwise_dimension(_bits(120, 20, 100 + s), random_state=s).d0 for s in range(40)]
    values, errors = np.array([f.value for f in found]), np.array([f.error for f in found])

    def p_value(factor):
        statistic = values.var(ddof=1) * 39 / np.mean((factor * errors) ** 2)
        return 2 * min(stats.chi2.sf(statistic, 39), stats.chi2.cdf(statistic, 39))

    assert p_value(1.0) > ALPHA
    assert p_value(0.4) < ALPHA  # twin: errors of independent pairs would be smaller still
    assert p_value(2.0) < ALPHA
    assert abs(values.mean() - 20) < Z * values.std() / math.sqrt(40) + 0.1


def test_coding_and_blocks_do_not_matter():
    bits = _bits(300, 40, 0)
    first = bitwise_dimension(bits, random_state=0)
    for other in (2.0 * bits - 1, 5 - 3 * bits.astype(int), bits.reshape(300, 5, 8)):
        assert bitwise_dimension(other, random_state=0).d0 == first.d0
    assert bitwise_dimension(bits, random_state=0, block_size=13).d0 == first.d0


def test_order_of_two_signs_is_doubted():
    bits = _bits(400, 40, 0)
    bits[:, :35] = bits[:, :1]  # an ordered phase with its flip
    assert "law misses the histogram" in bitwise_dimension(bits, random_state=0).notes[-1]


def test_small_distances_alone_may_be_fitted():
    result = bitwise_dimension(_bits(1000, 30, 0), quantile=0.1, random_state=0)
    assert result.distance[-1] < 14
    assert abs(result.d0.value - 30) < Z * result.d0.error


def test_rows_are_cut_by_seed_and_results_speak():
    bits = np.hstack([_bits(500, 30, 0), np.ones((500, 2), dtype=bool)])
    first, again = (bitwise_dimension(bits, max_rows=200, random_state=0) for _ in range(2))
    assert first.d0 == again.d0
    assert first.notes[:2] == ("2 bits are constant.", "200 of 500 rows were used, drawn at random.")
    assert "of 32 bits; slope" in str(first)
    assert json.loads(json.dumps(first.to_json()))["n_bits"] == 32
    assert first.observed.sum() == pytest.approx(1)
    assert first.fitted.sum() == pytest.approx(1)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: bitwise_dimension(np.arange(400.0).reshape(200, 2)), "got 400 different values"),
        (lambda: bitwise_dimension(np.ones((200, 3))), "got 1 different"),
        (lambda: bitwise_dimension(_bits(50, 9, 0)), "at least 100 rows"),
        (lambda: bitwise_dimension(_bits(200, 1, 0)), "three or more different Hamming distances, got 2"),
        (lambda: bitwise_dimension(_bits(200, 9, 0), quantile=0.0), "quantile"),
    ],
)
def test_what_has_no_bits_is_refused_in_words(call, words):
    with pytest.raises(InputError, match=words):
        call()
