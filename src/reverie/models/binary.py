"""Data of two values per column: bits, spins, black and white images, yes and no.

Whatever the two values are (0 and 1, False and True, spins -1 and +1, codes of two classes), the transform `Bits` makes
bits of them and brings them back exactly; a lattice or an image has one pair of values for all its cells.

Grey values may stand for probabilities of bits. That must be said, since a law of bits on the grey values themselves is
not normalised.
"""

import numpy as np

from reverie.core.checks import check_choice
from reverie.core.errors import InputError
from reverie.data.dataset import Dataset
from reverie.data.transforms import Bits

__all__ = ["grey_bits", "has_two_values", "resolved_likelihood"]


def has_two_values(values: np.ndarray) -> bool:
    """Return whether each column of a table (n, d), or a stack (n, *event) as a whole, has at most two values."""
    columns = values if values.ndim == 2 else values.reshape(-1, 1)
    low, high = columns.min(axis=0), columns.max(axis=0)
    return bool(((columns == low) | (columns == high)).all())


def resolved_likelihood(name: str, values: np.ndarray, *, are_probabilities: bool) -> str:
    """Return "bernoulli" or "gaussian" for `name`, "auto" resolved by the data.

    Parameters
    ----------
    name : "auto", "bernoulli" or "gaussian".
    values : of the events.
    are_probabilities : whether grey values are said to be probabilities of bits.

    Raises
    ------
    InputError
        For bits asked of data that have more than two values, and are not said to be probabilities.
    """
    name = check_choice("likelihood", name, {kind: kind for kind in ("auto", "bernoulli", "gaussian")})
    if are_probabilities and name == "gaussian":
        raise InputError(
            "Expected likelihood='bernoulli' with dynamic_binarisation, which draws bits, got 'gaussian'. "
            "Choose one of the two."
        )
    is_binary = are_probabilities or has_two_values(values)
    if name == "bernoulli" and not is_binary:
        raise InputError(
            "Expected two values, bits, for likelihood='bernoulli', got more than two values. Binarise the data, set "
            "dynamic_binarisation=True if grey values are probabilities of bits, or use likelihood='gaussian'."
        )
    return "bernoulli" if is_binary and name != "gaussian" else "gaussian"


def grey_bits(dataset: Dataset) -> Bits:
    """Return the unfitted map onto [-1, 1] of grey values that are probabilities of bits.

    Pixels reach from the lower to the upper bound of their column, or of the data where it has none; the values of a
    table are probabilities, within 0 and 1 at least.
    """
    low, high = float(dataset.values.min()), float(dataset.values.max())
    if dataset.schema.is_table:
        return Bits(centred=True, grey=(min(low, 0.0), max(high, 1.0)))
    column = dataset.schema.columns[0]
    low, high = (low if column.lower is None else column.lower), (high if column.upper is None else column.upper)
    return Bits(centred=True, grey=(low, high))
