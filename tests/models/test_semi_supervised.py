"""The semi-supervised GAN: labels that are not given are not used, and unlabelled events help."""

import numpy as np
import pytest
import torch
from sklearn.base import clone
from sklearn.datasets import load_digits, make_moons
from sklearn.exceptions import NotFittedError
from sklearn.utils.estimator_checks import parametrize_with_checks

from reverie.core.errors import CheckpointError, InputError
from reverie.data.dataset import Dataset
from reverie.models.files import load_model, save_model
from reverie.models.gan.semi_supervised import SemiSupervisedGAN
from reverie.models.gan.settings import FEATURE_MATCHING, learning_rate_of
from reverie.training.optimizers import OPTIMIZERS

pytestmark = pytest.mark.usefixtures("global_random_state_untouched")

TINY = {"hidden": (16, 8), "generator_hidden": (8,), "n_noise": 4, "max_steps": 6, "record_every": 2, "random_state": 0}


def _few(labels, n_per_class, seed=0):
    rng = np.random.default_rng(seed)
    few = np.full(len(labels), -1)
    for k in np.unique(labels):
        few[rng.choice(np.flatnonzero(labels == k), n_per_class, replace=False)] = k
    return few


def _moons(n=500, seed=0):
    X, y = make_moons(n, noise=0.1, random_state=seed)
    return X, y


def _images(n=200):
    bunch = load_digits()
    return bunch.images[:n].astype(np.uint8), bunch.target[:n]


DATA = {"table": _moons, "images": _images}
EVERY = pytest.mark.parametrize("name", list(DATA))


@pytest.mark.slow
@pytest.mark.parametrize("seed", [0, 1])
def test_unlabelled_moons_teach_what_ten_labels_cannot(seed):
    """Measured 99.6 to 100 % against 85 to 93 % from the ten labels alone; the margin asked for is 5 points."""
    X, y = _moons(seed=seed)
    few = _few(y, 5, seed)
    options = {"hidden": (100, 100), "generator_hidden": (100, 100), "n_noise": 8, "random_state": 0}
    together = SemiSupervisedGAN(max_steps=1000, **options).fit(X, few)
    alone = SemiSupervisedGAN(max_steps=300, unlabelled_weight=0, **options).fit(X[few >= 0], few[few >= 0])
    assert together.n_labelled_ == alone.n_labelled_ == 10
    assert together.score(X, y) > max(0.97, alone.score(X, y) + 0.05)


@pytest.mark.slow
def test_unlabelled_digits_teach_what_ten_labels_cannot():
    """One label per digit; measured 75 % against 67 % from the labels alone; the margin asked for is 4 points."""
    X, y = _images(1797)
    few = _few(y, 1)
    options = {"hidden": (100, 50), "generator_hidden": (100,), "n_noise": 20, "random_state": 0}
    together = SemiSupervisedGAN(max_steps=350, **options).fit(X, few)
    alone = SemiSupervisedGAN(max_steps=200, unlabelled_weight=0, **options).fit(X[few >= 0], few[few >= 0])
    assert together.n_labelled_ == 10
    assert together.score(X, y) > alone.score(X, y) + 0.04


def test_the_labels_of_unlabelled_rows_are_never_used():
    """Other truth behind the -1 changes nothing, bit for bit; twin: one more label changes the result."""
    X, y = _moons()
    few, others = _few(y, 5), 1 - y
    rebuilt = np.where(few == -1, -1, y)
    rebuilt_from_others = np.where(few == -1, -1, 1 - others)
    models = [SemiSupervisedGAN(**TINY).fit(X, labels) for labels in (rebuilt, rebuilt_from_others)]
    np.testing.assert_array_equal(models[0].predict_proba(X), models[1].predict_proba(X))
    one_more = few.copy()
    one_more[np.flatnonzero(few == -1)[0]] = 0
    more = SemiSupervisedGAN(**TINY).fit(X, one_more)
    assert more.n_labelled_ == models[0].n_labelled_ + 1 == 11
    assert not np.array_equal(more.predict_proba(X), models[0].predict_proba(X))


@EVERY
def test_unlabelled_rows_are_used(name):
    """Twin of the test above: with other unlabelled rows, the same labelled ones give another classifier."""
    X, y = DATA[name]()
    few = _few(y, 2)
    changed = X.copy()
    changed[few == -1] = X[few == -1][::-1]
    first, second = SemiSupervisedGAN(**TINY).fit(X, few), SemiSupervisedGAN(**TINY).fit(changed, few)
    assert not np.array_equal(first.predict_proba(X), second.predict_proba(X))


@EVERY
def test_probabilities_sum_to_one_and_agree_with_predictions_and_score(name):
    X, y = DATA[name]()
    model = SemiSupervisedGAN(**TINY).fit(X, _few(y, 3))
    p = model.predict_proba(X)
    assert p.shape == (len(X), len(np.unique(y)))
    np.testing.assert_allclose(p.sum(axis=1), 1, atol=1e-12)
    np.testing.assert_array_equal(model.predict(X), model.classes_[p.argmax(axis=1)])
    assert model.score(X, y) == np.mean(model.predict(X) == y)
    np.testing.assert_allclose(model.predict_proba(X[:2]), p[:2], atol=1e-6)


