"""Data as the visible units of a Boltzmann machine see them: bits, or standardised real numbers.

Columns with two values each become bits (`reverie.models.binary`). Anything else is real numbers, which Gaussian units
see with mean 0 and standard deviation 1, so that no learning rate depends on units. Columns of a table get features
with a density on the line first (`reverie.models.density_features`), which p(v) of Gaussian units then is one of.

Restricted Boltzmann machines of given weights.
"""

from typing import Any

import numpy as np
import torch
from torch import Tensor

from reverie.core.errors import InputError
from reverie.data.dataset import Dataset
from reverie.data.schema import Column, Schema
from reverie.data.transforms import Bits, Chain, Identity, Standardise
from reverie.models.density_features import energy_preprocessing
from reverie.models.preprocessing import Preprocessing, fitted_preprocessing
from reverie.networks.boltzmann import BoltzmannEnergy

__all__ = ["MANY_WEIGHTS", "energy_of_weights", "fresh_energy", "plain_units", "prepared_units"]

MANY_WEIGHTS = 10_000


def prepared_units(dataset: Dataset, container: str, choice: Any, visible: str) -> Preprocessing:
    """Return the fitted way from values to the visible units.

    Parameters
    ----------
    dataset : training data.
    container : see `reverie.models.preprocessing.container_of`.
    choice : preprocessing of real numbers before they are standardised; "auto" adds none that they do not need.
    visible : "binary" or "gaussian".
    """
    if visible == "binary":
        return fitted_preprocessing(dataset, container, Bits())
    if not dataset.schema.is_table:
        first = fitted_preprocessing(dataset, container, choice)
    else:
        columns = dataset.schema.columns if isinstance(choice, str) and choice == "auto" else ()
        free = [c.name for c in columns if c.kind == "continuous" and c.lower is c.upper is c.atom is None]
        first = energy_preprocessing(dataset, container, dict.fromkeys(free, "standardise") or choice)
    steps: list[Any] = [first.transform, Standardise(shared=not dataset.schema.is_table)]
    return fitted_preprocessing(dataset, container, Chain(steps))


def plain_units(event_shape: tuple[int, ...], n_visible: int, visible: str) -> Preprocessing:
    """Return the way from events that are visible units already, 0 and 1 or real numbers.

    Raises
    ------
    InputError
        When the events have another number of values than there are units.
    """
    if int(np.prod(event_shape)) != n_visible:
        raise InputError(f"Expected an event_shape of {n_visible} values, got {event_shape}. Check the rows of W.")
    names = [f"x{i}" for i in range(event_shape[0])] if len(event_shape) == 1 else ["unit"]
    bits = {"kind": "pixel", "lower": 0, "upper": 1, "integral": True, "dtype": "uint8"} if visible == "binary" else {}
    schema = Schema(tuple(Column(name, **bits) for name in names), event_shape)
    transform = Bits() if visible == "binary" else Identity()
    transform.fit(torch.stack([torch.zeros(event_shape), torch.ones(event_shape)]))
    return Preprocessing(schema, transform, "array", "uint8" if visible == "binary" else "float64")


def fresh_energy(n_visible: int, n_hidden: int, visible: str, generator: torch.Generator) -> BoltzmannEnergy:
    """Return a machine of small random weights: of size 0.1, or 0.01 where they are many binary units'."""
    energy = BoltzmannEnergy(n_visible, n_hidden, visible=visible)
    size = 0.01 if visible == "binary" and n_visible * n_hidden > MANY_WEIGHTS else 0.1
    with torch.no_grad():
        energy.W.normal_(0.0, size, generator=generator)
    return energy


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
