r"""Normalizing flows as an estimator: the baseline with an exact likelihood.

An invertible map f = f_T o ... o f_1 with parameters theta carries features x to noise z of a known density:

    log q(x) = log p_z(f(x)) + log |det df/dx|,        x = f^-1(z) draws a sample

and theta maximises the mean of log q over the events. Every f_t changes coordinate i by a monotonic function h whose
parameters come from a masked perceptron that sees the coordinates before i (and the condition y):

    "spline"            h a rational-quadratic spline on [-5, 5], the identity outside (Durkan et al., 2019);
                        coordinates one after the other, in turn from the first and from the last
    "maf"               h affine, the same order (Papamakarios et al., 2017)
    "spline_coupling"   one half of the coordinates given the other half: a sample takes two passes a layer
    "realnvp"           the same with h affine (Dinh et al., 2017)

An angle is one coordinate on the circle, uniform at the end: h is a rotation in a direction that the perceptron gives,
then a spline from -pi to pi (Rezende et al., 2020); the perceptron sees its cosine and sine, so nothing is special
about the place where the period is cut. Before training every spline is the identity.

Maps, masks and splines are those of zuko, an optional library. Sampling and likelihood are computed in
float64, so that f^-1 undoes f to about 1e-9.

References
----------
Tabak and Turner, Commun. Pure Appl. Math. 66, 145 (2013); Rezende and Mohamed, arXiv:1505.05770.
Papamakarios, Pavlakou and Murray, arXiv:1705.07057; Dinh, Sohl-Dickstein and Bengio, arXiv:1605.08803.
Durkan, Bekasov, Murray and Papamakarios, arXiv:1906.04032; Rezende et al., arXiv:2002.02428.
"""

import copy
import math
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.distributions import Transform, constraints

from reverie.core.assessment import Assessment
from reverie.core.checks import check_choice, check_positive
from reverie.core.errors import InputError, MissingDependencyError
from reverie.core.random import child_generator
from reverie.core.types import RandomState
from reverie.data.dataset import Dataset
from reverie.models.conditional import rows_of_conditions
from reverie.models.density import DensityModel
from reverie.models.flow_training import FlowLearner, circles_of, density_transform, repeated_values
from reverie.models.preprocessed import Preprocessing, fitted_preprocessing
from reverie.networks.init import initialise

__all__ = ["KINDS", "Flow", "FlowNetwork"]

KINDS = {  # name -> (whether h is a spline, whether by halves)
    "spline": (True, False),
    "spline_coupling": (True, True),
    "maf": (False, False),
    "realnvp": (False, True),
}
_MOST_AUTOREGRESSIVE, _MOST_SPLINE = 32, 256  # features up to which "auto" takes them: a sample costs a pass for each
_RADIUS = math.sqrt(2)  # of the circles that angles are prepared as
_NUMBERS_AT_ONCE = 1 << 18  # features evaluated at once, which bounds the memory of their splines


def _zuko() -> Any:
    try:
        import zuko
    except ImportError:
        raise MissingDependencyError("zuko", "flow", "train a normalizing flow") from None
    return zuko


