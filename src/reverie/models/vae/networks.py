r"""Encoder, decoder and the law of an event given its latent vector, as one network.

The decoder gives a raw number per feature; what it means depends on the feature:

    bits            log odds of a Bernoulli law
    real numbers    mean of a Gaussian, with a standard deviation per column (one for all pixels of an image), learnt
                    or fixed
    angles          a pair (u, v): mean of a Gaussian of unit variance in the plane, of which the direction counts
    categories      logits of their probabilities

so that log p(x | z) is a density, or a probability, of the features that data can have. A learnt standard deviation has
a floor,

    s = s_0 + sp(10 a),    sp(t) = log(1 + e^t),

since a Gaussian that narrows on a constant column would have any likelihood: s_0 is 0.01 of a column's own standard
deviation, and for values on a grid, such as grey levels, step / sqrt(2 pi), with which no level gets a probability
above one. The concentration of an angle is bounded by 1 / s_0 alike. The decoder of learnt s: Rybkin, Daniilidis and
Levine, arXiv:2006.13202.

What the decoder gives is added to an offset made of the mean of the training data, so that it starts there.
"""

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn.functional import one_hot, softplus

from reverie.core.protocols import Transform
from reverie.data.transforms import Chain, Rescale
from reverie.networks.features import feature_groups
from reverie.objectives.reconstruction import (
    bernoulli_log_likelihood,
    categorical_log_likelihood,
    circle_log_likelihood,
    gaussian_log_likelihood,
)
from reverie.objectives.variational import GaussianPosterior, standard_normal_log_prob

__all__ = ["LEAST_SD", "EventLaw", "VariationalNetwork", "bits_of", "law_of"]

LEAST_SD = 0.01
_WIDEST = 7.0  # of log s of the posterior, smoothly: e^7 and e^-7 are beyond what float32 sums can tell apart
_SURE = 1e-3  # of mean bits, from 0 and 1, that make the offset
_FIRST_SD = 0.5
_SWIFT = 10.0  # s follows the error of the decoder, which falls faster than steps of one weight could follow


