"""Restricted Boltzmann machines of given weights."""

from typing import Any

import numpy as np
import torch
from torch import Tensor

from reverie.core.errors import InputError
from reverie.networks.boltzmann import BoltzmannEnergy

__all__ = ["energy_of_weights"]


def energy_of_weights(
    W: Any, *, visible_bias: Any = None, hidden_bias: Any = None, log_variance: Any = None
) -> BoltzmannEnergy:
    """Return the machine of given weights, in their type, float32 or else float64, without gradients.

    Parameters
    ----------
    W : (visible, hidden).
    visible_bias, hidden_bias : (visible,) and (hidden,); None takes zeros.
    log_variance : (visible,) log s^2 of Gaussian units; None makes binary ones.

    Raises
    ------
    InputError
        For shapes that do not agree.
    """
    weights = torch.as_tensor(np.asarray(W)).clone()
    weights = weights if weights.dtype in (torch.float32, torch.float64) else weights.double()
    if weights.ndim != 2:
        raise InputError(f"Expected W (visible, hidden), got shape {tuple(weights.shape)}. Give a matrix.")
    energy = BoltzmannEnergy(*weights.shape, visible="binary" if log_variance is None else "gaussian")
    given = {"W": weights, "visible_bias": visible_bias, "hidden_bias": hidden_bias, "log_variance": log_variance}
    energy.to(weights.dtype).load_state_dict(_filled(given, energy))
    return energy.eval().requires_grad_(requires_grad=False)


def _filled(state: dict[str, Any], energy: BoltzmannEnergy) -> dict[str, Tensor]:
    """Return given parameters as tensors of the shapes and the type of `energy`, zeros for those that are not given."""
    filled = {}
    for name, own in energy.state_dict().items():
        value = own if state[name] is None else torch.as_tensor(np.asarray(state[name])).to(own.dtype)
        if value.shape != own.shape:
            raise InputError(f"Expected {name} of shape {tuple(own.shape)}, got {tuple(value.shape)}. Check W's order.")
        filled[name] = value
    return filled
