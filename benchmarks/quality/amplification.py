"""How many true events a generated sample is worth, of models that learn few events.

    python -m benchmarks.quality.amplification [--models gan flow flow_matching] [--density camel] [--sets 20]
                                               [--events 100] [--replicas 1]

The test of Butter et al., arXiv:2008.06545: events of a mixture of two normal clouds (`camel`), of which a model learns
100. In K bins of equal true content, the squared error sum_j (share_j - 1/K)^2 of N true events is (1 - 1/K) / N in the
mean, so a sample is worth N = (1 - 1/K) / error of them. Printed for each K:

    worth       of the mean error over the sets of training events, with its error over sets; the samples are so many
                that their own noise counts for nothing
    replicas    with --replicas R of bootstrap samples, whose mean is then judged: the median over sets of what their
                spread says without the truth (`reverie.core.bands`)

Options were chosen on `valley`, another density; `camel` is quoted.
"""

import argparse
import time
from typing import Any

import numpy as np
import torch
from scipy.special import ndtr

from benchmarks.quality.bands import SMALL
from reverie.core.bands import equivalent_events
from reverie.models.registry import model_class

OPTIONS: dict[str, dict[str, Any]] = {
    # of 100 events a fifth is held out
    "gan": {"max_steps": 800, "generator": (32, 32), "discriminator": (32, 32), "refine": False, "batch_size": 80},
    "flow": {"max_steps": 200, "hidden": (8,), "n_transforms": 1, "n_bins": 4, "preprocessing": "standardise"},
    "flow_matching": {
        "max_steps": 800,
        "width": 32,
        "n_blocks": 1,
        "n_evaluations": 16,
        "preprocessing": "standardise",
    },
}
CLOUDS = {"camel": ((0.5, -4.0, 1.0), (0.5, 4.0, 1.0)), "valley": ((0.6, -2.0, 0.7), (0.4, 2.0, 1.2))}
NUMBERS_OF_BINS, N_DRAWN = (10, 20, 50), 50_000


def events(clouds: tuple[tuple[float, float, float], ...], n: int, rng: np.random.Generator) -> np.ndarray:
    """Return n events (n, 1) of a mixture of clouds (share, mean, width)."""
    share, mean, width = (np.array(part) for part in zip(*clouds, strict=True))
    chosen = rng.choice(len(share), n, p=share)
    return (mean[chosen] + width[chosen] * rng.normal(size=n))[:, None]


def probability(clouds: tuple[tuple[float, float, float], ...], x: np.ndarray) -> np.ndarray:
    """Return the distribution function of the mixture at x."""
    return np.sum([share * ndtr((x - mean) / width) for share, mean, width in clouds], axis=0)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description="true events that generated samples are worth")
    parser.add_argument("--models", nargs="+", default=list(OPTIONS), choices=list(OPTIONS))
    parser.add_argument("--density", default="camel", choices=list(CLOUDS))
    parser.add_argument("--sets", type=int, default=20)
    parser.add_argument("--events", type=int, default=100)
    parser.add_argument("--replicas", type=int, default=1)
    parser.add_argument("--option", nargs="+", default=[], help="options of the models, such as max_steps=2000")
    given = parser.parse_args()
    torch.set_num_threads(1)
    clouds, more = CLOUDS[given.density], {k: int(v) for k, v in (text.split("=") for text in given.option)}
    for name in given.models:
        began, errors, said = time.monotonic(), [], []
        for k in range(given.sets):
            x = events(clouds, given.events, np.random.default_rng([321, k]))
            options = {**SMALL, "batch_size": min(100, given.events)} | OPTIONS[name] | more
            if given.replicas > 1:
                options["bootstrap"] = "complete" if name == "gan" else True
            model = model_class(name)(n_replicas=given.replicas, random_state=k, **options).fit(x)
            of_replicas = [np.asarray(one.sample(N_DRAWN, k))[:, 0] for one in model.replicas_ or [model]]
            u = probability(clouds, np.array(of_replicas))
            shares = [[np.bincount((one * K).astype(int), minlength=K)[:K] / N_DRAWN for one in u.clip(0, 1 - 1e-12)]
                      for K in NUMBERS_OF_BINS]  # fmt: skip
            errors.append([np.sum((np.mean(s, axis=0) - 1 / len(s[0])) ** 2) for s in shares])
            said.append([equivalent_events(np.array(s), N_DRAWN).value for s in shares])
        mean, sd = np.mean(errors, axis=0), np.std(errors, axis=0, ddof=1) / np.sqrt(given.sets)
        for j, K in enumerate(NUMBERS_OF_BINS):
            worth = (1 - 1 / K) / mean[j]
            print(
                f"{name:14s} {given.density}: {K:3d} bins  worth {worth:5.0f} ± {worth * sd[j] / mean[j]:3.0f}  "
                f"replicas {np.median(said, axis=0)[j]:5.0f}  "
                f"({given.sets} sets of {given.events}, {given.replicas} replicas, {time.monotonic() - began:.0f} s)",
                flush=True,
            )


if __name__ == "__main__":
    main()
