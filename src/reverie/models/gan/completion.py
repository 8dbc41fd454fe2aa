"""Missing parts of events and images, filled in by a trained generator.

What is known of an event in original units is turned into known features, noise is searched for that makes the
generator agree with them (`reverie.models.gan.noise_search` has the theory), and what the generator says of the
rest goes back to original units, bounds and levels kept. A completion is never better than the generator.

A referee (`reverie.models.gan.rejection`) accepts a completed event x, observed values put in, with probability a(x).
Draws from q(x_missing | x_observed) go through it as samples do: one that is refused is drawn anew from other noise,
so that accepted ones follow q a, normalised. The most probable completion has -log a(x) in its energy instead.

Uniform noise is normal noise through erf(z / sqrt 2), so one search serves both priors.
"""

import math
from itertools import count
from typing import Any

import torch
from sklearn.utils.validation import check_is_fitted
from torch import Tensor

from reverie.core.checks import check_positive
from reverie.core.errors import InputError
from reverie.core.random import as_seed, child_generator, child_seed
from reverie.core.types import RandomState
from reverie.models.completion import completion_features, given_values, observed_places, wrapped_completions
from reverie.models.gan.noise_search import Generate, Search, complete_features
from reverie.models.gan.rejection import accepted
from reverie.models.gan.sampling import Drawing

__all__ = ["complete"]


def complete(
    model: Any,
    X: Any,
    mask: Any,
    *,
    n_draws: int = 1,
    condition: Any = None,
    random_state: RandomState = None,
    discriminator_weight: float = 0.0,
    search: Search | None = None,
) -> Any:
    """Return events `X` whose unobserved parts are filled in by the fitted GAN `model`.

    Parameters and result are those of `reverie.models.gan.GAN.complete`.

    Raises
    ------
    InputError
        For another shape, a mask that is not boolean, observed NaN, or a condition too many or missing.
    """
    check_is_fitted(model)
    check_positive("n_draws", n_draws, integer=True)
    check_positive("discriminator_weight", discriminator_weight, allow_zero=True)
    prepared = model.preprocessing_
    given = given_values(prepared.schema, X)
    observed = observed_places(mask, given)
    seed, n = as_seed(random_state), len(given)
    c = _condition_features(model, condition, n, seed)
    if observed.all():
        draws = [given.astype(prepared.dtype) for _ in range(n_draws)]
    else:
        y, m = (x.to(model.device_) for x in completion_features(prepared, given, observed))
        model._game.D.eval()
        drawn = _completed(model, y, m, c, n_draws, discriminator_weight, seed, search)
        model._game.D.train()
        draws = [prepared.values(x) for x in drawn]
    return wrapped_completions(prepared, draws, given, observed)


def _completed(
    model: Any, y: Tensor, m: Tensor, c: Tensor | None, n_draws: int, weight: float, seed: int, search: Search | None
) -> Tensor:
    """Return completed features (n_draws, n, *latent event) of y, known where m; a referee has its say in them."""
    drawing = model._drawing()
    if drawing.n_replicas > 1:  # rows of one event must not be shared out over replicas
        drawing = model._drawing(model.best_replica_)
    generate, judged = _players(model, drawing, c, weight)
    options: dict[str, Any] = {"n_noise": drawing.n_noise, "search": search, "is_conditional": c is not None}
    if drawing.referee is None:
        return complete_features(generate, y, m, n_draws=n_draws, seed=seed, extra=judged, **options)
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
        drawn = complete_features(
            lambda z, k: generate(z, rows[k]),
            y[rows],
            m[rows],
            seed=child_seed(seed, "round", turn),
            extra=lambda z, k: extra(z, rows[k]),
            most_probable=one,
            **options,
        )[0]
        with torch.no_grad():
            log_probability = log_acceptance(drawn, rows)
        u = torch.rand(len(rows), generator=child_generator(seed, "acceptance", turn)).to(y.device)
        return drawn, log_probability.masked_fill(~free[rows], 0.0) if one else log_probability, u

    return accepted(candidates, n_draws * len(y)).unflatten(0, (len(y), n_draws)).transpose(0, 1)


def _players(model: Any, drawing: Drawing, condition: Tensor | None, weight: float) -> tuple[Generate, Generate | None]:
    """Return the generator, normal noise to features, and minus w times the logit of the discriminator, or None."""
    uniform, game, R = drawing.noise_prior == "uniform", model._game, model.n_replicas

    def played(z: Tensor, rows: Tensor) -> Tensor:
        z = torch.erf(z / math.sqrt(2)) if uniform else z
        return drawing.network(z, None if condition is None else condition[rows])

    def generate(z: Tensor, rows: Tensor) -> Tensor:
        return drawing.network.from_game(played(z, rows))

    def extra(z: Tensor, rows: Tensor) -> Tensor:
        seen = game.seen(played(z, rows), None if condition is None else condition[rows])
        logits = game.judge({key: x.repeat_interleave(R, dim=0) for key, x in seen.items()})[:, 0]
        return -weight * logits.reshape(-1, R).mean(dim=1)

    return generate, extra if weight > 0 else None


def _condition_features(model: Any, condition: Any, n: int, seed: int) -> Tensor | None:
    if condition is None:
        if model.conditions_ is None:
            return None
        raise InputError("Expected the conditions of these events, got none. Call complete(X, mask, condition=...).")
    return model._known_conditions().features(model._condition_values(condition, n, seed)).to(model.device_)
