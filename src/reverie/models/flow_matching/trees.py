r"""A velocity field of boosted trees, for small tables.

At each of a few times t_k a boosted regression of scikit-learn learns each coordinate of the field, from the training
events repeated with fresh noise (Jolicoeur-Martineau, Fatras and Kachman, arXiv:2309.09968). As a network does
(`reverie.models.flow_matching.velocity`), the trees learn what a Gaussian leaves open, with q = t^2 + (1 - t)^2,

    lines      F = sqrt(q) E[dx_t/dt - (2 t - 1) / q x_t | x_t, c],          circles    F = E[dx_t/dt | x_t, c]

which is zero at t = 0 and t = 1 for columns of mean zero, without a condition. Before any tree is fitted the field is
that of independent normal coordinates. Between the times the trees of the nearest fitted one are taken; they are fitted
from coarse to fine, so that a training that is stopped leaves a field of fewer times. The times are those that the
solver asks for.

F is constant in boxes. That suits sampling, which averages over many of them, and tables of some dozens of rows, which
a network learns by heart. But it has no divergence, so there is no log p.

A tree of depth D is kept as a complete one: the children of node i are 2 i + 1 and 2 i + 2, a leaf above the last level
hands its value down, and a row takes D comparisons. Where a value is missing, a split says which way the row goes.
Thresholds are rounded down to float32, so that x <= threshold holds for the same float32 numbers x as in float64.
"""

import math
import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
import sklearn
import torch
from threadpoolctl import threadpool_limits
from torch import Tensor

from reverie.compile.step import Compiled
from reverie.core.errors import InputError
from reverie.core.types import State
from reverie.models.density_features import Coordinates
from reverie.models.flow_matching.path import path
from reverie.models.flow_matching.training import observed
from reverie.models.flow_matching.velocity import Velocity
from reverie.models.training_run import TrainStep
from reverie.objectives.adversarial import batch_mean
from reverie.training.descent import Descent
from reverie.training.monitor import Observation

if TYPE_CHECKING:
    from sklearn.ensemble import HistGradientBoostingRegressor

__all__ = ["MOST_ROWS", "TreeStep", "TreeVelocity"]

Rows = Mapping[str, Tensor]
_SHRINKAGE = 0.5  # share of each tree's correction that is added; tuned with the number of trees
_MOST_REPEATED = 100  # times that a small table is repeated with fresh noise
MOST_ROWS = 20_000  # rows of noise and events that a regression sees, unless a batch holds more events
_CHECKED = 1000  # rows on which the trees must give what scikit-learn predicts
_ENDS = (math.inf, -math.inf)  # where a missing input is seen, by the way that a split sends it: right, left


