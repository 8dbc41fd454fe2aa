r"""An observable as one coordinate of the features, so that a thin peak in it is as easy to learn as any column.

A resonance is a shell in the space of the columns, far thinner than a network resolves. Features y = T(x), in which
each column is smooth, are therefore turned into coordinates one of which is the observable o:

    t = n . y_S,    w = the other coordinates of y_S in an orthonormal basis that begins with n
    (t, w, rest)  ->  (q(o), q_w(w), rest),         q, q_w quantile maps

S are the features in which o rises, or falls, everywhere, whatever the others are, as a mass does with either
momentum; the direction n is the mean gradient of the standardised observable over the data, within S. With w and the
rest fixed, o then rises strictly with t, so

    log |du/dy| = log |dq/do| + log |n . do/dy_S| + log |dq_w/dw|

and log p stays exact, while the observable's own distribution is as exact as that of any column. The inverse finds the
one t at which o has the value asked for, by Chandrupatla's method, which halves a bracket or interpolates within it. A
value that no event with these w has becomes the nearest that one has. A sharp cut on a column is a straight edge among
the columns and a bent one among these coordinates, which a network rounds more. Several observables are several such
changes of coordinates, one after the other: each is looked for in the features that those before it left.

References
----------
Chandrupatla, Adv. Eng. Software 28, 145 (1997).
"""

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor

from reverie.core.errors import CheckpointError, InputError
from reverie.core.types import Json
from reverie.data.observables import Observable, check_observable, resolve_observables
from reverie.data.schema import Schema
from reverie.data.transforms.base import InvertibleTransform, Output, has_any
from reverie.data.transforms.quantile import Quantile

__all__ = ["ObservableCoordinate"]

_ROWS_TRIED = 512
_ALONG = (0.025, 0.16, 0.5, 0.84, 0.975)  # quantiles of a feature between which the observable is never to fall
_STEP, _ROUNDING = 1e-3, 1e-12  # over which it is to rise, and what rounding may take off, relative to its size
_MOST = 0.99  # of the events, beside which it is to rise
_BEYOND = 8.0  # the bracket reaches so far beyond the values of t in the data
_MOST_STEPS, _TRACED_STEPS = 60, 14  # of the search for t, which takes some ten; in a graph, which cannot look, always


