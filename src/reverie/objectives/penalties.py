r"""Gradient penalties on a discriminator, for samples of any shape.

Symbols: a = D(x) logits, g = da/dx gradient with respect to the input, taken per sample; the norm
runs over all axes but the batch. gamma and lambda are the argument `weight`.

    name        value                                                   taken at
    none        0                                                       -
    r1          (gamma / 2) E |g(x)|^2                                  real samples
    r2          (gamma / 2) E |g(G(z))|^2                               generated samples
    r1_r2       (gamma / 2) E |g(x)|^2 + (gamma / 2) E |g(G(z))|^2      both, as many of each
    two_sided   lambda E (|g(x^)| - 1)^2                                x^ = eps x + (1 - eps) G(z)
    one_sided   lambda E relu(|g(x^)| - 1)^2                            x^ = eps x + (1 - eps) G(z)

with one eps ~ U(0, 1) per sample. The zero-centred convention carries the factor 1/2 (Mescheder et
al., arXiv:1801.04406, eq. 9): the ``reg_param`` = 10 of its authors' code, written without the 1/2,
is gamma = 20. two_sided is eq. 3 of Gulrajani et al., arXiv:1704.00028; one_sided, which lets D be
flat, is that of Petzka et al., arXiv:1709.08894.

Penalties bound the slope of D where samples lie. They take no event weights: a negative one would
reward steepness.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from reverie.core.checks import check_same_shape

__all__ = [
    "PENALTIES",
    "Penalty",
    "between",
    "one_sided_penalty",
    "r1_r2_penalty",
    "squared_gradient_norm",
    "two_sided_penalty",
    "zero_centred_penalty",
]

_EPSILON = 1e-12  # the norm has no gradient at zero; inside the root it gets a finite one


@dataclass(frozen=True)
class Penalty:
    """A gradient penalty: where the gradient is taken, and what its squared norm costs.

    Parameters
    ----------
    points : "none"; "real" or "fake" samples; "both", real and generated ones in one batch, as many of
        each; "between" them (see `between`).
    value : (squared norms (batch,), weight) -> scalar; for "both" all 2B squared norms come together.
    references : citation keys.
    """

    points: Literal["none", "real", "fake", "both", "between"]
    value: Callable[[Tensor, float], Tensor]
    references: tuple[str, ...] = ()


def squared_gradient_norm(logits: Tensor, inputs: Tensor | Sequence[Tensor]) -> Tensor:
    """Return |da/dx|^2 of each sample, (batch,), differentiable in the discriminator's parameters.

    Parameters
    ----------
    logits : outputs of the discriminator on `inputs`, one or more per sample; those of a sample must
        depend on that sample alone (no batch normalisation).
    inputs : what the gradient is taken by, (batch, *event), with ``requires_grad``; of several, such
        as x and observables, the squared norms add. One that the logits do not depend on adds zero.
    """
    inputs = [inputs] if isinstance(inputs, Tensor) else list(inputs)
    gradients = torch.autograd.grad(logits.sum(), inputs, create_graph=True, materialize_grads=True)
    return torch.stack([g.flatten(1).square().sum(dim=1) for g in gradients]).sum(dim=0)


def zero_centred_penalty(squared_norm: Tensor, weight: float) -> Tensor:
    """Return (gamma / 2) E |g|^2 for gamma = `weight`, from squared norms (batch,): R1 or R2 alone."""
    return 0.5 * weight * squared_norm.mean()


def r1_r2_penalty(squared_norm: Tensor, weight: float) -> Tensor:
    """Return R1 + R2 for gamma = `weight`, from squared norms (2 batch,) of real and generated samples."""
    return weight * squared_norm.mean()  # the mean over both is half of the sum of both means


def two_sided_penalty(squared_norm: Tensor, weight: float) -> Tensor:
    """Return lambda E (|g| - 1)^2 for lambda = `weight`, from squared norms (batch,)."""
    return weight * ((squared_norm + _EPSILON).sqrt() - 1).square().mean()


def one_sided_penalty(squared_norm: Tensor, weight: float) -> Tensor:
    """Return lambda E relu(|g| - 1)^2 for lambda = `weight`, from squared norms (batch,)."""
    return weight * ((squared_norm + _EPSILON).sqrt() - 1).relu().square().mean()


def between(real: Tensor, fake: Tensor, generator: torch.Generator) -> Tensor:
    """Return random points on the segments between paired samples (batch, *event), one position per sample."""
    check_same_shape(real, fake, ("real", "fake"))
    shape = (len(real),) + (1,) * (real.ndim - 1)
    epsilon = torch.rand(shape, generator=generator, device=real.device, dtype=real.dtype)
    return epsilon * real + (1 - epsilon) * fake


PENALTIES: dict[str, Penalty] = {
    "none": Penalty("none", lambda squared_norm, weight: squared_norm.new_zeros(())),
    "r1": Penalty("real", zero_centred_penalty, ("mescheder2018",)),
    "r2": Penalty("fake", zero_centred_penalty, ("mescheder2018",)),
    "r1_r2": Penalty("both", r1_r2_penalty, ("mescheder2018", "huang2024")),
    "two_sided": Penalty("between", two_sided_penalty, ("gulrajani2017",)),
    "one_sided": Penalty("between", one_sided_penalty, ("petzka2018",)),
}
