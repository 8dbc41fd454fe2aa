"""The N of the best possible test, which the benchmark of quoted numbers takes as the truth."""

import numpy as np
import pytest
from benchmarks.quality.distinguish import CASES, Case
from scipy import stats


@pytest.mark.parametrize(("shift", "n"), [(0.1, 1237), (0.2, 309)])
def test_a_shift_needs_what_the_textbook_says(shift, n):
    assert Case(5, shift=shift).optimum == pytest.approx(n, abs=0.6)
    assert Case(5, shift=shift).of_bias == pytest.approx(shift**-2)


@pytest.mark.parametrize("name", ["mean .5, d = 5", "width 1.1, d = 1", "correlation .3, d = 20"])
def test_the_likelihood_ratio_test_has_four_fifths_of_power_there(name):
    # 400 runs at a false-alarm rate of 1e-4; five points for a law that is not quite normal, and its wider upper class
    case, r, runs, rejected = CASES[name], np.random.default_rng(0), 400, 0
    n, real_law = round(case.optimum), stats.multivariate_normal(np.zeros(case.dimensions))
    mean = np.zeros(case.dimensions)
    mean[0] = case.shift
    generated_law = stats.multivariate_normal(mean, case.covariance)
    for _ in range(runs):
        x, y = r.normal(size=(n, case.dimensions)), case.draw(n, r)
        a, b = (generated_law.logpdf(z) - real_law.logpdf(z) for z in (x, y))
        error = np.sqrt((a.var(ddof=1) + b.var(ddof=1)) / n)
        rejected += (b.mean() - a.mean()) / error > stats.norm.isf(0.05)
    low, high = stats.binom.ppf([0.5e-4, 1 - 0.5e-4], runs, [0.75, 0.85])
    assert low <= rejected <= high
