"""The laws of two-sample statistics, for the whole family in one table.

Each law takes one statistic and raises AssertionError; each has a twin, a statistic broken on
purpose, that must fail it. To add a statistic, add a row.

Statistical laws use fixed seeds and the false-alarm rate ALPHA for each, over all rows of the table.
"""

import runpy
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy import stats
from torch import Tensor

from reverie.validation.permutation import signed_measures
from reverie.validation.permutation.multiple_testing import permutation_p
from reverie.validation.permutation.relabelling import Computed, Relabellings, relabellings
from reverie.validation.statistics import marginal, moments
from reverie.validation.statistics.correlations import correlation_columns, correlation_difference
from reverie.validation.statistics.kernels import (
    draw_frequencies,
    energy_distance,
    energy_kernel,
    fourier_columns,
    gaussian_kernel,
    kernel_columns,
    mmd,
    polynomial_block_columns,
    polynomial_columns,
    polynomial_mmd,
)
from reverie.validation.statistics.marginal import (
    anderson_darling,
    energy_distance_1d,
    ks_distance,
    marginal_columns,
    wasserstein_1d,
)
from reverie.validation.statistics.moments import FEATURES, hotelling, largest_change, normal_scores
from reverie.validation.statistics.sliced import (
    draw_directions,
    energy_by_slices,
    sliced_columns,
    sliced_energy_distance,
    sliced_wasserstein,
)

ALPHA = 1e-4
SIZE = 10_000  # a block that holds all rows

Columns = Callable[[Tensor, Relabellings], Computed]


@dataclass(frozen=True)
class Case:
    """A statistic of two samples, the same for all relabellings, and a fault it must see.

    Parameters
    ----------
    plain : what is shown for x and y; None takes it from `columns`.
    blocked : `columns` with a block size, where it has one.
    moves : whether both samples may be moved together.
    grows : whether it is proportional to nm/N rather than a function of the two measures alone.
    """

    columns: Columns
    plain: Callable[[Tensor, Tensor], Tensor] | None = None
    blocked: Callable[[Tensor, Relabellings, int], Computed] | None = None
    fault: str = "shift"
    moves: bool = True
    grows: bool = False

    def shown(self, x: Tensor, y: Tensor) -> float:
        """Return the plain form of two samples."""
        if self.plain is not None:
            return float(self.plain(x, y))
        return self.columns(torch.cat([x, y]), _relabel(len(x), len(y))).value


def _relabel(n: int, m: int, n_permutations: int = 0, seed: int = 0, **settings) -> Relabellings:
    return relabellings(n, m, n_permutations, torch.Generator().manual_seed(seed), **settings)


DIRECTIONS = draw_directions(3, 9, torch.Generator().manual_seed(0))
FREQUENCIES = draw_frequencies(3, 50, torch.Generator().manual_seed(0))
SLICES = {"n_directions": 9}


AXIS = torch.ones(1, 1, dtype=torch.float64)


def _first(z: Tensor, relabel: Relabellings) -> tuple[Computed, Computed]:
    return marginal_columns(z[:, :1], relabel)[0]


def _along_axis(z: Tensor, relabel: Relabellings) -> tuple[Computed, Computed]:
    return sliced_columns(z[:, :1], relabel, AXIS)


def _in_blocks(
    module: object, columns: Columns, size: str = "_ROWS", factor: int = 1
) -> Callable[[Tensor, Relabellings, int], Computed]:
    def blocked(z: Tensor, relabel: Relabellings, block_size: int) -> Computed:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(module, size, factor * block_size)
            return columns(z, relabel)

    return blocked


def _along_paths(columns: Columns, plain: Callable[[Tensor, Tensor], Tensor], **settings) -> Case:
    return Case(columns, plain, _in_blocks(marginal, columns), **settings)


