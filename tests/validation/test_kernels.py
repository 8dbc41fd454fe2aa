"""Energy distance and MMD against closed forms (validation reference, sections 5.1 and 5.2) and dense sums."""

import numpy as np
import pytest
import torch
from scipy import stats

from reverie.core.errors import InputError
from reverie.validation.permutation.relabelling import relabellings
from reverie.validation.statistics.kernels import (
    draw_frequencies,
    energy_distance,
    energy_kernel,
    fourier_columns,
    gaussian_kernel,
    kernel_columns,
    median_distance,
    mmd,
    n_monomials,
    polynomial_block_columns,
    polynomial_columns,
    polynomial_mmd,
)
from reverie.validation.statistics.sliced import draw_directions, energy_by_slices

ALPHA = 1e-4  # false-alarm rate of each statistical test in this file


def _normal(seed, n, d, mean=0.0, sd=1.0):
    x = np.random.default_rng(seed).normal(size=(n, d)) * sd
    x[:, 0] += mean  # a shift of length `mean`
    return torch.from_numpy(x)


def _relabel(n, m, n_permutations=0, **settings):
    return relabellings(n, m, n_permutations, torch.Generator().manual_seed(0), **settings)


def _forms(K, a, c, unbiased):
    # V or U by its definition, from the whole matrix
    within = []
    for mass in (a, c):
        pairs = mass[:, None] * mass
        if unbiased:
            pairs.fill_diagonal_(0)
            pairs /= 1 - mass.square().sum()
        within.append(float((pairs * K).sum()))
    return sum(within) - 2 * float(a @ K @ c)


def _squared(z):
    return torch.cdist(z, z, compute_mode="donot_use_mm_for_euclid_dist").square()


DENSE = {  # the columns of pooled rows, and the whole matrix K
    "energy": (lambda z, r: kernel_columns(z, r, [energy_kernel], block_size=32)[0], lambda z: -_squared(z).sqrt()),
    "narrow": (lambda z, r: kernel_columns(z, r, [gaussian_kernel(0.7)])[0], lambda z: (_squared(z) / -0.98).exp()),
    "wide": (lambda z, r: kernel_columns(z, r, [gaussian_kernel(9.0)])[0], lambda z: (_squared(z) / -162).exp()),
    "monomials": (polynomial_columns, lambda z: (z @ z.T / 3 + 1) ** 4),
    "blocks": (polynomial_block_columns, lambda z: (z @ z.T / 3 + 1) ** 4),
    "cubic": (lambda z, r: polynomial_columns(z, r, degree=3), lambda z: (z @ z.T / 3 + 1) ** 3),
}


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("name", DENSE)
def test_columns_equal_the_dense_sum(name, weighted):
    columns, matrix = DENSE[name]
    n, m = (40, 40) if weighted else (30, 53)
    z, w = _normal(0, n + m, 3), torch.from_numpy(np.random.default_rng(1).uniform(-0.2, 2, n + m))
    relabel = _relabel(n, m, 4, weights=w if weighted else None)
    result, K = columns(z, relabel), matrix(z)
    w = w if weighted else torch.ones(n + m, dtype=torch.float64)
    w = torch.cat([w[:n] / w[:n].mean(), w[n:] / w[n:].mean()])
    for b, of_x in enumerate(relabel.labels.T.double()):
        a, c = (mass / mass.sum() for mass in (w * of_x, w * (1 - of_x)))
        assert result.values[b] == pytest.approx(_forms(K, a, c, unbiased=False), rel=1e-5, abs=1e-6)
        if b == 0:
            assert result.value == pytest.approx(_forms(K, a, c, unbiased=True), rel=1e-5, abs=1e-6)


def test_plain_forms_are_computed_in_double_precision():
    x, y, w = _normal(0, 40, 3), _normal(1, 31, 3), torch.rand(40, generator=torch.Generator().manual_seed(0)).double()
    z, a = torch.cat([x, y]), torch.cat([w / w.sum(), torch.zeros(31)])
    c = (a == 0).double() / 31
    for unbiased in (True, False):
        for block_size in (1, 7, 64):
            options = {"unbiased": unbiased, "block_size": block_size}
            expected = _forms(-_squared(z).sqrt(), a, c, unbiased)
            assert float(energy_distance(x, y, w, **options)) == pytest.approx(expected, abs=1e-12)
            expected = _forms((_squared(z) / -2).exp(), a, c, unbiased)
            assert float(mmd(x, y, w, bandwidth=1.0, **options)) == pytest.approx(expected, abs=1e-12)
            expected = _forms((z @ z.T / 3 + 1) ** 4, a, c, unbiased)
            assert float(polynomial_mmd(x, y, w, **options)) == pytest.approx(expected, abs=1e-10)


