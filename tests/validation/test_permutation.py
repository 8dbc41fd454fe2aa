"""Permutation labels and the general permutation test."""

import pytest
import torch

from reverie.core.errors import InputError
from reverie.validation import TestResult, permutation_test
from reverie.validation.permutation import random_labels


def _mean_difference(x, y):
    return (x.mean() - y.mean()).abs()


def _sample(n, shift=0.0, seed=0):
    return torch.randn(n, 2, generator=torch.Generator().manual_seed(seed)) + shift


def test_labels_keep_the_sizes_and_put_the_observed_one_first():
    labels = random_labels(4, 7, 50, torch.Generator().manual_seed(0))
    assert labels.shape == (11, 51)
    assert labels[:, 0].tolist() == [1.0] * 4 + [0.0] * 7
    assert set(labels.unique().tolist()) == {0.0, 1.0}
    assert (labels.sum(0) == 4).all()


def test_every_row_is_labelled_equally_often():
    # 2,000 labellings, binomial limits at a rate of 1e-4 over all rows: 4.4 standard errors
    labels = random_labels(5, 5, 2000, torch.Generator().manual_seed(1))[:, 1:]
    assert ((labels.mean(1) - 0.5).abs() < 4.4 * 0.5 / 2000**0.5).all()


def test_a_shift_gives_the_smallest_possible_p_and_never_zero():
    result = permutation_test(_mean_difference, _sample(50), _sample(50, 2.0, 1), n_permutations=99, random_state=0)
    assert isinstance(result, TestResult)
    assert result.p_value == pytest.approx(0.01)
    assert result.distinguishes
    assert result.noise_low < result.noise_high < result.value
    assert result.name == "_mean_difference"


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


def test_the_number_of_permutations_must_be_positive():
    with pytest.raises(InputError, match="n_permutations"):
        permutation_test(_mean_difference, _sample(5), _sample(5), n_permutations=0)