class EventLaw(nn.Module):
    """p(x | z) of an event, given the raw numbers of a decoder.

    Parameters
    ----------
    kinds, groups : of each feature, as in `reverie.networks.features.OutputHead`.
    is_binary : whether features are bits, -1 and 1.
    n_sds : standard deviations: one per feature, or 1.
    sd : their value; None learns them.
    least_sd : s_0 > 0.
    radius : of circles.
    sees_missing : whether features of events may be NaN.
    """

    offset: Tensor

    def __init__(
        self,
        kinds: Sequence[str],
        groups: Sequence[int | None],
        *,
        is_binary: bool,
        n_sds: int,
        sd: float | None = None,
        least_sd: float = LEAST_SD,
        radius: float = 2**0.5,
        sees_missing: bool = False,
    ) -> None:
        super().__init__()
        self.is_binary, self.least_sd, self.radius, self.sees_missing = is_binary, least_sd, radius, sees_missing
        self._real = [j for j, kind in enumerate(kinds) if kind not in ("circle", "simplex")]
        self._circles = feature_groups(kinds, groups, "circle")
        self._simplices = feature_groups(kinds, groups, "simplex")
        self.register_buffer("offset", torch.zeros(len(kinds)))
        self._fixed = sd
        free = None if sd is not None or is_binary or not self._real else torch.zeros(min(n_sds, len(self._real)))
        self.raw_sd = None if free is None else nn.Parameter(free + math.log(math.expm1(_FIRST_SD)) / _SWIFT)

    @property
    def sd(self) -> Tensor:
        """Standard deviation of the real features, or one for all, in feature units."""
        if self.raw_sd is None:
            return torch.as_tensor(self._fixed or 1.0, dtype=self.offset.dtype, device=self.offset.device)
        return self.least_sd + softplus(_SWIFT * self.raw_sd)

    @torch.no_grad()
    def start_at(self, x: Tensor) -> None:
        """Put the offset at the mean of events x (batch, features)."""
        mean = x.double().mean(dim=0)
        if self.is_binary:
            mean = torch.logit(((mean + 1) / 2).clamp(_SURE, 1 - _SURE))
        for levels in self._simplices:
            mean[levels] = mean[levels].clamp(min=_SURE).log()
        for pair in self._circles:
            mean[pair] = 0.0
        self.offset.copy_(mean)

    def log_likelihood(self, raw: Tensor, x: Tensor) -> Tensor:
        """Return log p(x | z), (..., batch), of raw (..., batch, features) and events x (batch, features).

        Of events that are known in part, the law is that of what is not NaN.
        """
        y, known = raw + self.offset, None
        if self.sees_missing:
            known, x = ~x.isnan(), x.nan_to_num(0.0)
        if self.is_binary:
            return bernoulli_log_likelihood(y, (x + 1) / 2, known)
        if len(self._real) == x.shape[-1]:
            return gaussian_log_likelihood(x, y, self.sd.log(), known)
        real = self._real
        total = gaussian_log_likelihood(
            x[..., real], y[..., real], self.sd.log(), None if known is None else known[..., real]
        )
        for pair in self._circles:
            of_pair = circle_log_likelihood(x[..., pair], self._bounded(y[..., pair]), radius=self.radius)
            total = total + (of_pair if known is None else known[..., pair[0]] * of_pair)
        for levels in self._simplices:
            of_level = categorical_log_likelihood(y[..., levels], x[..., levels])
            total = total + (of_level if known is None else known[..., levels[0]] * of_level)
        return total

    def mean(self, raw: Tensor) -> Tensor:
        """Return the mean event (batch, features): directions for angles, and the likeliest category."""
        y = raw + self.offset
        if self.is_binary:
            return torch.tanh(y / 2)  # 2 p - 1
        return self._discrete(y.clone(), y)

    def draw(self, raw: Tensor, generator: torch.Generator) -> Tensor:
        """Return an event drawn from p(x | z), (batch, features)."""
        n, dtype, device = len(raw), raw.dtype, raw.device
        normal = torch.randn(n, self.n_normal, generator=generator, dtype=dtype, device=device)
        return self.event(raw, normal, torch.rand(n, self.n_uniform, generator=generator, dtype=dtype, device=device))

    @property
    def n_normal(self) -> int:
        """Normal numbers that one event takes."""
        return 0 if self.is_binary else len(self.offset)

    @property
    def n_uniform(self) -> int:
        """Numbers on [0, 1) that one event takes."""
        return len(self.offset) if self.is_binary or self._simplices else 0

    def event(self, raw: Tensor, normal: Tensor, uniform: Tensor) -> Tensor:
        """Return the event (batch, features) that these numbers (batch, n_normal), (batch, n_uniform) draw."""
        y = raw + self.offset
        if self.is_binary:
            return 2 * (uniform < y.sigmoid()).to(y.dtype) - 1
        out = y.clone()
        out[:, self._real] += self.sd * normal[:, self._real]
        for pair in self._circles:
            out[:, pair] = self._bounded(y[:, pair]) + normal[:, pair]
        if not self._simplices:
            return self._discrete(out, y)
        gumbel = -(-uniform.clamp(min=1e-12).log()).log()
        return self._discrete(out, y + gumbel)

    def _discrete(self, out: Tensor, logits: Tensor) -> Tensor:
        """Put angles of `out` on their circles, and categories where `logits` are largest."""
        for pair in self._circles:
            out[:, pair] = self.radius * nn.functional.normalize(out[:, pair], dim=1, eps=1e-12)
        for levels in self._simplices:
            out[:, levels] = one_hot(logits[:, levels].argmax(dim=1), len(levels)).to(out.dtype)
        return out

    def _bounded(self, m: Tensor) -> Tensor:
        """Return m with a length below 1 / s_0."""
        return m * (1 + (self.least_sd * m).square().sum(dim=-1, keepdim=True)).rsqrt()


