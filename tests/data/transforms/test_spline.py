import pytest
import torch

from reverie.data.transforms.spline import knot_slopes, ranks, spline_forward, spline_inverse, spline_log_derivative

X = torch.tensor([0.0, 0.1, 2.0, 2.5, 7.0], dtype=torch.float64)
Z = torch.tensor([-3.0, 0.0, 0.5, 4.0, 4.1], dtype=torch.float64)
KNOTS = torch.stack([X, Z, knot_slopes(X, Z, 5.0, 0.01)])


def test_straight_line_is_reproduced():
    x = torch.linspace(0, 5, 6, dtype=torch.float64)
    knots = torch.stack([x, 2 * x - 1, knot_slopes(x, 2 * x - 1, 2.0, 2.0)])
    at = torch.linspace(0, 5, 77, dtype=torch.float64)
    torch.testing.assert_close(spline_forward(at, knots), 2 * at - 1)


def test_passes_through_knots_increases_and_inverts():
    at = torch.linspace(0, 7, 5001, dtype=torch.float64)
    z = spline_forward(at, KNOTS)
    torch.testing.assert_close(spline_forward(X, KNOTS), Z)
    assert (z.diff() > 0).all()
    torch.testing.assert_close(spline_inverse(z, KNOTS), at, rtol=0, atol=1e-11)


def test_slope_is_continuous_at_the_knots():
    inner = X[1:-1]
    left, right = spline_log_derivative(inner - 1e-10, KNOTS), spline_log_derivative(inner + 1e-10, KNOTS)
    torch.testing.assert_close(left, right, rtol=0, atol=1e-6)
    torch.testing.assert_close(right.exp(), KNOTS[2, 1:-1], rtol=1e-6, atol=0)


EDGES = {
    "even": torch.linspace(-3, 3, 400, dtype=torch.float64),
    "normal": torch.special.ndtri(torch.linspace(0.001, 0.999, 500, dtype=torch.float64)),
    "two heaps": torch.cat([torch.linspace(0, 1e-9, 40), torch.linspace(1, 1 + 1e-3, 40)]).double(),
    "pairs": torch.linspace(0, 1, 100, dtype=torch.float64).repeat_interleave(2),
    "tiny": torch.linspace(0, 1e-120, 50, dtype=torch.float64),
    "two": torch.tensor([-1.0, 2.0], dtype=torch.float64),
}


@pytest.mark.parametrize("name", EDGES)
def test_ranks_are_those_of_a_search_bit_for_bit(name):
    edges = EDGES[name]
    g = torch.Generator().manual_seed(0)
    within = edges[0] + (edges[-1] - edges[0]) * torch.rand(5000, generator=g, dtype=torch.float64)
    near = [edges, torch.nextafter(edges, edges + 1), torch.nextafter(edges, edges - 1)]
    v = torch.cat([within, *near, edges.new_tensor([-1e30, 1e30])])
    assert torch.equal(ranks(v, edges), torch.searchsorted(edges, v, right=True))
