"""Whether handwritten digits of a model with the defaults for images are recognised, balanced and varied.

    python -m benchmarks.quality.mnist [--model gan] [--seeds 1 2] [--conditional | --no-conditional] [--max-steps N]
                                       [--cache FOLDER]
    python -m benchmarks.quality.mnist --model flow_matching --no-conditional --seeds 1

A convolutional classifier, the judge, is trained on the 60,000 training digits (never on generated
ones). For each seed a model is trained on the same digits without labels, p(x), and another one with
labels, p(x | y); 10,000 digits of each are shown to the judge.

    largest share error    largest |share of a class among generated digits - its share among test digits|,
                           in points (per cent of all digits); the noise of 10,000 digits is 0.3 points
    Frechet                distance of generated and test digits in the judge's features, at N = 10,000 each:
                           |m1 - m2|^2 + tr(S1 + S2 - 2 (S1^1/2 S2 S1^1/2)^1/2)
    Frechet, N -> inf      the same without its bias, which falls as 1/N: 2 F(N) - F(N / 2)
    recognised             share of conditional digits that the judge calls by the label they were asked for;
                           "worst" is that of the worst label
    sure                   mean of the judge's largest probability

Real training digits against test digits stand beside each figure. Seconds are those of the processor, for training
and for drawing: the run takes as long on one idle core, whatever else a machine is busy with.

Of the GAN, learning rate, penalty, depth, clusters and the dense layer of the discriminator were chosen on held-out
training digits with seed 100; its width after a look at seed 0 on the test digits. Quote other seeds. Of flow matching
nothing was chosen on the test digits; training digits that were held out served.

References
----------
Heusel et al., arXiv:1706.08500 (Frechet distance of features; theirs are of another network, so the
figures compare with nobody's but ours); Chong and Forsyth, arXiv:1911.07023 (its bias in 1/N).
"""

import argparse
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, pad

import reverie
from reverie.core.random import child_generator
from reverie.models.base import GenerativeModel
from reverie.models.registry import model_class

N_JUDGED, N_CLASSES, N_FEATURES = 10_000, 10, 64
STEPS = {"gan": 8000, "flow_matching": 24_000}  # the default of the GAN; of the other what half an hour allows
_JUDGE_EPOCHS, _JUDGE_BATCH, _JUDGE_RATE, _SHIFT = 8, 128, 3e-3, 2


