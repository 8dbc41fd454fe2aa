import json
import math

import numpy as np
import pytest
import torch

from reverie.core.errors import InputError, UnknownNameError
from reverie.data.inference import infer_schema
from reverie.data.schema import Column, Schema
from reverie.data.transforms import (
    Columns,
    Identity,
    Log,
    OneHot,
    Rescale,
    Standardise,
    auto_transform,
    transform_from_json,
)

COLUMNS = (
    Column("e"),
    Column("pt", lower=20.0),
    Column("cos", "bounded", lower=-1.0, upper=1.0),
    Column("phi", "periodic", lower=-math.pi, period=2 * math.pi),
    Column("angle", "periodic", lower=0, period=360, integral=True),
    Column("n", "integer", lower=0),
    Column("type", "categorical", levels=(0, 1, 4)),
    Column("q", "spin"),
    Column("grey", "pixel", lower=0, upper=255, integral=True),
    Column("light", "pixel", lower=0, upper=255, integral=True),
    Column("cell", lower=0.0, atom=0.0),
)
SCHEMA = Schema(COLUMNS, (len(COLUMNS),))
WORDS = ("quantile", "standardise", "asinh")


def events(n: int = 400) -> torch.Tensor:
    g = np.random.default_rng(3)
    return torch.from_numpy(
        np.stack(
            [
                g.normal(size=n),
                20 + g.exponential(size=n),
                g.uniform(-1, 1, n),
                g.uniform(-math.pi, math.pi, n),
                g.integers(0, 361, n),
                g.poisson(3, n),
                g.choice([0, 1, 4], n),
                g.choice([-1, 1], n),
                g.integers(0, 256, n),
                g.integers(0, 256, n),
                np.where(g.uniform(size=n) < 0.3, 0, g.exponential(size=n)),
            ],
            axis=1,
        )
    )


@pytest.mark.parametrize("word", WORDS)
def test_whole_table_comes_back(word):
    x = events()
    t = auto_transform(SCHEMA, continuous=word)
    assert not t.is_fitted
    back = t.fit(x).inverse(t.forward(x))
    x[:, 4] %= 360  # 360 degrees is 0 degrees
    exact = [4, 5, 6, 7, 8, 9]
    assert torch.equal(back[:, exact], x[:, exact])
    torch.testing.assert_close(back, x, rtol=0, atol=1e-9)
    assert torch.equal(back[:, 10] == 0, x[:, 10] == 0)


@pytest.mark.parametrize("word", WORDS)
def test_anything_a_network_emits_keeps_the_promises(word):
    t = auto_transform(SCHEMA, continuous=word).fit(events())
    scale = torch.logspace(-2, 6, 2000)[:, None]
    x = t.inverse(torch.randn(2000, t.n_outputs, generator=torch.Generator().manual_seed(0)) * scale)
    assert torch.isfinite(x).all()
    for j, column in enumerate(COLUMNS):
        v = x[:, j]
        assert column.lower is None or v.min().item() >= column.lower
        assert column.upper is None or v.max().item() <= column.upper
        assert not column.integral or torch.equal(v, v.round())
        assert column.levels is None or set(v.tolist()) <= set(column.levels)
        assert column.kind != "periodic" or v.max().item() < column.lower + column.period


def test_unbounded_transform_would_break_the_promises():
    t = auto_transform(SCHEMA, overrides={"pt": Standardise()}).fit(events())
    assert t.inverse(torch.full((1, t.n_outputs), -100.0))[0, 1].item() < 20


def test_tags_and_kinds():
    t = auto_transform(SCHEMA).fit(events())
    assert isinstance(t, Columns)
    by_name = dict(zip(t.output_names, t.outputs, strict=True))
    assert by_name["e"].kind == by_name["n"].kind == by_name["q"].kind == by_name["cell"].kind == "linear"
    assert by_name["phi:0"].kind == by_name["phi:1"].kind == "circle"
    assert by_name["type:0"].kind == "simplex"
    assert by_name["grey"].kind == by_name["light"].kind == "tanh"


def test_quantile_columns_come_out_standard():
    t = auto_transform(SCHEMA).fit(events())
    y = t.forward(events())
    linear = [j for j, tag in enumerate(t.outputs) if tag.kind == "linear"]
    assert (y[:, linear].mean(0).abs() < 0.1).all()
    assert (y[:, linear].std(0) - 1).abs().max().item() < 0.1


def test_overrides_by_word_and_by_transform():
    t = auto_transform(SCHEMA, overrides={"e": "standardise", "pt": Log()})
    assert "e: Standardise()" in repr(t)
    assert "pt: Log()" in repr(t)
    with pytest.raises(UnknownNameError, match="Did you mean 'phi'"):
        auto_transform(SCHEMA, overrides={"ph": Identity()})
    with pytest.raises(UnknownNameError, match="Did you mean 'standardise'"):
        auto_transform(SCHEMA, continuous="standardize")
    with pytest.raises(UnknownNameError, match="quantile"):
        auto_transform(SCHEMA, overrides={"e": "quantiles"})


def test_pixel_columns_of_one_range_are_one_part():
    columns = tuple(Column(f"p{j}", "pixel", lower=0, upper=16, integral=True) for j in range(64))
    t = auto_transform(Schema(columns, (64,)))
    assert isinstance(t, Columns)
    assert len(t.parts) == 1
    assert repr(t) == "Columns(p0..p63: Rescale(lower=0.0, upper=16.0, step=1.0))"


def test_images_lattices_and_fields():
    g = np.random.default_rng(1)
    images = g.integers(0, 256, (30, 5, 4)).astype(np.uint8)
    lattices = g.choice([-1, 1], (30, 1, 4, 4))
    fields = g.normal(size=(30, 4, 4))
    for values, kind in ((images, "tanh"), (lattices, "tanh"), (fields, "linear")):
        x = torch.from_numpy(values)
        t = auto_transform(infer_schema(values)).fit(x)
        y = t.forward(x)
        assert y.shape == x.shape
        assert t.outputs[0].kind == kind
        torch.testing.assert_close(t.inverse(y), x.double(), rtol=0, atol=0 if kind == "tanh" else 1e-12)
    spin = auto_transform(infer_schema(lattices)).fit(torch.from_numpy(lattices))
    wild = spin.inverse(torch.randn(8, 1, 4, 4) * 10)
    assert wild.abs().unique().tolist() == [1]


def test_override_of_an_image():
    schema = Schema((Column("pixel", "pixel", lower=0, upper=1),), (4, 4))
    assert isinstance(auto_transform(schema, overrides={"pixel": Standardise(shared=True)}), Standardise)
    assert isinstance(auto_transform(schema), Rescale)
    with pytest.raises(InputError, match="keeps the shape"):
        auto_transform(schema, overrides={"pixel": "quantile"})


def test_json_of_the_whole():
    x = events()
    t = auto_transform(SCHEMA).fit(x)
    read = transform_from_json(json.loads(json.dumps(t.to_json(), allow_nan=False)))
    assert torch.equal(read.forward(x), t.forward(x))
    assert OneHot.__name__ in repr(read)
