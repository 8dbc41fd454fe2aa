"""Several transforms after one another: y = T_k(... T_2(T_1(x)))."""

import copy
from collections.abc import Sequence

import torch
from torch import Tensor

from reverie.core.errors import InputError
from reverie.data.transforms.base import InvertibleTransform, Output

__all__ = ["Chain"]


class Chain(InvertibleTransform):
    """Apply the steps in order; the inverse undoes them in reverse; log-determinants add up.

    Parameters
    ----------
    steps : transforms, first applied first. `fit` works on copies, ``steps_``.

    Examples
    --------
    >>> from reverie.data.transforms import Dequantise, Standardise
    >>> Chain([Dequantise(), Standardise()])
    Chain([Dequantise(), Standardise()])
    """

    def __init__(self, steps: Sequence[InvertibleTransform]) -> None:
        self.steps = steps

    @property
    def output_shape(self) -> tuple[int, ...]:
        """That of the last step."""
        return self.steps_[-1].output_shape

    @property
    def outputs(self) -> tuple[Output, ...]:
        """Those of the last step."""
        return self.steps_[-1].outputs

    @property
    def n_noise(self) -> int:
        """Sum over the steps."""
        return sum(step.n_noise for step in self.steps_)

    def __repr__(self) -> str:
        return f"Chain({list(self.steps)!r})"

    def _fit(self, x: Tensor) -> None:
        if not len(self.steps):
            raise InputError("Expected at least one step in Chain, got none. Use Identity() to change nothing.")
        self.steps_ = [copy.deepcopy(step) for step in self.steps]
        for i, step in enumerate(self.steps_):
            step.fit(x)
            if i + 1 < len(self.steps_):
                x = step.forward(x)

    def _forward(self, x: Tensor, u: Tensor) -> Tensor:
        for step, part in zip(self.steps_, self._parts(u), strict=True):
            x = step.forward(x, noise=part)
        return x

    def _inverse(self, y: Tensor) -> Tensor:
        for step in reversed(self.steps_):
            y = step.inverse(y)
        return y

    def _log_det(self, x: Tensor, u: Tensor) -> Tensor:
        total = x.new_zeros(len(x))
        for step, part in zip(self.steps_, self._parts(u), strict=True):
            total = total + step.log_det(x, noise=part)
            x = step.forward(x, noise=part)
        return total

    def _parts(self, u: Tensor) -> tuple[Tensor, ...]:
        return torch.split(u, [step.n_noise for step in self.steps_], dim=1)
