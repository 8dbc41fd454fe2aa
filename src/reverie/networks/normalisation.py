r"""Batch normalisation over the rows of several processes, and spectral normalisation of weights.

Batch normalisation takes its means from a batch that several processes share,

    m = <x>,  v = <x^2> - m^2 over all rows of all processes,    y = gamma (x - m) / sqrt(v + eps) + beta

Each process holds as many rows, so the mean over the batch is the mean over processes of their means; gradients run
through it, to any order. In evaluation mode, and on one process, it is what torch does. Ioffe and Szegedy,
arXiv:1502.03167. The mean over processes comes in as a function: networks know no processes.

Spectral normalisation makes the largest stretch of each layer of a discriminator one,

    W -> W / sigma(W),    sigma(W) = max_v |W v| / |v| ~ u^T W v

with u, v from one step of power iteration in each forward pass in training mode (Miyato et al.,
arXiv:1802.05957). Kernels of convolutions count as matrices (out, in x height x width). The Lipschitz
constant of the network is then bounded by those of its activations and of the convolutions' overlap.
"""

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.utils.parametrizations import spectral_norm

from reverie.core.random import as_seed

__all__ = ["SharedBatchNorm", "normalise_spectrum", "share_batch_norm"]

Mean = Callable[[Tensor], Tensor]


class _Plain(_BatchNorm):
    def _check_input_dim(self, input: Tensor) -> None:
        """Accept (batch, feature) and (batch, feature, *place)."""


class SharedBatchNorm(_Plain):
    """A layer with the weights and running means of another one, of any dimension.

    `mean_over` is the mean of a tensor over `world_size` processes, differentiable.
    """

    def __init__(self, layer: _BatchNorm, mean_over: Mean, world_size: int) -> None:
        super().__init__(layer.num_features, layer.eps, layer.momentum, layer.affine, layer.track_running_stats)
        self.weight, self.bias = layer.weight, layer.bias
        self.running_mean, self.running_var = layer.running_mean, layer.running_var
        self.num_batches_tracked = layer.num_batches_tracked
        self._mean_over, self._world_size = mean_over, world_size
        self.train(layer.training)

    def __deepcopy__(self, memo: dict) -> nn.Module:
        """Return a plain layer of the same kind of state: copies are averaged, drawn from and stored, not trained."""
        copy = _Plain(self.num_features, self.eps, self.momentum, self.affine, self.track_running_stats)
        copy.load_state_dict(self.state_dict())
        # pyrefly: ignore[missing-attribute] - layers without running means are not shared
        return copy.to(self.running_mean.device).train(self.training)

    def forward(self, input: Tensor) -> Tensor:
        """Return normalised rows (batch, feature, *place)."""
        if not self.training:
            return super().forward(input)
        dims = [0, *range(2, input.ndim)]
        mean, square = self._mean_over(torch.stack([input.mean(dims), input.square().mean(dims)])).unbind()
        variance = (square - mean.square()).clamp(min=0)
        if self.running_mean is not None and self.running_var is not None and self.num_batches_tracked is not None:
            with torch.no_grad():
                n = input.numel() // self.num_features * self._world_size
                self.num_batches_tracked.add_(1)
                rate = 1 / float(self.num_batches_tracked) if self.momentum is None else self.momentum
                self.running_mean.lerp_(mean, rate)
                self.running_var.lerp_(variance * (n / max(1, n - 1)), rate)
        shape = [1, -1, *[1] * (input.ndim - 2)]
        y = (input - mean.view(shape)) * (variance + self.eps).rsqrt().view(shape)
        return y if self.weight is None else y * self.weight.view(shape) + self.bias.view(shape)


def share_batch_norm(network: nn.Module, mean_over: Mean, world_size: int) -> None:
    """Put `SharedBatchNorm` in place of every batch normalisation inside `network`."""
    for path, layer in list(network.named_modules()):
        if path and isinstance(layer, _BatchNorm) and not isinstance(layer, SharedBatchNorm):
            network.set_submodule(path, SharedBatchNorm(layer, mean_over, world_size))


_LAYERS = (nn.Linear, nn.Conv2d, nn.ConvTranspose2d)


def normalise_spectrum(network: nn.Module, generator: torch.Generator) -> nn.Module:
    """Normalise all linear and convolutional layers of `network`, no matrix of which is zero; return it."""
    with torch.random.fork_rng(devices=[]):  # torch draws u and v from its global state: lend it ours
        torch.manual_seed(as_seed(generator))
        for layer in list(network.modules()):
            if isinstance(layer, _LAYERS):
                spectral_norm(layer, dim=1 if isinstance(layer, nn.ConvTranspose2d) else 0)
    return network
