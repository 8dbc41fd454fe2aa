r"""Observables beside the features, and the way back by a kinematic fit, so that thin peaks come out thin.

A resonance is a shell in the space of the columns, far thinner than a network resolves. A model therefore learns the
features y = T(x) and beside them the observables of the event, standardised as every column is,

    x -> (y, q(o(x))),         o = o_1 ... o_k,   q quantile maps to the standard normal law

Of what it draws, (y_0, z), the observables are to be v = q^-1(z), with all peaks as thin as in the data, and y_0 has
them only as well as the network resolves the shell. As in a kinematic fit of measured particles, the event is moved by
as little as possible to where it has them,

    minimise  |y - y_0|^2   under   o_j(y) = v_j,     j = 1 ... k

by Gauss-Newton steps, no longer than 1 (a standard deviation), with o_j in units of its spread:

    y <- y + J^+ (v - o(y)),      J = do/dy,      J^+ = J^T (J J^T + e)^-1

where e = 10^-4 times the mean of J J^T over real events keeps the step finite where an observable is stationary or two
of them say the same. The columns are then what they were up to this move, so their cuts stay as sharp as the network
has learnt them, and any observable will do.

References
----------
Gauss-Newton under constraints: Nocedal and Wright, Numerical Optimization, 2nd ed., chapter 10; kinematic fits: Avery,
CLEO note CBX 91-72 (1991).
"""

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor

from reverie.core.errors import CheckpointError
from reverie.core.types import Json
from reverie.data.observables import Observable, check_observable, resolve_observables
from reverie.data.schema import Schema
from reverie.data.transforms.base import InvertibleTransform, Output, has_any
from reverie.data.transforms.quantile import LEAST_KNOTS, MOST_KNOTS, Quantile

__all__ = ["DAMPING", "ObservablesBeside", "gauss_newton_step", "linearised"]

DAMPING = 1e-4
_STEPS = 8  # at most; most events take four
_ROUNDING = 1e-10  # of an observable, in units of its spread
_ROWS_TRIED = 2_048
_VALUES_PER_KNOT = 200  # the map is all that a peak is made by: four times fewer draw the scatter of the events too


def linearised(y: Tensor, in_spreads: Callable[[Tensor], Tensor]) -> tuple[Tensor, Tensor]:
    """Return observables o (rows, k) of features y (rows, d) and J = do/dy (rows, k, d), float64.

    `in_spreads` takes features to observables (rows, k) in units of their spread.
    """
    with torch.enable_grad():
        y = y.detach().requires_grad_()
        o = in_spreads(y)
        rows = [torch.autograd.grad(o[:, j].sum(), y, retain_graph=True)[0] for j in range(o.shape[1])]
    return o.detach(), torch.stack(rows, dim=1).to(torch.float64)


def gauss_newton_step(missing: Tensor, J: Tensor, damping: Tensor | float, longest: float) -> tuple[Tensor, Tensor]:
    """Return the move (rows, d), of a length up to `longest`, and J^+ (rows, d, k).

    `missing` is v - o (rows, k), `J` (rows, k, d), both float64.
    """
    identity = torch.eye(J.shape[1], dtype=J.dtype, device=J.device)
    inverse = torch.linalg.solve(J @ J.mT + damping * identity, J).mT
    move = (inverse @ missing[:, :, None])[:, :, 0]
    return move * (longest / move.norm(dim=1, keepdim=True).clamp(min=longest)), inverse


