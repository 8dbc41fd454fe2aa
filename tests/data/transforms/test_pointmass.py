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


def test_narrow_noise_leaves_room_on_both_sides_and_its_density_is_in_the_log_determinant():
    """Half the gap has 99.99 % of the noise; the mean of |ds/du| over u is the width of the gap."""
    t = PointMass(0.0, Identity(), noise_std=0.0625).fit(inflated(0.4, both_sides=True))
    zeros = torch.zeros(20_000, 1, dtype=torch.float64)
    u = (torch.arange(20_000, dtype=torch.float64)[:, None] + 0.5) / 20_000
    place = t.forward(zeros, noise=u) / t.width_
    assert ((place - 0.5).abs() < 0.25).double().mean().item() == pytest.approx(1, abs=1e-4)
    assert place.std().item() == pytest.approx(0.0625, rel=1e-2)
    t = PointMass(0.0, Identity(), noise_std=0.25).fit(inflated(0.4, both_sides=True))  # cut off at two deviations
    assert t.log_det(zeros, noise=u).exp().mean().item() == pytest.approx(t.width_, rel=1e-3)
    with pytest.raises(InputError, match=r"`noise_std` within \(0, 0.25\], got 0.5"):
        PointMass(0.0, Identity(), noise_std=0.5).fit(zeros)


def test_the_cells_of_images_are_one_column():
    x = inflated(0.4, both_sides=False).reshape(-1, 4, 2)
    images, column = (PointMass(0.0, Quantile(n_knots=50), lower=0.0).fit(v) for v in (x, x.reshape(-1, 1)))
    noise = torch.rand(len(x), 8, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    y = images.forward(x, noise=noise)
    assert torch.equal(y.reshape(-1, 1), column.forward(x.reshape(-1, 1), noise=noise.reshape(-1, 1)))
    assert torch.equal(images.inverse(y) == 0, x == 0)
    whole = column.log_det(x.reshape(-1, 1), noise=noise.reshape(-1, 1)).reshape(-1, 8).sum(1)
    torch.testing.assert_close(images.log_det(x, noise=noise), whole)


def test_of_many_images_some_are_looked_at_with_all_their_cells(monkeypatch):
    """Of 64 images of 2 x 2 cells, the first column empty, every fourth: half of the cells are empty there too."""
    monkeypatch.setattr("reverie.data.transforms.discrete.MOST_CELLS", 64)
    x = torch.rand(64, 2, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    x[:, :, 0] = 0
    assert PointMass(0.0, Quantile(n_knots=4)).fit(x).fraction_ == 0.5


def test_only_atoms_and_several_columns():
    t = PointMass(0.0, Quantile()).fit(torch.zeros(50, 1))
    assert (t.inverse(torch.randn(20, 1)).abs() < 2).all()
    with pytest.raises(InputError, match="one column"):
        PointMass(0.0, Quantile()).fit(torch.zeros(50, 2))
