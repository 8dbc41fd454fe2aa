"""Labels of which some are missing: -1 means "unlabelled", scikit-learn's convention."""

from typing import Any

import numpy as np
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import column_or_1d
from torch import Tensor

from reverie.core.errors import InputError
from reverie.core.tables import as_array

__all__ = ["UNLABELLED", "encoded_labels"]

UNLABELLED = -1


def encoded_labels(y: Any, n_rows: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the sorted classes (K,) and the number of each row's class (n_rows,), -1 where it is unlabelled.

    Parameters
    ----------
    y : (n_rows,) integers, or words; among words the -1 stands in an array of objects.
    n_rows : number of samples.

    Raises
    ------
    InputError
        Without `y`, with another length, without any label, or with one class only.
    """
    labels = _checked(y, n_rows)
    known = np.array([label != UNLABELLED for label in labels.tolist()])
    if not known.any():
        raise InputError(
            "Expected some labels in y, got -1 (unlabelled) only. Label a few samples of each class, or use GAN."
        )
    check_classification_targets(labels[known])
    classes, numbers = np.unique(labels[known], return_inverse=True)
    if len(classes) < 2:
        raise InputError(
            f"Expected labels of two or more classes, got one class only: {classes[0]!r}. "
            "Label samples of another class too; -1 means unlabelled."
        )
    codes = np.full(n_rows, UNLABELLED, dtype=np.int64)
    codes[known] = numbers
    return classes, codes


def _checked(y: Any, n_rows: int) -> np.ndarray:
    if y is None:
        raise InputError(
            "A semi-supervised model requires y to be passed, but the target y is None. "
            "Give labels, with -1 for unlabelled samples."
        )
    try:
        labels = column_or_1d(as_array(y, "y") if isinstance(y, Tensor) else y, warn=True)
    except (TypeError, ValueError) as error:
        raise InputError(f"Expected one label per sample in y, got something else: {error}") from None
    if len(labels) != n_rows:
        raise InputError(
            f"Expected one label per sample, {n_rows}, got {len(labels)} (inconsistent numbers of samples). "
            "Give -1 to unlabelled samples."
        )
    if labels.dtype.kind == "f" and not np.isfinite(labels).all():
        raise InputError("Expected labels without NaN or inf in y, got some. Mark unlabelled samples with -1.")
    if labels.dtype.kind in "US" and str(UNLABELLED) in labels.astype(str):
        raise InputError(
            'Expected the number -1 for unlabelled samples, got the word "-1". Give words in an array of objects: '
            "np.array(labels, dtype=object)."
        )
    return labels
