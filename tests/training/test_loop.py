"""The loop: windows, stopping, resuming, and non-finite scalars."""

import pytest
import torch

from reverie.core.errors import TrainingError
from reverie.training import (
    Record,
    append_record,
    ema_decay,
    ema_update,
    learning_rate_factor,
    read_history,
    train,
    truncate_history,
)
from reverie.training.optimizers import OPTIMIZERS, make_optimizer


class Counter:
    """A trainable whose scalar is the number of its step."""

    def __init__(self, nan_at=None):
        self.seen, self.nan_at = [], nan_at

    def train_step(self, batch, generator):
        self.seen.append(int(batch))
        value = float("nan") if len(self.seen) == self.nan_at else float(batch)
        return {"loss": torch.tensor(value), "other": torch.tensor(1.0)}

    def state_dict(self):
        return {}

    def load_state_dict(self, state):
        pass


def _train(model, **options):
    return list(train(model, lambda step: torch.tensor(step), generator=torch.Generator(), **options))


def test_records_are_means_over_windows_and_the_last_window_may_be_short():
    records = _train(Counter(), max_steps=25, record_every=10)
    assert [r.step for r in records] == [10, 20, 25]
    assert [r.scalars["loss"] for r in records] == [4.5, 14.5, 22.0]


def test_start_goes_on_from_the_asked_step():
    model = Counter()
    records = _train(model, start=7, max_steps=12, record_every=10)
    assert model.seen == [7, 8, 9, 10, 11]
    assert [r.step for r in records] == [10, 12]


def test_stop_ends_with_a_record_at_a_step_boundary():
    model = Counter()
    records = _train(model, max_steps=100, record_every=10, stop=lambda: len(model.seen) == 13)
    assert [r.step for r in records] == [10, 13]


def test_non_finite_scalar_stops_with_step_and_name():
    with pytest.raises(TrainingError, match="loss became nan at step 14") as caught:
        _train(Counter(nan_at=14), max_steps=100, record_every=10)
    assert caught.value.step == 14


@pytest.mark.parametrize("name", list(OPTIMIZERS))
def test_every_optimizer_descends_a_parabola(name):
    weight = torch.tensor([3.0], requires_grad=True)
    optimizer = make_optimizer(name, [weight], learning_rate=1.0 if name == "adadelta" else 0.1, betas=(0.0, 0.99))
    for _ in range(50):
        weight.grad = 2 * weight.detach()
        optimizer.step()
    assert abs(weight.item()) < 3.0


def test_schedule_holds_then_falls_to_its_floor():
    factors = [learning_rate_factor(step, 100, hold=0.5, floor=0.1) for step in range(101)]
    assert factors[:51] == [1.0] * 51
    assert factors[75] == pytest.approx(0.55)
    assert factors[100] == pytest.approx(0.1)
    assert learning_rate_factor(99, 100, hold=1.0) == 1.0


def test_average_is_the_exponential_one():
    average, current = [torch.tensor([1.0])], [torch.tensor([2.0])]
    ema_update(average, current, decay=0.9)
    assert average[0].item() == pytest.approx(1.1)
    assert ema_decay(0, 0.999) == pytest.approx(0.1)
    assert ema_decay(10**6, 0.999) == 0.999


def test_history_survives_a_torn_last_line_and_forgets_what_is_taken_anew(tmp_path):
    path = tmp_path / "history.jsonl"
    assert read_history(path) == []
    for step in (10, 20, 30):
        append_record(path, Record(step, 1.0, {"loss": 0.5}).to_json())
    with path.open("a") as raw:
        raw.write('{"step": 40, "lo')
    assert [r["step"] for r in read_history(path)] == [10, 20, 30]
    truncate_history(path, 20)
    assert [r["step"] for r in read_history(path)] == [10, 20]
