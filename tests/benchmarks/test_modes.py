"""The figures of the mode benchmark: known answers of a perfect sampler, and twins that must fail.

The limits of the figures are wide against the noise of a perfect sampler: HQ by 3 standard errors
(0.21 % each) below and above, the reverse KL by 4 times its mean, so at a fixed seed the tests are
examples; the twins show that the figures see what they are for.
"""

import importlib.util
import math
from pathlib import Path

import numpy as np
import pytest
import torch

from reverie.simulators.targets import TARGETS, GaussianMixture

_PATH = Path(__file__).parents[2] / "benchmarks" / "quality" / "modes.py"
_SPEC = importlib.util.spec_from_file_location("modes", _PATH)
assert _SPEC is not None
assert _SPEC.loader is not None
modes = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(modes)

NARROW = ["ring", pytest.param("grid", marks=pytest.mark.slow)]  # of 25 modes in place of 8, by the same figures


def perfect(name: str, n: int = modes.N_SHAPE, seed: int = 0) -> np.ndarray:
    return TARGETS[name].sample(n, random_state=seed).numpy()


def rescaled(name: str, factors: tuple[float, float]) -> np.ndarray:
    """Return samples whose modes are stretched about their centres, by a factor per axis."""
    truth, x = TARGETS[name], perfect(name)
    mode, _ = modes.nearest_modes(x, truth)
    centres = truth.centres.numpy()[mode]
    return centres + np.array(factors) * (x - centres)


def failed(x: np.ndarray, name: str) -> set[str]:
    return {key for key, good in modes.passes(modes.figures(x, name), name).items() if not good and key != "all"}


@pytest.mark.parametrize("name", ["ring", "grid", "broad_ring", "broad_grid"])
def test_perfect_samples_pass(name):
    assert failed(perfect(name), name) == set()
    assert modes.passes(modes.figures(perfect(name), name), name)["all"]


@pytest.mark.parametrize("name", NARROW)
def test_known_answers_of_a_perfect_sampler(name):
    figures = modes.figures(perfect(name), name)
    share = 1 - math.exp(-4.5)
    assert figures["HQ"] == pytest.approx(share, abs=4.9 * math.sqrt(share * (1 - share) / modes.N_COUNT))
    assert 0.85 < figures["eig min"] < 1 < figures["eig max"] < 1.15


def test_expected_reverse_kl_is_its_floor():
    """Twice N times the plug-in KL follows chi-squared of K - 1 = 7, so the mean of 400 is known to 1.9 %."""
    counts = np.random.default_rng(0).multinomial(2500, np.full(8, 1 / 8), size=400)
    mean = np.mean([modes.reverse_kl(row) for row in counts])
    assert mean == pytest.approx(modes.reverse_kl_floor(8, 2500), rel=4.9 * math.sqrt(2 / 7 / 400))


def test_reverse_kl_of_half_the_modes():
    assert modes.reverse_kl(np.array([5, 5, 0, 0])) == pytest.approx(math.log(2))
    assert modes.reverse_kl(np.zeros(4, dtype=int)) == math.inf


@pytest.mark.parametrize("name", NARROW)
def test_a_missing_mode_fails(name):
    x = perfect(name)
    mode, _ = modes.nearest_modes(x, TARGETS[name])
    assert {"modes", "eig min"} <= failed(x[mode != 3], name)


@pytest.mark.parametrize("name", NARROW)
def test_a_mode_of_half_the_weight_fails(name):
    x = perfect(name, n=2 * modes.N_SHAPE)
    mode, _ = modes.nearest_modes(x, TARGETS[name])
    light = mode < len(TARGETS[name].centres) / 2
    keep = ~light | (np.arange(len(x)) % 2 == 0)
    assert failed(x[keep], name) == {"rKL/floor"}


@pytest.mark.parametrize(
    ("factors", "seen"),
    [((0.6, 0.6), {"HQ", "eig min"}), ((1.0, 0.5), {"eig min"}), ((1.5, 1.5), {"HQ"})],
    ids=["shrunken", "flat", "swollen"],
)
@pytest.mark.parametrize("name", NARROW)
def test_wrong_shapes_fail(name, factors, seen):
    assert seen <= failed(rescaled(name, factors), name)


@pytest.mark.parametrize("name", NARROW)
def test_bridges_between_modes_fail(name):
    x = perfect(name)
    x[::20] = x[::20] + np.random.default_rng(0).uniform(0.2, 0.5, size=x[::20].shape)
    assert failed(x, name) == {"HQ"}


@pytest.mark.parametrize(("factor", "sign"), [(0.7, 1), (1.5, -1)])
@pytest.mark.parametrize("name", ["broad_ring", pytest.param("broad_grid", marks=pytest.mark.slow)])
def test_log_density_fails_on_both_sides(name, factor, sign):
    truth = TARGETS[name]
    wrong = GaussianMixture(truth.centres, factor * truth.sd).sample(modes.N_SCORE, 0).numpy()
    assert sign * modes.excess_log_density(wrong, truth) > 0
    assert failed(wrong, name) == {"log p"}


def test_samples_of_one_point_each_have_no_shape():
    truth = GaussianMixture(torch.zeros(1, 2, dtype=torch.float64), 1.0)
    assert modes.covariance_ratios(np.zeros((2, 2)), truth) == (0.0, 0.0)