class VariationalNetwork(nn.Module):
    """Encoder, prior, decoder and law.

    Parameters
    ----------
    encoder : (events, condition) to the mean and the spread, `n_spread` numbers, of the posterior.
    decoder : (latent vectors, condition) to raw events (..., features).
    law : p(x | z).
    n_latent, is_full : latent dimensions, and whether the posterior is a full Gaussian.
    """

    centre: Tensor

    def __init__(self, encoder: nn.Module, decoder: nn.Module, law: EventLaw, *, n_latent: int, is_full: bool) -> None:
        super().__init__()
        self.encoder, self.decoder, self.law = encoder, decoder, law
        self.n_latent, self.is_full = n_latent, is_full
        self.register_buffer("centre", torch.zeros_like(law.offset))

    @torch.no_grad()
    def start_at(self, x: Tensor) -> None:
        """Start from the mean of training events x (batch, *event): it is subtracted before, and added after."""
        if self.law.sees_missing:
            x = torch.where(x.isnan(), x.nanmean(dim=0), x)
        self.centre.copy_(x.flatten(1).double().mean(dim=0))
        self.law.start_at(x.flatten(1))

    def posterior(self, x: Tensor, condition: Tensor | None = None) -> GaussianPosterior:
        """Return q(z | x) of events x (batch, *event); what is missing counts as the mean, and as a condition."""
        x = x - self.centre.reshape(x.shape[1:])
        if self.law.sees_missing:
            missing = x.flatten(1).isnan().to(x.dtype)
            x, condition = x.nan_to_num(0.0), missing if condition is None else torch.cat([condition, missing], dim=1)
        h = self.encoder(x, condition)
        mean, rest = h[:, : self.n_latent], h[:, self.n_latent :]
        log_sd = _WIDEST * torch.tanh(rest[:, : self.n_latent] / _WIDEST)
        if not self.is_full:
            return GaussianPosterior(mean, log_sd)
        scale = torch.diag_embed(log_sd.exp())
        row, column = torch.tril_indices(self.n_latent, self.n_latent, offset=-1, device=x.device)
        scale[:, row, column] = rest[:, self.n_latent :]
        return GaussianPosterior(mean, scale)

    def terms(self, x: Tensor, condition: Tensor | None, noise: Tensor) -> tuple[GaussianPosterior, Tensor]:
        """Return q(z | x) and log p(x | z) (draw, batch), for noise (draw, batch, latent)."""
        posterior = self.posterior(x, condition)
        raw = self.decoder(posterior.at(noise), condition)
        return posterior, self.law.log_likelihood(raw, x.flatten(1))

    def log_weights(self, x: Tensor, condition: Tensor | None, noise: Tensor, *, beta: float = 1.0) -> Tensor:
        """Return log w = log p(x | z) + beta {log p(z) - log q(z | x)}, (draw, batch)."""
        posterior, log_likelihood = self.terms(x, condition, noise)
        return log_likelihood + beta * (standard_normal_log_prob(posterior.at(noise)) - posterior.log_prob(noise))


def law_of(transform: Transform, *, is_binary: bool, variance: float | str, sees_missing: bool = False) -> EventLaw:
    """Return the law for features of a fitted transform, bits or not; `variance` of real ones is "learnt" or fixed."""
    shape = tuple(transform.output_shape)
    is_image = len(shape) > 1
    tags = list(transform.outputs)
    tags = tags * math.prod(shape) if len(tags) == 1 else tags  # images of numbers carry one tag for all
    least_sd, last = LEAST_SD, transform.steps_[-1] if isinstance(transform, Chain) else transform
    if isinstance(last, Rescale) and last.step is not None:
        least_sd = last.step / last.half_ / math.sqrt(2 * math.pi)
    return EventLaw(
        [tag.kind for tag in tags],
        [tag.group for tag in tags],
        is_binary=is_binary,
        n_sds=1 if is_image else len(tags),
        sd=None if isinstance(variance, str) else float(variance) ** 0.5,
        least_sd=least_sd,
        sees_missing=sees_missing,
    )


def bits_of(grey: Tensor, generator: torch.Generator) -> Tensor:
    """Return bits -1 or 1 drawn with the probabilities (1 + x) / 2 that grey values x in [-1, 1] stand for."""
    p = (grey + 1) / 2
    return 2 * (torch.rand(p.shape, generator=generator, dtype=p.dtype, device=p.device) < p).to(p.dtype) - 1