def test_single_precision_columns_have_seven_digits_of_the_noise():
    # the widest kernel is nearly constant, and the observed column has all of x first
    x, y = _normal(1, 500, 6), _normal(2, 400, 6)
    for bandwidth in (0.8, 13.0):
        result = kernel_columns(torch.cat([x, y]), _relabel(500, 400, 20), [gaussian_kernel(bandwidth)])[0]
        assert result.value == pytest.approx(float(mmd(x, y, bandwidth=bandwidth)), abs=1e-4 * result.values.std())


def test_equal_rows_are_at_no_distance():
    z = torch.full((40, 5), 1 / 3, dtype=torch.float64) * 1e6
    z[::2] += 1 / 7
    x, y = z[:20], z[20:]
    assert float(energy_distance(x, y, unbiased=False)) == pytest.approx(0.0, abs=1e-12)
    assert kernel_columns(z, _relabel(20, 20), [energy_kernel])[0].values[0] == pytest.approx(0.0, abs=1e-6)


def test_energy_distance_of_two_sequences_is_the_square_of_scipy():
    x = torch.arange(100.0, dtype=torch.float64)
    value = float(energy_distance(x[:, None], x[:, None] ** 2, unbiased=False))
    assert value == pytest.approx(3146.5236, abs=1e-4)
    assert value == pytest.approx(stats.energy_distance(x.numpy(), x.numpy() ** 2) ** 2, rel=1e-9)


def test_polynomial_mmd_of_constant_arrays():
    # twos against zeros in two dimensions: 15 after division by the maximum, 624 without (JetNet's unit tests)
    x, y = torch.full((50, 2), 2.0), torch.zeros(50, 2)
    assert float(polynomial_mmd(x / 2, y)) == pytest.approx(15)
    assert float(polynomial_mmd(x, y)) == pytest.approx(624)
    assert float(polynomial_mmd(x, x)) == pytest.approx(0)


def _mean_and_limit(values):
    # Student's t over independent repetitions
    limit = stats.t.isf(ALPHA / 2, len(values) - 1) * np.std(values, ddof=1) / np.sqrt(len(values))
    return np.mean(values), limit


CASES = {  # name: (statistic, d, shift, sd of the second, closed form)
    "energy D = 2": (energy_distance, 2, 1.0, 1.0, 0.4298213646),
    "energy D = 10": (energy_distance, 10, 1.0, 1.0, 0.2158628765),
    "energy, same law": (energy_distance, 3, 0.0, 1.0, 0.0),
    "mmd shift .5": (lambda x, y: mmd(x, y, bandwidth=1.0), 1, 0.5, 1.0, 0.047123955848),
    "mmd shift 1": (lambda x, y: mmd(x, y, bandwidth=1.0), 1, 1.0, 1.0, 0.177267634920),
    "mmd sd 1.5": (lambda x, y: mmd(x, y, bandwidth=1.0), 1, 0.0, 1.5, 0.033609201756),
    "mmd D = 10": (lambda x, y: mmd(x, y, bandwidth=10**0.5), 10, 1.0, 1.0, 0.032801683779),
    "mmd D = 20": (lambda x, y: mmd(x, y, bandwidth=40**0.5), 20, 0.5, 1.0, 0.003648813082),
    "mmd, same law": (lambda x, y: mmd(x, y, bandwidth=1.0), 3, 0.0, 1.0, 0.0),
    # degree 4, .1 and .5 in each of ten coordinates: a rotation of a shift of sqrt(10) times that
    "polynomial .1": (polynomial_mmd, 10, 10**0.5 * 0.1, 1.0, 0.0553352100),
    "polynomial .5": (polynomial_mmd, 10, 10**0.5 * 0.5, 1.0, 2.0264062500),
    "polynomial, same law": (polynomial_mmd, 10, 0.0, 1.0, 0.0),
}


@pytest.mark.parametrize("case", CASES)
def test_unbiased_distances_have_their_closed_form_mean(case):
    statistic, d, shift, sd, expected = CASES[case]
    values = [float(statistic(_normal(2 * i, 200, d), _normal(2 * i + 1, 150, d, shift, sd))) for i in range(40)]
    mean, limit = _mean_and_limit(values)
    assert abs(mean - expected) < limit


