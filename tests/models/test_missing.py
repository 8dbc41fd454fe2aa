"""Tables with missing values: what is learnt of them, against the law that they were drawn from."""

from typing import Any

import numpy as np
import pytest
import torch
from sklearn import base

from reverie.core.errors import InputError
from reverie.data.dataset import Dataset
from reverie.data.transforms import Columns, Standardise
from reverie.experiment.config import RunConfig
from reverie.experiment.inputs import load_inputs
from reverie.models import GAN, VAE, FlowMatching, load_model
from reverie.models.density_features import Coordinates
from reverie.models.flow_matching.perceptron import VelocityMLP
from reverie.models.flow_matching.training import FlowMatchingStep
from reverie.models.missing import completed, with_missing
from reverie.models.vae.networks import EventLaw

clone: Any = base.clone  # the type of what comes back is that of what went in
SHARED: dict[str, Any] = {"random_state": 0, "n_checks": 1}
MLP: dict[str, Any] = {"width": 32, "n_blocks": 2, "n_evaluations": 16}
MODELS = {
    "trees": FlowMatching(network="trees", n_trees=10, depth=4, n_evaluations=8, **SHARED),
    "mlp": FlowMatching(max_steps=300, learning_rate=3e-3, ema_decay=0.9, **MLP, **SHARED),
    "vae": VAE(encoder=(32,), decoder=(32,), max_steps=300, learning_rate=1e-2, ema_decay=0.9, **SHARED),
}
EVERY = pytest.mark.parametrize("name", list(MODELS))
# what the loss of "mlp" makes of holes is tested below; "vae" learns the same law
EVERY_LAW = pytest.mark.parametrize(
    "name", [*(pytest.param(n, marks=pytest.mark.slow) for n in ("mlp", "trees")), "vae"]
)


def _gaussian(n=1500, share=0.4):
    """Rows of correlation 0.9, the second value above the first by 3, and the same with holes."""
    rng = np.random.default_rng(0)
    z = rng.normal(size=(n, 2))
    whole = np.stack([z[:, 0], 0.9 * z[:, 0] + 0.19**0.5 * z[:, 1] + 3], axis=1)
    return whole, np.where(rng.uniform(size=whole.shape) < share, np.nan, whole)


@EVERY_LAW
def test_the_law_of_whole_events_is_learnt_from_incomplete_ones(name):
    """Correlation 0.9 within 0.1, means within 0.15, where 64 % of the rows miss a value.

    The twin, trained on the table whose holes are filled with other observed values, finds about 0.9 times 0.36.
    """
    holes = _gaussian()[1]
    model = clone(MODELS[name]).fit(holes)
    samples = model.sample(2000, random_state=1)
    assert np.isfinite(samples).all()
    assert np.corrcoef(samples.T)[0, 1] == pytest.approx(0.9, abs=0.1)
    np.testing.assert_allclose(samples.mean(0), [0, 3], atol=0.15)
    assert torch.isfinite(model._run.held_out["x"]).all()
    if name == "trees":
        twin = clone(MODELS[name]).fit(completed(Dataset(holes))[0].values)
        assert np.corrcoef(twin.sample(2000, random_state=1).T)[0, 1] < 0.6


def test_what_is_missing_adds_nothing_to_the_loss_nor_to_its_gradient():
    """The loss per coordinate is half of that of the known one; the weights see no NaN, as they would in the square."""
    network = VelocityMLP(Coordinates(2), width=8, n_blocks=1, sees_missing=True)
    step = FlowMatchingStep(network, max_steps=1, learning_rate=1e-3, ema_decay=0.0, n_evaluations=4, solver="heun")
    x = torch.randn(64, 2, generator=torch.Generator().manual_seed(0))
    x[:, 1] = torch.nan
    loss, _ = step.loss({"x": x}, torch.Generator().manual_seed(1))
    loss.backward()
    assert all(torch.isfinite(p.grad).all() for p in network.parameters() if p.grad is not None)
    assert 0.3 < loss.item() < 1.6  # of one coordinate pi / 2, before training
    assert any(p.grad is not None and p.grad.abs().max() > 0 for p in network.parameters())


@EVERY
def test_models_of_incomplete_tables_are_saved_and_resumed_exactly(name, tmp_path):
    holes = _gaussian(300, 0.2)[1]
    few = {"n_trees": 2, "n_evaluations": 2} if name == "trees" else {"max_steps": 4}
    whole, broken, resumed = (clone(MODELS[name]).set_params(**few) for _ in range(3))
    drawn = whole.fit(holes).sample(9, random_state=0)
    np.testing.assert_array_equal(load_model(whole.save(tmp_path / "model")).sample(9, random_state=0), drawn)
    calls = iter([False, True])
    for _ in broken.iter_fit(holes, stop=lambda: next(calls)):
        pass
    for _ in resumed.iter_fit(holes, resume=broken.training_state()):
        pass
    np.testing.assert_array_equal(resumed.sample(9, random_state=0), drawn)


