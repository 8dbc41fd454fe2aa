"""Models on tables whose features are computed when a batch asks for them: exact, resumable, whatever the model."""

import numpy as np
import pytest
import torch

from reverie.core import lazy
from reverie.core.errors import CheckpointError
from reverie.core.lazy import LazyTable
from reverie.data import Dataset
from reverie.data.lazy import LazyRows
from reverie.data.transforms import Rescale, Standardise
from reverie.models import EBM, GAN, RBM, VAE, Autoencoder
from reverie.models.preprocessing import Preprocessing, data_mark, fitted_on

N = 1500


@pytest.fixture(autouse=True)
def _all_is_large(monkeypatch):
    monkeypatch.setenv("REVERIE_LARGE", "2000")
    monkeypatch.setattr(lazy, "SAMPLE_ROWS", 400)


def table(seed=0):
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((N, 3))
    return np.stack([x[:, 0], x[:, 0] + 0.3 * x[:, 1], np.exp(x[:, 2])], axis=1)


def bits():
    return (np.random.default_rng(0).random((N, 6)) < 0.3).astype(np.uint8)


COMMON = {"max_steps": 6, "record_every": 2, "n_checks": 3, "random_state": 0, "device": "cpu", "batch_size": 32}
LABELS = np.arange(N) % 3
SMALL = {"generator": (8,), "discriminator": (8,)}
CASES = {
    "gan": (lambda: GAN(**COMMON, **SMALL), table, None),
    "conditional gan with observables, replicas and a bootstrap": (
        lambda: GAN(
            **COMMON, **SMALL, n_replicas=2, bootstrap=True, observables=[lambda x: x[:, 0] + x[:, 1]]
        ),
        table,
        LABELS,
    ),
    "vae": (lambda: VAE(**COMMON, encoder=(8,), decoder=(8,)), table, LABELS),
    "vae with a symmetry": (
        lambda: VAE(**COMMON, encoder=(8,), decoder=(8,), symmetries=["reflect x0 x1"]), table, None
    ),
    "ebm": (lambda: EBM(**COMMON), table, None),
    "autoencoder": (lambda: Autoencoder(**COMMON, encoder=(8,), decoder=(8,)), table, None),
    "rbm": (lambda: RBM(**COMMON, n_hidden=4), bits, None),
}  # fmt: skip
QUICK = ("vae", "rbm")  # the others share their way of reading


def states_equal(a, b):
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(states_equal(a[k], b[k]) for k in a)
    if isinstance(a, (list, tuple)):
        return len(a) == len(b) and all(states_equal(x, y) for x, y in zip(a, b, strict=True))
    return torch.equal(a, b) if isinstance(a, torch.Tensor) else a == b or (a != a and b != b)


@pytest.mark.parametrize("case", [c if c in QUICK else pytest.param(c, marks=pytest.mark.slow) for c in CASES])
def test_training_on_a_large_table_resumes_bit_for_bit(case):
    make, data, y = CASES[case]
    X = Dataset(data())
    assert isinstance(X.values, LazyTable)
    whole = make()
    for record in whole.iter_fit(X, y):
        assert np.isfinite(list(record.scalars.values())).all()
    cut = make()
    records = cut.iter_fit(X, y)
    next(records)
    state = cut.training_state()
    records.close()
    again = make()
    for _ in again.iter_fit(X, y, resume=state):
        pass
    assert states_equal(whole.training_state(), again.training_state())
    assert np.asarray(whole.sample(5, random_state=1).values).shape == (5, X.values.shape[1])
    with pytest.raises(CheckpointError):
        next(make().iter_fit(Dataset(data()[::-1].copy()), y, resume=state))


def test_features_are_those_of_the_table_in_memory():
    # the same fitted transform: rows of a lazy table have the features, bit for bit, that all rows at once have
    X, seen = Dataset(table()), []
    model = VAE(**COMMON, encoder=(8,), decoder=(8,))
    model.seed_ = 0
    rows = model._rows(X, "dataset", None, None)
    assert isinstance(rows["x"], LazyRows)
    eager = model.preprocessing_.features(table())
    for index in (torch.arange(N), torch.tensor([3, 3, 700])):
        seen.append(torch.equal(rows["x"][index], eager[index]))
    assert all(seen)


def test_a_transform_that_needs_the_extremes_gets_those_of_all_rows():
    X = Dataset(table())

    def fit(transform):
        return fitted_on(
            X, lambda some: Preprocessing(some.schema, transform.fit(torch.tensor(some.values)), "", ""), seed=0
        )

    rescale = fit(Rescale()).transform
    assert (rescale.lower_, rescale.upper_) == (table().min(), table().max())
    sample = fit(Standardise()).transform  # twin: what needs no extremes is fitted on the sample alone
    assert not torch.equal(sample.mean_, torch.tensor(table()).mean(0))
    assert (sample.mean_ - torch.tensor(table()).mean(0)).abs().max() < 4.4 * table().std(0).max() / np.sqrt(400)


def test_the_mark_of_a_large_table_tells_values_and_order():
    def mark(x):
        return data_mark(LazyRows(LazyTable(x), lambda v: torch.from_numpy(np.array(v))))

    other = table()
    other[7, 1] += 1e-3
    assert mark(table()) == mark(table())
    assert len({tuple(mark(x)) for x in (table(), table()[::-1], other, table()[:-1])}) == 4
