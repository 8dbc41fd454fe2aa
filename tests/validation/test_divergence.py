"""Divergences: table 5.1 and section 5.5 of the validation reference, bias and errors, ties, Gaussians in D > 1."""

import math

import numpy as np
import pytest
from scipy import stats
from scipy.special import expit

from reverie.core.errors import InputError, UnknownNameError
from reverie.validation.statistics.divergences import (
    binned_divergences,
    discriminator_divergences,
    histogram_divergences,
    knn_divergences,
)

ALPHA = 1e-4  # false-alarm rate of each statistical test in this file
Z = stats.norm.isf(ALPHA / 2)

# mean and sd of q against N(0, 1): JS nats, JS bits, KL(p, q), KL(q, p)
TABLE = [
    (0.1, 1.0, 0.0012484401, 0.0018011183, 0.005, 0.005),
    (0.5, 1.0, 0.0303113005, 0.0437299629, 0.125, 0.125),
    (1.0, 1.0, 0.1114214822, 0.1607472198, 0.5, 0.5),
    (2.0, 1.0, 0.3368308203, 0.4859441541, 2.0, 2.0),
    (0.0, 1.1, 0.0022526665, 0.0032499108, 0.00853332, 0.00968982),
    (0.0, 1.5, 0.0366814149, 0.0529200953, 0.12768733, 0.21953489),
    (0.0, 2.0, 0.0927333810, 0.1337859889, 0.31814718, 0.80685282),
]


def _pair(seed, n, m, mean=0.0, sd=1.0, d=1):
    r = np.random.default_rng(seed)
    y = sd * r.normal(size=(m, d))
    y[:, 0] += mean
    return r.normal(size=(n, d)), y


def _near(measured, exact, errors=Z):
    return abs(measured.value - exact) < errors * measured.error


@pytest.mark.parametrize("row", TABLE, ids=str)
def test_fine_bins_of_normal_laws(row):
    mean, sd, js, bits, kl, reverse = row
    centres = np.linspace(-12, 12, 48_001)
    p, q = (stats.norm.pdf(centres, *law) for law in ((0, 1), (mean, sd)))
    found = binned_divergences(p, q, debias=False, effective_sizes=(1e6, 1e6))
    assert [found.js.value, found.kl.value] == pytest.approx([js, kl], abs=2e-8)
    assert found.reverse_kl.value == pytest.approx(reverse, abs=3e-7)  # sd 2: what lies beyond 12
    in_bits = binned_divergences(p, q, debias=False, effective_sizes=(1e6, 1e6), unit="bits")
    assert in_bits.js.value == pytest.approx(bits, abs=2e-8)


@pytest.mark.parametrize("row", TABLE, ids=str)
def test_exact_classifier_of_normal_laws(row):
    mean, sd, js, bits, kl, reverse = row
    x, y = _pair(0, 20_000, 10_000, mean, sd)

    def p_of_x(v):
        return expit(stats.norm.logpdf(v) - stats.norm.logpdf(v, mean, sd))

    found = discriminator_divergences(p_of_x(x), p_of_x(y))
    assert _near(found.js, js)
    assert _near(found.kl, kl)
    assert _near(found.reverse_kl, reverse, 5)  # rare large weights
    assert discriminator_divergences(p_of_x(x), p_of_x(y), unit="bits").js.value == pytest.approx(
        found.js.value / math.log(2)
    )
    assert _near(discriminator_divergences(p_of_x(x), p_of_x(y), unit="bits").js, bits)
    wrong = discriminator_divergences(p_of_x(x) ** 2, p_of_x(y) ** 2)
    assert wrong.js.value < found.js.value  # a bound: another classifier gives less
    if js > 0.01:
        assert not _near(wrong.js, js)  # the twin


@pytest.mark.parametrize("row", [TABLE[2], *(pytest.param(r, marks=pytest.mark.slow) for r in TABLE if r != TABLE[2])])
def test_neighbours_and_histogram_of_normal_laws(row):
    mean, sd, js, _, kl, reverse = row
    x, y = _pair(1, 2000, 1500, mean, sd)
    near, bins = knn_divergences(x, y), histogram_divergences(x, y, n_bins=40)
    assert _near(near.js, js)
    if mean < 2:  # biased for large divergences
        assert _near(near.kl, kl)
    if sd == 1 and mean < 2:  # KL(q, p) of a wider q lies in tails where x has no rows
        assert _near(near.reverse_kl, reverse)
    assert _near(bins.js, js)
    if kl > 0.4:
        assert not _near(near.kl, 2 * kl)  # the twin


@pytest.mark.parametrize(("d", "n"), [(2, 800), pytest.param(5, 500, marks=pytest.mark.slow)])
def test_neighbours_in_more_dimensions(d, n):
    # only the Mahalanobis distance counts: JS and KL are those of one dimension
    x, y = _pair(2, n, n, 0.5, d=d)
    found = knn_divergences(x, y, n_groups=5)
    assert _near(found.kl, 0.125)
    assert _near(found.js, 0.0303113005)
    null = knn_divergences(*_pair(3, n, n, d=d), n_groups=4)
    assert _near(null.kl, 0)
    assert _near(null.js, 0)


