"""A compiled step that is wrong in one tensor is declined, however small the tensor or the step; an honest one is not.

The machine code is played by the graph itself, run as it is, with a fault put in after it.
"""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from reverie.compile import capture
from reverie.compile.agreement import agrees, deviation, nudged, without_remainders
from reverie.compile.step import Compiled
from reverie.models import GAN
from reverie.training.descent import Descent

SMALL, LARGE = (196, 200), (784, 500)
LAYERS = [SMALL, pytest.param(LARGE, marks=pytest.mark.slow)]


class Wide:
    """A step of 196 x 200 weights, small next to their size 0.04, and 200 biases, far outnumbered; or of 784 x 500."""

    def __init__(self, name: str = "adam", rate: float = 1e-3, shape: tuple[int, int] = SMALL) -> None:
        random = torch.Generator().manual_seed(0)
        self.weight = nn.Parameter(0.04 * torch.randn(shape, generator=random))
        self.bias = nn.Parameter(0.04 * torch.randn(shape[1], generator=random))
        self.rate = rate
        self.descent = Descent([self.weight, self.bias], name, learning_rate=rate, betas=(0.5, 0.99))

    def step(self, inputs: tuple[Tensor, float], generator: torch.Generator) -> dict[str, Tensor]:
        x, rate = inputs
        x = x + 0.1 * torch.randn(x.shape, generator=generator)
        loss = (x @ self.weight + self.bias).tanh().square().mean()
        self.descent.along(loss, rate)
        return {"loss": loss.detach(), "length": x.detach().norm()}


def uphill(wide: Wide, before: list[Tensor], outputs: list) -> None:
    for weight, start in zip(wide.descent.weights, before, strict=True):
        weight.data.copy_(2 * start - weight.data)


def wrong_bias(wide: Wide, before: list[Tensor], outputs: list) -> None:
    wide.bias.data.copy_(2 * before[1] - wide.bias.data)


def one_wrong_row(wide: Wide, before: list[Tensor], outputs: list) -> None:
    wide.weight.data[3] = 2 * before[0][3] - wide.weight.data[3]


def bias_left_out(wide: Wide, before: list[Tensor], outputs: list) -> None:
    wide.bias.data.copy_(before[1])


def wrong_loss(wide: Wide, before: list[Tensor], outputs: list) -> None:
    outputs[0].mul_(1.03)


def wrong_moment(wide: Wide, before: list[Tensor], outputs: list) -> None:
    wide.descent.optimizer.state[wide.bias]["exp_avg_sq"].mul_(1.03)


def wrong_count(wide: Wide, before: list[Tensor], outputs: list) -> None:
    wide.descent.optimizer.state[wide.bias]["step"].add_(1)


def nothing(wide: Wide, before: list[Tensor], outputs: list) -> None:
    pass


def outcome(monkeypatch, wide: Wide, fault) -> str:
    """Return why the step of `wide` is declined when what the machine code leaves behind has this fault."""

    def in_place_of_machine_code(graph, example, makers, shape):
        def flat(inputs, values):
            before = [weight.detach().clone() for weight in wide.descent.weights]
            with torch.no_grad():
                outputs = list(graph(*inputs, *values))
            fault(wide, before, outputs)
            return outputs

        return SimpleNamespace(flat=flat, capture=lambda inputs, values: False)

    monkeypatch.setattr(capture, "compiled_graph", in_place_of_machine_code)
    compiled = Compiled(wide.step, mode="auto", n_calls=10**9)
    generator = torch.Generator().manual_seed(1)
    compiled._graph = compiled._compiled((torch.rand(16, len(wide.weight), generator=generator), wide.rate), generator)
    return compiled.reason


LEFT_OUT = pytest.param(bias_left_out, marks=pytest.mark.slow)  # of the tensor that goes the wrong way in wrong_bias
FAULTS = [uphill, wrong_bias, one_wrong_row, wrong_loss, wrong_moment, wrong_count, LEFT_OUT]


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("shape", LAYERS)
def test_a_step_with_a_fault_is_declined(monkeypatch, fault, shape):
    assert "disagreed" in outcome(monkeypatch, Wide(shape=shape), fault)


@pytest.mark.parametrize("name", ["sgd", "adam", pytest.param("adamw", marks=pytest.mark.slow), "rmsprop"])
@pytest.mark.parametrize("shape", LAYERS)  # AdamW is Adam after its weights were made smaller
def test_a_step_uphill_is_declined_at_a_tiny_rate_and_the_step_itself_is_not(monkeypatch, name, shape):
    """A rate of 1e-7 moves weights of 0.04 by some ten roundings, or by none at all: then nothing can be checked."""
    assert outcome(monkeypatch, Wide(name, 1e-7, shape), uphill)
    assert outcome(monkeypatch, Wide(name, shape=shape), nothing) == ""