class FlowNetwork(nn.Module):
    """A density of vectors of features; pairs of them that lie on circles count as one angle each.

    Parameters
    ----------
    n_features : features of an event.
    circles : pairs (column of the cosine, column of the sine).
    n_context : numbers in a condition.
    kind : a key of `KINDS`.
    n_transforms : maps f_t.
    hidden : widths of the hidden layers of each perceptron.
    n_bins : bins of a spline.
    """

    def __init__(
        self,
        n_features: int,
        circles: Sequence[tuple[int, int]] = (),
        n_context: int = 0,
        *,
        kind: str = "spline",
        n_transforms: int = 3,
        hidden: Sequence[int] = (128, 128),
        n_bins: int = 12,
    ) -> None:
        super().__init__()
        self.is_spline, by_halves = check_choice("kind of flow", kind, KINDS)
        on_circles = {j for pair in circles for j in pair}
        self.n_features, self.circles, self.n_bins = n_features, [list(pair) for pair in circles], n_bins
        self.lines = [j for j in range(n_features) if j not in on_circles]
        n = len(self.lines) + len(self.circles)
        self.passes = min(2, n) if by_halves else n
        self.perceptrons = nn.ModuleList(
            self._perceptron(_places(n, t, by_halves=by_halves), n_context, hidden) for t in range(n_transforms)
        )

    def log_prob(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        """Return log q (batch,) of features x (batch, n_features), per unit of length along each circle."""
        z, stretch = self._map(context).call_and_ladj(self._coordinates(x))
        n = len(self.lines)
        base = -0.5 * (z[:, :n].square() + math.log(2 * math.pi)).sum(1)
        return base + stretch - len(self.circles) * math.log(2 * math.pi * _RADIUS)

    def draw(self, n: int, generator: torch.Generator, context: Tensor | None = None) -> Tensor:
        """Return `n` samples (n, n_features) in the type of the weights; context (n, n_context)."""
        like: dict[str, Any] = {"dtype": next(self.parameters()).dtype, "device": generator.device}
        normal = torch.randn(n, len(self.lines), generator=generator, **like)
        turns = torch.rand(n, len(self.circles), generator=generator, **like)
        return self._features(self._map(context).inv(torch.cat([normal, math.pi * (2 * turns - 1)], dim=1)))

    def noise(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        """Return z = f(x) of features x: normal coordinates, then angles in [-pi, pi]."""
        return self._map(context)(self._coordinates(x))

    def _perceptron(self, place: Tensor, n_context: int, hidden: Sequence[int]) -> nn.Module:
        """Return the masked perceptron of a map: a coordinate depends on those of lower `place`, and on the context."""
        n_lines, n = len(self.lines), len(place)
        sees = place[:, None] > place  # (coordinate, coordinate)
        beside = torch.ones(n, n_context if n > 1 or n_context else 1, dtype=torch.bool)
        inputs = torch.cat([sees, sees[:, n_lines:], beside], dim=1)  # an angle enters as cosine and sine
        rows = torch.arange(n).repeat_interleave(
            torch.tensor([self._n_line] * n_lines + [self._n_circle] * (n - n_lines))
        )
        perceptron = _zuko().nn.MaskedMLP(inputs[rows], hidden_features=list(hidden), activation=nn.SiLU)
        perceptron[-1].zero_init = True
        return perceptron

    @property
    def _n_line(self) -> int:
        return 3 * self.n_bins - 1 if self.is_spline else 2

    @property
    def _n_circle(self) -> int:
        return 3 * self.n_bins + 1

    def _map(self, context: Tensor | None) -> Any:
        transforms = _zuko().transforms
        return transforms.ComposedTransform(
            *(
                transforms.AutoregressiveTransform(partial(self._change, perceptron, context), self.passes)
                for perceptron in self.perceptrons
            )
        )

    def _change(self, perceptron: nn.Module, context: Tensor | None, u: Tensor) -> Transform:
        """Return the change of all coordinates, given those u (batch, n) that each one may see."""
        n = len(self.lines)
        angles = u[:, n:]
        seen = [u[:, :n], angles.cos(), angles.sin()]
        if context is not None:
            seen.append(context.to(u))
        elif u.shape[1] == 1:  # a perceptron needs something to see
            seen.append(torch.ones_like(u))
        raw = perceptron(torch.cat(seen, dim=1))
        sides = (n, self._n_line, self._line), (len(self.circles), self._n_circle, self._circle)
        cut = raw.split([width * size for width, size, _ in sides], dim=1)
        made = [
            (width, make(part.unflatten(1, (width, size))))
            for part, (width, size, make) in zip(cut, sides, strict=True)
            if width
        ]
        return _SideBySide([h for _, h in made], [width for width, _ in made])

    def _line(self, raw: Tensor) -> Transform:
        transforms = _zuko().transforms
        if not self.is_spline:
            return transforms.MonotonicAffineTransform(raw[..., 0], raw[..., 1])
        return transforms.MonotonicRQSTransform(*_spline(raw, self.n_bins))

    def _circle(self, raw: Tensor) -> Transform:
        transforms = _zuko().transforms
        shift = torch.atan2(raw[..., 1], 1 + raw[..., 0])  # a direction, which may wind round as the inputs do
        spline = transforms.MonotonicRQSTransform(*_spline(raw[..., 2:], self.n_bins), bound=math.pi)
        return transforms.ComposedTransform(_Rotation(shift), spline)

    def _coordinates(self, x: Tensor) -> Tensor:
        cosine, sine = ([pair[k] for pair in self.circles] for k in (0, 1))
        return torch.cat([x[:, self.lines], torch.atan2(x[:, sine], x[:, cosine])], dim=1)

    def _features(self, u: Tensor) -> Tensor:
        x = u.new_empty(len(u), self.n_features)
        x[:, self.lines] = u[:, : len(self.lines)]
        for k, (cosine, sine) in enumerate(self.circles):
            angle = u[:, len(self.lines) + k]
            x[:, cosine], x[:, sine] = _RADIUS * angle.cos(), _RADIUS * angle.sin()
        return x


class _SideBySide(Transform):
    """Neighbouring coordinates changed by different elementwise maps; `widths` counts those of each."""

    domain, codomain, bijective = constraints.real_vector, constraints.real_vector, True

    def __init__(self, maps: Sequence[Any], widths: Sequence[int]) -> None:
        super().__init__()
        self.maps, self.widths = maps, list(widths)

    def _call(self, x: Tensor) -> Tensor:
        return torch.cat([h(part) for h, part in zip(self.maps, self._parts(x), strict=True)], dim=1)

    def _inverse(self, y: Tensor) -> Tensor:
        return torch.cat([h.inv(part) for h, part in zip(self.maps, self._parts(y), strict=True)], dim=1)

    def call_and_ladj(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return y and log |det dy/dx| (batch,), in one go."""
        done: list[Any] = [h.call_and_ladj(part) for h, part in zip(self.maps, self._parts(x), strict=True)]
        return torch.cat([y for y, _ in done], dim=1), torch.cat([ladj for _, ladj in done], dim=1).sum(1)

    def log_abs_det_jacobian(self, x: Tensor, y: Tensor) -> Tensor:
        return self.call_and_ladj(x)[1]

    def _parts(self, x: Tensor) -> tuple[Tensor, ...]:
        return x.split(self.widths, dim=1)


class _Rotation(Transform):
    """Angles in [-pi, pi) turned by `shift`, elementwise."""

    domain, codomain, bijective = constraints.real, constraints.real, True

    def __init__(self, shift: Tensor) -> None:
        super().__init__()
        self.shift = shift

    def _call(self, x: Tensor) -> Tensor:
        return _wrapped(x + self.shift)

    def _inverse(self, y: Tensor) -> Tensor:
        return _wrapped(y - self.shift)

    def log_abs_det_jacobian(self, x: Tensor, y: Tensor) -> Tensor:
        return torch.zeros_like(x)


def _wrapped(angle: Tensor) -> Tensor:
    return torch.remainder(angle + math.pi, 2 * math.pi) - math.pi


def _spline(raw: Tensor, n_bins: int) -> tuple[Tensor, ...]:
    """Return the raw widths, heights and inner slopes of a spline."""
    return raw.split([n_bins, n_bins, n_bins - 1], dim=-1)


def _places(n: int, t: int, *, by_halves: bool) -> Tensor:
    """Return the place of each of n coordinates in the order of map t; coordinates of one half share a place."""
    place = torch.arange(n)
    if by_halves:  # neighbours apart, then the first from the last: pixels and columns meet in both ways
        place = place % 2 if t // 2 % 2 == 0 else (place >= n / 2).long()
    return place if t % 2 == 0 else place.max() - place


class Flow(DensityModel):
    """Normalizing flow: exact log-likelihood and samples, for tables of events and small images.

    The defaults train at once on any numeric table. With conditions (`fit(X, y)`) it learns p(x | y). Whole numbers,
    categories and values with a point mass are spread over cells by noise; `score_samples` then gives a draw of
    log q(x + u), whose mean over u is at most the log-probability of x (Theis et al., arXiv:1511.01844).

    Parameters
    ----------
    kind : "spline", "maf" (one coordinate after the other), "spline_coupling" or "realnvp" (by halves); "auto" takes
        "spline" up to 32 features, "spline_coupling" up to 256, then "realnvp".
    n_transforms : invertible maps after one another, at least 1; two or more, so that every coordinate is seen.
    hidden : widths of the hidden layers of each map's perceptron.
    n_bins : bins of each spline, at least 2; more resolve sharper edges.
    max_steps : gradient steps in the whole run, at least 1.
    batch_size : events in a step; "auto" takes 512, or all rows of a smaller table.
    learning_rate : step size of AdamW, > 0; it falls to nearly nothing along a cosine.
    weight_decay : share of the step size by which each step shrinks the weights, >= 0.
    gradient_clip : largest norm of the gradient in a step, > 0; longer ones are shortened to it.
    ema_decay : decay per step of the average of the weights that is kept, in [0, 1); 0 keeps the last weights.
    preprocessing : change of variables before the flow: "auto", "quantile", "standardise" or "asinh" for
        all columns; a dictionary of such words or transforms for some columns, by name; or a `Transform`.
    validation_fraction : part of the events, in [0, 1), held out to choose the best state; at most 2000 events, and
        none of fewer than 200.
    n_checks : looks at the held-out likelihood in a whole run; 0 switches them off.
    keep_best : whether the state of the best held-out likelihood is kept, rather than the last.
    on_alarm : what an alarm does: "warn" notes it, "stop" ends training, "rollback" returns to the last healthy state
        and halves the learning rate when training diverges.
    device : "auto" (a CUDA device when there is one), "cpu", "cuda", "cuda:1", ...
    random_state : seed of weights, batches and noise; None draws one, kept as `seed_`.
    record_every : steps between two records of the history.
    n_threads : processor threads while training; "auto" takes one for small networks.

    Attributes
    ----------
    history_ : list of dict, losses and held-out likelihood over training.
    alarms_ : list of alarms, each with kind, step, evidence and remedy.
    n_iter_, seed_, schema_, conditions_ : steps taken, seed used, what the data and the conditions are.

    References
    ----------
    Durkan et al., arXiv:1906.04032; Rezende et al., arXiv:2002.02428. See `reverie.models.flow` for all.

    Examples
    --------
    >>> import numpy as np
    >>> model = Flow(max_steps=20, random_state=0).fit(np.random.default_rng(0).normal(size=(300, 2)))
    >>> model.score_samples(np.zeros((1, 2))).shape
    (1,)
    """

    takes_conditions: ClassVar[bool] = True

    def __init__(
        self,
        *,
        kind: str = "auto",
        n_transforms: int = 3,
        hidden: Sequence[int] = (128, 128),
        n_bins: int = 12,
        max_steps: int = 2_500,
        batch_size: int | str = "auto",
        learning_rate: float = 3e-3,
        weight_decay: float = 0.01,
        gradient_clip: float = 5.0,
        ema_decay: float = 0.998,
        preprocessing: Any = "auto",
        validation_fraction: float = 0.1,
        n_checks: int = 40,
        keep_best: bool = True,
        on_alarm: str = "rollback",
        device: str = "auto",
        random_state: RandomState = None,
        record_every: int = 50,
        n_threads: int | str = "auto",
    ) -> None:
        self.kind = kind
        self.n_transforms = n_transforms
        self.hidden = hidden
        self.n_bins = n_bins
        self.max_steps = max_steps
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.weight_decay = weight_decay
        self.gradient_clip = gradient_clip
        self.ema_decay = ema_decay
        self.preprocessing = preprocessing
        self.validation_fraction = validation_fraction
        self.n_checks = n_checks
        self.keep_best = keep_best
        self.on_alarm = on_alarm
        self.device = device
        self.random_state = random_state
        self.record_every = record_every
        self.n_threads = n_threads

    def assess(self, train: Any, held_out: Any, *, random_state: RandomState = None) -> Assessment:
        """Return likelihoods, which are exact, and warnings; parameters as in `GenerativeModel.assess`."""
        likelihoods = super().assess(train, held_out, random_state=random_state)
        events = train[0] if isinstance(train, tuple) else train
        warnings = repeated_values(self._values(events, reset=False), self.schema_)
        return likelihoods + Assessment(warnings=tuple(warnings))

    def _check_configuration(self) -> None:
        _zuko()  # a missing library is better known before the data are prepared
        check_choice("kind of flow", self.kind, {"auto": None, **KINDS})
        for name in ("learning_rate", "gradient_clip"):
            check_positive(name, getattr(self, name))
        check_positive("weight_decay", self.weight_decay, allow_zero=True)
        for name in ("n_transforms", "n_bins"):
            check_positive(name, getattr(self, name), integer=True)
        for width in self.hidden:
            check_positive("hidden", width, integer=True)
        if self.n_bins < 2:
            raise InputError(f"Expected n_bins of at least 2, got {self.n_bins}. Give more bins.")
        if not 0 <= self.ema_decay < 1:
            raise InputError(f"Expected ema_decay in [0, 1), got {self.ema_decay}. 0 switches it off.")

    def _prepared(self, dataset: Dataset, container: str) -> Preprocessing:
        transform = density_transform(dataset, self.preprocessing)
        prepared = fitted_preprocessing(dataset, container, transform)
        circles_of(prepared.transform)  # refuses one-hot features before training
        return prepared

    def _batch_size(self, n_rows: int, n_features: int) -> int:
        return min(n_rows, 512)

    def _fresh_networks(self) -> dict[str, nn.Module]:
        transform = self.preprocessing_.transform
        n_features = math.prod(transform.output_shape)
        n_context = 0 if self._conditions is None else math.prod(self._conditions.shape)
        options = {"n_transforms": int(self.n_transforms), "hidden": self.hidden, "n_bins": int(self.n_bins)}
        with torch.random.fork_rng(devices=[]):  # torch draws first weights of its own: leave its state as it was
            network = FlowNetwork(
                n_features, circles_of(transform), n_context, kind=_resolved(self.kind, n_features), **options
            )
        return {"flow": initialise(network, child_generator(self.seed_, "weights"))}

    def _learner(self, networks: dict[str, nn.Module], train: Mapping[str, Tensor]) -> FlowLearner:
        return FlowLearner(
            networks["flow"],
            max_steps=self.max_steps,
            learning_rate=self.learning_rate,
            weight_decay=self.weight_decay,
            gradient_clip=self.gradient_clip,
            ema_decay=self.ema_decay,
        )

    def _log_prob(self, features: Tensor, condition: Tensor | None, generator: torch.Generator) -> tuple[Tensor, float]:
        network = self._exact()
        x = features.flatten(1).double()
        size = max(1, _NUMBERS_AT_ONCE // x.shape[1])
        given = [None] * len(x.split(size)) if condition is None else condition.flatten(1).double().split(size)
        return torch.cat([network.log_prob(*block) for block in zip(x.split(size), given, strict=True)]), 0.0

    def _drawer(
        self, n_samples: int, seed: int, *, condition: Any = None
    ) -> Callable[[int, int, torch.Generator], Tensor]:
        network, asked = self._exact(), self._condition_features(condition, n_samples, seed)
        shape = self.preprocessing_.transform.output_shape

        @torch.no_grad()
        def draw(start: int, n: int, noise: torch.Generator) -> Tensor:
            given = None
            if asked is not None:
                given = rows_of_conditions(asked, start, n).flatten(1).to(noise.device, torch.float64)
            return network.draw(n, noise, given).reshape(n, *shape)

        return draw

    def _exact(self) -> FlowNetwork:
        """Return the kept network in float64."""
        network: Any = copy.deepcopy(self._networks()["flow"])
        return network.double().eval()


def _resolved(kind: str, n_features: int) -> str:
    if kind != "auto":
        return kind
    if n_features <= _MOST_AUTOREGRESSIVE:
        return "spline"
    return "spline_coupling" if n_features <= _MOST_SPLINE else "realnvp"
