r"""How a variational autoencoder learns.

A step minimises minus the ELBO (one draw, the divergence in closed form) or minus L_k (k draws), of
`reverie.objectives.variational`, by Adam, in nats per event. Grey values that stand for probabilities are drawn as bits
anew at each step. What samples are drawn from is an exponential average of the weights along their path.
"""

from collections.abc import Mapping
from typing import Unpack

import torch
from torch import Tensor

from reverie.core import statistics
from reverie.models.averaged_step import AveragedStep, Descending
from reverie.models.vae.networks import VariationalNetwork, bits_of
from reverie.objectives.adversarial import batch_mean
from reverie.objectives.variational import active_units, elbo, iwae_bound
from reverie.training.monitor import Observation

__all__ = ["VariationalStep"]

Rows = Mapping[str, Tensor]
_SETTLED = 0.25  # of the run, before which units may still wake up
_COLLAPSED = (
    "No latent unit is active: samples have independent features.",
    "Lower beta or decoder_variance, or use n_importance=5. If the columns are independent, all is well.",
)


class VariationalStep(AveragedStep[VariationalNetwork]):
    """Takes the steps of encoder and decoder.

    The divergence has weight `beta`, the bound `n_importance` draws k; `draws_bits` says whether the rows are grey
    values, of which bits are drawn.
    """

    def __init__(
        self,
        network: VariationalNetwork,
        *,
        beta: float,
        n_importance: int,
        draws_bits: bool,
        **how: Unpack[Descending],
    ) -> None:
        super().__init__(network, **how)
        self.beta, self.n_importance, self.draws_bits = beta, n_importance, draws_bits

    def loss(self, batch: Rows, generator: torch.Generator) -> tuple[Tensor, dict[str, Tensor]]:
        """Return minus the mean bound, and reconstruction and divergence in nats per event."""
        x = bits_of(batch["x"], generator) if self.draws_bits else batch["x"]
        bound, parts = self._bound(self.network, x, batch.get("condition"), generator)
        scalars = {name: value.detach().mean() for name, value in parts.items()}
        return -batch_mean(bound, batch.get("weight")), scalars

    def networks(self) -> dict[str, VariationalNetwork]:
        """Return the averaged network."""
        return {"network": self.averaged()}

    @torch.no_grad()
    def observe(self, held_out: Rows, train: Rows, generator: torch.Generator) -> Observation:
        """Return minus the bound of each held-out row, as many samples, and how many latent units are active."""
        network = self.averaged().eval()
        x, condition = held_out["x"], held_out.get("condition")
        x = bits_of(x, generator) if self.draws_bits else x
        bound, parts = self._bound(network, x, condition, generator)
        z = torch.randn(len(x), network.n_latent, generator=generator, device=x.device)
        generated = network.law.draw(network.decoder(z, condition), generator).reshape(x.shape)
        n_active = int(active_units(network.posterior(x, condition).mean).sum()) if len(x) > 1 else network.n_latent
        scalars = {"active_units": float(n_active)}
        weight = held_out.get("weight")
        scalars |= {f"held_out_{name}": float(statistics.weighted_mean(v, weight)) for name, v in parts.items()}
        settled = self.step >= _SETTLED * self.max_steps
        signs = {"posterior collapse": _COLLAPSED} if n_active == 0 and settled else {}
        return Observation(self.step, losses=-bound, generated=generated, scalars=scalars, signs=signs)

    def _bound(
        self, network: VariationalNetwork, x: Tensor, condition: Tensor | None, generator: torch.Generator
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Return the bound of each event (batch,), and its two parts."""
        k = self.n_importance
        noise = torch.randn(k, len(x), network.n_latent, generator=generator, device=x.device)
        if k > 1:
            return iwae_bound(network.log_weights(x, condition, noise, beta=self.beta)), {}
        posterior, log_likelihood = network.terms(x, condition, noise)
        kl = posterior.kl()
        return elbo(log_likelihood[0], kl, beta=self.beta), {"reconstruction": -log_likelihood[0], "kl": kl}
