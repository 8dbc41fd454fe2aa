"""The seams between the floors: what one part may know of another.

Trainable   all that the training loop knows of a model
Kernel      all that the sampling loop knows of a sampler
Transform   all that a model knows of a change of variables
Tabular     all that validation and exploration know of a data set
Runtime     all that training knows of the processes that share it
"""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol, Self, TypeAlias, TypeVar, runtime_checkable

import numpy as np
import torch
from torch import Tensor

from reverie.core.types import Energy, Json
from reverie.core.types import State as Resumable

__all__ = ["AnyKernel", "ChainState", "Kernel", "Runtime", "Tabular", "Trainable", "Transform"]

State = TypeVar("State")
Info = TypeVar("Info", covariant=True)


class Trainable(Protocol):
    """A model in training. It owns its optimisers and takes its own steps."""

    def train_step(self, batch: Any, generator: torch.Generator) -> Mapping[str, Tensor]:
        """Take one full step on `batch`, (batch, *event) or rows of several tensors by name.

        Returns named scalars that stay on the device.
        """
        ...

    def state_dict(self) -> Resumable:
        """Return all that an exact resume needs: nested dicts and lists of tensors, numbers and strings."""
        ...

    def load_state_dict(self, state: Resumable) -> None:
        """Take up the state that `state_dict` returned."""
        ...


class Runtime(Protocol):
    """The processes that train one model together, seen from one of them.

    `rank` counts from 0, the process that writes files; `world_size` is their number. `mean` averages tensors over
    the processes, which must all call it with the same shapes; None stays None. Gradients of any order run through
    `differentiable_mean` of one tensor.
    """

    @property
    def rank(self) -> int: ...

    @property
    def world_size(self) -> int: ...

    def mean(self, tensors: Sequence[Tensor | None]) -> list[Tensor | None]: ...

    def differentiable_mean(self, x: Tensor) -> Tensor: ...


class ChainState(Protocol):
    """What the state of every kernel has: the positions of its chains."""

    @property
    def x(self) -> Tensor: ...  # (chain, *event)


class Kernel(Protocol[State, Info]):
    """One Markov kernel: State is what the next step needs, Info is what a reader needs.

    Both are frozen dataclasses, `XState` and `XInfo` of the kernel X; a state has the positions of its chains as `x`.
    """

    def init(self, x: Tensor, energy: Energy) -> State: ...

    def step(self, state: State, energy: Energy, generator: torch.Generator) -> tuple[State, Info]: ...


AnyKernel: TypeAlias = Kernel[Any, Any]  # one whose state and info are its own affair


@runtime_checkable
class Transform(Protocol):
    """An invertible change of variables, fitted on data.

    `forward` maps x (batch, *event) to y (batch, *latent event); ``inverse(forward(x)) == x``.
    `log_det` is log |d forward / dx| summed over the event, (batch,); for an embedding into more
    dimensions it is half the log determinant of J^T J. Discrete columns contribute zero.
    `to_json` carries the fitted state without pickle. `output_shape` is the shape of one y, and
    `outputs` tags its features with the values a network may emit (`kind`, `group`).
    """

    @property
    def output_shape(self) -> tuple[int, ...]: ...

    @property
    def outputs(self) -> Sequence[Any]: ...

    def fit(self, x: Tensor) -> Self: ...

    def forward(self, x: Tensor) -> Tensor: ...

    def inverse(self, y: Tensor) -> Tensor: ...

    def log_det(self, x: Tensor) -> Tensor: ...

    def to_json(self) -> Json: ...


@runtime_checkable
class Tabular(Protocol):
    """Values with names and weights: what statistics need of a data set."""

    @property
    def values(self) -> np.ndarray: ...  # (batch, *event)

    @property
    def names(self) -> Sequence[str]: ...  # one per feature

    @property
    def weights(self) -> np.ndarray | None: ...  # (batch,) or None