@EVERY
def test_samples_have_the_shape_the_type_and_the_bounds_of_the_data(name):
    X, y = DATA[name]()
    model = SemiSupervisedGAN(**TINY).fit(X, _few(y, 2))
    few, many = model.sample(5, random_state=0), model.sample(1030, random_state=0)
    assert many.dtype == X.dtype
    assert many.shape == (1030, *X.shape[1:])
    np.testing.assert_array_equal(few, many[:5])
    assert many.min() >= X.min() or name == "table"
    assert many.max() <= X.max() or name == "table"


def test_tensors_and_datasets_come_back_as_such():
    X, y = _moons(60)
    few = _few(y, 3)
    assert isinstance(SemiSupervisedGAN(**TINY).fit(torch.from_numpy(X), torch.from_numpy(few)).sample(2), torch.Tensor)
    model = SemiSupervisedGAN(**TINY).fit(Dataset(X, names=["x", "y"]), few)
    assert model.sample(2).names == ["x", "y"]
    assert model.predict(Dataset(X, names=["x", "y"])).shape == (60,)


@EVERY
def test_same_seed_same_model_and_fit_forgets_the_past(name):
    X, y = DATA[name]()
    few = _few(y, 2)
    first = SemiSupervisedGAN(**TINY).fit(X, few)
    p = first.predict_proba(X)
    np.testing.assert_array_equal(p, first.fit(X, few).predict_proba(X))
    np.testing.assert_array_equal(p, clone(first).fit(X, few).predict_proba(X))
    assert not np.array_equal(p, clone(first).set_params(random_state=1).fit(X, few).predict_proba(X))


@EVERY
def test_a_resumed_run_ends_at_the_same_bits(name):
    X, y = DATA[name]()
    few = _few(y, 2)
    whole = SemiSupervisedGAN(**TINY).fit(X, few)
    broken = SemiSupervisedGAN(**TINY)
    calls = iter([False, False, True])  # the third step is the last before the break
    for _ in broken.iter_fit(X, few, stop=lambda: next(calls)):
        pass
    assert broken.n_iter_ == 3
    resumed = SemiSupervisedGAN(**TINY)
    for _ in resumed.iter_fit(X, few, resume=broken.training_state()):
        pass
    assert resumed.n_iter_ == 6
    for key, network in whole._networks().items():
        for a, b in zip(network.state_dict().values(), resumed._networks()[key].state_dict().values(), strict=True):
            assert torch.equal(a, b)
    np.testing.assert_array_equal(whole.sample(9, random_state=0), resumed.sample(9, random_state=0))


@EVERY
def test_drawing_between_records_leaves_training_alone(name):
    X, y = DATA[name]()
    few = _few(y, 2)
    straight, watched = SemiSupervisedGAN(**TINY).fit(X, few), SemiSupervisedGAN(**TINY)
    for _ in watched.iter_fit(X, few):
        watched.sample(3, random_state=5)
        watched.predict(X[:5])
    np.testing.assert_array_equal(straight.sample(9, random_state=0), watched.sample(9, random_state=0))
    np.testing.assert_array_equal(straight.predict_proba(X), watched.predict_proba(X))


def test_resuming_with_other_labels_or_networks_is_refused():
    X, y = _moons(60)
    state = SemiSupervisedGAN(**TINY).fit(X, _few(y, 3)).training_state()
    with pytest.raises(CheckpointError, match="other values, labels"):
        list(SemiSupervisedGAN(**TINY).iter_fit(X, _few(y, 4), resume=state))
    with pytest.raises(CheckpointError, match="networks of this configuration"):
        list(SemiSupervisedGAN(**(TINY | {"hidden": (5,)})).iter_fit(X, _few(y, 3), resume=state))


@EVERY
@pytest.mark.parametrize("words", [False, True])
def test_save_and_load_give_the_same_predictions_and_samples(name, words, tmp_path):
    X, y = DATA[name]()
    few = _few(y, 2)
    if words:
        few = np.array([-1 if k == -1 else f"class {k}" for k in few], dtype=object)
    model = SemiSupervisedGAN(**TINY).fit(X, few)
    back = load_model(save_model(model, tmp_path / "model"))
    np.testing.assert_array_equal(back.predict_proba(X), model.predict_proba(X))
    np.testing.assert_array_equal(back.predict(X), model.predict(X))
    np.testing.assert_array_equal(back.sample(20, random_state=0), model.sample(20, random_state=0))
    assert back.n_labelled_ == model.n_labelled_
    assert back.classes_.dtype == model.classes_.dtype


