"""Operations of which ONNX graphs are made, against those of torch and SciPy that they stand in for."""

import numpy as np
import pytest
import torch
from scipy import special

from reverie.scale.lowering import ONNX_TABLE, SOLVE_TABLE, erfcx, log_ndtr, ndtri, searchsorted, solve

aten = torch.ops.aten


def _normal(*shape: int, scale: float = 1.0) -> torch.Tensor:
    return scale * torch.randn(*shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


def test_tails_of_the_normal_law():
    y = np.concatenate([np.linspace(0, 30, 3001), np.logspace(1.5, 8, 200)])
    np.testing.assert_allclose(erfcx(torch.tensor(y)).numpy(), special.erfcx(y), rtol=1e-13)
    x = np.linspace(-60, 12, 7201)
    np.testing.assert_allclose(log_ndtr(torch.tensor(x)).numpy(), special.log_ndtr(x), rtol=1e-13, atol=1e-13)


def test_quantiles_of_the_normal_law_to_its_far_ends():
    p = np.concatenate([np.logspace(-300, -1, 3000), np.linspace(1e-3, 1 - 1e-3, 3001), 1 - np.logspace(-15, -1, 300)])
    np.testing.assert_allclose(ndtri(torch.tensor(p)).numpy(), special.ndtri(p), rtol=1e-12, atol=1e-12)


ELEMENTWISE = {
    "atan": (aten.atan.default, torch.atan),
    "asinh": (aten.asinh.default, torch.asinh),
    "sinh": (aten.sinh.default, torch.sinh),
    "cosh": (aten.cosh.default, torch.cosh),
    "tan": (aten.tan.default, torch.tan),
    "expm1": (aten.expm1.default, torch.expm1),
    "leaky_relu": (aten.leaky_relu.default, torch.nn.functional.leaky_relu),
    "elu": (aten.elu.default, torch.nn.functional.elu),
    "softplus": (aten.softplus.default, torch.nn.functional.softplus),
}


@pytest.mark.parametrize("name", ELEMENTWISE)
@pytest.mark.parametrize("scale", [1e-9, 1.0, 30.0, 500.0])
def test_functions_of_one_number(name, scale):
    op, expected = ELEMENTWISE[name]
    x = _normal(2000, scale=scale)
    torch.testing.assert_close(ONNX_TABLE[op](x), expected(x), rtol=1e-12, atol=1e-14)


def test_the_error_function():
    for scale in (1e-3, 1.0, 10.0):
        x = _normal(2000, scale=scale)
        torch.testing.assert_close(ONNX_TABLE[aten.erf.default](x), torch.erf(x), rtol=0, atol=5e-14)


def test_log1p_keeps_small_numbers():
    x = torch.logspace(-18, 3, 500, dtype=torch.float64)
    torch.testing.assert_close(ONNX_TABLE[aten.log1p.default](x), torch.log1p(x), rtol=1e-14, atol=0)


def test_other_types_are_left_to_the_runtime():
    assert ONNX_TABLE[aten.erf.default](torch.ones(1)) is NotImplemented


def test_angles_in_all_quadrants_and_on_the_axes():
    b, a = _normal(2, 2000)
    b, a = (
        torch.cat([x, torch.tensor(ends, dtype=torch.float64)])
        for x, ends in ((b, [0, 0, 1, -1, 0]), (a, [1, -1, 0, 0, 0]))
    )
    torch.testing.assert_close(ONNX_TABLE[aten.atan2.default](b, a), torch.atan2(b, a), rtol=0, atol=1e-15)


@pytest.mark.parametrize("n_edges", [1, 2, 7, 8, 9, 500])
@pytest.mark.parametrize("right", [False, True])
def test_places_among_sorted_numbers_edges_included(n_edges, right):
    edges = _normal(3, n_edges).sort(dim=1).values
    v = torch.cat([_normal(3, 200), edges], dim=1)
    assert torch.equal(searchsorted(edges, v, right=right), torch.searchsorted(edges, v, right=right))
    assert torch.equal(searchsorted(edges[0], v[0], right=right), torch.searchsorted(edges[0], v[0], right=right))
    assert searchsorted(edges, v, out_int32=True).dtype == torch.int32


@pytest.mark.parametrize("k", [1, 2, 4])
def test_small_positive_definite_systems(k):
    A, B = _normal(50, k, k), _normal(50, k, 6)
    A = A @ A.mT + 0.1 * torch.eye(k)
    torch.testing.assert_close(solve(A, B), torch.linalg.solve(A, B), rtol=1e-9, atol=1e-9)
    assert torch.equal(SOLVE_TABLE[aten._linalg_solve_ex.default](A, B)[0], solve(A, B))


def test_a_coefficient_that_is_wrong_would_be_noticed(monkeypatch):
    from reverie.scale import lowering

    right = lowering._coefficients(lowering._scaled_erfcx)
    monkeypatch.setattr(lowering, "_coefficients", lambda _: (*right[:-1], right[-1] + 1e-6))
    y = torch.linspace(5, 30, 100, dtype=torch.float64)
    assert np.abs(erfcx(y).numpy() / special.erfcx(y.numpy()) - 1).max() > 1e-10
