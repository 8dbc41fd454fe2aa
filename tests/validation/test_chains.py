"""Rows that depend on each other are found, independent ones are left in peace."""

import contextlib

import numpy as np
import pytest
from scipy.signal import lfilter

from reverie.core.errors import ShortChainError
from reverie.validation import validate
from reverie.validation.inputs.chains import FEWEST_BLOCKS, LEAST_BLOCKS, inspect_chains

NAMES = ("a", "b", "c")


def _chain(n, rho, seed, d=3):
    noise = np.random.default_rng(seed).normal(size=(n, d))
    noise[1:] *= np.sqrt(1 - rho**2)
    return lfilter([1], [1, -rho], noise, axis=0)


def test_a_chain_is_found_with_its_autocorrelation_time():
    # AR(1): tau = (1 + rho) / (2 (1 - rho)) = 9.5; the largest of several series lies above it
    report = inspect_chains({"real": _chain(8000, 0, 0), "generated": _chain(8000, 0.9, 1)}, NAMES, "auto")
    assert report.is_chain
    assert report.sample == "generated"
    assert 7 < report.tau < 15
    assert report.block == np.ceil(10 * report.tau)
    kept = report.kept(8000)
    assert len(kept) % report.block == 0
    assert np.flatnonzero(np.diff(kept) > 1)[0] == report.block - 1
    assert kept[report.block] == report.block + report.gap
    assert "blocks of" in report.warnings[0]


def test_independent_rows_are_no_chain():
    # about 1e-4 for each of 16 series: 1 false alarm in some 600 runs
    reports = [
        inspect_chains({"real": _chain(500, 0, 2 * i), "generated": _chain(500, 0, 2 * i + 1)}, NAMES, "auto")
        for i in range(60)
    ]
    assert sum(report.is_chain for report in reports) <= 2  # P(more) = 2e-4 at most


def test_thinning_keeps_rows_that_are_far_apart():
    report = inspect_chains({"real": _chain(4000, 0.5, 0)}, NAMES, "thin")
    assert report.block == 1
    assert report.thinning == np.ceil(4 * report.tau)


def test_a_short_chain_is_cut_into_few_long_blocks_not_taken_as_independent():
    # tau = 9.5: of 500 rows 11 blocks with gaps have 37 rows, fewer than five tau; 4 or 5 blocks have enough
    report = inspect_chains({"real": _chain(500, 0.9, 0)}, NAMES, "auto")
    assert report.block >= 5 * report.tau
    assert FEWEST_BLOCKS <= report.n_blocks(500) < LEAST_BLOCKS
    assert len(report.kept(500)) == report.n_blocks(500) * report.block
    assert "too few for classifiers" in report.warnings[0]


@pytest.mark.parametrize("rows", [np.sort(_chain(300, 0, 0), axis=0), _chain(300, 0.95, 0)])
def test_a_chain_too_short_for_any_blocks_has_no_p_value(rows):
    with pytest.raises(ShortChainError, match=r"independent ones: too few for a p-value\. Give [\d,]+ rows of each"):
        inspect_chains({"real": rows}, NAMES, "auto")


@pytest.mark.slow
def test_short_chains_of_one_law_are_told_apart_no_more_often_than_at_the_level():
    # tau = 9.5 and 500 rows of each role: taken as independent, more than 8 of 40 pairs are rejected at 5 %.
    # At 5 % more than 7 of 40 are rejected in 0.07 % of all choices of seeds.
    options = {"classifiers": (), "n_permutations": 99, "calibrate": False}
    found = []
    for seed in range(40):
        chains = [_chain(n, 0.9, 2 * seed + k, d=2) for k, n in enumerate((1000, 500))]
        with contextlib.suppress(ShortChainError):
            found.append(validate(*chains, random_state=seed, **options))
    assert len(found) > 25
    assert sum(one.chains.n_blocks(500) < LEAST_BLOCKS for one in found) > 25
    assert sum(one.p_value <= 0.05 for one in found) <= 7


def test_classifiers_are_left_out_of_short_chains():
    chains = _chain(1000, 0.9, 0, d=1), _chain(500, 0.9, 1, d=1)
    result = validate(*chains, n_permutations=19, tests=["moments", "features one by one"], random_state=0)
    assert result.chains.n_blocks(500) < LEAST_BLOCKS
    assert not result.classifiers


def test_nothing_is_looked_at_when_not_wanted():
    assert not inspect_chains({"real": _chain(4000, 0.9, 0)}, NAMES, "ignore").warnings


@pytest.mark.parametrize("shape", [(200, 1), (200, 40)])
def test_constant_features_do_no_harm(shape):
    rows = np.ones(shape)
    assert not inspect_chains({"real": rows}, tuple(map(str, range(shape[1]))), "auto").is_chain


@pytest.mark.slow  # size over 60 samples; one: test_independent_rows_are_no_chain
def test_columns_of_zeros_are_no_chain():
    # 20 columns with 99 % zeros: at 1 % a run, 6 of 60 would have a chance below 1e-4; it was 15 % a run
    r = np.random.default_rng(0)
    names = tuple(map(str, range(20)))
    runs = [r.normal(size=(1000, 20)) * (r.random((1000, 20)) < 0.01) for _ in range(60)]
    assert sum(inspect_chains({"real": rows}, names, "auto").tau > 0.5 for rows in runs) < 6


def test_a_chain_with_one_huge_entry_or_without_a_variance_is_a_chain():
    chain = _chain(4000, 0.9, 0, d=1)
    huge = chain.copy()
    huge[100] = 1e12
    for rows in (huge, np.sign(chain) * np.expm1(np.abs(chain) * 4)):
        report = inspect_chains({"real": rows}, ("a",), "auto")
        assert report.block > 1
        assert 6 < report.tau < 13  # of ranks: a little less than 9.5
