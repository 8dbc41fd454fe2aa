"""Optimisers take the step that their formula says, however weights and gradients lie in memory."""

import pytest
import torch
from torch import Tensor

from reverie.training import OPTIMIZERS, make_optimizer, take_step
from reverie.training.optimizers import apply_rule

SHAPES = ((4, 3, 2, 2), (16, 24, 2, 2))  # Muon takes the second as a matrix


def weights_of(layout: str, shape: tuple[int, ...] = SHAPES[0]) -> Tensor:
    weight = torch.randn(*shape, generator=torch.Generator().manual_seed(0))
    if layout == "channels last":
        weight = weight.contiguous(memory_format=torch.channels_last)
    return weight.requires_grad_()


def gradient_of(layout: str, shape: tuple[int, ...] = SHAPES[0], *, seed: int = 1) -> Tensor:
    gradient = torch.randn(*shape, generator=torch.Generator().manual_seed(seed))
    if layout == "transposed":
        return gradient.permute(1, 0, 3, 2).contiguous().permute(1, 0, 3, 2)
    return gradient.contiguous(memory_format=torch.channels_last) if layout == "channels last" else gradient


@pytest.mark.parametrize("name", [*OPTIMIZERS, "muon"])
@pytest.mark.parametrize("of_weight", ["rows", "channels last"])
@pytest.mark.parametrize("of_gradient", ["rows", "channels last", "transposed"])
@pytest.mark.parametrize("shape", SHAPES)
def test_the_step_does_not_depend_on_the_layout(name, of_weight, of_gradient, shape):
    """The twin: the same gradient in the wrong order of memory gives another step."""
    plain, other, wrong = weights_of("rows", shape), weights_of(of_weight, shape), weights_of("rows", shape)
    for weight, gradient in (
        (plain, gradient_of("rows", shape)),
        (other, gradient_of(of_gradient, shape)),
        (wrong, gradient_of("rows", shape).transpose(2, 3)),
    ):
        optimizer = make_optimizer(name, [weight], learning_rate=0.1)
        for _ in range(3):
            take_step(optimizer, [weight], [gradient])
    assert torch.equal(plain, other)
    assert not torch.allclose(plain, wrong)


@pytest.mark.parametrize("shape", SHAPES)
def test_a_step_of_muon_in_tensors_alone_is_that_of_the_optimiser(shape):
    """The twin: at another rate the weights go elsewhere."""
    plain, rule, twin = (weights_of("rows", shape) for _ in range(3))
    options = {"learning_rate": 0.01, "betas": (0.9, 0.99)}
    ends = [make_optimizer("muon", [weight], **options) for weight in (plain, rule, twin)]
    for optimizer, weight in zip(ends, (plain, rule, twin), strict=True):
        take_step(optimizer, [weight], [gradient_of("rows", shape)])  # which makes the state
    for seed in range(2, 5):
        gradient = gradient_of("rows", shape, seed=seed)
        take_step(ends[0], [plain], [gradient])
        apply_rule(ends[1], [rule], [gradient], torch.tensor(0.01, dtype=torch.float64))
        apply_rule(ends[2], [twin], [gradient], torch.tensor(0.02, dtype=torch.float64))
    torch.testing.assert_close(rule, plain, rtol=1e-5, atol=1e-6)
    assert not torch.allclose(twin, plain, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("shape", [(64, 200), (200, 64), (32, 24, 3, 3)])
def test_muon_goes_equally_far_in_every_direction_of_the_gradient(shape):
    """A gradient of which one direction has ten times the others' length; the twin is the gradient itself."""
    generator = torch.Generator().manual_seed(0)
    flat = torch.randn(shape[0], torch.Size(shape[1:]).numel(), generator=generator)
    U, S, V = torch.linalg.svd(flat, full_matrices=False)
    S[0] *= 10
    gradient = (U * S @ V).reshape(shape)
    weight = torch.zeros(shape, requires_grad=True)
    take_step(make_optimizer("muon", [weight], learning_rate=1.0), [weight], [gradient])
    step = -weight.detach().reshape(flat.shape) / (0.2 * max(flat.shape) ** 0.5)
    along = torch.einsum("ik,ij,kj->k", U, step, V)
    assert 0.6 < float(along.min()) < float(along.max()) < 1.25
    assert float((step - U * along @ V).abs().max()) < 0.02  # and in no other direction
    assert float(S.max() / S.min()) > 10
    assert float(weight.detach().square().mean().sqrt()) == pytest.approx(0.2, rel=0.3)


def test_muon_leaves_biases_and_layers_of_few_inputs_or_outputs_to_adamw():
    shapes = [(30,), (4, 30, 3, 3), (30, 4, 3, 3), (30, 30)]
    ours, others = ([torch.zeros(shape, requires_grad=True) for shape in shapes] for _ in range(2))
    for name, weights in (("muon", ours), ("adamw", others)):
        optimizer = make_optimizer(name, weights, learning_rate=0.01, betas=(0.9, 0.999))
        optimizer.param_groups[0]["weight_decay"] = 0.0
        for seed in range(3):
            take_step(optimizer, weights, [gradient_of("rows", shape, seed=seed) for shape in shapes])
    for a, b in zip(ours[:3], others[:3], strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-6)
    assert not torch.allclose(ours[3], others[3], atol=1e-3)
