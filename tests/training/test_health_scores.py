"""The score, its errors and the neighbours: laws, known answers, and twins that must fail."""

import math

import pytest
import torch

from reverie.core.errors import InputError
from reverie.core.random import child_generator
from reverie.core.statistics import expected_coverage
from reverie.training.reference import HealthReference, Neighbours, Regions
from reverie.training.scores import HeldOut, log_distances


def draws(n, name, d=3):
    return torch.randn(n, d, generator=child_generator(0, "test", name))


def test_score_is_its_definition():
    x, y = draws(7, "x"), draws(5, "y") + 1
    held_out = HeldOut(x)

    def phi(a, b):
        return math.log(1 + float((a - b).square().sum()) / held_out.scale**2)

    across = sum(phi(a, b) for a in x for b in y) / 35
    within = [sum(phi(z[i], z[j]) for i in range(len(z)) for j in range(i)) / math.comb(len(z), 2) for z in (x, y)]
    assert held_out.score(y).value == pytest.approx((2 * across - sum(within)) / within[0], abs=1e-5)


def test_score_is_one_for_a_point_as_far_from_the_data_as_these_from_each_other():
    simplex = torch.eye(50)
    assert HeldOut(simplex[:49]).score(simplex[49:].expand(10, -1)).value == pytest.approx(1.0, abs=1e-4)


def test_weight_zero_is_absence():
    x, y = draws(60, "x"), draws(40, "y")
    weight = torch.tensor([2.0, 0.0]).repeat(30)
    weighted, plain = HeldOut(x, weight, scale=1.0).score(y), HeldOut(x[::2], scale=1.0).score(y)
    assert weighted.value == pytest.approx(plain.value, abs=1e-5)
    assert weighted.error == pytest.approx(plain.error, rel=1e-4)


def test_negative_weights_subtract_events():
    """Events of a background with weight -1 beside the same background with weight +1 leave the signal."""
    signal, background = draws(400, "signal"), draws(800, "background") + 4
    x = torch.cat([signal, background])
    weight = torch.cat([torch.ones(400), torch.ones(400), -torch.ones(400)])
    weighted, wrong = HeldOut(x, weight, scale=1.0), HeldOut(x, scale=1.0)
    y = draws(400, "y")
    assert abs(weighted.score(y).value) < 4 * weighted.score(y).error
    assert wrong.score(y).value > 10 * wrong.score(y).error


def test_errors_of_a_perfect_generator_are_not_too_small():
    """80 perfect generators: the mean score is 0, its scatter and the permutation width are below the error.

    False-alarm rate below 1e-4: the mean is tested at 4 of its own standard errors, the others have a margin
    of a third, 4 standard deviations of a variance of 80 draws.
    """
    pairs = [(draws(120, f"x{k}"), draws(120, f"y{k}")) for k in range(80)]
    scores = [HeldOut(x, scale=0.5).score(y) for x, y in pairs]
    values = torch.tensor([s.value for s in scores])
    scatter = float(values.std())
    assert abs(float(values.mean())) < 4 * scatter / 80**0.5
    typical = torch.tensor([s.error for s in scores]).square().mean().sqrt()
    assert scatter < 1.3 * float(typical) < 3 * scatter
    width = HeldOut(pairs[0][0], scale=0.5).null_width(pairs[0][1], child_generator(0, "deals"))
    assert 0.67 * scatter < width < 1.5 * scatter


def test_error_of_a_difference_is_calibrated_and_a_shift_is_seen():
    """60 pairs of generators of one law, far from the data, on one noise: z has unit width (window of 4 sd)."""
    z = []
    for k in range(60):
        held_out, noise = HeldOut(draws(100, f"x{k}"), scale=0.5), draws(100, f"y{k}")
        a, b = held_out.score(noise + 1.0), held_out.score(noise - 1.0)  # alike by symmetry
        z.append((a.value - b.value) / a.error_against(b))
    assert 0.6 < torch.tensor(z).std() < 1.4
    held_out, noise = HeldOut(draws(300, "x"), scale=0.5), draws(300, "y")
    near, far, farther = (held_out.score(noise + shift) for shift in (0.0, 0.5, 0.51))
    assert far.value - near.value > 5 * far.error_against(near)
    assert farther.value > far.value
    assert farther.error_against(far) < 0.1 * far.error


