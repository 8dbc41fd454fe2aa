"""Equal rows and constraints under relabelling: discrete laws, weights and chains reject as often as they say.

Counts of rejections at 5 % are held against the binomial law with a false-alarm rate of 1e-4 each.
"""

import numpy as np
import pytest
import torch
from scipy import stats
from scipy.signal import lfilter

from reverie.validation.permutation.duplicates import row_hashes, row_sets, twin_columns
from reverie.validation.permutation.multiple_testing import permutation_p
from reverie.validation.permutation.relabelling import relabellings
from reverie.validation.statistics.constraints import check_constraints, constraint_columns

RUNS = 100


def _most(runs):
    return stats.binom.isf(1e-4, runs, 0.05)  # rejections at 5 % that chance exceeds once in 10,000


def _relabel(n, m, seed, **options):
    return relabellings(n, m, 39, torch.Generator().manual_seed(seed), **options)


def _fisher(broken, n):
    x, y = int(broken[:n].sum()), int(broken[n:].sum())
    return stats.hypergeom.sf(y - 1, len(broken), x + y, len(broken) - n)


def _rejections(p):
    return int((np.asarray(p) <= 0.05).sum())


def test_equal_rows_have_one_number_and_one_hash():
    table = np.array([[0.0, 1.0], [1.0, 0.0], [-0.0, 1.0], [0.5, 2.0]])
    sets = row_sets(table)
    assert sets[0] == sets[2]
    assert len(set(sets)) == len(set(row_hashes(table))) == 3


def test_the_statistic_is_the_difference_of_the_shares_of_equal_pairs():
    sets = torch.tensor([0, 0, 0, 1, 2, 2, 3, 3, 4])
    values = twin_columns(sets, _relabel(4, 5, 0))
    assert values[0] == pytest.approx(2 / 10 - 3 / 6)
    labels = _relabel(4, 5, 0).labels[:, 7]
    pairs = [sum(int(a == b) for a in part for b in part) - len(part) for part in (sets[labels], sets[~labels])]
    assert values[7] == pytest.approx(pairs[1] / 20 - pairs[0] / 12)


@pytest.mark.slow  # size; the statistic: test_the_statistic_is_the_difference_of_the_shares_of_equal_pairs
def test_twins_of_one_discrete_law_reject_as_often_as_they_say():
    # 300 + 300 events of a law with 3,000 values: thirty pairs in all, which count two events each or more
    r, p, of_events = np.random.default_rng(0), [], []
    for run in range(1000):
        values = r.integers(0, 3000, 600)
        parts = [np.unique(part, return_inverse=True, return_counts=True)[1:] for part in (values[:300], values[300:])]
        of_events.append(_fisher(np.concatenate([counts[place] > 1 for place, counts in parts]), 300))
        if run < RUNS:
            p.append(permutation_p(twin_columns(torch.from_numpy(values), _relabel(300, 300, run))))
    assert _rejections(p) <= _most(RUNS)
    assert _rejections(of_events) > _most(1000)  # events with a twin, counted as if they were independent


def test_a_constraint_sees_the_law_of_weighted_events():
    # generated events of another law, with the weights that undo it: a third as many break the rule without them
    r, p, plain = np.random.default_rng(0), [], []
    for run in range(RUNS):
        x, y = r.normal(size=400), 1.3 * r.normal(size=400)
        weights = torch.from_numpy(np.concatenate([np.ones(400), np.exp(-0.5 * y**2 * (1 - 1 / 1.69))]))
        broken = np.abs(np.concatenate([x, y])) > 1
        relabel = _relabel(400, 400, run, weights=weights)
        p.append(permutation_p(constraint_columns(torch.from_numpy(broken)[:, None], relabel)[0]))
        plain.append(_fisher(broken, 400))
    assert _rejections(p) <= _most(RUNS)
    assert _rejections(plain) > RUNS / 2


@pytest.mark.slow  # size over 100 pairs of chains
def test_a_constraint_knows_that_rows_of_a_chain_depend_on_each_other():
    # autoregressive chains with coefficient 0.9, twelve blocks of ten autocorrelation times each
    r, p, plain, n = np.random.default_rng(0), [], [], 12 * 95
    for run in range(RUNS):
        noise = np.concatenate([r.normal(size=(1, 2)), np.sqrt(0.19) * r.normal(size=(n - 1, 2))])
        chains = lfilter([1], [1, -0.9], noise, axis=0)
        broken = chains.T.ravel() > 1
        relabel = _relabel(n, n, run, block=95)
        p.append(permutation_p(constraint_columns(torch.from_numpy(broken)[:, None], relabel)[0]))
        plain.append(_fisher(broken, n))
    assert _rejections(p) <= _most(RUNS)
    assert _rejections(plain) > _most(RUNS)


def test_a_smaller_support_is_found_by_its_pairs():
    r = np.random.default_rng(0)
    real, generated = r.normal(size=(300, 2)), r.normal(size=(40, 2))[r.integers(0, 40, 300)]
    found = check_constraints(real, generated)[-1]
    assert found.name == "no two events are equal"
    assert found.p_value == 1 / 1000
    assert check_constraints(generated, real)[-1].p_value == 1  # real events may be equal
