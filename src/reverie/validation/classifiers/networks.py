"""Small networks that tell two samples apart: of tables, of images and lattices, and of sets of particles.

Both minimise the weighted binary cross-entropy with Adam (Kingma and Ba 2015). The last fifth of each class of
the training half is held out; training stops when the loss on it has not fallen for some epochs, and the best epoch is
kept. (The last fifth, not a random one: rows of a chain then have no neighbours on the other side. Rows of a random
split are in random order already.)

    mlp   d -> 64 -> 64 -> 1 with SiLU; features are centred and scaled by the median and the interquartile range of
          the training half, then arcsinh: heavy tails neither dominate nor are cut off
    cnn   5 x 5 stride 2, 3 x 3 stride 2, 3 x 3, with 16, 32, 32 channels; then the sum over places with weights for
          images, and the mean over places for periodic lattices, where no place is special
    sets  EPiC layers (Buhmann et al., arXiv:2301.08128): from the features of each particle 64 numbers, from their mean
          and their sum 16 numbers of the set, with which those of each particle are changed; twice, then mean, sum and
          the numbers of the set -> 64 -> 1, all with SiLU. Order and padding have no influence. Features are scaled as
          for the perceptron, by the particles that are there; the sum is in units of the mean multiplicity

Periodic padding makes opposite edges neighbours. Everything is drawn from `seed`; the global random state of torch
is left alone, and one thread is used, so the result does not depend on the machine's load. scikit-learn has no
convolutions.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from copy import deepcopy

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits, silu
from torch.nn.utils import skip_init

from reverie.core.errors import TrainingError
from reverie.core.random import child_generator
from reverie.training.descent import LossStep
from reverie.training.loop import train
from reverie.validation.inputs.samples import robust_scale
from reverie.validation.parallel import one_thread

__all__ = ["fit_convolutions", "fit_perceptron", "fit_sets"]

_HELD_OUT = 0.2


def fit_perceptron(
    rows: np.ndarray, targets: np.ndarray, weights: np.ndarray, *, seed: int
) -> Callable[[np.ndarray], np.ndarray]:
    """Return the log-odds function of a perceptron trained on rows (n, d), targets (n,) in {0, 1}, weights (n,)."""
    centre, scale = robust_scale(rows, rows, image=False)
    first, second = skip_init(nn.Linear, rows.shape[1], 64), skip_init(nn.Linear, 64, 64)
    network = nn.Sequential(first, nn.SiLU(), second, nn.SiLU(), skip_init(nn.Linear, 64, 1), nn.Flatten(0))

    def prepare(x: np.ndarray) -> np.ndarray:
        return np.arcsinh((x - centre) / scale)

    return _fit(network, prepare, (rows, targets, weights), seed, n_epochs=100, patience=10, step_size=4e-3)


def fit_convolutions(
    rows: np.ndarray,
    targets: np.ndarray,
    weights: np.ndarray,
    *,
    seed: int,
    event_shape: tuple[int, int, int],
    periodic: bool = False,
) -> Callable[[np.ndarray], np.ndarray]:
    """Return the log-odds function of convolutions trained on flattened images (n, d) of (channels, height, width)."""
    centre, scale = rows.mean(), rows.std() or 1.0
    channels, height, width = event_shape

    def layer(n_in: int, n_out: int, size: int, stride: int) -> list[nn.Module]:
        padding = {"padding": size // 2, "padding_mode": "circular" if periodic else "zeros"}
        return [skip_init(nn.Conv2d, n_in, n_out, size, stride=stride, **padding), nn.SiLU()]

    body = [*layer(channels, 16, 5, 2), *layer(16, 32, 3, 2), *layer(32, 32, 3, 1)]
    pool = [nn.AdaptiveAvgPool2d(1)] if periodic else []
    places = 1 if periodic else -(-height // 4) * -(-width // 4)  # two strides of 2, rounded up
    network = nn.Sequential(*body, *pool, nn.Flatten(), skip_init(nn.Linear, 32 * places, 1), nn.Flatten(0))

    def prepare(x: np.ndarray) -> np.ndarray:
        return ((x - centre) / scale).reshape(len(x), *event_shape)

    data = rows, targets, weights
    return _fit(network, prepare, data, seed, batch_size=64, n_epochs=30, patience=6, step_size=1e-3)


class _Sets(nn.Module):
    """Logits (batch,) of sets (batch, P, F + 1) with the mask last."""

    def __init__(self, n_features: int, mean_size: float, width: int = 64, n_global: int = 16) -> None:
        super().__init__()
        self.mean_size = mean_size
        self.first = skip_init(nn.Linear, n_features, width)
        self.pools = nn.ModuleList(skip_init(nn.Linear, 2 * width + k * n_global, n_global) for k in (0, 1, 1))
        self.layers = nn.ModuleList(skip_init(nn.Linear, width + n_global, width) for _ in range(2))
        self.hidden, self.last = skip_init(nn.Linear, 2 * width + n_global, 64), skip_init(nn.Linear, 64, 1)

    def forward(self, x: Tensor) -> Tensor:
        x, mask = x[..., :-1], x[..., -1:]
        size = mask.sum(1).clamp(min=1)

        def pooled(local: Tensor) -> list[Tensor]:
            total = local.sum(1)
            return [total / size, total / self.mean_size]

        local = silu(self.first(x)) * mask
        of_set = silu(self.pools[0](torch.cat(pooled(local), 1)))
        for pool, layer in zip(self.pools[1:], self.layers, strict=True):
            of_set = of_set + silu(pool(torch.cat([*pooled(local), of_set], 1)))
            beside = of_set[:, None].expand(-1, x.shape[1], -1)
            local = (local + silu(layer(torch.cat([local, beside], 2)))) * mask
        return self.last(silu(self.hidden(torch.cat([*pooled(local), of_set], 1))))[:, 0]


def fit_sets(
    rows: np.ndarray, targets: np.ndarray, weights: np.ndarray, *, seed: int, event_shape: tuple[int, ...]
) -> Callable[[np.ndarray], np.ndarray]:
    """Return the log-odds function of equivariant layers trained on flattened sets (n, P (F + 1)) of `event_shape`."""
    sets = rows.reshape(-1, *event_shape)
    there = sets[sets[..., -1] == 1][:, :-1]
    centre, scale = robust_scale(there, there, image=False)
    network = _Sets(there.shape[1], max(1.0, len(there) / len(sets)))

    def prepare(x: np.ndarray) -> np.ndarray:
        x = x.reshape(-1, *event_shape)
        mask = x[..., -1:]
        return np.concatenate([np.arcsinh((x[..., :-1] - centre) / scale) * mask, mask], axis=2)

    return _fit(network, prepare, (rows, targets, weights), seed, n_epochs=30, patience=6, step_size=2e-3)


def _fit(
    network: nn.Module,
    prepare: Callable[[np.ndarray], np.ndarray],
    data: tuple[np.ndarray, np.ndarray, np.ndarray],
    seed: int,
    *,
    batch_size: int = 128,
    n_epochs: int,
    patience: int,
    step_size: float,
) -> Callable[[np.ndarray], np.ndarray]:
    """Train `network` on rows, targets and weights, and return its log-odds as a function of rows (n, d)."""
    rows, targets, weights = data
    tensors = [torch.as_tensor(a, dtype=torch.float32) for a in (prepare(rows), targets, weights / weights.mean())]
    held_out = torch.zeros(len(targets), dtype=torch.bool)
    for target in (0, 1):
        of_class = np.flatnonzero(targets == target)
        held_out[of_class[len(of_class) - max(1, round(_HELD_OUT * len(of_class))) :]] = True
    fit, stop = ([tensor[mask] for tensor in tensors] for mask in (~held_out, held_out))
    start, generator = child_generator(seed, "weights"), child_generator(seed, "batches")
    size = max(2, min(batch_size, len(fit[0]) // 8))
    n_batches, batches = -(-len(fit[0]) // size), _batches(fit, size, generator)

    @torch.no_grad()
    def logits(rows: Tensor) -> Tensor:
        return torch.cat([network(part) for part in rows.split(1024)])

    with one_thread():
        for name, parameter in network.named_parameters():
            if name.endswith("bias"):
                nn.init.zeros_(parameter)
            else:
                nn.init.kaiming_normal_(parameter, nonlinearity="relu", generator=start)
        optimizer = torch.optim.AdamW(network.parameters(), lr=step_size, weight_decay=1e-4)
        step = LossStep(
            network, lambda rows, _: binary_cross_entropy_with_logits(network(rows[0]), *rows[1:]), optimizer
        )
        best, kept, waited = float("inf"), deepcopy(network.state_dict()), 0
        with suppress(TrainingError):  # a loss that is not finite: the best epoch before it is kept
            for _ in train(
                step,
                lambda _: next(batches),
                generator=generator,
                max_steps=n_epochs * n_batches,
                record_every=n_batches,
            ):
                loss = float(binary_cross_entropy_with_logits(logits(stop[0]), stop[1], stop[2]))
                waited += 1
                if loss < best:
                    best, kept, waited = loss, deepcopy(network.state_dict()), 0
                if waited >= patience:
                    break
        network.load_state_dict(kept)

    @one_thread()
    def scores(rows: np.ndarray) -> np.ndarray:
        return logits(torch.as_tensor(prepare(rows), dtype=torch.float32)).double().numpy()

    return scores


def _batches(tensors: Sequence[Tensor], size: int, generator: torch.Generator) -> Iterator[list[Tensor]]:
    """Yield batches of `size` rows, epoch after epoch without end, each epoch in an order of its own."""
    while True:
        for rows in torch.randperm(len(tensors[0]), generator=generator).split(size):
            yield [tensor[rows] for tensor in tensors]
