import math

import pytest
import torch

from reverie.core.errors import InputError
from reverie.data.transforms import Periodic


def uniform_angles(n: int) -> torch.Tensor:
    return (torch.arange(n, dtype=torch.float64)[:, None] + 0.5) / n * 360


def test_known_points():
    x = torch.tensor([[0.0], [90.0], [180.0], [270.0]])
    y = Periodic(period=360).fit(x).forward(x) / math.sqrt(2)
    expected = torch.tensor([[1.0, 0.0], [0.0, 1.0], [-1.0, 0.0], [0.0, -1.0]], dtype=torch.float64)
    torch.testing.assert_close(y, expected, rtol=0, atol=1e-15)


def test_uniform_angles_have_unit_variance():
    x = uniform_angles(1000)
    y = Periodic(period=360).fit(x).forward(x)
    torch.testing.assert_close(y.var(0, correction=0), torch.ones(2, dtype=torch.float64))


def test_unit_variance_for_any_angles():
    x = 20 * torch.randn(500, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    t = Periodic(period=360, scaling="unit_variance").fit(x)
    torch.testing.assert_close(t.forward(x).var(0, correction=0), torch.ones(4, dtype=torch.float64))
    assert {tag.kind for tag in t.outputs} == {"linear"}


def test_both_ends_of_the_range_meet():
    x = torch.tensor([[-180.0], [180.0 - 1e-9], [180.0], [540.0 + 1.0]])
    t = Periodic(period=360, origin=-180).fit(x[:2])
    y = t.forward(x)
    torch.testing.assert_close(y[0], y[1], rtol=0, atol=1e-10)
    back = t.inverse(y).flatten()
    assert back[0].item() == -180
    assert abs(back[2].item()) == pytest.approx(180)
    assert ((back >= -180) & (back < 180)).all()
    assert back[3].item() == pytest.approx(-179)


def test_origin_of_the_whole_plane_has_an_angle():
    t = Periodic(origin=-math.pi).fit(torch.zeros(1, 1))
    assert t.inverse(torch.zeros(1, 2)).item() == -math.pi


@pytest.mark.parametrize(("low", "origin"), [(0.0, 0.0), (-180.0, -180.0), (-10.0, -10.0)])
def test_origin_is_found(low, origin):
    assert Periodic(period=360).fit(low + uniform_angles(100)).origin_ == pytest.approx(origin, abs=2)


def test_degrees_taken_for_radians_are_noticed():
    with pytest.raises(InputError, match="360 for degrees"):
        Periodic().fit(uniform_angles(100))
