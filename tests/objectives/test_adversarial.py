"""Adversarial losses: gradients, shape guards, batch sizes, event weights and values with known answers."""

import math
import runpy
from pathlib import Path

import pytest
import torch

from reverie.core.errors import InputError, UnknownNameError
from reverie.objectives import OBJECTIVES, PENALTIES, equilibrium_outputs
from reverie.objectives.adversarial import minimax_discriminator, minimax_generator

SKELETON = runpy.run_path(str(Path(__file__).parents[2] / "docs/developer/skeletons/objective.py"))
GAMES = OBJECTIVES | {"skeleton": SKELETON["LEAST_SQUARES"]}  # which developers copy
NAMES = list(GAMES)
BOTH_PLAYERS = pytest.mark.parametrize("player", ["discriminator", "generator"])
EVERY_OBJECTIVE = pytest.mark.parametrize("name", NAMES)


def _logits(n, seed=0, shape=(1,)):
    return torch.randn(2, n, *shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def _weights(*values):
    return torch.tensor(values, dtype=torch.float64)


@EVERY_OBJECTIVE
@BOTH_PLAYERS
@pytest.mark.parametrize("weight", [None, _weights(2.0, -1.0, 0.0, 3.0, 1.0, 1.0)])
def test_gradients_agree_with_finite_differences(name, player, weight):
    loss = getattr(GAMES[name], player)
    real, fake = (row.clone().requires_grad_() for row in _logits(6))
    assert torch.autograd.gradcheck(lambda a, b: loss(a, b, weight), (real, fake))


@EVERY_OBJECTIVE
@BOTH_PLAYERS
def test_shapes_that_would_broadcast_are_refused(name, player):
    loss = getattr(GAMES[name], player)
    with pytest.raises(InputError, match=r"\(4, 1\) and \(4,\)"):
        loss(torch.zeros(4, 1), torch.zeros(4))
    with pytest.raises(InputError, match=r"shape \(4,\), got \(4, 1\)"):
        loss(torch.zeros(4, 1), torch.zeros(4, 1), torch.ones(4, 1))
    with pytest.raises(InputError, match=r"shape \(4,\), got \(1,\)"):
        loss(torch.zeros(4, 1), torch.zeros(4, 1), torch.ones(1))


@EVERY_OBJECTIVE
@BOTH_PLAYERS
def test_loss_does_not_depend_on_the_size_of_the_batch_or_a_last_axis(name, player):
    loss = getattr(GAMES[name], player)
    (real, fake), weight = _logits(5, seed=1), _weights(1.0, -0.5, 2.0, 2.0, 0.5)
    expected = loss(real, fake, weight)
    torch.testing.assert_close(loss(real.repeat(3, 1), fake.repeat(3, 1), weight.repeat(3)), expected)
    torch.testing.assert_close(loss(real[:, 0], fake[:, 0], weight), expected)


# Event weights


@EVERY_OBJECTIVE
@BOTH_PLAYERS
def test_weights_of_one_change_nothing(name, player):
    loss = getattr(GAMES[name], player)
    real, fake = _logits(7)
    assert torch.equal(loss(real, fake), loss(real, fake, torch.ones(7, dtype=torch.float64)))


@EVERY_OBJECTIVE
def test_whole_weights_are_repetitions(name):
    """Events of weight k count k times, and those of weight 0 not at all; weights have mean one."""
    loss, (real, fake) = GAMES[name].discriminator, _logits(4, seed=2)
    times = torch.tensor([2, 0, 1, 1])
    fake = fake[:1].expand(4, 1)  # a pairing loss then meets the same partner
    torch.testing.assert_close(loss(real, fake, times.double()), loss(real.repeat_interleave(times, 0), fake))


@EVERY_OBJECTIVE
def test_an_event_of_negative_weight_cancels_its_double(name):
    loss, (real, fake) = GAMES[name].discriminator, _logits(3, seed=3)
    fake = fake[:1].expand(3, 1)
    a, b = real[0], real[2]
    cancelling = torch.stack([a, a, b])
    expected = loss(torch.stack([a, b, b]), fake, _weights(1.0, 1.0, 1.0))
    torch.testing.assert_close(loss(cancelling, fake, _weights(2.0, -1.0, 2.0)), expected)
    vanishing = loss(torch.stack([a, a, b]), fake, _weights(1.0, -1.0, 3.0))
    torch.testing.assert_close(vanishing, loss(b.expand(3, 1), fake, _weights(1.0, 1.0, 1.0)))


@EVERY_OBJECTIVE
def test_loss_is_linear_in_the_weights_so_its_mean_over_batches_is_unbiased(name):
    """The twin: dividing by the sum of the weights of each batch gives another mean."""
    loss, (real, fake) = GAMES[name].discriminator, _logits(6, seed=4)
    weight = _weights(3.0, 1.0, -1.0, 2.0, 0.5, 0.5)
    whole = loss(real, fake, weight)
    parts = [loss(real[i], fake[i], weight[i]) for i in torch.arange(6).chunk(3)]
    torch.testing.assert_close(torch.stack(parts).mean(), whole)
    wrong = [loss(real[i], fake[i], weight[i] / weight[i].mean()) for i in torch.arange(6).chunk(3)]
    assert torch.stack(wrong).mean().item() != pytest.approx(whole.item(), rel=0.01)


@EVERY_OBJECTIVE
def test_only_pairing_objectives_weight_the_generator(name):
    objective, (real, fake) = GAMES[name], _logits(4, seed=5)
    weight = _weights(3.0, -1.0, 1.0, 1.0)
    changed = objective.generator(real, fake, weight).item() != objective.generator(real, fake).item()
    assert changed is objective.generator_needs_real


# Values


def test_minimax_is_a_zero_sum_game():
    real, fake = _logits(7, seed=2)
    value = torch.log(torch.sigmoid(real)).mean() + torch.log(1 - torch.sigmoid(fake)).mean()
    torch.testing.assert_close(-minimax_discriminator(real, fake), value)
    torch.testing.assert_close(minimax_generator(real, fake), torch.log(1 - torch.sigmoid(fake)).mean())


def test_value_at_equality_is_minus_log_4():
    undecided = torch.zeros(5, 1, dtype=torch.float64)
    assert -minimax_discriminator(undecided, undecided).item() == pytest.approx(-math.log(4), abs=1e-12)


@pytest.mark.parametrize(
    ("name", "d_loss", "g_loss"),
    [
        ("minimax", math.log1p(math.exp(-2)) + math.log1p(math.exp(0.5)), -math.log1p(math.exp(0.5))),
        ("non_saturating", math.log1p(math.exp(-2)) + math.log1p(math.exp(0.5)), math.log1p(math.exp(-0.5))),
        ("least_squares", 0.5 * 1.0**2 + 0.5 * 0.5**2, 0.5 * 0.5**2),
        ("hinge", 0.0 + 1.5, -0.5),
        ("wasserstein", 0.5 - 2.0, -0.5),
        ("wasserstein_gp", 0.5 - 2.0, -0.5),
        ("relativistic", math.log1p(math.exp(-1.5)), math.log1p(math.exp(1.5))),
    ],
)
def test_losses_of_two_logits(name, d_loss, g_loss):
    real, fake = torch.tensor([2.0], dtype=torch.float64), torch.tensor([0.5], dtype=torch.float64)
    assert GAMES[name].discriminator(real, fake).item() == pytest.approx(d_loss)
    assert GAMES[name].generator(real, fake).item() == pytest.approx(g_loss)


@pytest.mark.parametrize(("name", "pull"), [("minimax", 0.0), ("non_saturating", 1.0), ("hinge", 1.0)])
def test_only_the_minimax_generator_loses_its_gradient_where_d_is_sure(name, pull):
    fake = torch.full((1,), -20.0, requires_grad=True)
    (gradient,) = torch.autograd.grad(GAMES[name].generator(-fake.detach(), fake), fake)
    assert -gradient.item() == pytest.approx(pull, abs=1e-6)


@EVERY_OBJECTIVE
def test_losses_stay_finite_for_huge_logits(name):
    huge = torch.tensor([1e4])
    for real, fake in [(huge, -huge), (-huge, huge)]:
        assert torch.isfinite(GAMES[name].discriminator(real, fake))
        assert torch.isfinite(GAMES[name].generator(real, fake))


@EVERY_OBJECTIVE
@BOTH_PLAYERS
def test_an_undecided_discriminator_gives_finite_gradients(name, player):
    real, fake = torch.zeros(2, 5, 1, requires_grad=True)
    gradients = torch.autograd.grad(getattr(GAMES[name], player)(real, fake), (real, fake), materialize_grads=True)
    assert all(torch.isfinite(g).all() for g in gradients)


@EVERY_OBJECTIVE
def test_the_table_of_objectives_is_sound(name):
    objective = GAMES[name]
    assert objective.penalty in PENALTIES
    assert (objective.penalty_weight > 0) == (objective.penalty != "none")
    assert (objective.clip == 0.01) == (name == "wasserstein")
    assert objective.n_critic == (5 if name.startswith("wasserstein") else 1)


# Readings of logits as probabilities

SCALES = ["log_odds", "relative", "probability", "sign"]


@pytest.mark.parametrize("scale", SCALES)
def test_outputs_meet_at_one_half_in_equilibrium(scale):
    undecided = torch.full((5, 1), 0.5 if scale == "probability" else 0.0)
    d_real, d_fake = equilibrium_outputs(undecided, undecided, scale=scale)
    assert d_real.item() == d_fake.item() == 0.5


@pytest.mark.parametrize("scale", SCALES)
def test_outputs_tell_who_wins_and_stay_in_range(scale):
    d_real, d_fake = equilibrium_outputs(torch.full((5, 1), 9.0), torch.full((5, 1), -9.0), scale=scale)
    assert 0.99 < d_real.item() <= 1
    assert 0 <= d_fake.item() < 0.01


def test_outputs_of_relative_logits_do_not_depend_on_their_offset():
    real, fake = _logits(1000, seed=3)
    for a, b in zip(
        equilibrium_outputs(real + 40, fake + 40, scale="relative"),
        equilibrium_outputs(real, fake, scale="relative"),
        strict=True,
    ):
        torch.testing.assert_close(a, b)
    d_real, _ = equilibrium_outputs(real + 40, fake + 40, scale="log_odds")
    assert d_real.item() == pytest.approx(1.0)


def test_weighted_outputs_meet_where_unweighted_ones_do_not():
    """A generator that follows the weighted law meets weighted real events at one mean, and others at another."""
    logits, weight = torch.tensor([[-1.0], [1.0], [0.0], [0.0]], dtype=torch.float64), _weights(0.5, 1.5, 1.0, 1.0)
    law = logits[[0, 1, 1, 1, 2, 2, 3, 3]]  # eight events of the weighted law, and twice the four real ones
    d_real, d_fake = equilibrium_outputs(logits.repeat(2, 1), law, scale="log_odds", weight=weight.repeat(2))
    torch.testing.assert_close(d_real, d_fake)
    d_real, d_fake = equilibrium_outputs(logits.repeat(2, 1), law, scale="log_odds")
    assert d_real.item() < d_fake.item() - 0.01


def test_unknown_scales_name_the_known_ones():
    with pytest.raises(UnknownNameError, match="log_odds"):
        equilibrium_outputs(torch.zeros(2), torch.zeros(2), scale="logodd")
