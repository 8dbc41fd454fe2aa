r"""What a discriminator is shown beside the features: standardised observables of the physical event.

    features y -> x = T^-1(y) -> v_j = f_j(x) -> o_j = s(q_j(v_j)),     j = 1 ... k

T is the fitted transform of the data, f_j an observable, q_j a map fitted on its values in the real data:
"quantile" makes them standard normal, so that a thin mass peak with long tails fills the unit scale;
"standardise" shifts and scales them. An untrained generator makes events far outside the data, whose
observables must not swamp the discriminator; s leaves |q| <= 6 alone, which is all of any real sample, and

    s(q) = sign(q) (6 + log(|q| - 5)),     |q| > 6

with the same value and slope at 6. All maps are strictly increasing, so nothing is hidden. This runs in every
step of a training, so the inverse of T and q_j come from `reverie.data.transforms.fast`:
they are differentiable once, in the features.
"""

from collections.abc import Callable, Sequence
from typing import Any, Self

import numpy as np
import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from reverie.core.checks import check_choice
from reverie.core.errors import CheckpointError, InputError
from reverie.core.lazy import LazyTable, sample_rows, sample_size
from reverie.core.protocols import Transform
from reverie.core.random import child_generator, child_seed
from reverie.core.types import ArrayLike, Json
from reverie.data.observables import Observable, check_observable
from reverie.data.transforms import InvertibleTransform, Quantile, Standardise, transform_from_json
from reverie.data.transforms.fast import FastInverse, FastQuantile

__all__ = ["ObservedFeatures"]

_STANDARDISED: dict[str, type[InvertibleTransform]] = {"quantile": Quantile, "standardise": Standardise}
_UNCHANGED = 6.0  # one normal number in 5e8 is larger
_ROWS_AT_ONCE, _ROWS_TRIED = 65_536, 2_048
_SCALES_TRIED = (1.0, 3.0, 30.0)  # of features, as an untrained generator may emit them


