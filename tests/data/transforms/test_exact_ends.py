"""Point masses, ends of integer types and bounds that values pile up on."""

import json

import numpy as np
import pytest
import torch

from reverie.core.errors import InputError
from reverie.data.schema import Column, Schema
from reverie.data.transforms import (
    Asinh,
    Chain,
    Dequantise,
    Identity,
    PointMass,
    Quantile,
    Rescale,
    auto_transform,
    transform_from_json,
)


def exponential(*shape: int) -> torch.Tensor:
    return -torch.rand(*shape, generator=torch.Generator().manual_seed(6), dtype=torch.float64).log()


def test_a_gap_keeps_empty_cells_empty():
    x = (exponential(200, 3, 4) - 1).clamp(min=0)
    t = Rescale(lower=0, gap=0.1).fit(x)
    y = t.forward(x)
    assert y.amin() == -1
    assert y.amax() == 1
    assert not ((y > -1) & (y < -0.8)).any()
    torch.testing.assert_close(t.inverse(y), x, rtol=0, atol=1e-12)
    assert torch.equal(t.inverse(y) == 0, x == 0)
    near = torch.linspace(-1, -0.8, 12, dtype=torch.float64).reshape(1, 3, 4)
    assert (t.inverse(near) == 0).all()
    assert (t.inverse(near + 1e-9)[0, -1, -1]) > 0
    inside = x[:1].clamp(min=0.01)  # a cell on the point mass has no derivative
    jacobian = torch.autograd.functional.jacobian(t.forward, inside)
    assert isinstance(jacobian, torch.Tensor)
    expected = torch.linalg.slogdet(jacobian.reshape(12, 12)).logabsdet
    torch.testing.assert_close(t.log_det(inside)[0], expected)
    read = transform_from_json(json.loads(json.dumps(t.to_json())))
    assert torch.equal(read.forward(x), y)


def test_gap_is_a_share():
    with pytest.raises(InputError, match=r"gap in \[0, 1\), got 1"):
        Rescale(gap=1.0).fit(exponential(5, 2))


def test_fields_with_a_point_mass_get_the_gap():
    field = Schema((Column("E", lower=0, atom=0),), (3, 4))
    assert repr(auto_transform(field)) == "Chain([Asinh(), Rescale(lower=0.0, gap=0.1)])"
    assert repr(auto_transform(field.edit("E", atom=None))) == "Chain([Asinh(), Rescale(lower=0.0)])"
    assert repr(auto_transform(field.edit("E", upper=9.0))) == "Rescale(lower=0.0, upper=9.0, gap=0.1)"


def test_energies_of_cells_are_spread_over_the_range_whatever_the_largest():
    """The middle half of filled cells takes a seventh of [-1, 1] or more, with one of 10,000 a hundred times as large.

    A straight line leaves them less than a fiftieth.
    """
    depth, energy = exponential(2, 400, 5, 5)
    x = torch.where(depth < 2.3, 0.0, energy**2)
    x[0, 0, 0] = 200.0
    field = Schema((Column("E", lower=0, atom=0),), (5, 5))
    for t, least, most in ((auto_transform(field), 1 / 7, 1.0), (Rescale(lower=0, gap=0.1), 0.0, 0.02)):
        y = t.fit(x).forward(x)
        low, high = y[x > 0].quantile(torch.tensor([0.25, 0.75], dtype=torch.float64))
        assert least < high - low < most
        torch.testing.assert_close(t.inverse(y), x, rtol=1e-12, atol=1e-12)
        assert torch.equal(t.inverse(y) == 0, x == 0)


def test_counts_of_cells_are_spread_over_the_range_and_stay_whole():
    """Cells with a few of up to a thousand counts have room for each; on a straight line one count is 1/500."""
    x = torch.floor(2 * exponential(4, 400, 5, 5) ** 2)[0]
    x[0, 0, 0] = 1000.0
    t = auto_transform(Schema((Column("n", "integer", lower=0),), (5, 5))).fit(x)
    assert repr(t) == "Chain([Asinh(step=1.0), Rescale()])"
    y = t.forward(x)
    assert (y.min(), y.max()) == (-1, 1)
    assert y[x == 1].max() - y[x == 0].min() > 0.05
    assert torch.equal(t.inverse(y), x)
    generator = torch.Generator().manual_seed(0)
    wild = t.inverse(2 * torch.rand(9, 5, 5, generator=generator, dtype=torch.float64) - 1)
    assert torch.equal(wild, wild.round())
    assert wild.min() >= 0
    with pytest.raises(InputError, match="step"):
        Asinh(step=0).fit(x)


