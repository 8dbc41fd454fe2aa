"""What a wave function is given, checked: rows of bits or spins, bases, amplitudes to compare with."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from reverie.core.checks import check_choice, check_table
from reverie.core.errors import InputError
from reverie.core.tables import to_raw
from reverie.data.dataset import Dataset

__all__ = ["UNITS", "as_amplitudes", "as_bases", "as_bits"]

UNITS = {"bits": (0, 1), "spins": (-1, 1)}


def as_bits(X: Any, units: str, n_sites: int | None = None) -> Tensor:
    """Return rows X of `units` "bits" or "spins" = 1 - 2 bit as bits (batch, n_sites), float64.

    Raises
    ------
    InputError
        For other values, another shape, or a number of sites other than `n_sites` if that is given.
    """
    low, high = check_choice("units", units, UNITS)
    values = np.asarray(X.values if isinstance(X, Dataset) else to_raw(X).values)
    check_table(values, min_rows=1)
    if values.ndim != 2 or not np.isin(values, (low, high)).all():
        other = "spins" if units == "bits" else "bits"
        raise InputError(
            f"Expected {units} {low} and {high}, (n_samples, n_sites), got shape {values.shape} with values from "
            f"{values.min()} to {values.max()}. For {other} set units={other!r}."
        )
    if n_sites is not None and values.shape[1] != n_sites:
        raise InputError(f"Expected {n_sites} sites as in fit, got {values.shape[1]}. Columns are sites.")
    exact = torch.from_numpy(values.astype(np.float64))
    return exact if units == "bits" else (1 - exact) / 2


def as_bases(bases: Sequence[str] | None, n_samples: int, n_sites: int) -> np.ndarray:
    """Return the basis of each row as a word of letters X, Y, Z, (n_samples,); None is Z for all.

    Raises
    ------
    InputError
        For other letters or lengths.
    """
    names = np.full(n_samples, "Z" * n_sites) if bases is None else np.asarray([str(b) for b in bases])
    wrong = [b for b in names if len(b) != n_sites or set(b) - set("XYZ")]
    if len(names) != n_samples or wrong:
        example = f", one of them {str(wrong[0])!r}" if wrong else ""
        raise InputError(
            f"Expected a basis of {n_sites} letters X, Y, Z for each of {n_samples} rows, got {len(names)} bases"
            f"{example}. Write one letter a site, such as 'XZ'."
        )
    return names


def as_amplitudes(target: Any, n_sites: int) -> np.ndarray:
    """Return amplitudes (2^n_sites,) with norm one.

    Raises
    ------
    InputError
        For another shape, or no finite norm above zero.
    """
    array = target.detach().cpu().numpy() if isinstance(target, Tensor) else np.asarray(target)
    norm = float(np.linalg.norm(array)) if array.shape == (1 << n_sites,) else 0.0
    if not (np.isfinite(norm) and norm > 0):
        raise InputError(
            f"Expected {1 << n_sites} finite amplitudes of {n_sites} sites, not all zero, got shape {array.shape}. "
            "The first site is the most significant bit."
        )
    return array / norm
