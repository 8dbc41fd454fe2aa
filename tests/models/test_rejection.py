"""Rejection after training: whether a referee is used is a test, and what it cannot mend is said."""

import math
from contextlib import nullcontext

import pytest
import torch
from scipy.stats import binomtest
from torch.nn.functional import softplus

from reverie.core.errors import SamplingWarning
from reverie.models.gan.rejection import RejectionClassifier, accepted, fit_rejection, is_gain

ALPHA = 1e-4


def _gains(m, seed, *, shift):
    """Return gains of a classifier on its way, of m events from N(0, 1) and 4 m samples from N(shift, 1)."""
    generator = torch.Generator().manual_seed(seed)
    real = torch.randn(m, 3, generator=generator)
    fake = torch.randn(4 * m, 3, generator=generator) + shift
    way = (
        torch.randn(12, 3, generator=generator) / math.sqrt(m) - shift * torch.linspace(0.3, 1.2, 12)[:, None]
    ).cumsum(0)
    slopes = way / torch.arange(1, 13)[:, None].sqrt()
    c_real, c_fake = (slopes @ (x - shift / 2).T for x in (real, fake))
    return math.log(2) - softplus(-c_real), math.log(2) - softplus(c_fake)


@pytest.mark.parametrize("m", [100, 1000, pytest.param(10_000, marks=pytest.mark.slow)])
def test_samples_of_the_right_law_are_left_alone(m):
    """At most 5 % of 300 fits; the least held-out loss, the twin, is taken for a gain in most."""
    gains = [_gains(m, seed, shift=0.0) for seed in range(300)]
    n_used = sum(is_gain(*both, None) for both in gains)
    assert binomtest(n_used, 300, 0.05, alternative="greater").pvalue > ALPHA
    n_seeming = sum(float((a.mean(1) + b.mean(1)).max()) > 0 for a, b in gains)
    assert binomtest(n_seeming, 300, 0.05, alternative="greater").pvalue < ALPHA


def test_a_generator_that_is_off_is_refereed():
    """Power: a shift of a third of a standard deviation in three columns is seen by 1,000 events nearly always."""
    n_used = sum(is_gain(*_gains(1000, seed, shift=-0.3), None) for seed in range(100))
    assert n_used > 95


def test_weights_of_held_out_events_count():
    """Events that stand out have weight zero: what is left is one law."""
    generator = torch.Generator().manual_seed(0)
    real = torch.randn(1, 2000, generator=generator)
    weight = torch.tensor([0.0, 2.0]).repeat(1000).roll(1)[torch.randperm(2000, generator=generator)]
    of_real = torch.where(weight > 0, 0.05 * real, 0.5)
    of_generated = 0.05 * torch.randn(1, 4000, generator=generator) - 0.005
    assert not is_gain(of_real, of_generated, weight)
    assert is_gain(of_real, of_generated, None)


def test_accepted_samples_have_the_law_that_they_are_accepted_by_and_stay_in_their_rows():
    """Uniform numbers x that are accepted with probability x^3 have the mean 4/5.

    The mean of 50,000 errs by 0.0007; it is off by more than 4 errors once in 16,000 seeds.
    """
    generator, sizes = torch.Generator().manual_seed(0), []

    def draw(index):
        x, u = torch.rand(2, len(index), generator=generator)
        sizes.append(len(index))
        return torch.stack([index.float(), x], dim=1), 3 * x.log(), u

    rows, x = accepted(draw, 50_000).unbind(1)
    assert rows.tolist() == list(range(50_000))
    error = math.sqrt(4 / 6 - 0.64) / math.sqrt(50_000)
    assert abs(float(x.mean()) - 0.8) < 4 * error
    assert max(sizes) == 50_000
    assert len(sizes) < 8  # one candidate of each at a time would take about forty rounds
    # of candidates that are drawn at once the first accepted one counts; the likeliest of them has another law
    x, u = torch.rand(2, 16, 50_000, generator=generator)
    likeliest = torch.where(u < x**3, x, 0).amax(0)
    assert abs(float(likeliest[likeliest > 0].mean()) - 0.8) > 4 * error


@pytest.mark.parametrize("level", [1e3, -1e3])
def test_samples_that_were_refused_to_the_end_are_said(level):
    referee = RejectionClassifier(2, 0)
    referee.level.fill_(level)  # every sample is refused, or none
    said = pytest.warns(SamplingWarning, match="refused 64 times") if level > 0 else nullcontext()

    def draw(rows):
        x = torch.ones(len(rows), 2)
        return x, referee.log_acceptance(x), torch.rand(len(rows))

    with said, torch.random.fork_rng():
        torch.manual_seed(0)
        x = accepted(draw, 5)
    assert torch.equal(x, torch.ones(5, 2))


def test_what_is_refused_to_the_end_is_chosen_by_the_ratio():
    """Samples 0 and 1, both hopeless, 1 three times as likely; the twin, the last refused, is 1 half of the time."""
    generator, last = torch.Generator().manual_seed(0), torch.zeros(4000)

    def draw(rows):
        last[rows] = torch.randint(2, (len(rows),), generator=generator).float()
        return last[rows], math.log(3) * last[rows] - 50, torch.rand(len(rows), generator=generator)

    with pytest.warns(SamplingWarning):
        n_ones = int(accepted(draw, 4000).sum())
    assert binomtest(n_ones, 4000, 0.75).pvalue > ALPHA
    assert binomtest(int(last.sum()), 4000, 0.75).pvalue < ALPHA


@pytest.mark.slow
def test_a_trained_referee_is_used_on_a_wide_generator_and_refuses_its_tails():
    generator = torch.Generator().manual_seed(0)
    real, held_out = torch.randn(4500, 2, generator=generator), torch.randn(500, 2, generator=generator)
    fake = 1.5 * torch.randn(20_000, 2, generator=generator)
    options = {"weight": None, "held_out_weight": None, "max_steps": 600, "n_physical": 2, "seed": 0}
    referee = fit_rejection(*(torch.cat([x, x], 1) for x in (real, held_out, fake)), **options)
    fresh = 1.5 * torch.randn(20_000, 2, generator=generator)
    kept = fresh[torch.rand(20_000, generator=generator) < referee.acceptance(torch.cat([fresh, fresh], 1))]
    assert float(kept.std()) == pytest.approx(1.0, abs=0.1)
