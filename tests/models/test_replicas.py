"""Models of several replicas: each is one that could have been trained alone, and together they are a mixture."""

from typing import Any

import numpy as np
import pytest
import torch
from scipy.special import logsumexp

from reverie.core.assessment import Assessment, LogLikelihood, Quantity
from reverie.core.errors import InputError
from reverie.data.batches import Batches
from reverie.models import EBM, GAN, RBM, VAE, Autoencoder, Flow, FlowMatching, load_model
from reverie.training.callbacks import Callback

pytestmark = pytest.mark.usefixtures("short_chains")
COMMON: dict[str, Any] = {
    "max_steps": 4,
    "batch_size": 32,
    "record_every": 2,
    "n_checks": 1,
    "random_state": 7,
    "n_threads": 1,
}
EVENTS = np.random.default_rng(0).normal(size=(260, 2)) * [1.0, 5.0]
LABELS = np.arange(260) % 3
MODELS = {
    "flow": Flow(hidden=(4,), n_transforms=1, n_bins=3, **COMMON),
    "flow matching": FlowMatching(width=4, n_blocks=1, n_evaluations=2, **COMMON),
    "vae": VAE(encoder=(4,), decoder=(4,), n_draws=5, **COMMON),
    "autoencoder": Autoencoder(encoder=(4,), decoder=(4,), n_components=2, **COMMON),
    "rbm": RBM(n_hidden=3, **COMMON),
    "ebm": EBM(energy=(4,), n_sample_steps=4, n_temperatures=10, n_annealed=8, buffer_size=64, **COMMON),
    "gan": GAN(generator=(4,), discriminator=(4,), refine=False, **COMMON),
}


def _ensemble(name, R=3, **options):
    model = MODELS[name]
    options = {"bootstrap": "complete" if name == "gan" else True} | options
    return type(model)(**model.get_params() | {"n_replicas": R} | options)


ALIKE = ("flow", "vae", "autoencoder", "ebm")  # their replicas are trained as those of "flow matching" are
EACH = [pytest.param(name, marks=pytest.mark.slow) if name in ALIKE else name for name in MODELS]


@pytest.mark.parametrize("name", EACH)
def test_each_replica_is_the_model_of_its_seed_trained_alone(name):
    model = _ensemble(name).fit(EVENTS)
    second = model.replicas_[1]
    alone = type(second)(**second.get_params()).fit(EVENTS)
    np.testing.assert_array_equal(model.sample(20, 3, replica=1), alone.sample(20, 3))
    other = type(second)(**model.replicas_[0].get_params()).fit(EVENTS)  # the twin: of another seed
    assert not np.array_equal(alone.sample(20, 3), other.sample(20, 3))


@pytest.mark.parametrize("name", ["flow", "vae"])
def test_the_density_is_the_mean_of_the_replicas(name):
    model = _ensemble(name).fit(EVENTS, LABELS)
    parts = [one.score_samples(EVENTS[:9], LABELS[:9]) for one in model.replicas_]
    np.testing.assert_allclose(model.score_samples(EVENTS[:9], LABELS[:9]), logsumexp(parts, axis=0) - np.log(3))


def test_samples_are_shared_out_over_the_replicas_row_by_row():
    """A replica whose events are moved by far shows which rows are of it; any part is drawn without the rest."""
    model = _ensemble("flow matching").fit(EVENTS)
    for r, one in enumerate(model.replicas_):
        inverse = one.preprocessing_.transform.inverse
        one.preprocessing_.transform.inverse = lambda z, r=r, inverse=inverse: inverse(z) + 1000 * r
    samples = model.sample(2000, 5)
    replica = np.arange(2000) % 1024 % 3
    np.testing.assert_array_equal(np.round(samples[:, 0] / 1000), replica)
    part = np.concatenate(list(model.iter_sample(300, 5, start=1000)))
    np.testing.assert_array_equal(part, samples[1000:1300])


def test_conditions_of_a_sample_are_those_that_were_asked_for():
    """Classes lie 100 apart, so that a sample says which condition it was drawn at."""
    model = _ensemble("flow", R=2, bootstrap=False, max_steps=150, learning_rate=0.02)
    model.fit(EVENTS * 0.01 + 100 * LABELS[:, None], LABELS)
    asked = np.random.default_rng(1).integers(0, 3, 90)
    near = np.round(np.median(model.sample(90, 2, condition=asked), axis=1) / 100)
    assert np.mean(near == asked) > 0.9
    drawn = model.sample_conditions(90, 2)
    assert np.mean(np.round(np.median(model.sample(90, 2), axis=1) / 100) == np.ravel(drawn)) > 0.9


