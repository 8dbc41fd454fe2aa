"""Loss of an auxiliary classifier that reads the condition of a sample off the sample.

Symbols: o outputs of the classifier for one sample, c the features of its condition.

    categories   cross-entropy of softmax(o_group) with the one-hot c_group, in nats
    numbers      (o - c)^2 / 2, minus the log-density of a unit Gaussian up to a constant

Odena, Olah and Shlens, arXiv:1610.09585. The outputs are logits: the softmax is inside the loss.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from reverie.core.checks import check_same_shape

__all__ = ["auxiliary_loss"]


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