@pytest.mark.slow
@pytest.mark.parametrize("name", ["sgd", "adam"])
@pytest.mark.parametrize("rate", [1e-5, 1e-7])
def test_a_bias_that_alone_goes_uphill_is_noticed_at_the_rates_that_the_module_states(monkeypatch, name, rate):
    assert "disagreed" in outcome(monkeypatch, Wide(name, rate, LARGE), wrong_bias)
    assert outcome(monkeypatch, Wide(name, rate, LARGE), nothing) == ""


def test_a_gradient_that_is_zero_but_for_rounding_may_go_either_way():
    """Adam's first step goes by its sign alone; plain steps from starts a rounding off say that it is undecided."""
    start, signs = torch.zeros(8), torch.ones(8).index_fill_(0, torch.arange(4), -1.0)
    found = deviation(1e-3 * signs, torch.full((8,), 1e-3), start)
    by_rounding = deviation(-1e-3 * signs, torch.full((8,), 1e-3), start, start)
    assert not agrees(found, [], 8, 1e-3)  # without them it is a disagreement
    assert agrees(found, [by_rounding], 8, 1e-3)


def test_a_remainder_of_rounding_may_be_any_but_no_larger_than_a_step():
    """The second moment of the last bias under a relativistic loss: the square of what a sum leaves of zero."""
    start, plain = torch.zeros(1), torch.tensor([2e-21])
    by_rounding = deviation(torch.tensor([6e-20]), plain, start, start)
    assert agrees(deviation(torch.tensor([9e-19]), plain, start), [by_rounding], 1, 1e-3)
    assert not agrees(deviation(torch.tensor([3e-3]), plain, start), [by_rounding], 1, 1e-3)
    assert not agrees(deviation(torch.tensor([torch.nan]), plain, start), [by_rounding], 1, 1e-3)


@pytest.mark.parametrize("gradient", [1e-8, 0.03, 0.1])
def test_a_gradient_that_cancels_exactly_may_leave_a_remainder_and_no_more(gradient):
    """Adam makes a full step of it: the bias of a unit that is always on, under a relativistic loss."""
    g = torch.linspace(-1, 1, 128).index_fill_(0, torch.tensor([3, 77]), 0.0)
    found = g.index_fill(0, torch.tensor([3]), gradient)
    weight, moment, square = torch.full((128,), 0.3), torch.zeros(128), torch.zeros(128)
    plain = [weight - 1e-3 * g.sign(), moment + g, square + g**2]
    left = [weight - 1e-3 * found.sign(), moment + found, square + found**2]
    judged = without_remainders(list(zip(left, plain, [weight, moment, square], strict=True)))
    assert torch.equal(judged[0], plain[0]) == (gradient == 1e-8)
    agreed = [
        agrees(deviation(now, after, before), [], 128, 1e-3)
        for now, after, before in zip(judged, plain, [weight, moment, square], strict=True)
    ]
    assert all(agreed) == (gradient == 1e-8)
    for wrong in (1.0, torch.nan):  # of a weight, farther than a step goes: not put right, whatever the moment
        left[0][3] = wrong
        assert not torch.equal(
            without_remainders(list(zip(left, plain, [weight, moment, square], strict=True)))[0], plain[0]
        )


def test_few_undecided_entries_of_a_small_tensor_are_no_disagreement():
    plain = torch.full((128,), 1e-3)
    one, many = plain.clone(), plain.clone()
    one[5] += 7e-6
    many[:20] += 7e-6
    assert agrees(deviation(one, plain, torch.zeros(128)), [], 128, 1e-3)
    assert not agrees(deviation(many, plain, torch.zeros(128)), [], 128, 1e-3)


def test_starts_are_moved_by_roundings_and_whole_numbers_stay():
    x = torch.tensor([0.0, 1.0, -3.0, 0.3, -0.7])
    moved = nudged(x, torch.Generator().manual_seed(0))
    assert torch.equal(moved[:3], x[:3])
    assert 0 < float((1 - moved[3:] / x[3:]).max()) < 2e-6
    assert bool((moved[3:].abs() <= x[3:].abs()).all())
    assert torch.equal(nudged(torch.arange(3), torch.Generator()), torch.arange(3))


@pytest.mark.slow
@pytest.mark.parametrize("batch_size", [64, "auto", 4096])
@pytest.mark.parametrize("n_features", [2, 6])
def test_a_gan_of_defaults_is_compiled(batch_size, n_features):
    """Its last bias has a gradient of nothing but remainders, of which every order of a sum leaves another."""
    rows = np.random.default_rng(0).normal(size=(5000, n_features))
    model = GAN(max_steps=2, compile=True, batch_size=batch_size, random_state=0, refine=False, n_checks=0)
    assert model.fit(rows).compiled_ == "compiled"
