"""What samples are conditioned on: labels, numbers, several of them, or an image.

Conditions go to the networks as features, like data: categories one-hot, numbers Gaussianised,
angles as cosine and sine, images rescaled. Whole numbers of few values and words count as
categories, unless a Dataset with a schema says otherwise.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import cast

import numpy as np
import torch
from torch import Tensor

from reverie.core.checks import check_finite
from reverie.core.errors import InputError
from reverie.core.lazy import sample_size
from reverie.core.random import UNIT, as_seed, child_generator
from reverie.core.shuffle import shuffled
from reverie.core.tables import as_array, as_column, axes_of, named_columns, to_raw
from reverie.core.types import ArrayLike
from reverie.data.dataset import Dataset, constant_columns
from reverie.data.schema import Column, Schema
from reverie.data.transforms import InvertibleTransform, auto_transform
from reverie.models.preprocessing import Preprocessing, container_of

__all__ = ["Conditions"]

_MOST_LEVELS = 100  # whole numbers of more values than this are numbers, not labels
_MOST_KEPT = 10_000


@dataclass(frozen=True)
class Conditions:
    """The fitted way from conditions to features, and a stock of them to draw from.

    Parameters
    ----------
    preprocessing : schema and transform of the conditions.
    stock : (m, k) or (m, *image) conditions of training events, drawn from when `sample` is given none.
    """

    preprocessing: Preprocessing
    stock: np.ndarray

    @classmethod
    def fit(
        cls,
        y: ArrayLike,
        n_rows: int,
        rng: np.random.Generator,
        *,
        lazy: bool = False,
        known: "Conditions | None" = None,
    ) -> tuple["Conditions", np.ndarray]:
        """Return the fitted conditions and the values (n_rows, k) or (n_rows, *image) of `y`.

        With `lazy`, for the conditions of a large table, they are fitted on a sample of its rows. With `known` ones
        they keep the codes and features of those.

        Raises
        ------
        InputError
            If `y` has another length than the events, holds NaN or what is not known, or does not vary.
        """
        if known is not None:
            values = np.broadcast_to(known.asked(y, n_rows), (n_rows, *known.schema.event_shape))
            return replace(known, stock=np.ascontiguousarray(values[rng.permutation(n_rows)[:_MOST_KEPT]])), values
        dataset = _as_dataset(y)
        if len(dataset) != n_rows:
            raise InputError(f"Expected one condition per event, {n_rows}, got {len(dataset)}. Give as many.")
        values = dataset.values
        check_finite(values, dataset.names, name="the conditions")
        constant = list(constant_columns(dataset))
        if constant and dataset.schema.is_table:
            raise InputError(
                f"Expected conditions that vary, got one value only in: {', '.join(constant)}. Leave those out."
            )
        fitted = values
        if lazy:
            fitted = values[shuffled(np.arange(sample_size(n_rows, values.shape[1:])), n_rows, as_seed(rng))]
        transform = auto_transform(dataset.schema)
        transform.fit(torch.from_numpy(fitted.astype("float64")))
        kept = rng.permutation(len(fitted))[:_MOST_KEPT]
        prepared = Preprocessing(dataset.schema, transform, container_of(y), str(values.dtype), axes_of(y))
        return cls(prepared, np.ascontiguousarray(fitted[kept])), values

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the features of one condition: (c,), (height, width) or (channel, height, width)."""
        return tuple(self.preprocessing.transform.output_shape)

    @property
    def schema(self) -> Schema:
        """Names and kinds of the conditions."""
        return self.preprocessing.schema

    def features(self, values: np.ndarray) -> Tensor:
        """Return features (n, c) or (n, channel, height, width) of the values of conditions."""
        return _with_channels(self.preprocessing.features(values))

    def features_of(self, values: Tensor, noise: Tensor) -> Tensor:
        """Return the same of a tensor (n, ...), with the noise (n, n_noise) that spreads whole numbers over cells."""
        transform = cast("InvertibleTransform", self.preprocessing.transform)
        return _with_channels(transform.forward(values, noise=noise).to(torch.float32))

    @property
    def n_noise(self) -> int:
        """Uniform random numbers that the features of one condition take."""
        transform = cast("InvertibleTransform", self.preprocessing.transform)
        return transform.n_noise

    def drawn(self, start: int, n: int, seed: int) -> np.ndarray:
        """Return conditions start ... start + n - 1 of the endless sequence drawn from those of the training events.

        Every 1024 come from a seed of their own, as samples do, so those before them need not be drawn.
        """
        first, last = start // UNIT, -(-(start + n) // UNIT)
        generators = [child_generator(seed, "condition", unit) for unit in range(first, last)]
        index = torch.cat([torch.randint(len(self.stock), (UNIT,), generator=g) for g in generators])
        return self.stock[index[start - first * UNIT :][:n].numpy()]

    def given(self, condition: ArrayLike, n: int) -> Tensor:
        """Return the features (n, ...) of the conditions that a user asks for; parameters as in `asked`."""
        values = self.asked(condition, n)
        return self.features(np.broadcast_to(values, (n, *values.shape[1:])))

    def features_at(self, condition: ArrayLike, n: int, seed: int) -> Callable[[int, int], Tensor]:
        """Return the function (start, m) -> features (m, ...) of the conditions of samples from `start` on.

        Those that a user asks for, as in `asked`: a block may go on beyond the last of the `n`, and a single one serves
        all samples. With None they are drawn when they are needed, since they may be a billion.
        """
        if condition is None:
            return lambda start, m: self.features(self.drawn(start, m, seed))
        asked = self.features(self.asked(condition, n))
        return lambda start, m: asked[torch.arange(start, start + m).clamp(max=len(asked) - 1)]

    def values_at(self, condition: ArrayLike, n: int, seed: int) -> Callable[[int, int], np.ndarray]:
        """Return the function (start, m) -> values (m, ...) of the same conditions."""
        if condition is None:
            return lambda start, m: self.drawn(start, m, seed)
        asked = self.asked(condition, n)
        return lambda start, m: asked[np.arange(start, start + m).clip(max=len(asked) - 1)]

    def asked(self, condition: ArrayLike, n: int) -> np.ndarray:
        """Return the values of the conditions that a user asks for: (n, k), or (1, k) where one serves all samples.

        Parameters
        ----------
        condition : one value or word, one row of k of them, a mapping of them by name, or n rows.
        n : how many samples are wanted.

        Raises
        ------
        InputError
            For another number of columns or rows, an unknown word or level.
        """
        shape = self.schema.event_shape
        values = self._coded(condition)
        if values.shape == shape:
            values, n = values[None], 1
        elif values.shape[1:] != shape and values.shape == (n,) and shape == (1,):
            values = values[:, None]
        if values.shape != (n, *shape):
            raise InputError(
                f"Expected one condition of shape {shape} ({', '.join(self.schema.names)}), or {n} of them, "
                f"got {values.shape}. Give one for all samples, or one for each."
            )
        for column, x in zip(self.schema.columns, values.T, strict=True) if self.schema.is_table else ():
            unknown = [] if column.levels is None else sorted(set(np.unique(x)) - set(column.levels))
            if unknown:
                known = list(column.labels or column.levels or ())
                raise InputError(
                    f"Expected {column.name} to be one of {known[:20]}, got {unknown[:5]}. Choose a level that was "
                    "trained on."
                )
        check_finite(values, name="the condition")
        return np.ascontiguousarray(values, dtype=self.stock.dtype)

    def _coded(self, condition: ArrayLike | None) -> np.ndarray:
        """Return the condition as numbers, words replaced by their codes; shape (k,), (n,) or (n, k)."""
        if isinstance(condition, Dataset):
            return np.asarray(condition.in_order(self.schema, "the conditions").coded_as(self.schema).values)
        if named_columns(condition) is not None:
            condition = named_columns(condition)
        if isinstance(condition, Mapping):
            missing = [name for name in self.schema.names if name not in condition]
            if missing:
                raise InputError(f"Expected a condition for {missing}, got {list(condition)}. Give every one.")
            parts = [_numbers_or_words(condition[name]) for name in self.schema.names]
            columns = [_codes(x, c) for x, c in zip(parts, self.schema.columns, strict=True)]
            return np.stack(np.broadcast_arrays(*columns), axis=-1)
        values = _numbers_or_words(condition)
        if values.ndim == 0:
            values = values[None]
        if not self.schema.is_table:
            return values
        columns = self.schema.columns
        if len(columns) == 1:
            return _codes(values, columns[0])
        if values.shape[-1] != len(columns):
            return values  # its shape is refused
        return np.stack([_codes(values[..., j], c) for j, c in enumerate(columns)], axis=-1)


