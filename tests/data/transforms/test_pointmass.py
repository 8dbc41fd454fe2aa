import math

import pytest
import torch
from scipy import stats

from reverie.core.errors import InputError
from reverie.data.transforms import Identity, PointMass, Quantile

N = 8000


def inflated(fraction: float, *, both_sides: bool) -> torch.Tensor:
    g = torch.Generator().manual_seed(11)
    atoms = torch.rand(N, 1, generator=g, dtype=torch.float64) < fraction
    x = torch.randn(N, 1, generator=g, dtype=torch.float64)
    return torch.where(atoms, 0.0, x if both_sides else x.abs())


@pytest.mark.parametrize("both_sides", [True, False])
@pytest.mark.parametrize("fraction", [0.02, 0.4, 0.9])
def test_quantile_base_gives_one_normal_variable(fraction, both_sides):
    x = inflated(fraction, both_sides=both_sides)
    t = PointMass(0.0, Quantile(), lower=None if both_sides else 0.0).fit(x)
    y = t.forward(x, torch.Generator().manual_seed(2)).numpy().ravel()
    assert stats.kstest(y, "norm").statistic < 2 / math.sqrt(N)  # far beyond 1e-4 for a sample of N(0, 1)
    z = torch.randn(100_000, 1, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    atoms = (t.inverse(z) == 0).double().mean().item()
    seen = (x == 0).double().mean().item()
    # knots at the edges of the gap are 1 % of the probability apart; and four errors of the draws
    assert abs(atoms - seen) < 0.002 + 4 * math.sqrt(seen * (1 - seen) / 100_000)


def test_map_is_increasing_through_the_gap():
    x = inflated(0.3, both_sides=True)
    t = PointMass(0.0, Quantile()).fit(x)
    at = torch.tensor([[-1.0], [-1e-9], [0.0], [0.0], [1e-9], [1.0]])
    noise = torch.tensor([[0.5], [0.5], [0.1], [0.9], [0.5], [0.5]])
    assert (t.forward(at, noise=noise).diff(dim=0) > 0).all()


def test_gap_and_log_det_of_an_atom():
    x = torch.tensor([[-1.0], [0.0], [0.0], [2.0]])
    t = PointMass(0.0, Identity()).fit(x)
    w = t.width_
    assert t.forward(x, noise=torch.full((4, 1), 0.5)).flatten().tolist() == pytest.approx(
        [-1, w / 2, w / 2, 2 + w], 1e-5
    )
    assert t.log_det(x).tolist() == pytest.approx([0, math.log(w), math.log(w), 0])
    assert t.inverse(torch.tensor([[-0.1], [0.0], [0.99 * w], [w + 0.1]])).flatten().tolist() == pytest.approx(
        [-0.1, 0, 0, 0.1]
    )


def test_only_atoms_and_several_columns():
    t = PointMass(0.0, Quantile()).fit(torch.zeros(50, 1))
    assert (t.inverse(torch.randn(20, 1)).abs() < 2).all()
    with pytest.raises(InputError, match="one column"):
        PointMass(0.0, Quantile()).fit(torch.zeros(50, 2))
