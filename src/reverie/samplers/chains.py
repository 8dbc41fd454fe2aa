"""What a run leaves behind: positions of parallel chains, step by step, and averages with honest errors."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from reverie.core.arguments import check_fields
from reverie.core.errors import InputError
from reverie.core.measured import Measured
from reverie.core.series import AutocorrelationTime, autocorrelation_time, mean_with_error

__all__ = ["Chains"]


@dataclass(frozen=True, eq=False)
class Chains:
    """Positions of parallel Markov chains. Raises `InputError` if `x` has no axes of steps and chains.

    Parameters
    ----------
    x : (step, chain, *event), the kept steps in order.
    info : what the Info of each kept step says, by name, (step, chain), or (step, pair) of neighbouring temperatures.
    thin : kernel steps between two kept ones.
    """

    x: Tensor
    info: Mapping[str, Tensor] = field(default_factory=dict)
    thin: int = 1

    def __post_init__(self) -> None:
        check_fields(self)
        if self.x.ndim < 2:
            raise InputError(f"Expected x (step, chain, *event), got shape {tuple(self.x.shape)}. Add the axes.")

    def __str__(self) -> str:
        steps, chains, *event = self.x.shape
        return f"{chains} chains of {steps} steps (thin = {self.thin}) of events {tuple(event)}"

    def pooled(self) -> Tensor:
        """Return all positions, (step * chain, *event), step by step."""
        return self.x.flatten(0, 1)

    def observe(self, observable: Callable[[Tensor], Tensor]) -> np.ndarray:
        """Return an observable (batch, *event) -> (batch,) along every chain, (chain, step), float64."""
        with torch.no_grad():
            values = torch.stack([observable(x) for x in self.x])
        return values.double().cpu().numpy().T

    def mean(self, observable: Callable[[Tensor], Tensor]) -> Measured:
        """Return the mean of an observable; its error knows the autocorrelation."""
        return mean_with_error(self.observe(observable))

    def autocorrelation(self, observable: Callable[[Tensor], Tensor]) -> AutocorrelationTime:
        """Return the integrated autocorrelation time of an observable, in kept steps."""
        return autocorrelation_time(self.observe(observable))
