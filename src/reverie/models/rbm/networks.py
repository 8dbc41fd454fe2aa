"""The network of a restricted Boltzmann machine, new or of given weights, and data as its visible units see them.

Columns with two values each become bits (`reverie.models.binary`). Anything else is real numbers, which Gaussian units
see with mean 0 and standard deviation 1, so that no learning rate depends on units. Columns of a table get features
with a density on the line first (`reverie.models.density_features`), which p(v) of Gaussian units then is one of.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from reverie.core.errors import InputError
from reverie.core.types import ArrayLike
from reverie.data.dataset import Dataset
from reverie.data.schema import Column, Schema
from reverie.data.transforms import Bits, Chain, Identity, InvertibleTransform, Standardise
from reverie.models.density_features import energy_preprocessing
from reverie.models.preprocessing import ChangeOfVariables, Preprocessing, fitted_preprocessing
from reverie.networks.boltzmann import BoltzmannEnergy

__all__ = ["MANY_WEIGHTS", "fresh_energy", "given_energy", "given_preprocessing", "unit_preprocessing"]

MANY_WEIGHTS = 10_000


def fresh_energy(n_visible: int, n_hidden: int, visible: str, generator: torch.Generator) -> BoltzmannEnergy:
    """Return a machine of small random weights: of size 0.1, or 0.01 where they are many binary units'."""
    energy = BoltzmannEnergy(n_visible, n_hidden, visible=visible)
    size = 0.01 if visible == "binary" and n_visible * n_hidden > MANY_WEIGHTS else 0.1
    with torch.no_grad():
        energy.W.normal_(0.0, size, generator=generator)
    return energy


def given_energy(
    W: ArrayLike, *, visible_bias: ArrayLike = None, hidden_bias: ArrayLike = None, log_variance: ArrayLike = None
) -> BoltzmannEnergy:
    """Return the machine of given weights, in their type, float32 or else float64, without gradients.

    The arguments are those of `reverie.RBM.from_weights`.
    """
    weights = torch.as_tensor(np.asarray(W)).clone()
    weights = weights if weights.dtype in (torch.float32, torch.float64) else weights.double()
    if weights.ndim != 2:
        raise InputError(f"Expected W (visible, hidden), got shape {tuple(weights.shape)}. Give a matrix.")
    energy = BoltzmannEnergy(*weights.shape, visible="binary" if log_variance is None else "gaussian")
    state = energy.to(weights.dtype).state_dict()  # zeros for what is not given
    given = {"W": weights, "visible_bias": visible_bias, "hidden_bias": hidden_bias, "log_variance": log_variance}
    for name, value in given.items():
        if value is None:
            continue
        tensor = torch.as_tensor(np.asarray(value)).to(weights.dtype)
        if tensor.shape != state[name].shape:
            shape = tuple(state[name].shape)
            raise InputError(f"Expected {name} of shape {shape}, got {tuple(tensor.shape)}. Check W's order.")
        state[name] = tensor
    energy.load_state_dict(state)
    return energy.eval().requires_grad_(requires_grad=False)


def unit_preprocessing(dataset: Dataset, container: str, choice: ChangeOfVariables, visible: str) -> Preprocessing:
    """Return the fitted preprocessing from values to "binary" or "gaussian" visible units.

    `choice` is that of real numbers before they are standardised; "auto" adds none that they do not need.
    """
    if visible == "binary":
        return fitted_preprocessing(dataset, container, Bits())
    if not dataset.schema.is_table:
        first = fitted_preprocessing(dataset, container, choice)
    else:
        columns = dataset.schema.columns if isinstance(choice, str) and choice == "auto" else ()
        free = [c.name for c in columns if c.kind == "continuous" and c.lower is c.upper is c.atom is None]
        first = energy_preprocessing(dataset, container, dict.fromkeys(free, "standardise") or choice)
    assert isinstance(first.transform, InvertibleTransform)
    steps = first.transform.steps if isinstance(first.transform, Chain) else [first.transform]
    return fitted_preprocessing(dataset, container, Chain([*steps, Standardise(shared=not dataset.schema.is_table)]))


def given_preprocessing(event_shape: Sequence[int], n_visible: int, visible: str) -> Preprocessing:
    """Return the preprocessing of events that are visible units already, 0 and 1 or real numbers."""
    event_shape = tuple(event_shape)
    if int(np.prod(event_shape)) != n_visible:
        raise InputError(f"Expected an event_shape of {n_visible} values, got {event_shape}. Check the rows of W.")
    names = [f"x{i}" for i in range(event_shape[0])] if len(event_shape) == 1 else ["unit"]
    bits: dict[str, Any] = {}
    if visible == "binary":
        bits = {"kind": "pixel", "lower": 0, "upper": 1, "integral": True, "dtype": "uint8"}
    schema = Schema(tuple(Column(name, **bits) for name in names), event_shape)
    transform = Bits() if visible == "binary" else Identity()
    transform.fit(torch.stack([torch.zeros(event_shape), torch.ones(event_shape)]))
    return Preprocessing(schema, transform, "array", "uint8" if visible == "binary" else "float64")