def test_asinh_bends_at_the_median_distance_of_what_is_off_a_centre_that_most_values_have():
    x = torch.tensor([0.0, 0.0, 0.0, 1.0, 2.0, 30.0], dtype=torch.float64)[:, None]
    assert Asinh().fit(x).scale_ == 2
    assert Asinh().fit(x[3:]).scale_ == 2
    assert Asinh().fit(x[:3]).scale_ == 1


def test_the_gap_of_a_point_mass_is_as_wide_as_it_is_asked_to_be():
    """In interquartile ranges of the other values; by their shares, 9 to 1, it is eighteen times as wide."""
    x = torch.cat([torch.zeros(900, 1), torch.arange(1.0, 101.0)[:, None]]).double()
    asked, by_share = (PointMass(0.0, Identity(), lower=0, gap=gap).fit(x) for gap in (1.0, None))
    assert asked.width_ == 50
    assert by_share.width_ == pytest.approx(18 * 50)
    with pytest.raises(InputError, match="gap to be a number > 0, got 0"):
        PointMass(0.0, Identity(), gap=0).fit(x)


@pytest.mark.parametrize(
    ("dtype", "largest"), [("int8", 127), ("uint8", 200), ("int16", 200), ("int64", 200), ("float64", 200)]
)
def test_counts_stay_within_their_type(dtype, largest):
    t = auto_transform(Schema((Column("n", "integer", lower=0, dtype=dtype),), (1,), dtype))
    x = torch.arange(101, dtype=torch.float64)[:, None].repeat(3, 1)
    t.fit(x)
    top = t.inverse(torch.full((1, 1), 1e6)).item()
    assert top == largest
    assert np.array(top).astype(dtype) == top


def test_an_atom_is_that_of_the_data():
    atom = float(np.float32(0.1))
    x = torch.where(exponential(500, 1) < 0.3, atom, exponential(500, 1) - 1)
    t = PointMass(0.1, Quantile()).fit(x)
    assert t.atom_ == atom
    back = t.inverse(t.forward(x))
    assert torch.equal(back == atom, x == atom)
    assert PointMass(0.1, Quantile()).fit(exponential(50, 1)).atom_ == 0.1


def test_a_point_mass_saved_before_it_noted_its_atom_is_read():
    t = PointMass(0.0, Quantile(), lower=0.0).fit((exponential(300, 1) - 1).clamp(min=0))
    record = t.to_json()
    del record["state"]["atom_"]
    y = torch.linspace(-3, 3, 50, dtype=torch.float64)[:, None]
    assert torch.equal(transform_from_json(record).inverse(y), t.inverse(y))


@pytest.mark.parametrize("power", [1, 3, 6, 12, 30])
def test_values_piled_up_at_a_bound(power):
    """Densities x^(1/k - 1): much of the data lies where floating-point numbers near 1 could not tell them apart."""
    x = torch.rand(400, 1, generator=torch.Generator().manual_seed(9), dtype=torch.float64) ** power
    for values, t in ((x, Quantile(lower=0, upper=1)), (1 - x, Quantile(lower=0, upper=1))):
        t.fit(values)
        z = t.forward(values)
        assert torch.isfinite(z).all()
        torch.testing.assert_close(t.inverse(z), values, rtol=0, atol=1e-9)
        ordered = t.inverse(torch.linspace(-9, 9, 999, dtype=torch.float64)[:, None])
        assert (ordered.diff(dim=0) >= 0).all()
        assert ordered[0] == 0
        assert ordered[-1] == 1


def test_ends_apply_where_there_is_no_bound():
    x = torch.arange(50, dtype=torch.float64)[:, None]
    chain = Chain([Dequantise(lower=-5, ends=(-10, 60)), Quantile()]).fit(x)
    low, high = chain.inverse(torch.tensor([[-1e6], [1e6]])).flatten().tolist()
    assert low == -5
    assert high == 60
