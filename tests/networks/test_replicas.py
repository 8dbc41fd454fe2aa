"""Stacked networks: R replicas computed together are the R networks computed apart, to the second derivative."""

import copy

import pytest
import torch
from torch import nn

from reverie.core.errors import InputError
from reverie.networks import MLP, ConvDiscriminator, ConvGenerator, ResidualMLP, Stacked, build_discriminator

R, N = 3, 4


class Odd(nn.Module):
    """A user's own network: two inputs, a bare parameter, a shared layer and no rule of ours."""

    def __init__(self):
        super().__init__()
        self.scale = nn.Parameter(torch.randn(5))
        self.once = nn.Linear(5, 5)
        self.again = self.once

    def forward(self, x, extra=None):
        h = torch.tanh(self.again(torch.tanh(self.once(x * self.scale))))
        return (h if extra is None else h * extra).sum(dim=1, keepdim=True)


NETWORKS = {
    "mlp": (lambda: nn.Sequential(nn.Flatten(), MLP(5, 1, hidden=(6, 7))), (5,)),
    "flattened images": (lambda: nn.Sequential(nn.Flatten(), MLP(10, 2, hidden=(6,))), (2, 5)),
    "residual": (lambda: ResidualMLP(5, 1, width=6, n_blocks=2), (5,)),
    "no bias": (lambda: nn.Sequential(nn.Linear(5, 4, bias=False), nn.Tanh(), nn.Linear(4, 1)), (5,)),
    "convolutional": (lambda: ConvDiscriminator((1, 9, 8), width=2), (1, 9, 8)),
    "layer norm": (lambda: nn.Sequential(nn.Linear(5, 4), nn.LayerNorm(4), nn.Softplus(), nn.Linear(4, 1)), (5,)),
    "user": (Odd, (5,)),
}


def _replicas(maker):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        modules = [maker() for _ in range(R)]
        for weight in (w for m in modules for w in m.parameters()):  # leave no zeros of an initialisation
            nn.init.normal_(weight, std=0.5)
    return modules


def _rows(shape, seed=1):
    return torch.randn(N * R, *shape, generator=torch.Generator().manual_seed(seed))


def _apart(modules, x, order=lambda i: i % R):
    """Outputs of each row by its own module, in the order of the rows."""
    return torch.cat([modules[order(i)](x[i : i + 1]) for i in range(len(x))])


def _derivatives(network, weights, x):
    """Gradient of the outputs' mean square, and of a penalty on their slopes, with respect to the weights."""
    x = x.clone().requires_grad_()
    y = network(x)
    (slope,) = torch.autograd.grad(y.square().sum(), x, create_graph=True)
    penalty = slope.flatten(1).square().sum(1).mean()
    first = torch.autograd.grad(y.square().mean(), weights, retain_graph=True)
    second = torch.autograd.grad(penalty, weights, allow_unused=True)
    return first, [torch.zeros_like(w) if g is None else g for g, w in zip(second, weights, strict=True)]


