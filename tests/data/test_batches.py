"""Batches: the order is a pure function of seed and step."""

import pytest
import torch

from reverie.core.errors import InputError
from reverie.data.batches import Batches, ReplicaBatches

ROWS = torch.arange(23.0).reshape(23, 1)


def test_an_epoch_shows_each_row_at_most_once_and_epochs_differ():
    batches = Batches(ROWS, batch_size=5, seed=0)
    assert batches.steps_per_epoch == 4
    first = torch.cat([batches.at(k) for k in range(4)]).flatten().tolist()
    second = torch.cat([batches.at(k) for k in range(4, 8)]).flatten().tolist()
    assert len(set(first)) == len(set(second)) == 20
    assert first != second


def test_rows_left_out_of_one_epoch_come_back():
    batches = Batches(ROWS, batch_size=5, seed=0)
    seen = {v for k in range(80) for v in batches.at(k).flatten().tolist()}
    assert seen == set(ROWS.flatten().tolist())


def test_a_step_does_not_depend_on_the_steps_before():
    forward = Batches(ROWS, batch_size=5, seed=3)
    straight = [forward.at(k) for k in range(11)]
    assert torch.equal(Batches(ROWS, batch_size=5, seed=3).at(10), straight[10])
    assert not torch.equal(Batches(ROWS, batch_size=5, seed=4).at(10), straight[10])


def test_a_batch_larger_than_the_data_is_refused():
    with pytest.raises(InputError, match="at most the 23 training rows, got 24"):
        Batches(ROWS, batch_size=24, seed=0)


def test_companions_stay_beside_their_events():
    rows = {"x": torch.arange(20.0)[:, None], "weight": torch.arange(20.0)}
    batches = Batches(rows, batch_size=6, seed=0)
    batch = batches.at(2)
    assert torch.equal(batch["x"][:, 0], batch["weight"])
    assert torch.equal(batch["x"], Batches(rows["x"], batch_size=6, seed=0).at(2))
    with pytest.raises(InputError, match="one row of everything per event"):
        Batches({"x": torch.zeros(3, 1), "weight": torch.zeros(2)}, batch_size=1, seed=0)


def test_replicas_have_orders_of_their_own_interleaved():
    x = torch.arange(30.0)
    batch = ReplicaBatches(x, batch_size=10, seeds=[5, 6, 7]).at(4)
    for r, seed in enumerate([5, 6, 7]):
        assert torch.equal(batch[r::3], Batches(x, batch_size=10, seed=seed).at(4))
    assert not torch.equal(batch[0::3], batch[1::3])


def test_a_bootstrap_sample_repeats_some_events_and_leaves_a_third_out():
    x = torch.arange(3000.0)
    batches = Batches(x, batch_size=3000, seed=0, resample=True)
    first, second = batches.at(0), batches.at(1)
    assert torch.equal(first.sort().values, second.sort().values)  # the same sample in every epoch
    assert abs(len(first.unique()) / 3000 - 0.632) < 0.03  # 1 - 1/e; its standard deviation is 0.006
