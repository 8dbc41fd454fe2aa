"""What a trained variational autoencoder says of events: their posteriors, and log p(x) by importance sampling.

    log p(x) = log E_q[w],    w = p(x | z) p(z) / q(z | x)

is estimated by the log of a mean of w over draws of z, which is too low by half its squared error, to leading order.
Sums are in float64, with noise that belongs to the event: its seed is made of the features, so that an event gets the
same value alone and among others.
"""

import zlib
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from reverie.core.random import child_seed
from reverie.models.likelihood import LogLikelihood
from reverie.models.vae.networks import VariationalNetwork, bits_of
from reverie.objectives.variational import importance_estimate

__all__ = ["ImportanceLogLikelihood", "estimated_log_prob", "latent_means"]

_ROWS_AT_ONCE = 16_384  # latent vectors decoded together


@dataclass(frozen=True, eq=False)
class ImportanceLogLikelihood(LogLikelihood):
    """Log-likelihood of events by importance sampling, in nats.

    The error common to all events is the bias of the logarithm of a mean, - error^2 / 2 to leading order; the errors of
    single events are part of their scatter.

    Parameters
    ----------
    errors : (n,) standard error of each value.
    """

    errors: np.ndarray = field(default_factory=lambda: np.empty(0))


@torch.no_grad()
def latent_means(network: VariationalNetwork, x: Tensor, condition: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """Return mean and standard deviation of q(z | x) of events x (n, *event), each (n, latent)."""
    blocks = x.split(_ROWS_AT_ONCE)
    given = [None] * len(blocks) if condition is None else condition.split(_ROWS_AT_ONCE)
    posteriors = [network.posterior(*block) for block in zip(blocks, given, strict=True)]
    return torch.cat([q.mean for q in posteriors]), torch.cat([q.sd for q in posteriors])


@torch.no_grad()
def estimated_log_prob(
    network: VariationalNetwork,
    x: Tensor,
    condition: Tensor | None = None,
    *,
    n_draws: int,
    seed: int,
    draws_bits: bool = False,
) -> tuple[Tensor, Tensor]:
    """Return log p(x) of events by importance sampling, and the standard error of each, (n,) float64, in nats.

    Parameters
    ----------
    network : in evaluation mode; its type is that of the arithmetic.
    x, condition : features (n, *event) and conditions (n, c).
    n_draws, seed : latent vectors of an event, and root of the noise of every event.
    draws_bits : whether x are grey values, of which bits are drawn first.
    """
    dtype = network.centre.dtype
    n_events = min(max(1, _ROWS_AT_ONCE // n_draws), len(x))
    row = torch.Generator()
    noise = torch.empty(n_events, n_draws, network.n_latent)  # one buffer: millions of small draws fragment the memory
    values, errors = torch.empty(2, len(x), dtype=torch.float64, device=x.device)
    for i in range(0, len(x), n_events):
        events = x[i : i + n_events].to(dtype)
        given = None if condition is None else condition[i : i + n_events].to(dtype)
        for j, event in enumerate(x[i : i + n_events].cpu().numpy()):
            row.manual_seed(child_seed(seed, zlib.crc32(event.tobytes())))
            if draws_bits:
                events[j] = bits_of(events[j].cpu(), row).to(x.device)
            noise[j].normal_(generator=row)
        drawn = noise[: len(events)].transpose(0, 1).to(x.device, dtype)
        n = max(1, _ROWS_AT_ONCE // len(events))  # draws decoded together
        parts = [network.log_weights(events, given, drawn[k : k + n]) for k in range(0, n_draws, n)]
        values[i : i + n_events], errors[i : i + n_events] = importance_estimate(torch.cat(parts).double())
    return values, errors
