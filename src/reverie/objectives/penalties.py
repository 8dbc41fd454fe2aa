r"""Gradient penalties on a discriminator, for samples of any shape.

Symbols: a = D(x) logits, g = da/dx gradient with respect to the input, taken per sample; the norm
runs over all axes but the batch.

    zero centred   (gamma / 2) E |g|^2             on real samples R1, on generated samples R2
    norm           lambda E (|g(x^)| - 1)^2        x^ = eps x + (1 - eps) G(z), one eps ~ U(0, 1) per sample

The zero-centred convention carries the factor 1/2 (Mescheder et al., arXiv:1801.04406, eq. 9): the
``reg_param`` = 10 of its authors' code, written without the 1/2, is gamma = 20. The norm penalty is
that of Gulrajani et al., arXiv:1704.00028, eq. 3.
"""

import torch
from torch import Tensor

from reverie.core.checks import check_same_shape

__all__ = ["between", "gradient_norm_penalty", "squared_gradient_norm", "zero_centred_penalty"]

_EPSILON = 1e-12  # the norm has no gradient at zero; inside the root it gets a finite one


def squared_gradient_norm(logits: Tensor, x: Tensor) -> Tensor:
    """Return |da/dx|^2 of each sample, (batch,), differentiable in the discriminator's parameters.

    Parameters
    ----------
    logits : outputs of the discriminator on `x`, one or more per sample; those of a sample must depend
        on that sample alone (no batch normalisation).
    x : the inputs, (batch, *event), with ``requires_grad``.
    """
    (gradient,) = torch.autograd.grad(logits.sum(), x, create_graph=True)
    return gradient.flatten(1).square().sum(dim=1)


def zero_centred_penalty(squared_norm: Tensor, *, weight: float) -> Tensor:
    """Return (gamma / 2) E |g|^2 for gamma = `weight`, from squared norms (batch,)."""
    return 0.5 * weight * squared_norm.mean()


def gradient_norm_penalty(squared_norm: Tensor, *, weight: float, target: float = 1.0) -> Tensor:
    """Return lambda E (|g| - target)^2 for lambda = `weight`, from squared norms (batch,)."""
    norm = (squared_norm + _EPSILON).sqrt()
    return weight * (norm - target).square().mean()


def between(real: Tensor, fake: Tensor, generator: torch.Generator) -> Tensor:
    """Return random points on the segments between paired samples, one position per sample.

    Parameters
    ----------
    real, fake : (batch, *event), of one shape.
    generator : source of the positions eps ~ U(0, 1).
    """
    check_same_shape(real, fake, ("real", "fake"))
    shape = (len(real),) + (1,) * (real.ndim - 1)
    epsilon = torch.rand(shape, generator=generator, device=real.device, dtype=real.dtype)
    return epsilon * real + (1 - epsilon) * fake
