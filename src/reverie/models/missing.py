r"""Tables with missing values: NaN in some cells, of which a model learns what was observed.

A model that learns by least squares, or a likelihood, of single coordinates leaves out the terms of those that are
missing, and is told which they are (for diffusion models Ouyang et al., arXiv:2307.00467; for autoencoders Mattei and
Frellsen, arXiv:1812.02633). That finds the law of whole events if cells are missing at random: with a probability that
may depend on what was observed of an event, not on what is missing. Samples are whole events.

Changes of variables are fitted to whole tables. So missing cells are filled with observed values of their column,
evenly spaced among the sorted ones, which leaves its law as it is; the features of a missing cell are NaN. Held-out
events, with which samples are compared, are whole ones.
"""

import numpy as np
import torch
from torch import Tensor

from reverie.core.errors import InputError
from reverie.core.lazy import LazyTable
from reverie.core.protocols import Transform
from reverie.data.dataset import Dataset
from reverie.data.transforms import Bits, Columns

__all__ = ["completed", "with_missing"]


def completed(dataset: Dataset) -> tuple[Dataset, np.ndarray | None]:
    """Return a table with its missing cells filled, and which they are, (n, columns) bool; None where there are none.

    Stacks of images and large tables are returned as they are.

    Raises
    ------
    InputError
        For a column of which nothing was observed.
    """
    values = dataset.values
    if isinstance(values, LazyTable) or values.dtype.kind != "f" or not dataset.schema.is_table:
        return dataset, None
    missing = np.isnan(values)
    if not missing.any():
        return dataset, None
    filled = np.array(values)
    for name, x, gone in zip(dataset.names, filled.T, missing.T, strict=True):
        known = np.sort(x[~gone])
        if not len(known):
            raise InputError(f"Expected some values in the column {name!r}, got none. Leave the column out.")
        x[gone] = known[np.linspace(0, len(known) - 1, np.count_nonzero(gone)).round().astype(int)]
    provenance = {**dataset.provenance, "missing_cells": int(missing.sum())}
    return Dataset(filled, schema=dataset.schema, weights=dataset.weights, provenance=provenance), missing


def with_missing(features: Tensor, missing: np.ndarray, transform: Transform) -> Tensor:
    """Return features (n, n_features) of a filled table with NaN for what depends on a cell that is `missing`.

    Raises
    ------
    InputError
        For a change of variables that mixes columns.
    """
    if isinstance(transform, Bits):
        return features.masked_fill(torch.from_numpy(missing), torch.nan)
    if not isinstance(transform, Columns):
        raise InputError(
            f"Expected a change of variables for each column where values are missing, got {transform!r}. Take "
            "preprocessing='auto' and no observables, or leave out incomplete rows (--drop-missing, or "
            "Dataset.drop_missing())."
        )
    gone, parts = torch.from_numpy(missing), []
    for columns, part in zip(transform.indices_, transform.transforms_, strict=True):
        of_part = gone[:, columns]
        one_each = part.output_shape == (len(columns),)
        parts.append(of_part if one_each else of_part.any(dim=1, keepdim=True).expand(-1, *part.output_shape))
    return features.masked_fill(torch.cat(parts, dim=1), torch.nan)
