"""Laws of every model: one table of constructors and data, one battery of tests."""

import functools
import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn import base
from sklearn.exceptions import NotFittedError
from sklearn.utils.estimator_checks import parametrize_with_checks
from torch import nn

from reverie.core.assessment import Assessment
from reverie.core.errors import CheckpointError, InputError
from reverie.data.dataset import Dataset
from reverie.data.sets import particle_sets
from reverie.data.transforms import Standardise
from reverie.models import EBM, GAN, RBM, VAE, Autoencoder, Flow, FlowMatching, WaveFunctionRBM, load_model, save_model
from reverie.models import base as base_module
from reverie.models.base import GenerativeModel
from reverie.models.gan.networks import Generator
from reverie.models.likelihood import LikelihoodModel
from reverie.training.monitor import Monitor

pytestmark = pytest.mark.usefixtures("global_random_state_untouched", "short_chains", "small_units")


def _table():
    rng = np.random.default_rng(0)
    columns = [
        rng.normal(size=300),
        rng.exponential(size=300),
        rng.uniform(-np.pi, np.pi, 300),
        rng.integers(0, 30, 300),
        np.where(rng.uniform(size=300) < 0.3, 0.0, rng.exponential(size=300)),
    ]
    return Dataset(np.column_stack(columns), names=["x", "pt", "phi", "hits", "deposit"])


def _images():
    return np.random.default_rng(1).integers(0, 17, (120, 9, 7)).astype(np.uint8)


def _colour():
    return np.random.default_rng(2).uniform(-1, 1, (60, 3, 16, 20)).astype(np.float32)


def _spins():
    return np.random.default_rng(3).choice([-1.0, 1.0], (100, 6, 6))


def _angles():
    """Return lattices of angles about a common direction."""
    rng = np.random.default_rng(8)
    return ((rng.uniform(0, 7, (400, 1, 1)) + 0.4 * rng.normal(size=(400, 4, 4))) % (2 * np.pi) - np.pi).astype("f4")


def _bits():
    return np.random.default_rng(4).integers(0, 2, (100, 6)).astype(bool)


def _numbers():
    return np.random.default_rng(5).normal(size=(250, 3)) * np.array([1.0, 10.0, 0.1])


def _sets():
    """Return sets of one to four particles (a, phi, charge)."""
    rng = np.random.default_rng(6)
    mask = np.arange(4) < rng.integers(1, 5, 150)[:, None]
    features = [
        rng.normal(size=mask.shape),
        rng.uniform(-np.pi, np.pi, mask.shape),
        rng.choice([-1.0, 1.0], mask.shape),
    ]
    particles = np.stack(features, axis=2) * mask[..., None]
    return particle_sets(particles, mask, names=["a", "phi", "charge"])


