"""What a GAN is told besides the events: weights, conditions, replicas, a watch."""

import copy
from dataclasses import replace

import numpy as np
import pytest
import torch

from reverie.core.errors import InputError, TrainingError
from reverie.data.dataset import Dataset
from reverie.models import GAN, load_model, save_model
from reverie.models.gan import training as gan_training
from reverie.models.gan.training import AdversarialStep

pytestmark = pytest.mark.usefixtures("global_random_state_untouched")
TINY = {
    "max_steps": 6,
    "batch_size": 16,
    "record_every": 2,
    "random_state": 0,
    "generator": (8,),
    "discriminator": (8,),
}
SMALL = {"generator": (32, 32), "discriminator": (32, 32), "batch_size": 128, "n_checks": 0, "random_state": 0}


def _events(n=300, seed=0):
    return np.random.default_rng(seed).normal(size=(n, 2))


def _labels(n=300):
    return np.random.default_rng(1).integers(0, 3, n)


def _critic(model):
    return torch.cat([w.flatten() for w in model._step.D.parameters()])


def _trained(X=None, **fit_options):
    return GAN(**(TINY | {"validation_fraction": 0.0})).fit(_events() if X is None else X, **fit_options)


# ---------------------------------------------------------------------------------------------------- event weights


def test_equal_weights_change_nothing_and_others_do():
    plain = _critic(_trained())
    assert torch.equal(plain, _critic(_trained(sample_weight=np.full(300, 2.5))))
    assert not torch.equal(plain, _critic(_trained(sample_weight=np.linspace(0.5, 1.5, 300))))


def test_the_two_terms_of_the_value_are_recorded_and_add_up():
    X, w = np.random.default_rng(0).normal(size=(200, 2)), np.tile([0.5, 1.5], 100)
    game = GAN(objective="minimax", penalty="none", max_steps=4, batch_size=32, refine=False, random_state=0)
    for row in game.fit(X, sample_weight=w).history_:
        assert row["log_d_real"] + row["log_not_d_fake"] == pytest.approx(-row["d_loss"], abs=1e-6)
        assert max(row["log_d_real"], row["log_not_d_fake"]) < 0
    judged = game.set_params(max_steps=1, learning_rate=1e-30).fit(X)  # of one step: D is as it was at the start
    assert judged.history_[0]["log_d_real"] == pytest.approx(np.log(judged.history_[0]["d_real"]), abs=0.05)
    assert "log_d_real" not in game.set_params(objective="hinge").fit(X).history_[0]


def test_the_scale_of_the_weights_does_not_matter_and_a_dataset_brings_its_own():
    w = np.random.default_rng(1).uniform(0.5, 1.5, 300)
    told = _critic(_trained(sample_weight=w))
    torch.testing.assert_close(told, _critic(_trained(sample_weight=10 * w)))
    torch.testing.assert_close(told, _critic(_trained(Dataset(_events(), weights=w))))


@pytest.mark.parametrize(
    "w", [np.ones(7), np.full(300, np.nan), np.r_[np.full(150, -2.0), np.ones(150)]], ids=["length", "nan", "sum"]
)
def test_impossible_weights_are_refused_in_words(w):
    with pytest.raises(
        InputError, match="Expected (one weight per event|finite event weights|event weights of .* with a positive sum)"
    ):
        GAN(**TINY).fit(_events(), sample_weight=w)


@pytest.mark.slow
@pytest.mark.parametrize("signed", [False, True])
def test_samples_follow_the_weighted_density(signed):
    """Weights turn a mixture of two peaks 1:1 into 3:1; negative ones take a third peak away."""
    rng = np.random.default_rng(0)
    x = np.r_[rng.normal(-2, 0.3, 4000), rng.normal(2, 0.3, 4000)]
    w = np.r_[np.full(4000, 1.5), np.full(4000, 0.5)]
    if signed:  # 1000 events around 0 of weight +1 and 1000 of weight -1: nothing is there
        x, w = np.r_[x, rng.normal(0, 0.3, 2000)], np.r_[w, np.ones(1000), -np.ones(1000)]
    model = GAN(**(SMALL | {"max_steps": 2500})).fit(np.c_[x, rng.normal(size=len(x))], sample_weight=w)
    sample = model.sample(4000, random_state=0)[:, 0]
    assert 0.68 < float((sample < -1).mean()) < 0.82  # 3/4; an unweighted model gives 1/2
    assert float((np.abs(sample) < 1).mean()) < 0.06  # events of both signs around 0 cancel; unweighted: 1/5