class TreeVelocity(Velocity):
    """F of boosted trees at `n_times` equally spaced times from 0 to 1, none of them fitted yet.

    Parameters
    ----------
    coordinates : Coordinates of an event.
    n_condition : Numbers of a condition, flattened; 0 for none.
    n_times : Times at which trees can be fitted, at least 1.
    n_trees, depth : Trees of each coordinate at each time, and the most comparisons in one.
    """

    feature: Tensor
    threshold: Tensor
    value: Tensor
    base: Tensor
    is_fitted: Tensor
    nearest: Tensor

    def __init__(
        self, coordinates: Coordinates, n_condition: int = 0, *, n_times: int, n_trees: int, depth: int
    ) -> None:
        super().__init__(coordinates, sees_missing=True)
        self.n_inputs = coordinates.n + len(coordinates.circles) + n_condition
        self.n_times, self.n_trees, self.depth = n_times, n_trees, depth
        trees = (n_times, coordinates.n, n_trees)
        self.register_buffer("feature", torch.zeros(*trees, 2**depth - 1, dtype=torch.int16))
        self.register_buffer("threshold", torch.full((*trees, 2**depth - 1), math.inf))
        self.register_buffer("value", torch.zeros(*trees, 2**depth))
        self.register_buffer("base", torch.zeros(n_times, coordinates.n))
        self.register_buffer("is_fitted", torch.zeros(n_times, dtype=torch.bool))
        self.register_buffer("nearest", torch.arange(n_times))

    def inputs(self, x: Tensor, condition: Tensor | None) -> Tensor:
        """Return what trees see (batch, n_inputs): lines over sqrt(q), cosines and sines of angles, the condition."""
        n = self.coordinates.n_lines
        given = [] if condition is None else [condition.flatten(1)]
        return torch.cat([x[:, :n], x[:, n:].cos(), x[:, n:].sin(), *given], dim=1)

    def remainder(self, x: Tensor, t: Tensor, condition: Tensor | None) -> Tensor:
        """Return F (batch, n) of the trees of the fitted times nearest to `t`, (batch, 1) or (1, 1); see `Velocity`."""
        time = self.nearest[(t[:, 0] * (self.n_times - 1)).round().long()]
        return self.predicted(self.inputs(x, condition), time)

    def predicted(self, inputs: Tensor, time: Tensor) -> Tensor:
        """Return F (batch, n) of inputs (batch, n_inputs) by the trees of the times numbered (batch,) or (1,)."""
        # Two copies of each input: where it is missing, a row goes right at a split on the first, left on the second.
        seen = torch.cat([inputs.nan_to_num(nan=end, posinf=math.inf, neginf=-math.inf) for end in _ENDS], dim=1)
        n_trees, n_splits = self.coordinates.n * self.n_trees, 2**self.depth - 1
        tree = time[:, None] * n_trees + torch.arange(n_trees, device=inputs.device)
        node = torch.zeros(inputs.shape[0], n_trees, dtype=torch.long, device=inputs.device)
        feature, threshold, value = self.feature.flatten(), self.threshold.flatten(), self.value.flatten()
        for _ in range(self.depth):
            split = tree * n_splits + node
            node = 2 * node + 1 + (seen.gather(1, feature[split].long()) > threshold[split])
        values = value[tree * 2**self.depth + node - n_splits]
        return values.unflatten(1, (-1, self.n_trees)).sum(2) + self.base[time]

    @torch.no_grad()
    def fit(self, k: int, inputs: Tensor, target: Tensor, weight: Tensor | None) -> None:
        """Fit the trees of time k to F = `target` (rows, n) of `inputs` (rows, n_inputs), NaN where they are missing.

        Raises
        ------
        InputError
            Where the trees of the installed scikit-learn cannot be read.
        """
        from sklearn.ensemble import HistGradientBoostingRegressor  # takes a second, and no network needs it

        X, F = (rows.cpu().numpy().astype(np.float64) for rows in (inputs, target))
        expected = np.zeros((min(len(X), _CHECKED), F.shape[1]))
        for j, y in enumerate(F.T):
            known = np.isfinite(y)
            boosted = HistGradientBoostingRegressor(
                max_iter=self.n_trees,
                max_depth=self.depth,
                max_leaf_nodes=2**self.depth,
                learning_rate=_SHRINKAGE,
                early_stopping=False,
                random_state=0,
            )
            with threadpool_limits(torch.get_num_threads(), user_api="openmp"):
                boosted.fit(X[known], y[known], sample_weight=None if weight is None else weight.cpu().numpy()[known])
                expected[:, j] = boosted.predict(X[:_CHECKED])
            try:
                self._take(k, j, boosted)
            except (AttributeError, IndexError, KeyError, TypeError, ValueError) as error:
                raise _unreadable(str(error)) from None
        self.is_fitted[k] = True
        fitted = self.is_fitted.nonzero()[:, 0]
        times = torch.arange(self.n_times, device=fitted.device)
        self.nearest.copy_(fitted[(times[:, None] - fitted).abs().argmin(1)])
        ours = self.predicted(inputs[:_CHECKED], torch.tensor([k], device=inputs.device)).cpu().numpy()
        if not np.allclose(ours, expected, rtol=1e-4, atol=1e-4 * float(np.abs(expected).max())):
            raise _unreadable(f"their sum differs from its prediction by {np.abs(ours - expected).max():.2g}")

    def _take(self, k: int, j: int, boosted: "HistGradientBoostingRegressor") -> None:
        """Keep the trees of scikit-learn, which are private to it, as those of time k and coordinate j."""
        trees = [predictors[0].nodes for predictors in boosted._predictors]
        start = np.cumsum([0, *(len(nodes) for nodes in trees[:-1])])[:, None]
        nodes, source = np.concatenate(trees), start
        feature, threshold = [], []
        for _ in range(self.depth):  # the nodes of a level of all trees, (n_trees, 2^level)
            level = nodes[source]
            is_leaf = level["is_leaf"].astype(bool)
            # At most the largest number, for a split of what is known from what is missing has an infinite one.
            limit = np.minimum(level["num_threshold"], np.finfo(np.float32).max).astype(np.float32)
            limit = np.where(limit > level["num_threshold"], np.nextafter(limit, np.float32(-np.inf)), limit)
            feature.append(np.where(is_leaf, 0, level["feature_idx"] + self.n_inputs * level["missing_go_to_left"]))
            threshold.append(np.where(is_leaf, np.inf, limit))
            children = [np.where(is_leaf, source, start + level[side]) for side in ("left", "right")]
            source = np.stack(children, axis=-1).reshape(len(trees), -1)
        self.feature[k, j] = torch.from_numpy(np.concatenate(feature, axis=1).astype(np.int16))
        self.threshold[k, j] = torch.from_numpy(np.concatenate(threshold, axis=1).astype(np.float32))
        self.value[k, j] = torch.from_numpy(nodes[source]["value"].astype(np.float32))
        self.base[k, j] = float(np.asarray(boosted._baseline_prediction).item())