DATA = {"table": _table, "images": _images, "colour": _colour, "spins": _spins, "bits": _bits, "numbers": _numbers}
DATA["sets"] = _sets
DATA["angles"] = _angles
DATA["few spins"] = lambda: _spins()[:40]
clone: Any = base.clone  # the type of what comes back is that of what went in
TINY: dict[str, Any] = {"max_steps": 4, "batch_size": 16, "record_every": 2, "random_state": 0}
PLAIN: dict[str, Any] = TINY | {"refine": False}  # "relativistic" has the classifier that refuses samples
SMALL: dict[str, Any] = PLAIN | {"generator": (8,), "discriminator": (8,)}
TINY_EBM: dict[str, Any] = TINY | {
    "n_checks": 1,
    "n_sample_steps": 5,
    "n_temperatures": 20,
    "n_annealed": 16,
    "buffer_size": 64,
}
MODELS = {
    "relativistic": (GAN(**TINY), "table"),
    "minimax, mlp": (GAN(objective="minimax", generator=(8,), discriminator=(8,), **TINY), "table"),
    "non-saturating, uniform": (GAN(objective="non-saturating", noise_prior="uniform", **TINY), "images"),
    "wasserstein, residual": (
        GAN(objective="wasserstein_gp", generator="residual", discriminator="residual", **dict(PLAIN, batch_size=8)),
        "table",
    ),
    "dcgan": (GAN(generator="dcgan", discriminator="dcgan", **TINY), "colour"),
    "dcgan, clusters": (GAN(generator="dcgan", discriminator="dcgan", image_clusters=3, **TINY), "colour"),
    "gan, angles": (GAN(**SMALL), "angles"),
    "dcgan, no average": (GAN(generator="dcgan", discriminator="dcgan", ema_decay=0.0, **TINY), "colour"),
    "lattice, rmsprop": (GAN(optimizer="rmsprop", preprocessing="standardise", **TINY), "spins"),
}
MODELS |= {
    "hinge, spectral norm": (GAN(objective="hinge", spectral_norm=True, **SMALL), "table"),
    "wasserstein, clipped": (GAN(objective="wasserstein", **dict(SMALL, batch_size=8)), "table"),
    "least squares, one-sided": (GAN(objective="least_squares", penalty="one_sided", **SMALL), "table"),
    "three replicas": (GAN(n_replicas=3, generator=(8,), discriminator=(8,), n_checks=3, **TINY), "table"),
    "best of two, bootstrap": (
        GAN(n_replicas=2, ensemble="best", bootstrap=True, generator=(8,), discriminator=(8,), n_checks=3, **TINY),
        "table",
    ),
    "lattice energy shown": (GAN(observables=["energy"], **TINY), "spins"),
    "rollback": (GAN(on_alarm="rollback", n_checks=3, stop_at_equilibrium=True, **SMALL), "table"),
}
MODELS |= {
    "sets": (GAN(generator=(8,), discriminator=(8,), n_noise=2, symmetries=["reflect a"], **TINY), "sets"),
    "sets, attention, two replicas": (
        GAN(generator="attention", discriminator="attention", n_noise=2, n_replicas=2, n_checks=3, **TINY),
        "sets",
    ),
    "rbm, spins": (RBM(n_hidden=5, **TINY), "spins"),
    "rbm, exact": (RBM(n_hidden=4, method="exact", n_restarts=1, **TINY), "bits"),
    "rbm, contrastive divergence": (RBM(n_hidden=5, method="cd", n_gibbs=2, centred=False, **TINY), "bits"),
    "rbm, tempering": (RBM(n_hidden=5, method="tempering", n_levels=3, n_chains=4, **TINY), "bits"),
    "rbm, gaussian": (RBM(n_hidden=6, **TINY), "numbers"),
    "ebm": (EBM(energy=(8,), **TINY_EBM), "table"),
    "ebm, lattice": (EBM(energy=(8,), n_langevin=1, **TINY_EBM), "spins"),
    "ebm, score matching": (EBM(energy=(8,), method="score_matching", **TINY_EBM), "numbers"),
    "vae": (VAE(encoder=(8,), decoder=(8,), n_draws=20, **TINY), "table"),
    "vae, bernoulli, importance weighted": (
        VAE(encoder=(8,), decoder=(8,), n_latent=3, n_importance=3, n_draws=20, **TINY),
        "spins",
    ),
    "vae, symmetries": (VAE(encoder=(8,), decoder=(8,), symmetries=["rotate phi", "reflect x"], **TINY), "table"),
    "vae, images": (VAE(encoder="conv", decoder="conv", n_draws=2, **TINY), "colour"),
    "vae, full posterior": (VAE(encoder=(8,), decoder=(8,), posterior="full", n_draws=20, **TINY), "numbers"),
    "autoencoder": (Autoencoder(encoder=(8,), decoder=(8,), n_latent=3, **TINY), "table"),
    "autoencoder, denoising, sparse": (
        Autoencoder(encoder=(8,), decoder=(8,), noise=0.1, sparsity="l1", n_latent=3, **TINY),
        "images",
    ),
    "flow": (Flow(hidden=(8,), n_transforms=2, n_bins=4, **TINY), "table"),
    "flow, affine": (Flow(kind="realnvp", hidden=(8,), n_transforms=2, **TINY), "numbers"),
    "flow matching": (FlowMatching(width=8, n_blocks=1, n_evaluations=4, **TINY), "table"),
    "flow matching, random walk": (
        FlowMatching(width=8, n_blocks=1, n_evaluations=4, stochasticity=1.0, **TINY),
        "numbers",
    ),
    "flow matching, trees": (FlowMatching(network="trees", n_trees=3, depth=3, n_evaluations=10, **TINY), "table"),
    "flow matching, replicas": (
        FlowMatching(width=8, n_blocks=1, n_evaluations=2, n_replicas=2, bootstrap=True, **TINY),
        "table",
    ),
    "flow matching, sets": (FlowMatching(width=8, n_blocks=1, n_evaluations=4, **TINY), "sets"),
    "flow matching, sets, observables": (
        FlowMatching(
            width=8, n_blocks=1, n_evaluations=4, observables=["multiplicity"], symmetries=["reflect a"], **TINY
        ),
        "sets",
    ),
    "flow matching, sets, attention": (
        FlowMatching(network="attention", width=8, n_blocks=1, n_evaluations=4, stochasticity=1.0, **TINY),
        "sets",
    ),
    "flow matching, angles": (FlowMatching(width=8, n_evaluations=2, **TINY), "angles"),
    "flow matching, clusters": (FlowMatching(width=8, n_evaluations=2, image_clusters=3, **TINY), "images"),
    "flow matching, lattice": (FlowMatching(width=8, n_evaluations=2, solver="midpoint", **TINY), "few spins"),
}
STATES = {  # they can be found without data: no schema, no container, no run to resume
    "wave function": (WaveFunctionRBM(n_folds=2, n_hidden=3, **TINY), "bits"),
    "wave function, sampled": (
        WaveFunctionRBM(n_folds=0, n_hidden=3, method="sampling", n_chains=10, n_gibbs=1, **TINY),
        "bits",
    ),
}
SLOW = {  # of each of them another stays quick that goes through the same networks, the same data and the same loop
    "minimax, mlp",
    "non-saturating, uniform",
    "wasserstein, residual",
    "dcgan, no average",
    "wasserstein, clipped",
    "least squares, one-sided",
    "best of two, bootstrap",
    "lattice energy shown",
    "rbm, contrastive divergence",
    "ebm, score matching",
    "vae, bernoulli, importance weighted",
    "vae, images",
    "vae, full posterior",
    "autoencoder, denoising, sparse",
    "flow, affine",
    "flow matching, random walk",
    "flow matching, sets, attention",
    "flow matching, replicas",
    "flow matching, angles",
    "sets, attention, two replicas",
}
NAMES = [pytest.param(name, marks=pytest.mark.slow) if name in SLOW else name for name in MODELS]
EVERY = pytest.mark.parametrize("name", NAMES)
EVERY_AND_STATES = pytest.mark.parametrize("name", [*NAMES, *STATES])