def test_holes_are_filled_with_the_law_of_the_column_and_marked_in_its_features():
    """An angle is two features, and both are missing; integers and words stay what they are."""
    rng = np.random.default_rng(1)
    values = np.stack([rng.exponential(size=500), rng.uniform(-3, 3, 500), rng.integers(0, 9, 500)], axis=1)
    holes = np.where(rng.uniform(size=values.shape) < 0.3, np.nan, values)
    table = Dataset(holes, names=["pt", "phi", "hits"])
    whole, missing = completed(table)
    np.testing.assert_array_equal(missing, np.isnan(holes))
    for x, known in zip(whole.values.T, holes.T, strict=True):
        known = np.sort(known[np.isfinite(known)])
        np.testing.assert_allclose(np.quantile(x, [0.1, 0.5, 0.9]), np.quantile(known, [0.1, 0.5, 0.9]), rtol=0.1)
        assert set(x) <= set(known)
    model = clone(MODELS["trees"]).set_params(n_trees=1, n_evaluations=2).fit(table)
    x = model._run.train_rows["x"]
    assert x.shape[1] == 4
    assert torch.equal(x[:, 1].isnan(), x[:, 2].isnan())
    assert x[:, :2].isnan().float().mean(0).tolist() == pytest.approx([0.3, 0.3], abs=0.1)
    samples = model.sample(200, random_state=0).values
    np.testing.assert_array_equal(samples[:, 2], np.rint(samples[:, 2]))


@pytest.mark.parametrize(
    ("fit", "message"),
    [
        (lambda holes: GAN(max_steps=1).fit(holes), r"got \d+ NaN and 0 inf"),
        (lambda holes: FlowMatching(max_steps=1).fit(np.c_[holes, np.full(len(holes), np.nan)]), "'x2', got none"),
        (lambda holes: FlowMatching(max_steps=1).fit(np.where(np.isnan(holes), np.inf, holes)), "NaN and"),
        (lambda holes: FlowMatching(max_steps=1, network=torch.nn.Identity()).fit(holes), "'mlp' or 'trees'"),
        (lambda holes: FlowMatching(max_steps=1, preprocessing=Standardise()).fit(holes), "for each column"),
        (lambda holes: FlowMatching(max_steps=1).fit(holes).score(holes), "NaN"),
        (lambda holes: FlowMatching(max_steps=1).fit(np.ones((9, 8, 8)) * np.nan), "NaN"),
        (lambda holes: VAE(max_steps=1).fit(holes).encode(holes), "NaN"),
        (lambda holes: VAE(max_steps=1, dynamic_binarisation=True).fit(np.abs(holes) / 9), "dynamic_binarisation"),
    ],
)
def test_what_cannot_be_learnt_with_holes_is_refused_in_words(fit, message):
    with pytest.raises(InputError, match=message):
        fit(_gaussian(60)[1])


def test_runs_take_incomplete_files_where_the_model_does_and_compare_whole_rows(tmp_path):
    holes = _gaussian(300, 0.1)[1]
    lines = [",".join("" if np.isnan(v) else f"{v:.3f}" for v in row) for row in holes]
    path = tmp_path / "holes.csv"
    path.write_text("\n".join(["a,b", *lines]))
    inputs = load_inputs(RunConfig(data=str(path), model={"name": "flow_matching"}))
    assert len(inputs.train) + len(inputs.held_out) < 300
    assert np.isnan(inputs.train.values).any()
    for part in (inputs.held_out, inputs.known, inputs.calibration):
        assert len(part) >= 20
        assert np.isfinite(part.values).all()
    with pytest.raises(InputError, match=r"NaN and 0 inf \(column a: \d+, b: \d+\)"):
        load_inputs(RunConfig(data=str(path), model={"name": "gan"}))


@pytest.mark.parametrize("is_binary", [False, True])
def test_the_likelihood_of_an_incomplete_event_is_that_of_its_known_features(is_binary):
    """Numbers, an angle and a category, or bits: what is missing may be decoded as anything, and gives no gradient."""
    kinds = ["real"] * 6 if is_binary else ["real", "circle", "circle", "simplex", "simplex", "real"]
    groups = [None] * 6 if is_binary else [None, 0, 0, 1, 1, None]
    options = {"is_binary": is_binary, "n_sds": 6, "sd": None if is_binary else 0.7}
    law = EventLaw(kinds, groups, **options, sees_missing=True)
    x = torch.tensor([[1.0, 2**0.5, 0.0, 0.0, 1.0, -1.0]]) if not is_binary else torch.ones(1, 6)
    whole, y = law.log_likelihood(torch.full((1, 6), 0.3), x), torch.full((1, 6), 0.3, requires_grad=True)
    parts = [[0], [1, 2], [3, 4], [5]]
    total = torch.zeros(1)
    for part in parts:
        others = [j for j in range(6) if j not in part]
        alone = x.clone()
        alone[:, others] = torch.nan
        of_part = law.log_likelihood(y, alone)
        (slope,) = torch.autograd.grad(of_part.sum(), y)
        assert not slope[:, others].any()
        assert slope[:, part].any()
        total = total + of_part
    torch.testing.assert_close(total, whole)
    torch.testing.assert_close(whole, EventLaw(kinds, groups, **options).log_likelihood(torch.full((1, 6), 0.3), x))


def test_features_are_marked_column_by_column():
    missing = np.array([[True, False], [False, True]])
    transform = Columns([(0, Standardise()), (1, Standardise())])
    transform.fit(torch.tensor([[0.0, 1.0], [2.0, 5.0]], dtype=torch.float64))
    marked = with_missing(torch.zeros(2, 2), missing, transform)
    np.testing.assert_array_equal(marked.isnan().numpy(), missing)
