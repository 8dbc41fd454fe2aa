r"""Losses of discriminators that classify: the semi-supervised one, and the auxiliary classifier of a condition.

A classifier of K classes that has "generated" as class K + 1 does not need that logit: a softmax is
unchanged by a shift of all logits, so the last may be fixed at zero. With logits l_1 ... l_K and the
log-sum-exp e = log sum_k exp(l_k), and softplus sp(t) = log(1 + exp(t)),

    p(y = k | x)        = exp(l_k) / (1 + exp(e))
    p(generated | x)    = 1 / (1 + exp(e))           -log = sp(e)
    p(real | x)         = exp(e) / (1 + exp(e))      -log = sp(-e)
    p(y = k | x, real)  = exp(l_k - e)               -log = e - l_k

so e is the logit of "real" that the discriminator of any GAN gives, and the classes share it out. The
discriminator minimises, over labelled pairs (x, y), unlabelled samples x and generated samples G(z),

    L_D = E[e(x) - l_y(x)]  +  w ( E[sp(-e(x))] + E[sp(e(G(z)))] )

and the generator the squared distance of the mean features f of the last hidden layer,

    L_G = || E f(x) - E f(G(z)) ||^2,

which leaves generated samples between the classes rather than on top of them; a generator that plays
to win teaches the classifier nothing (Dai et al., arXiv:1705.09783). Logits go into every loss: a
softmax of a softmax trains, badly. Salimans et al., arXiv:1606.03498, sections 3.1 and 5 (w = 1/2).

An auxiliary classifier reads the condition of a sample off the sample. With its outputs o for one sample, and c the
features of its condition, its loss is a sum of

    categories   cross-entropy of softmax(o_group) with the one-hot c_group, in nats
    numbers      (o - c)^2 / 2, minus the log-density of a unit Gaussian up to a constant

Odena, Olah and Shlens, arXiv:1610.09585. The outputs are logits: the softmax is inside the loss.
"""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn.functional import softplus

from reverie.core.checks import check_same_shape
from reverie.core.errors import InputError

__all__ = ["auxiliary_loss", "feature_matching", "generated_loss", "labelled_loss", "real_loss", "realness"]


def realness(logits: Tensor) -> Tensor:
    """Return e = log sum_k exp(l_k), the logit of "real" against "generated", (batch,), of logits (batch, K)."""
    if logits.ndim != 2:
        raise InputError(f"Expected class logits of shape (batch, K), got {tuple(logits.shape)}. Give one row each.")
    return torch.logsumexp(logits, dim=1)


def labelled_loss(logits: Tensor, labels: Tensor) -> Tensor:
    """Return the mean cross-entropy -log p(y | x, real), in nats: a scalar.

    Logits are (batch, K), labels (batch,) of int64 in 0 ... K - 1. Raises `InputError` for shapes that do not fit;
    labels (batch, 1) would be taken for something else.
    """
    e = realness(logits)
    if labels.shape != e.shape:
        raise InputError(
            f"Expected one label per row of logits {tuple(logits.shape)}, got {tuple(labels.shape)}. "
            "Give labels of shape (batch,)."
        )
    return (e - logits.gather(1, labels.unsqueeze(1)).squeeze(1)).mean()


def real_loss(logits: Tensor) -> Tensor:
    """Return the mean of -log p(real | x) = sp(-e) over unlabelled samples, a scalar, of logits (batch, K)."""
    return softplus(-realness(logits)).mean()


def generated_loss(logits: Tensor) -> Tensor:
    """Return the mean of -log p(generated | x) = sp(e) over generated samples, a scalar, of logits (batch, K)."""
    return softplus(realness(logits)).mean()


def feature_matching(real: Tensor, fake: Tensor) -> Tensor:
    """Return || mean f(x) - mean f(G(z)) ||^2, a scalar, of features (n, feature) and (m, feature).

    Raises `InputError` unless both are tables with the same features.
    """
    if real.ndim != 2 or fake.ndim != 2 or real.shape[1] != fake.shape[1]:
        raise InputError(
            f"Expected features (n, feature) and (m, feature), got {tuple(real.shape)} and {tuple(fake.shape)}. "
            "Take both from one layer."
        )
    return (real.mean(dim=0) - fake.mean(dim=0)).square().sum()


def auxiliary_loss(outputs: Tensor, condition: Tensor, *, groups: Sequence[int | None]) -> Tensor:
    """Return the loss of each sample, (batch,).

    Parameters
    ----------
    outputs : of the classifier, (batch, c).
    condition : features of the conditions, (batch, c).
    groups : for each feature the number of its one-hot group, or None for a number.
    """
    check_same_shape(outputs, condition, ("classifier outputs", "condition features"))
    numbers = [j for j, group in enumerate(groups) if group is None]
    loss = 0.5 * (outputs[:, numbers] - condition[:, numbers]).square().sum(dim=1)
    for group in sorted({g for g in groups if g is not None}):
        columns = [j for j, g in enumerate(groups) if g == group]
        loss = loss - (condition[:, columns] * torch.log_softmax(outputs[:, columns], dim=1)).sum(dim=1)
    return loss
