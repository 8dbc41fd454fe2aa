"""The divergence that the benchmark of densities in the plane quotes, against closed forms."""

import math

import pytest
import torch
from benchmarks.quality.densities import cells, divergence

from reverie.data.toys import SWISS_ROLL_NOISE_SD, SWISS_ROLL_SCALE, swiss_roll
from reverie.simulators.targets import GaussianMixture, target


@pytest.mark.parametrize("name", ["ring", pytest.param("grid", marks=pytest.mark.slow)])
@pytest.mark.parametrize("factor", [1.3, 0.8])
def test_modes_that_are_too_wide_or_narrow_cost_what_they_do_for_one_gaussian(name, factor):
    """The modes do not overlap: KL = 2 (log f + 1 / (2 f^2) - 1/2) for the factor f of their width."""
    truth, points, area = cells(name)
    blurred = GaussianMixture(target(name).centres, factor * target(name).sd)
    expected = 2 * (math.log(factor) + 0.5 / factor**2 - 0.5)
    assert divergence(truth, blurred.log_prob, points, area) == pytest.approx(expected, abs=1e-5)
    assert divergence(truth, truth, points, area) == pytest.approx(0, abs=1e-12)


@pytest.mark.parametrize("phase", [0.0, 1.0])
def test_what_varies_faster_than_from_cell_to_cell_costs_its_mean_at_drawn_places(phase):
    """log q = log p + 0.2 cos(2 pi x / side + phase) costs 0 on average; at the middles it costs -0.2 cos(phase)."""
    truth, points, area = cells("ring")

    def rippled(x):
        return truth(x) + 0.2 * torch.cos(2 * math.pi * x[:, 0] / area**0.5 + phase)

    drawn = [torch.Generator().manual_seed(seed) for seed in range(20)]
    mean = sum(divergence(truth, rippled, points, area, generator) for generator in drawn) / len(drawn)
    # One draw scatters by 0.2 / sqrt(2 x 1,000 cells), the mean of 20 by 0.001: four of that.
    assert mean == pytest.approx(0, abs=0.004)
    assert divergence(truth, rippled, points, area) == pytest.approx(-0.2 * math.cos(phase), abs=1e-4)


def test_a_mode_with_too_little_probability_costs_its_share_of_the_logarithm():
    """One mode of the ring at a tenth of its share: KL = log(10) / 8 - (7 / 8) log((8 - 0.1) / 7)."""
    truth, points, area = cells("ring")
    ring = target("ring")

    def without(x):
        single = [GaussianMixture(centre[None], ring.sd).log_prob(x) for centre in ring.centres]
        shares = torch.tensor([0.1 / 8, *[(1 - 0.1 / 8) / 7] * 7], dtype=torch.float64)
        return torch.logsumexp(torch.stack(single) + shares.log()[:, None], dim=0)

    expected = math.log(10) / 8 - 7 / 8 * math.log((8 - 0.1) / 7)
    assert divergence(truth, without, points, area) == pytest.approx(expected, abs=1e-5)


def test_cells_that_miss_a_part_are_refused():
    truth, points, area = cells("ring")
    with pytest.raises(ArithmeticError, match="probability 1"):
        divergence(truth, truth, points[::2], area)


@pytest.mark.slow  # nine seconds of an integral; the cells and the divergence: the tests above
def test_the_density_of_the_roll_is_that_of_its_points():
    """Mean log p of 20,000 points agrees with minus the entropy within 4 errors; of a thinner band it is lower."""
    truth, points, area = cells("swiss_roll")
    entropy = -float((truth(points).exp() * area) @ truth(points))
    x = torch.from_numpy(swiss_roll(20_000, 5))
    values = truth(x)
    assert float(values.mean()) == pytest.approx(-entropy, abs=4 * float(values.std()) / len(x) ** 0.5)
    wider = x + 0.5 * SWISS_ROLL_NOISE_SD / SWISS_ROLL_SCALE * torch.randn(
        x.shape, generator=torch.Generator().manual_seed(0), dtype=x.dtype
    )
    assert float(truth(wider).mean()) < -entropy - 0.1
