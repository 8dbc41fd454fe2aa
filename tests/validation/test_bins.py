"""Regions and modes: definitions, the chi-square law under the null hypothesis, and what is said of them.

Statistical tests have a false-alarm rate of 1e-4.
"""

import numpy as np
import pytest
import torch
from scipy import stats

from reverie.core.errors import InputError
from reverie.core.proportions import clopper_pearson, percent
from reverie.validation.permutation.relabelling import relabellings
from reverie.validation.statistics.occupancy import (
    bin_regions,
    bin_statistic,
    compare_bins,
    fit_cells,
    mode_occupancy,
    occupancy,
    region_names,
)

Z = 3.89  # two-sided 1e-4


def _gen(seed=0):
    return torch.Generator().manual_seed(seed)


def _normal(*shape, seed=0):
    return torch.randn(*shape, generator=_gen(seed), dtype=torch.float64)


def _regions(z, fit_on, smaller, **options):
    return bin_regions(z, fit_cells(fit_on, smaller, **options), smaller)


# --- laws


@pytest.mark.parametrize(("n", "m"), [(300, 300), (200, 500)])
def test_chi2_of_every_labelling_is_that_of_its_contingency_table(n, m):
    z = _normal(n + m, 2)
    bins, relabel = _regions(z, _normal(400, 2, seed=1), min(n, m), n_bins=15), relabellings(n, m, 4, _gen())
    values = bin_statistic(bins, relabel).values
    for b, label in enumerate(relabel.labels.T):
        table = [torch.bincount(bins.of_row[part], minlength=len(bins)).numpy() for part in (label, ~label)]
        assert values[b] == pytest.approx(stats.chi2_contingency(table, correction=False).statistic, rel=1e-4)


def test_the_plain_form_is_the_observed_column():
    x, y, fit_on = _normal(300, 2), _normal(200, 2, seed=1) + 0.2, _normal(400, 2, seed=2)
    bins = _regions(torch.cat([x, y]), fit_on, 200, seed=3)
    column = bin_statistic(bins, relabellings(300, 200, 0, _gen())).value
    assert compare_bins(x, y, fit_on, seed=3).chi2 == pytest.approx(column, rel=1e-5)


def test_every_region_expects_five_events_of_the_smaller_sample():
    z = _normal(1000, 2)
    bins = _regions(z, _normal(1000, 2, seed=1), 200, n_bins=100)
    counts = torch.bincount(bins.of_row, minlength=len(bins))
    assert len(bins) > 10
    assert float(counts.min()) * 200 / 1000 >= 5


@pytest.mark.slow  # one value: test_chi2_of_every_labelling_is_that_of_its_contingency_table
@pytest.mark.parametrize("weighted", [False, True])
def test_chi2_has_the_mean_of_its_law_under_the_null(weighted):
    runs = 120

    def excess(seed):
        weights = torch.rand(1200, generator=_gen(seed)) * 2 - 0.3 if weighted else None  # 15 % negative
        bins = _regions(_normal(1200, 2, seed=seed), _normal(300, 2, seed=seed + 999), 600, n_bins=10, seed=seed)
        chi2 = bin_statistic(bins, relabellings(600, 600, 0, _gen(), weights=weights)).value
        return chi2 - (len(bins) - 1)

    mean = np.mean([excess(seed) for seed in range(runs)])
    assert abs(mean) < Z * np.sqrt(2 * 9 / runs)


@pytest.mark.slow  # twin of the test above
def test_regions_fitted_on_the_sample_itself_do_not_have_it():
    # the twin, and why a third sample is asked for: x then fills its own regions too evenly
    def z(seed):
        x, y = _normal(150, 5, seed=seed), _normal(150, 5, seed=seed + 999)
        found = compare_bins(x, y, x, n_bins=75, seed=seed)
        return (found.chi2 - found.dof) / np.sqrt(2 * max(found.dof, 1))

    assert np.mean([z(seed) for seed in range(120)]) < -Z / np.sqrt(120)


# --- known answers


def test_chi2_is_eight_times_jensen_shannon_in_units_of_the_sizes():
    n, m = 40_000, 20_000
    p = np.full(10, 0.1)
    q = p * (1 + 0.05 * np.array([1, -1] * 5))
    x, y = (np.repeat(np.arange(10), np.round(size * law).astype(int)) for size, law in ((n, p), (m, q)))
    mean = (p + q) / 2
    js = (stats.entropy(p, mean) + stats.entropy(q, mean)) / 2
    assert occupancy(x, y, [str(k) for k in range(10)]).chi2 == pytest.approx(8 * js / (1 / n + 1 / m), rel=2e-3)


def test_intervals_are_those_of_scipy_and_the_rule_of_three():
    for k, n in ((0, 50), (3, 50), (50, 50), (1, 1)):
        low, high = clopper_pearson(k, n)
        interval = stats.binomtest(k, n).proportion_ci(method="exact")
        assert (float(low), float(high)) == pytest.approx((interval.low, interval.high))
    assert float(clopper_pearson(0, 1000, 0.9)[1]) == pytest.approx(3 / 1000, rel=4e-3)


