"""How samples are drawn from a trained GAN: noise and conditions in, features out.

Replicas draw in turn (row i comes from replica i mod R). With rejection sampling a classifier
accepts or refuses each sample, and the refused are drawn anew with the same condition.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from reverie.models.gan.networks import Generator, draw_noise
from reverie.models.gan.rejection import RejectionClassifier, accepted
from reverie.models.gan.training import Rows, compared_rows
from reverie.models.one_pass import Noise

__all__ = ["Drawing"]

_BLOCK = 4096


@dataclass(frozen=True)
class Drawing:
    """How samples are drawn.

    Parameters
    ----------
    network : the generator, in evaluation mode.
    n_replicas : how many replicas share the samples; 1 for a plain network.
    n_noise, noise_prior : of the generator.
    seen : whitened samples and conditions -> rows as the discriminator sees them.
    physical : whitened samples -> their physical columns (rows, k), for the classifier of rejection sampling.
    rejection : accepts or refuses samples, or None.
    """

    network: Generator
    n_replicas: int
    n_noise: int
    noise_prior: str
    seen: Callable[[Tensor, Tensor | None], dict[str, Tensor]]
    physical: Callable[[Tensor], Tensor]
    rejection: RejectionClassifier | None = None

    @torch.no_grad()
    def features(self, n: int, condition: Tensor | None, noise: torch.Generator) -> Tensor:
        """Return the features (n, *latent event) of `n` samples with conditions (n, ...)."""
        rejection = self.rejection
        if rejection is None:
            return self.network.unwhiten(self._samples(torch.arange(n), condition, noise)[0])

        def candidates(index: Tensor) -> tuple[Tensor, Tensor, Tensor]:
            x, given = self._samples(index, condition, noise)
            u = torch.rand(len(index), generator=noise, device=noise.device)
            return x, rejection.log_acceptance(self.known(self.seen(x, given))), u

        return self.network.unwhiten(accepted(candidates, n))

    @torch.no_grad()
    def _samples(self, index: Tensor, condition: Tensor | None, noise: torch.Generator) -> tuple[Tensor, Tensor | None]:
        """Return a whitened sample and the condition of each row number."""
        n = -(-len(index) // self.n_replicas) * self.n_replicas  # those beyond the last row are left out again
        z = draw_noise(n, self.n_noise, prior=self.noise_prior, generator=noise)
        if condition is None and not self.network.draws_first:
            return self.network(z)[: len(index)], None
        rows = torch.cat([index, index[-1:].expand(n - len(index))])
        given = None if condition is None else condition[rows].to(z.device)
        if self.network.draws_first:
            given = self.network.given(torch.rand(n, generator=noise, device=z.device), given)
        assert given is not None
        return self.network(z, given)[: len(index)], given[: len(index)]

    def log_acceptance(self, features: Tensor, condition: Tensor | None) -> Tensor:
        """Return log a(x), (n,), of the probability that features (n, *latent event) are accepted with."""
        if self.rejection is None:
            return features.new_zeros(len(features))
        return self.rejection.log_acceptance(self.known(self.seen(self.network.whiten(features), condition)))

    def features_of(self, noise: Tensor, condition: Tensor | None) -> Tensor | tuple[Tensor, Tensor]:
        """Return features (n, *latent event) of noise (n, n_noise), and with rejection the acceptance (n,) of each.

        Sets take one column more, uniform on [0, 1), for the number of particles, images in clusters one for the
        cluster, and then a bag of replicas one that chooses the replica of each row.
        """
        R, z = self.n_replicas, noise[:, : self.n_noise]
        if self.network.draws_first:
            condition = self.network.given(noise[:, self.n_noise], condition)
        if R > 1:
            z, condition = _repeated(z, R), None if condition is None else _repeated(condition, R)
        x = self.network(z, condition)
        rows = {"x": x} if self.rejection is None else self.seen(x, condition)
        if R > 1:
            chosen = (noise[:, -1] * R).long().clamp(max=R - 1)
            rows = {key: _chosen(x.unflatten(0, (-1, R)), chosen) for key, x in rows.items()}
        features = self.network.unwhiten(rows["x"])
        return features if self.rejection is None else (features, self.rejection.acceptance(self.known(rows)))

    @property
    def laws(self) -> list[Noise]:
        """Laws of the noise that `features_of` takes."""
        own = Noise("normal", self.n_noise)
        if self.noise_prior == "uniform":
            own = Noise("uniform", self.n_noise, -1.0, 1.0)
        n_more = self.network.draws_first + (self.n_replicas > 1)
        return [own, Noise("uniform", n_more)] if n_more else [own]

    def known(self, rows: Rows) -> Tensor:
        """Return all that rejection sampling sees of `rows`: what the discriminator saw, then the physical columns."""
        physical = self.physical(rows["x"])
        return torch.cat([compared_rows(rows).to(physical.device), physical], dim=1)

    @torch.no_grad()
    def known_samples(self, n: int, condition: Tensor | None, noise: torch.Generator) -> Tensor:
        """Return what rejection sampling sees of `n` samples before any rejection, (n, d)."""
        parts = [self.seen(*self._samples(index, condition, noise)) for index in torch.arange(n).split(_BLOCK)]
        return self.known({key: torch.cat([part[key] for part in parts]) for key in parts[0]})


def _repeated(x: Tensor, n: int) -> Tensor:
    """Return every row `n` times, one after the other."""
    return x.unsqueeze(1).expand(-1, n, *x.shape[1:]).flatten(0, 1)


def _chosen(x: Tensor, which: Tensor) -> Tensor:
    """Return x[i, which[i]] of x (n, R, ...)."""
    index = which.reshape(-1, *[1] * (x.ndim - 1)).expand(-1, 1, *x.shape[2:])
    return x.gather(1, index).squeeze(1)
