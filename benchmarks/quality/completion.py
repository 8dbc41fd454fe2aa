"""How well the lower half of a handwritten digit is completed from its upper half.

    python -m benchmarks.quality.completion [--seeds 0] [--max-steps N] [--tolerances 0.1 0.3] [--draws 8]

The digits are the 1797 images of 8 x 8 pixels, 0 ... 16, of scikit-learn; 300 of them, the same for all seeds,
are held out. Root-mean-square error per pixel of their 32 lower pixels, +- its standard error over images, of

    mean image             of the training digits
    nearest                the training digit whose upper half is nearest
    linear                 least squares of lower on upper pixels, the best linear prediction
    most probable          `model.complete`, one draw
    one of many            one of several draws: a plausible digit, so its error holds the spread of p(lower | upper)
    mean of draws          mean over the draws: an estimate of E[lower | upper], which has the least possible error

The least possible error is not known. Seconds are those of the processor.
"""

import argparse
import time

import numpy as np
from sklearn.datasets import load_digits
from sklearn.linear_model import LinearRegression

import reverie
from reverie.models.gan import Search

N_HELD_OUT, N_ROWS = 300, 4


def halves(*, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Return training digits (1497, 8, 8) and held-out ones (300, 8, 8), uint8."""
    images = load_digits().images.astype("uint8")
    order = np.random.default_rng(seed).permutation(len(images))
    return images[order[N_HELD_OUT:]], images[order[:N_HELD_OUT]]


def upper_mask() -> np.ndarray:
    """Return the mask (8, 8), True in the upper half."""
    return np.arange(8)[:, None].repeat(8, axis=1) < N_ROWS


def baselines(train: np.ndarray, test: np.ndarray) -> dict[str, np.ndarray]:
    """Return the lower halves (300, 4, 8) that need no generator, by name."""
    upper, lower = (part.reshape(len(train), -1).astype(float) for part in (train[:, :N_ROWS], train[:, N_ROWS:]))
    given = test[:, :N_ROWS].reshape(len(test), -1).astype(float)
    distance = ((given[:, None] - upper[None]) ** 2).sum(axis=2)
    found = {
        "mean image": np.broadcast_to(lower.mean(axis=0), (len(test), lower.shape[1])),
        "nearest": lower[distance.argmin(axis=1)],
        "linear": LinearRegression().fit(upper, lower).predict(given),
    }
    return {name: x.reshape(len(test), N_ROWS, 8) for name, x in found.items()}


def error(guess: np.ndarray, truth: np.ndarray) -> tuple[float, float]:
    """Return the root-mean-square error per pixel and its standard error over images, both (n, height, width)."""
    squares = ((guess.astype(float) - truth) ** 2).mean(axis=(1, 2))
    rmse = float(np.sqrt(squares.mean()))
    return rmse, float(squares.std(ddof=1) / np.sqrt(len(squares)) / (2 * rmse))


def main() -> None:
    """Print a row per method."""
    options = _options()
    train, test = halves()
    truth, mask = test[:, N_ROWS:], upper_mask()
    for name, guess in baselines(train, test).items():
        _print(name, error(guess, truth))
    for seed in options.seeds:
        began = time.process_time()
        model = reverie.GAN(random_state=seed, max_steps=options.max_steps, batch_size=64)
        model.fit(train)
        print(
            f"\nGAN, seed {seed}: {model.n_iter_} steps, {time.process_time() - began:.0f} s of processor", flush=True
        )
        for tolerance in options.tolerances:
            _judge(model, test, truth, mask, Search(tolerance=tolerance), options.draws, seed)


def _judge(
    model: reverie.GAN, test: np.ndarray, truth: np.ndarray, mask: np.ndarray, search: Search, n_draws: int, seed: int
) -> None:
    began = time.process_time()
    likely = model.complete(test, mask, random_state=seed, search=search)
    draws = model.complete(test, mask, n_draws=n_draws, random_state=seed, search=search)
    print(f"tolerance {search.tolerance:g}, {time.process_time() - began:.0f} s of processor")
    _print("most probable", error(likely[:, N_ROWS:], truth))
    _print("one of many", error(draws[0, :, N_ROWS:], truth))
    _print("mean of draws", error(draws[:, :, N_ROWS:].mean(axis=0), truth))


def _print(name: str, figures: tuple[float, float]) -> None:
    print(f"  {name:16s}{figures[0]:7.2f} +- {figures[1]:.2f}", flush=True)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--max-steps", type=int, default=3000)
    parser.add_argument("--tolerances", type=float, nargs="+", default=[0.1, 0.3])
    parser.add_argument("--draws", type=int, default=8)
    return parser.parse_args()


if __name__ == "__main__":
    main()