def _with_channels(features: Tensor) -> Tensor:
    return features.unsqueeze(1) if features.ndim == 3 else features


def _as_dataset(y: ArrayLike | None) -> Dataset:
    """Return conditions as a Dataset whose few-valued whole numbers and words are categories."""
    if isinstance(y, Dataset):
        return y
    name = str(getattr(y, "name", None) or "condition")
    if named_columns(y) is not None:
        columns = y
    else:
        values = _numbers_or_words(y)
        values = values[:, None] if values.ndim == 1 else values
        if values.ndim > 2:
            return Dataset(values)
        names = [name] if values.shape[1] == 1 else [f"{name}{j}" for j in range(values.shape[1])]
        if values.dtype.kind not in "OUS":
            kinds = {n: "categorical" for n, x in zip(names, values.T, strict=True) if _is_label(x)}
            return Dataset(values, names=names, kind=kinds)
        columns = dict(zip(names, values.T, strict=True))
    raw, given_as, labels = to_raw(columns), list((named_columns(columns) or {}).values()), []
    for x, name, kind, given in zip(raw.values.T, raw.names or (), raw.dtypes or (), given_as, strict=True):
        are_objects = as_column(given, name).dtype.kind == "O"  # words, or categories of numbers
        is_few = len(np.unique(x)) <= _MOST_LEVELS
        if name in raw.labels or (are_objects and is_few) or (kind != "str" and _is_label(x.astype(kind))):
            labels.append(name)
    return Dataset(columns, kind=dict.fromkeys(labels, "categorical"))


def _numbers_or_words(data: ArrayLike) -> np.ndarray:
    x = as_column(data, "condition")
    return x if x.dtype.kind in "OUS" else as_array(x, "the condition")


def _is_label(x: np.ndarray) -> bool:
    return x.dtype.kind == "b" or (x.dtype.kind in "iu" and len(np.unique(x)) <= _MOST_LEVELS)


def _codes(x: np.ndarray, column: Column) -> np.ndarray:
    """Return words as their codes; numbers stay, and those that stood beside words become numbers again."""
    if x.dtype.kind not in "OUS":
        return x
    if column.labels is None:
        try:
            return x.astype(np.float64)
        except (TypeError, ValueError):
            raise InputError(
                f"Expected numbers for {column.name}, got {x.ravel()[:3].tolist()}. Give a number for each."
            ) from None
    labels = list(column.labels)
    unknown = sorted(set(x.astype(str).ravel().tolist()) - set(labels))
    if unknown:
        raise InputError(f"Expected {column.name} to be one of {labels[:20]}, got {unknown[:5]}. Choose one of those.")
    return np.vectorize(labels.index, otypes=[np.int64])(x.astype(str))
