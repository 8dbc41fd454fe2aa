"""Eigenvectors of given covariances: laws, constructed ranks, and three real matrices."""

import json

import numpy as np
import pytest
from scipy import stats

from reverie.core.errors import InputError
from reverie.explore.components import principal_components
from reverie.explore.covariance import correlation_matrix, principal_components_of_covariance, symmetrised

ALPHA = 1e-4


def _rotation(d, seed=0):
    return np.linalg.qr(np.random.default_rng(seed).normal(size=(d, d)))[0]


def _with_spectrum(spectrum, seed=0):
    Q = _rotation(len(spectrum), seed)
    C = Q * np.asarray(spectrum) @ Q.T
    return (C + C.T) / 2


def test_laws():
    C = _with_spectrum([10.0, 3.0, 1.0, 0.1])
    result = principal_components_of_covariance(C, names=["a", "b", "c", "d"])
    np.testing.assert_allclose(result.eigenvalues, [10, 3, 1, 0.1], rtol=1e-12)
    np.testing.assert_allclose(result.components.T * result.eigenvalues @ result.components, C, atol=1e-12)
    assert (result.components[np.arange(4), np.abs(result.components).argmax(1)] > 0).all()
    assert result.condition_number == pytest.approx(100)
    correlations = np.linalg.eigvalsh(correlation_matrix(C))
    assert result.correlation_condition_number == pytest.approx(correlations[-1] / correlations[0])
    assert result.explained_variance_ratio.sum() == pytest.approx(1)
    assert result.residual < 1e-13
    assert json.loads(json.dumps(result.to_json()))["rank"] == 4
    assert str(result).startswith("Rank 4 of 4; condition number 100 (")


def test_components_are_those_of_the_rows():
    X = np.random.default_rng(0).normal(size=(200, 5)) * np.arange(1, 6)
    rows, matrix = principal_components(X, n_bootstrap=0), principal_components_of_covariance(np.cov(X.T))
    np.testing.assert_allclose(rows.components, matrix.components, atol=1e-9)
    np.testing.assert_allclose(rows.explained_variance_ratio, matrix.explained_variance_ratio, rtol=1e-10)


@pytest.mark.parametrize("digits", [5, 8, 12, 17])
def test_rank_survives_the_rounding_of_a_file(digits):
    C = _with_spectrum([100.0, 10.0, 1.0] + [0.0] * 37, seed=1)
    printed = np.array([[float(f"{v:.{digits}g}") for v in row] for row in C])
    result = principal_components_of_covariance(printed, rank_tolerance=1e-3 if digits == 5 else None)
    assert result.rank == 3
    assert (result.eigenvalues[3:] == 0).all()
    assert result.n_negative > 0
    assert "37 eigenvalues are zero" in str(result)


def test_small_but_real_eigenvalues_are_kept():
    result = principal_components_of_covariance(_with_spectrum([1.0, 1e-6, 1e-12]))
    assert result.rank == 3
    assert result.condition_number == pytest.approx(1e12, rel=1e-3)
    assert principal_components_of_covariance(_with_spectrum([1.0, 1e-6, 1e-12]), rank_tolerance=1e-9).rank == 2


def test_shift_inside_and_outside_the_space():
    Q = _rotation(6)
    result = principal_components_of_covariance(Q[:, :2] * [4.0, 1.0] @ Q[:, :2].T)
    inside = result.project(6 * Q[:, 0])
    assert inside.efficiency == pytest.approx(1)
    np.testing.assert_allclose(np.abs(inside.ratios), [3, 0], atol=1e-9)
    outside = result.project(Q[:, 3])
    assert outside.efficiency == pytest.approx(0, abs=1e-12)
    np.testing.assert_allclose(outside.missed, Q[:, 3], atol=1e-12)
    both = result.project(3 * Q[:, 0] + 4 * Q[:, 4])
    assert both.efficiency == pytest.approx(1 - 4 / 5)
    assert both.angle == pytest.approx(np.arctan2(4, 3))
    assert str(inside) == (
        "The covariance sees 100.0 % of the shift; its largest component is 3 standard deviations, along "
        "eigenvector 1 of 2."
    )