def _of_distances(kernel: Callable[[Tensor], Tensor], plain: Callable[[Tensor, Tensor], Tensor]) -> Case:
    return Case(
        lambda z, relabel: kernel_columns(z, relabel, [kernel])[0],
        plain,
        lambda z, relabel, size: kernel_columns(z, relabel, [kernel], block_size=size)[0],
    )


def _of_features(columns: Columns, plain: Callable[[Tensor, Tensor], Tensor] | None = None, **settings) -> Case:
    return Case(columns, plain, _in_blocks(signed_measures, columns), **settings)


def _hotelling(features: str, fault: str) -> Case:
    def columns(z: Tensor, relabel: Relabellings) -> Computed:
        return hotelling(FEATURES[features](normal_scores(z, relabel.weights)), relabel)[0]

    return Case(columns, None, _in_blocks(signed_measures, columns), fault=fault)


SKELETON = runpy.run_path(str(Path(__file__).parents[2] / "docs/developer/skeletons/statistic.py"))
CASES = {
    "KS": _along_paths(lambda z, r: _first(z, r)[0], lambda x, y: ks_distance(x[:, :1], y[:, :1])),
    "Anderson-Darling": _along_paths(
        lambda z, r: _first(z, r)[1], lambda x, y: anderson_darling(x[:, :1], y[:, :1]), grows=True
    ),
    "W1": _along_paths(lambda z, r: _along_axis(z, r)[0], lambda x, y: wasserstein_1d(x[:, 0], y[:, 0])),
    "energy in 1-D": _along_paths(lambda z, r: _along_axis(z, r)[1], lambda x, y: energy_distance_1d(x[:, 0], y[:, 0])),
    "sliced Wasserstein": _along_paths(
        lambda z, r: sliced_columns(z, r, DIRECTIONS)[0], lambda x, y: sliced_wasserstein(x, y, **SLICES)
    ),
    "sliced energy": _along_paths(
        lambda z, r: energy_by_slices(z, r, DIRECTIONS), lambda x, y: sliced_energy_distance(x, y, **SLICES)
    ),
    "correlation difference": Case(
        correlation_columns,
        correlation_difference,
        _in_blocks(moments, correlation_columns, "_NUMBERS", 67),  # so many numbers are held for one row
        fault="correlation",
    ),
    "energy distance": _of_distances(energy_kernel, energy_distance),
    "MMD": _of_distances(gaussian_kernel(1.5), lambda x, y: mmd(x, y, bandwidth=1.5)),
    "MMD, random features": _of_features(lambda z, r: fourier_columns(z, r, [1.5], FREQUENCIES)[0]),
    "polynomial MMD, monomials": _of_features(polynomial_columns, polynomial_mmd, moves=False),
    "Hotelling T², means": _hotelling("means", "shift"),
    "Hotelling T², correlations": _hotelling("means, widths and correlations", "correlation"),
    "polynomial MMD, blocks": Case(
        polynomial_block_columns,
        polynomial_mmd,
        lambda z, r, size: polynomial_block_columns(z, r, block_size=size),
        moves=False,
    ),
    "largest change": _of_features(lambda z, r: largest_change(z, r, "abc")),
    "mean shift, which developers copy": Case(SKELETON["mean_shift_columns"], SKELETON["mean_shift"]),
}