class ObservedFeatures(nn.Module):
    """Standardised observables of generated features and of real values.

    The spread of an observable is half the width of the central 68 % of its real values.

    Parameters
    ----------
    observables : from `reverie.data.observables.resolve_observables`.
    transform : fitted transform of the data.
    values : physical training values (n, *event), of which a sample is looked at if they are a large table; None
        where `fitted` is given.
    standardise : "quantile" or "standardise", see the module's notes.
    fitted : the maps q, fitted before.
    seed : of the sample of a large table.

    An observable that is not a finite, differentiable number for each event, be it of the data or of an untrained
    generator, raises `InputError`.
    """

    spreads: Tensor  # (k,)

    def __init__(
        self,
        observables: Sequence[Observable],
        transform: Transform,
        values: ArrayLike,
        *,
        standardise: str = "quantile",
        fitted: InvertibleTransform | None = None,
        seed: int = 0,
    ) -> None:
        super().__init__()
        made = check_choice("standardise", standardise, _STANDARDISED)()
        self.observables, self.standardise = tuple(observables), standardise
        self._inverse = FastInverse(transform)
        if fitted is None:
            if values is None:
                raise InputError("Expected values to fit the observables on, got none. Give the training values.")
            if isinstance(values, LazyTable):
                n = len(values)
                values = values[sample_rows(n, sample_size(n, values.shape[1:]), child_seed(seed, "observed"))]
            some = _events(values[:: max(1, len(values) // _ROWS_TRIED)])
            random = child_generator(0, "events to try observables on")
            y = torch.randn(len(some), *transform.output_shape, generator=random, dtype=torch.float64)
            for observable in self.observables:
                check_observable(observable, some, "events of the data")
                for scale in _SCALES_TRIED:
                    check_observable(observable, transform.inverse(scale * y), "events that a generator can make")
            fitted = made.fit(self._raw(values))
        self._fitted = fitted
        self._map: FastQuantile | _Line = FastQuantile([fitted]) if isinstance(fitted, Quantile) else _Line(fitted)
        z = torch.tensor([-1.0, 1.0], dtype=torch.float64).expand(len(self.observables), 2).contiguous()
        ends, _ = self._map.x_and_slope(z)
        self.register_buffer("spreads", ((ends[:, 1] - ends[:, 0]) / 2).clamp(min=1e-30), persistent=False)

    @property
    def names(self) -> list[str]:
        """Names of the observables, in order."""
        return [observable.name for observable in self.observables]

    def forward(self, features: Tensor) -> Tensor:
        """Return the observables (batch, k), float32, of features (batch, *latent event), differentiable in them."""
        raw = self._of_events(self._inverse(features))
        z: Tensor = _Monotone.apply(raw, self._z_and_slope)
        return z.t().to(torch.float32)

    def of_values(self, values: np.ndarray) -> Tensor:
        """Return the observables (n, k), float32, of physical values (n, *event)."""
        raw = self._raw(values)
        device = next(self.buffers()).device
        z = [self._z_and_slope(part.t().contiguous().to(device))[0].t() for part in raw.split(_ROWS_AT_ONCE)]
        return torch.cat(z).to("cpu", torch.float32)

    def in_spreads(self, features: Tensor) -> Tensor:
        """Return raw observables (batch, k), float64, in units of their spread; differentiable once in `features`."""
        return self._of_events(self._inverse(features)).t() / self.spreads

    def values_and_slope(self, z: Tensor) -> tuple[Tensor, Tensor]:
        """Return q^-1(z) in units of its spread and the slope by z, both (batch, k) as z."""
        x, slope = self._map.x_and_slope(z.t().to(torch.float64))
        return x.t() / self.spreads, slope.t() / self.spreads

    def to_json(self) -> Json:
        """Return names and fitted maps as dictionaries, lists, numbers and strings."""
        return {"names": self.names, "standardise": self.standardise, "map": self._fitted.to_json()}

    @classmethod
    def from_json(cls, record: Json, observables: Sequence[Observable], transform: Transform) -> Self:
        """Return what `to_json` described, with the same observables and transform as then."""
        names = [observable.name for observable in observables]
        if names != record["names"]:
            raise CheckpointError(
                f"Expected the observables {', '.join(record['names'])}, got {', '.join(names) or 'none'}. "
                "Load the model with observables= as it was trained."
            )
        fitted = transform_from_json(record["map"])
        return cls(observables, transform, None, standardise=record["standardise"], fitted=fitted)

    def _of_events(self, x: Tensor) -> Tensor:
        """Return raw observables (k, batch) of events x (batch, *event) in float64."""
        values = [o.function(x if o.named else x.contiguous()) for o in self.observables]
        return torch.stack([v.to(torch.float64) for v in values])

    @torch.no_grad()
    def _raw(self, values: np.ndarray) -> Tensor:
        parts = np.array_split(values, max(1, len(values) // _ROWS_AT_ONCE))
        return torch.cat([self._of_events(_events(part)).t() for part in parts])

    def _z_and_slope(self, raw: Tensor) -> tuple[Tensor, Tensor]:
        z, slope = self._map.z_and_slope(raw)
        excess = (z.abs() - _UNCHANGED).clamp_(min=0)
        z = z.clamp(-_UNCHANGED, _UNCHANGED) + torch.log1p(excess).copysign_(z)
        return z, slope / (1 + excess)


class _Line(nn.Module):
    """Shift and scale of the columns of a fitted `Standardise`."""

    mean: Tensor
    scale: Tensor

    def __init__(self, fitted: Any) -> None:
        super().__init__()
        self.register_buffer("mean", fitted.mean_[:, None], persistent=False)
        self.register_buffer("scale", fitted.scale_[:, None], persistent=False)

    def z_and_slope(self, x: Tensor) -> tuple[Tensor, Tensor]:
        return (x - self.mean) / self.scale, (1 / self.scale).expand_as(x)

    def x_and_slope(self, z: Tensor) -> tuple[Tensor, Tensor]:
        return self.mean + self.scale * z, self.scale.expand_as(z)


class _Monotone(torch.autograd.Function):
    """A map of single numbers that comes with its slope."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, z_and_slope: Callable[[Tensor], tuple[Tensor, Tensor]]) -> Tensor:  # noqa: D102
        z, slope = z_and_slope(x)
        ctx.save_for_backward(slope)
        return z

    @staticmethod
    @once_differentiable
    # pyrefly: ignore[bad-override] - one gradient, for one output
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:  # noqa: D102
        return grad * ctx.saved_tensors[0], None


def _events(values: np.ndarray) -> Tensor:
    return torch.from_numpy(np.array(values, dtype=np.float64))
