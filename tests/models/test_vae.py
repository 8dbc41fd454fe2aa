"""The variational autoencoder on problems with known answers, and its behaviour."""

import copy
import itertools
import math
from typing import Any

import numpy as np
import pytest
import torch
from scipy import stats

from reverie.core.errors import InputError
from reverie.core.random import child_generator
from reverie.data.dataset import Dataset
from reverie.models.vae.estimator import VAE
from reverie.models.vae.likelihood import estimated_log_prob
from reverie.models.vae.networks import EventLaw
from reverie.objectives.variational import GaussianPosterior, iwae_bound

ALPHA = 1e-4
TINY: dict[str, Any] = {"max_steps": 4, "batch_size": 16, "record_every": 2, "random_state": 0, "n_draws": 20}


@pytest.fixture(scope="module")
def linear():
    """Return a linear model of a linear problem, events that it has not seen, and its exact log p of them."""
    generator = child_generator(0, "linear")
    W = torch.randn(5, 2, generator=generator)
    x = torch.randn(2500, 2, generator=generator) @ W.T + 0.5 * torch.randn(2500, 5, generator=generator) + 3
    options: dict[str, Any] = {"encoder": (), "decoder": (), "n_latent": 2, "posterior": "full"}
    options["preprocessing"] = "standardise"
    model = VAE(max_steps=400, learning_rate=0.02, ema_decay=0.99, n_checks=2, random_state=0, **options)
    model.fit(x[:2000].numpy())
    events = x[2000:2200].numpy()
    network: Any = model._network()
    layer, law = network.decoder.body[-1], network.law
    covariance = layer.weight.double() @ layer.weight.double().T + torch.diag(law.sd.double().square())
    exact = torch.distributions.MultivariateNormal((layer.bias + law.offset).double(), covariance)
    features = model.preprocessing_.features(events).double()
    stretch = model.preprocessing_.transform.log_det(torch.from_numpy(events))
    return model, events, (exact.log_prob(features) + stretch).detach().numpy()


@pytest.mark.slow  # quick: bounds of a linear problem rise towards the exact likelihood
def test_likelihood_of_a_linear_problem_is_exact_within_its_errors(linear):
    model, events, exact = linear
    values, errors = model.score_samples(events, return_error=True)
    pull = (values - exact) / errors
    assert stats.chi2.sf(np.square(pull).sum(), len(pull)) > ALPHA
    assert abs(pull.mean()) < stats.norm.isf(ALPHA / 2) / len(pull) ** 0.5
    assert np.median(errors) < 0.02
    shifted = (values + 1 - exact) / errors  # the twin
    assert stats.chi2.sf(np.square(shifted).sum(), len(pull)) < ALPHA


def test_bounds_of_a_linear_problem_rise_towards_the_exact_likelihood(linear):
    model, events, exact = linear
    network = copy.deepcopy(model._network()).double()
    with torch.no_grad():
        network.encoder.body[-1][-1].bias[:2] += 0.4  # a posterior that is wrong, so that the bounds differ
        x = model.preprocessing_.features(events).double()
        noise = torch.randn(2500, len(x), 2, generator=child_generator(0, "draws"), dtype=torch.float64)
        log_w = network.log_weights(x, None, noise)
    stretch = model.preprocessing_.transform.log_det(torch.from_numpy(events))
    bounds = [iwae_bound(log_w.unflatten(0, (-1, k)).transpose(0, 1)).mean(dim=0) + stretch for k in (1, 5, 50)]
    for low, high in itertools.pairwise([*bounds, torch.from_numpy(exact)]):
        gap = high - low
        assert gap.mean() > stats.norm.isf(ALPHA) * gap.std() / len(gap) ** 0.5
    few, many = (model.log_likelihood(events, n_draws=k) for k in (20, 500))
    assert few.common_error > many.common_error


def test_the_learnt_linear_model_comes_near_the_law_of_the_data(linear):
    model, events, exact = linear
    W = torch.randn(5, 2, generator=child_generator(0, "linear")).numpy()
    law: Any = stats.multivariate_normal
    true = law(np.full(5, 3.0), W @ W.T + 0.25 * np.eye(5)).logpdf(events)
    assert -0.05 < (true - exact).mean() < 0.1
    assert model.active_units(events).all()


def test_an_event_gets_the_same_likelihood_alone_and_among_others(linear):
    model, events, _ = linear
    together = model.score_samples(events[:12])
    alone = np.concatenate([model.score_samples(events[i : i + 1]) for i in range(12)])
    np.testing.assert_allclose(together, alone, rtol=1e-12)
    assert not np.allclose(model.log_likelihood(events[:12], random_state=5).values, together, rtol=1e-12)


