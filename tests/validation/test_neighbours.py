"""Nearest-neighbour statistics: brute-force definitions, exact nulls (validation reference, section 5.4), ties.

Statistical tests have a false-alarm rate of 1e-4.
"""

import numpy as np
import pytest
import torch

from reverie.core.errors import InputError
from reverie.core.statistics import expected_coverage
from reverie.validation.permutation.relabelling import relabellings
from reverie.validation.statistics.neighbours import label_share, nearest, neighbour_graph
from reverie.validation.statistics.precision_recall import (
    ball_statistics,
    list_length,
    precision_recall_density_coverage,
)

Z = 3.89  # two-sided 1e-4


def _gen(seed=0):
    return torch.Generator().manual_seed(seed)


def _normal(*shape, seed=0):
    return torch.randn(*shape, generator=_gen(seed), dtype=torch.float64)


def one_nn_null(n, m=None):
    # E[T_k] for any k: the share of pairs of rows of one sample
    m = n if m is None else m
    return (n * (n - 1) + m * (m - 1)) / ((n + m) * (n + m - 1))


def _share(x, y, k):
    relabel = relabellings(len(x), len(y), 0, _gen())
    return label_share(neighbour_graph(torch.cat([x, y]), k, _gen()), relabel, k).value


def _plain(x, y, k):
    # the definitions, written out: balls end at the k-th other row of the own sample, boundary included
    def radii(a):
        d = torch.cdist(a, a, compute_mode="donot_use_mm_for_euclid_dist")
        return d.sort(1).values[:, k]

    d = torch.cdist(x, y, compute_mode="donot_use_mm_for_euclid_dist")
    in_x, in_y = d <= radii(x)[:, None] * (1 + 1e-9), d <= radii(y) * (1 + 1e-9)
    return {
        "precision": in_x.any(0).double().mean().item(),
        "recall": in_y.any(1).double().mean().item(),
        "density": in_x.sum().item() / (k * len(y)),
        "coverage": in_x.any(1).double().mean().item(),
    }


# --- laws


@pytest.mark.parametrize("d", [1, 3, 9, 40])
def test_the_graph_is_the_sorted_matrix_of_distances(d):
    z = 1e3 + _normal(300, d)
    graph = neighbour_graph(z, 7, _gen())
    full = torch.cdist(z, z, compute_mode="donot_use_mm_for_euclid_dist").fill_diagonal_(torch.inf)
    expected = full.sort(1)
    assert np.array_equal(graph.rows, expected.indices[:, :7].numpy())
    assert graph.squared == pytest.approx(expected.values[:, :7].square().numpy(), rel=1e-9)


@pytest.mark.parametrize("d", [3, 9])
def test_nearest_finds_the_rows_of_the_other_sample(d):
    points, queries = _normal(200, d), _normal(50, d, seed=1)
    distances, rows = nearest(points, queries, 1, _gen())
    expected = torch.cdist(queries, points).min(1)
    assert rows[:, 0].tolist() == expected.indices.tolist()
    assert distances[:, 0] == pytest.approx(expected.values.numpy())


@pytest.mark.parametrize("levels", [2, 5])
def test_no_row_is_its_own_neighbour_and_none_is_listed_twice_in_lattice_data(levels):
    z = torch.randint(0, levels, (500, 3), generator=_gen()).double() / 0.7
    graph = neighbour_graph(z, 12, _gen())
    assert not (graph.rows == np.arange(500)[:, None]).any()
    assert all(len(set(row)) == 12 for row in graph.rows)
    full = torch.cdist(z, z, compute_mode="donot_use_mm_for_euclid_dist").fill_diagonal_(torch.inf).sort(1).values
    assert graph.squared == pytest.approx(full[:, :12].square().numpy(), abs=1e-12)


def test_equal_rows_share_the_load_of_being_neighbours():
    graph = neighbour_graph(torch.zeros(1000, 2, dtype=torch.float64), 1, _gen())
    assert np.bincount(graph.rows[:, 0]).max() == 1


def test_ties_do_not_know_the_label():
    # all rows equal: an order by index would give every row of x neighbours from x. sd of T_1 about sqrt(2 / 4N)
    z = torch.zeros(4000, 2, dtype=torch.float64)
    share = label_share(neighbour_graph(z, 1, _gen()), relabellings(2000, 2000, 0, _gen()), 1).value
    assert abs(share - one_nn_null(2000)) < Z * np.sqrt(2 / 16_000)
    by_index = np.concatenate([np.arange(1, 4000), [0]])  # the twin: each row's neighbour is the next one
    assert (by_index < 2000)[:2000].mean() > 0.99