@dataclass(eq=False, repr=False, kw_only=True)
class ObservablesBeside(InvertibleTransform):
    """Features of `base` with standardised observables beside them; the inverse moves events by a kinematic fit.

    Every y has an inverse, which has the observables that y says where the event can be moved there; only features
    of events are brought back by `forward`.

    Parameters
    ----------
    base : transform of a table. `fit` works on a copy, ``base_``.
    observables : names, as in `reverie.data.observables.resolve_observables`, or `Observable`s of functions of one's
        own, which are written to JSON as their names: `bind` gives the functions back.
    schema : of the table, as `Schema.to_json` writes it.

    Attributes
    ----------
    map_ : q, the quantile maps of the observables.
    spreads_ : (k,), half the widths of the central 68 %.
    damping_ : e.
    """

    base: InvertibleTransform
    observables: tuple[str | Observable, ...]
    schema: Json
    takes_tables_only = True

    @property
    def output_shape(self) -> tuple[int, ...]:
        """Features of the base and observables."""
        return (self.base_.output_shape[0] + len(self.observables),)

    @property
    def outputs(self) -> tuple[Output, ...]:
        """Those of the base, and any real number for each observable."""
        return (*self.base_.outputs, *[Output("linear")] * len(self.observables))

    @property
    def n_noise(self) -> int:
        """That of the base."""
        return self.base_.n_noise

    def to_json(self) -> Json:
        """Return configuration and learned state; a function of one's own is its name."""
        record = super().to_json()
        record["config"]["observables"] = [o if isinstance(o, str) else o.name for o in self.observables]
        return record

    def bind(self, observables: Sequence[Observable]) -> Self:
        """Take these observables, in the order of the fit, for those that a record names; `CheckpointError` else."""
        names = [o if isinstance(o, str) else o.name for o in self.observables]
        if names != [o.name for o in observables]:
            raise CheckpointError(
                f"Expected the observables {', '.join(names)} as the model was trained, got "
                f"{', '.join(o.name for o in observables) or 'none'}. Load the model with observables= as it was "
                "trained."
            )
        self.observables = tuple(observables)
        return self

    def undone(self, y: Tensor, of_base: Callable[[Tensor], Tensor]) -> Tensor:
        """Return the inverse of y by an inverse of the base, which may be a quicker one than its own."""
        y0, z = y.split([self.base_.output_shape[0], len(self.observables)], dim=1)

        def in_spreads(features: Tensor) -> Tensor:
            return self._values(of_base(features)) / self._spreads(y)

        with torch.no_grad():
            v, now = self.map_._inverse(z) / self._spreads(y), y0.detach()
            o, J = (part.nan_to_num(0.0, 0.0, 0.0) for part in linearised(now, in_spreads))
            looks = has_any(torch.ones(1, dtype=torch.bool))  # a graph that is traced cannot
            for _ in range(_STEPS):
                is_off = ((v - o).abs() > _ROUNDING).any(dim=1, keepdim=True)
                if looks and not has_any(is_off):
                    break
                move, _ = gauss_newton_step(v - o, J, self.damping_, 1.0)
                now = now + torch.where(is_off, move, 0.0)
                o, J = (part.nan_to_num(0.0, 0.0, 0.0) for part in linearised(now, in_spreads))
        if y.requires_grad:  # to first order, J being a constant: dy = (1 - J^+ J) dy_0 + J^+ dv
            _, inverse = gauss_newton_step(v - o, J, self.damping_, 1.0)
            dy, dv = y0 - y0.detach(), self.map_._inverse(z) / self._spreads(y) - v
            now = now + dy + (inverse @ (dv[:, :, None] - J @ dy[:, :, None]))[:, :, 0]
        return of_base(now)

    def _fit(self, x: Tensor) -> None:
        rows = x[:: max(1, len(x) // _ROWS_TRIED)]
        self.base_ = copy.deepcopy(self.base).fit(x)
        for observable in self._observables():
            check_observable(observable, rows, "events of the data")
        n_knots = min(max(len(x) // _VALUES_PER_KNOT, LEAST_KNOTS), MOST_KNOTS)
        self.map_ = Quantile(n_knots=n_knots).fit(self._values(x))
        z = torch.tensor([[-1.0], [1.0]], dtype=torch.float64).expand(2, len(self.observables))
        self.spreads_ = (self.map_.inverse(z).diff(dim=0)[0] / 2).clamp(min=1e-30)
        _, J = linearised(self.base_.forward(rows), lambda y: self._values(self.base_.inverse(y)) / self._spreads(y))
        self.damping_ = DAMPING * J.square().sum(dim=2).mean().item()

    def _forward(self, x: Tensor, u: Tensor) -> Tensor:
        return torch.cat([self.base_.forward(x, noise=u), self.map_.forward(self._values(x))], dim=1)

    def _inverse(self, y: Tensor) -> Tensor:
        return self.undone(y, self.base_.inverse)

    def _log_det(self, x: Tensor, u: Tensor) -> Tensor:
        z_slope = self.map_._log_derivative(self._values(x)).exp()
        _, A = linearised(self.base_.forward(x, noise=u), lambda y: self._values(self.base_.inverse(y)))
        A = A * z_slope[:, :, None]
        one = torch.eye(A.shape[1], dtype=A.dtype, device=A.device)
        return self.base_.log_det(x, noise=u) + 0.5 * torch.linalg.slogdet(one + A @ A.mT).logabsdet

    def _observables(self) -> tuple[Observable, ...]:
        return resolve_observables(self.observables, Schema.from_json(self.schema))

    def _values(self, x: Tensor) -> Tensor:
        """Return the observables (batch, k) of physical events x, float64."""
        values = [o.function(x if o.named else x.contiguous()) for o in self._observables()]
        return torch.stack([value.to(torch.float64) for value in values], dim=1)

    def _spreads(self, like: Tensor) -> Tensor:
        return self.spreads_.to(like.device)
