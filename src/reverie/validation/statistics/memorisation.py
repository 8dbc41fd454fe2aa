"""Has the generator memorised its training events? Exact tests, copy counts and the closest pairs.

The verdict rests on the exact exchange test of `reverie.validation.statistics.data_copying`, where the theory is.
Beside it stand C_T, authenticity, the number of generated events equal to a training event within a tolerance, and the
share of generated events that lie closer to a training event than all but 1 % of the held-out events do.

Features are scaled by median and interquartile range / 1.349 of T u H (images: one scale for all pixels), which does
not know which of the real events were trained on. Distances are in this unit. Of many features, as of images,
neighbours are searched among the components of T u H (`reverie.validation.inputs.components`), and distances are those
of components, except of the closest pairs and of duplicates, which are compared in all features.
"""

import math

import numpy as np
import torch
from torch import Tensor

from reverie.core.arguments import Count, Level, NonNegative, Whole, checked
from reverie.core.checks import check_table
from reverie.core.errors import InputError
from reverie.core.proportions import clopper_pearson
from reverie.core.random import as_seed, child_seed
from reverie.core.types import ArrayLike, RandomState
from reverie.validation.inputs.components import MAX_COMPONENTS, fit_components
from reverie.validation.inputs.samples import aligned, read_sample, robust_scale
from reverie.validation.statistics.data_copying import (
    authenticity,
    copying_p,
    copying_score,
    distances_to_train,
    exchange_test,
)
from reverie.validation.statistics.memorisation_result import NEAR, MemorisationResult, NearCopy

__all__ = ["MemorisationResult", "NearCopy", "memorisation"]

MIN_ROWS = 20


@checked
def memorisation(
    train: ArrayLike,
    holdout: ArrayLike,
    generated: ArrayLike,
    *,
    n_permutations: Count = 999,
    block: Count = 1,
    tolerance: NonNegative = 1e-6,
    n_pairs: Whole = 10,
    alpha: Level = 0.05,
    random_state: RandomState = None,
) -> MemorisationResult:
    """Compare the distances of generated events to training and to held-out events.

    Parameters
    ----------
    train : (t, *event), the events that the generator was trained on.
    holdout : (h, *event), real events of the same law that it has not seen.
    generated : (m, *event).
    n_permutations : B; the smallest p-value is 1/(B + 1).
    block : neighbouring real events that change their label together, at least ten autocorrelation times of a chain.
    tolerance : distance in units of the spread up to which a generated event counts as a duplicate.
    n_pairs : closest pairs to list.
    alpha : level of the verdict.

    Raises
    ------
    InputError
        For fewer than 20 events of a kind, NaN, or different features.
    """
    seed = as_seed(random_state)
    whole = t, h, g = _scaled(train, holdout, generated)
    if t.shape[1] > MAX_COMPONENTS:
        reduced = fit_components(torch.cat([t, h]), child_seed(seed, "memorisation"))
        t, h, g = (reduced(part) for part in whole)
    exchange = exchange_test(t, h, g, n_permutations=n_permutations, block=block, seed=child_seed(seed, "memorisation"))
    (to_g, row_g), (to_h, row_h) = distances_to_train(t, g, seed), distances_to_train(t, h, seed)
    gaps = to_g, to_h
    if t is not whole[0]:
        gaps = tuple((x - whole[0][rows]).norm(dim=1).numpy() for x, rows in ((whole[2], row_g), (whole[1], row_h)))
    limit = float(np.quantile(to_h, NEAR))
    n_near = int((to_g < limit).sum())
    near_low, near_high = clopper_pearson(n_near, len(g))
    score, spread = copying_score(t, h, g, (to_g, to_h), seed=seed)
    defined = math.isfinite(score)
    return MemorisationResult(
        p_value=exchange.p_value,
        share=exchange.shares[0],
        share_error=exchange.error,
        share_expected=exchange.expected,
        share_p=exchange.p_values[0],
        weighted_share=exchange.shares[1],
        weighted_p=exchange.p_values[1],
        closest_share=exchange.shares[2],
        closest_p=exchange.p_values[2],
        n_closest=exchange.n_closest,
        near=n_near / len(g),
        near_low=float(near_low),
        near_high=float(near_high),
        near_distance=limit,
        c_t=score if defined else None,
        c_t_spread=spread if defined else None,
        c_t_p=copying_p(score, spread) if defined else None,
        authenticity=authenticity(t, to_g, row_g, seed),
        authenticity_holdout=authenticity(t, to_h, row_h, seed),
        duplicates=int((gaps[0] <= tolerance).sum()),
        duplicates_holdout=int((gaps[1] <= tolerance).sum()),
        closest=_closest_pairs(gaps[0], row_g, n_pairs),
        n_train=len(t),
        n_holdout=len(h),
        n_generated=len(g),
        n_permutations=n_permutations,
        block=block,
        tolerance=tolerance,
        seed=seed,
        alpha=alpha,
    )


def _scaled(*samples: ArrayLike) -> tuple[Tensor, ...]:
    whats = ("train", "holdout", "generated")
    read = [read_sample(sample, what) for sample, what in zip(samples, whats, strict=True)]
    read = [read[0], *(aligned(read[0], one, what, "train") for one, what in zip(read[1:], whats[1:], strict=True))]
    arrays = [one.values.reshape(-1, *one.event_shape) for one in read]
    for array, what in zip(arrays, whats, strict=True):
        check_table(array, what, min_rows=MIN_ROWS)
    if len({array.shape[1:] for array in arrays}) > 1:
        raise InputError(
            f"Expected train, holdout and generated with the same features, got shapes "
            f"{', '.join(str(array.shape) for array in arrays)}. Select the same columns in all."
        )
    tables = [array.reshape(len(array), -1).astype(np.float64) for array in arrays]
    if any(array.dtype == np.float32 for array in arrays):  # 0.1 in single precision is not 0.1 in double
        tables = [table.astype(np.float32).astype(np.float64) for table in tables]
    real = np.concatenate(tables[:2])
    centre, scale = robust_scale(real, real, image=arrays[0].ndim > 2)
    return tuple(torch.from_numpy((table - centre) / scale) for table in tables)


def _closest_pairs(distances: np.ndarray, rows: np.ndarray, most: int) -> tuple[NearCopy, ...]:
    order = np.argsort(distances, kind="stable")[:most]
    return tuple(NearCopy(int(g), int(rows[g]), float(distances[g])) for g in order)
