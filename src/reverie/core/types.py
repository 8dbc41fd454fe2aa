"""Words for arrays, their axes and the sign of the energy.

Axis vocabulary, used in every docstring of the package:

    batch    independent samples (rows of a table, images of a stack)
    *event   the shape of one sample: (feature,), (height, width) or (channel, height, width)
    chain    parallel Markov chains
    step     position along a chain or along training
    latent   the noise or code that a decoder starts from

Sign of the energy: log p(x) = -E(x) - log Z. Low energy is probable.

Shapes stand in docstrings, not in annotations; this is decided once for the whole package.
"""

from collections.abc import Callable
from typing import Any, TypeAlias

import numpy as np
import torch
from torch import Tensor

from reverie.core.arguments import Whole

__all__ = ["ArrayLike", "Energy", "Json", "RandomState", "State"]

ArrayLike: TypeAlias = Any  # what numpy.asarray, or a pandas or torch container, can turn into numbers
RandomState: TypeAlias = Whole | np.random.Generator | np.random.RandomState | torch.Generator | None
Energy: TypeAlias = Callable[[Tensor], Tensor]  # (batch, *event) -> (batch,)
Json: TypeAlias = dict[str, Any]  # an object of a JSON file
State: TypeAlias = dict[str, Any]  # all that an exact resume needs: nested dicts and lists of tensors and numbers
