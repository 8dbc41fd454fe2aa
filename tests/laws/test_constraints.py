"""Hard constraints hold exactly in samples, whatever a network emits.

For every sort of column, and for images and lattices: features of any size go through the output head and
back to values of the container's type, and each value keeps every promise of its column. Equality is exact;
no tolerance is allowed. The same is asked of a GAN after five steps.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import pytest
import torch

import reverie
from reverie.data.dataset import Dataset
from reverie.data.schema import Column, Schema
from reverie.data.transforms import InvertibleTransform, Standardise, auto_transform
from reverie.models.preprocessing import Preprocessing
from reverie.networks.features import OutputHead

N = 600


def rng() -> np.random.Generator:
    return np.random.default_rng(17)


def where_zero(share: float, x: np.ndarray, atom: float = 0.0) -> np.ndarray:
    return np.where(rng().random(x.shape) < share, atom, x)


@dataclass(frozen=True)
class Case:
    """Columns and values of one data set, and the types it may come in."""

    columns: tuple[Column, ...]
    values: Callable[[], np.ndarray]
    dtypes: tuple[str, ...] = ("float32", "float64")


FLOATS = ("float32", "float64")
WHOLE = (*FLOATS, "int8", "int16", "int64", "uint8")


def one(column: Column, values: Callable[[np.random.Generator], np.ndarray], dtypes: tuple[str, ...] = FLOATS) -> Case:
    return Case((column,), lambda: np.asarray(values(rng())).reshape(N, -1), dtypes)


def images(column: Column, values: Callable[[np.random.Generator], np.ndarray], dtypes: tuple[str, ...]) -> Case:
    return Case((column,), lambda: values(rng()), dtypes)


CASES: dict[str, Case] = {
    "lower bound": one(Column("x", lower=0), lambda r: r.exponential(size=N)),
    "lower bound 0.1": one(Column("x", lower=0.1), lambda r: 0.1 + r.exponential(size=N)),
    "upper bound -0.3": one(Column("x", upper=-0.3), lambda r: -0.3 - r.exponential(size=N)),
    "bounded": one(Column("x", "bounded", lower=0.1, upper=0.7), lambda r: r.uniform(0.1, 0.7, N)),
    "bounded, on the bounds": one(
        Column("x", "bounded", lower=0, upper=1), lambda r: np.clip(r.uniform(-0.2, 1.2, N), 0, 1)
    ),
    "bounded, piled up": one(Column("x", "bounded", lower=0, upper=1), lambda r: r.uniform(0, 1, N) ** 6),
    "bounded, narrow and far": one(
        Column("x", "bounded", lower=1e5, upper=1e5 + 1), lambda r: 1e5 + r.uniform(0.01, 0.99, N)
    ),
    "mass window": one(Column("M", "bounded", lower=60, upper=120), lambda r: r.normal(90, 2, N)),
    "periodic": one(Column("phi", "periodic"), lambda r: r.uniform(-3.14159, 3.14159, N)),
    "periodic, degrees": one(Column("phi", "periodic", lower=0, period=360), lambda r: r.uniform(0, 359.9, N)),
    "periodic, turns": one(Column("phi", "periodic", lower=0.1, period=0.7), lambda r: r.uniform(0.11, 0.79, N)),
    "periodic, whole degrees": one(
        Column("phi", "periodic", lower=0, period=360, integral=True),
        lambda r: r.integers(0, 360, N),
        (*FLOATS, "int16", "int64"),
    ),
    "counts": one(Column("n", "integer", lower=0), lambda r: r.poisson(3, N), WHOLE),
    "counts near the end of the type": one(Column("n", "integer", lower=0), lambda r: r.integers(60, 121, N), WHOLE),
    "large counts": one(
        Column("n", "integer", lower=0), lambda r: r.integers(0, 2**30, N), ("float64", "int32", "int64")
    ),
    "dice": one(Column("n", "integer", lower=1, upper=6), lambda r: r.integers(1, 7, N), WHOLE),
    "integers of both signs": one(Column("n", "integer"), lambda r: r.integers(-40, 41, N), (*FLOATS, "int8", "int64")),
    "spins": one(Column("s", "spin"), lambda r: r.choice([-1, 1], N, p=[0.2, 0.8]), (*FLOATS, "int8", "int64")),
    "categories": one(Column("k", "categorical", levels=(2, 5, 9)), lambda r: r.choice([2, 5, 9], N), WHOLE),
    "categories, not whole": one(
        Column("k", "categorical", levels=(0.1, 0.25, 0.7)), lambda r: r.choice([0.1, 0.25, 0.7], N)
    ),
    "flag": one(Column("k", "categorical", levels=(0, 1)), lambda r: r.random(N) < 0.1, (*WHOLE, "bool")),
    "zero-inflated": one(Column("E", lower=0, atom=0), lambda r: where_zero(0.3, r.exponential(size=N))),
    "atom inside": one(Column("E", atom=0.1), lambda r: where_zero(0.3, r.normal(size=N), 0.1)),
    "atom below the bound of the rest": one(
        Column("E", lower=-1, atom=-1), lambda r: where_zero(0.2, r.exponential(size=N), -1.0)
    ),
    "atom at both-sided bounds": one(
        Column("E", "bounded", lower=0, upper=1, atom=1), lambda r: where_zero(0.5, r.uniform(0, 1, N), 1.0)
    ),
    "pixel columns": Case(
        tuple(Column(f"p{j}", "pixel", lower=0, upper=16, integral=True) for j in range(4)),
        lambda: rng().integers(0, 17, (N, 4)),
        WHOLE,
    ),
    "images of bytes": images(
        Column("pixel", "pixel", lower=0, upper=255, integral=True),
        lambda r: r.integers(0, 256, (N, 4, 4)),
        (*FLOATS, "uint8", "int16"),
    ),
    "images in [0, 1]": images(Column("pixel", "pixel", lower=0, upper=1), lambda r: r.random((N, 2, 4, 4)), FLOATS),
    "black and white": images(
        Column("pixel", "pixel", lower=0, upper=1, integral=True), lambda r: r.random((N, 4, 4)) < 0.3, (*WHOLE, "bool")
    ),
    "lattice of spins": images(Column("s", "spin"), lambda r: r.choice([-1, 1], (N, 4, 4)), (*FLOATS, "int8", "int64")),
    "images of counts": images(
        Column("n", "integer", lower=0), lambda r: r.poisson(2, (N, 1, 3, 4)), (*FLOATS, "uint8", "int64")
    ),
    "cells with energy or none": images(
        Column("E", lower=0, atom=0), lambda r: where_zero(0.6, r.exponential(size=(N, 3, 4))), FLOATS
    ),
    "mixed": Case(
        (
            Column("pt", lower=0.1),
            Column("phi", "periodic"),
            Column("n", "integer", lower=0, upper=9),
            Column("q", "spin"),
            Column("kind", "categorical", levels=(1, 2, 4)),
            Column("E", lower=0, atom=0),
            Column("eta", "bounded", lower=-2.4, upper=2.4),
            Column("free"),
        ),
        lambda: np.stack(
            [
                0.1 + rng().exponential(size=N),
                rng().uniform(-3.14, 3.14, N),
                rng().integers(0, 10, N),
                rng().choice([-1, 1], N),
                rng().choice([1, 2, 4], N),
                where_zero(0.4, rng().exponential(size=N)),
                rng().uniform(-2.4, 2.4, N),
                rng().normal(size=N),
            ],
            axis=1,
        ),
    ),
}
EVERY = [(name, dtype) for name, case in CASES.items() for dtype in case.dtypes]
KINDS = ("continuous", "bounded", "integer", "spin")  # of columns whose transform is chosen by word, in tables alone
BY_WORD = [one for one in EVERY if CASES[one[0]].columns[0].kind in KINDS and CASES[one[0]].values().ndim == 2]


def dataset(case: Case, dtype: str) -> Dataset:
    """Return the data of a case in one type."""
    values = case.values().astype(dtype)
    columns = tuple(replace(column, dtype=dtype) for column in case.columns)
    return Dataset(values, schema=Schema(columns, values.shape[1:], dtype))


def broken_promises(x: np.ndarray, column: Column, dtype: str) -> list[str]:
    """Return what the values x (any shape) of a column violate."""
    exact = x.astype(np.float64)
    promises = {"type": x.dtype == np.dtype(dtype), "finite": np.isfinite(exact).all()}
    if column.lower is not None:
        promises["lower bound"] = (exact >= column.lower).all()
    if column.upper is not None:
        promises["upper bound"] = (
            (exact < column.upper) if column.kind == "periodic" else (exact <= column.upper)
        ).all()
    if column.integral or column.kind == "integer":
        promises["whole numbers"] = (exact == np.rint(exact)).all()
    if column.levels is not None:
        promises["levels"] = np.isin(x, np.array(column.levels).astype(dtype)).all()
    return [name for name, kept in promises.items() if not kept]


def outputs(transform: InvertibleTransform) -> list[torch.Tensor]:
    """Return raw outputs of a network of every size, float32 and finite."""
    shape = (500, *transform.output_shape)
    normal = torch.randn(shape, generator=torch.Generator().manual_seed(23))
    return [
        normal,
        0.1 * normal,
        1e3 * normal,
        1e6 * normal,
        1e30 * normal,
        0 * normal,
        0 * normal + 1e6,
        0 * normal - 1e6,
    ]


def head(transform: InvertibleTransform) -> OutputHead:
    """Return the head of a generator for this transform; images carry one tag for all."""
    tags = list(transform.outputs) * (transform.n_outputs if len(transform.outputs) == 1 else 1)
    return OutputHead([tag.kind for tag in tags], [tag.group for tag in tags])


def law_constraints(data: Dataset, transform: InvertibleTransform) -> None:
    """Whatever the network emits, each value keeps the promises of its column."""
    transform.fit(torch.from_numpy(data.values.astype("float64")))
    dtype = str(data.values.dtype)
    preprocessing = Preprocessing(data.schema, transform, "array", dtype)
    activation = head(transform)
    for y in outputs(transform):
        features = activation(y.flatten(1)).reshape(y.shape)
        check_promises(preprocessing.values(features), data.schema, dtype)
    check_atoms(preprocessing.values(features_of(data, transform)), data)


def features_of(data: Dataset, transform: InvertibleTransform) -> torch.Tensor:
    """Return features of the data as a generator would emit them: in float32, and a little off."""
    x = torch.from_numpy(data.values.astype("float64"))
    y = transform.forward(x, torch.Generator().manual_seed(3)).float()
    return y + 1e-4 * torch.randn(y.shape, generator=torch.Generator().manual_seed(4))


def check_promises(values: np.ndarray, schema: Schema, dtype: str) -> None:
    assert values.shape[1:] == schema.event_shape
    for j, column in enumerate(schema.columns):
        broken = broken_promises(values[:, j] if schema.is_table else values, column, dtype)
        assert not broken, f"{column.name} ({column.kind}): {broken}"


def check_atoms(values: np.ndarray, data: Dataset) -> None:
    """A point mass comes back as often as it occurs, exactly."""
    for j, column in enumerate(data.schema.columns):
        if column.atom is not None:
            got, expected = (x[:, j] if data.schema.is_table else x for x in (values, data.values))
            atom = np.array(column.atom).astype(expected.dtype)
            assert abs(np.mean(got == atom) - np.mean(expected == atom)) < 0.01, column.name


@pytest.mark.parametrize(("name", "dtype"), EVERY)
def test_any_output_of_a_network_keeps_the_constraints(name, dtype):
    data = dataset(CASES[name], dtype)
    law_constraints(data, auto_transform(data.schema))


@pytest.mark.parametrize("continuous", ["standardise", "asinh"])
@pytest.mark.parametrize(("name", "dtype"), BY_WORD)
def test_they_are_kept_with_every_transform_that_can_be_chosen(name, dtype, continuous):
    data = dataset(CASES[name], dtype)
    law_constraints(data, auto_transform(data.schema, continuous=continuous))


# What a plain shift and scale breaks; whole numbers in whole types survive by the rounding of the container.
CONSTRAINED = sorted({name for name, dtype in EVERY if dtype == "float64"})


@pytest.mark.parametrize("name", CONSTRAINED)
def test_a_plain_transform_would_break_them(name):
    with pytest.raises(AssertionError):
        law_constraints(dataset(CASES[name], "float64"), Standardise())


def test_a_wrong_value_of_every_sort_would_be_noticed():
    column = Column("x", "bounded", lower=0, upper=1)
    assert not broken_promises(np.array([0.0, 1.0]), column, "float64")
    assert broken_promises(np.array([0.0, np.nextafter(1, 2)]), column, "float64") == ["upper bound"]
    assert broken_promises(np.array([-5e-324, 1.0]), column, "float64") == ["lower bound"]
    assert broken_promises(np.array([0.0, np.nan]), column, "float64") == ["finite", "lower bound", "upper bound"]
    assert broken_promises(np.array([0.0], "float32"), column, "float64") == ["type"]
    assert broken_promises(np.array([3.141593]), Column("x", "periodic"), "float64") == ["upper bound"]
    assert broken_promises(np.array([2.5]), Column("x", "integer"), "float64") == ["whole numbers"]
    assert broken_promises(np.array([1, 3], "int8"), Column("x", "categorical", levels=(1, 2)), "int8") == ["levels"]


GAN_CASES = [
    ("mixed", "float32"),
    ("mixed", "float64"),
    ("counts near the end of the type", "int8"),
    ("flag", "bool"),
    ("atom inside", "float32"),
    ("periodic, whole degrees", "int16"),
    ("images of bytes", "uint8"),
    ("lattice of spins", "int8"),
    ("cells with energy or none", "float32"),
]


@pytest.mark.parametrize(("name", "dtype"), GAN_CASES)
def test_samples_of_an_untrained_gan_keep_the_constraints(name, dtype):
    data = dataset(CASES[name], dtype)
    model = reverie.GAN(max_steps=5, generator=(16,), discriminator=(16,), batch_size=64, random_state=1).fit(data)
    samples = model.sample(300, random_state=2)
    check_promises(samples.values, data.schema, dtype)


def test_columns_of_a_frame_keep_their_own_types_and_constraints():
    pandas = pytest.importorskip("pandas")
    r = rng()
    frame = pandas.DataFrame(
        {
            "hits": r.integers(90, 128, N).astype("int8"),
            "phi": r.uniform(-3.14159, 3.14159, N).astype("float32"),
            "charge": r.choice([-1, 1], N),
            "good": r.random(N) < 0.3,
            "detector": r.choice(["barrel", "endcap"], N),
            "E": where_zero(0.3, r.exponential(size=N)),
        }
    )
    model = reverie.GAN(max_steps=500, n_checks=0, refine=False, generator=(16,), discriminator=(16,), random_state=1)
    sample = model.fit(Dataset(frame)).sample(500, random_state=2).to_frame()
    assert sample.drop(columns="detector").dtypes.equals(frame.drop(columns="detector").dtypes)
    assert sample["hits"].between(0, 127).all()
    assert (sample["phi"].abs().to_numpy("float64") <= np.pi).all()
    assert set(sample["charge"]) <= {-1, 1}
    assert set(sample["detector"]) <= {"barrel", "endcap"}
    assert (sample["E"] >= 0).all()
    assert (sample["E"] == 0).any()