def test_z_is_the_two_proportion_z():
    found = occupancy(np.repeat([0, 1], [30, 170]), np.repeat([0, 1], [60, 240]), ["a", "b"])
    pooled = 90 / 500
    z = (60 / 300 - 30 / 200) / np.sqrt(pooled * (1 - pooled) * (1 / 300 + 1 / 200))
    assert [region.z for region in found.regions] == pytest.approx([z, -z])
    assert found.chi2 == pytest.approx(z**2)
    assert found.expected_different == pytest.approx((0.1, np.sqrt(2 * 0.05 * 0.95)))


def test_percent_keeps_the_digits_that_count():
    shares = {0: "0 %", 1: "100 %", 0.0123: "1.2 %", 0.5: "50 %", 0.99972: "99.972 %", 0.042: "4.2 %"}
    assert [percent(share) for share in shares] == list(shares.values())


# --- behaviour


def test_a_dropped_region_is_named_in_the_unit_of_the_data():
    r = np.random.default_rng(0)
    centre = np.array([[0.0, 0.0], [10.0, 0.0], [0.0, 10.0], [10.0, 10.0]])
    real = torch.from_numpy(centre[r.integers(0, 4, 1000)] + r.normal(size=(1000, 2)))
    fit_on = torch.from_numpy(centre[r.integers(0, 4, 1000)] + r.normal(size=(1000, 2)))
    generated = torch.from_numpy(centre[r.integers(0, 3, 1000)] + r.normal(size=(1000, 2)))
    found = compare_bins(real, generated, fit_on, names=["pt", "eta"], n_bins=4)
    assert found.p_value < 1e-10
    assert found.missing == (found.worst[0],)
    values = [float(part.split(" = ")[1]) for part in found.worst[0].name.removeprefix("the region near ").split(", ")]
    assert values == pytest.approx([10, 10], abs=0.2)
    assert "holds 0 % of generated and 2" in str(found)
    assert found.worst[0].generated_interval[1] < 0.004


def test_no_region_is_blamed_without_cause():
    # Holm at 1e-4
    found = compare_bins(_normal(2000, 3), _normal(2000, 3, seed=1), _normal(2000, 3, seed=2), alpha=1e-4)
    assert found.worst == ()
    assert len(found.regions) > 50


def test_weights_that_restore_the_shares_are_honoured():
    real, generated = np.repeat([0, 1], [500, 500]), np.repeat([0, 1], [800, 200])
    weights = np.where(generated == 0, 0.5 / 0.8, 0.5 / 0.2)
    found = occupancy(real, generated, ["a", "b"], generated_weights=weights)
    assert found.chi2 == pytest.approx(0, abs=1e-12)
    assert found.n_generated == pytest.approx(1000**2 / (weights**2).sum() * (weights.mean() ** 2))
    assert occupancy(real, generated, ["a", "b"]).p_value < 1e-10


def test_modes_missing_and_new_and_what_cannot_be_seen():
    real = np.repeat(["a", "b", "c"], [500, 460, 40])
    found = mode_occupancy(real, np.repeat(["a", "b", "d"], [500, 460, 40]))
    assert [region.name for region in found.missing] == ["mode c"]
    assert {region.name for region in found.worst} == {"mode c", "mode d"}
    assert found.blind_below == pytest.approx(3 / 1000)
    assert "less than 0.30 %" in str(found)
    assert mode_occupancy(real, real).worst == ()


def test_regions_are_named_by_the_features_that_set_them_apart():
    names = region_names(np.array([[0.0, 5, 0], [0, 5, 1], [9, 5, 0]]), ["a", "b", "c"], most=1)
    assert names == ["the region near a = 0", "the region near c = 1", "the region near a = 9"]


def test_unusable_input_is_refused():
    with pytest.raises(InputError, match="third sample"):
        _regions(torch.ones(5, 2), torch.ones(5, 3), 2)
    with pytest.raises(InputError, match="regions"):
        occupancy(np.array([0, 3]), np.array([0]), ["a"])
    with pytest.raises(InputError, match="weight"):
        occupancy(np.array([0]), np.array([0]), ["a"], real_weights=np.array([-1.0]))


@pytest.mark.slow  # size over 40 pairs of chains
def test_regions_of_a_chain_differ_as_often_as_they_say():
    # 40 pairs of chains of one law, in 20 bins; counts of p <= 5 % against the binomial law at 1e-4
    r, p, different, expected, plain, n = np.random.default_rng(0), [], 0, 0.0, [], 1140
    for run in range(40):
        chain = np.empty((n, 2))
        chain[0], noise = r.normal(size=2), np.sqrt(0.19) * r.normal(size=(n, 2))
        for t in range(1, n):
            chain[t] = 0.9 * chain[t - 1] + noise[t]
        labels = np.floor(20 * stats.norm.cdf(chain)).T
        found = mode_occupancy(*labels, block=95, n_permutations=99, random_state=run)
        p.append(found.p_value)
        different, expected = different + found.n_different, expected + found.expected_different[0]
        plain.append(mode_occupancy(*labels).p_value)
    most = stats.binom.isf(1e-4, 40, 0.05)
    assert sum(value <= 0.05 for value in p) <= most
    assert different < 2 * expected  # neighbouring bins are correlated: their number has no binomial law
    assert expected == pytest.approx(40 * 20 * 0.05, rel=0.2)
    assert sum(value <= 0.05 for value in plain) > most


def test_blocks_that_leave_no_permutation_are_refused():
    with pytest.raises(InputError, match="two blocks"):
        mode_occupancy(np.zeros(10), np.zeros(10), block=6)