def _made(name):
    model, data = (MODELS | STATES)[name]
    return clone(model), DATA[data]()


@functools.cache
def _fitted(name) -> Any:
    """Return a fitted model that tests only look at."""
    model, X = _made(name)
    return model.fit(X)


def _array(samples):
    return samples.values if isinstance(samples, Dataset) else np.asarray(samples)


def _has_likelihood(model):
    if not isinstance(model, LikelihoodModel) or getattr(model, "network", "") == "trees":
        return False
    return not (model.schema_.is_set and getattr(model, "observables", None))  # whose particles are drawn given them


@EVERY
def test_samples_have_the_shape_the_type_and_the_container_of_the_data(name):
    X = _made(name)[1]
    samples = _fitted(name).sample(37, random_state=0)
    assert type(samples) is type(X)
    assert _array(samples).shape == (37, *_array(X).shape[1:])
    assert _array(samples).dtype == _array(X).dtype
    assert np.isfinite(_array(samples)).all()


@EVERY_AND_STATES
def test_same_seed_same_samples_and_fit_forgets_the_past(name):
    """The second model is fitted with another seed first: its samples differ, and those of a second fit do not.

    The second fit is drawn from at every record, too, which leaves training alone.
    """
    first, (second, X) = _fitted(name), _made(name)
    wanted = _array(first.sample(20, random_state=3))
    assert not np.array_equal(wanted, _array(first.sample(20, random_state=4)))
    other = _array(second.set_params(random_state=1).fit(X).sample(20, random_state=3))
    assert not np.array_equal(wanted, other)
    second.set_params(random_state=0)
    again = second.fit(X) if name in STATES else _drawn_from_on_the_way(second, X)
    np.testing.assert_array_equal(wanted, _array(again.sample(20, random_state=3)))