def test_chi2_equals_the_inverse_and_the_pseudo_inverse():
    C, r = _with_spectrum([10.0, 3.0, 1.0, 0.1]), np.arange(4.0)
    assert principal_components_of_covariance(C).chi2(r).value == pytest.approx(r @ np.linalg.inv(C) @ r)
    singular = _with_spectrum([10.0, 3.0, 0.0, 0.0])
    found = principal_components_of_covariance(singular).chi2(r)
    assert found.value == pytest.approx(r @ np.linalg.pinv(singular, rcond=1e-10) @ r)
    assert (found.dof, found.dropped) == (2, 2)
    cut = principal_components_of_covariance(C).chi2(_rotation(4)[:, 3] + _rotation(4)[:, 0], cut=0.05)
    assert (cut.dof, cut.dropped) == (3, 1)
    assert cut.value == pytest.approx(0.1)
    assert cut.outside == pytest.approx(np.sqrt(0.5))
    assert str(cut) == "chi2 = 0.10 for 3 degrees of freedom, 1 eigenvectors left out (cut 0.05, 70.7 % outside)"


# 400 chi2 of residuals whose covariance was estimated from 12 samples of 4 features; z test of the mean, ALPHA.
def _mean_chi2(*, corrected):
    rng, d, n, values = np.random.default_rng(0), 4, 12, []
    for _ in range(400):
        C = np.cov(rng.normal(size=(n, d)).T)
        found = principal_components_of_covariance(C).chi2(rng.normal(size=d), n_samples=n if corrected else None)
        values.append(found.value)
    return stats.ttest_1samp(values, d).pvalue


def test_hartlap_factor_makes_chi2_unbiased():
    assert _mean_chi2(corrected=True) > ALPHA
    assert _mean_chi2(corrected=False) < ALPHA  # twin: without the factor
    result = principal_components_of_covariance(np.eye(4))
    assert result.chi2(np.ones(4), n_samples=12).hartlap == pytest.approx(6 / 11)
    assert result.chi2(np.ones(4)).p_value == pytest.approx(stats.chi2.sf(4, 4))
    with pytest.raises(InputError, match="more than 6 samples"):
        result.chi2(np.ones(4), n_samples=6)


def test_constants_are_left_out_of_the_correlations():
    C = np.zeros((3, 3))
    C[:2, :2] = [[4, 1], [1, 1]]
    result = principal_components_of_covariance(C)
    assert result.rank == 2
    assert result.correlation_condition_number == pytest.approx(3)
    with pytest.raises(InputError, match="positive variances, got 0 for x2"):
        correlation_matrix(C)


LOWER = np.tril(_with_spectrum([3.0, 2.0, 1.0]))
BROKEN = _with_spectrum([3.0, 2.0, 1.0]) + np.outer([1, 0, 0], [0, 0.1, 0])


@pytest.mark.parametrize(
    ("C", "words"),
    [
        (LOWER, r"upper triangle is empty. Use symmetrised\(C, lower=True\)"),
        (LOWER.T, r"lower triangle is empty. Use symmetrised\(C, lower=False\)"),
        (BROKEN, r"in \(0, 1\) and .* in \(1, 0\)"),
        (np.ones((2, 3)), "square"),
        (np.array([[1.0, 2.0], [2.0, 1.0]]), "no negative eigenvalues but for rounding, got -1 with a largest of 3"),
        (-np.eye(2), "no positive eigenvalue"),
        (np.array([[1.0, np.nan], [np.nan, 1.0]]), "1 NaN|2 NaN"),
    ],
)
def test_what_is_no_covariance_is_refused_in_words(C, words):
    with pytest.raises(InputError, match=words):
        principal_components_of_covariance(C)


