"""Errors of precision, recall, density, coverage and tails: definitions, and repeated experiments.

Statistical tests have a false-alarm rate of 1e-4, shared by what one test compares.
"""

import numpy as np
import pytest
import torch
from scipy import stats

from reverie.validation.permutation.relabelling import jackknife_error, relabellings
from reverie.validation.statistics.marginal import TAIL, tail_columns
from reverie.validation.statistics.neighbours import neighbour_graph
from reverie.validation.statistics.precision_recall import (
    N_SPLITS,
    ball_errors,
    ball_statistics,
    column_sums,
    find_balls,
    halves,
    list_length,
    packed,
    precision_recall_density_coverage,
)

ALPHA = 1e-4
NAMES = ("precision", "recall", "density", "coverage")


def _gen(seed=0):
    return torch.Generator().manual_seed(seed)


def _relabel(n, m, **settings):
    return relabellings(n, m, 0, _gen(), **settings)


def _pair(n, m, seed, d=3):
    rng = np.random.default_rng([seed, n])
    x, y = rng.normal(size=(n, d)), 1.2 * rng.normal(size=(m, d)) + 0.3
    return torch.from_numpy(np.concatenate([x, y]))


def _in_balls(own, points, k):
    # (rows of own, points): the definition, written out
    ends = torch.cdist(own, own, compute_mode="donot_use_mm_for_euclid_dist").sort(1).values[:, k, None]
    return torch.cdist(own, points, compute_mode="donot_use_mm_for_euclid_dist") <= ends * (1 + 1e-9)


def _ball_runs(runs, n=120):
    relabel, found = _relabel(n, n), []
    for seed in range(runs):
        graph = neighbour_graph(_pair(n, n, seed), list_length(n, n), _gen())
        found.append([(s.value, s.computed.error) for s in ball_statistics(graph, relabel)])
    return np.moveaxis(np.array(found), 2, 0)  # values and errors, (runs, 4)


def _tail_runs(runs, n=400, *, with_edges=True):
    found, relabel = [], _relabel(n, n)
    others = torch.randn(n, 2, generator=_gen(1), dtype=torch.float64)
    for seed in range(runs):
        z = _pair(n, n, seed, d=2)
        edges = torch.stack([torch.quantile(torch.cat([z, others]), level, dim=0) for level in (TAIL, 1 - TAIL)])
        tails = tail_columns(z, relabel, edges, others if with_edges else None)
        found.append([(tail.value, tail.error) for tail in tails])
    return np.moveaxis(np.array(found), 2, 0)


def _agree(values, errors):
    # mean squared error against the variance of repeated experiments, for each column
    runs, columns = values.shape
    ratio = (runs - 1) * values.var(0, ddof=1) / np.square(errors).mean(0)
    low, high = stats.chi2(runs - 1).interval(1 - ALPHA / columns)
    return (low < ratio) & (ratio < high)


# --- laws


@pytest.mark.parametrize(("n", "m", "block"), [(60, 40, 1), (63, 81, 9)])
def test_halves_are_disjoint_equal_and_made_of_blocks(n, m, block):
    relabel = _relabel(n, m, block=block)
    parts = halves(relabel)
    assert parts.shape == (n + m, 2 * N_SPLITS)
    assert not (parts[:, ::2] & parts[:, 1::2]).any()
    for side in (parts[:n], parts[n:]):
        assert (side.sum(0) == len(side) // block // 2 * block).all()
        assert all((side[start : start + block] == side[start]).all() for start in range(0, len(side), block))
    assert np.array_equal(parts, halves(relabel))


def test_balls_of_halves_are_those_of_the_definition():
    n, m, k = 60, 44, 3
    z, relabel = _pair(n, m, 0, d=2), _relabel(n, m)
    parts = torch.from_numpy(halves(relabel))
    x, y = z[:n], z[n:]
    both, given = {"density": [], "coverage": []}, {"precision": [], "recall": []}
    for part in parts.T:
        here = _in_balls(x[part[:n]], y[part[n:]], k).double()
        both["density"].append(here.sum() / (k * here.shape[1]))
        both["coverage"].append(here.amax(1).mean())
        given["precision"].append(_in_balls(x[part[:n]], y, k).any(0).double())
        given["recall"].append(_in_balls(y[part[n:]], x, k).any(0).double())
    inside = torch.cat([_in_balls(y, x, k).any(0), _in_balls(x, y, k).any(0)])
    errors = ball_errors(neighbour_graph(z, n + m - 1, _gen()), relabel, k, inside.numpy())
    for name, values in both.items():
        differences = torch.stack(values[::2]) - torch.stack(values[1::2])
        assert errors[name] == pytest.approx(float(differences.square().mean() / 4) ** 0.5)
    for name, own in (("precision", inside[n:]), ("recall", inside[:n])):
        d = torch.stack(given[name][::2]) - torch.stack(given[name][1::2])
        of_balls = (d.mean(1).square() - d.var(1) / d.shape[1]).mean() / 4
        p = (own.sum() + 0.5) / (len(own) + 1)
        of_rows = torch.maximum(own.double().var(), p * (1 - p)) / len(own)
        assert errors[name] == pytest.approx(float(of_rows + of_balls.clamp_min(0)) ** 0.5)


@pytest.mark.slow  # the halves: test_balls_of_halves_are_those_of_the_definition
def test_the_errors_of_the_balls_are_the_spread_of_repeated_experiments():
    assert _agree(*_ball_runs(80)).all()


@pytest.mark.slow  # twin of the test above
def test_a_jackknife_of_groups_fails():
    n, k = 120, 5
    relabel, found = _relabel(n, n), []
    of_x, kept = relabel.labels[:, :1].numpy(), relabel.groups[:, None].numpy() != np.arange(relabel.n_groups)
    label = packed(np.repeat(of_x, kept.shape[1], axis=1))
    for seed in range(120):
        z = _pair(n, n, seed)
        graph = neighbour_graph(z, list_length(n, n), _gen())
        balls = find_balls(graph, label, packed(kept), k)
        left_out = column_sums(balls.covered & label)[: kept.shape[1]] / (kept & of_x).sum(0)
        found.append((precision_recall_density_coverage(z[:n], z[n:], k).coverage, jackknife_error(left_out)))
    values, errors = np.array(found).T[:, :, None]
    assert not _agree(values, errors).any()


def test_the_error_of_the_tails_is_the_spread_of_repeated_experiments():
    assert _agree(*_tail_runs(100)).all()


@pytest.mark.slow  # twin of the test above
def test_edges_held_fixed_fail():
    assert not _agree(*_tail_runs(300, with_edges=False)).all()


# --- behaviour


def test_a_share_of_one_is_not_certain():
    z = torch.zeros(60, 2, dtype=torch.float64)
    precision, recall, *_ = ball_statistics(neighbour_graph(z, 59, _gen()), _relabel(30, 30))
    assert (precision.value, recall.value) == (1, 1)
    p = 30.5 / 31
    assert [s.computed.error for s in (precision, recall)] == pytest.approx([(p * (1 - p) / 30) ** 0.5] * 2)


def test_too_few_rows_or_blocks_have_no_error():
    for n, block in ((10, 1), (40, 40)):
        graph = neighbour_graph(_pair(n, n, 0), 2 * n - 1, _gen())
        found = ball_statistics(graph, _relabel(n, n, block=block, n_groups=2))
        assert all(np.isnan(s.computed.error) for s in found)
        assert tuple(s.name for s in found) == NAMES