@pytest.mark.parametrize("weighted", [False, True])
def test_every_labelling_has_the_share_of_its_definition(weighted):
    n = m = 60
    w = torch.rand(n + m, generator=_gen(2), dtype=torch.float64) * 2 - 0.3 if weighted else None
    relabel = relabellings(n, m, 5, _gen(), weights=w, n_groups=5)
    graph = neighbour_graph(_normal(n + m, 3), 4, _gen())
    computed = label_share(graph, relabel, 4)
    weights = np.ones(n + m) if relabel.weights is None else relabel.weights.numpy()
    for b in range(6):
        label = relabel.labels[:, b].numpy()
        pairs = weights[:, None] * weights[graph.rows]
        same = label[:, None] == label[graph.rows]
        assert computed.values[b] == pytest.approx((pairs * same).sum() / pairs.sum(), rel=1e-5)


@pytest.mark.parametrize("data", ["normal", "lattice"])
@pytest.mark.parametrize(("n", "m", "k"), [(40, 40, 3), (30, 70, 5)])
def test_balls_of_every_labelling_are_those_of_the_definition(data, n, m, k):
    z = _normal(n + m, 2) if data == "normal" else torch.randint(0, 4, (n + m, 2), generator=_gen()).double()
    relabel = relabellings(n, m, 70, _gen())
    found = ball_statistics(neighbour_graph(z, n + m - 1, _gen()), relabel, k)
    tables = [_plain(z[label], z[~label], k) for label in relabel.labels.T]
    for statistic in found:
        plain = np.array([table[statistic.name] for table in tables])
        assert statistic.computed.values == pytest.approx(statistic.expected - plain, abs=1e-12)
        assert statistic.value == pytest.approx(plain[0], abs=1e-12)
    prdc = precision_recall_density_coverage(z[:n], z[n:], k, block_size=7)
    assert {s.name: s.value for s in found} == pytest.approx({s.name: getattr(prdc, s.name) for s in found})
    assert (prdc.tie_fraction > 0) == (data == "lattice")


# --- known answers


@pytest.mark.parametrize(
    ("n", "m", "k", "expected"),
    [
        (1000, 1000, 5, 0.96898414),
        (10_000, 10_000, 5, 0.96877344),
        (10_000, 10_000, 3, 0.87503750),
        (10_000, 5000, 5, 0.86837860),
        (50_000, 10_000, 5, 0.59814252),
    ],
)
def test_coverage_has_its_exact_mean_under_the_null(n, m, k, expected):
    assert expected_coverage(n, m, k) == pytest.approx(expected, abs=1e-8)


@pytest.mark.parametrize(("n", "m"), [(100, 100), (60, 140)])
@pytest.mark.parametrize("d", [2, 12])
def test_means_over_permutations_are_the_exact_ones(n, m, d):
    # exchangeable labels have the means of the null hypothesis in any data without ties
    z, relabel = _normal(n + m, d).exp(), relabellings(n, m, 400, _gen(1))
    graph = neighbour_graph(z, n + m - 1, _gen())
    for k in (1, 5):
        values = label_share(graph, relabel, k).values[1:]
        assert abs(values.mean() - one_nn_null(n, m)) < Z * values.std() / np.sqrt(400)
    coverage = ball_statistics(graph, relabel, 5)[3]
    values = coverage.expected - coverage.computed.values[1:]
    assert abs(values.mean() - expected_coverage(n, m, 5)) < Z * values.std() / np.sqrt(400)


@pytest.mark.slow  # mean of 60 samples; one: test_balls_of_every_labelling_are_those_of_the_definition
def test_density_has_mean_one_under_the_null_and_not_for_a_shift():
    def densities(shift):
        pairs = [_normal(2, 200, 3, seed=s) for s in range(60)]
        return np.array([precision_recall_density_coverage(p[0], p[1] + shift).density for p in pairs])

    null, shifted = densities(0.0), densities(0.5)
    assert abs(null.mean() - 1) < Z * null.std() / np.sqrt(60)
    assert abs(shifted.mean() - 1) > Z * shifted.std() / np.sqrt(60)


