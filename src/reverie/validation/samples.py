"""The samples of one validation: read, checked, cut to size, given their roles and one common scale.

Roles (validation reference, section 4.0): R is the reference, G the generated sample, H a second
real sample. G is compared with R, and H with R at |H| = |G|: what H shows against R is what chance
alone shows.

    calibration given       R = real, H = calibration, G = generated; H and G cut to the smaller of both
    no calibration sample   real is split at random in halves R and H; G is cut to the size of H

In the second case the reference is half of real for *both* comparisons, so the numbers in a row of
the table always have equal sizes; the price is half of the real events. Give a calibration sample
(real events, the training sample will do) to use all of `real` as the reference.

Centre and scale come from H, by feature: median and interquartile range / 1.349 (which is the
standard deviation of a normal law), the standard deviation where that range is 0. Images have one
scale for all their pixels. H is real, so the unit does not depend on the generator; and it is neither
R nor G, so exchanging their rows leaves it alone and permutation tests stay exact. (With the scale of
R, samples of 60 events with three levels were rejected at 5 % in 10 % of 1,500 null runs.) Never one
scale per sample: that would hide a pure error of scale.
"""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch

from reverie.core.checks import check_finite, check_positive, check_table
from reverie.core.errors import InputError, UnknownNameError
from reverie.core.random import child_seed
from reverie.core.types import ArrayLike

__all__ = ["Sample", "Samples", "gather_samples", "read_sample"]

MIN_ROWS = 20  # in each sample, after all cuts: below, no test here means anything


@dataclass(frozen=True)
class Sample:
    """One sample as a table: values (n, d) float, d names, and whether the rows were images."""

    values: np.ndarray
    names: tuple[str, ...] | None
    event_shape: tuple[int, ...]


@dataclass(frozen=True)
class Samples:
    """The three samples of a validation, (rows, d) each, in original units, with their common scale.

    Parameters
    ----------
    reference, generated, calibration : R, G and H; G and H have the same number of rows.
    names : d feature names.
    centre, scale : (d,), of the calibration sample.
    sizes : rows used and rows given.
    warnings : what was cut, and what that means.
    calibration_source : "given" or "half of real".
    """

    reference: np.ndarray
    generated: np.ndarray
    calibration: np.ndarray
    names: tuple[str, ...]
    centre: np.ndarray
    scale: np.ndarray
    sizes: dict[str, int]
    warnings: tuple[str, ...]
    calibration_source: str

    def scaled(self, values: np.ndarray) -> np.ndarray:
        """Return `values` (n, d) in units of the spread of real events, about their centre."""
        return (values - self.centre) / self.scale


def read_sample(sample: ArrayLike, what: str, names: tuple[str, ...] | None = None) -> Sample:
    """Return array, tensor, DataFrame or `reverie.core.protocols.Tabular` as a `Sample`.

    Raises
    ------
    InputError
        For text, NaN or infinity (with the column), fewer than two axes, no rows, or unequal weights.
    """
    raw, own_names = _raw(sample, what)
    values = _numbers(raw, what)
    check_table(values, what, min_rows=1)
    event_shape = values.shape[1:]
    values = values.reshape(len(values), -1)
    found = names if names is not None else own_names
    if found is not None and len(found) != values.shape[1]:
        if names is not None and len(event_shape) == 1:
            raise InputError(f"Expected one name per feature of {what}, got {len(found)} names for {values.shape[1]}.")
        found = None
    check_finite(values, found or _default_names(event_shape), name=what)
    return Sample(values, found, event_shape)


def _raw(sample: ArrayLike, what: str) -> tuple[Any, tuple[str, ...] | None]:
    columns, names = getattr(sample, "columns", None), getattr(sample, "names", None)
    if isinstance(sample, torch.Tensor):
        return sample.detach().cpu().numpy(), None
    if isinstance(sample, np.ndarray):
        return sample, sample.dtype.names
    _check_weights(getattr(sample, "weights", None), what)
    found = names if names is not None else columns
    values = getattr(sample, "values", sample)
    values = values.detach().cpu().numpy() if isinstance(values, torch.Tensor) else values
    return values, None if found is None else tuple(str(name) for name in found)


def _check_weights(weights: Any, what: str) -> None:
    if weights is None or callable(weights) or len(np.unique(np.asarray(weights))) <= 1:
        return
    raise InputError(
        f"Expected {what} without event weights, got unequal weights. Permutation tests exchange whole events, "
        "which weights forbid: draw events in proportion to their weights first, then validate."
    )


def _numbers(raw: Any, what: str) -> np.ndarray:
    try:
        values = np.asarray(raw)
        # single precision stays visible as such until both samples have been compared
        return values if values.dtype in (np.float32, np.float64) else values.astype(np.float64)
    except (TypeError, ValueError):
        raise InputError(
            f"Expected numbers in {what}, got values that are not. Drop or encode the columns with text."
        ) from None


def _default_names(event_shape: tuple[int, ...]) -> tuple[str, ...]:
    if len(event_shape) == 1:
        return tuple(f"x{j}" for j in range(event_shape[0]))
    return tuple(f"pixel[{','.join(map(str, index))}]" for index in np.ndindex(*event_shape))


