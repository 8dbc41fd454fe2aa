"""Steps of torch's optimisers and of our formulas for compiled ones are the same; states are taken up in place."""

import copy

import pytest
import torch
from torch import Tensor, nn

from reverie.training.descent import Descent, LossStep
from reverie.training.optimizers import OPTIMIZERS, make_optimizer, take_step

OPTIONS = {"learning_rate": 0.03, "betas": (0.5, 0.9)}


def weights(dtype: torch.dtype = torch.float64) -> list[Tensor]:
    random = torch.Generator().manual_seed(0)
    return [torch.randn(*shape, generator=random, dtype=dtype).requires_grad_() for shape in [(4, 3), (3,)]]


def loss_of(w: list[Tensor], step: int) -> Tensor:
    return ((w[0] @ w[1] - step).square().sum() + w[0].sin().sum()) / 4


def trained(name: str, rate, n_steps: int = 6, **options) -> list[Tensor]:
    w = weights()
    descent = Descent(w, name, **OPTIONS, **options)
    for step in range(n_steps):
        descent.along(loss_of(w, step), rate)
    return w


@pytest.mark.parametrize("name", list(OPTIMIZERS))
def test_the_formula_is_the_optimiser_of_torch(name):
    """The twin: another rate gives other weights, so the comparison sees a difference of a tenth."""
    options = {"weight_decay": 0.1} if name == "adamw" else {}
    plain = trained(name, 0.03, **options)
    ours = trained(name, torch.tensor(0.03, dtype=torch.float64), **options)
    wrong = trained(name, torch.tensor(0.033, dtype=torch.float64), **options)
    for a, b, c in zip(plain, ours, wrong, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-12, atol=1e-12)
        assert not torch.allclose(a, c, rtol=1e-6)


@pytest.mark.parametrize("name", list(OPTIMIZERS))
def test_a_state_that_is_there_from_the_start_changes_no_step(name):
    ours, plain = trained(name, 0.03), weights()
    optimizer = make_optimizer(name, plain, **OPTIONS)
    optimizer.param_groups[0]["lr"] = 0.03
    for step in range(6):
        take_step(optimizer, plain, torch.autograd.grad(loss_of(plain, step), plain))
    for a, b in zip(ours, plain, strict=True):
        assert torch.equal(a, b)


@pytest.mark.parametrize("name", list(OPTIMIZERS))
def test_a_state_is_taken_up_in_place(name):
    w = weights()
    descent = Descent(w, name, **OPTIONS)
    before = [value for weight in w for value in descent.optimizer.state[weight].values() if torch.is_tensor(value)]
    descent.along(loss_of(w, 0), 0.1)
    state = descent.state_dict()
    other = Descent(weights(), name, **OPTIONS)
    tensors = [v for weight in other.weights for v in other.optimizer.state[weight].values() if torch.is_tensor(v)]
    other.load_state_dict(state)
    after = [v for weight in other.weights for v in other.optimizer.state[weight].values() if torch.is_tensor(v)]
    assert all(a is b for a, b in zip(tensors, after, strict=True))
    assert all(torch.equal(a, b) for a, b in zip(after, before, strict=True))


def test_a_long_gradient_is_shortened_to_the_bound():
    w = weights()
    descent = Descent(w, "sgd", learning_rate=1.0, betas=(0.0, 0.0), clip=0.5)
    start = [weight.detach().clone() for weight in w]
    norm = descent.along(100 * loss_of(w, 0), 1.0)
    moved = nn.utils.get_total_norm([a - b for a, b in zip(start, w, strict=True)])
    assert norm is not None
    assert float(norm.detach()) > 0.5
    assert float(moved) == pytest.approx(0.5, rel=1e-4)