def test_a_collapsed_generator_has_precision_but_no_recall():
    real, generated = 3 * _normal(200, 16), 0.1 * _normal(200, 16, seed=1)
    prdc = precision_recall_density_coverage(real, generated, 3)
    assert prdc.precision > 0.8
    assert prdc.recall < 0.3
    swapped = precision_recall_density_coverage(generated, real, 3)
    assert swapped.precision < 0.3
    assert swapped.recall > 0.8


def test_equal_values_everywhere_do_not_give_density_zero():
    prdc = precision_recall_density_coverage(torch.ones(20, 3), torch.ones(30, 3))
    assert (prdc.precision, prdc.recall, prdc.coverage, prdc.tie_fraction) == (1, 1, 1, 1)
    assert prdc.density == 20 / 5


@pytest.mark.slow  # spread over 100 samples
@pytest.mark.parametrize("k", [1, 5])
def test_the_error_of_the_share_is_right_under_the_null_and_safe_for_a_shift(k):
    # sd of an sd over 100 runs is 7 %: 28 % off has a chance of 1e-4
    def run(shift, seed):
        z = _normal(300, 3, seed=seed)
        z[150:] += shift
        computed = label_share(neighbour_graph(z, k, _gen()), relabellings(150, 150, 0, _gen()), k)
        return computed.value, computed.error

    null, shifted = (np.array([run(shift, s) for s in range(100)]) for shift in (0.0, 0.7))
    assert np.sqrt((null[:, 1] ** 2).mean()) == pytest.approx(null[:, 0].std(), rel=0.28)
    assert 0.75 < np.sqrt((shifted[:, 1] ** 2).mean()) / shifted[:, 0].std() < 1.7


# --- behaviour


def test_shares_rise_when_samples_differ_and_fall_when_one_copies_the_other():
    x, y = _normal(300, 4), _normal(300, 4, seed=1)
    assert _share(x, y + 1, 5) > 0.7
    assert _share(x, x + 1e-3 * y, 1) < 0.05
    assert abs(_share(x, y, 5) - 0.5) < 0.1


def test_weights_that_undo_a_difference_are_honoured():
    # x ~ N(0, 1), y ~ N(0.5, 1) weighted to N(0, 1): the weighted share is that of the null, the plain one is not
    n = 3000
    x, y = _normal(n, 1), _normal(n, 1, seed=1) + 0.5
    weights = torch.cat([torch.ones(n, 1), torch.exp(0.125 - 0.5 * y)])[:, 0]
    graph = neighbour_graph(torch.cat([x, y]), 5, _gen())
    honoured = label_share(graph, relabellings(n, n, 200, _gen(), weights=weights), 5)
    ignored = label_share(graph, relabellings(n, n, 200, _gen()), 5)
    assert abs(honoured.values[0] - honoured.values[1:].mean()) < Z * honoured.values[1:].std()
    assert ignored.values[0] - ignored.values[1:].mean() > 6 * ignored.values[1:].std()


def test_short_lists_cut_few_balls_under_the_null():
    n, m = 750, 250
    z, relabel = _normal(n + m, 5), relabellings(n, m, 3, _gen())
    short = ball_statistics(neighbour_graph(z, list_length(n, m), _gen()), relabel)
    long = ball_statistics(neighbour_graph(z, 200, _gen()), relabel)
    assert short[3].value == long[3].value
    assert short[0].value == pytest.approx(long[0].value, abs=4 / m)  # 1,000 balls, each cut with 1e-4
    assert short[2].value == pytest.approx(long[2].value, abs=1e-2)


def test_unusable_input_is_refused():
    relabel = relabellings(20, 20, 1, _gen(), weights=torch.ones(40))
    graph = neighbour_graph(_normal(40, 2), 10, _gen())
    with pytest.raises(InputError, match="weights"):
        ball_statistics(graph, relabel)
    with pytest.raises(InputError, match="at least 20 neighbours"):
        label_share(graph, relabel, 20)
    with pytest.raises(InputError, match="more than k"):
        precision_recall_density_coverage(torch.ones(5, 2), torch.ones(9, 2))
    with pytest.raises(InputError, match="finite"):
        neighbour_graph(torch.tensor([[0.0], [torch.nan]]), 1, _gen())
