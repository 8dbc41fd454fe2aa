r"""Spectral normalisation: layers of a discriminator whose largest stretch is one.

    W -> W / sigma(W),    sigma(W) = max_v |W v| / |v| ~ u^T W v

with u, v from one step of power iteration in each forward pass in training mode (Miyato et al.,
arXiv:1802.05957). Kernels of convolutions count as matrices (out, in x height x width). The Lipschitz
constant of the network is then bounded by those of its activations and of the convolutions' overlap.
"""

import torch
from torch import nn
from torch.nn.utils.parametrizations import spectral_norm

from reverie.core.random import as_seed

__all__ = ["normalise_spectrum"]

_LAYERS = (nn.Linear, nn.Conv2d, nn.ConvTranspose2d)


def normalise_spectrum(network: nn.Module, generator: torch.Generator) -> nn.Module:
    """Normalise all linear and convolutional layers of `network`; return it.

    Parameters
    ----------
    network : with its initial weights, none of its matrices zero.
    generator : source of the first u and v.
    """
    with torch.random.fork_rng(devices=[]):  # torch draws u and v from its global state: lend it ours
        torch.manual_seed(as_seed(generator))
        for layer in list(network.modules()):
            if isinstance(layer, _LAYERS):
                spectral_norm(layer, dim=1 if isinstance(layer, nn.ConvTranspose2d) else 0)
    return network