# ------------------------------------------------------------------------------------------------------- conditions


@pytest.mark.parametrize(
    ("mode", "aux"), [("projection", 0.0), ("concatenate", 0.0), ("projection", 0.5), ("auxiliary", 0.5)]
)
def test_conditional_models_sample_what_they_are_asked_for(mode, aux, tmp_path):
    X, y = _events(), _labels()
    model = GAN(condition_mode=mode, auxiliary_weight=aux, **TINY).fit(X, y)
    assert model.sample(7, random_state=0, condition=2).shape == (7, 2)
    one = model.sample(5, random_state=0, condition=[0, 1, 2, 0, 1])
    np.testing.assert_array_equal(one[:2], model.sample(5, random_state=0, condition=[0, 1, 1, 1, 1])[:2])
    assert not np.array_equal(one, model.sample(5, random_state=0, condition=1))
    drawn = model.sample_conditions(2000, random_state=0)
    assert set(np.unique(drawn)) == {0, 1, 2}
    np.testing.assert_array_equal(
        model.sample(2000, random_state=0), model.sample(2000, random_state=0, condition=drawn)
    )
    back = load_model(model.save(tmp_path / "m"))
    np.testing.assert_array_equal(back.sample(9, random_state=1), model.sample(9, random_state=1))
    np.testing.assert_allclose(back.discriminate(X, y), model.discriminate(X, y))
    assert np.isfinite(model.score(X, y))


def test_conditions_may_be_words_numbers_and_several_columns():
    pandas = pytest.importorskip("pandas")
    rng = np.random.default_rng(0)
    words = np.array(["muon", "electron"])[rng.integers(0, 2, 300)]
    model = GAN(**TINY).fit(_events(), words)
    assert model.sample(3, condition="muon").shape == (3, 2)
    with pytest.raises(InputError, match="one of"):
        model.sample(3, condition="tau")
    frame = pandas.DataFrame({"energy": rng.exponential(size=300), "kind": words})
    model = GAN(**TINY).fit(_events(), frame)
    assert model.conditions_.names == ["energy", "kind"]
    assert model.sample(3, condition={"energy": 1.5, "kind": "electron"}).shape == (3, 2)
    assert model.sample(2, condition=frame[:2]).shape == (2, 2)
    with pytest.raises(InputError, match="kind"):
        model.sample(3, condition={"energy": 1.5})


def test_wrong_conditions_are_refused_in_words():
    X, y = _events(), _labels()
    with pytest.raises(InputError, match="one condition per event"):
        GAN(**TINY).fit(X, y[:10])
    with pytest.raises(InputError, match="conditions that vary"):
        GAN(**TINY).fit(X, np.zeros(300, dtype=int))
    model = GAN(**TINY).fit(X, y)
    with pytest.raises(InputError, match="one of"):
        model.sample(3, condition=7)
    with pytest.raises(InputError, match="one condition of shape"):
        model.sample(3, condition=[0, 1])
    with pytest.raises(InputError, match="Call fit"):
        GAN(**TINY).fit(X).sample(3, condition=1)
    with pytest.raises(InputError, match="auxiliary_weight"):
        GAN(auxiliary_weight=1.0, **TINY).fit(X)