def test_vectors_and_options_that_do_not_fit_are_refused():
    result = principal_components_of_covariance(np.eye(3))
    with pytest.raises(InputError, match="shift of 3 finite numbers"):
        result.project([1.0, 2.0])
    with pytest.raises(InputError, match="zeros everywhere"):
        result.project(np.zeros(3))
    with pytest.raises(InputError, match=r"cut to be a number in \[0, 1\)"):
        result.chi2(np.ones(3), cut=1.0)
    with pytest.raises(InputError, match="rank_tolerance"):
        principal_components_of_covariance(np.eye(3), rank_tolerance=-1.0)


def test_symmetrised_mirrors_one_half():
    C = _with_spectrum([3.0, 2.0, 1.0])
    np.testing.assert_array_equal(symmetrised(LOWER), C)
    np.testing.assert_array_equal(symmetrised(LOWER.T, lower=False), C)
    np.testing.assert_array_equal(symmetrised(LOWER + np.triu(np.ones((3, 3)), 1)), C)
    diagonal = principal_components_of_covariance(np.diag([2.0, 1.0]))  # both halves empty: that is fine
    np.testing.assert_array_equal(diagonal.components, np.eye(2))


def test_theory_errors_of_a_pdf_fit_have_rank_3(real_data):
    table = np.genfromtxt(real_data / "covariance/theory_covmat_custom.csv", delimiter="\t", skip_header=4)[:, 3:]
    result = principal_components_of_covariance(table)
    assert result.rank == 3
    assert len(result.eigenvalues) == 205
    assert 80 < result.n_negative < 122  # about half of the 202 zeros
    assert -result.smallest < 2e-12 * result.eigenvalues[0]
    np.testing.assert_allclose(result.eigenvalues[:3], [80.7185, 8.58325e-3, 2.25252e-5], rtol=1e-5)
    shift = result.components[:3].sum(0)
    assert result.project(shift).efficiency == pytest.approx(1)
    assert result.chi2(shift).dof == 3


def test_drell_yan_covariance_is_positive_definite(real_data):
    triplets = np.loadtxt(real_data / "covariance/CMS_Z0_7TEV_DIMUON_covmat.corr")
    result = principal_components_of_covariance(triplets[:, 2].reshape(132, 132))
    assert (result.rank, result.n_negative) == (132, 0)
    assert result.condition_number == pytest.approx(7.3267e6, rel=1e-4)


def test_planck_covariance_is_positive_definite(real_data):
    raw = np.fromfile(real_data / "planck2018/c_matrix_plik_v22.dat", "<f8", count=613**2, offset=4).reshape(613, 613)
    with pytest.raises(InputError, match="lower=True"):
        principal_components_of_covariance(raw)
    C = symmetrised(raw)
    result = principal_components_of_covariance(C)
    assert (result.rank, result.n_negative) == (613, 0)
    expected = np.linalg.eigvalsh(C)
    assert result.condition_number == pytest.approx(expected[-1] / expected[0], rel=1e-5)
    # Higher precision: the Rayleigh quotient in extended precision errs by the square of the residual only.
    v = result.components[-1].astype(np.longdouble)
    quotient = float((v @ (C.astype(np.longdouble) @ v)) / (v @ v))
    assert result.eigenvalues[-1] == pytest.approx(quotient, rel=1e-10)
    assert result.residual < 1e-4 * result.eigenvalues[-1]  # bounds the error of every eigenvalue to 1e-4
    assert result.correlation_condition_number == pytest.approx(141.587, rel=1e-5)


def test_the_condition_of_correlations_has_no_unit():
    plain = principal_components_of_covariance(np.array([[1, 0.5], [0.5, 1]]))
    scaled = principal_components_of_covariance(np.array([[1, 0.5e-9], [0.5e-9, 1e-18]]))
    assert plain.correlation_condition_number == pytest.approx(3)
    assert scaled.correlation_condition_number == pytest.approx(3)
