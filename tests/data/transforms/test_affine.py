import math

import pytest
import torch
from sklearn.preprocessing import StandardScaler

from reverie.core.errors import InputError
from reverie.data.transforms import Rescale, Standardise


def test_standardise_agrees_with_scikit_learn():
    x = 3 + 2 * torch.randn(200, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    expected = torch.from_numpy(StandardScaler().fit_transform(x.numpy()))
    torch.testing.assert_close(Standardise().fit(x).forward(x), expected, rtol=0, atol=1e-12)


def test_median_does_not_feel_an_outlier():
    x = torch.randn(2001, 1, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    x[0] = 1e6
    robust, plain = Standardise(method="median").fit(x), Standardise().fit(x)
    assert abs(robust.scale_.item() - 1) < 0.1  # 3 standard errors of the quartiles at n = 2001
    assert plain.scale_.item() > 1e3


def test_rescale_known_values():
    x = torch.tensor([[0.0], [127.5], [255.0]])
    t = Rescale(lower=0, upper=255).fit(x)
    assert t.forward(x).flatten().tolist() == [-1, 0, 1]
    assert torch.allclose(t.log_det(x), torch.full((3,), math.log(2 / 255), dtype=torch.float64))


def test_rescale_rounds_to_its_grid():
    y = torch.linspace(-3, 3, 1001)[:, None]
    spin = Rescale(lower=-1, upper=1, step=2).fit(torch.tensor([[-1.0], [1.0]]))
    assert spin.inverse(y).unique().tolist() == [-1, 1]
    third = Rescale(lower=0, upper=1, step=1 / 3).fit(torch.tensor([[0.0], [1.0]]))
    assert third.inverse(y).unique().tolist() == pytest.approx([0, 1 / 3, 2 / 3, 1])


def test_rescale_learns_missing_bounds_and_refuses_wrong_ones():
    x = torch.tensor([[1.0], [5.0]])
    assert Rescale().fit(x).forward(x).flatten().tolist() == [-1, 1]
    with pytest.raises(InputError, match=r"within \[0.0, 4.0\]"):
        Rescale(lower=0, upper=4).fit(x)
    with pytest.raises(InputError, match="lower < upper"):
        Rescale(lower=4, upper=4).fit(x)