def test_a_gradient_far_longer_than_usual_is_shortened_in_units_of_the_usual_one():
    """After unit gradients one of length 100 counts as 2: Adam moves twice as far as usual, and unbounded ten times."""
    moved = {}
    for spike in (None, 2.0):
        w = [
            torch.zeros(3, dtype=torch.float64, requires_grad=True),
            torch.zeros(2, 2, dtype=torch.float64, requires_grad=True),
        ]
        descent = Descent(w, "adam", learning_rate=0.1, betas=(0.0, 0.99), spike=spike)
        unit = [torch.full_like(weight, 7**-0.5) for weight in w]
        for _ in range(400):
            descent.step(unit, 0.1)
        before = [weight.detach().clone() for weight in w]
        descent.step([100 * g for g in unit], 0.1)
        moved[spike] = float((before[0] - w[0].detach())[0] / 0.1)
    assert moved[None] == pytest.approx(100 / (0.99 + 0.01 * 100**2) ** 0.5, rel=0.01)
    assert moved[2.0] == pytest.approx(2 / (0.99 + 0.01 * 2**2) ** 0.5, rel=0.01)


@pytest.mark.parametrize("rate", [0.1, torch.tensor(0.1)])
@pytest.mark.parametrize("name", ["adam", "adamw"])
def test_steps_of_a_gradient_below_eps_are_as_short_as_it_is(name, rate):
    """A weight moves by the share |g| / (|g| + eps) of the rate; the default of torch is 1e-8."""
    for eps, size in ((1e-6, 1e-6), (None, 1e-8)):
        w = [torch.zeros(2, dtype=torch.float64, requires_grad=True)]
        descent = Descent(w, name, learning_rate=0.1, betas=(0.0, 0.99), weight_decay=0.0, eps=eps)
        g = torch.tensor([1e-9, 1e-3], dtype=torch.float64)
        descent.step([g], rate)
        torch.testing.assert_close(-w[0].detach() / 0.1, g / (g + size))


@pytest.mark.parametrize("name", sorted(set(OPTIMIZERS) - {"adam", "adamw"}))
def test_other_optimisers_keep_their_eps_which_means_something_else(name):
    w = [torch.zeros(2, requires_grad=True)]
    found = [Descent(w, name, learning_rate=1.0, betas=(0.0, 0.9), eps=eps).optimizer for eps in (None, 0.1)]
    assert found[0].param_groups[0].get("eps") == found[1].param_groups[0].get("eps")


def test_each_replica_has_a_usual_length_of_its_own():
    stacked = torch.zeros(2, 3, requires_grad=True)
    alone = [torch.zeros(3, requires_grad=True) for _ in range(2)]
    options = {"learning_rate": 0.1, "betas": (0.0, 0.99), "spike": 2.0}
    both = Descent([stacked], "adam", n_replicas=2, **options)
    each = [Descent([weight], "adam", **options) for weight in alone]
    generator = torch.Generator().manual_seed(0)
    for step in range(20):
        g = torch.randn(2, 3, generator=generator) * torch.tensor([[1.0], [1000.0 if step == 9 else 1.0]])
        both.step([g], 0.1)
        for r, descent in enumerate(each):
            descent.step([g[r]], 0.1)
    torch.testing.assert_close(stacked.detach(), torch.stack(alone).detach())


def loss_step(decay: float) -> LossStep:
    network = nn.Linear(3, 1)
    nn.init.constant_(network.weight, 0.5)
    nn.init.zeros_(network.bias)

    def loss(rows: Tensor, generator: torch.Generator) -> Tensor:
        return (network(rows) - torch.randn(len(rows), 1, generator=generator)).square().mean()

    return LossStep(network, loss, torch.optim.Adam(network.parameters(), lr=0.1), decay=decay)


@pytest.mark.parametrize("decay", [0.0, 0.9])
def test_a_loss_step_goes_on_from_its_state(decay):
    ours, generator, rows = loss_step(decay), torch.Generator().manual_seed(1), torch.eye(3)
    for _ in range(3):
        ours.train_step(rows, generator)
    other = loss_step(decay)
    other.load_state_dict(copy.deepcopy(ours.state_dict()))
    for step in (ours, other):
        step.train_step(rows, torch.Generator().manual_seed(2))
    assert ours.step == other.step == 4
    for name in ("network", "average"):
        assert torch.equal(getattr(ours, name).weight, getattr(other, name).weight)
    assert (ours.average is ours.network) == (decay == 0)
    assert torch.equal(ours.average.weight, ours.network.weight) == (decay == 0)