def test_a_divergence_that_is_a_mean_would_be_seen(linear, monkeypatch):
    """The twin: with the divergence divided by the number of units, the bound passes the likelihood."""
    model, events, exact = linear
    x = model.preprocessing_.features(events)
    learner, held = model._run.train_step, {"x": x}
    stretch = float(model.preprocessing_.transform.log_det(torch.from_numpy(events)).mean())
    right = -float(learner.observe(held, held, child_generator(0, "look")).losses.mean()) + stretch
    right_kl = GaussianPosterior.kl
    monkeypatch.setattr(GaussianPosterior, "kl", lambda self: right_kl(self) / 2)
    wrong = -float(learner.observe(held, held, child_generator(0, "look")).losses.mean()) + stretch
    noise = 4 * 2.0 / len(events) ** 0.5  # a draw of z per event scatters by less than 2 nats
    assert right < exact.mean() + noise
    assert wrong > exact.mean() + noise


def test_posteriors_are_drawn_from_in_evaluation_too(linear):
    model, events, _ = linear
    a = model._run.train_step.observe({"x": model.preprocessing_.features(events)}, {}, child_generator(0, "a"))
    b = model._run.train_step.observe({"x": model.preprocessing_.features(events)}, {}, child_generator(1, "a"))
    assert not torch.equal(a.losses, b.losses)


# kinds of data


def _bars(n, seed=0):
    """Return images of 4 x 4 with one bright row each, a bit in 20 flipped."""
    rng = np.random.default_rng(seed)
    images = np.zeros((n, 4, 4))
    images[np.arange(n), rng.integers(0, 4, n)] = 1
    return np.abs(images - (rng.random(images.shape) < 0.05))


@pytest.fixture(scope="module")
def bars():
    return VAE(
        n_latent=3, encoder=(32,), decoder=(32,), max_steps=400, random_state=0, learning_rate=2e-2, n_checks=2
    ).fit(_bars(3000))


@pytest.mark.slow  # quick: probabilities of all patterns sum to one
def test_bits_get_probabilities_in_nats_per_event(bars):
    assert bars.likelihood_ == "bernoulli"
    test = _bars(500, seed=1)
    n_flipped = np.stack([np.abs(test - _bar(j)).sum((1, 2)) for j in range(4)])
    truth = np.log((0.25 * 0.05**n_flipped * 0.95 ** (16 - n_flipped)).sum(0))  # log p of the law they are drawn from
    found = bars.log_likelihood(test)
    p = _bars(3000).mean(axis=0)
    independent = (test * np.log(p) + (1 - test) * np.log(1 - p)).sum(axis=(1, 2))
    missed = (truth - found.values).mean() / (truth - independent).mean()  # of the information between pixels
    assert -0.01 < missed < 0.1
    assert set(np.unique(bars.sample(50, random_state=0))) == {0.0, 1.0}


def _bar(j):
    image = np.zeros((4, 4))
    image[j] = 1
    return image


def test_probabilities_of_all_patterns_sum_to_one():
    x = np.array([[a, b] for a in (0.0, 7.0) for b in (0.0, 7.0)] * 20)
    model = VAE(n_latent=2, encoder=(16,), decoder=(16,), max_steps=200, n_checks=1, random_state=0).fit(x)
    values, errors = model.score_samples(x[:4], return_error=True)
    assert np.exp(values).sum() == pytest.approx(1, abs=5 * float(np.hypot.reduce(np.exp(values) * errors)) + 1e-6)
    assert set(np.unique(model.sample(20, random_state=0))) <= {0.0, 7.0}


def test_the_density_of_a_mixed_table_is_normalised():
    rng = np.random.default_rng(0)
    table = np.column_stack([rng.uniform(-np.pi, np.pi, 400), rng.integers(0, 3, 400)])
    data = Dataset(table, names=["phi", "kind"], kind={"phi": "periodic", "kind": "categorical"})
    model = VAE(max_steps=60, random_state=0, n_draws=400, n_checks=1, encoder=(16,), decoder=(16,)).fit(data)
    phi = np.linspace(-np.pi, np.pi, 41)[:-1]
    grid = np.array([[angle, kind] for angle in phi for kind in range(3)])
    values, errors = model.score_samples(grid, return_error=True)
    cells = np.exp(values) * (2 * np.pi / 40)
    assert cells.sum() == pytest.approx(1, abs=0.005 + 5 * np.hypot.reduce(cells * errors))
    drawn = model.sample(500, random_state=0).values
    assert set(np.unique(drawn[:, 1])) == {0.0, 1.0, 2.0}
    assert np.abs(drawn[:, 0]).max() <= np.pi