@pytest.mark.slow
def test_a_continuous_condition_moves_the_samples():
    rng = np.random.default_rng(0)
    energy = rng.uniform(1, 3, 6000)
    X = np.c_[energy * 2 + 0.2 * rng.normal(size=6000), rng.normal(size=6000)]
    model = GAN(**(SMALL | {"max_steps": 2500})).fit(X, energy)
    for asked in (1.2, 2.0, 2.8):
        sample = model.sample(2000, random_state=0, condition=asked)[:, 0]
        assert abs(sample.mean() - 2 * asked) < 0.2  # a model blind to the condition would give 4 for all
        assert 0.1 < sample.std() < 0.4


# --------------------------------------------------------------------------------------------------------- replicas


def test_replicas_play_apart():
    """What one replica is shown moves that replica alone."""
    model = GAN(n_replicas=3, penalty_every=1, **TINY).fit(_events())
    batch = torch.zeros(48, 2)
    batch[1::3] = torch.randn(16, 2, generator=torch.Generator().manual_seed(0))
    other = batch.clone()
    other[1::3] += 1
    first, second = (_after_one_step(model._step, rows) for rows in (batch, other))
    for a, b in zip(first, second, strict=True):
        assert torch.equal(a[0], b[0])
        assert torch.equal(a[2], b[2])
    assert any(not torch.equal(a[1], b[1]) for a, b in zip(first, second, strict=True))


def _after_one_step(game, rows):
    before = copy.deepcopy(game.state_dict())
    game.train_step(rows, torch.Generator().manual_seed(1))
    weights = [w.detach().clone() for w in game.D.parameters()]
    game.load_state_dict(before)
    return weights


def test_samples_of_an_ensemble_come_from_all_replicas_in_turn():
    model = GAN(n_replicas=4, **TINY).fit(_events())
    bag = model.sample(40, random_state=0)
    assert model.sample(5, replica=3).shape == (5, 2)
    with pytest.raises(InputError, match="replica in 0"):
        model.sample(5, replica=4)
    assert not np.array_equal(bag, model.sample(40, random_state=0, replica=0))


# ------------------------------------------------------------------------------------------------------------ watch


def test_what_is_held_out_is_not_trained_on():
    model = GAN(**(TINY | {"n_checks": 3})).fit(_events(1000))
    assert [line["step"] for line in model.history_ if "score" in line] == [2, 4, 6]
    assert len(model._run.held_out["x"]) == 100


def test_a_loss_that_is_not_finite_ends_training_or_is_undone():
    broken = TINY | {"learning_rate": 1e30, "optimizer": "sgd", "max_steps": 40, "n_checks": 20}
    with pytest.raises(TrainingError, match="became"):
        GAN(**broken).fit(_events())
    with pytest.raises(TrainingError, match="became"):  # half of it, and half of that, is as bad
        GAN(on_alarm="rollback", **broken).fit(_events())


def test_a_replica_takes_the_steps_of_a_game_of_its_own(monkeypatch):
    """Two replicas against the same two games played alone; catches gradients read in the wrong order of memory."""
    model = GAN(n_replicas=2, penalty_every=1, **TINY).fit(_events())
    game, settings = model._step, replace(model._step.settings, optimizer="adam", n_replicas=2)
    twin = AdversarialStep(game.G, game.D, game.objective, settings)
    alone = [_alone(game, r, settings) for r in range(2)]
    noise = torch.Generator().manual_seed(0)
    for _ in range(5):
        x, z = torch.randn(64, 2, generator=noise), torch.randn(64, settings.n_noise, generator=noise)
        monkeypatch.setattr(gan_training, "draw_noise", lambda n, *_, z=z, **__: z[:n])
        twin.train_step(x, noise)
        for r, single in enumerate(alone):
            monkeypatch.setattr(gan_training, "draw_noise", lambda n, *_, z=z, r=r, **__: z[r::2][:n])
            single.train_step(x[r::2], noise)
    for r, single in enumerate(alone):
        for a, b in zip(twin.G.parameters(), single.G.parameters(), strict=True):
            assert float((a[r] - b).detach().abs().max()) < 2e-4  # of five steps of 1e-3; scrambled: 1e-2


