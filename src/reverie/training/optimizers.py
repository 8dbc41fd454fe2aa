"""Optimisers by name, and the schedule of the learning rate.

    sgd        w <- w - eta g                                   Robbins and Monro (1951)
    adam       Kingma and Ba, arXiv:1412.6980
    adamw      Loshchilov and Hutter, arXiv:1711.05101
    rmsprop    Tieleman and Hinton, lecture 6.5 (2012)
    adagrad    Duchi, Hazan and Singer, JMLR 12, 2121 (2011)
    adadelta   Zeiler, arXiv:1212.5701

The schedule holds the learning rate for a first part of the run and lets it fall along half a
cosine to a small fraction of itself in the rest.
"""

import math
from collections.abc import Callable, Iterable, Sequence

import torch
from torch import Tensor
from torch.optim import Optimizer

from reverie.core.checks import check_choice

__all__ = ["OPTIMIZERS", "OPTIMIZER_WORKS", "learning_rate_factor", "make_optimizer", "take_step"]

Maker = Callable[[list[Tensor], float, tuple[float, float]], Optimizer]

OPTIMIZERS: dict[str, Maker] = {
    "sgd": lambda w, rate, betas: torch.optim.SGD(w, lr=rate, momentum=betas[0]),
    "adam": lambda w, rate, betas: torch.optim.Adam(w, lr=rate, betas=betas, fused=True),
    "adamw": lambda w, rate, betas: torch.optim.AdamW(w, lr=rate, betas=betas, fused=True),
    "rmsprop": lambda w, rate, betas: torch.optim.RMSprop(w, lr=rate, alpha=betas[1], foreach=True),
    "adagrad": lambda w, rate, betas: torch.optim.Adagrad(w, lr=rate, foreach=True),
    "adadelta": lambda w, rate, betas: torch.optim.Adadelta(w, lr=rate, foreach=True),
}
OPTIMIZER_WORKS: dict[str, list[str]] = {  # keys of the bibliography
    "adam": ["kingma2015"],
    "adamw": ["loshchilov2019"],
    "adagrad": ["duchi2011"],
    "adadelta": ["zeiler2012"],
}


def make_optimizer(
    name: str, weights: Iterable[Tensor], *, learning_rate: float, betas: tuple[float, float] = (0.0, 0.99)
) -> Optimizer:
    """Return the optimiser called `name` over `weights`.

    Parameters
    ----------
    name : a key of `OPTIMIZERS`.
    weights : parameters to train.
    learning_rate : eta > 0.
    betas : decay of the averages of the gradient (momentum, in SGD) and of its square (alpha, in RMSprop).

    Raises
    ------
    UnknownNameError
        For another name.
    """
    return check_choice("optimizer", name, OPTIMIZERS)(list(weights), learning_rate, betas)


def take_step(optimizer: Optimizer, weights: Sequence[Tensor], gradients: Sequence[Tensor | None]) -> None:
    """Take one step of `optimizer` along given gradients of its weights; None leaves a weight where it is.

    The fused optimisers of torch read a gradient in the order of memory, whatever its strides, and take it for that
    of the weight: the gradient of batched products is a transposed view, that of a convolution with the channels last
    lies like its weight, and either would be scrambled in the order of the other without a word.
    """
    for weight, gradient in zip(weights, gradients, strict=True):
        weight.grad = None if gradient is None else _laid_out(gradient, weight)
    optimizer.step()


def _laid_out(gradient: Tensor, weight: Tensor) -> Tensor:
    """Return `gradient` in the memory order of `weight`."""
    return gradient if gradient.stride() == weight.stride() else torch.empty_like(weight).copy_(gradient)


def learning_rate_factor(step: int, max_steps: int, *, hold: float = 0.5, floor: float = 0.02) -> float:
    """Return the factor on the learning rate at `step`: 1, then half a cosine from 1 down to `floor`.

    Parameters
    ----------
    step, max_steps : position and length of the run.
    hold : fraction of the run at full rate, in [0, 1]; 1 keeps the rate constant.
    floor : the last factor, in [0, 1].
    """
    if hold >= 1:
        return 1.0
    position = max(0.0, (step / max_steps - hold) / (1 - hold))
    return floor + (1 - floor) * 0.5 * (1 + math.cos(math.pi * position))
