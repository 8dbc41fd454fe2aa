"""A compiled step gives the numbers of the plain one, prepares without a trace, and declines what it cannot do."""

import sys
import warnings

import pytest
import torch
from torch import Tensor, nn

from reverie.compile.step import LEAST_CALLS, Compiled, check_compile, is_repaid, outcome, take_up
from reverie.compile.step import declined as declined_before
from reverie.core.errors import InputError

RATE = 0.05


class Toy:
    """Weights that follow noisy gradients, with a moment: a training step in small."""

    def __init__(self) -> None:
        random = torch.Generator().manual_seed(0)
        self.weight = nn.Parameter(torch.randn(5, 3, generator=random))
        self.moment = torch.zeros(5, 3)

    def step(self, inputs: dict, generator: torch.Generator) -> dict[str, Tensor]:
        x = inputs["x"] + 0.1 * torch.randn(inputs["x"].shape, generator=generator)
        kept = torch.empty_like(x).bernoulli_(0.8, generator=generator)
        order = torch.randperm(len(x), generator=generator)
        loss = ((x * kept)[order] @ self.weight).square().mean()
        (gradient,) = torch.autograd.grad(loss, self.weight)
        with torch.no_grad():
            self.moment.mul_(0.9).add_(gradient)
            self.weight.sub_(inputs["rate"] * self.moment)
        return {"loss": loss.detach()}


def rows() -> Tensor:
    return torch.randn(16, 5, generator=torch.Generator().manual_seed(1))


def trained(mode, n_steps: int = 10) -> tuple[Toy, Compiled, list[float], Tensor]:
    toy, random = Toy(), torch.Generator().manual_seed(2)
    compiled = Compiled(toy.step, mode=mode, n_calls=n_steps)
    losses = [float(compiled({"x": rows(), "rate": RATE * (1 + k)}, random)["loss"]) for k in range(n_steps)]
    return toy, compiled, losses, torch.rand(1, generator=random)


@pytest.mark.slow
def test_a_compiled_step_is_the_plain_one():
    """Weights, moments, losses, the changing rate, and what the generator draws afterwards."""
    plain, _, losses, after = trained(mode=False)
    ours, compiled, found, after_ours = trained(mode=True)
    assert compiled.is_compiled, compiled.reason
    torch.testing.assert_close(ours.weight, plain.weight, rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(ours.moment, plain.moment, rtol=1e-5, atol=1e-6)
    assert found == pytest.approx(losses, rel=1e-5)
    assert torch.equal(after, after_ours)


@pytest.mark.slow
def test_a_compiled_step_goes_on_from_any_state_bit_by_bit():
    """A run that is interrupted and prepared anew ends at the same bits."""
    whole, _, _, _ = trained(mode=True, n_steps=8)
    toy, random = Toy(), torch.Generator().manual_seed(2)
    first = Compiled(toy.step, mode=True)
    for k in range(4):
        first({"x": rows(), "rate": RATE * (1 + k)}, random)
    again = Compiled(toy.step, mode=True)
    for k in range(4, 8):
        again({"x": rows(), "rate": RATE * (1 + k)}, random)
    assert torch.equal(toy.weight, whole.weight)
    assert torch.equal(toy.moment, whole.moment)


def declined(step, *, mode=True, n_calls: int = 0) -> str:
    """Return why `step` runs as it is, having checked that it does, on state and stream that were left alone."""
    weight, random = torch.zeros(3), torch.Generator().manual_seed(0)
    other, same = torch.zeros(3), torch.Generator().manual_seed(0)
    compiled = Compiled(lambda x, g: step(x, g, weight), mode=mode, n_calls=n_calls)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of True that cannot be had
        for _ in range(3):
            ours, plain = compiled(torch.ones(3), random), step(torch.ones(3), same, other)
            assert torch.equal(ours, plain)
    assert torch.equal(weight, other)
    assert torch.equal(random.get_state(), same.get_state())
    assert not compiled.is_compiled
    return compiled.reason


def branching(x, generator, weight):
    weight.add_(torch.rand(3, generator=generator))
    return x + 1 if float(weight.sum()) > 2 else x


def weighted(x, generator, weight):
    weight.add_(torch.bernoulli(x / 2, generator=generator))
    return x


def masked(x, generator, weight):
    weight.add_(torch.rand(3, generator=generator))
    return x[weight > 0.5].sum()


def elsewhere(x, generator, weight):
    weight.add_(torch.rand(3, generator=generator))
    return x + torch.rand(3, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize(
    ("step", "said"),
    [(branching, "value"), (weighted, "bernoulli"), (masked, "depends on values"), (elsewhere, "another generator")],
)
def test_what_depends_on_values_or_other_randomness_runs_as_it_is(step, said):
    assert said in declined(step)


def added(x, generator, weight):
    weight.add_(torch.rand(3, generator=generator))
    return x + weight


def test_a_compilation_is_spent_where_it_is_repaid():
    assert "short" in declined(added, mode="auto", n_calls=10)
    assert "repay" in declined(added, mode="auto", n_calls=LEAST_CALLS)
    assert declined(added, mode=False) == "not asked for"
    assert is_repaid(300, 100_000)


def test_a_torch_that_moved_its_private_names_costs_speed_and_nothing_else(monkeypatch):
    monkeypatch.setitem(sys.modules, "reverie.compile.capture", None)  # an import of it now fails
    with pytest.warns(UserWarning, match="lacks"):
        _, compiled, losses, _ = trained(mode=True)
    assert f"torch {torch.__version__} lacks" in compiled.reason
    assert losses == trained(mode=False)[2]


def test_an_unknown_mode_is_refused():
    with pytest.raises(InputError, match="compile"):
        check_compile("yes")


def test_what_was_asked_to_be_compiled_and_is_not_warns_once_and_says_why():
    toy, random = Toy(), torch.Generator()

    def branching(inputs, generator):
        return float(toy.weight.detach().sum()) > 0

    compiled = Compiled(branching, mode=True)
    assert outcome([compiled]) == "not compiled: no step was taken"
    with pytest.warns(UserWarning, match="compile=True"):
        compiled({"x": rows()}, random)
    compiled({"x": rows()}, random)  # a second warning would be an error here
    assert outcome([compiled, Compiled(branching, mode=False)]) == f"not compiled: {compiled.reason}"


def test_a_step_that_was_plain_before_an_interruption_is_plain_after_it():
    first, again = Compiled(added, mode=False), Compiled(lambda x, g: x + 1, mode="auto", n_calls=10**9)
    take_up([again], declined_before([first]))
    again(torch.ones(3), torch.Generator())
    assert again.reason == "not asked for"