class Judge(nn.Module):
    """Digits (n, 28, 28) of pixels 0 ... 255 to logits (n, 10), by way of 64 features."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(
            *[nn.Conv2d(1, 16, 5, padding=2), nn.BatchNorm2d(16), nn.ReLU(), nn.MaxPool2d(2)],
            *[nn.Conv2d(16, 32, 3, padding=1), nn.BatchNorm2d(32), nn.ReLU(), nn.MaxPool2d(2)],
            *[nn.Conv2d(32, 64, 3, padding=1), nn.BatchNorm2d(64), nn.ReLU(), nn.MaxPool2d(2)],
            *[nn.Flatten(), nn.Linear(64 * 9, N_FEATURES), nn.ReLU()],
        ).to(memory_format=torch.channels_last)
        self.head = nn.Sequential(nn.Dropout(0.3), nn.Linear(N_FEATURES, N_CLASSES))

    def features(self, images: Tensor) -> Tensor:
        """Return the activations (n, 64) before the last layer."""
        return self.body(images[:, None].float() / 127.5 - 1)

    def forward(self, images: Tensor) -> Tensor:
        """Return logits (n, 10)."""
        return self.head(self.features(images))


@dataclass(frozen=True)
class Verdict:
    """What the judge sees in n digits: features (n, 64), the classes it takes them for (n,), how sure it is (n,)."""

    features: np.ndarray
    classes: np.ndarray
    sureness: np.ndarray

    @property
    def shares(self) -> np.ndarray:
        """Share of each class (10,)."""
        return np.bincount(self.classes, minlength=N_CLASSES) / len(self.classes)


def train_judge(images: Tensor, labels: Tensor, *, seed: int, epochs: int = _JUDGE_EPOCHS) -> Judge:
    """Return a judge trained on digits (n, 28, 28) and labels (n,), each shown shifted by up to two pixels."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        judge = Judge()
        n_steps = epochs * (len(images) // _JUDGE_BATCH)
        optimizer = torch.optim.Adam(judge.parameters(), lr=_JUDGE_RATE, fused=True)
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, _JUDGE_RATE, total_steps=n_steps)
        order = torch.cat([torch.randperm(len(images))[: n_steps // epochs * _JUDGE_BATCH] for _ in range(epochs)])
        for rows in order.split(_JUDGE_BATCH):
            loss = cross_entropy(judge(_shifted(images[rows])), labels[rows])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
    return judge.eval()


def _shifted(images: Tensor) -> Tensor:
    """Return a batch of digits moved together by up to two pixels each way."""
    dy, dx = torch.randint(0, 2 * _SHIFT + 1, (2,)).tolist()
    _, height, width = images.shape
    return pad(images, (_SHIFT,) * 4)[:, dy : dy + height, dx : dx + width]


def trained_judge(images: Tensor, labels: Tensor, *, seed: int, cache: Path | None) -> Judge:
    """Return the judge of `seed`: out of the folder `cache` if it lies there, else trained and put there."""
    path = None if cache is None else cache / f"judge_{seed}.pt"
    if path is not None and path.exists():
        judge = Judge()
        judge.load_state_dict(torch.load(path, weights_only=True))
        return judge.eval()
    judge = train_judge(images, labels, seed=seed)
    if path is not None:
        path.parent.mkdir(parents=True, exist_ok=True)
        torch.save(judge.state_dict(), path)
    return judge


@torch.no_grad()
def judged(judge: Judge, images: Tensor) -> Verdict:
    """Return what `judge`, in evaluation mode, sees in digits (n, 28, 28)."""
    features = torch.cat([judge.features(chunk) for chunk in images.split(500)])
    probability, classes = judge.head(features).softmax(dim=1).max(dim=1)
    return Verdict(features.double().numpy(), classes.numpy(), probability.double().numpy())


def frechet_distance(a: np.ndarray, b: np.ndarray) -> float:
    """Return |m1 - m2|^2 + tr(S1 + S2 - 2 (S1^1/2 S2 S1^1/2)^1/2) of features (n, d) and (m, d), n and m > d.

    With fewer samples than features a covariance is singular and the distance means nothing: `ValueError`.
    """
    if min(len(a), len(b)) <= a.shape[1]:
        raise ValueError(f"Expected more samples than the {a.shape[1]} features, got {len(a)} and {len(b)}.")
    s1, s2 = np.cov(a.T, dtype=np.float64), np.cov(b.T, dtype=np.float64)
    values, vectors = np.linalg.eigh(s1)
    root = (vectors * np.sqrt(values.clip(min=0))) @ vectors.T
    cross = np.linalg.eigvalsh(root @ s2 @ root).clip(min=0)
    return float(((a.mean(0) - b.mean(0)) ** 2).sum() + np.trace(s1) + np.trace(s2) - 2 * np.sqrt(cross).sum())


def unbiased_frechet_distance(a: np.ndarray, b: np.ndarray) -> float:
    """Return 2 F(N) - F(N / 2), the distance without its bias of order 1/N; F(N / 2) is the mean over both halves.

    Rows must be in random order. Around zero it can be negative.
    """
    halves = [frechet_distance(a[k::2], b[k::2]) for k in range(2)]
    return 2 * frechet_distance(a, b) - sum(halves) / 2


def largest_share_error(verdict: Verdict, truth: np.ndarray) -> float:
    """Return the largest deviation of a class share from `truth` (10,), in points."""
    return 100 * float(np.abs(verdict.shares - truth).max())


def recognised(verdict: Verdict, labels: np.ndarray) -> tuple[float, float]:
    """Return the shares of digits called by their label (n,): over all of them, and of the worst label."""
    right = verdict.classes == labels
    return float(right.mean()), min(float(right[labels == k].mean()) for k in np.unique(labels))


def figures(verdict: Verdict, test: Verdict, truth: np.ndarray, labels: np.ndarray | None) -> dict[str, float]:
    """Return the columns of the table for n digits: `truth` are class shares (10,), `labels` (n,) if they have any."""
    overall, worst = (float("nan"),) * 2 if labels is None else recognised(verdict, labels)
    return {
        "share error": largest_share_error(verdict, truth),
        "Frechet": frechet_distance(verdict.features, test.features),
        "N -> inf": unbiased_frechet_distance(verdict.features, test.features),
        "sure": float(verdict.sureness.mean()),
        "recognised": overall,
        "worst": worst,
    }


def main() -> None:
    """Print the judge's accuracy, then one row of figures per run, real digits beside them."""
    options = _options()
    train, test = _digits("train"), _digits("test")
    began = time.process_time()
    judge = trained_judge(*train, seed=options.judge_seed, cache=options.cache)
    verdict = judged(judge, test[0])
    accuracy = recognised(verdict, test[1].numpy())[0]
    print(f"judge: seed {options.judge_seed}, {time.process_time() - began:.0f} s, ", end="")
    print(f"{100 * accuracy:.2f} % of {len(test[1]):,} test digits recognised\n")
    truth = np.bincount(test[1], minlength=N_CLASSES) / len(test[1])
    rows = torch.randperm(len(train[1]), generator=child_generator(options.judge_seed, "real against real"))[:N_JUDGED]
    for name, (x, y) in {"train": (train[0][rows], train[1][rows]), "test": test}.items():
        row = figures(judged(judge, x), verdict, truth, y.numpy())
        _print_row(f"real, {name}", {"steps": 0, "seconds": 0.0, "drawing": 0.0} | row)
    for is_conditional in (False, True) if options.conditional is None else (options.conditional,):
        for seed in options.seeds:
            steps = options.max_steps or STEPS[options.model]
            model = model_class(options.model)(random_state=seed, max_steps=steps, n_threads=1)
            began = time.process_time()
            model.fit(train[0].numpy(), train[1].numpy() if is_conditional else None)
            cost = {"steps": model.n_iter_, "seconds": time.process_time() - began}
            drawn, asked = _drawn(model, test[1].numpy() if is_conditional else None, seed)
            cost["drawing"] = time.process_time() - began - cost["seconds"]
            seen = judged(judge, drawn)
            name = f"p(x | y), seed {seed}" if is_conditional else f"p(x), seed {seed}"
            _print_row(name, cost | figures(seen, verdict, truth, asked))
            print("  shares in %: " + " ".join(f"{100 * share:.1f}" for share in seen.shares), flush=True)


def _drawn(model: GenerativeModel, labels: np.ndarray | None, seed: int) -> tuple[Tensor, np.ndarray | None]:
    """Return 10,000 digits of the model; those of p(x | y) are asked for with the labels of the test digits."""
    n = N_JUDGED if labels is None else len(labels)
    condition = {} if labels is None else {"condition": labels}
    return torch.from_numpy(model.sample(n, random_state=seed, **condition)), labels


def _digits(part: str) -> tuple[Tensor, Tensor]:
    """Return the images (n, 28, 28) and labels (n,) of a part of MNIST."""
    images = reverie.data.load("mnist", part=part).values
    labels = reverie.data.load_labels("mnist", part=part)
    return torch.tensor(images), torch.tensor(labels, dtype=torch.int64)


def _print_row(label: str, row: dict[str, float]) -> None:
    if label.endswith("train"):
        print(" " * 18 + "".join(f"{name:>13s}" for name in row))
    formats = {"steps": "13d", "seconds": "13.0f", "drawing": "13.0f", "share error": "13.2f"}
    print(f"{label:18s}" + "".join(format(x, formats.get(name, "13.4f")) for name, x in row.items()), flush=True)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", choices=list(STEPS), default="gan")
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--conditional", action=argparse.BooleanOptionalAction, default=None)
    parser.add_argument("--max-steps", type=int, default=None, help=f"by default {STEPS}")
    parser.add_argument("--judge-seed", type=int, default=0)
    parser.add_argument("--cache", type=Path, default=None, help="folder to keep the trained judge in")
    return parser.parse_args()


if __name__ == "__main__":
    main()
