r"""Normalizing flows as an estimator: the baseline with an exact likelihood.

An invertible map f = f_T o ... o f_1 with parameters theta carries features x to noise z of a known density:

    log q(x) = log p_z(f(x)) + log |det df/dx|,        x = f^-1(z) draws a sample

and theta maximises the mean of log q over the events. The maps f_t and their kinds are those of
`reverie.models.flow.networks`. Sampling and likelihood are computed in float64, so that f^-1 undoes f to about 1e-9.

References
----------
Tabak and Turner, Commun. Pure Appl. Math. 66, 145 (2013); Rezende and Mohamed, arXiv:1505.05770.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Annotated, Any, ClassVar, Literal

import torch
from torch import Tensor, nn

from reverie.core.arguments import Count, Interval, NonNegative, Positive, Share
from reverie.core.random import child_generator
from reverie.core.types import ArrayLike
from reverie.data.dataset import Dataset
from reverie.models.density_features import circles_of, density_preprocessing
from reverie.models.flow.networks import FlowNetwork, need_zuko
from reverie.models.flow.training import FlowStep
from reverie.models.likelihood import LikelihoodModel
from reverie.models.one_pass import Inverse, Noise, OnePass
from reverie.models.options import estimator
from reverie.models.preprocessing import Observables, Preprocessing
from reverie.networks.init import initialised

__all__ = ["Flow"]

_MOST_AUTOREGRESSIVE, _MOST_SPLINE = 32, 256  # features up to which "auto" takes them: a sample takes a step for each
_SIZES: dict[str, Any] = {"n_transforms": 3, "hidden": (128, 128), "n_bins": 12}
_SIZES_OF_FEW: dict[str, Any] = {"n_transforms": 2, "hidden": (32, 32), "n_bins": 6}
_RATES = 3e-3, 1e-3  # of many events and of few
_NUMBERS_AT_ONCE = 1 << 18  # features evaluated at once, which bounds the memory of their splines


@estimator
class Flow(LikelihoodModel):
    """Normalizing flow: exact log-likelihood and samples, for tables of events and small images.

    The defaults train at once on any numeric table. With conditions (`fit(X, y)`) it learns p(x | y). Whole numbers,
    categories and values with a point mass are spread over cells by noise; `score_samples` then gives a draw of
    log q(x + u), whose mean over u is at most the log-probability of x (Theis et al., arXiv:1511.01844).

    Parameters
    ----------
    kind : "spline", "maf" (one coordinate after the other), "spline_coupling" or "realnvp" (by halves); "auto" takes
        "spline" up to 32 features, "spline_coupling" up to 256, then "realnvp".
    n_transforms : invertible maps after one another, at least 1; two or more, so that every coordinate is seen; "auto"
        takes 3, and 2 of fewer than 2,000 training events.
    hidden : widths of the hidden layers of each map's perceptron; "auto" takes (128, 128), and (32, 32) of few.
    n_bins : bins of each spline, at least 2; more resolve sharper edges; "auto" takes 12, and 6 of few.
    observables : functions of the physical columns that the model learns beside them, so that thin peaks come out
        thin: names such as "mass" (see `reverie.data.observables`), or torch functions (batch, *event) -> (batch,).
    kinematic_fit : whether each sample is moved, by as little as possible, to where its observables have the values
        that the model draws; there is no likelihood then. False makes each observable one of the coordinates, with an
        exact log p: it must rise or fall steadily with a column, and cuts of the columns come out less sharp.
    batch_size : events in a step; "auto" takes 512, or all rows of a smaller table.
    learning_rate : step size of AdamW, > 0; it falls to nearly nothing along a cosine; None takes 0.003, and 0.001 with
        the layers that `hidden="auto"` takes for few events.
    weight_decay : share of the step size by which each step shrinks the weights, >= 0.
    gradient_clip : largest norm of the gradient in a step, > 0; longer ones are shortened to it.
    ema_decay : decay per step of the average of the weights that is kept, in [0, 1); 0 keeps the last weights.

    Examples
    --------
    >>> import numpy as np
    >>> model = Flow(max_steps=20, random_state=0).fit(np.random.default_rng(0).normal(size=(300, 2)))
    >>> model.score_samples(np.zeros((1, 2))).shape
    (1,)
    """

    takes_conditions: ClassVar[bool] = True
    trains_on_several: ClassVar[bool] = True

    references = ("zuko2022",)
    option_references = (
        ("kind", lambda value: value in ("auto", "spline", "spline_coupling"), "durkan2019"),
        ("kind", lambda value: value == "maf", "papamakarios2017"),
        ("kind", lambda value: value == "realnvp", "dinh2017"),
    )
    search_space = (
        "learning_rate=5e-4:1e-2:log,n_transforms=2:6,hidden=[64,64]|[128,128]|[256,256],n_bins=8|12|16,"
        "batch_size=auto|128|2048"
    )

    kind: Literal["auto", "spline", "spline_coupling", "maf", "realnvp"] = "auto"
    n_transforms: Count | Literal["auto"] = "auto"
    hidden: Sequence[Count] | Literal["auto"] = "auto"
    n_bins: Annotated[int, Interval(2)] | Literal["auto"] = "auto"
    observables: Observables = None
    kinematic_fit: bool = True
    max_steps: Count = 2_500
    learning_rate: Positive | None = None
    weight_decay: NonNegative = 0.01
    gradient_clip: Positive = 5.0
    ema_decay: Share = 0.998

    def _check_configuration(self) -> None:
        need_zuko()  # a missing library is better known before the data are prepared

    def _prepared(self, dataset: Dataset, container: str) -> Preprocessing:
        return density_preprocessing(
            dataset, container, self.preprocessing, self.observables, kinematic_fit=self.kinematic_fit
        )

    def _batch_size(self, n_rows: int, n_features: int) -> int:
        return min(n_rows, 512)

    def _fresh_networks(self) -> dict[str, nn.Module]:
        transform = self.preprocessing_.transform
        n_features = math.prod(transform.output_shape)
        n_context = 0 if self._conditions is None else math.prod(self._conditions.shape)
        make = partial(
            FlowNetwork,
            n_features,
            circles_of(transform),
            n_context,
            kind=self._kind(),
            **self._sizes(),
        )
        return {"flow": initialised(make, child_generator(self.seed_, "weights"))}

    def _train_step(self, networks: dict[str, nn.Module], train: Mapping[str, Tensor]) -> FlowStep:
        network = networks["flow"]
        assert isinstance(network, FlowNetwork)
        return FlowStep(
            network,
            optimizer="adamw",
            max_steps=self.max_steps,
            learning_rate=self._rate(),
            hold=0.0,
            weight_decay=self.weight_decay,
            clip=self.gradient_clip,
            ema_decay=self.ema_decay,
            ends_early=self.keep_best and self._are_few,
            compile=self.compile,
        )

    def _kind(self) -> str:
        if self.kind != "auto":
            return self.kind
        n_features = math.prod(self.preprocessing_.transform.output_shape)
        if n_features <= _MOST_AUTOREGRESSIVE:
            return "spline"
        return "spline_coupling" if n_features <= _MOST_SPLINE else "realnvp"

    def _sizes(self) -> dict[str, Any]:
        """Return the sizes of the network, those that are left open by the number of training events."""
        given = {"n_transforms": self.n_transforms, "hidden": self.hidden, "n_bins": self.n_bins}
        chosen = _SIZES_OF_FEW if self._are_few else _SIZES
        return {key: chosen[key] if isinstance(value, str) else value for key, value in given.items()}

    def _rate(self) -> float:
        is_of_few = self._are_few and isinstance(self.hidden, str)
        return _RATES[is_of_few] if self.learning_rate is None else self.learning_rate

    def _resolved(self) -> dict[str, object]:
        return {"kind": self._kind(), "learning_rate": self._rate(), **self._sizes()}

    def _log_prob(self, features: Tensor, condition: Tensor | None, generator: torch.Generator) -> tuple[Tensor, float]:
        network = self._exact()
        x = features.flatten(1).double()
        size = max(1, _NUMBERS_AT_ONCE // x.shape[1])
        given = [None] * len(x.split(size)) if condition is None else condition.flatten(1).double().split(size)
        return torch.cat([network.log_prob(*block) for block in zip(x.split(size), given, strict=True)]), 0.0

    def _drawer(
        self, n_samples: int, seed: int, *, condition: ArrayLike = None
    ) -> Callable[[int, int, torch.Generator], Tensor]:
        network, conditions = self._exact(), self._conditions_at(condition, n_samples, seed)
        shape, stages = self.preprocessing_.transform.output_shape, network.stages()

        @torch.no_grad()
        def draw(start: int, n: int, noise: torch.Generator) -> Tensor:
            given = None
            if conditions is not None:
                given = conditions(start, n).flatten(1).to(noise.device, torch.float64)
            return network.draw(n, noise, given, stages).reshape(n, *shape)

        return draw

    def _one_pass(self, inverse: Inverse) -> OnePass:
        network, shape = self._exact(), tuple(self.preprocessing_.transform.output_shape)
        n_lines, n_circles, stages = len(network.lines), len(network.circles), network.stages()

        def features(noise: Tensor, condition: Tensor | None) -> Tensor:
            given = None if condition is None else condition.flatten(1).double()
            normal, turns = noise.double().split([n_lines, n_circles], dim=1)
            return network.event(normal, turns, given, stages).reshape(-1, *shape)

        return OnePass(features, [Noise("normal", n_lines), Noise("uniform", n_circles)], [network])

    def _exact(self) -> FlowNetwork:
        """Return the kept network in float64."""
        network = self._networks()["flow"]
        assert isinstance(network, FlowNetwork)
        return network.in_float64()
