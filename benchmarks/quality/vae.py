"""Likelihood of variational autoencoders: handwritten digits against published figures, a linear problem against exact.

    python -m benchmarks.quality.vae mnist [--objective vae | iwae] [--minutes 25 | --steps N] [--width 400]
    python -m benchmarks.quality.vae linear [--seeds 0 1 2]

mnist      MNIST with dynamic binarisation: each grey value is the probability of a bit, drawn anew at every step.
           50 latent dimensions, two hidden layers on either side. The number of steps is what fits into the minutes at
           the speed of the first 200 steps, before the likelihood is estimated. The test images are binarised once.

    NLL      - log p(x) of the test images in nats by importance sampling with --draws latent vectors each; the error is
             the scatter over images / sqrt(n), and "too high by" the bias of the logarithm
    KL       mean KL(q | p) per image, nats
    active   latent units whose posterior mean has a variance above 0.01

linear     x = W z + mu + e with 2 latent and 6 visible dimensions, learnt by a linear encoder and decoder. Of the
           learnt decoder log p(x) is exact, so ELBO <= L_5 <= L_50 <= log p must hold within errors: the mean of the
           differences and its error are printed.

To compare the two objectives after as many steps, give --steps rather than --minutes; a step with k = 5 takes about
two and a half times as long.

--develop trains on the first 50,000 training images and scores the last 10,000; every choice was made there.

References
----------
Burda, Grosse and Salakhutdinov, arXiv:1509.00519, Table 1: 86.76 (VAE), 85.54 (IWAE, k = 5), with tanh 200-200,
3,280 epochs in batches of 20; nbip/IWAE, its reproduction: 86.35, 85.18. Test NLL with 5,000 draws.
"""

import argparse
import time
from typing import Any

import numpy as np
import torch

import reverie
from reverie.core.random import child_generator, child_seed
from reverie.models.vae.estimator import VAE
from reverie.models.vae.likelihood import estimated_log_prob
from reverie.models.vae.networks import bits_of
from reverie.objectives.variational import iwae_bound

PUBLISHED = {"vae": "86.76, reproduced 86.35", "iwae": "85.54, reproduced 85.18"}
ASKED = {"vae": "at most 88.5", "iwae": "at least 0.7 below the VAE"}
_TIMED_STEPS = 200


