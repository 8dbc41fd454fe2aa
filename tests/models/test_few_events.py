"""Tables of some hundred events: some are held out, the held-out loss chooses the state, training ends in time."""

import numpy as np
import pytest

import reverie
from reverie.models import Flow, FlowMatching
from reverie.models.training_run import FEW_EVENTS, held_out_size

TINY = {"max_steps": 6, "record_every": 2, "n_checks": 3, "random_state": 0}


def _events(n):
    return np.random.default_rng(0).normal(size=(n, 2))


@pytest.mark.parametrize(("n", "held_out"), [(63, 0), (64, 16), (100, 20), (200, 20), (1000, 100), (50_000, 2000)])
def test_some_dozens_of_events_are_enough_to_hold_some_out(n, held_out):
    assert held_out_size(n, 0.1) == held_out
    assert held_out_size(n, 0.0) == 0


def test_flow_matching_keeps_the_state_of_the_least_held_out_loss_of_few_events():
    few, many = (FlowMatching(width=8, n_evaluations=2, **TINY).fit(_events(n)) for n in (150, FEW_EVENTS + 300))
    losses = [line["held_out_loss"] for line in few.history_]
    assert [line["kept"] for line in few.history_] == [loss == min(losses[: k + 1]) for k, loss in enumerate(losses)]
    assert "held_out_loss" in many.history_[-1]  # which chooses among states that samples cannot tell apart
    assert [model._run.train_step._by_loss for model in (few, many)] == [True, False]
    assert [model.resolved_["learning_rate"] for model in (few, many)] == [1e-3, 3e-3]


def test_training_on_few_events_ends_when_the_best_state_lies_far_behind():
    step = FlowMatching(width=8, n_evaluations=2, **TINY).fit(_events(150))._run.train_step
    step._best_at, step.step = 10, 319
    assert not step.is_done()
    step.step = 320
    assert step.is_done()
    state = step.state_dict()
    step._best_at = None
    assert not step.is_done()  # nothing was checked
    step.load_state_dict(state)
    assert step.is_done()
    other = FlowMatching(width=8, n_evaluations=2, **TINY).fit(_events(FEW_EVENTS + 300))._run.train_step
    other._best_at, other.step = 10, 320
    assert not other.is_done()


def test_a_flow_of_few_events_is_small_and_is_loaded_as_such(tmp_path):
    few, many = (Flow(**TINY).fit(_events(n)) for n in (150, FEW_EVENTS + 300))
    assert (few.resolved_["hidden"], few.resolved_["learning_rate"]) == ((32, 32), 1e-3)
    assert (many.resolved_["hidden"], many.resolved_["learning_rate"]) == ((128, 128), 3e-3)
    assert Flow(hidden=(8,), **TINY).fit(_events(150))._rate() == 3e-3
    back = reverie.load(few.save(tmp_path / "few"))
    assert np.array_equal(back.sample(5, random_state=0), few.sample(5, random_state=0))


def test_the_command_line_takes_auto_and_widths_for_the_layers_of_a_flow():
    from reverie.cli.options import Options

    options = Options("run flow", "")
    options._lists = {"--model.hidden"}
    assert options._as_list("--model.hidden", "auto") == "auto"
    assert options._as_list("--model.hidden", "32,32") == '["32", "32"]'
