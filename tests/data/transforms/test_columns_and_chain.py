import math

import pytest
import torch

from reverie.core.errors import InputError, UnknownNameError
from reverie.data.transforms import Chain, Columns, Identity, Log, OneHot, Rescale, Standardise


def test_chain_is_one_after_the_other():
    x = torch.tensor([[1.0], [math.e], [math.e**2]], dtype=torch.float64)
    t = Chain([Log(), Rescale(lower=0, upper=2)]).fit(x)
    assert t.forward(x).flatten().tolist() == pytest.approx([-1, 0, 1])
    assert t.log_det(x).tolist() == pytest.approx([0, -1, -2])
    assert t.outputs[0].kind == "tanh"


def test_fit_leaves_the_configuration_alone():
    inner = Standardise()
    chain, columns = Chain([inner]), Columns([(0, inner)])
    chain.fit(torch.randn(5, 1))
    columns.fit(torch.randn(5, 1))
    assert not inner.is_fitted


def test_empty_chain_is_refused():
    with pytest.raises(InputError, match="Identity"):
        Chain([]).fit(torch.zeros(2, 1))


def test_columns_by_name_and_index_return_to_their_places():
    x = torch.tensor([[1.0, 0.0, 10.0], [2.0, 1.0, 20.0], [3.0, 1.0, 30.0]], dtype=torch.float64)
    t = Columns([(["c", 0], Standardise()), ("b", OneHot())], names=["a", "b", "c"]).fit(x)
    y = t.forward(x)
    assert y[:, 0].tolist() == pytest.approx([-math.sqrt(1.5), 0, math.sqrt(1.5)])
    assert y[:, 2:].tolist() == [[1, 0], [0, 1], [0, 1]]
    torch.testing.assert_close(t.inverse(y), x)
    expected = -math.log(math.sqrt(2 / 3)) - math.log(10 * math.sqrt(2 / 3))
    assert t.log_det(x).tolist() == pytest.approx([expected] * 3)
    assert repr(t) == "Columns(c+0: Standardise(), b: OneHot())"


def test_parts_must_cover_each_column_once():
    x = torch.zeros(3, 2)
    with pytest.raises(InputError, match="exactly one part"):
        Columns([(0, Identity())]).fit(x)
    with pytest.raises(InputError, match="exactly one part"):
        Columns([(0, Identity()), ([0, 1], Identity())]).fit(x)
    with pytest.raises(InputError, match="from 0 to 1, got 2"):
        Columns([(2, Identity())]).fit(x)
    with pytest.raises(UnknownNameError, match="Did you mean 'mass'"):
        Columns([("mas", Identity())], names=["mass", "q"]).fit(x)


def test_errors_name_the_column():
    with pytest.raises(InputError, match="Column 'm'.*values > 0"):
        Columns([("m", Log())], names=["m"]).fit(torch.zeros(3, 1))