def test_the_change_of_variables_of_a_bootstrap_replica_is_that_of_the_rows_it_trains_on():
    model = _ensemble("flow matching", R=2, preprocessing="standardise", validation_fraction=0.0).fit(EVENTS)
    for one in model.replicas_:
        rows = EVENTS[Batches(torch.arange(260.0), batch_size=260, seed=one.seed_, resample=True).index(0)]
        features = one.preprocessing_.features(rows)
        np.testing.assert_allclose(features.mean(0), 0, atol=1e-6)
    assert not np.allclose(one.preprocessing_.features(EVENTS).mean(0), 0, atol=1e-6)  # the twin: not of all events


def test_levels_that_a_bootstrap_sample_lacks_are_known_all_the_same():
    rare = np.column_stack([EVENTS[:, 0], np.where(np.arange(260) == 5, 2, LABELS % 2)])
    assert _ensemble("vae", R=3).fit(rare).sample(5, 0).shape == (5, 2)


def test_a_saved_ensemble_and_any_of_its_replicas_can_be_loaded(tmp_path):
    model = _ensemble("flow matching").fit(EVENTS)
    model.save(tmp_path / "model")
    np.testing.assert_array_equal(load_model(tmp_path / "model").sample(9, 1), model.sample(9, 1))
    third = load_model(tmp_path / "model" / "replica_2")
    np.testing.assert_array_equal(third.sample(9, 1), model.sample(9, 1, replica=2))


def test_an_ensemble_is_stopped_and_resumed_at_one_step_and_ends_at_the_same_bits():
    whole = _ensemble("vae").fit(EVENTS)
    broken = _ensemble("vae")
    asked = iter([False, True])
    for record in broken.iter_fit(EVENTS, stop=lambda: next(asked)):
        assert record.step == 2
    assert [one.n_iter_ for one in broken.replicas_] == [2, 2, 2]
    resumed = _ensemble("vae")
    assert [record.step for record in resumed.iter_fit(EVENTS, resume=broken.training_state())] == [4]
    np.testing.assert_array_equal(resumed.sample(9, 1), whole.sample(9, 1))
    np.testing.assert_array_equal(resumed.score_samples(EVENTS[:5]), whole.score_samples(EVENTS[:5]))


class _Counts(Callback):
    def __init__(self):
        self.records, self.checks, self.ends = [], 0, []

    def on_record(self, record):
        self.records.append(record.step)
        return record.step >= 2

    def on_check(self, check):
        self.checks += 1

    def on_end(self, model):
        self.ends.append(model)


def test_callbacks_see_one_record_of_all_replicas_a_check_of_each_and_can_end_the_training():
    seen, model = _Counts(), _ensemble("flow", n_checks=2)
    model.fit(EVENTS, callbacks=[seen])
    assert (seen.records, seen.checks, seen.ends) == ([2], 3, [model])
    assert [line["step"] for line in model.history_] == [2]
    assert {"score", "score_min", "score_max"} <= set(model.history_[0])


def test_what_one_machine_alone_has_is_asked_of_a_replica():
    for name, ask in (("vae", "encode"), ("ebm", "energies"), ("gan", "discriminate"), ("rbm", "free_energy")):
        model = _ensemble(name, R=2).fit(EVENTS)
        with pytest.raises(InputError, match=r"Expected one .* got 2 replicas.*model.replicas_\[0\]"):
            getattr(model, ask)(EVENTS)
        assert len(getattr(model.replicas_[0], ask)(EVENTS)) == 260
    with pytest.raises(InputError, match=r"Expected replica in 0 \.\.\. 1, got 2"):
        model.sample(3, replica=2)


def test_an_assessment_of_replicas_has_their_means_and_spread():
    parts = [Assessment((Quantity("log Z", value, 0.1, "nats"),), (f"warning {value}",)) for value in (1.0, 3.0)]
    both = Assessment.of_replicas(parts)
    assert (both["log Z"].value, both["log Z"].error) == (2.0, pytest.approx(np.sqrt(2)))
    assert len(both.warnings) == 2
    assert Assessment.of_replicas(parts[:1]) is parts[0]


def test_the_error_of_a_mixture_joins_the_spread_of_the_replicas():
    parts = [LogLikelihood(np.array([value, value]), 0.3) for value in (-1.0, -2.0)]
    joint = LogLikelihood.of_mixture(parts)
    np.testing.assert_allclose(joint.values, np.log((np.exp(-1) + np.exp(-2)) / 2))
    assert joint.common_error == pytest.approx(np.hypot(0.3, np.sqrt(0.5)))