def test_records_tell_losses_and_probabilities():
    X, y = _moons(60)
    records = list(SemiSupervisedGAN(**TINY).iter_fit(X, _few(y, 3)))
    assert [record.step for record in records] == [2, 4, 6]
    assert set(records[0].scalars) == {"d_loss", "g_loss", "label_loss", "d_real", "d_fake"}
    assert all(0 <= record.scalars[key] <= 1 for record in records for key in ("d_real", "d_fake"))


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (None, "requires y to be passed, but the target y is None"),
        (np.full(60, -1), "unlabelled"),
        (np.where(np.arange(60) < 3, 1, -1), "one class only"),
        (np.zeros(7), "one label per sample, 60, got 7"),
        (np.where(np.arange(60) < 3, np.nan, 1.0), "NaN"),
        (np.array(["-1"] * 50 + ["a", "b"] * 5), "array of objects"),
    ],
)
def test_labels_that_cannot_be_used_are_refused_in_words(labels, message):
    with pytest.raises(InputError, match=message):
        SemiSupervisedGAN(**TINY).fit(_moons(60)[0], labels)


def test_event_weights_are_refused_with_a_reason():
    X, y = _moons(60)
    weighted = Dataset(X, names=["x", "y"], weights=np.linspace(0.5, 1.5, 60))
    with pytest.raises(InputError, match="equal weight"):
        SemiSupervisedGAN(**TINY).fit(weighted, _few(y, 3))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"max_steps": 0}, "max_steps"),
        ({"hidden": ()}, "at least one width in hidden"),
        ({"generator_hidden": (0,)}, "generator_hidden"),
        ({"learning_rate": -1.0}, "learning_rate"),
        ({"hidden_noise": -0.1}, "hidden_noise"),
        ({"unlabelled_weight": -1}, "unlabelled_weight"),
        ({"ema_decay": 1.0}, "ema_decay"),
        ({"schedule": "cosinus"}, "Did you mean 'cosine'"),
        ({"optimizer": "adamm"}, "Did you mean 'adam"),
        ({"batch_size": 61}, "at most the 60 training rows, got 61"),
        ({"labelled_batch_size": 7}, "at most the 6 training rows, got 7"),
        ({"batch_size": 1}, "batch_size of at least 2"),
        ({"device": "tpu:zero"}, "device"),
    ],
)
def test_wrong_configurations_are_refused_in_words(options, message):
    X, y = _moons(60)
    with pytest.raises(InputError, match=message):
        SemiSupervisedGAN(**(TINY | options)).fit(X, _few(y, 3))


def test_unfitted_models_say_so_and_scores_need_the_truth():
    X, y = _moons(60)
    model = SemiSupervisedGAN(**TINY)
    for call in (lambda: model.predict(X), lambda: model.sample(1), lambda: model.score(X, y)):
        with pytest.raises(NotFittedError):
            call()
    with pytest.raises(InputError, match="accuracy"):
        model.fit(X, _few(y, 3)).score(X)
    with pytest.raises(InputError, match="no condition"):
        model.sample(1, condition=1)


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_players_take_the_rates_of_their_optimiser(optimizer):
    """SGD at Adam's 0.003 and momentum 0.5 hardly moved, at the rates of other games it diverges within ten steps."""
    X, y = _moons(100)
    options = TINY | {"max_steps": 20, "optimizer": optimizer}
    model = SemiSupervisedGAN(**options).fit(X, _few(y, 5))
    row, used = learning_rate_of(optimizer, FEATURE_MATCHING, images=False), model._run.train_step.settings
    assert used.discriminator_rate == (row.discriminator or row.learning_rate)
    assert (used.generator_rate, used.betas) == (row.learning_rate, row.betas)
    if optimizer == "adam":
        assert (used.discriminator_rate, used.generator_rate, used.betas) == (3e-3, 1e-3, (0.5, 0.999))
    chosen = {"learning_rate": 3e-4, "betas": (0.1, 0.9), "max_steps": 1, "record_every": 1}
    given = SemiSupervisedGAN(**options | chosen).fit(X, _few(y, 5))._run.train_step.settings
    assert (given.discriminator_rate, given.generator_rate, given.betas) == (3e-4, pytest.approx(1e-4), (0.1, 0.9))


EXPECTED_FAILURES = {
    "check_classifiers_classes": "it calls a class -1; scikit-learn excepts its own semi-supervised models by name"
}


LEARN = ("check_classifiers_train", "check_classifiers_classes", "check_classifiers_one_label_sample_weights")


@pytest.mark.slow  # quick in the laws of models: a GAN and a model with a likelihood
@parametrize_with_checks(
    [
        SemiSupervisedGAN(
            hidden=(32,), generator_hidden=(8,), n_noise=4, max_steps=30, learning_rate=0.02, schedule="constant"
        )
    ],
    expected_failed_checks=lambda _: EXPECTED_FAILURES,
)
def test_scikit_learn_contract(estimator, check):
    """Two steps do, but for the checks that ask for accuracy."""
    check(estimator if check.func.__name__ in LEARN else estimator.set_params(max_steps=2))