def main() -> None:
    """Print the table that is asked for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("problem", choices=["mnist", "linear"])
    parser.add_argument("--objective", choices=["vae", "iwae"], default="vae")
    parser.add_argument("--minutes", type=float, default=25.0)
    parser.add_argument("--steps", type=int, default=0)
    parser.add_argument("--width", type=int, default=400)
    parser.add_argument("--activation", default="silu")
    parser.add_argument("--batch", type=int, default=100)
    parser.add_argument("--rate", type=float, default=1e-3)
    parser.add_argument("--average", type=float, default=0.999)
    parser.add_argument("--draws", type=int, default=5000)
    parser.add_argument("--images", type=int, default=10_000)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--seeds", type=int, nargs="+", default=[1])
    parser.add_argument("--develop", action="store_true")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    for seed in options.seeds:
        (_mnist if options.problem == "mnist" else _linear)(options, seed)


def _mnist(options: argparse.Namespace, seed: int) -> None:
    train, test = _images(develop=options.develop)
    settings = {
        "n_latent": 50,
        "encoder": (options.width, options.width),
        "decoder": (options.width, options.width),
        "activation": options.activation,
        "n_importance": 5 if options.objective == "iwae" else 1,
        "dynamic_binarisation": True,
        "batch_size": options.batch,
        "learning_rate": options.rate,
        "ema_decay": options.average,
        "n_threads": options.threads,
        "record_every": 100,
        "random_state": seed,
    }
    began = time.perf_counter()
    steps = options.steps or _steps_in(options.minutes * 60, settings, train)
    model = VAE(max_steps=steps, **settings).fit(train)
    trained = time.perf_counter() - began
    network = model._network()
    x = model.preprocessing_.features(test[: options.images])
    bits = bits_of(x, child_generator(0, "test bits"))
    values, errors = estimated_log_prob(network, bits, n_draws=options.draws, seed=seed)
    with torch.no_grad():
        posterior = network.posterior(bits)
    epochs = steps * options.batch / len(train)
    print(
        f"{options.objective}, {options.width}-{options.width} {options.activation}, seed {seed}: {steps} steps, ",
        end="",
    )
    print(f"{epochs:.0f} epochs, {trained:.0f} s ({1e3 * trained / steps:.2f} ms a step)")
    print(f"  best held-out bound {min(_checks(model)):.2f}, last {_checks(model)[-1]:.2f}")
    error = float(values.std()) / len(values) ** 0.5
    print(f"  NLL      {-values.mean():.2f} ± {error:.2f} ({len(values)} images, {options.draws} draws; ", end="")
    print(f"too high by {float(errors.square().mean()) / 2:.2f})")
    print(f"  asked    {ASKED[options.objective]}; published {PUBLISHED[options.objective]}")
    print(f"  KL       {float(posterior.kl().mean()):.2f}")
    print(f"  active   {int((posterior.mean.var(dim=0) > 0.01).sum())} of 50")
    print(f"  seconds  {trained:.0f} training, {time.perf_counter() - began - trained:.0f} likelihood", flush=True)


def _images(*, develop: bool) -> tuple[np.ndarray, np.ndarray]:
    train = np.asarray(reverie.data.load("mnist").values)
    if develop:
        return train[:50_000], train[50_000:]
    return train, np.asarray(reverie.data.load("mnist", part="test").values)


def _steps_in(seconds: float, settings: dict[str, Any], train: np.ndarray) -> int:
    """Return how many steps fit into the time, from the fastest window of the first steps."""
    model = VAE(max_steps=_TIMED_STEPS, **(settings | {"record_every": 20, "n_checks": 0}))
    began = time.perf_counter()
    stamps = [record.seconds for record in model.iter_fit(train)]
    each = float(np.median(np.diff(stamps))) / 20
    left = seconds - (time.perf_counter() - began)
    return max(100, int(left / each / 1.03 / 100) * 100)  # the checks take 3 %


def _checks(model: VAE) -> list[float]:
    return [record["held_out_loss"] for record in model.history_ if "held_out_loss" in record]


def _linear(options: argparse.Namespace, seed: int) -> None:
    generator = child_generator(seed, "linear")
    W = torch.randn(6, 2, generator=generator)
    x = torch.randn(4000, 2, generator=generator) @ W.T + 0.5 * torch.randn(4000, 6, generator=generator) + 3
    print(f"linear problem, seed {seed}: mean of differences over 500 events, in nats, with its error")
    for posterior in ("diagonal", "full"):
        model = VAE(encoder=(), decoder=(), n_latent=2, posterior=posterior, preprocessing="standardise",
                    max_steps=2000, learning_rate=3e-3, random_state=seed).fit(x[:3500].numpy())  # fmt: skip
        network = model._network().double()
        events = model.preprocessing_.features(x[3500:].numpy()).double()
        with torch.no_grad():
            exact = _exact(network, events)
            noise = torch.randn(4000, len(events), 2, generator=child_generator(seed, "draws"), dtype=torch.float64)
            log_w = network.log_weights(events, None, noise)
            bounds = {k: log_w.unflatten(0, (-1, k)).transpose(0, 1) for k in (1, 5, 50)}
            levels = [iwae_bound(b).mean(dim=0) for b in bounds.values()]
        for label, low, high in zip(
            ("L_5 - ELBO", "L_50 - L_5", "log p - L_50"), levels, [*levels[1:], exact], strict=True
        ):
            gap = high - low
            print(f"  {posterior:9s} {label:13s} {gap.mean():9.5f} ± {float(gap.std()) / len(gap) ** 0.5:.5f}")
        values, errors = estimated_log_prob(network, events.float(), n_draws=500, seed=child_seed(seed, "estimate"))
        z = (values - exact) / errors
        print(
            f"  {posterior:9s} importance sampling, 500 draws: mean of (estimate - exact) / error {z.mean():.2f}, ",
            end="",
        )
        print(f"sd {z.std():.2f}", flush=True)


def _exact(network: Any, x: torch.Tensor) -> torch.Tensor:
    """Return log N(x; mu, V V^T + diag(s^2)) of a linear decoder, (n,)."""
    layer = network.decoder.body[-1]
    covariance = layer.weight @ layer.weight.T + torch.diag(network.law.sd.square())
    return torch.distributions.MultivariateNormal(layer.bias + network.law.offset, covariance).log_prob(x)


if __name__ == "__main__":
    main()
