"""The laws of two-sample statistics, for the whole family in one table.

Each law takes one statistic and raises AssertionError; each has a twin, a statistic broken on
purpose, that must fail it. To add a statistic, add a row.

Statistical laws use fixed seeds and the false-alarm rate ALPHA for each, over all rows of the table.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import pytest
import torch
from scipy import stats
from torch import Tensor

from reverie.validation.kernels import energy_distance, energy_kernel, gaussian_kernel, kernel_distances, mmd
from reverie.validation.multiple import permutation_p
from reverie.validation.permutation import random_labels
from reverie.validation.statistics import (
    correlation_change,
    correlation_difference,
    distribution_distances,
    draw_directions,
    ks_distance,
    sliced_wasserstein,
    sliced_wasserstein_labelled,
    wasserstein_1d,
)

ALPHA = 1e-4


@dataclass(frozen=True)
class Case:
    """A statistic of two samples, the same for many labellings, and a fault it must see."""

    plain: Callable[[Tensor, Tensor], Tensor]
    labelled: Callable[[Tensor, Tensor], Tensor]
    fault: str = "shift"


DIRECTIONS = draw_directions(3, 20, torch.Generator().manual_seed(0))


def _sliced(x: Tensor, y: Tensor) -> Tensor:
    return sliced_wasserstein(x, y, n_directions=20)


CASES = {
    "KS": Case(
        ks_distance,
        lambda z, labels: torch.stack([distribution_distances(c, labels)[0] for c in z.T]).amax(0),
    ),
    "W1": Case(
        lambda x, y: wasserstein_1d(x[:, 0], y[:, 0]), lambda z, labels: distribution_distances(z[:, 0], labels)[1]
    ),
    "sliced Wasserstein": Case(_sliced, lambda z, labels: sliced_wasserstein_labelled(z, labels, DIRECTIONS)),
    "energy distance": Case(energy_distance, lambda z, labels: kernel_distances(z, labels, [energy_kernel])[0]),
    "MMD": Case(
        lambda x, y: mmd(x, y, bandwidth=1.5),
        lambda z, labels: kernel_distances(z, labels, [gaussian_kernel(1.5)])[0],
    ),
    "correlation difference": Case(
        correlation_difference, lambda z, labels: correlation_change(z, labels)[0], fault="correlation"
    ),
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
    torch.testing.assert_close(case.plain(x, y), case.plain(y, x), rtol=1e-5, atol=1e-9)


def order_of_rows(case: Case) -> None:
    """Rows are a set: their order changes nothing."""
    x, y = _sample(40, 0), _sample(30, 1, "shift")
    torch.testing.assert_close(case.plain(x, y), case.plain(x.flip(0), y.roll(7, 0)), rtol=1e-5, atol=1e-9)


def translation(case: Case) -> None:
    """Moving both samples together changes nothing."""
    x, y = _sample(40, 0), _sample(30, 1, "shift")
    torch.testing.assert_close(case.plain(x, y), case.plain(x + 3, y + 3), rtol=1e-4, atol=1e-7)


def agreement(case: Case) -> None:
    """The labelled form equals the plain form, labelling by labelling."""
    z, labels = _sample(70, 0), random_labels(40, 30, 3, torch.Generator().manual_seed(0))
    values = case.labelled(z, labels)
    for b in range(4):
        chosen = labels[:, b].bool()
        torch.testing.assert_close(values[b].double(), case.plain(z[chosen], z[~chosen]).double(), rtol=1e-4, atol=1e-6)


def power(case: Case) -> None:
    """A plain fault gives the smallest p-value that 99 permutations allow."""
    z = torch.cat([_sample(150, 0), _sample(150, 1, case.fault)])
    labels = random_labels(150, 150, 99, torch.Generator().manual_seed(0))
    assert permutation_p(case.labelled(z, labels).numpy()) == pytest.approx(0.01)


def uniform_under_the_null(case: Case, runs: int = 200) -> None:
    """P-values of equal laws are uniform; equal values are put in random order, which makes that exact."""
    limit = stats.kstwo.isf(ALPHA / len(CASES), runs)
    r, p = np.random.default_rng(0), []
    for i in range(runs):
        labels = random_labels(20, 25, 49, torch.Generator().manual_seed(i))
        values = case.labelled(_sample(45, 1000 + i), labels).numpy().round(7)
        p.append(((values > values[0]).sum() + r.uniform() * (values == values[0]).sum()) / 50)
    assert stats.kstest(p, stats.uniform().cdf).statistic < limit


LAWS = (symmetry, order_of_rows, translation, agreement, power, uniform_under_the_null)


@pytest.mark.parametrize("law", LAWS, ids=lambda law: law.__name__)
@pytest.mark.parametrize("name", CASES)
def test_law(name, law):
    law(CASES[name])


def _wrong_null(z: Tensor, labels: Tensor) -> Tensor:
    # the permutations use a quarter of the rows: their noise is not that of the observed value
    values = CASES["energy distance"].labelled(z, labels)
    few = torch.cat([z[:6], z[-6:]])
    values[1:] = kernel_distances(few, random_labels(6, 6, 48, torch.Generator().manual_seed(0)), [energy_kernel])[0]
    return values


MEAN = Case(lambda x, y: (x.mean() - y.mean()).abs(), CASES["MMD"].labelled)
BROKEN = {
    symmetry: replace(MEAN, plain=lambda x, y: x.mean() - y.mean()),
    order_of_rows: replace(MEAN, plain=lambda x, y: (x[0] - y[0]).abs().sum()),
    translation: replace(MEAN, plain=lambda x, y: (x.square().mean() - y.square().mean()).abs()),
    agreement: MEAN,
    power: replace(CASES["correlation difference"], fault="shift"),  # correlations do not see a shift
    uniform_under_the_null: replace(MEAN, labelled=_wrong_null),
}


@pytest.mark.parametrize("law", LAWS, ids=lambda law: law.__name__)
def test_a_broken_statistic_fails_the_law(law):
    with pytest.raises(AssertionError):
        law(BROKEN[law])