def test_the_cubic_kernel_has_its_closed_form_mean():
    # the kernel of the KID, D = 64
    for per_coordinate, expected in ((0.1, 0.0307937734), (0.5, 0.9710693359)):
        shift = 8 * per_coordinate
        values = [
            float(polynomial_mmd(_normal(2 * i, 100, 64), _normal(2 * i + 1, 100, 64, shift), degree=3))
            for i in range(40)
        ]
        mean, limit = _mean_and_limit(values)
        assert abs(mean - expected) < limit


def test_the_biased_form_fails_the_test_of_the_mean():
    values = [float(mmd(_normal(2 * i, 200, 3), _normal(2 * i + 1, 150, 3), unbiased=False)) for i in range(40)]
    mean, limit = _mean_and_limit(values)
    assert abs(mean) > limit


def test_random_features_have_the_exact_value_as_their_mean():
    x, y = _normal(0, 40, 4), _normal(1, 30, 4, 1.0)
    generator, relabel = torch.Generator().manual_seed(0), _relabel(40, 30)
    draws = [draw_frequencies(4, 100, generator) for _ in range(40)]
    values = [fourier_columns(torch.cat([x, y]), relabel, [1.5], draw)[0].value for draw in draws]
    mean, limit = _mean_and_limit(values)
    assert abs(mean - float(mmd(x, y, bandwidth=1.5))) < limit
    assert abs(mean - float(mmd(x, y, bandwidth=1.5, unbiased=False))) > limit  # twin


def test_the_polynomial_kernel_has_as_many_monomials_as_the_reference_says():
    assert n_monomials(20) == 10_626
    assert n_monomials(2, 3) == 10


def test_what_is_approximated_gives_one_answer_with_what_is_exact():
    x, y = _normal(0, 300, 3), _normal(1, 300, 3, 0.5)
    z, relabel, widths = torch.cat([x, y]), _relabel(300, 300, 99), (1.0, 2.0, 4.0)
    generator = torch.Generator().manual_seed(0)
    exact = kernel_columns(z, relabel, [energy_kernel, *map(gaussian_kernel, widths)])
    energy = energy_by_slices(z, relabel, draw_directions(3, 200, generator))
    gaussians = fourier_columns(z, relabel, widths, draw_frequencies(3, 1000, generator))
    for one, other in zip(exact, [energy, *gaussians], strict=True):
        assert one.value == pytest.approx(other.value, abs=one.error)
        assert other.error == pytest.approx(one.error, rel=0.2)
        assert (one.values[1:] < one.values[0]).all()
        assert (other.values[1:] < other.values[0]).all()


def test_the_jackknife_columns_are_the_statistic_without_each_group():
    z, relabel = _normal(0, 60, 2), _relabel(30, 30, n_groups=5)
    left = []
    for j in range(10):
        kept = relabel.groups != j
        x, y = z[(torch.arange(60) < 30) & kept], z[(torch.arange(60) >= 30) & kept]
        left.append(float(energy_distance(x, y, unbiased=False)))
    spread = np.sqrt(sum(0.8 * np.square(half - np.mean(half)).sum() for half in (left[:5], left[5:])))
    assert kernel_columns(z, relabel, [energy_kernel])[0].error == pytest.approx(spread, rel=1e-4)


def test_median_distance_survives_copies():
    z = torch.zeros(50, 2)
    assert median_distance(z, torch.Generator().manual_seed(0)) == 1.0
    z[0] = 3.0
    assert median_distance(z, torch.Generator().manual_seed(0)) == pytest.approx(3 * 2**0.5)


def test_a_bandwidth_must_be_positive():
    with pytest.raises(InputError, match="bandwidth"):
        gaussian_kernel(0.0)


def test_negative_weights_leave_the_pairs_within_a_sample():
    """The mean over pairs i != j, with weights whose squares sum to more than one."""
    x, y = torch.tensor([[0.0], [1.0], [3.0]]), torch.tensor([[0.5], [2.0], [2.5]])
    w = torch.tensor([2.0, -1.5, 0.7])
    a = (w / w.sum()).double()
    assert a.square().sum() > 1

    def pairs(u, v):
        return (u - v.T).abs().double()

    within = sum((torch.outer(a, a) * pairs(s, s)).sum() / (1 - a.square().sum()) for s in (x, y))
    expected = 2 * (torch.outer(a, a) * pairs(x, y)).sum() - within
    assert float(energy_distance(x, y, w, w)) == pytest.approx(float(expected), rel=1e-5)


def test_arrays_are_taken_in_any_order_in_memory():
    x = np.random.default_rng(0).normal(size=(20, 2))
    assert float(energy_distance(x[::-1], x[:10, ::-1])) == pytest.approx(
        float(energy_distance(x[::-1].copy(), x[:10, ::-1].copy()))
    )
