"""The hand-written EPiC-GAN that the benchmark of jets stands beside ours: symmetries, and sets that are sets."""

import math

import numpy as np
import torch
from benchmarks.quality import epic_gan
from benchmarks.quality.epic_gan import EPiCGAN, _Discriminator, _mass

from reverie.simulators import ToySets


def test_scores_do_not_see_the_order_of_particles_nor_padding():
    torch.manual_seed(0)
    D, x, mask = _Discriminator(3), torch.randn(2, 4, 3), torch.ones(2, 4, 1)
    mask[0, 3] = 0
    scores = D(x * mask, mask)
    turned = [2, 0, 3, 1]
    torch.testing.assert_close(D((x * mask)[:, turned], mask[:, turned]), scores)
    more = torch.zeros(2, 3, 3)
    torch.testing.assert_close(D(torch.cat([x * mask, more], 1), torch.cat([mask, more[..., :1]], 1)), scores)


def test_the_mass_of_two_massless_particles():
    """m^2 = 2 pt1 pt2 (cosh(d eta) - cos(d phi))."""
    sets = torch.tensor([[[0.3, 0.1, 0.6, 1.0], [-0.2, -0.4, 0.3, 1.0], [0.0, 0.0, 0.0, 0.0]]])
    expected = math.sqrt(2 * 0.6 * 0.3 * (math.cosh(0.5) - math.cos(0.5)))
    np.testing.assert_allclose(_mass(sets), [expected], rtol=1e-6)


def test_generated_sets_have_the_numbers_and_the_least_pt_of_training(monkeypatch):
    monkeypatch.setattr(epic_gan, "BATCH", 8)
    train = ToySets(mean_size=4.0, max_size=8).sample(100, random_state=0)
    model = EPiCGAN(random_state=0, max_steps=1).fit(train)
    made = model.sample(50, random_state=1)
    there = made.values[..., -1] == 1
    assert made.schema == train.schema
    assert set(there.sum(1)) <= set(train.values[..., -1].sum(1).astype(int))
    assert (made.values[~there] == 0).all()
    assert made.values[there][:, 2].min() >= train.values[train.values[..., -1] == 1][:, 2].min()
    np.testing.assert_array_equal(model.sample(50, random_state=1).values, made.values)