def _sample(n: int, seed: int, fault: str = "none") -> Tensor:
    x = torch.randn(n, 3, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    if fault == "shift":
        x[:, 0] += 0.8
    if fault == "correlation":
        x[:, 1] = 0.8 * x[:, 0] + 0.6 * x[:, 1]
    return x


def symmetry(case: Case) -> None:
    """Exchanging the samples changes nothing."""
    x, y = _sample(40, 0), _sample(30, 1, "shift")
    assert case.shown(x, y) == pytest.approx(case.shown(y, x), rel=1e-5, abs=1e-9)


def order_of_rows(case: Case) -> None:
    """Rows are a set: their order changes nothing."""
    x, y = _sample(40, 0), _sample(30, 1, "shift")
    assert case.shown(x, y) == pytest.approx(case.shown(x.flip(0), y.roll(7, 0)), rel=1e-5, abs=1e-9)


def translation(case: Case) -> None:
    """Moving both samples together changes nothing, unless the origin counts."""
    x, y = _sample(40, 0), _sample(30, 1, "shift")
    same = case.shown(x, y) == pytest.approx(case.shown(x + 3, y + 3), rel=1e-4, abs=1e-7)
    assert same == case.moves


def agreement(case: Case) -> None:
    """The columns equal the plain form, labelling by labelling."""
    z, relabel = _sample(70, 0), _relabel(40, 30, 3)
    together = case.columns(z, relabel)
    for b in range(4):
        x, y = z[relabel.labels[:, b]], z[~relabel.labels[:, b]]
        alone = case.columns(torch.cat([x, y]), _relabel(40, 30))
        assert together.values[b] == pytest.approx(alone.values[0], rel=1e-5, abs=1e-7)
        assert alone.value == pytest.approx(case.shown(x, y), rel=1e-5, abs=1e-6)


def blocks(case: Case) -> None:
    """Block sizes change no value, error or shift by more than 1e-6."""
    if case.blocked is None:
        return
    z, relabel = _sample(80, 0).round(decimals=1), _relabel(35, 45, 20)
    whole = case.blocked(z, relabel, SIZE)
    scale = max(1.0, float(np.abs(whole.values).max()))
    for size in (1, 7, 64):
        part = case.blocked(z, relabel, size)
        for name in ("values", "error", "shift"):
            np.testing.assert_allclose(getattr(part, name), getattr(whole, name), rtol=0, atol=1e-6 * scale)


def power(case: Case) -> None:
    """A plain fault gives the smallest p-value that 99 permutations allow."""
    z = torch.cat([_sample(150, 0), _sample(150, 1, case.fault)])
    assert permutation_p(case.columns(z, _relabel(150, 150, 99)).values) == pytest.approx(0.01)


def uniform_under_the_null(case: Case, runs: int = 60) -> None:
    """P-values of equal laws are uniform; equal values are put in random order, which makes that exact."""
    limit = stats.kstwo.isf(ALPHA / len(CASES), runs)
    r, p = np.random.default_rng(0), []
    for i in range(runs):
        values = case.columns(_sample(45, 1000 + i), _relabel(20, 25, 29, seed=i)).values.round(7)
        p.append(((values > values[0]).sum() + r.uniform() * (values == values[0]).sum()) / 30)
    assert stats.kstest(p, stats.uniform().cdf).statistic < limit


def unit_of_weights(case: Case) -> None:
    """A common factor of all weights of a sample changes nothing."""
    z, w = _sample(60, 0), torch.rand(60, generator=torch.Generator().manual_seed(1)).double() + 0.1
    w = w / w.view(2, 30).mean(1).repeat_interleave(30)
    relabel = _relabel(30, 30, 5, weights=w)
    in_another_unit = replace(relabel, weights=7 * w, weight_of_x=7 * relabel.weight_of_x)
    one, other = (case.columns(z, r) for r in (relabel, in_another_unit))
    np.testing.assert_allclose(one.values, other.values, rtol=1e-5, atol=1e-6)  # contrasts have seven digits
    assert (one.error, one.shift) == pytest.approx((other.error, other.shift), rel=1e-4, abs=1e-6)


def weights_repeat_rows(case: Case) -> None:
    """A weight of three is the same as three equal rows."""
    z, w = _sample(60, 0), torch.tensor([1, 2, 3] * 10 + [3] * 10 + [1] * 10 + [2] * 10)
    weighted, repeated = _relabel(30, 30, weights=w.double()), _relabel(60, 60)
    first, second = case.columns(z, weighted).values[0], case.columns(z.repeat_interleave(w, 0), repeated).values[0]
    factor = repeated.unit / weighted.unit if case.grows else 1.0
    assert first == pytest.approx(second * factor, rel=1e-5, abs=1e-7)


def error_bars(case: Case, runs: int = 120, n: int = 100) -> None:
    """The jackknife error is the spread of repeated experiments, where the samples differ."""
    results = [
        case.columns(torch.cat([_sample(n, 2 * i), _sample(n, 2 * i + 1, case.fault)]), _relabel(n, n))
        for i in range(runs)
    ]
    variance = np.var([result.value for result in results], ddof=1)
    ratio = (runs - 1) * variance / np.mean([result.error**2 for result in results])
    low, high = stats.chi2(runs - 1).interval(1 - ALPHA / len(CASES))
    assert low < ratio < high


LAWS = (
    symmetry,
    order_of_rows,
    translation,
    agreement,
    blocks,
    power,
    uniform_under_the_null,
    unit_of_weights,
    weights_repeat_rows,
    error_bars,
)


# along nine directions the sums are those of one, "W1" and "energy in 1-D", whose calibration is quick
SLOW = {(f"sliced {name}", law) for name in ("Wasserstein", "energy") for law in (uniform_under_the_null, error_bars)}


@pytest.mark.parametrize(
    ("name", "law"),
    [
        pytest.param(name, law, marks=pytest.mark.slow if (name, law) in SLOW else (), id=f"{name}-{law.__name__}")
        for name in CASES
        for law in LAWS
    ],
)
def test_law(name, law):
    law(CASES[name])


def _wrong_null(z: Tensor, relabel: Relabellings) -> Computed:
    # the permutations use a quarter of the rows: their noise is not that of the observed value
    result = CASES["energy distance"].columns(z, relabel)
    few = CASES["energy distance"].columns(torch.cat([z[:6], z[-6:]]), _relabel(6, 6, 28))
    return replace(result, values=np.concatenate([result.values[:1], few.values]))


def _half_the_error(z: Tensor, relabel: Relabellings) -> Computed:
    # of two equally large samples, the fluctuations of one
    result = CASES["energy distance"].columns(z, relabel)
    return replace(result, error=result.error / 2**0.5)


def _deaf(z: Tensor, relabel: Relabellings) -> Computed:
    return CASES["energy distance"].columns(z, replace(relabel, weights=None))


def _in_its_unit(z: Tensor, relabel: Relabellings) -> Computed:
    # the unit of the weights becomes that of the data
    assert relabel.weights is not None
    return CASES["energy distance"].columns(z * relabel.weights.mean(), relabel)


def _without_carry(z: Tensor, relabel: Relabellings, size: int) -> Computed:
    # only the rows of the first block
    return CASES["energy distance"].columns(z * (torch.arange(len(z)) < size)[:, None], relabel)


MEAN = Case(CASES["MMD"].columns, lambda x, y: (x.mean() - y.mean()).abs())
BROKEN = {
    symmetry: replace(MEAN, plain=lambda x, y: x.mean() - y.mean()),
    order_of_rows: replace(MEAN, plain=lambda x, y: (x[0] - y[0]).abs().sum()),
    translation: replace(MEAN, plain=lambda x, y: (x.square().mean() - y.square().mean()).abs()),
    agreement: MEAN,
    blocks: replace(MEAN, blocked=_without_carry),
    power: replace(CASES["correlation difference"], fault="shift"),  # correlations do not see a shift
    uniform_under_the_null: replace(MEAN, columns=_wrong_null),
    unit_of_weights: replace(MEAN, columns=_in_its_unit),
    weights_repeat_rows: replace(MEAN, columns=_deaf),
    error_bars: replace(MEAN, columns=_half_the_error),
}


@pytest.mark.parametrize("law", LAWS, ids=lambda law: law.__name__)
def test_a_broken_statistic_fails_the_law(law):
    with pytest.raises(AssertionError):
        law(BROKEN[law])
