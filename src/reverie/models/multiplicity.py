r"""How many particles a set has: the law p(N | c), drawn by inversion from one uniform number.

    without a condition     the shares of the training sets, by their weights
    with conditions c       log p(N | c) = log p(N) + f_N(c) - log Z(c), f a small perceptron that starts at zero

so a training begins with the shares. One set more than there are is shared out over N = 1 ... size, so that a held-out
set whose number no training set has is improbable and not impossible; empty sets are. f is fitted by the
log-likelihood of the sets, along with the other networks of a model: by the same optimiser on other weights, averaged,
kept and resumed with them. N is the number of steps of the distribution function that u in [0, 1) lies above.
"""

import torch
from torch import Tensor, nn

from reverie.networks.mlp import MLP

__all__ = ["MultiplicityLaw"]

_WIDTH = 32


class MultiplicityLaw(nn.Module):
    """p(N | c) of sets of at most `size` particles.

    Parameters
    ----------
    size : The most particles of a set.
    n_condition : Numbers of a condition; 0 for none.
    """

    log_shares: Tensor  # (size + 1,), of N = 0 ... size

    def __init__(self, size: int, n_condition: int = 0) -> None:
        super().__init__()
        self.size = size
        self.register_buffer("log_shares", torch.zeros(size + 1))
        self.network = MLP(n_condition, size + 1, hidden=(_WIDTH,)) if n_condition else None
        if self.network is not None:
            self.network[-1].zero_init = True  # pyrefly: ignore[bad-argument-type] - a mark for `reverie.networks.init`

    @torch.no_grad()
    def fit(self, mask: Tensor, weight: Tensor | None = None) -> None:
        """Learn the shares from the masks (n, size) of training sets and their weights (n,)."""
        w = torch.ones(len(mask), dtype=torch.float64) if weight is None else weight.double().cpu()
        shares = torch.bincount(mask.sum(dim=1).round().long().cpu(), weights=w, minlength=self.size + 1).clamp(min=0)
        shares[1:] += shares.sum() / len(mask) / self.size
        self.log_shares.copy_((shares / shares.sum()).log())

    def log_prob(self, mask: Tensor, condition: Tensor | None = None) -> Tensor:
        """Return log p(N | c), (batch,), of masks (batch, size) and conditions (batch, n_condition)."""
        number = mask.sum(dim=1, keepdim=True).round().long()
        return self._log_law(condition).expand(len(mask), -1).gather(1, number).squeeze(1)

    def masks(self, u: Tensor, condition: Tensor | None = None) -> Tensor:
        """Return masks (batch, size), the first N entries 1, of uniform numbers u (batch,) in [0, 1)."""
        below = self._log_law(condition).double().exp().cumsum(dim=1)
        number = (u.double().unsqueeze(1) >= below / below[:, -1:]).sum(dim=1, keepdim=True)
        return (torch.arange(self.size, device=u.device) < number).to(u.dtype)

    def standardised(self, mask: Tensor) -> Tensor:
        """Return the numbers of particles (batch, 1) of masks (batch, size), less their mean and over their spread."""
        shares, number = self.log_shares.exp(), torch.arange(self.size + 1, device=mask.device)
        mean = (shares * number).sum()
        spread = (shares * (number - mean).square()).sum().sqrt().clamp(min=0.1)
        return (mask.sum(dim=1, keepdim=True) - mean) / spread

    def _log_law(self, condition: Tensor | None) -> Tensor:
        """Return log p(N | c), (batch or 1, size + 1)."""
        if self.network is None or condition is None:
            return self.log_shares.unsqueeze(0)
        return (self.log_shares + self.network(condition)).log_softmax(dim=1)
