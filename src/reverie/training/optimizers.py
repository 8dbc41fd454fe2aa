r"""Optimisers by name, and the schedule of the learning rate.

    sgd        w <- w - eta g                                   Robbins and Monro (1951)
    adam       Kingma and Ba, arXiv:1412.6980
    adamw      Loshchilov and Hutter, arXiv:1711.05101
    rmsprop    Tieleman and Hinton, lecture 6.5 (2012)
    adagrad    Duchi, Hazan and Singer, JMLR 12, 2121 (2011)
    adadelta   Zeiler, arXiv:1212.5701
    muon       Jordan et al. (2024), in units of Adam's rate: Liu et al., arXiv:2502.16982

The schedule holds the learning rate for a first part of the run and lets it fall along half a
cosine to a small fraction of itself in the rest.

A step that is compiled whole is written in tensors alone (`apply_rule`). The rules do what the optimisers of torch do,
to the state that torch keeps, in place: g is the gradient, eta the learning rate, t the steps taken, this one included.

    sgd        b <- mu b + g                            w <- w - eta b
    adam       m <- b1 m + (1 - b1) g                   w <- w - eta m / (1 - b1^t) / (sqrt(v / (1 - b2^t)) + eps)
               v <- b2 v + (1 - b2) g^2
    adamw      w <- w (1 - eta lambda), then as adam
    rmsprop    v <- alpha v + (1 - alpha) g^2           w <- w - eta g / (sqrt(v) + eps)
    adagrad    s <- s + g^2                             w <- w - eta g / (sqrt(s) + eps)
    adadelta   v <- rho v + (1 - rho) g^2               d = g sqrt(u + eps) / sqrt(v + eps),  w <- w - eta d
               u <- rho u + (1 - rho) d^2
    muon       m <- mu m + (1 - mu) g                   w <- w (1 - eta lambda) - 0.2 sqrt(max(r, c)) eta U V^T
               of matrices of r outputs and c inputs (and places, of convolutions), (1 - mu) g + mu m = U S V^T;
               biases and layers of few inputs or outputs as adamw

Muon takes every direction of a matrix equally far, where the gradient is of a few directions; its step has the size of
one of Adam. U V^T comes by five steps of Newton and Schulz, X <- (a + b X X^T + c (X X^T)^2) X, which bring singular
values to 0.7 ... 1.2. They are taken in A = X X^T, the smaller square, of which a kernel of 3 x 3 has a ninth of the
arithmetic.

eta may be a scalar tensor: it then changes without compiling anew.
"""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer

from reverie.core.checks import check_choice
from reverie.core.errors import UnknownNameError
from reverie.core.products import product

__all__ = [
    "OPTIMIZERS",
    "OPTIMIZER_WORKS",
    "RULES",
    "apply_rule",
    "learning_rate_factor",
    "make_optimizer",
    "take_step",
]

State = Mapping[str, Tensor]
Group = Mapping[str, Any]  # options of torch's optimiser
Rule = Callable[[Tensor, Tensor, State, Group, Tensor], None]
Maker = Callable[[list[Tensor], float, tuple[float, float]], Optimizer]
_MOMENTUM, _RMS = 0.95, 0.2  # of Muon: mu, and the root mean square of a step in units of eta, as that of Adam's steps
_LEAST = 16  # inputs and outputs of a layer whose weights Muon takes as a matrix
_N_STEPS, _A, _B, _C = 5, 3.4445, -4.7750, 2.0315  # of Newton and Schulz, by Jordan et al.


