"""What is known of an event of which parts are missing, as values and as features; every model completes with it."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from reverie.core.errors import InputError
from reverie.core.protocols import Transform
from reverie.core.tables import Raw, as_array, named_columns, to_raw
from reverie.core.types import ArrayLike
from reverie.core.words import recoded
from reverie.data.dataset import Dataset
from reverie.data.schema import Schema
from reverie.data.transforms import Chain, Columns, Dequantise, Elementwise, OneHot, Periodic, PointMass
from reverie.models.preprocessing import Preprocessing

__all__ = ["completion_features", "given_values", "observed_features", "observed_places", "wrapped_completions"]

_BY_COLUMN = (Elementwise, Dequantise, PointMass, Periodic, OneHot)  # each column by itself, one after the other


def given_values(schema: Schema, X: ArrayLike) -> np.ndarray:
    """Return the values (n, *event) of `X`, NaN and all."""
    if schema.is_set:
        raise InputError(
            "Expected a model of a table, images or lattices to complete events with, got one of sets of particles. "
            "Give what is known of a set as a condition: fit(X, y), sample(n, condition=...)."
        )
    names = list(schema.names)
    if isinstance(X, Dataset):
        X = X.in_order(schema, "X")
        raw = Raw(X.values, X.names, labels=X.labels)
    else:
        raw = to_raw(X) if named_columns(X) is not None else Raw(as_array(X))
    if named_columns(X) is not None and raw.names != names:
        raise InputError(f"Expected the columns {names} as in fit, got {raw.names}. Give them in this order.")
    values = np.asarray(recoded(raw.values, raw.names, raw.labels, schema.labels, "X"))
    shape = tuple(schema.event_shape)
    if values.ndim != len(shape) + 1 or values.shape[1:] != shape or not len(values):
        raise InputError(
            f"Expected events of shape (n, {', '.join(map(str, shape))}) as in fit, got {values.shape}. "
            "Give one event as X[None]."
        )
    return values


def observed_places(mask: ArrayLike, given: np.ndarray) -> np.ndarray:
    """Return the mask (n, *event) of the values `given`, which must be finite where it is True."""
    mask = np.asarray(as_array(mask, "the mask"))
    if mask.dtype != bool:
        raise InputError(f"Expected a mask of True (observed) and False, got {mask.dtype}. Use mask == 1, say.")
    if mask.shape not in (given.shape, given.shape[1:]):
        raise InputError(
            f"Expected a mask of shape {given.shape}, or {given.shape[1:]} for all events alike, got {mask.shape}."
        )
    mask = np.broadcast_to(mask, given.shape)
    if not np.isfinite(given[mask]).all():
        bad = int((~np.isfinite(given[mask])).sum())
        raise InputError(
            f"Expected finite numbers at observed places, got {bad} NaN or inf. Set the mask to False there, "
            "as with mask = numpy.isfinite(X)."
        )
    return mask


def completion_features(preprocessing: Preprocessing, given: np.ndarray, observed: np.ndarray) -> tuple[Tensor, Tensor]:
    """Return features of the values, unobserved ones replaced by some admissible value, and which are known."""
    blank = torch.zeros(1, *preprocessing.transform.output_shape, dtype=torch.float64)
    admissible = preprocessing.transform.inverse(blank).numpy()
    known = observed_features(preprocessing.transform, torch.from_numpy(observed.copy()))
    if observed.any() and not known.any():
        raise InputError(
            "Expected a preprocessing that treats columns one by one, got one that mixes observed and unobserved "
            f"ones: {preprocessing.transform!r}. Train with preprocessing='auto'."
        )
    return preprocessing.features(np.where(observed, given, admissible)), known


def wrapped_completions(
    preprocessing: Preprocessing, draws: Sequence[np.ndarray], given: np.ndarray, observed: np.ndarray
) -> ArrayLike:
    """Return completed events in the container that the model was fitted on, with what is observed as it was given.

    Parameters
    ----------
    preprocessing : of the model.
    draws : completed values (n, *event) of each draw, which are overwritten where they are observed.
    given, observed : values (n, *event), and which of them are observed.

    Returns
    -------
    One completion of each event, (n, *event), or several, (n_draws, n, *event) or a list of frames or Datasets.
    """
    for values in draws:
        values[observed] = given[observed].astype(values.dtype)
    if len(draws) == 1:
        return preprocessing.wrapped(draws[0])
    stacked = preprocessing.container in ("array", "tensor")
    return preprocessing.wrapped(np.stack(draws)) if stacked else [preprocessing.wrapped(x) for x in draws]


def observed_features(transform: Transform, mask: Tensor) -> Tensor:
    """Return which features are known, (n, *latent event), when the entries `mask` (n, *event) are.

    A column gives all its features: an angle both cosine and sine, a category its whole one-hot vector. A
    transform that may mix columns gives known features only where all the columns are.
    """
    if isinstance(transform, Columns):
        pieces = zip(transform.indices_, transform.transforms_, strict=True)
        return torch.cat([observed_features(part, mask[:, columns]) for columns, part in pieces], dim=1)
    if isinstance(transform, Chain):
        for step in transform.steps_:
            mask = observed_features(step, mask)
        return mask
    shape = tuple(transform.output_shape)
    if isinstance(transform, _BY_COLUMN):
        return mask if shape == tuple(mask.shape[1:]) else mask.repeat_interleave(shape[0] // mask.shape[1], dim=1)
    known = mask.flatten(1).all(dim=1)
    return known.reshape(-1, *(1,) * len(shape)).expand(-1, *shape)
