"""Batches: the order is a pure function of seed and step."""

import pytest
import torch

from reverie.core.errors import InputError
from reverie.data.batches import Batches

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
