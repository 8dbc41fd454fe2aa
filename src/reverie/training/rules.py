r"""One step of each optimiser, written in tensors alone, for a step that is compiled whole.

They do what the optimisers of torch do, to the state that torch keeps, in place: g is the gradient, eta the learning
rate, t the steps taken, this one included.

    sgd        b <- mu b + g                            w <- w - eta b
    adam       m <- b1 m + (1 - b1) g                   w <- w - eta m / (1 - b1^t) / (sqrt(v / (1 - b2^t)) + eps)
               v <- b2 v + (1 - b2) g^2
    adamw      w <- w (1 - eta lambda), then as adam
    rmsprop    v <- alpha v + (1 - alpha) g^2           w <- w - eta g / (sqrt(v) + eps)
    adagrad    s <- s + g^2                             w <- w - eta g / (sqrt(s) + eps)
    adadelta   v <- rho v + (1 - rho) g^2               d = g sqrt(u + eps) / sqrt(v + eps),  w <- w - eta d
               u <- rho u + (1 - rho) d^2

Sources are those of `reverie.training.optimizers`. eta may be a scalar tensor: it then changes without compiling anew.
"""

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor

from reverie.core.errors import UnknownNameError

__all__ = ["RULES", "apply_rule"]

State = Mapping[str, Tensor]
Rule = Callable[[Tensor, Tensor, State, Mapping[str, Any], Tensor], None]


@torch.no_grad()
def apply_rule(
    optimizer: torch.optim.Optimizer, weights: list[Tensor], gradients: list[Tensor | None], rate: Tensor
) -> None:
    """Take one step of `optimizer`, changing weights and its state in place.

    Parameters
    ----------
    optimizer : one of `RULES`, its state filled.
    weights, gradients : of equal shapes; None leaves a weight where it is.
    rate : eta, a scalar.

    Raises
    ------
    UnknownNameError
        For another optimiser.
    """
    name = type(optimizer).__name__.lower()
    if name not in RULES:
        raise UnknownNameError("optimizer", name, RULES)
    group = optimizer.param_groups[0]
    for weight, gradient in zip(weights, gradients, strict=True):
        if gradient is not None:
            RULES[name](weight, gradient, optimizer.state[weight], group, rate)


def _sgd(w: Tensor, g: Tensor, state: State, group: Mapping[str, Any], rate: Tensor) -> None:
    if group["momentum"]:
        g = state["momentum_buffer"].mul_(group["momentum"]).add_(g)
    w.sub_(rate * g)


def _adam(w: Tensor, g: Tensor, state: State, group: Mapping[str, Any], rate: Tensor) -> None:
    first, second = group["betas"]
    t = state["step"].add_(1).double()
    m = state["exp_avg"].mul_(first).add_(g, alpha=1 - first)
    v = state["exp_avg_sq"].mul_(second).addcmul_(g, g, value=1 - second)
    size, root = rate / (1 - first**t), (1 - second**t).sqrt()
    w.sub_(size.to(w.dtype) * m / (v.sqrt() / root.to(w.dtype) + group["eps"]))


def _adamw(w: Tensor, g: Tensor, state: State, group: Mapping[str, Any], rate: Tensor) -> None:
    w.mul_(1 - rate * group["weight_decay"])
    _adam(w, g, state, group, rate)


def _rmsprop(w: Tensor, g: Tensor, state: State, group: Mapping[str, Any], rate: Tensor) -> None:
    state["step"].add_(1)
    v = state["square_avg"].mul_(group["alpha"]).addcmul_(g, g, value=1 - group["alpha"])
    w.sub_(rate * g / (v.sqrt() + group["eps"]))


def _adagrad(w: Tensor, g: Tensor, state: State, group: Mapping[str, Any], rate: Tensor) -> None:
    state["step"].add_(1)
    total = state["sum"].addcmul_(g, g)
    w.sub_(rate * g / (total.sqrt() + group["eps"]))


def _adadelta(w: Tensor, g: Tensor, state: State, group: Mapping[str, Any], rate: Tensor) -> None:
    rho, eps = group["rho"], group["eps"]
    state["step"].add_(1)
    v = state["square_avg"].mul_(rho).addcmul_(g, g, value=1 - rho)
    d = (state["acc_delta"] + eps).sqrt() / (v + eps).sqrt() * g
    state["acc_delta"].mul_(rho).addcmul_(d, d, value=1 - rho)
    w.sub_(rate * d)


RULES: dict[str, Rule] = {
    "sgd": _sgd,
    "adam": _adam,
    "adamw": _adamw,
    "rmsprop": _rmsprop,
    "adagrad": _adagrad,
    "adadelta": _adadelta,
}
