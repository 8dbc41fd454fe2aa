"""Augmentation of a GAN: no leak below p = 1, and a probability that follows what the discriminator knows by heart."""

import numpy as np
import pytest
import torch

from reverie.core.errors import InputError
from reverie.models import GAN
from reverie.models.gan import augmentation, training
from reverie.models.gan.augmentation import LARGEST, adapted, augmentation_sentence, augmented, overfitting

TINY = {"max_steps": 8, "batch_size": 16, "record_every": 2, "n_checks": 4, "random_state": 0, "refine": False}
TINY |= {"generator": (8,), "discriminator": (8,)}
SITES = 4


def _operator(p, kind="lattice"):
    """Return T (to, from) of a state that sits on one of four sites of a ring, as `augmented` moves it."""
    n, generator = 4000, torch.Generator().manual_seed(0)
    x = torch.eye(SITES).repeat(n, 1)[:, None, :]  # lattices of 1 x 4
    moved = augmented({"x": x}, [p], generator, kind)["x"][:, 0]
    assert set(moved.unique().tolist()) == {0.0, 1.0}
    return moved.reshape(n, SITES, SITES).mean(0).T.double()


def _rest(T, q):
    """Return the law at which the game is at rest: the generator descends KL(T q, T g) under the best discriminator."""
    logits = torch.zeros(SITES, dtype=torch.float64, requires_grad=True)
    descent = torch.optim.LBFGS([logits], max_iter=200, tolerance_change=1e-14, line_search_fn="strong_wolfe")

    def divergence():
        descent.zero_grad()
        real, fake = T @ q, T @ logits.softmax(0)
        loss = (real * (real / fake).log()).sum()
        loss.backward()
        return loss

    descent.step(divergence)
    return logits.detach().softmax(0)


def test_a_discrete_game_rests_at_the_data_law_below_probability_one_and_leaks_at_one():
    q = torch.tensor([0.6, 0.25, 0.1, 0.05], dtype=torch.float64)
    T = _operator(LARGEST)
    exact = (1 - LARGEST) * torch.eye(SITES) + LARGEST / SITES
    assert float((T - exact).abs().max()) < 0.04  # five standard errors of a share of 4,000
    assert float((_rest(T, q) - q).abs().max()) < 1e-3
    assert float((_rest(torch.full((SITES, SITES), 1 / SITES, dtype=torch.float64), q) - q).abs().max()) > 0.3
    assert float((_operator(1.0) - 1 / SITES).abs().max()) < 0.04  # the twin is what the function does at p = 1


def test_noise_of_tables_has_the_width_and_the_probability_asked_for_in_each_replica():
    n, generator = 20_000, torch.Generator().manual_seed(0)
    rows = {"x": torch.zeros(n, 3), "observables": torch.zeros(n, 2), "weight": torch.ones(n)}
    moved = augmented(rows, [0.0, 0.6], generator, "table")
    both = torch.cat([moved["x"], moved["observables"]], dim=1)
    assert torch.equal(both[::2], torch.zeros(n // 2, 5))
    chosen = (both[1::2] != 0).all(dim=1)
    assert abs(float(chosen.float().mean()) - 0.6) < 0.025  # five standard errors
    assert abs(float(both[1::2][chosen].square().mean()) / augmentation._WIDTH**2 - 1) < 0.12
    assert moved["weight"] is rows["weight"]


def test_images_are_themselves_at_probability_zero_and_gradients_flow_through_the_others():
    x = torch.rand(50, 1, 9, 7, generator=torch.Generator().manual_seed(0)).requires_grad_()
    generator = torch.Generator().manual_seed(1)
    same = augmented({"x": x}, [0.0], generator, "image")["x"]
    torch.testing.assert_close(same, x, atol=1e-5, rtol=0)
    moved = augmented({"x": x}, [0.8], generator, "image")["x"]
    moved.square().sum().backward()
    assert moved.shape == x.shape
    assert float((moved - x).detach().abs().amax(dim=(1, 2, 3)).gt(1e-4).float().mean()) > 0.9
    assert bool(torch.isfinite(x.grad).all())


def test_the_probability_follows_what_is_known_by_heart():
    noise = torch.randn(400, generator=torch.Generator().manual_seed(0))
    r, z = overfitting(noise + 3, noise.flip(0), noise - 1)
    assert r == pytest.approx(0.75, abs=1e-5)
    assert z > 20
    assert adapted(0.3, r, z) == pytest.approx(0.4)
    assert adapted(0.75, r, z) == LARGEST
    assert adapted(0.3, r, 1.9) == adapted(0.3, 0.1, 9.0) == pytest.approx(0.25)
    assert overfitting(noise, noise, noise + 1)[0] == 0  # D blind: nothing can be said


@pytest.mark.parametrize("replicas", [1, 2])
def test_a_run_is_resumed_with_the_probability_that_it_had(replicas, monkeypatch):
    monkeypatch.setattr(training, "overfitting", lambda *_: (1.0, 9.0))
    X = np.random.default_rng(0).normal(size=(300, 2))
    options = TINY | {"augmentation": "adaptive", "n_replicas": replicas}
    whole, broken, resumed = (GAN(**options) for _ in range(3))
    whole.fit(X)
    assert [line["augmentation"] for line in whole.history_] == pytest.approx([0, 0.1, 0.2, 0.3])
    for record in broken.iter_fit(X):
        if record.step == 4:
            break
    for _ in resumed.iter_fit(X, resume=broken.training_state()):
        pass
    assert whole._step.augmentation == resumed._step.augmentation == pytest.approx([0.4] * replicas)
    assert np.array_equal(whole.sample(9, random_state=0), resumed.sample(9, random_state=0))


def test_few_events_are_augmented_and_many_are_not(monkeypatch):
    X = np.random.default_rng(0).normal(size=(3000, 2))
    assert GAN(**TINY).fit(X[:300]).resolved_["augmentation"] == "adaptive"
    assert GAN(**TINY).fit(X).resolved_["augmentation"] == "none"
    assert GAN(**TINY | {"n_checks": 0}).fit(X[:300]).resolved_["augmentation"] == "none"
    monkeypatch.setattr(training, "overfitting", lambda *_: (0.0, 0.0))
    without, unused, fixed = (GAN(**TINY, augmentation=given).fit(X[:300]) for given in ("none", "adaptive", 0.4))
    assert "augmentation" not in without.history_[-1]
    assert "was not needed" in augmentation_sentence(unused.history_)
    assert "saw 40% of the events transformed in the end, 40% at most" in augmentation_sentence(fixed.history_)
    assert augmentation_sentence(without.history_) == ""
    assert fixed.history_[-1]["augmentation"] == pytest.approx(0.4)
    assert np.array_equal(without.sample(9, 0), unused.sample(9, 0))
    assert not np.array_equal(without.sample(9, 0), fixed.sample(9, 0))
    with pytest.raises(InputError, match="held-out events for augmentation='adaptive'"):
        GAN(**TINY | {"validation_fraction": 0.0}, augmentation="adaptive").fit(X[:300])
    with pytest.raises(InputError, match="augmentation"):
        GAN(**TINY, augmentation=0.9).fit(X[:300])
