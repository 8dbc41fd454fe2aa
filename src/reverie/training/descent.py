"""Weights with their optimiser, taking steps along gradients, and the average of weights along their path.

What a player of a GAN or an energy owns: its weights, the optimiser's state, which is there from the start so that a
compiled step finds it, and, for training on several processes, the mean of their gradients. A step is that of torch's
optimiser, or, given its learning rate as a tensor, the same formula in tensors alone (`reverie.training.optimizers`).

    w_ema <- beta w_ema + (1 - beta) w,   beta_t = min(beta, (1 + t) / (10 + t))

The average of the generator along its path samples better than its last point, because the players circle their
equilibrium (Yazici et al., arXiv:1806.04498). The ramp of beta forgets the start.

Adam without momentum, and with a short memory beta_2 of the square v of the gradient g, moves every weight by up to
(1 - beta_2)^-1/2 times the learning rate, ten times for 0.99, when a gradient is far longer than those before. Two
players are thrown off by one such step, and the average is off for as long as it remembers. So a gradient may be
bounded in units of its usual length, |g| <= k (sum v / (1 - beta_2^t))^1/2, a scale that needs no tuning. The second
moments as the measure of a spike are those of SPAM (Huang et al., arXiv:2501.06842), which bounds each entry by itself;
the norm of all entries keeps the direction of the step.

Nor do the steps of Adam become shorter when the gradient does, down to entries of eps, 1e-8 by default. A penalty on
its gradient makes a discriminator flat where it finds no difference, and then the steps of both players, as long as
ever, follow the noise of a gradient that is all but zero. A larger eps makes them shorter.
"""

import copy
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from reverie.core.types import State
from reverie.training.optimizers import apply_rule, make_optimizer, take_step

__all__ = ["Descent", "LossStep", "ema_decay", "ema_update"]

Reduce = Callable[[list[Tensor | None]], list[Tensor | None]]


class Descent:
    """An optimiser over `weights`.

    Parameters
    ----------
    weights : parameters to train.
    name, learning_rate, betas : as in `reverie.training.optimizers.make_optimizer`.
    weight_decay : lambda of AdamW.
    clip : largest norm of the gradient of all weights together; longer ones are shortened. None for no bound.
    spike : Largest norm of the gradient in units of its usual norm (see the module), > 0; longer ones are shortened.
        Of Adam and AdamW only, whose second moments say what is usual. None for no bound.
    eps : Epsilon of Adam and AdamW, > 0: an entry of the gradient far below it moves its weight in proportion to
        itself, and no longer by about the learning rate. Other optimisers keep theirs. None for 1e-8.
    n_replicas : R, where weights are (R, ...) and each replica has a norm of its own for `spike`; weights of another
        first dimension are shared by the replicas, and not bounded.

    Attributes
    ----------
    reduce : gradients of this process -> their mean over all processes; None on one process.
    """

    def __init__(
        self,
        weights: Iterable[Tensor],
        name: str,
        *,
        learning_rate: float,
        betas: tuple[float, float],
        weight_decay: float | None = None,
        clip: float | None = None,
        spike: float | None = None,
        eps: float | None = None,
        n_replicas: int = 1,
    ) -> None:
        self.weights, self._clip, self._n_replicas = list(weights), clip, n_replicas
        self._spike = spike if name in ("adam", "adamw") else None
        self.optimizer = make_optimizer(name, self.weights, learning_rate=learning_rate, betas=betas)
        group = self.optimizer.param_groups[0]
        if weight_decay is not None:
            group["weight_decay"] = weight_decay
        if eps is not None and name in ("adam", "adamw"):
            group["eps"] = eps
        self.reduce: Reduce | None = None
        rate, group["lr"] = group["lr"], 0.0  # a step of length zero makes the optimiser's state, all zeros
        take_step(self.optimizer, self.weights, [torch.zeros_like(weight) for weight in self.weights])
        group["lr"] = rate
        for weight in self.weights:
            weight.grad = None
            for value in self.optimizer.state[weight].values():
                if isinstance(value, Tensor):
                    value.zero_()

    def along(self, loss: Tensor, rate: float | Tensor) -> Tensor | None:
        """Take a step on `loss` over these weights alone; return the norm of the gradient if it is bounded."""
        return self.step(torch.autograd.grad(loss, self.weights, allow_unused=True), rate)

    def step(self, gradients: Sequence[Tensor | None], rate: float | Tensor) -> Tensor | None:
        """Take a step along `gradients` at learning rate `rate`; a tensor keeps it inside a compiled graph."""
        found = list(gradients) if self.reduce is None else self.reduce(list(gradients))
        norm = None
        if self._spike is not None:
            found = self._without_spikes(found, self._spike)
        if self._clip is not None:
            norm = nn.utils.get_total_norm([g for g in found if g is not None])
            factor = (self._clip / (norm + 1e-6)).clamp(max=1.0)
            found = [None if g is None else g * factor for g in found]
        if isinstance(rate, Tensor):
            apply_rule(self.optimizer, self.weights, found, rate)
        else:
            group = self.optimizer.param_groups[0]
            base, group["lr"] = group["lr"], rate
            take_step(self.optimizer, self.weights, found)
            group["lr"] = base  # the rate of a step is an argument and no state, which compiled steps do not change
        return norm

    def _without_spikes(self, gradients: list[Tensor | None], most: float) -> list[Tensor | None]:
        """Return the gradients, of each replica shortened to `most` times their usual norm."""
        R, (_, decay) = self._n_replicas, self.optimizer.param_groups[0]["betas"]
        pairs = zip(self.weights, gradients, strict=True)
        bounded = {k: g for k, (w, g) in enumerate(pairs) if g is not None and (R == 1 or w.shape[:1] == (R,))}
        states = [self.optimizer.state[self.weights[k]] for k in bounded]
        norm = torch.stack([g.reshape(R, -1).square().sum(1) for g in bounded.values()]).sum(0).sqrt()
        usual = torch.stack([state["exp_avg_sq"].reshape(R, -1).sum(1) for state in states]).sum(0).sqrt()
        t = states[0]["step"].to(norm.device)
        usual = usual / (1 - decay ** t.clamp(min=1)).sqrt()
        factor = torch.where((t > 0) & (norm > most * usual), most * usual / norm, torch.ones_like(norm))
        shortened = {k: g * factor.reshape(-1, *(1,) * (g.ndim - 1)) for k, g in bounded.items()}
        return [shortened.get(k, g) for k, g in enumerate(gradients)]

    def state_dict(self) -> State:
        """Return the state of the optimiser."""
        return self.optimizer.state_dict()

    @torch.no_grad()
    def load_state_dict(self, state: State) -> None:
        """Take up a state, into the tensors that are there: a compiled step knows no others."""
        kept = {weight: dict(self.optimizer.state[weight]) for weight in self.weights}
        base = self.optimizer.param_groups[0]["lr"]
        self.optimizer.load_state_dict(state)
        self.optimizer.param_groups[0]["lr"] = base
        for weight, tensors in kept.items():
            loaded = self.optimizer.state[weight]
            for name, tensor in tensors.items():
                if isinstance(tensor, Tensor):
                    tensor.copy_(loaded[name]) if name in loaded else tensor.zero_()
                    loaded[name] = tensor