def _alone(game, r, settings):
    G = game.G.around(game.G.network.replica(r)).train()
    D = game.D.replica(r)
    for network in (G, D):
        network.train().requires_grad_(requires_grad=True)
    return AdversarialStep(G, D, game.objective, replace(settings, n_replicas=1))


def test_words_come_back_as_words_and_have_one_code_however_they_are_given():
    pd = pytest.importorskip("pandas")
    a, b = np.random.default_rng(0).normal(size=300), ["mu", "e", "tau"] * 100
    frame = pd.DataFrame({"a": a, "b": b})
    model = GAN(max_steps=2, random_state=0).fit(frame)
    assert set(model.sample(20, random_state=0)["b"]) <= {"mu", "e", "tau"}
    two = frame[frame["b"] != "e"]  # of which "mu" and "tau" alone would be 0 and 1
    told = model.discriminate(frame)[frame["b"].to_numpy() != "e"]
    for given in (two, Dataset(two)):
        np.testing.assert_allclose(model.discriminate(given), told, rtol=1e-5)
    with pytest.raises(InputError, match="to hold e, mu, tau, got pi"):
        model.discriminate(frame.replace({"b": {"mu": "pi"}}))
    further = GAN(max_steps=2, random_state=0).fit(two, start=model)
    assert further.schema_.labels == {"b": ("e", "mu", "tau")}
    with pytest.raises(InputError, match="Give a data frame or"):
        GAN(max_steps=2).fit({"a": a, "b": b})


@pytest.mark.parametrize("prior", ["normal", "uniform"])
def test_categories_are_drawn_by_numbers_of_their_own(prior, tmp_path):
    pd = pytest.importorskip("pandas")
    frame = pd.DataFrame({"a": np.random.default_rng(0).normal(size=300), "b": ["mu", "e", "tau"] * 100})
    model = GAN(max_steps=3, noise_prior=prior, random_state=0).fit(frame)
    assert (model.resolved_["n_noise"], model.resolved_["n_categories"]) == (19, 3)
    G = model._samples_from()
    z = torch.rand(500, 19, generator=torch.Generator().manual_seed(0)) * 2 - 1
    with torch.no_grad():
        first, second = (G.unwhiten(G(torch.cat([z[:, :16], last], dim=1))) for last in (z[:, 16:], z[:, 16:].flip(0)))
    assert torch.equal(first[:, 0], second[:, 0])
    assert 100 < (first[:, 1:].argmax(1) != second[:, 1:].argmax(1)).sum() < 500
    save_model(model, tmp_path / "model")
    loaded = load_model(tmp_path / "model")
    pd.testing.assert_frame_equal(loaded.sample(50, random_state=1), model.sample(50, random_state=1))


def test_a_start_without_numbers_for_categories_stays_without(monkeypatch):
    pd = pytest.importorskip("pandas")
    frame = pd.DataFrame({"a": np.random.default_rng(0).normal(size=300), "b": ["mu", "e", "tau"] * 100})
    with monkeypatch.context() as former:
        former.setattr("reverie.models.gan.estimator._EDITION", 3)
        model = GAN(max_steps=3, random_state=0).fit(frame)
    further = GAN(max_steps=3, random_state=0).fit(frame, start=model)
    assert model.resolved_["n_noise"] == further.resolved_["n_noise"] == 16


def test_perceptrons_of_more_than_eight_features_are_wide_but_in_a_start_of_a_former_edition(monkeypatch):
    def width(model):
        return next(model._samples_from().network.parameters()).shape[0]

    x = np.random.default_rng(0).normal(size=(300, 9))
    quick = {"max_steps": 2, "random_state": 0, "n_checks": 0, "refine": False}
    assert [width(GAN(**quick).fit(rows)) for rows in (x[:, :8], x)] == [128, 256]
    assert width(GAN(generator=(16,), **quick).fit(x)) == 16
    with monkeypatch.context() as former:
        former.setattr("reverie.models.gan.estimator._EDITION", 3)
        start = GAN(**quick).fit(x)
    assert [width(start), width(GAN(**quick).fit(x, start=start))] == [128, 128]
