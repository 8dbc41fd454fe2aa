"""How many handwritten digits a semi-supervised GAN gets wrong after it has seen 100 labels, over time.

    python -m benchmarks.quality.semi_supervised [--seeds 0 1 2] [--max-steps N] [--every 1000] [--validate]

For each seed 10 images of each digit are drawn from the 60,000 training images and keep their labels; the other
labels are thrown away before anything is trained. Errors are those on the 10,000 test images, in per cent;
wanted: at most 3 % within 60 minutes on 2 cores.

    minutes       wall time of training so far, without the time that measuring the error takes
    cpu           processor time of it, which a busy machine does not stretch
    majority      error of the most frequent class, without any label
    logistic      logistic regression on the pixels of the 100 labelled images (scikit-learn)
    supervised    the same network under the same noise, from the 100 labelled images alone (unlabelled_weight = 0)
    labels used   how many labels the model says it has used; a semi-supervised model that sees all is none

Settings were chosen with --validate: the error on the last 10,000 training images, which are then neither
trained on nor drawn labels from, for label draws of seeds of 100 and more. The test images had no part in it.

References
----------
Salimans et al., arXiv:1606.03498: 0.93 +- 0.07 % after 300 epochs (their table 1, as quoted there; ten draws).
"""

import argparse
import time
from dataclasses import dataclass

import numpy as np
from sklearn.linear_model import LogisticRegression

import reverie
from reverie.core.random import child_seed
from reverie.models.gan.semi_supervised import SemiSupervisedGAN

N_PER_CLASS, N_VALIDATION, N_SUPERVISED_STEPS = 10, 10_000, 1_000


@dataclass(frozen=True)
class Task:
    """Images (n, 28, 28) with labels, -1 where there is none, and others to count errors on."""

    images: np.ndarray
    labels: np.ndarray
    judged_images: np.ndarray
    judged_labels: np.ndarray


def main() -> None:
    """Print the error over time and the baselines, for each seed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--max-steps", type=int, default=None)
    parser.add_argument("--every", type=int, default=1000, help="steps between two measurements of the error")
    parser.add_argument("--validate", action="store_true", help="judge on training images; for choosing settings")
    options = parser.parse_args()
    settings = {} if options.max_steps is None else {"max_steps": options.max_steps}
    finals = [run(seed, options.every, settings, validate=options.validate) for seed in options.seeds]
    if len(finals) > 1:
        print(f"\nfinal error over {len(finals)} seeds: {np.mean(finals):.2f} +- {np.std(finals, ddof=1):.2f} %")


def run(seed: int, every: int, settings: dict[str, int], *, validate: bool) -> float:
    """Train on the labels of `seed`, print the error over time and the baselines; return the final error in %."""
    task = drawn(seed, validate=validate)
    where = "validation (training images)" if validate else "test"
    print(f"\nseed {seed}, error in % of {len(task.judged_labels):,} {where} images")
    for name, value in baselines(task, seed).items():
        print(f"  {name:12s}{value:8.2f}", flush=True)
    model = SemiSupervisedGAN(random_state=seed, record_every=every, **settings)
    print(f"{'step':>8s}{'minutes':>9s}{'cpu':>7s}{'error':>8s}{'label loss':>12s}{'real':>7s}{'fake':>7s}")
    wall, cpu, error = 0.0, 0.0, float("nan")
    began, began_cpu = time.perf_counter(), time.process_time()
    for record in model.iter_fit(task.images, task.labels):
        wall, cpu = wall + time.perf_counter() - began, cpu + time.process_time() - began_cpu
        error = 100 * (1 - model.score(task.judged_images, task.judged_labels))
        s = record.scalars
        line = f"{record.step:8d}{wall / 60:9.1f}{cpu / 60:7.1f}{error:8.2f}{s['label_loss']:12.4f}"
        print(line + f"{s['d_real']:7.3f}{s['d_fake']:7.3f}", flush=True)
        began, began_cpu = time.perf_counter(), time.process_time()
    milliseconds = f"{1e3 * wall / model.n_iter_:.1f} ms a step, {1e3 * cpu / model.n_iter_:.1f} ms of processor time"
    print(f"labels used: {model.n_labelled_} of {len(task.labels):,} images; {milliseconds}; final error {error:.2f} %")
    return error


def drawn(seed: int, *, validate: bool) -> Task:
    """Return the task of `seed`: all labels but 10 per class are thrown away here."""
    images, labels = reverie.data.load("mnist").values, reverie.data.load_labels("mnist")
    if validate:
        judged, true = images[-N_VALIDATION:], labels[-N_VALIDATION:]
        images, labels = images[:-N_VALIDATION], labels[:-N_VALIDATION]
    else:
        judged, true = reverie.data.load("mnist", part="test").values, reverie.data.load_labels("mnist", part="test")
    return Task(images, few_labels(labels, N_PER_CLASS, seed), judged, true)


def few_labels(labels: np.ndarray, n_per_class: int, seed: int) -> np.ndarray:
    """Return `labels` (n,) with all but `n_per_class` of each class, drawn by `seed`, replaced by -1."""
    rng = np.random.default_rng(child_seed(seed, "labels"))
    kept = np.concatenate(
        [rng.choice(np.flatnonzero(labels == k), n_per_class, replace=False) for k in np.unique(labels)]
    )
    few = np.full_like(labels, -1)
    few[kept] = labels[kept]
    return few


def baselines(task: Task, seed: int) -> dict[str, float]:
    """Return errors in % of what the labelled images alone can do."""
    known = task.labels >= 0
    x, y = task.images[known], task.labels[known]
    logistic = LogisticRegression(max_iter=2000).fit(_flat(x), y)
    options = {"unlabelled_weight": 0, "batch_size": 2, "labelled_batch_size": len(x)}  # a small idle generator
    alone = SemiSupervisedGAN(max_steps=N_SUPERVISED_STEPS, random_state=seed, **options).fit(x, y)
    return {
        "majority": 100 * (1 - float(np.bincount(task.judged_labels).max() / len(task.judged_labels))),
        "logistic": 100 * (1 - float(logistic.score(_flat(task.judged_images), task.judged_labels))),
        "supervised": 100 * (1 - alone.score(task.judged_images, task.judged_labels)),
    }


def _flat(images: np.ndarray) -> np.ndarray:
    return images.reshape(len(images), -1) / 255


if __name__ == "__main__":
    main()
