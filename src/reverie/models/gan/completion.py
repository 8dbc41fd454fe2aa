r"""Missing parts of events and images, filled in by noise that a generator turns into events with the right known part.

The observed features y_o of an event are known, the others are not. A generator G turns standard normal noise z
into features, so a completion is G(z) for a z from

    p(z | y_o) = exp(-E(z)) / Z,    E(z) = 1/2 |m (G(z) - y)|^2 / s^2 + 1/2 |z|^2 - w logit D(G(z))

with m = 1 at observed features and 0 elsewhere, s the tolerance and w = 0 unless asked for (semantic inpainting:
Yeh et al., arXiv:1607.07539; with w = 0 the inverse problem of Bora et al., arXiv:1703.03208).

The most probable z is, of many candidates, the one of lowest E, refined by Adam. For draws,
each k has noise of its own and minimises a perturbed energy,

    E_k(z) = 1/2 |m (G(z) - y - s e_k)|^2 / s^2 + 1/2 |z - a_k|^2,    e_k, a_k ~ N(0, 1)

from a start that is drawn from the candidates with probability exp(-1/2 |m (G - y)|^2 / s^2) ("randomised
maximum likelihood", "randomise, then optimise": Bardsley et al., SIAM J. Sci. Comput. 36 (2014) A1895). Where G
is linear and w = 0 the minima are independent draws from p(z | y_o), exactly, up to the convergence of Adam.
Else they are not: the spread is that of G linearised at each minimum, and modes near which no candidate came
are missed.

With rejection sampling (`reverie.models.gan.rejection`) a completed event x, observed values put in, is accepted with
probability a(x). Draws from q(x_missing | x_observed) go through it as samples do: one that is refused is drawn anew
from other noise, so that accepted ones follow q a, normalised. The most probable completion has -log a(x) in its energy
instead. Uniform noise is normal noise through erf(z / sqrt 2), so one search serves both priors. A completion is never
better than the generator.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from itertools import count

import torch
from torch import Tensor

from reverie.core.arguments import Count, Positive, check_fields
from reverie.core.random import child_generator, child_seed
from reverie.models.gan.rejection import accepted
from reverie.models.gan.sampling import Drawing
from reverie.training.descent import Descent
from reverie.training.optimizers import learning_rate_factor

__all__ = ["Generate", "Search", "complete_features", "completed"]

_ROWS = 4096  # noise vectors that go through the generator together

Generate = Callable[[Tensor, Tensor], Tensor]


@dataclass(frozen=True)
class Search:
    """How noise vectors are searched for.

    Parameters
    ----------
    tolerance : s > 0, how far observed features may be missed, in units of features: standard deviations of
        columns, or half the range of pixels.
    n_candidates : noise vectors tried before any step, at least 1.
    n_steps : steps of Adam, at least 1.
    learning_rate : its first step size, > 0; falls to zero like a cosine.
    """

    tolerance: Positive = 0.1
    n_candidates: Count = 512
    n_steps: Count = 200
    learning_rate: Positive = 0.1

    def __post_init__(self) -> None:
        """Check the numbers."""
        check_fields(self)


def complete_features(
    generate: Generate,
    features: Tensor,
    observed: Tensor,
    *,
    n_noise: int,
    n_draws: int = 1,
    seed: int = 0,
    search: Search | None = None,
    extra: Generate | None = None,
    is_conditional: bool = False,
    most_probable: bool | None = None,
) -> Tensor:
    """Return completed features (n_draws, n, *event): samples G(z) that agree with `features` where observed.

    Parameters
    ----------
    generate : noise z (rows, n_noise), standard normal, and the numbers (rows,) of the events it is for ->
        features (rows, *event), differentiable in z.
    features, observed : (n, *event), the second boolean; an event without anything observed is sampled freely.
    n_noise, n_draws, seed, search : size of z; how many completions; root of all noise; numbers of the search.
    extra : more energy (rows,), with the arguments of `generate`; or None.
    is_conditional : whether what `generate` gives depends on the number of the event.
    most_probable : whether the most probable completions are searched for, or draws; None: for one, for several.
    """
    mode = n_draws == 1 if most_probable is None else most_probable
    search, device = search or Search(), features.device
    noise = child_generator(seed, "candidates", device=device)
    pool = torch.randn(search.n_candidates, n_noise, generator=noise, device=device)
    size = max(1, _ROWS // n_draws)
    targets, masks = features.flatten(1), observed.flatten(1).to(features.dtype)

    def missed(z: Tensor, rows: Tensor) -> Tensor:
        return (masks[rows] * (generate(z, rows).flatten(1) - targets[rows]).square()).sum(dim=1)

    blocks = []
    for k, event in enumerate(torch.arange(len(features), device=device).split(size)):
        noise = child_generator(seed, "completion", k, device=device)
        n, m = len(event), masks[event]
        if is_conditional:
            misfit = _of_pairs(missed, pool, event).double()
        else:  # |m (G(z) - y)|^2 of every event and candidate, (events, candidates)
            with torch.no_grad():
                parts = [generate(z, event[:1].expand(len(z))).flatten(1).double() for z in pool.split(_ROWS)]
            g, w, y = torch.cat(parts), m.double(), targets[event].double()
            squares = (w * y.square()).sum(dim=1, keepdim=True) + w @ g.square().T
            misfit = (squares - 2 * (w * y) @ g.T).clamp(min=0)
        misfit = misfit / search.tolerance**2
        if mode and extra is not None:
            misfit += 2 * _of_pairs(extra, pool, event).double()
        # starts z and anchors a, draw by draw; an event without a known part starts, and stays, at a free draw
        prior = _cut(size, n_draws, n_noise, n, noise)
        if mode:
            chosen = (misfit + pool.square().sum(dim=1)).argmin(dim=1)
        else:
            cumulated = torch.softmax(-0.5 * misfit, dim=1).cumsum(dim=1)
            u = torch.rand(size, n_draws, generator=noise, device=device, dtype=torch.float64)[:n]
            chosen = torch.searchsorted(cumulated, u).clamp(max=len(pool) - 1).T.flatten()
        free = (m == 0).all(dim=1).repeat(n_draws)[:, None]
        start, anchor = torch.where(free, prior, pool[chosen]), torch.where(free, prior, 0.0) if mode else prior
        rows = event.repeat(n_draws)
        shift = _cut(size, n_draws, targets.shape[1], n, noise) * (0.0 if mode else search.tolerance)
        target, precision = targets[rows] + shift, masks[rows] / search.tolerance**2
        z = _descend(start, anchor, target, precision, rows, generate=generate, extra=extra, search=search)
        with torch.no_grad():
            blocks.append(generate(z, rows).reshape(n_draws, n, *features.shape[1:]))
    return torch.cat(blocks, dim=1)


@torch.no_grad()
def _of_pairs(energy: Generate, pool: Tensor, event: Tensor) -> Tensor:
    """Return the energy of every event and candidate, (events, candidates)."""
    parts = event.split(max(1, _ROWS // len(pool)))
    return torch.cat(
        [energy(pool.repeat(len(e), 1), e.repeat_interleave(len(pool))).unflatten(0, (len(e), -1)) for e in parts]
    )


def _cut(size: int, n_draws: int, width: int, n: int, noise: torch.Generator) -> Tensor:
    """Return normal numbers (n_draws * n, width) that do not depend on how many n <= size of a block are there."""
    drawn = torch.randn(size, n_draws, width, generator=noise, device=noise.device)[:n]
    return drawn.transpose(0, 1).reshape(-1, width)


def _descend(
    start: Tensor,
    a: Tensor,
    y: Tensor,
    precision: Tensor,
    rows: Tensor,
    *,
    generate: Generate,
    extra: Generate | None,
    search: Search,
) -> Tensor:
    """Return the z of lowest energy on the way of Adam from `start`, row by row; precision is m / s^2."""
    z = start.clone().requires_grad_()
    descent = Descent([z], "adam", learning_rate=search.learning_rate, betas=(0.9, 0.999))
    best, lowest = start.clone(), torch.full((len(start),), math.inf, device=start.device)
    for step in range(search.n_steps + 1):
        missed = (precision * (generate(z, rows).flatten(1) - y).square()).sum(dim=1)
        E = 0.5 * (missed + (z - a).square().sum(dim=1))
        E = E if extra is None else E + extra(z, rows)
        with torch.no_grad():
            better = lowest > E
            best, lowest = torch.where(better[:, None], z, best), torch.where(better, E, lowest)
        if step < search.n_steps:
            factor = learning_rate_factor(step, search.n_steps, hold=0.0, floor=0.0)
            descent.along(E.sum(), search.learning_rate * factor)
    return best


def completed(
    drawing: Drawing,
    y: Tensor,
    m: Tensor,
    c: Tensor | None,
    *,
    n_draws: int,
    seed: int,
    search: Search | None,
    logit: Callable[[Tensor, Tensor | None], Tensor],
    weight: float,
) -> Tensor:
    """Return completed features (n_draws, n, *latent event), accepted as samples are.

    Parameters
    ----------
    drawing : how samples are drawn, of one replica.
    y, m : features (n, *latent event) and which of them are known.
    c : features (n, ...) of the conditions, or None.
    n_draws : 1 for the most probable completion, more for different ones.
    seed, search : root of all noise; numbers of the search.
    logit : whitened samples and their conditions -> logits (n,) of the discriminator.
    weight : w >= 0 of the logit.
    """
    is_uniform = drawing.noise_prior == "uniform"

    def sample(z: Tensor, rows: Tensor) -> Tensor:
        z = torch.erf(z / math.sqrt(2)) if is_uniform else z
        return drawing.network(z, None if c is None else c[rows])

    def generate(z: Tensor, rows: Tensor) -> Tensor:
        return drawing.network.unwhiten(sample(z, rows))

    def minus_logit(z: Tensor, rows: Tensor) -> Tensor:
        return -weight * logit(sample(z, rows), None if c is None else c[rows])

    judged = minus_logit if weight > 0 else None
    complete = partial(complete_features, n_noise=drawing.n_noise, search=search, is_conditional=c is not None)
    if drawing.rejection is None:
        return complete(generate, y, m, n_draws=n_draws, seed=seed, extra=judged)
    one, free = n_draws == 1, ~m.flatten(1).any(dim=1)

    def log_acceptance(features: Tensor, rows: Tensor) -> Tensor:
        whole = torch.where(m[rows], y[rows].to(features.dtype), features)  # the event as it is given back
        return drawing.log_acceptance(whole, None if c is None else c[rows])

    def extra(z: Tensor, rows: Tensor) -> Tensor:
        energy = torch.zeros_like(z[:, 0]) if judged is None else judged(z, rows)
        if one:  # what is most probable by the law of the accepted events; an event without a known part is a draw
            energy = energy - log_acceptance(generate(z, rows), rows).masked_fill(free[rows], 0.0)
        return energy

    turns = count()

    def candidates(numbers: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        turn, rows = next(turns), (numbers // n_draws).to(y.device)  # row by row: a draw must not depend on later rows
        drawn = complete(
            lambda z, k: generate(z, rows[k]),
            y[rows],
            m[rows],
            seed=child_seed(seed, "round", turn),
            extra=lambda z, k: extra(z, rows[k]),
            most_probable=one,
        )[0]
        with torch.no_grad():
            log_probability = log_acceptance(drawn, rows)
        u = torch.rand(len(rows), generator=child_generator(seed, "acceptance", turn)).to(y.device)
        return drawn, log_probability.masked_fill(~free[rows], 0.0) if one else log_probability, u

    return accepted(candidates, n_draws * len(y)).unflatten(0, (len(y), n_draws)).transpose(0, 1)
