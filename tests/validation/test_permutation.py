"""The general permutation test: blocks, weights and its p-values."""

import pytest
import torch
from scipy import stats
from scipy.signal import lfilter

from reverie.core.errors import InputError
from reverie.validation import TestResult, permutation_test
from reverie.validation.statistics.marginal import ks_distance


def _mean_difference(x, y):
    return (x.mean() - y.mean()).abs()


def _sample(n, shift=0.0, seed=0):
    return torch.randn(n, 2, generator=torch.Generator().manual_seed(seed)) + shift


def test_a_shift_gives_the_smallest_possible_p_and_never_zero():
    result = permutation_test(_mean_difference, _sample(50), _sample(50, 2.0, 1), n_permutations=99, random_state=0)
    assert isinstance(result, TestResult)
    assert result.p_value == pytest.approx(0.01)
    assert result.distinguishes
    assert result.noise_low < result.noise_high < result.value
    assert result.name == "_mean_difference"


def test_all_relabellings_of_six_rows_are_equally_likely():
    # exact p: 2 of the 20 labellings (and their mirror) are as extreme; binomial limits at a rate of 1e-4
    x, y = torch.tensor([[1.0], [2.0], [3.0]]), torch.tensor([[4.0], [5.0], [6.0]])
    result = permutation_test(_mean_difference, x, y, n_permutations=1000, random_state=0)
    hits = round(result.p_value * 1001) - 1
    assert stats.binomtest(hits, 1000, 0.1).pvalue > 1e-4
    assert stats.binomtest(hits, 1000, 0.05).pvalue < 1e-4  # twin: one side only


def _chain(n, seed, rho=0.9):
    noise = torch.randn(n, 1, generator=torch.Generator().manual_seed(seed))
    return torch.from_numpy(lfilter([(1 - rho**2) ** 0.5], [1, -rho], noise, axis=0))


def test_blocks_make_the_test_of_a_chain_fair():
    # AR(1), rho = 0.9, 2 tau_int = 19: rows one by one reject four of five times, blocks of 60 about 8 %
    runs, p = 16, {}
    chains = [(_chain(600, 2 * i), _chain(600, 2 * i + 1)) for i in range(runs)]
    for block in (1, 60):
        results = (
            permutation_test(_mean_difference, x, y, n_permutations=39, block=block, random_state=i)
            for i, (x, y) in enumerate(chains)
        )
        p[block] = sum(result.p_value <= 0.05 for result in results)
    assert p[60] <= stats.binom.isf(1e-4, runs, 0.1)
    assert p[1] > stats.binom.isf(1e-4, runs, 0.1)  # twin


def test_blocks_are_named_in_the_description():
    result = permutation_test(_mean_difference, _sample(30), _sample(30), n_permutations=9, block=5, random_state=0)
    assert result.description == "Permutation test with 9 permutations of blocks of 5 rows."


def test_weights_reach_the_statistic_with_their_rows():
    # x is shifted, its weights undo the shift: importance weights exp(-mu x + mu^2/2) of N(mu, 1) to N(0, 1)
    x, y = _sample(500, 0.4, 0)[:, :1], _sample(500, 0.0, 1)[:, :1]
    weights = (torch.exp(-0.4 * x[:, 0] + 0.08), torch.ones(500))
    undone = permutation_test(ks_distance, x, y, weights=weights, n_permutations=99, random_state=0)
    ignored = permutation_test(ks_distance, x, y, n_permutations=99, random_state=0)
    assert undone.p_value > 1e-4
    assert not undone.distinguishes
    assert ignored.p_value == pytest.approx(0.01)  # twin


def test_the_same_seed_gives_the_same_result():
    x, y = _sample(20), _sample(25, 0.1, 1)
    first, again, other = (
        permutation_test(_mean_difference, x, y, n_permutations=49, random_state=s, name="mean") for s in (3, 3, 4)
    )
    assert first == again
    assert first.noise_high != other.noise_high


@pytest.mark.usefixtures("global_random_state_untouched")
def test_the_global_generator_is_left_alone():
    permutation_test(_mean_difference, _sample(20), _sample(20), n_permutations=5, random_state=None)


def test_impossible_settings_are_refused():
    x, y = _sample(5), _sample(5)
    with pytest.raises(InputError, match="n_permutations"):
        permutation_test(_mean_difference, x, y, n_permutations=0)
    with pytest.raises(InputError, match="two blocks"):
        permutation_test(_mean_difference, x, y, block=6)
    with pytest.raises(InputError, match="one weight per row"):
        permutation_test(ks_distance, x, y, weights=(torch.ones(4), torch.ones(5)))
    with pytest.raises(InputError, match="one size"):
        permutation_test(ks_distance, x, y[:4], weights=(torch.ones(5), torch.ones(4)))


def test_a_statistic_without_a_number_is_refused_and_infinity_is_far():
    x, y = _sample(50), _sample(50, 2.0, 1)
    with pytest.raises(InputError, match="for the two samples, got NaN"):
        permutation_test(lambda a, b: torch.tensor(torch.nan), x, y, n_permutations=9)
    far = permutation_test(
        lambda a, b: torch.tensor(torch.inf) if _mean_difference(a, b) > 1 else _mean_difference(a, b),
        x,
        y,
        n_permutations=99,
        random_state=0,
    )
    assert far.p_value == pytest.approx(0.01)


def test_weights_without_a_sum_in_some_permutation_are_refused():
    x, y, w = _sample(40), _sample(40, 0.0, 1), torch.ones(40)
    w[:19] = -1.0
    with pytest.raises(InputError, match="however their rows are exchanged"):
        permutation_test(ks_distance, x, y, weights=(w, w), n_permutations=99, random_state=0)