def _drawn_from_on_the_way(model, X):
    """Return the model after a training in which it was drawn from at every record."""
    for _ in model.iter_fit(X):
        model.sample(3, random_state=5)
    return model


def test_a_generator_left_in_evaluation_mode_would_be_seen(monkeypatch):
    """The twin: samples put the generator into evaluation mode, and nothing brings it back."""
    straight = _array(_fitted("dcgan, no average").sample(9, random_state=0))
    monkeypatch.setattr(Generator, "train", lambda self, mode=True: self if mode else nn.Module.train(self, mode))
    model = _drawn_from_on_the_way(*_made("dcgan, no average"))
    assert not np.array_equal(straight, _array(model.sample(9, random_state=0)))


@EVERY_AND_STATES
def test_the_first_samples_do_not_depend_on_how_many_are_drawn(name):
    """Of a second unit of noise, too."""
    model, more_than_a_unit = _fitted(name), base_module.UNIT + 6
    few, many = (_array(model.sample(n, random_state=0)) for n in (5, more_than_a_unit))
    np.testing.assert_array_equal(few, many[:5])


@EVERY_AND_STATES
def test_save_and_load_give_the_same_samples(name, tmp_path):
    model, X = _fitted(name), _made(name)[1]
    assert model.save(tmp_path / "model") == tmp_path / "model"
    back = load_model(tmp_path / "model")
    np.testing.assert_array_equal(_array(back.sample(20, random_state=0)), _array(model.sample(20, random_state=0)))
    assert (back.seed_, back.n_iter_) == (model.seed_, model.n_iter_)
    if isinstance(model, GenerativeModel):
        assert back.schema_.names == model.schema_.names
        assert type(back.sample(2)) is type(X)
    if isinstance(model, GAN):
        assert torch.equal(back.discriminate(X), model.discriminate(X))
    if _has_likelihood(model):
        few = model._some_rows(X, 10)
        np.testing.assert_array_equal(back.score_samples(few), _fitted(name).score_samples(few))


@EVERY
def test_a_resumed_run_ends_at_the_same_bits(name, tmp_path):
    whole, (broken, X) = _fitted(name), _made(name)
    calls = iter([False, False, True])  # the third step is the last before the break
    for _ in broken.iter_fit(X, stop=lambda: next(calls)):
        pass
    assert broken.n_iter_ == 3
    resumed, _ = _made(name)
    for _ in resumed.iter_fit(X, resume=broken.training_state()):
        pass
    for one, other in zip(whole.replicas_ or (whole,), resumed.replicas_ or (resumed,), strict=True):
        for key, network in one._networks().items():
            for a, b in zip(network.state_dict().values(), other._networks()[key].state_dict().values(), strict=True):
                assert torch.equal(a, b)
    np.testing.assert_array_equal(_array(whole.sample(9, random_state=0)), _array(resumed.sample(9, random_state=0)))


@EVERY
def test_score_is_finite_and_not_above_perfect_by_more_than_noise(name):
    model, X = _fitted(name), _made(name)[1]
    if _has_likelihood(model):
        few = model._some_rows(X, 10)
        likelihood = model.log_likelihood(few)
        assert likelihood.values.shape == (10,)
        assert np.isfinite(likelihood.values).all()
        assert model.score(few) == likelihood.mean.value
    else:
        score = model.score(X)
        assert np.isfinite(score)
        assert score < 0.2


