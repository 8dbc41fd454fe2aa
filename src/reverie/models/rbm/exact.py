"""Exact averages of a small restricted Boltzmann machine, over all states of its smaller layer.

The states k of that layer have probabilities p_k = exp(-F(k)) / Z, and the mean of the other layer given k is known,
so the model side of the gradient is a sum over k (`reverie.objectives.contrastive`). Of Gaussian units the hidden
states are summed; around its mean given h a unit scatters with variance s^2, which adds 1/2 to < -dE / dlog s^2 >.
Draws are a state k with probability p_k, then the other layer given k: independent, without a chain.
"""

import torch
from torch import Tensor

from reverie.networks.boltzmann import BoltzmannEnergy
from reverie.networks.enumeration import state_blocks
from reverie.objectives.contrastive import Gradient, combined, likelihood_gradient

__all__ = ["ExactSum", "smaller_layer", "unique_rows"]


def smaller_layer(energy: BoltzmannEnergy) -> int:
    """Return the number of units that exact sums enumerate: the hidden ones with Gaussian visible units."""
    n_visible, n_hidden = energy.W.shape
    return n_hidden if energy.log_variance is not None else min(n_visible, n_hidden)


class ExactSum:
    """All states of the smaller layer of machines of one shape.

    Parameters
    ----------
    energy : a machine of that shape; its parameters may change later.

    Raises
    ------
    InputError
        When that layer has more than 20 units.
    """

    def __init__(self, energy: BoltzmannEnergy) -> None:
        n_visible, n_hidden = energy.W.shape
        self.over_visible = energy.log_variance is None and n_visible < n_hidden
        blocks = state_blocks(smaller_layer(energy), dtype=energy.W.dtype)
        self._blocks = [block.to(energy.W.device) for block in blocks]

    def log_weights(self, energy: BoltzmannEnergy) -> Tensor:
        """Return -F of every state, (state,) float64."""
        free_energy = energy if self.over_visible else energy.hidden_free_energy
        return torch.cat([-free_energy(block).double() for block in self._blocks])

    def gradient(self, energy: BoltzmannEnergy) -> tuple[Gradient, Tensor]:
        """Return < -dE / dtheta > of the model and log Z, a float64 scalar; hand-written, without autograd."""
        log_weights = self.log_weights(energy)
        log_z = torch.logsumexp(log_weights, 0)
        p = (log_weights - log_z).exp().to(energy.W.dtype)
        shares = p.split([len(block) for block in self._blocks])
        parts = [
            gradient_of(energy, *self._layers(energy, states), share)
            for states, share in zip(self._blocks, shares, strict=True)
        ]
        model = combined(parts, [1.0] * len(parts))
        if model.log_variance is not None:
            model.log_variance.add_(0.5)
        return model, log_z

    def sample(self, energy: BoltzmannEnergy, n: int, generator: torch.Generator) -> Tensor:
        """Return v (n, visible), independent draws of the model."""
        p = torch.softmax(self.log_weights(energy), 0)
        index = torch.multinomial(p, n, replacement=True, generator=generator)
        states = torch.cat(self._blocks)[index]
        return states if self.over_visible else energy.sample_visible(states, generator)

    def _layers(self, energy: BoltzmannEnergy, states: Tensor) -> tuple[Tensor, Tensor]:
        if self.over_visible:
            return states, energy.hidden_mean(states)
        return energy.visible_mean(states), states


def gradient_of(energy: BoltzmannEnergy, v: Tensor, h: Tensor, r: Tensor) -> Gradient:
    """Return `likelihood_gradient` of rows at the parameters of `energy`."""
    return likelihood_gradient(v, h, r, W=energy.W, visible_bias=energy.visible_bias, log_variance=energy.log_variance)


def unique_rows(v: Tensor, weight: Tensor | None) -> tuple[Tensor, Tensor]:
    """Return the different rows of v (batch, visible) and their weights, which add up to the mean weight (1)."""
    rows, index = torch.unique(v, dim=0, return_inverse=True)
    each = torch.ones(len(v), dtype=v.dtype) if weight is None else weight.to(v.dtype)
    return rows, torch.zeros(len(rows), dtype=v.dtype).index_add_(0, index, each) / len(v)
