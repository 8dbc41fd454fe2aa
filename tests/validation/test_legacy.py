"""Legacy distances: published unit-test values, closed forms (section 5.2), figures of JetNet 0.2.5, known defects."""

import numpy as np
import pytest
from scipy import stats

from reverie.core.errors import InputError
from reverie.validation.statistics.fpd_kpd_kid import fpd_jetnet, kid, kpd_jetnet

ALPHA = 1e-4  # false-alarm rate of each statistical test in this file
SMALL = {"min_samples": 200, "max_samples": 500}


def _pair():
    x, y = (np.random.RandomState(seed).standard_normal((600, 3)) for seed in (0, 1))
    return x, 1.1 * y + np.array([0.1, 0, 0])


# printed by jetnet.evaluation.fpd and kpd of JetNet 0.2.5 for the rows of _pair and the sizes of SMALL and 300
JETNET = {
    True: (0.00826139843560291, 0.0017148419255993501, 0.005319190336561697, 0.0038427865695846775),
    False: (0.07218590532378931, 0.014923777575572185, 0.44628194284237477, 0.19615111058697882),
}


@pytest.mark.parametrize("normalise", [True, False])
def test_same_numbers_as_jetnet(normalise):
    f, k = fpd_jetnet(*_pair(), normalise=normalise, **SMALL), kpd_jetnet(*_pair(), normalise=normalise, batch_size=300)
    assert [f.value, f.error] == pytest.approx(JETNET[normalise][:2], abs=1e-8)  # tolerance of the fit
    assert [k.value, k.error] == pytest.approx(JETNET[normalise][2:], abs=1e-12)


def test_published_values_of_constant_samples():
    twos, zeros = np.full((600, 2), 2.0), np.zeros((600, 2))
    for normalise, fpd, kpd in ((True, 2, 15), (False, 8, 624)):
        assert fpd_jetnet(twos, zeros, normalise=normalise, **SMALL).value == pytest.approx(fpd, rel=1e-3)
        assert kpd_jetnet(twos, zeros, normalise=normalise, batch_size=200).value == pytest.approx(kpd)
    assert fpd_jetnet(twos, twos, **SMALL).value == pytest.approx(0, abs=1e-3)
    assert kpd_jetnet(twos, twos, batch_size=200).value == pytest.approx(0, abs=1e-12)


def _shifted(seed, n, d, shift):
    r = np.random.default_rng(seed)
    return r.normal(size=(n, d)), r.normal(size=(n, d)) + shift


@pytest.mark.slow  # mean of 60 samples; the same numbers as JetNet's stand above
@pytest.mark.parametrize(("shift", "exact"), [(0.1, 0.0553352100), (0.5, 2.0264062500)])
def test_kpd_kernel_against_its_closed_form(shift, exact):
    parts = [kpd_jetnet(*_shifted(s, 300, 10, shift), normalise=False, n_batches=1, batch_size=250) for s in range(60)]
    # one batch with replacement: rows drawn twice add k(x, x), 1/n of the pairs of each sample
    values = np.array([part.value for part in parts])
    repeats = sum(
        np.mean((np.square(s).sum(1) / 10 + 1) ** 4) - _mean_kernel(s, 4) for s in _shifted(0, 4000, 10, shift)
    )
    excess = abs(values.mean() - exact - repeats / 300)
    assert excess < stats.norm.isf(ALPHA / 2) * values.std() / np.sqrt(60) + 0.03 * repeats / 300


def _mean_kernel(s, degree):
    return float(np.mean((s[::2] @ s[1::2].T / s.shape[1] + 1) ** degree))


@pytest.mark.parametrize(("shift", "exact"), [(0.1, 0.0307937734), (0.5, 0.9710693359)])
def test_kid_against_its_closed_form(shift, exact):
    values = np.array([kid(*_shifted(s, 250, 64, shift), n_subsets=1, subset_size=250).value for s in range(60)])
    z = stats.norm.isf(ALPHA / 2)
    assert abs(values.mean() - exact) < z * values.std() / np.sqrt(60)
    cubic = [kpd_jetnet(*_shifted(s, 250, 64, shift), normalise=False, n_batches=1, batch_size=250) for s in range(60)]
    assert abs(np.mean([c.value for c in cubic]) - exact) > z * values.std() / np.sqrt(60)  # the twin: another degree


def test_kid_draws_without_replacement():
    x, y = _shifted(0, 150, 4, 0.2)
    whole = kid(x, y, n_subsets=3, subset_size=1000)
    assert whole.error == pytest.approx(0, abs=1e-12)  # the whole sample each time
    assert kid(x, y, subset_size=50).error > 0


def test_a_caveat_comes_with_every_number():
    for result in (fpd_jetnet(*_pair(), **SMALL), kpd_jetnet(*_pair(), batch_size=50), kid(*_pair(), n_subsets=2)):
        assert "error" in result.caveat
        assert result.caveat in str(result)
        assert result.name in str(result)


def test_constant_feature_and_bad_input():
    x, y = _pair()
    x[:, 2] = y[:, 2] = 0
    assert np.isfinite(fpd_jetnet(x, y, **SMALL).value)
    with pytest.raises(InputError):
        fpd_jetnet(x, y[:, :2])


@pytest.mark.slow
def test_equal_laws_look_different_at_the_default_sizes():
    # validation reference, finding 1: 0.00150 +- 0.00019 over 6 seeds, the bias d (d + 5)/(2n) of the plain distance
    x, y = _shifted(0, 50_000, 10, 0.0)
    found = fpd_jetnet(x, y, normalise=False)
    assert abs(found.value - 0.0015) < 4 * 0.00019
    assert found.value > 4 * found.error