class Muon(Optimizer):
    """Momentum of which every direction goes equally far, for hidden layers; AdamW for other weights. See the module.

    Parameters
    ----------
    weights : To train. Those of at least 16 outputs and 16 inputs are matrices, (outputs, inputs, places) of
        convolutions.
    lr : Step size in units of that of AdamW, > 0.
    betas : Of AdamW, for the other weights.
    """

    def __init__(self, weights: list[Tensor], lr: float, betas: tuple[float, float]) -> None:
        super().__init__(weights, {"lr": lr, "betas": betas, "eps": 1e-8, "weight_decay": 0.0})

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # noqa: ARG002  # pyrefly: ignore[bad-override] - none is called
        """Take a step along the gradients that are there."""
        for group in self.param_groups:
            rate = torch.tensor(group["lr"], dtype=torch.float64)
            for weight in group["params"]:
                if weight.grad is None:
                    continue
                state = self.state[weight]
                if not state and _is_matrix(weight):
                    state["momentum"] = torch.zeros_like(weight)
                elif not state:
                    state["step"] = torch.zeros((), dtype=torch.float32, device=weight.device)
                    state |= {name: torch.zeros_like(weight) for name in ("exp_avg", "exp_avg_sq")}
                _muon(weight, weight.grad, state, group, rate)


OPTIMIZERS: dict[str, Maker] = {
    "sgd": lambda w, rate, betas: torch.optim.SGD(w, lr=rate, momentum=betas[0]),
    "adam": lambda w, rate, betas: torch.optim.Adam(w, lr=rate, betas=betas, fused=True),
    "adamw": lambda w, rate, betas: torch.optim.AdamW(w, lr=rate, betas=betas, fused=True),
    "rmsprop": lambda w, rate, betas: torch.optim.RMSprop(w, lr=rate, alpha=betas[1], foreach=True),
    "adagrad": lambda w, rate, betas: torch.optim.Adagrad(w, lr=rate, foreach=True),
    "adadelta": lambda w, rate, betas: torch.optim.Adadelta(w, lr=rate, foreach=True),
}
_MAKERS: dict[str, Maker] = OPTIMIZERS | {"muon": Muon}  # for which games and Boltzmann machines have no rate
OPTIMIZER_WORKS: dict[str, list[str]] = {  # keys of the bibliography
    "adam": ["kingma2015"],
    "adamw": ["loshchilov2019"],
    "adagrad": ["duchi2011"],
    "adadelta": ["zeiler2012"],
}


def make_optimizer(
    name: str, weights: Iterable[Tensor], *, learning_rate: float, betas: tuple[float, float] = (0.0, 0.99)
) -> Optimizer:
    """Return the optimiser called `name` over `weights`: one of `OPTIMIZERS` or "muon", else `UnknownNameError`.

    The betas are the decay of the averages of the gradient (momentum, in SGD) and of its square (alpha, in RMSprop).
    """
    return check_choice("optimizer", name, _MAKERS)(list(weights), learning_rate, betas)


def take_step(optimizer: Optimizer, weights: Sequence[Tensor], gradients: Sequence[Tensor | None]) -> None:
    """Take one step of `optimizer` along given gradients of its weights; None leaves a weight where it is.

    The fused optimisers of torch read a gradient in the order of memory, whatever its strides, and take it for that
    of the weight: the gradient of batched products is a transposed view, that of a convolution with the channels last
    lies like its weight, and either would be scrambled in the order of the other without a word.
    """
    for weight, gradient in zip(weights, gradients, strict=True):
        if gradient is not None and gradient.stride() != weight.stride():
            gradient = torch.empty_like(weight).copy_(gradient)
        weight.grad = gradient
    optimizer.step()


def learning_rate_factor(step: int, max_steps: int, *, hold: float = 0.5, floor: float = 0.02) -> float:
    """Return the factor on the learning rate at `step`: 1, then half a cosine from 1 down to `floor`.

    The fraction `hold` of the run, in [0, 1], is at full rate; 1 keeps the rate constant.
    """
    if hold >= 1:
        return 1.0
    position = max(0.0, (step / max_steps - hold) / (1 - hold))
    return floor + (1 - floor) * 0.5 * (1 + math.cos(math.pi * position))