def test_null_means_of_plain_bins():
    # K = 100, n = m = 1000: E[JS] = 0.02475 (sd 0.0035), E[separation] = 0.0495, E[KL] = 0.099
    r = np.random.default_rng(0)
    counts = r.multinomial(1000, np.full(100, 0.01), size=(400, 2))
    plain = [binned_divergences(*pair, debias=False) for pair in counts]
    free = [binned_divergences(*pair) for pair in counts]
    for name, exact in (("js", 0.02475), ("separation", 0.0495)):
        values = np.array([getattr(result, name).value for result in plain])
        assert values.mean() == pytest.approx(exact, rel=0.06)  # leading order, ten events per bin
        assert np.mean([getattr(result, name).value for result in free]) == pytest.approx(0, abs=0.06 * exact)
        errors = np.array([getattr(result, name).error for result in free])
        assert errors.mean() == pytest.approx(values.std(), rel=0.2)
    js = [result.js.value for result in plain]
    assert np.std(js) == pytest.approx(0.0035, rel=0.15)


def test_null_mean_of_kl_with_many_events_per_bin():
    counts = np.random.default_rng(0).multinomial(20_000, np.full(100, 0.01), size=(200, 2))
    values = np.array([binned_divergences(*pair, debias=False).kl.value for pair in counts])
    assert values.mean() == pytest.approx(99 / 20_000, rel=0.03)


@pytest.mark.parametrize("name", ["kl", "reverse_kl", "js", "separation"])
def test_errors_of_bins_cover_the_truth(name):
    r = np.random.default_rng(1)
    p, q = r.dirichlet(np.full(20, 3.0), size=2)
    exact = getattr(binned_divergences(p, q, debias=False, effective_sizes=(1, 1)), name).value
    pulls = []
    for _ in range(400):
        found = getattr(binned_divergences(r.multinomial(4000, p), r.multinomial(3000, q)), name)
        pulls.append((found.value - exact) / found.error)
    assert abs(np.mean(pulls)) < Z / 20 + 0.05
    assert stats.binomtest(int(np.sum(np.abs(pulls) < 1)), 400, 0.683).pvalue > ALPHA
    assert stats.binomtest(int(np.sum(np.abs(pulls) < 0.7)), 400, 0.683).pvalue < ALPHA  # the twin


def test_simple_values_and_units():
    found = binned_divergences([1, 0], [0, 1], debias=False)
    assert found.js.value == pytest.approx(math.log(2))
    assert found.separation is not None
    assert found.separation.value == 1
    assert found.kl.value == math.inf
    assert math.isnan(found.kl.error)
    assert binned_divergences([1, 0], [0, 1], debias=False, unit="bits").js.value == pytest.approx(1)
    same = binned_divergences([3, 4, 0], [6, 8, 0], debias=False)
    assert [same.kl.value, same.js.value] == pytest.approx([0, 0], abs=1e-15)
    assert "nats" in str(same)
    swapped = binned_divergences([5, 2], [3, 9]), binned_divergences([3, 9], [5, 2])
    assert swapped[0].kl == swapped[1].reverse_kl
    assert swapped[0].js.value == pytest.approx(swapped[1].js.value)


def test_repeated_points_give_the_plug_in_value():
    p, q = np.array([0.2, 0.3, 0.5]), np.array([0.4, 0.4, 0.2])
    r = np.random.default_rng(0)
    x, y = (r.choice(3, p=law, size=(800, 1)).astype(float) for law in (p, q))
    near, bins = knn_divergences(x, y, n_groups=4), histogram_divergences(x, y)
    for name in ("kl", "reverse_kl", "js"):
        assert getattr(near, name).value == pytest.approx(getattr(bins, name).value, rel=0.02)
        assert _near(getattr(near, name), getattr(binned_divergences(p, q, debias=False), name).value)
    constant = knn_divergences(np.ones((30, 2)), np.ones((30, 2)), n_groups=3)
    assert abs(constant.kl.value) < 0.05


def test_lattice_with_neighbours_at_one_distance():
    r = np.random.default_rng(0)
    x, y = r.integers(0, 40, size=(1000, 2)), r.integers(0, 40, size=(1000, 2))
    found = knn_divergences(x, y, n_groups=5)
    assert _near(found.kl, 0)
    assert _near(found.js, 0)


def test_bins_of_several_features():
    x, y = _pair(0, 2000, 1500, 1.0, d=3)
    found = histogram_divergences(x, y, n_bins=40)
    assert 0.6 * 0.1114 < found.js.value < 0.1114 + Z * found.js.error  # bins lose some of it
    null = histogram_divergences(*_pair(1, 2000, 1500, d=3), n_bins=40)
    assert _near(null.js, 0)


def test_probabilities_of_unequal_training_sizes_and_of_zero_and_one():
    x, y = _pair(0, 3000, 3000, 1.0)
    f = 0.5 - np.concatenate([x, y])[:, 0]  # ln p/q
    found = discriminator_divergences(*np.split(expit(f), 2))
    shifted = discriminator_divergences(*np.split(expit(f + np.log(3)), 2), prior=0.75)
    assert shifted.js.value == pytest.approx(found.js.value)
    certain = discriminator_divergences(np.ones(50), np.zeros(50))
    assert certain.js.value == pytest.approx(math.log(2), abs=0.01)
    assert np.isfinite(discriminator_divergences(np.zeros(50), np.ones(50)).kl.value)


def test_bad_input_is_refused():
    for counts in (([1, 2], [1]), ([1, -1], [1, 1]), ([0, 0], [1, 1])):
        with pytest.raises(InputError):
            binned_divergences(*counts)
    with pytest.raises(InputError):
        discriminator_divergences([0.5, 1.2], [0.5, 0.5])
    with pytest.raises(InputError):
        knn_divergences(np.ones((5, 1)), np.ones((5, 1)))
    with pytest.raises(InputError):
        knn_divergences(np.ones((50, 1)), np.ones((50, 2)))
    with pytest.raises(UnknownNameError):
        binned_divergences([1, 2], [2, 1], unit="nat")