def test_distances_within_a_narrow_mode_survive_single_precision():
    x = 0.01 * draws(50, "x") + torch.tensor([1.0, -2.0, 2.0])
    exact = (torch.cdist(x.double(), x.double()) / 0.04).square().log1p()
    assert torch.allclose(log_distances(x, x, 0.04).double(), exact, atol=2e-3)


def test_coverage_of_a_perfect_generator_is_as_expected():
    """40 draws; the mean within 4 standard errors (rate 1e-4). Half of the law missing must be seen."""
    ratios, halves = [], []
    for k in range(40):
        reference = HealthReference(draws(200, f"t{k}"), draws(80, f"h{k}"), seed=0)
        y = draws(100, f"g{k}")
        ratios.append(reference.measure(y).coverage)
        halves.append(reference.measure(y.abs()).coverage)
    ratios = torch.tensor(ratios)
    assert abs(float(ratios.mean()) - 1) < 4 * float(ratios.std()) / 40**0.5
    assert max(halves) < 0.7
    assert expected_coverage(10_000, 10_000, 5) == pytest.approx(1 - 2**-5, abs=1e-3)


def test_regions_share_out_the_rows_and_follow_weights():
    rows = torch.cat([draws(300, "a"), draws(100, "b") + 20])
    regions = Regions(rows, 2, generator=child_generator(0, "regions"))
    assert sorted(regions.shares.tolist()) == [0.25, 0.75]
    weight = torch.cat([torch.ones(300), 3 * torch.ones(100)])
    assert torch.allclose(regions.shares_of(rows, weight), torch.tensor([0.5, 0.5]))
    assert len(Regions(rows[:1].expand(50, -1), 20, generator=child_generator(0, "regions"))) == 1


@pytest.mark.parametrize("d", [2, 12])
def test_copies_are_told_from_fresh_draws_and_from_collapse(d):
    """Fresh draws stay within 4 standard deviations (rate 1e-4), copies beyond 5; a crowded point is no copy."""
    train, held_out = draws(900, "train", d), draws(100, "held out", d)
    regions = Regions(train, 5, generator=child_generator(0, "regions"))
    neighbours = Neighbours(train, held_out, regions, generator=child_generator(0, "measure"))
    fresh = neighbours.copies(draws(400, "fresh", d))
    copied = neighbours.copies(train[:400] + 1e-3 * draws(400, "jitter", d))
    crowded = neighbours.copies(train[:1] + 1e-3 * draws(400, "jitter", d))
    dense = neighbours.copies(0.3 * draws(400, "dense", d))
    for (_, _, z), most in ((fresh, 4), (crowded, 3), (dense, 4)):
        assert z < most
    assert fresh[2] > -4
    assert fresh[0] < 0.12
    assert copied[2] > 5
    assert copied[0] > 0.95


def test_lattices_of_few_states_are_no_copies():
    """Every state occurs in both sets, so equal rows tell nothing."""
    states = torch.sign(draws(3000, "spins", 4))
    train, held_out, fresh = states.split([2000, 500, 500])
    reference = HealthReference(train, held_out, seed=0)
    measures = reference.measure(fresh)
    assert abs(measures.copies_z) < 4
    assert measures.close < 0.12
    assert measures.coverage > 0.95


def test_images_are_reduced_and_reference_is_reproducible():
    x = draws(400, "images", 300).reshape(400, 3, 10, 10)
    one, two = (HealthReference(x[:300], x[300:], seed=3) for _ in range(2))
    assert one.dimension == 32
    assert torch.equal(one.measure(x[:100]).shares, two.measure(x[:100]).shares)
    assert one.null_width(50) == two.null_width(50) > one.null_width(500)
    far = one.measure(1e30 * x[:100])
    assert math.isfinite(far.score.value)


def test_unusable_rows_are_refused_in_words():
    with pytest.raises(InputError, match="finite rows"):
        HealthReference(torch.full((5, 2), torch.nan), draws(5, "h", 2), seed=0)
    with pytest.raises(InputError, match="held-out"):
        HealthReference(draws(5, "t", 2), draws(1, "h", 2), seed=0)
