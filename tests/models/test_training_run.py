"""A training run, tried on the skeleton that developers copy."""

import runpy
from pathlib import Path

import numpy as np
import pytest
import torch

from reverie.core.errors import CheckpointError, InputError, TrainingError
from reverie.models import RBM, VAE
from reverie.training import Callback

SKELETON = runpy.run_path(str(Path(__file__).parents[2] / "docs/developer/skeletons/model.py"))
TINY = {"max_steps": 60, "record_every": 5, "n_checks": 12, "random_state": 0}


@pytest.fixture
def events():
    return np.random.default_rng(0).normal(3.0, 2.0, (600, 3))


def _model(**options):
    return SKELETON["X"](**(TINY | options))


def _spoilt(model, *, at, times):
    """Let the loss of the first steps numbered `at` become NaN, so many times."""
    left = [times]
    make = model._train_step

    def make_spoilt(networks, train):
        made = make(networks, train)
        step = made.train_step

        def train_step(batch, generator):
            scalars = step(batch, generator)
            if made.step == at and left[0] > 0:
                left[0] -= 1
                with torch.no_grad():
                    made.network.m.fill_(float("nan"))
                return {"loss": scalars["loss"] * float("nan")}
            return scalars

        made.train_step = train_step
        return made

    model._train_step = make_spoilt
    return model


def test_the_skeleton_learns_and_knows_its_likelihood(events):
    model = _model(max_steps=600, learning_rate=0.02).fit(events)
    exact = -3 * (np.log(2.0) + 0.5 * np.log(2 * np.pi) + 0.5)
    found = model.log_likelihood(np.random.default_rng(1).normal(3.0, 2.0, (600, 3)))
    assert abs(found.mean.value - exact) < 0.2  # of a quantile map learnt on 540 rows
    assert "nats per event" in str(found)


def test_events_known_by_heart_are_said(events):
    model = _model(max_steps=600, learning_rate=0.02).fit(events)
    assert not model.assess(events[:300], events[300:]).warnings
    assert not model.assess(events[:300], events[300:301]).warnings  # of one event nothing is known
    assert "by heart" in model.assess(events[:300], events[300:] + 3.0).warnings[0]


def test_a_loss_that_is_not_finite_leads_back_to_a_healthy_state(events):
    model = _spoilt(_model(), at=32, times=2).fit(events)
    assert [alarm.kind for alarm in model.alarms_] == ["divergence", "divergence"]
    assert model.n_iter_ == 60
    assert model._run.train_step.rate_factor == 0.25
    assert np.isfinite(model.sample(50, random_state=0)).all()


def test_a_training_that_never_stays_finite_stops_with_the_reason(events):
    with pytest.raises(TrainingError, match=r"loss became nan at step 32.*went back 5 times"):
        _spoilt(_model(), at=32, times=100).fit(events)
    with pytest.raises(TrainingError, match="loss became nan"):
        _spoilt(_model(on_alarm="warn"), at=32, times=1).fit(events)


def test_the_kept_weights_are_those_of_the_least_held_out_loss(events):
    model = _model(max_steps=200, learning_rate=0.5).fit(events)  # it overshoots
    losses = {row["step"]: row["held_out_loss"] for row in model.history_ if "held_out_loss" in row}
    held_out = model._run.held_out["x"]
    kept = float(model._networks()["law"](held_out).mean())
    assert kept == pytest.approx(min(losses.values()), rel=1e-6)
    last = float(model.set_params(keep_best=False).fit(events)._networks()["law"](held_out).mean())
    assert last == pytest.approx(losses[200], rel=1e-6)


def test_a_rollback_is_part_of_an_exact_resume(events):
    whole = _spoilt(_model(), at=32, times=1).fit(events)
    broken = _spoilt(_model(), at=32, times=1)
    for record in broken.iter_fit(events):
        if record.alarms:
            state = broken.training_state()
            break
    resumed = _model()
    for _ in resumed.iter_fit(events, resume=state):
        pass
    np.testing.assert_array_equal(resumed.sample(20, random_state=0), whole.sample(20, random_state=0))


def test_wrong_options_are_refused_in_words(events):
    for options, word in (
        ({"on_alarm": "rolback"}, "Did you mean 'rollback'"),
        ({"max_steps": 0}, "max_steps"),
        ({"validation_fraction": 1.0}, "validation_fraction"),
        ({"batch_size": 601}, "at most the 600 training rows"),
    ):
        with pytest.raises(InputError, match=word):
            _model(**options).fit(events)
    with pytest.raises(InputError, match=r"learns p\(x\)"):
        list(_model().iter_fit(events, events[:, 0]))


@pytest.mark.slow
@pytest.mark.parametrize("model", [VAE(max_steps=1_500, random_state=0), RBM(max_steps=1_500, random_state=0)])
def test_weighted_events_are_judged_by_their_weights(model):
    """Half of the events have weight zero and a law of their own, which the model must get worse on as it learns."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(3000, 2)) * [1.0, 0.2] + [0.0, 1.0]
    is_out = rng.uniform(size=3000) < 0.5
    X[is_out] = X[is_out][:, ::-1]
    model.fit(X, sample_weight=np.where(is_out, 0.0, 2.0))
    kept = [row["step"] for row in model.history_ if row.get("kept", 0) > 0]
    assert kept[-1] > 500  # by unweighted losses one of the first
    assert not model.alarms_  # they said overfitting, or getting worse


class _Log(Callback):
    def __init__(self, *, stop_at=None):
        self.stop_at, self.records, self.checks, self.ends = stop_at, [], [], []

    def on_record(self, record):
        self.records.append(record.step)
        return record.step == self.stop_at

    def on_check(self, check):
        self.checks.append(check.scalars["held_out_loss"])

    def on_end(self, model):
        self.ends.append(model.sample(2, random_state=0))


def test_callbacks_see_every_record_and_check_and_the_end_and_change_nothing(events):
    log, plain = _Log(), _model().fit(events)
    model = _model().fit(events, callbacks=[log, Callback()])
    assert log.records == [row["step"] for row in model.history_] == list(range(5, 65, 5))
    assert log.checks == [row["held_out_loss"] for row in model.history_ if "held_out_loss" in row]
    assert len(log.ends) == 1
    np.testing.assert_array_equal(model.sample(9, random_state=1), plain.sample(9, random_state=1))


def test_a_callback_ends_training(events):
    log = _Log(stop_at=20)
    model = _model().fit(events, callbacks=[log])
    assert (model.n_iter_, log.records[-1], len(log.ends)) == (20, 20, 1)
    assert np.isfinite(model.sample(3, random_state=0)).all()

    class Once(Callback):
        def on_check(self, check):
            return True

    assert _model().fit(events, callbacks=[Once()]).n_iter_ == 5


def test_a_state_of_an_older_version_is_refused_in_a_sentence(events):
    model = _model().fit(events)
    older = {key: x for key, x in model.training_state().items() if key != "train_step"}
    with pytest.raises(CheckpointError, match="older version"):
        list(_model().iter_fit(events, resume=older))
