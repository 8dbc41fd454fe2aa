import json

import numpy as np
import pytest
import torch

from reverie.core.errors import InputError, UnknownNameError
from reverie.data.transforms import (
    Columns,
    Dequantise,
    Identity,
    OneHot,
    Output,
    Periodic,
    Quantile,
    Rescale,
    Standardise,
    transform_from_json,
)
from reverie.data.transforms.base import check_within, noise_grid


def rows(*values: float) -> torch.Tensor:
    return torch.tensor(values, dtype=torch.float64)[:, None]


def test_constructor_stores_unchanged_and_repr_shows_what_differs():
    t = Quantile(lower=0, n_knots=12)
    assert (t.lower, t.upper, t.n_knots) == (0, None, 12)
    assert repr(t) == "Quantile(lower=0, n_knots=12)"
    assert not t.is_fitted


def test_numpy_arrays_are_accepted():
    x = np.arange(6.0).reshape(3, 2)
    assert torch.equal(Identity().fit(x).forward(x), torch.from_numpy(x))


def test_unfitted_is_an_error():
    with pytest.raises(InputError, match="Call fit"):
        Standardise().forward(rows(1, 2))
    with pytest.raises(InputError, match="Call fit"):
        Standardise().inverse(rows(1, 2))


def test_wrong_shapes_name_both():
    t = Identity().fit(torch.zeros(4, 3))
    with pytest.raises(InputError, match=r"\(batch, 3\) as in fit, got \(4, 2\)"):
        t.forward(torch.zeros(4, 2))
    with pytest.raises(InputError, match=r"\(batch, 3\), got \(4, 2\)"):
        t.inverse(torch.zeros(4, 2))
    with pytest.raises(InputError, match="Rows are samples"):
        Identity().fit(torch.zeros(4))
    with pytest.raises(InputError, match="at least one row"):
        Identity().fit(torch.zeros(0, 2))


def test_numbers_that_are_not_finite_are_refused():
    t = Identity().fit(torch.zeros(4, 1))
    with pytest.raises(InputError, match="1 NaN or inf"):
        t.forward(rows(float("nan"), 1))
    with pytest.raises(InputError, match="diverged"):
        t.inverse(rows(float("inf"), 1))


def test_noise_of_wrong_shape_is_refused():
    t = Dequantise().fit(rows(1, 2, 3))
    with pytest.raises(InputError, match=r"noise of shape \(3, 1\)"):
        t.forward(rows(1, 2, 3), noise=torch.zeros(2, 1))


def test_two_discrete_columns_get_different_noise():
    x = torch.zeros(50, 2)
    t = Columns([(0, Dequantise()), (1, Dequantise())]).fit(x)
    y = t.forward(x)
    assert (y[:, 0] != y[:, 1]).all()


def test_bounds_forgive_float32_and_nothing_else():
    x = torch.tensor([[0.1]], dtype=torch.float32).double()
    assert x.item() > 0.1
    assert check_within(x, 0.0, 0.1).item() == 0.1
    with pytest.raises(InputError, match=r"within \[0.0, 0.1\], got values from 0.1001"):
        check_within(x + 1e-4, 0.0, 0.1)


def test_noise_never_rounds_up():
    u = torch.tensor([0.0, 0.5, 1 - 2.0**-53], dtype=torch.float64)
    for integer in (1.0, 2.0**31 - 1, -(2.0**31)):
        assert torch.equal(torch.floor(integer + noise_grid(u)), torch.full((3,), integer, dtype=torch.float64))
    assert (1.0 + u[2]).item() == 2.0  # what would go wrong without the grid


def test_json_refuses_what_is_not_a_transform():
    with pytest.raises(UnknownNameError, match="Quantile"):
        transform_from_json({"transform": "Quantil", "config": {}, "state": {}})
    with pytest.raises(InputError, match="to_json"):
        transform_from_json({"config": {}})
    with pytest.raises(InputError, match="another version"):
        transform_from_json({"transform": "Identity", "config": {"x": 1}, "state": {}})
    with pytest.raises(InputError, match="Expected a record of Rescale"):
        Rescale.from_json(Identity().to_json())


def test_unfitted_transforms_survive_json():
    t = Columns([("a", Quantile(lower=0)), ("b", OneHot(levels=(0, 1)))], names=["a", "b"])
    read = Columns.from_json(json.loads(json.dumps(t.to_json())))
    assert repr(read) == repr(t)
    assert not read.is_fitted


def test_tags_of_a_table():
    x = torch.tensor([[0.0, 1.0, 0.5, 2.0], [1.0, 2.0, 0.1, 3.0], [2.0, 1.0, 0.2, 4.0]])
    t = Columns([(0, OneHot()), (1, Periodic()), (2, Rescale(lower=0, upper=1)), (3, OneHot())], names=list("abcd"))
    t.fit(x)
    circle = Output("circle", 1, 2**0.5)
    assert t.outputs[:6] == (*[Output("simplex", 0)] * 3, circle, circle, Output("tanh"))
    assert t.outputs[6:] == (Output("simplex", 2),) * 3
    assert t.output_names == ["a:0", "a:1", "a:2", "b:0", "b:1", "c", "d:0", "d:1", "d:2"]