def test_grey_values_are_refused_unless_told():
    grey = np.random.default_rng(0).integers(0, 256, (60, 4, 4)).astype(np.uint8)
    with pytest.raises(InputError, match=r"bits, for likelihood='bernoulli', got more than two values.*=True"):
        VAE(likelihood="bernoulli", **TINY).fit(grey)
    assert VAE(**TINY).fit(grey).likelihood_ == "gaussian"
    told = VAE(dynamic_binarisation=True, **TINY).fit(grey)
    assert told.likelihood_ == "bernoulli"
    assert set(np.unique(told.sample(30, random_state=0))) == {0, 255}
    with pytest.raises(InputError, match="Choose one of the two"):
        VAE(likelihood="gaussian", dynamic_binarisation=True, **TINY).fit(grey)
    bits = VAE(**TINY).fit((grey > 127).astype(float))
    with pytest.raises(InputError, match="two values per column, bits"):
        bits.score_samples(grey / 255)


def test_told_grey_values_are_probabilities():
    grey = np.tile(np.array([[[0.0, 0.25], [0.5, 1.0]]]), (800, 1, 1)) * 255
    model = VAE(dynamic_binarisation=True, n_latent=1, max_steps=120, random_state=0, n_checks=1, learning_rate=1e-2)
    model.fit(np.concatenate([grey, grey]).astype(np.uint8))
    found = model.sample(4000, random_state=0).mean(axis=0) / 255
    np.testing.assert_allclose(found, grey[0] / 255, atol=0.04)
    assert model.decode(np.zeros((1, 1)))[0, 1, 0] == pytest.approx(0.5 * 255, abs=12)


def test_a_constant_column_gives_no_unbounded_likelihood():
    law: Any = EventLaw(["linear"] * 2, [None] * 2, is_binary=False, n_sds=2)
    with torch.no_grad():
        law.raw_sd.fill_(-100.0)
        narrowest = float(law.log_likelihood(torch.zeros(1, 2), torch.zeros(1, 2)))
    assert narrowest == pytest.approx(-2 * math.log(0.01 * math.sqrt(2 * math.pi)))
    whole = np.random.default_rng(0).integers(0, 5, (60, 4, 4)).astype(np.uint8)
    model = VAE(decoder_variance="learnt", **TINY).fit(whole)
    law, x = model._network().law, model.preprocessing_.features(whole).flatten(1)
    with torch.no_grad():
        law.raw_sd.fill_(-100.0)
        best = law.log_likelihood(x - law.offset, x)  # a decoder that gives every grey level exactly
    stretch = model.preprocessing_.transform.log_det(torch.from_numpy(whole.astype(float)))
    np.testing.assert_allclose(best.double() + stretch, 0, atol=1e-4)  # each level has probability one, and no more


def test_the_variance_of_the_decoder_is_learnt_or_stays():
    X = np.random.default_rng(0).normal(size=(300, 3))
    assert VAE(decoder_variance=0.25, **TINY).fit(X)._network().law.sd.item() == 0.5
    learnt = VAE(**(TINY | {"max_steps": 60, "ema_decay": 0.9, "learning_rate": 0.01})).fit(X)._network().law.sd
    assert learnt.shape == (3,)
    assert not torch.allclose(learnt, torch.full((3,), 0.51), atol=0.02)


# behaviour


@pytest.mark.slow  # quick: conditions of replicas are those that were asked for
def test_conditions_are_learnt():
    rng = np.random.default_rng(0)
    y = rng.integers(0, 3, 1500)
    X = rng.normal(size=(1500, 2)) + 4 * y[:, None]
    options = {"encoder": (32,), "decoder": (32,), "preprocessing": "standardise", "learning_rate": 6e-3}
    model = VAE(max_steps=200, n_draws=50, n_checks=2, random_state=0, **options).fit(X, y)
    for level in range(3):
        assert model.sample(400, random_state=0, condition=level).mean() == pytest.approx(4 * level, abs=0.5)
    right, wrong = model.log_likelihood(X[:200], y[:200]).mean, model.log_likelihood(X[:200], (y[:200] + 1) % 3).mean
    assert right.value > wrong.value + 3
    with pytest.raises(InputError, match="conditions y"):
        model.score_samples(X[:5])
    assert model.decode(np.zeros((3, 2)), condition=[0, 1, 2]).shape == (3, 2)
    with pytest.raises(InputError, match="one for all"):
        model.traversal(0)