class LossStep:
    """A network that descends one loss by an optimiser of torch, step by step, as `reverie.training.loop.train` asks.

    Parameters
    ----------
    network : What is trained.
    loss : Batch and source of randomness -> the loss of the network.
    optimizer : Of the weights of the network.
    decay : Of the average of the weights per step; 0 for no average.

    Attributes
    ----------
    average : The average along the path; without one the network itself.
    """

    def __init__(
        self,
        network: nn.Module,
        loss: Callable[[Any, torch.Generator], Tensor],
        optimizer: torch.optim.Optimizer,
        *,
        decay: float = 0.0,
    ) -> None:
        self.network, self._loss, self.optimizer, self._decay = network, loss, optimizer, decay
        self.average = copy.deepcopy(network).requires_grad_(requires_grad=False) if decay else network
        self.step = 0

    def train_step(self, batch: object, generator: torch.Generator) -> dict[str, Tensor]:
        """Take a step on a batch; return the loss."""
        loss = self._loss(batch, generator)
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()
        if self._decay:
            weights, averages = list(self.network.parameters()), list(self.average.parameters())
            ema_update(averages, weights, decay=ema_decay(self.step, self._decay))
        self.step += 1
        return {"loss": loss.detach()}

    def state_dict(self) -> State:
        """Return the state of the network, its average and its optimiser."""
        parts = {"network": self.network, "average": self.average, "optimizer": self.optimizer}
        return {"step": self.step} | {name: part.state_dict() for name, part in parts.items()}

    def load_state_dict(self, state: State) -> None:
        """Take up what `state_dict` returned."""
        self.step = state["step"]
        self.network.load_state_dict(state["network"])
        self.average.load_state_dict(state["average"])
        self.optimizer.load_state_dict(state["optimizer"])


def ema_decay(step: int, decay: float) -> float:
    """Return beta of `step` (0, 1, ...): `decay` with a ramp over the first steps."""
    return min(decay, (1 + step) / (10 + step))


@torch.no_grad()
def ema_update(average: Sequence[Tensor], current: Sequence[Tensor], *, decay: float | Tensor) -> None:
    """Move `average` towards `current` in place; both are lists of tensors of equal shapes.

    A decay that is a scalar tensor keeps the update inside a compiled step (`reverie.compile.step`).
    """
    if isinstance(decay, Tensor):
        for a, c in zip(average, current, strict=True):
            a.add_((1 - decay) * (c - a))
    else:
        torch._foreach_lerp_(list(average), list(current), 1 - decay)
