"""Boosted trees as the field of flow matching, against scikit-learn's prediction and Gaussian velocities."""

import math

import numpy as np
import pytest
import torch
from sklearn.ensemble import HistGradientBoostingRegressor

from reverie.core.errors import InputError
from reverie.models import FlowMatching
from reverie.models.density_features import Coordinates
from reverie.models.flow_matching.path import gaussian_velocity
from reverie.models.flow_matching.sampling import solve_ode
from reverie.models.flow_matching.trees import TreeStep, TreeVelocity

COVARIANCE = torch.tensor([[1.0, 0.8], [0.8, 1.0]])
SMALL = {"network": "trees", "n_trees": 20, "depth": 4, "n_evaluations": 8, "random_state": 0}


def _regression(rows=600):
    """Inputs of which a third is missing, and a target that depends on what is missing."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(rows, 3)).astype(np.float32)
    X[rng.uniform(size=X.shape) < 1 / 3] = np.nan
    y = np.where(np.isnan(X[:, 0]), 2.0, X[:, 0]) + 3 * np.isnan(X[:, 1]) + rng.normal(size=rows)
    return torch.from_numpy(X), torch.from_numpy(y.astype(np.float32))[:, None]


def test_trees_give_what_scikit_learn_predicts_missing_values_too():
    """To rounding of float32, on rows that it was not fitted on, the training rows and thresholds among them."""
    X, y = _regression()
    network = TreeVelocity(Coordinates(1), 2, n_times=2, n_trees=10, depth=4)
    network.fit(1, X, y, None)
    options = {"max_iter": 10, "max_depth": 4, "max_leaf_nodes": 16, "learning_rate": 0.5, "early_stopping": False}
    theirs = HistGradientBoostingRegressor(**options, random_state=0).fit(X.double().numpy(), y[:, 0].double().numpy())
    limits = network.threshold[1, 0].flatten()
    new = torch.cat([X, _regression(2000)[0].roll(1, 1), limits[limits.abs() < 10][:, None].expand(-1, 3)])
    ours = network.predicted(new, torch.tensor([1]))[:, 0]
    np.testing.assert_allclose(ours.numpy(), theirs.predict(new.double().numpy()), atol=1e-5)
    assert np.abs(ours.numpy() - theirs.predict(np.nan_to_num(new.double().numpy()))).max() > 0.5


@pytest.mark.parametrize("broken", ["left", "num_threshold", "value"])
def test_another_scikit_learn_cannot_draw_wrong_samples_in_silence(monkeypatch, broken):
    """A field of its nodes that has another name, or another meaning."""
    taken = TreeVelocity._take

    class Nodes:
        def __init__(self, nodes, name):
            fields = [(f"{n}_" if n == name else n, t[0]) for n, t in nodes.dtype.fields.items()]
            self.nodes = np.array([tuple(row) for row in nodes], dtype=fields)

    def renamed(self, k, j, boosted):
        boosted._predictors = [[Nodes(trees[0].nodes, broken)] for trees in boosted._predictors]
        taken(self, k, j, boosted)

    def changed(self, k, j, boosted):
        for trees in boosted._predictors:
            trees[0].nodes = trees[0].nodes.copy()
            trees[0].nodes[broken] += 1
        taken(self, k, j, boosted)

    X, y = _regression()
    for change in (renamed, changed):
        monkeypatch.setattr(TreeVelocity, "_take", change)
        with pytest.raises(InputError, match=r"trees of scikit-learn that reverie can read, got those of version \d"):
            TreeVelocity(Coordinates(1), 2, n_times=2, n_trees=3, depth=3).fit(0, X, y, None)


@pytest.mark.slow  # quick: trees give what scikit-learn predicts
def test_the_field_of_a_gaussian_is_learnt_and_before_it_that_of_normal_coordinates():
    """Within 0.2 at points of the paths, where the unfitted field is off by over 0.5: twenty trees, 20,000 rows."""
    generator = torch.Generator().manual_seed(0)
    events = torch.randn(5000, 2, generator=generator) @ torch.linalg.cholesky(COVARIANCE).T
    network = TreeVelocity(Coordinates(2), n_times=3, n_trees=20, depth=4)
    x0 = torch.randn(300, 2, generator=generator)
    torch.testing.assert_close(solve_ode(network, x0, n_evaluations=200), x0, atol=2e-3, rtol=0)
    step = TreeStep(network, n_evaluations=8, solver="heun")
    t = torch.full((1, 1), 0.5)
    x = (x0 + events[:300]) / 2
    exact = gaussian_velocity(x, t[0, 0], torch.zeros(2), COVARIANCE)
    before = (network(x, t) - exact).square().mean().sqrt()
    losses = [float(step.train_step({"x": events}, generator)["loss"]) for _ in range(3)]
    after = (network(x, t) - exact).square().mean().sqrt()
    assert before > 0.5
    assert after < 0.2
    of_rest = torch.linalg.inv(torch.eye(2) + torch.linalg.inv(COVARIANCE))  # of x_1 given x_t, at t = 1/2
    assert losses[2] == pytest.approx(float(4 * of_rest.diagonal().mean()), rel=0.15)


@pytest.mark.slow  # learning: test_the_field_of_a_gaussian_is_learnt_and_before_it_that_of_normal_coordinates
def test_weights_and_conditions_are_learnt():
    """Events at 0 and 5 with weights 3 : 1, and means that follow y; the twin without weights has a half of each."""
    rng = np.random.default_rng(1)
    X = np.concatenate([rng.normal(0, 0.3, (100, 1)), rng.normal(5, 0.3, (100, 1))])
    weights = np.repeat([3.0, 1.0], 100)
    share = [
        float((FlowMatching(**SMALL).fit(X, sample_weight=w).sample(2000, random_state=0) > 2.5).mean())
        for w in (weights, None)
    ]
    error = math.sqrt(0.25 / 2000)
    assert abs(share[0] - 0.25) < 4 * error + 0.03
    assert abs(share[1] - 0.5) < 4 * error + 0.03
    model = FlowMatching(**SMALL).fit(X, np.repeat([0, 1], 100))
    assert (model.sample(300, random_state=0, condition=0) < 2.5).mean() > 0.9
    assert (model.sample(300, random_state=0, condition=1) > 2.5).mean() > 0.9


def test_twenty_rows_are_enough_and_steps_are_the_times_of_the_solver():
    X = np.random.default_rng(2).normal(size=(20, 2))
    model = FlowMatching(**SMALL | {"n_trees": 2}).fit(X)
    assert (model.n_iter_, len(model.history_)) == (5, 5)
    assert np.isfinite(model.sample(50, random_state=0)).all()
    assert [FlowMatching(**SMALL | {"solver": s}).n_steps for s in ("euler", "midpoint", "rk4")] == [9, 9, 5]


@pytest.mark.parametrize(
    ("fit", "message"),
    [
        (lambda model: model.fit(np.random.default_rng(0).normal(size=(30, 8, 8))), "Expected a table for network"),
        (
            lambda model: model.fit(np.random.default_rng(0).normal(size=(30, 2)), None, np.arange(-1, 29)),
            "weights >= 0",
        ),
        (
            lambda model: model.fit(np.random.default_rng(0).normal(size=(30, 2))).log_likelihood(np.eye(2)),
            "divergence",
        ),
    ],
)
def test_what_trees_cannot_do_is_refused_in_words(fit, message):
    with pytest.raises(InputError, match=message):
        fit(FlowMatching(**SMALL | {"n_trees": 2}))
