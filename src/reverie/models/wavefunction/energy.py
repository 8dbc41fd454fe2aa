r"""The variational energy of a positive wave function psi = exp(-F / 2), and its descent by the natural gradient.

With O(s) the derivatives of log psi(s) in the weights theta, averages over p = psi^2 and the local energy of a
Hamiltonian H (`local_energy` of `reverie.simulators.spin_chain`),

    E = <E_loc> >= E_0,     f = <(O - <O>) E_loc> = (dE / dtheta) / 2,     S = <(O - <O>) (O - <O>)^T>,
    theta <- theta - step_size (S + damping)^-1 f,

which is a step of imaginary time, projected on what the machine can represent (stochastic reconfiguration: Sorella,
Phys. Rev. Lett. 80, 4558, 1998). For a Boltzmann machine O = (1/2) (s, h(s), s h(s)^T), h the mean of the hidden units.
Averages are sums over all 2^n states, or over samples by block Gibbs. With A the rows sqrt(p) (O - <O>) and
e = sqrt(p) (E_loc - E) the step solves the smaller of two systems,

    (A^T A + damping)^-1 A^T e = A^T (A A^T + damping)^-1 e.

References
----------
Carleo and Troyer, Science 355, 602 (2017); Chen and Heyl, Nature Phys. 20, 1476 (2024) (the second system).
"""

from collections.abc import Callable
from typing import Protocol

import torch
from torch import Tensor

from reverie.core.errors import TrainingError
from reverie.core.types import State
from reverie.networks.boltzmann import BoltzmannEnergy

__all__ = ["EnergyDescent", "Hamiltonian", "log_derivatives", "natural_direction"]


class Hamiltonian(Protocol):
    """All that a wave function knows of a Hamiltonian."""

    @property
    def n_sites(self) -> int:
        """Number of sites."""
        ...

    def local_energy(self, s: Tensor, log_psi: Callable[[Tensor], Tensor]) -> Tensor:
        """Return E_loc of bits s (batch, n_sites), (batch,), given the log amplitude up to a constant."""
        ...


@torch.no_grad()
def log_derivatives(energy: BoltzmannEnergy, s: Tensor) -> Tensor:
    """Return the derivatives of log psi = -F / 2 in W, a, b at bits s (batch, n_sites), (batch, weights)."""
    h = energy.hidden_mean(s)
    return torch.cat([(s[:, :, None] * h[:, None, :]).flatten(1), s, h], dim=1) / 2


def natural_direction(derivatives: Tensor, local_energy: Tensor, p: Tensor, damping: float) -> Tensor:
    """Return (S + damping)^-1 f, (weights,).

    Parameters
    ----------
    derivatives : O (batch, weights).
    local_energy : E_loc (batch,), real.
    p : probability of each row, or one over their number for samples, (batch,).
    damping : > 0, added to the diagonal of S.
    """
    root = p.sqrt()
    A = root[:, None] * (derivatives - p @ derivatives)
    e = root * (local_energy - p @ local_energy)
    rows, columns = A.shape
    if columns <= rows:
        return torch.linalg.solve(A.T @ A + damping * torch.eye(columns, dtype=A.dtype), A.T @ e)
    return A.T @ torch.linalg.solve(A @ A.T + damping * torch.eye(rows, dtype=A.dtype), e)


class EnergyDescent:
    """A train step of the natural gradient, whose batches are states and their probabilities."""

    def __init__(self, energy: BoltzmannEnergy, hamiltonian: Hamiltonian, *, step_size: float, damping: float) -> None:
        self.energy, self.hamiltonian, self.step_size, self.damping = energy, hamiltonian, step_size, damping
        self.step = 0

    @torch.no_grad()
    def train_step(self, batch: tuple[Tensor, Tensor], generator: torch.Generator) -> dict[str, Tensor]:
        """Move the weights on bits s (batch, n_sites) and their p (batch,); return the energy before it."""
        (s, p), energy = batch, self.energy
        local = self.hamiltonian.local_energy(s, lambda x: -energy(x) / 2).real
        direction = natural_direction(log_derivatives(energy, s), local, p, self.damping)
        weights = (energy.W, energy.visible_bias, energy.hidden_bias)
        for weight, part in zip(weights, direction.split([w.numel() for w in weights]), strict=True):
            weight.sub_(self.step_size * part.reshape(weight.shape))
        value = p @ local
        if not torch.isfinite(value):
            raise TrainingError(f"The energy became {value} at step {self.step}. Lower step_size.", step=self.step)
        self.step += 1
        return {"energy": value}

    def state_dict(self) -> State:
        """Return the weights and the step."""
        return {"step": self.step, "energy": self.energy.state_dict()}

    def load_state_dict(self, state: State) -> None:
        """Take up what `state_dict` returned."""
        self.step = state["step"]
        self.energy.load_state_dict(state["energy"])