def gather_samples(
    real: ArrayLike,
    generated: ArrayLike,
    calibration: ArrayLike | None,
    *,
    names: tuple[str, ...] | None,
    seed: int,
    max_samples: int,
) -> Samples:
    """Return the samples in their roles, cut to size by seed, with the scale of the calibration sample."""
    check_positive("max_samples", max_samples, integer=True)
    given = [("real", real), ("generated", generated), ("calibration", calibration)]
    read = {what: read_sample(sample, what, names) for what, sample in given if sample is not None}
    read = _aligned(read)
    sizes = {f"given_{what}": len(sample.values) for what, sample in read.items()}
    table = {what: sample.values for what, sample in _one_precision(read).items()}
    roles, notes = _roles(table, seed, max_samples)
    for what, rows in roles.items():
        _check_rows(what, len(rows), halved=calibration is None)
    event_shape = read["real"].event_shape
    centre, scale = _scale(roles["calibration"], np.concatenate(list(roles.values())), image=len(event_shape) > 1)
    sizes = {f"n_{what}": len(rows) for what, rows in roles.items()} | sizes | {"n_features": len(centre)}
    return Samples(
        reference=roles["real"],
        generated=roles["generated"],
        calibration=roles["calibration"],
        names=read["real"].names or _default_names(event_shape),
        centre=centre,
        scale=scale,
        sizes=sizes,
        warnings=tuple(notes),
        calibration_source="half of real" if calibration is None else "given",
    )


def _aligned(read: dict[str, Sample]) -> dict[str, Sample]:
    real = read["real"]
    return {what: sample if sample is real else _like(real, sample, what) for what, sample in read.items()}


def _like(real: Sample, sample: Sample, what: str) -> Sample:
    if real.names and sample.names and set(real.names) != set(sample.names):
        missing = [name for name in sample.names if name not in real.names]
        if missing:
            raise UnknownNameError(f"column of {what}", missing[0], real.names)
    if real.values.shape[1] != sample.values.shape[1]:
        raise InputError(
            f"Expected {what} with the {real.values.shape[1]} features of real, got {sample.values.shape[1]} "
            f"(event shapes {real.event_shape} and {sample.event_shape}). Select the same columns in both."
        )
    if real.names and sample.names and real.names != sample.names:
        order = [sample.names.index(name) for name in real.names]
        return replace(sample, values=sample.values[:, order], names=real.names)
    return sample


def _one_precision(read: dict[str, Sample]) -> dict[str, Sample]:
    # 0.1 in single precision is not 0.1 in double: round all alike, or levels would differ by their digits
    single = any(sample.values.dtype == np.float32 for sample in read.values())
    kind = np.float32 if single else np.float64
    return {w: replace(s, values=s.values.astype(kind).astype(np.float64)) for w, s in read.items()}


def _roles(table: dict[str, np.ndarray], seed: int, most: int) -> tuple[dict[str, np.ndarray], list[str]]:
    order = {what: np.random.default_rng(child_seed(seed, what)).permutation(len(v)) for what, v in table.items()}
    notes = []
    if "calibration" not in table:
        real, half = table["real"], len(table["real"]) // 2
        table = table | {"real": real[order["real"][half:]], "calibration": real[order["real"][:half]]}
        order |= {"real": np.arange(len(real) - half), "calibration": np.arange(half)}
        notes.append(
            "No calibration sample was given: real was split at random into two halves, reference and calibration. "
            "Every number compares samples of that size."
        )
    size = min(most, len(table["generated"]), len(table["calibration"]))
    keep = {"real": min(most, len(table["real"])), "generated": size, "calibration": size}
    for what, rows in keep.items():
        if rows < len(table[what]):
            why = "max_samples" if rows == most else "equal sizes of generated and calibration"
            notes.append(f"{rows:,} of {len(table[what]):,} {what} events were used, drawn at random ({why}).")
    return {what: table[what][np.sort(order[what][:rows])] for what, rows in keep.items()}, notes


def _check_rows(what: str, rows: int, *, halved: bool) -> None:
    if rows < MIN_ROWS:
        hint = " (half of what was given, as there is no calibration sample)" if halved and what != "generated" else ""
        raise InputError(
            f"Expected at least {MIN_ROWS} {what} samples, got n_samples = {rows}{hint}. Give more events."
        )


def _scale(real: np.ndarray, everything: np.ndarray, *, image: bool) -> tuple[np.ndarray, np.ndarray]:
    if image:
        spread = float(np.sqrt(real.var(axis=0).mean())) or float(everything.std()) or 1.0
        return real.mean(axis=0), np.full(real.shape[1], spread)
    low, centre, high = np.quantile(real, [0.25, 0.5, 0.75], axis=0)
    scale = (high - low) / 1.349
    for fallback in (real.std(axis=0), everything.std(axis=0), np.ones(len(scale))):
        scale = np.where(scale > 0, scale, fallback)
    return centre, scale