def _unreadable(why: str) -> InputError:
    return InputError(
        f"Expected boosted trees of scikit-learn that reverie can read, got those of version {sklearn.__version__}: "
        f"{why}. Take network='mlp', or a version of scikit-learn that this reverie was tried with, 1.7 to 1.9."
    )


class TreeStep(TrainStep):
    """Fits the trees of one time in a step.

    Parameters
    ----------
    network : Trees on their device; they are fitted in place.
    n_evaluations, solver : How samples of a check are drawn, as in `reverie.models.flow_matching.sampling`.
    compile : Whether compiled steps were asked for; there are none.
    """

    def __init__(self, network: TreeVelocity, *, n_evaluations: int, solver: str, compile: bool | str = False) -> None:
        self.network, self._n_evaluations, self._solver = network, n_evaluations, solver
        self.compiled = Compiled(self._fit, mode=compile, n_calls=sys.maxsize)
        self.compiled.decline("trees are fitted by scikit-learn")

    def train_step(self, batch: Rows, generator: torch.Generator) -> dict[str, Tensor]:
        """Fit the trees of the next time to a batch of features "x", with "condition" and "weight" if there are any."""
        scalars = self.compiled(batch, generator)
        self.step += 1
        return scalars

    @torch.no_grad()
    def _fit(self, batch: Rows, generator: torch.Generator) -> dict[str, Tensor]:
        network, coordinates, last = self.network, self.network.coordinates, self.network.n_times - 1
        # 0, last, and between them ever finer: by the largest power of two that divides the number of the time.
        k = sorted(range(last + 1), key=lambda k: -(k & -k) if 0 < k < last else -last)[self.step]
        n = len(batch["x"])
        n_repeated = max(1, min(_MOST_REPEATED, MOST_ROWS // n))
        x1 = coordinates.of(batch["x"].flatten(1)).repeat(n_repeated, 1)
        condition, weight = (
            None if rows is None else rows.repeat(n_repeated, *(1,) * (rows.ndim - 1))
            for rows in (batch.get("condition"), batch.get("weight"))
        )
        if weight is not None and weight.min() < 0:
            raise InputError("Expected event weights >= 0 for network='trees', got a negative one. Take network='mlp'.")
        t = x1.new_full((1, 1), k / max(1, last))
        x, d = path(coordinates.noise(len(x1), generator), x1, t, coordinates.n_lines)
        lines = slice(0, coordinates.n_lines)
        q = t.square() + (1 - t).square()
        target, scaled = d.clone(), x.clone()
        target[:, lines] = q.sqrt() * d[:, lines] - (2 * t - 1) * q.rsqrt() * x[:, lines]
        scaled[:, lines] = q.rsqrt() * x[:, lines]
        network.fit(k, network.inputs(scaled, condition), target, weight)
        some = slice(0, _CHECKED)
        error = (network(x[some], t, None if condition is None else condition[some]) - d[some]).nan_to_num(0.0).square()
        return {"loss": batch_mean(error.mean(1), None if weight is None else weight[some])}

    def observe(self, held_out: Rows, train: Rows, generator: torch.Generator) -> Observation:
        """Return samples and the loss on the held-out rows, as of a network."""
        return observed(self.network, self.step, held_out, generator, self._n_evaluations, self._solver)

    def networks(self) -> dict[str, TreeVelocity]:
        """Return the trees."""
        return {"velocity": self.network}

    def descents(self) -> list[Descent]:
        """Raise `InputError`: processes that share a training average gradients, and trees have none."""
        raise InputError("Expected one process to fit trees, got several. Take network='mlp', or one process.")

    def state_dict(self) -> State:
        """Return all that an exact resume needs."""
        return {"step": self.step, "network": self.network.state_dict()}

    def load_state_dict(self, state: State) -> None:
        """Take up what `state_dict` returned."""
        self.step = state["step"]
        self.network.load_state_dict(state["network"])