def test_a_score_asks_neither_for_the_order_of_the_rows_nor_for_the_first_of_them():
    """Of sorted rows a part is drawn, and events count by their weights."""
    model, rng = _fitted("relativistic"), np.random.default_rng(0)
    X = np.concatenate([_made("relativistic")[1].values] * 30)
    parts = [model._some_rows(one) for one in (X, Dataset(X), pd.DataFrame(X), X.tolist())]
    assert [len(part) for part in parts] == [2000] * 4
    np.testing.assert_array_equal(parts[0], parts[1].values)
    np.testing.assert_array_equal(parts[0], parts[2])
    np.testing.assert_array_equal(parts[0], parts[3])
    shuffled, in_order = X[rng.permutation(len(X))], X[np.argsort(X[:, 0])]
    first = model.score(in_order[:2000])
    assert abs(model.score(in_order) - model.score(shuffled)) < 0.2 * abs(first - model.score(shuffled))
    w = (X[:, 0] > np.median(X[:, 0])).astype(float)
    assert model.score(Dataset(X, weights=w + 1e-9)) == pytest.approx(model.score(X[w > 0]), rel=0.2)
    assert model.score(Dataset(X, weights=w + 1e-9)) < model.score(X)


WATCHED = {  # one of each learner that judges itself by a held-out loss, and both ways of the RBM to log Z
    "rbm, log Z summed": RBM(n_hidden=4, **TINY),
    "rbm, log Z annealed": RBM(n_hidden=24, visible="binary", **TINY),
    "ebm": EBM(energy=(8,), **TINY_EBM),
    "vae": VAE(encoder=(8,), decoder=(8,), **TINY),
    "autoencoder": Autoencoder(encoder=(8,), decoder=(8,), n_latent=2, **TINY),
    "flow": Flow(hidden=(8,), n_transforms=2, n_bins=4, **TINY),
}


@pytest.mark.parametrize("name", [pytest.param(n, marks=pytest.mark.slow) if n == "ebm" else n for n in WATCHED])
def test_held_out_events_count_by_their_weights_at_checks(name):
    """Those of weight zero may be any others; without weights, the twin, they would not."""
    rng = np.random.default_rng(6)
    X = rng.integers(0, 2, (250, 24)) if "annealed" in name else _numbers()
    model = clone(WATCHED[name]).set_params(n_checks=1, validation_fraction=0.4)
    run = model.fit(X, sample_weight=rng.choice([0.0, 2.0], 250))._run
    rows = run.held_out
    others = rows | {"x": torch.where(rows["weight"][:, None] > 0, rows["x"], rows["x"].flip(0))}

    def judged(held_out):
        seen = run.train_step.observe(held_out, run._watched, torch.Generator().manual_seed(0))
        told = Monitor(None, held_out.get("weight")).check(seen).scalars
        return {key: told[key] for key in told if key.startswith("held_out") or "gap" in key}

    assert judged(others) == pytest.approx(judged(rows), rel=1e-5)
    plain, of_others = ({key: x for key, x in held_out.items() if key != "weight"} for held_out in (rows, others))
    assert judged(of_others) != pytest.approx(judged(plain), rel=1e-3)


@EVERY
def test_what_a_model_says_of_itself_is_finite_and_can_be_written(name):
    model = _fitted(name)
    X = model._some_rows(_made(name)[1], 20)
    said = model.assess(X, X, random_state=0)
    assert Assessment.from_json(json.loads(json.dumps(said.to_json()))) == said
    assert all(np.isfinite(quantity.value) for quantity in said.numbers)
    assert bool(said.numbers) == (_has_likelihood(model) or isinstance(model, Autoencoder))


@EVERY_AND_STATES
def test_unfitted_models_say_so(name):
    model, X = _made(name)
    with pytest.raises(NotFittedError):
        model.sample(1)
    with pytest.raises(NotFittedError):
        model.score(X)
    with pytest.raises(NotFittedError, match="not fitted yet"):
        model.summary()


@EVERY_AND_STATES
def test_a_summary_counts_each_parameter_once_and_shows_the_layers(name):
    model = _fitted(name)
    one = (getattr(model, "replicas_", ()) or (model,))[0]
    table = model.summary()
    networks = one._networks() if isinstance(one, GenerativeModel) else {"": one.amplitude_}
    expected = sum(weight.numel() for network in networks.values() for weight in network.parameters())
    assert (
        table.n_parameters == expected == sum(row.n_parameters for part in table.networks.values() for row in part.rows)
    )
    assert all(f"{part.n_parameters:,} trained" in str(table) for part in table.networks.values())
    if isinstance(model, (GAN, VAE, Autoencoder, EBM)):
        assert any(row.shape for part in table.networks.values() for row in part.rows)


