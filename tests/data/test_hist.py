"""Histograms as `hist` objects: counts, weights and axes, and the axes of other libraries."""

import sys
from types import SimpleNamespace

import numpy as np
import pytest

from reverie.core.errors import InputError, MissingDependencyError
from reverie.data import Dataset

RNG = np.random.default_rng(0)
X, W = RNG.normal(size=500), RNG.normal(1.0, 0.5, 500)


def test_without_hist_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "hist", None)
    with pytest.raises(MissingDependencyError, match=r"\[hist\]"):
        Dataset({"a": X}).to_hist("a")


@pytest.fixture(scope="module")
def hist():
    return pytest.importorskip("hist", reason="the package hist is not installed (extra hist)")


@pytest.fixture(scope="module")
def data(hist):
    columns = {
        "pt [GeV]": X,
        "n": RNG.poisson(3.0, 500),
        "q": RNG.choice([-1, 1], 500),
        "kind": RNG.choice(["e", "mu"], 500),
    }
    return Dataset(columns)


def test_counts_are_those_of_numpy(data):
    h = data.to_hist("pt", 20)
    np.testing.assert_array_equal(h.values(), np.histogram(X, 20)[0])
    assert h.sum(flow=True) == h.sum() == 500  # the greatest value is in its bin
    assert (h.axes[0].name, h.axes[0].label) == ("pt", "pt [GeV]")
    edges = [-1.0, 0.0, 2.0]
    np.testing.assert_array_equal(data.to_hist("pt", edges).values(), np.histogram(X, edges)[0])


def test_weights_are_summed_with_their_squares(hist):
    h = Dataset({"a": X}, weights=W).to_hist("a", [-1.0, 0.0, 1.0])
    inside = (X >= -1) & (X < 0)
    assert h.values()[0] == pytest.approx(W[inside].sum())
    assert h.variances()[0] == pytest.approx(np.square(W[inside]).sum())


def test_levels_and_words_have_a_bin_each(data):
    h = data.to_hist("q,kind")
    assert list(h.axes[0]) == [-1, 1]
    assert list(h.axes[1]) == ["e", "mu"]
    q, kind = data.values[:, 2], data.values[:, 3]
    assert h.values()[1, 0] == np.sum((q == 1) & (kind == 0))


def test_axes_of_another_histogram_are_taken(hist, data):
    other = hist.Hist.new.Reg(7, -2, 2).Var([0, 1, 2, 5, 9]).Double()
    h = data.to_hist(["pt", "n"], like=other)
    expected = np.histogram2d(X, data.values[:, 1], [np.linspace(-2, 2, 8), [0, 1, 2, 5, 9]])[0]
    np.testing.assert_array_equal(h.values()[:, :3], expected[:, :3])  # numpy counts the last edge, histograms do not
    own = SimpleNamespace(axes=[_Axis([-1.0, 0.0, 1.0])])
    np.testing.assert_array_equal(data.to_hist("pt", like=own).values(), np.histogram(X, [-1.0, 0.0, 1.0])[0])
    with pytest.raises(InputError, match="of 1 axes to be like, got 2"):
        data.to_hist("pt", like=other)
    with pytest.raises(InputError, match="of 1 axes to be like, got 0"):
        data.to_hist("pt", like=object())


class _Axis:
    """An axis as the protocol UHI asks for."""

    traits = SimpleNamespace(discrete=False, circular=False)

    def __init__(self, edges):
        self.bins = list(zip(edges[:-1], edges[1:], strict=True))

    def __getitem__(self, k):
        return self.bins[k]

    def __len__(self):
        return len(self.bins)


def test_mplhep_draws_them(data):
    mplhep = pytest.importorskip("mplhep", reason="the package mplhep is not installed")
    from matplotlib.figure import Figure

    ax = Figure().add_subplot()
    mplhep.histplot(data.to_hist("pt", 10), ax=ax)
    assert ax.lines or ax.patches or ax.collections
