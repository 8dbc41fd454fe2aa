"""The number of threads is chosen by the clock, and only where it leaves no trace in the result."""

import copy
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from reverie.models import GAN, VAE
from reverie.training.loop import train
from reverie.training.threads import Threads, chosen_threads, same_bits, thread_limit


class Machine:
    """A training whose step takes a known time at each number of threads, and says how many took it."""

    def __init__(self, seconds: dict[int, float], sums_in_parallel: bool = False) -> None:
        self.seconds, self.sums_in_parallel = dict(seconds), sums_in_parallel
        self.now, self.used = 0.0, []
        self.weight = torch.zeros(3)

    def train_step(self, batch: Tensor, generator: torch.Generator) -> dict[str, Tensor]:
        n = torch.get_num_threads()
        self.used.append(n)
        self.now += self.seconds[n]
        drawn = torch.rand(3, generator=generator)
        self.weight.add_(drawn)
        return {"loss": drawn.sum() + (n * 1e-6 if self.sums_in_parallel else 0.0)}

    def state_dict(self) -> dict[str, Any]:
        return {"weight": self.weight}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.weight.copy_(state["weight"])


def trained(machine: Machine, n_steps: int, most: int, changes: dict[int, dict[int, float]] | None = None):
    """Return what a training leaves, and the number of threads at the end; times change after some steps."""
    threads = Threads(most, clock=lambda: machine.now)
    generator = torch.Generator().manual_seed(0)
    with thread_limit(1):
        for record in train(machine, lambda step: None, generator=generator, max_steps=n_steps, threads=threads):
            machine.seconds |= (changes or {}).get(record.step, {})
    return machine.weight, generator.get_state(), threads


QUIET, BUSY = {1: 1.0, 2: 0.6, 4: 0.4}, {1: 1.5, 2: 12.0, 4: 30.0}


def test_threads_are_taken_where_they_pay_and_leave_no_trace():
    weight, drawn, threads = trained(Machine(QUIET), 400, most=4)
    assert threads.n == 4
    assert threads.kept == 0
    one, drawn_by_one, alone = trained(Machine(BUSY), 400, most=4)
    assert alone.n == 1
    assert same_bits([weight, drawn], [one, drawn_by_one])


def test_threads_that_change_bits_are_chosen_once_and_kept_by_a_resumed_run():
    machine = Machine(QUIET, sums_in_parallel=True)
    _, _, threads = trained(machine, 1000, most=4, changes={400: BUSY})
    assert set(machine.used[-1000:]) == {4}
    assert threads.kept == 4
    again = Threads(4, clock=lambda: 0.0)
    again.kept = threads.kept
    assert again.take(torch.get_num_threads) == 4
    _, _, on_a_busy_machine = trained(Machine(BUSY, sums_in_parallel=True), 400, most=4)
    assert on_a_busy_machine.kept == 1


def test_one_thread_takes_over_when_the_machine_gets_busy_and_gives_way_when_it_is_quiet_again():
    machine = Machine(QUIET)
    _, _, threads = trained(machine, 2500, most=4, changes={500: BUSY, 1000: QUIET})
    assert threads.n == 4
    taken = machine.used[-2500:]
    assert taken[550:1000].count(4) <= 1
    assert taken[1900:].count(1) == 0


def test_a_short_training_is_not_tried():
    machine = Machine(QUIET)
    trained(machine, 50, most=4)
    assert machine.used == [1] * 50


def test_a_number_that_is_given_is_kept():
    wide = [nn.Conv2d(1, 4, 3)]
    assert chosen_threads(3, wide, 10, torch.device("cpu")) == (3, None)
    with thread_limit(1):
        assert chosen_threads("auto", wide, 10, torch.device("cpu")) == (1, None)
    with thread_limit(2):
        n, threads = chosen_threads("auto", wide, 10, torch.device("cpu"))
    assert n == 1
    assert threads is not None
    assert threads.most == 2


@pytest.mark.parametrize(("a", "b"), [(1.0, 1.0 + 1e-7), (torch.ones(2), torch.ones(3)), ("x", "y")])
def test_bits_that_differ(a, b):
    assert not same_bits({"k": a}, {"k": b})
    assert same_bits({"k": [a, float("nan")]}, {"k": [a, float("nan")]})


@pytest.mark.slow
@pytest.mark.parametrize("kind", [VAE, GAN])
def test_a_training_of_images_carries_on_at_the_same_bits_whatever_was_chosen(kind):
    """From a state in the middle of the run, with threads that the clock chose for it."""
    images = np.random.default_rng(0).random((60, 8, 8))
    options = {"max_steps": 210, "record_every": 70, "batch_size": 16, "n_checks": 0, "random_state": 0}
    with thread_limit(2):
        whole, states = kind(**options), {}
        for record in whole.iter_fit(images):
            states[record.step] = copy.deepcopy(whole.training_state())
        again = kind(**options)
        for _ in again.iter_fit(images, resume=copy.deepcopy(states[70])):
            pass
        assert torch.get_num_threads() == 2
    assert same_bits(again.training_state(), states[210])