def test_hard_constraints_hold_exactly_in_samples():
    model, X = _made("relativistic")
    samples = model.set_params(max_steps=100, refine=False).fit(X).sample(500, random_state=0).values
    phi, hits, deposit = samples[:, 2], samples[:, 3], samples[:, 4]
    assert np.abs(phi).max() <= np.pi
    np.testing.assert_array_equal(hits, np.rint(hits))
    assert deposit.min() >= 0
    assert (deposit == 0).any()
    assert set(np.unique(_fitted("lattice, rmsprop").sample(50, random_state=0))) <= {-1.0, 1.0}
    assert _fitted("non-saturating, uniform").sample(50, random_state=0).max() <= 16


@pytest.mark.parametrize("kind", [GAN, VAE, EBM, Autoencoder, Flow, FlowMatching])
@pytest.mark.parametrize("values", ["real", "grey"])
def test_cells_that_never_vary_come_out_as_they_are(kind, values):
    rng = np.random.default_rng(7)
    X = rng.normal(size=(100, 6, 6)).astype("f4") if values == "real" else rng.integers(0, 9, (100, 6, 6)).astype("f4")
    X[:, 2], X[:, :, 5] = 3.0, 0.0
    options = TINY_EBM if kind is EBM else TINY
    model = kind(**options).fit(X)
    samples = _array(model.reconstruct(X) if kind is Autoencoder else model.sample(100, random_state=0))
    constant = (X == X[:1]).all(axis=0)
    np.testing.assert_array_equal(samples[:, constant], X[:, constant])
    # nothing would be shown if others were constant too; few steps leave all grey values at one level
    assert values == "grey" or (samples.std(axis=0) > 0)[~constant].all()


def test_preprocessing_of_single_columns_can_be_chosen():
    model = GAN(preprocessing={"x": "standardise", "pt": Standardise()}, **SMALL).fit(_table())
    parts = repr(model.preprocessing_.transform)
    assert "x: Standardise()" in parts
    assert "pt: Standardise()" in parts
    assert "phi: Periodic(" in parts
    with pytest.raises(InputError, match="Did you mean 'pt'"):
        GAN(preprocessing={"ptt": "standardise"}, **TINY).fit(_table())


def test_containers_come_back(tmp_path):
    pandas = pytest.importorskip("pandas")
    table = _table()
    frame = table.to_frame()
    model = GAN(**SMALL).fit(frame)
    samples = model.sample(4, random_state=0)
    assert isinstance(samples, pandas.DataFrame)
    assert list(samples.columns) == list(frame.columns)
    tensor = torch.randn(50, 2, generator=torch.Generator().manual_seed(0))
    assert GAN(**SMALL).fit(tensor).sample(3).shape == (3, 2)


def test_what_a_file_cannot_hold_is_asked_for_again(tmp_path):
    def factory(n_noise, event_shape):
        return torch.nn.Linear(n_noise, event_shape[0])

    X = np.random.default_rng(0).normal(size=(50, 2))
    model = GAN(generator=factory, **PLAIN).fit(X)
    save_model(model, tmp_path / "model")
    with pytest.raises(CheckpointError, match=r"load\(folder, generator=...\)"):
        load_model(tmp_path / "model")
    back = load_model(tmp_path / "model", generator=factory)
    np.testing.assert_array_equal(back.sample(5, random_state=0), model.sample(5, random_state=0))


def test_a_model_that_cannot_take_its_place_leaves_the_old_one(tmp_path, monkeypatch):
    X = np.random.default_rng(0).normal(size=(50, 2))
    folder = save_model(GAN(**SMALL).fit(X), tmp_path / "model")
    expected, rename = load_model(folder).sample(3, random_state=0), Path.rename

    def fails(self, target):
        if self.name == ".model.tmp":
            raise OSError("no space")
        return rename(self, target)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "rename", fails)
        with pytest.raises(OSError, match="no space"):
            save_model(GAN(**SMALL).fit(X + 100), folder)
    np.testing.assert_array_equal(load_model(folder).sample(3, random_state=0), expected)
    folder.rename(tmp_path / ".model.old.tmp")  # as a kill between two names leaves it
    with monkeypatch.context() as patch:
        patch.setattr(Path, "rename", fails)
        with pytest.raises(OSError, match="no space"):
            save_model(GAN(**SMALL).fit(X + 100), folder)
    np.testing.assert_array_equal(load_model(folder).sample(3, random_state=0), expected)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["model"]