@dataclass(eq=False, repr=False, kw_only=True)
class ObservableCoordinate(InvertibleTransform):
    """Features of `base`, one coordinate of which is an observable.

    Parameters
    ----------
    base : transform of a table. `fit` works on a copy, ``base_``.
    observable : name, as in `reverie.data.observables.resolve_observables`, or `Observable` of a function of one's
        own, which is written to JSON as its name: `bind` gives the function back.
    schema : of the table, as `Schema.to_json` writes it.

    Attributes
    ----------
    features_ : numbers of the features S among those of `base`; the observable takes the place of the first.
    axes_ : (len(S), len(S)), orthonormal columns, the first of which is the direction n.
    """

    base: InvertibleTransform
    observable: str | Observable
    schema: Json
    takes_tables_only = True

    @property
    def output_shape(self) -> tuple[int, ...]:
        """That of the base."""
        return self.base_.output_shape

    @property
    def outputs(self) -> tuple[Output, ...]:
        """Those of the base."""
        return self.base_.outputs

    @property
    def n_noise(self) -> int:
        """That of the base."""
        return self.base_.n_noise

    @property
    def observed(self) -> list[int]:
        """Numbers of the features that are observables, which those after them leave as they are."""
        earlier = self.base_.observed if isinstance(self.base_, ObservableCoordinate) else []
        return [*earlier, self.features_[0]]

    def to_json(self) -> Json:
        """Return configuration and learned state; a function of one's own is its name."""
        record = super().to_json()
        record["config"]["observable"] = self._observable().name
        return record

    def bind(self, observables: Sequence[Observable]) -> Self:
        """Take these observables, in the order of the fit, for those that a record names; `CheckpointError` else."""
        name = self.observable if isinstance(self.observable, str) else self.observable.name
        last = observables[-1] if observables else None
        if last is None or last.name != name:
            raise CheckpointError(
                f"Expected the observable {name!r} as the model was trained, got {last and last.name!r}. "
                "Load the model with observables= as it was trained."
            )
        self.observable = last
        if isinstance(self.base_, ObservableCoordinate):
            self.base_.bind(observables[:-1])
        return self

    def _observable(self) -> Observable:
        if isinstance(self.observable, Observable):
            return self.observable
        return resolve_observables(self.observable, Schema.from_json(self.schema))[0]

    def _fit(self, x: Tensor) -> None:
        observable, rows = self._observable(), slice(None, None, max(1, len(x) // _ROWS_TRIED))
        check_observable(observable, x[rows], "events of the data")
        self.base_, o = copy.deepcopy(self.base).fit(x), observable.function
        y, values = self.base_.forward(x), o(x)[:, None]
        to_normal = Quantile().fit(values)
        slope = self._slopes(y[rows], o) * to_normal.log_det(values[rows]).exp()[:, None]
        taken = self.base_.observed if isinstance(self.base_, ObservableCoordinate) else []
        free = [j for j, tag in enumerate(self.base_.outputs) if tag.kind == "linear" and j not in taken]
        self.features_ = [j for j in free if self._rises(y[rows], j, slope[:, j].sum().sign(), o)]
        if not self.features_:
            raise InputError(
                f"Expected an observable that rises or falls steadily with a column, whatever the others are, got "
                f"{observable.name!r}, which turns round in every continuous one: it is no coordinate of a density. "
                "Leave it out, or train a GAN, which takes any observable."
            )
        n = slope[:, self.features_].mean(0)
        frame = torch.cat([n[:, None], torch.eye(len(n), dtype=n.dtype, device=n.device)[:, 1:]], dim=1)
        axes = torch.linalg.qr(frame).Q  # n leads, for its component along the first axis is not zero
        self.axes_ = (axes * (n @ axes[:, 0]).sign()).cpu()
        turned = y[:, self.features_] @ self._axes(y)
        self.bracket_ = [turned[:, 0].amin().item() - _BEYOND, turned[:, 0].amax().item() + _BEYOND]
        self.map_ = Quantile().fit(torch.cat([values, turned[:, 1:]], dim=1))

    def _forward(self, x: Tensor, u: Tensor) -> Tensor:
        y = self.base_.forward(x, noise=u)
        return self._with(y, self.map_.forward(self._coordinates(x, y)))

    def _inverse(self, y: Tensor) -> Tensor:
        return self.undone(y, self.base_.inverse)

    def undone(self, y: Tensor, of_base: Callable[[Tensor], Tensor]) -> Tensor:
        """Return the inverse of y by an inverse of the base, which may be a quicker one than its own."""
        coordinates, o = self.map_.inverse(y[:, self.features_]), self._observable().function
        wanted, w = coordinates[:, 0], coordinates[:, 1:]

        def event(t: Tensor) -> Tensor:
            return of_base(self._with(y, torch.cat([t[:, None], w], dim=1) @ self._axes(y).T))

        with torch.no_grad():
            t = _root(lambda t: o(event(t)) - wanted, *(torch.full_like(wanted, end) for end in self.bracket_))
        if y.requires_grad:  # a last step of Newton's method, whose derivative is that of the root
            at = t.requires_grad_()
            with torch.enable_grad():
                excess = o(event(at)) - wanted
                slope = torch.autograd.grad(excess.sum(), at, retain_graph=True)[0]
            off = o(event(t.detach())) - wanted
            t = t.detach() - torch.where(slope > 0, (off - off.detach()) / slope, 0.0)
        return event(t)

    def _log_det(self, x: Tensor, u: Tensor) -> Tensor:
        y, o = self.base_.forward(x, noise=u), self._observable().function
        slope = self._slopes(y, o)[:, self.features_] @ self._axes(y)[:, 0]
        of_map = self.map_.log_det(self._coordinates(x, y))
        return self.base_.log_det(x, noise=u) + of_map + slope.clamp(min=torch.finfo(slope.dtype).tiny).log()

    def _coordinates(self, x: Tensor, y: Tensor) -> Tensor:
        """Return o and w (batch, len(S)) of events x with features y."""
        turned = y[:, self.features_] @ self._axes(y)
        return torch.cat([self._observable().function(x)[:, None], turned[:, 1:]], dim=1)

    def _with(self, y: Tensor, of_features: Tensor) -> Tensor:
        """Return y with other values of the features S."""
        return y.index_copy(1, torch.tensor(self.features_, device=y.device), of_features)

    def _axes(self, like: Tensor) -> Tensor:
        return self.axes_.to(like.device)

    def _slopes(self, y: Tensor, o: Callable[[Tensor], Tensor]) -> Tensor:
        """Return do/dy (batch, feature)."""
        with torch.enable_grad():
            y = y.detach().requires_grad_()
            return torch.autograd.grad(o(self.base_.inverse(y)).sum(), y)[0]

    @torch.no_grad()
    def _rises(self, y: Tensor, j: int, sign: Tensor, o: Callable[[Tensor], Tensor]) -> bool:
        """Tell whether sign * o rises with feature j: beside each event of y, and along the bulk of the feature."""
        along = y[:, j].quantile(torch.tensor(_ALONG, dtype=y.dtype, device=y.device))
        places = [y[:, j], y[:, j] + _STEP, *(end for place in along for end in (place, place + _STEP))]
        values = []
        for place in places:
            changed = y.clone()
            changed[:, j] = place
            values.append(sign * o(self.base_.inverse(changed)))
        rise, line = values[1] - values[0], torch.stack(values[2:])
        never_falls = line.diff(dim=0) >= -_ROUNDING * line.abs().amax()
        return bool(never_falls.all() and (rise > 0).double().mean() > _MOST)


def _root(f: Callable[[Tensor], Tensor], low: Tensor, high: Tensor) -> Tensor:
    """Return t (batch,) within [low, high] where each f(t) is 0, or the end that is nearest to it; f rises with t.

    Chandrupatla's method: inverse quadratic interpolation through the last three points where it is safe, else half.
    What becomes of a row does not depend on the others.
    """
    a, b = high, low  # a is the newest point, and the root lies between a and b
    of_a, of_b = f(a), f(b)
    best = torch.where(of_a <= 0, a, b)
    searched, share = (of_a > 0) & (of_b < 0), torch.full_like(a, 0.5)
    looks = has_any(torch.ones(1, dtype=torch.bool))
    for _ in range(_MOST_STEPS if looks else _TRACED_STEPS):
        t = a + share * (b - a)
        of_t = f(t)
        same = of_t.sign() == of_a.sign()
        c, of_c = torch.where(same, a, b), torch.where(same, of_a, of_b)
        b, of_b = torch.where(same, b, a), torch.where(same, of_b, of_a)
        a, of_a = t, of_t
        best = torch.where(searched, torch.where(of_a.abs() < of_b.abs(), a, b), best)
        width, rounding = (b - a).abs(), 2 * torch.finfo(a.dtype).eps * (1 + best.abs())
        searched = searched & (width > 2 * rounding) & (of_a != 0)
        if looks and not has_any(searched):
            break
        xi, phi = (a - b) / (c - b), (of_a - of_b) / (of_c - of_b)
        is_safe = (phi.square() < xi) & ((1 - phi).square() < 1 - xi)
        quadratic = of_a / (of_b - of_a) * of_c / (of_b - of_c)
        quadratic = quadratic + (c - a) / (b - a) * of_a / (of_c - of_a) * of_b / (of_c - of_b)
        least = rounding / width
        share = torch.minimum(torch.maximum(torch.where(is_safe, quadratic, 0.5), least), 1 - least)
    return best