def test_latent_space_can_be_walked(bars):
    values, events = bars.traversal(1, values=[-1.0, 0.0, 2.0], at=[0.5, 0.0, -0.5])
    assert values.tolist() == [-1.0, 0.0, 2.0]
    np.testing.assert_array_equal(events, bars.decode([[0.5, z, -0.5] for z in (-1.0, 0.0, 2.0)]))
    grid = bars.manifold(3, dimensions=(0, 2))
    q = stats.norm.ppf(5 / 6)
    np.testing.assert_allclose(grid[0, 2], bars.decode([[q, 0, q]])[0], rtol=1e-5)  # right and up
    np.testing.assert_allclose(grid[2, 0], bars.decode([[-q, 0, -q]])[0], rtol=1e-5)
    with pytest.raises(InputError, match="Choose one of those"):
        bars.traversal(3)
    with pytest.raises(InputError, match="one row per event"):
        bars.decode(np.zeros((2, 4)))
    mean, sd = bars.encode(_bars(10), return_std=True)
    np.testing.assert_array_equal(bars.encode(_bars(10)), mean)  # codes alone, as of an autoencoder
    assert mean.shape == sd.shape == (10, 3)
    assert np.abs(bars.reconstruct(_bars(200, seed=2)) - _bars(200, seed=2)).mean() < 0.2


@pytest.mark.slow  # quick: active units are those whose mean varies
def test_collapse_becomes_an_alarm():
    X = np.random.default_rng(0).normal(size=(600, 3))
    model = VAE(beta=50.0, encoder=(8,), decoder=(8,), max_steps=160, record_every=20, n_checks=4, random_state=0).fit(
        X
    )
    assert not model.active_units(X).any()
    assert [alarm.kind for alarm in model.alarms_] == ["posterior collapse"]
    assert model.assess(X[:300], X[300:]).warnings


@pytest.mark.slow  # the bound itself: test_bounds_of_a_linear_problem_rise_towards_the_exact_likelihood
def test_the_importance_weighted_bound_is_higher_than_the_elbo():
    X = _bars(1000)
    options = {"n_latent": 3, "encoder": (32,), "decoder": (32,), "max_steps": 200, "random_state": 0}
    models = [VAE(n_importance=k, n_checks=2, learning_rate=1e-2, **options).fit(X) for k in (1, 5)]
    losses = [model.history_[-1]["held_out_loss"] for model in models]
    assert losses[1] < losses[0]


def test_float32_and_float64_estimates_agree(bars):
    x = bars.preprocessing_.features(_bars(40, seed=3))
    values, errors = estimated_log_prob(bars._network(), x, n_draws=50, seed=0)
    expected, _ = bars._estimate(x, None, 0, 50)
    stretch = bars.preprocessing_.transform.log_det(torch.from_numpy(_bars(1)))
    torch.testing.assert_close(values - float(stretch[0]), expected, rtol=1e-5, atol=1e-4)
    assert (errors > 0).all()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"n_latent": 0}, "n_latent"),
        ({"n_importance": 1.5}, "n_importance"),
        ({"beta": -1.0}, "beta"),
        ({"decoder_variance": "learned"}, "decoder_variance"),
        ({"posterior": "fully"}, "Did you mean 'full'"),
        ({"likelihood": "bernouli"}, "Did you mean 'bernoulli'"),
        ({"encoder": "mpl"}, "Did you mean 'mlp'"),
        ({"encoder": torch.nn.Linear(2, 3)}, r"as encoder .* outputs \(batch, 4\)"),
        (
            {"decoder": lambda n_latent, shape: torch.nn.Linear(n_latent, 5)},
            r"as decoder .* outputs \(batch, 2\), got \(batch, 5\)",
        ),
        ({"encoder": "conv"}, "Expected images"),
    ],
)
def test_wrong_configurations_are_refused_in_words(options, message):
    X = np.random.default_rng(0).normal(size=(50, 2))
    with pytest.raises(InputError, match=message):
        VAE(**(TINY | options)).fit(X)


def test_networks_of_the_user_are_trained():
    X = np.random.default_rng(0).normal(size=(60, 3))
    y = np.random.default_rng(1).normal(size=60)

    def encoder(event_shape, n_outputs):
        return torch.nn.Sequential(
            torch.nn.Linear(event_shape[0], 8), torch.nn.Dropout(0.5), torch.nn.Linear(8, n_outputs)
        )

    model = VAE(encoder=encoder, decoder=lambda n, shape: torch.nn.Linear(n, shape[0]), **TINY).fit(X, y)
    assert model.sample(3, condition=0.5).shape == (3, 3)


def test_the_least_width_of_grey_values_does_not_depend_on_cells_that_never_vary():
    X = np.random.default_rng(0).integers(0, 17, (120, 4, 4)).astype(np.uint8)
    X[0, 0] = (0, 0, 16, 16)  # the ends of both
    dead = X.copy()
    dead[:, 3] = 0
    options = {"encoder": (4,), "decoder": (4,), "max_steps": 1, "n_checks": 0, "random_state": 0}
    widths = [VAE(**options).fit(x)._network().law.least_sd for x in (X, dead)]
    assert widths == [pytest.approx(1 / 8 / math.sqrt(2 * math.pi))] * 2