@pytest.mark.parametrize(
    "broken", ["config.yaml", "schema.json", "transform.json", "model.safetensors", "metadata.json"]
)
@pytest.mark.parametrize("how", ["missing", "garbage"])
def test_corrupt_model_folders_are_refused_in_words(tmp_path, broken, how):
    X = np.random.default_rng(0).normal(size=(50, 2))
    folder = save_model(GAN(**SMALL).fit(X), tmp_path / "model")
    (folder / broken).unlink() if how == "missing" else (folder / broken).write_bytes(b"\x80\x04garbage")
    with pytest.raises(CheckpointError):
        load_model(folder)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"objective": "relativstic"}, "Did you mean 'relativistic'"),
        ({"optimizer": "adamm"}, "Did you mean 'adam"),
        ({"generator": "mpl"}, "Did you mean 'mlp'"),
        ({"batch_size": 51}, "at most the 50 training rows, got 51"),
        ({"max_steps": 0}, "max_steps"),
        ({"learning_rate": -1.0}, "learning_rate"),
        ({"ema_decay": 1.0}, "ema_decay"),
        ({"noise_prior": "gauss"}, "noise_prior of GAN to be 'normal' or 'uniform'"),
        ({"device": "tpu:zero"}, "device"),
        (
            {"discriminator": lambda shape: torch.nn.Sequential(torch.nn.BatchNorm1d(2), torch.nn.Linear(2, 1))},
            "without batch normalisation",
        ),
    ],
)
def test_wrong_configurations_are_refused_in_words(options, message):
    X = np.random.default_rng(0).normal(size=(50, 2))
    with pytest.raises(InputError, match=message):
        GAN(**dict(TINY, **options)).fit(X)


def test_resuming_on_other_data_or_networks_is_refused():
    X = np.random.default_rng(0).normal(size=(50, 2))
    state = GAN(**SMALL).fit(X).training_state()
    with pytest.raises(CheckpointError, match="data that the saved run was trained on"):
        list(GAN(**SMALL).iter_fit(X[::-1], resume=state))
    with pytest.raises(CheckpointError, match="networks of this configuration"):
        list(GAN(generator=(3,), discriminator=(8,), **PLAIN).iter_fit(X, resume=state))


NO_CONDITION = (
    "the check trains with y, so the model is one of p(x | y), and log p(x | y) needs y, which it is not given"
)
EXPECTED_FAILURES = {
    name: dict.fromkeys(("check_methods_sample_order_invariance", "check_methods_subset_invariance"), NO_CONDITION)
    for name in ("VAE", "Flow", "FlowMatching")
}


SMALLEST: dict[str, Any] = {"max_steps": 2, "batch_size": 4, "record_every": 1}


def _expected(estimator):
    return EXPECTED_FAILURES.get(type(estimator).__name__, {})


@parametrize_with_checks(
    [
        GAN(generator=(8,), discriminator=(8,), refine=False, **SMALLEST),
        Flow(hidden=(4,), n_transforms=1, n_bins=4, **SMALLEST),
    ],
    expected_failed_checks=_expected,
)
def test_scikit_learn_contract(estimator, check):
    check(estimator)


@pytest.mark.slow  # the contract is that of the two parents: a GAN and a model with a likelihood, above
@parametrize_with_checks(
    [
        RBM(n_hidden=3, **SMALLEST),
        EBM(energy=(4,), **dict(TINY_EBM, **SMALLEST)),
        VAE(encoder=(4,), decoder=(4,), n_draws=4, **SMALLEST),
        Autoencoder(encoder=(4,), decoder=(4,), **SMALLEST),
        FlowMatching(width=4, n_blocks=1, n_evaluations=2, **SMALLEST),
    ],
    expected_failed_checks=_expected,
)
def test_scikit_learn_contract_of_the_other_models(estimator, check):
    check(estimator)