@pytest.mark.parametrize("name", NETWORKS)
def test_stacked_networks_are_their_replicas(name):
    maker, shape = NETWORKS[name]
    modules, x = _replicas(maker), _rows(shape)
    stacked = Stacked(modules)
    torch.testing.assert_close(stacked(x), _apart(modules, x))
    apart = [list(m.parameters()) for m in modules]
    flat = [w for ws in apart for w in ws]
    together = _derivatives(stacked, list(stacked.parameters()), x)
    separate = _derivatives(lambda v: _apart(modules, v), flat, x)
    for ours, theirs in zip(together, separate, strict=True):
        for k, gradient in enumerate(ours):
            expected = torch.stack([theirs[r * len(apart[0]) + k] for r in range(R)])
            torch.testing.assert_close(gradient, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", NETWORKS)
def test_wrong_interleaving_is_seen(name):
    """Twin of the law above: rows in blocks, the first N of replica 0 and so on, give other numbers."""
    maker, shape = NETWORKS[name]
    modules, x = _replicas(maker), _rows(shape)
    assert (Stacked(modules)(x) - _apart(modules, x, order=lambda i: i // N)).abs().max() > 1e-2


@pytest.mark.parametrize("name", ["mlp", "convolutional", "user"])
def test_all_ways_of_computing_agree(name):
    maker, shape = NETWORKS[name]
    modules, x = _replicas(maker), _rows(shape)
    chosen, mapped, in_turn = (Stacked(modules) for _ in range(3))
    assert (chosen._batched, chosen._in_turn) == (name == "mlp", name == "convolutional")
    mapped._batched, mapped._in_turn = False, False
    in_turn._batched, in_turn._in_turn = False, True
    torch.testing.assert_close(chosen(x), mapped(x))
    torch.testing.assert_close(chosen(x), in_turn(x))


def test_several_inputs_and_absent_ones():
    modules, x, extra = _replicas(Odd), _rows((5,)), _rows((5,), seed=2)
    stacked = Stacked(modules)
    expected = torch.cat([modules[i % R](x[i : i + 1], extra[i : i + 1]) for i in range(len(x))])
    torch.testing.assert_close(stacked(x, extra), expected)
    torch.testing.assert_close(stacked(x, extra=extra), expected)
    torch.testing.assert_close(stacked(x, None), _apart(modules, x))
    torch.testing.assert_close(stacked(x, extra=None), _apart(modules, x))


def test_replicas_come_out_as_they_went_in_and_share_nothing():
    modules = _replicas(Odd)
    stacked = Stacked(modules)
    for r, module in enumerate(modules):
        out = stacked.replica(r)
        assert out.again is out.once
        assert out.again.weight is out.once.weight
        assert all(torch.equal(a, b) for a, b in zip(out.parameters(), module.parameters(), strict=True))
    with torch.no_grad():
        modules[0].scale.zero_()
    assert (stacked.replica(0).scale != 0).all()
    assert len(list(stacked.parameters())) == len(list(modules[0].parameters()))


def test_states_and_copies_carry_the_weights():
    x = _rows((5,))
    first, second = Stacked(_replicas(Odd)), Stacked([Odd(), Odd(), Odd()])
    second.load_state_dict(first.state_dict())
    assert torch.equal(first(x), second(x))
    twin = copy.deepcopy(first)
    with torch.no_grad():
        next(first.parameters()).zero_()
    assert torch.equal(twin(x), second(x))
    assert not torch.equal(first(x), second(x))


@pytest.mark.parametrize("in_turn", [True, False])
def test_batch_normalisation_is_by_replica(in_turn):
    modules, z = _replicas(lambda: ConvGenerator(5, (8, 8), width=2)), _rows((5,))
    stacked = Stacked(modules)
    stacked._in_turn = in_turn
    for _ in range(2):
        together = stacked.train()(z)
        for r, module in enumerate(modules):
            torch.testing.assert_close(together[r::R], module.train()(z[r::R]), rtol=1e-4, atol=1e-5)
    for r, module in enumerate(modules):
        ours = dict(stacked.replica(r).named_buffers())
        for name, buffer in module.named_buffers():
            torch.testing.assert_close(ours[name], buffer, rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(stacked.eval()(z)[r::R], module.eval()(z[r::R]), rtol=1e-4, atol=1e-5)


def test_spectral_normalisation_is_by_replica():
    modules = [
        build_discriminator(
            (6,), event_shape=(5,), random_generator=torch.Generator().manual_seed(r), spectral_norm=True
        )
        for r in range(R)
    ]
    stacked, x = Stacked(modules), _rows((5,))
    for _ in range(3):  # each pass renews u and v
        together = stacked(x)
        for r, module in enumerate(modules):
            torch.testing.assert_close(together[r::R], module(x[r::R]))
    torch.testing.assert_close(stacked.eval().replica(1)(x), modules[1].eval()(x))
    weights = list(stacked.parameters())
    assert all((g != 0).any() for g in torch.autograd.grad(stacked(x).square().sum(), weights))
    assert torch.equal(copy.deepcopy(stacked)(x), stacked(x))


def test_frozen_weights_stay_frozen():
    modules = _replicas(NETWORKS["mlp"][0])
    for module in modules:
        module[1][0].requires_grad_(requires_grad=False)
    assert [w.requires_grad for w in Stacked(modules).parameters()] == [
        w.requires_grad for w in modules[0].parameters()
    ]


def test_unusable_stacks_are_refused():
    with pytest.raises(InputError, match="at least one module"):
        Stacked([])
    with pytest.raises(InputError, match="one structure"):
        Stacked([nn.Linear(2, 1), nn.Linear(3, 1)])
    with pytest.raises(InputError, match="one structure"):
        Stacked([nn.Sequential(nn.Linear(2, 1)), nn.Linear(2, 1)])
    with pytest.raises(InputError, match="multiple of 2 rows"):
        Stacked([nn.Linear(2, 1), nn.Linear(2, 1)])(torch.zeros(3, 2))
