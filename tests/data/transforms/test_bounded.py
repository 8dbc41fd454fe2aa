import math

import pytest
import torch

from reverie.core.errors import InputError
from reverie.data.transforms import Asinh, Log, Logit


def column(*values: float) -> torch.Tensor:
    return torch.tensor(values, dtype=torch.float64)[:, None]


def test_logit_is_the_logit_away_from_the_bounds():
    x = torch.linspace(2.1, 3.9, 50, dtype=torch.float64)[:, None]
    y = Logit(lower=2, upper=4).fit(x).forward(x)
    torch.testing.assert_close(y, torch.logit((x - 2) / 2), rtol=0, atol=1e-12)


@pytest.mark.parametrize(("lower", "upper"), [(0.0, 1.0), (0.0, None), (None, 1.0)])
def test_values_on_the_bound_are_finite_exact_and_in_order(lower, upper):
    x = torch.cat(
        [column(0, 1e-300, 1e-13, 1e-9), torch.linspace(0.01, 0.99, 99).double()[:, None], column(1 - 1e-9, 1)]
    )
    t = Logit(lower=lower, upper=upper).fit(x)
    y = t.forward(x)
    assert torch.isfinite(y).all()
    assert (y.diff(dim=0) >= 0).all()
    back = t.inverse(y)
    ends = [0] * (lower is not None) + [-1] * (upper is not None)
    assert torch.equal(back[ends], x[ends])
    far = t.inverse(column(-1e9, 1e9))
    assert lower is None or far[0].item() == lower
    assert upper is None or far[1].item() == upper


def test_logit_is_smooth_where_the_tangent_begins():
    x = torch.linspace(0, 1, 2001, dtype=torch.float64)[:, None]
    t = Logit(lower=0, upper=1).fit(x)
    around = column(t.eps_ * (1 - 1e-9), t.eps_ * (1 + 1e-9))
    y, slope = t.forward(around), t.log_det(around)
    assert abs(y[0] - y[1]).item() < 1e-7
    assert abs(slope[0] - slope[1]).item() < 1e-7


def test_log_and_asinh_known_values():
    x = column(0.5, 1.0, 4.0, 2.0)
    assert torch.equal(Log().fit(x).forward(x), x.log())
    torch.testing.assert_close(Asinh(scale=2).fit(x).forward(x), torch.asinh(x / 2))


def test_reach_limits_the_inverse():
    x = column(math.exp(-1), 1.0, math.exp(2))
    t = Log(reach=0.5).fit(x)
    low, high = t.inverse(column(-1e6, 1e6)).flatten().tolist()
    assert low == pytest.approx(math.exp(-2.5))
    assert high == pytest.approx(math.exp(3.5))


def test_bad_input_is_answered():
    with pytest.raises(InputError, match="1 that are not, down to -1"):
        Log().fit(column(1, -1))
    with pytest.raises(InputError, match="got neither"):
        Logit().fit(column(1))
    with pytest.raises(InputError, match=r"within \[0, inf\], got values from -2"):
        Logit(lower=0).fit(column(-2, 3))


def test_the_determinant_of_a_logarithm_refuses_what_the_logarithm_refuses():
    fitted = Log().fit(column(1, 2))
    with pytest.raises(InputError):
        fitted.log_det(column(1, 0))