@torch.no_grad()
def apply_rule(
    optimizer: torch.optim.Optimizer, weights: list[Tensor], gradients: list[Tensor | None], rate: Tensor
) -> None:
    """Take one step of `optimizer`, its state filled, changing weights and state in place; eta is `rate`, a scalar.

    A gradient None leaves a weight where it is. Raises `UnknownNameError` for an optimiser that is not in `RULES`.
    """
    name = type(optimizer).__name__.lower()
    if name not in RULES:
        raise UnknownNameError("optimizer", name, RULES)
    group = optimizer.param_groups[0]
    for weight, gradient in zip(weights, gradients, strict=True):
        if gradient is not None:
            RULES[name](weight, gradient, optimizer.state[weight], group, rate)


def _sgd(w: Tensor, g: Tensor, state: State, group: Group, rate: Tensor) -> None:
    if group["momentum"]:
        g = state["momentum_buffer"].mul_(group["momentum"]).add_(g)
    w.sub_(rate * g)


def _adam(w: Tensor, g: Tensor, state: State, group: Group, rate: Tensor) -> None:
    first, second = group["betas"]
    t = state["step"].add_(1).double()
    m = state["exp_avg"].mul_(first).add_(g, alpha=1 - first)
    v = state["exp_avg_sq"].mul_(second).addcmul_(g, g, value=1 - second)
    size, root = rate / (1 - first**t), (1 - second**t).sqrt()
    w.sub_(size.to(w.dtype) * m / (v.sqrt() / root.to(w.dtype) + group["eps"]))


def _adamw(w: Tensor, g: Tensor, state: State, group: Group, rate: Tensor) -> None:
    w.mul_(1 - rate * group["weight_decay"])
    _adam(w, g, state, group, rate)


def _rmsprop(w: Tensor, g: Tensor, state: State, group: Group, rate: Tensor) -> None:
    state["step"].add_(1)
    v = state["square_avg"].mul_(group["alpha"]).addcmul_(g, g, value=1 - group["alpha"])
    w.sub_(rate * g / (v.sqrt() + group["eps"]))


def _adagrad(w: Tensor, g: Tensor, state: State, group: Group, rate: Tensor) -> None:
    state["step"].add_(1)
    total = state["sum"].addcmul_(g, g)
    w.sub_(rate * g / (total.sqrt() + group["eps"]))


def _adadelta(w: Tensor, g: Tensor, state: State, group: Group, rate: Tensor) -> None:
    rho, eps = group["rho"], group["eps"]
    state["step"].add_(1)
    v = state["square_avg"].mul_(rho).addcmul_(g, g, value=1 - rho)
    d = (state["acc_delta"] + eps).sqrt() / (v + eps).sqrt() * g
    state["acc_delta"].mul_(rho).addcmul_(d, d, value=1 - rho)
    w.sub_(rate * d)


def _is_matrix(w: Tensor) -> bool:
    return w.ndim > 1 and min(w.shape[:2]) >= _LEAST


def _muon(w: Tensor, g: Tensor, state: State, group: Group, rate: Tensor) -> None:
    if not _is_matrix(w):
        _adamw(w, g, state, group, rate)
        return
    m = state["momentum"].lerp_(g, 1 - _MOMENTUM)
    u = g.lerp(m, _MOMENTUM).flatten(1)
    is_tall = u.shape[0] > u.shape[1]
    x = u.t().contiguous() if is_tall else u
    x = x / (torch.linalg.vector_norm(x) + 1e-7)
    square = turned = product(x, x.t())
    for k in range(_N_STEPS):
        factor = torch.addmm(square, square, square, beta=_B, alpha=_C)
        factor.diagonal().add_(_A)
        turned = factor if k == 0 else product(factor, turned)
        square = product(product(factor, square), factor)
    x = product(turned, x)
    size = rate * (_RMS * max(u.shape) ** 0.5)
    w.mul_(1 - rate * group["weight_decay"])
    w.sub_(size.to(w.dtype) * (x.t() if is_tall else x).reshape(w.shape))


RULES: dict[str, Rule] = {
    "sgd": _sgd,
    "adam": _adam,
    "adamw": _adamw,
    "rmsprop": _rmsprop,
    "adagrad": _adagrad,
    "adadelta": _adadelta,
    "muon": _muon,
}
