"""Completion against the conditional density of a linear generator, which is known; images from images."""

import math

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

from reverie.core.errors import InputError
from reverie.data.dataset import Dataset
from reverie.data.transforms import Chain, Columns, OneHot, Periodic, Standardise
from reverie.models import GAN
from reverie.models.completion import observed_features
from reverie.models.gan.completion import Search, complete_features
from reverie.models.gan.rejection import RejectionClassifier

pytestmark = pytest.mark.usefixtures("global_random_state_untouched")
Z = 5.0  # standard errors: a false alarm in 2 million numbers
CONVERGENCE = 0.01  # what Adam leaves of the distance to the minimum, in standard deviations of features
TINY = {"max_steps": 2, "batch_size": 16, "random_state": 0, "n_checks": 0, "refine": False, "record_every": 1}
QUICK = Search(n_candidates=16, n_steps=5)
WEIGHTS = torch.tensor([[1.0, 0.5, 0.8], [0.0, 1.0, -0.6]])  # of G(z) = z W + b: three features of two numbers
SHIFT = torch.tensor([0.3, -0.2, 0.1])
TOLERANCE = 0.3


def _linear(z, rows):
    return z @ WEIGHTS + SHIFT


def _posterior(y, m, weights=WEIGHTS, shift=SHIFT, s=TOLERANCE):
    """Return mean and covariance of features x given y where m, in closed form: z is Gaussian given y."""
    W = weights.double()
    covariance = torch.linalg.inv(W * m @ W.T / s**2 + torch.eye(len(W)))
    mean = covariance @ ((W * m) @ (y.double() - shift) / s**2)
    return mean @ W + shift, W.T @ covariance @ W


def _agrees(draws, y, m):
    """Return whether draws (k, features) have the known mean, within Z standard errors and what Adam leaves."""
    mean, covariance = _posterior(y, m)
    error = (covariance.diagonal() / len(draws)).sqrt()
    return bool(((draws.double().mean(0) - mean).abs() < Z * error + CONVERGENCE).all())


# -------------------------------------------------------------------------------------------------- the pure search

EVENTS = torch.tensor([[1.5, 0.0, 0.0], [-1.0, 1.5, 0.0], [0.0, 0.0, -2.0]])
MASK = torch.tensor([[True, False, False], [True, True, False], [False, False, True]])


def _searched(observed, n_draws, **options):
    return complete_features(_linear, EVENTS, observed, n_noise=2, n_draws=n_draws, search=Search(TOLERANCE), **options)


def test_draws_of_a_linear_generator_follow_the_conditional_density():
    draws = _searched(MASK, 400)
    for k in range(3):
        assert _agrees(draws[:, k], EVENTS[k], MASK[k].double())
        _, expected = _posterior(EVENTS[k], MASK[k].double())
        found = torch.cov(draws[:, k].T.double())
        spread = expected.diagonal()
        error = ((spread[:, None] * spread + expected**2) / len(draws)).sqrt()  # of a covariance of normal numbers
        assert ((found - expected).abs() < Z * error + CONVERGENCE).all()


def test_a_search_that_ignores_the_mask_is_found_out():
    draws = _searched(torch.zeros_like(MASK), 400)
    assert not any(_agrees(draws[:, k], EVENTS[k], MASK[k].double()) for k in range(3))


def test_one_draw_is_the_most_probable_completion():
    found = _searched(MASK, 1)[0]
    for k in range(3):  # the most probable z of a Gaussian is its mean
        assert torch.allclose(found[k].double(), _posterior(EVENTS[k], MASK[k].double())[0], atol=CONVERGENCE)


def test_nothing_observed_is_plain_sampling():
    one = _searched(torch.zeros_like(MASK), 1)[0]
    draws = complete_features(_linear, torch.zeros(500, 3), torch.zeros(500, 3).bool(), n_noise=2, search=QUICK)[0]
    assert len(one.unique(dim=0)) == 3
    expected = WEIGHTS.T @ WEIGHTS
    spread = expected.diagonal()
    error = ((spread[:, None] * spread + expected**2) / len(draws)).sqrt()
    assert ((torch.cov(draws.T) - expected).abs() < Z * error).all()


def test_both_modes_of_a_fold_are_found():
    """x = (|z|, z): given |z| there are two answers, alike."""

    def fold(z, rows):
        return torch.cat([z.abs(), z], dim=1)

    mask = torch.tensor([[True, False]])
    draws = complete_features(fold, torch.tensor([[1.0, 0.0]]), mask, n_noise=1, n_draws=200)[:, 0]
    share = float((draws[:, 1] > 0).float().mean())
    candidates = 512 * 0.05  # the expected number within the tolerance, whose own sides fluctuate
    assert abs(share - 0.5) < Z * math.sqrt(0.25 / 200 + 0.25 / candidates)
    assert abs(float(draws[:, 1].abs().mean()) - 1) < 0.05


def test_the_first_completions_do_not_depend_on_how_many_there_are():
    many = complete_features(_linear, EVENTS.repeat(3, 1), MASK.repeat(3, 1), n_noise=2, n_draws=3, search=QUICK)
    few = complete_features(_linear, EVENTS, MASK, n_noise=2, n_draws=3, search=QUICK)
    assert torch.allclose(many[:, :3], few, atol=1e-6)


def test_every_event_is_searched_with_its_own_condition():
    shifts = torch.tensor([[0.0], [10.0]])

    def generate(z, rows):
        return z + shifts[rows]

    y = torch.tensor([[0.5, 0.0], [10.5, 0.0]])
    mask = torch.tensor([[True, False]]).expand(2, 2)
    found = complete_features(generate, y, mask, n_noise=2, search=Search(0.1), is_conditional=True)[0]
    assert torch.allclose(found[:, 0], y[:, 0], atol=0.05)
    assert torch.allclose(found[:, 1], shifts[:, 0], atol=CONVERGENCE)


@pytest.mark.parametrize("wrong", [{"tolerance": 0.0}, {"n_candidates": 0}, {"n_steps": 1.5}, {"learning_rate": -1}])
def test_impossible_searches_are_refused(wrong):
    with pytest.raises(InputError, match=next(iter(wrong))):
        Search(**wrong)


# ------------------------------------------------------------------------------------------------- columns to features


def test_a_column_gives_all_its_features():
    parts = [(["x", "y"], Standardise()), ("phi", Periodic()), ("kind", OneHot()), ("w", Chain([Standardise()]))]
    table = torch.linspace(0, 1, 100, dtype=torch.float64).reshape(20, 5)
    table[:, 3] = torch.arange(20) % 3
    transform = Columns(parts, names=["x", "y", "phi", "kind", "w"]).fit(table)
    mask = torch.tensor([[True, False, True, False, True], [False, True, False, True, False]])
    expected = [[1, 0, 1, 1, 0, 0, 0, 1], [0, 1, 0, 0, 1, 1, 1, 0]]
    assert observed_features(transform, mask).int().tolist() == expected


def test_a_transform_that_may_mix_columns_knows_all_or_nothing():
    class Mixed:
        output_shape = (2,)

    mask = torch.tensor([[True, False], [True, True]])
    assert observed_features(Mixed(), mask).tolist() == [[False, False], [True, True]]


# --------------------------------------------------------------------------------------------------------- the method


@pytest.fixture(scope="module")
def linear():
    """A model whose generator is set by hand: standard normal columns a, b, c with known correlations."""
    rng = np.random.default_rng(0)
    table = pd.DataFrame(rng.normal(size=(300, 2)) @ WEIGHTS.numpy() + SHIFT.numpy(), columns=list("abc"))
    options = TINY | {"preprocessing": "standardise", "whiten": False, "generator": nn.Linear(2, 3), "n_noise": 2}
    with torch.random.fork_rng():
        model = GAN(**options, discriminator=(4,)).fit(table)
    layer, transform = model._samples_from().network, model.preprocessing_.transform
    with torch.no_grad():  # the same density in original units, whatever the 300 events gave for mean and scale
        scale = torch.cat([part.scale_ for part in transform.transforms_])
        mean = torch.cat([part.mean_ for part in transform.transforms_])
        layer.weight.copy_((WEIGHTS / scale).T)
        layer.bias.copy_((SHIFT - mean) / scale)
    return model, scale.numpy()


def test_completed_tables_follow_the_conditional_mean_and_keep_what_was_observed(linear):
    model, scale = linear
    X = pd.DataFrame({"a": [1.5, -0.7], "b": [np.nan, 0.4], "c": [np.nan, np.nan]})
    draws = model.complete(X, X.notna(), n_draws=400, random_state=1, search=Search(TOLERANCE))
    assert isinstance(draws, list)
    assert list(draws[0].columns) == ["a", "b", "c"]
    values = np.stack([draw.to_numpy() for draw in draws])
    observed = X.notna().to_numpy()
    assert (values[:, observed] == X.to_numpy()[observed]).all()
    mean, covariance = _posterior(
        torch.tensor(X.fillna(0).to_numpy()[0]),
        torch.tensor([1.0, 0, 0]) / torch.tensor(scale) ** 2,  # the tolerance is one of features
    )
    error = (covariance.diagonal().numpy() / 400) ** 0.5
    assert (np.abs(values[:, 0].mean(0) - mean.numpy())[1:] < (Z * error + CONVERGENCE)[1:]).all()


def test_a_seed_repeats_a_completion_and_another_does_not(linear):
    model, _ = linear
    X, mask = np.ones((4, 3)), np.array([True, False, False])
    a, b, c = (model.complete(X, mask, n_draws=2, random_state=seed, search=QUICK)[1] for seed in (0, 0, 1))
    assert a.equals(b)
    assert not a.equals(c)
    assert (a.iloc[:, 0] == 1).all()


class _RefusesPositive(nn.Module):
    """The log ratio of a referee that refuses events whose second physical column is positive."""

    def forward(self, x):
        return -60.0 * (x[:, 4:5] > 0)


@pytest.fixture
def refereed(linear, monkeypatch):
    referee = RejectionClassifier(6, 3)
    referee.network = _RefusesPositive()
    monkeypatch.setattr(linear[0], "_rejection", referee)
    return linear


@pytest.mark.slow  # quick: draws of a linear generator follow the conditional density
def test_completions_follow_the_law_of_accepted_events(refereed, monkeypatch):
    """The closed form, cut at b = 0, is the answer; the twin without a referee, as with refine=False, draws b > 0."""
    model, scale = refereed
    X, mask = np.array([[1.5, np.nan, np.nan], [np.nan] * 3]), np.array([[True, False, False], [False] * 3])

    def completed(n_draws):
        return np.stack(model.complete(X, mask, n_draws=n_draws, random_state=0, search=search))

    search = Search(TOLERANCE, n_candidates=64, n_steps=50, learning_rate=0.2)
    draws, likeliest = completed(100), model.complete(X, mask, random_state=0, search=search).to_numpy()
    assert (draws[:, 0, 0] == 1.5).all()
    assert (draws[..., 1] <= 0).all()
    assert (likeliest[:, 1] <= 0).all()
    y, m = torch.tensor([1.5, 0, 0]), torch.tensor([1.0, 0, 0]) / torch.tensor(scale) ** 2
    mean, covariance = (part.numpy() for part in _posterior(y, m))
    known = np.random.default_rng(0).multivariate_normal(mean, covariance, size=100_000, method="eigh")
    known = known[known[:, 1] <= 0, 1:]
    error = known.std(axis=0) / math.sqrt(len(draws))
    assert (np.abs(draws[:, 0, 1:].mean(axis=0) - known.mean(axis=0)) < Z * error + CONVERGENCE).all()
    monkeypatch.setattr(model, "_rejection", None)
    assert (completed(100)[:, 0, 1] > 0).mean() > 0.4


def test_refereed_completions_do_not_depend_on_later_rows(refereed):
    model, _ = refereed
    X, mask = np.ones((4, 3)), np.array([True, False, False])
    many, few = (model.complete(x, mask, n_draws=3, random_state=0, search=QUICK) for x in (X, X[:2]))
    for a, b in zip(many, few, strict=True):
        assert np.allclose(a[:2], b, atol=1e-6)


def test_all_observed_comes_back_as_it_is(linear):
    model, _ = linear
    X = np.random.default_rng(2).normal(size=(3, 3))
    assert (model.complete(X, np.ones(3, bool)).to_numpy() == X).all()


@pytest.mark.parametrize(
    ("X", "mask", "message"),
    [
        (np.ones((2, 3)), np.ones((3, 2), bool), "mask of shape"),
        (np.ones((2, 3)), np.ones((2, 3)), "True"),
        (np.ones((2, 4)), np.ones(4, bool), "events of shape"),
        (np.ones(3), np.ones(3, bool), "one event"),
        (np.full((2, 3), np.nan), np.ones(3, bool), "6 NaN"),
        (pd.DataFrame(np.ones((1, 3)), columns=list("bac")), np.ones(3, bool), "columns"),
    ],
)
def test_wrong_masks_and_events_are_refused_in_words(linear, X, mask, message):
    with pytest.raises(InputError, match=message):
        linear[0].complete(X, mask)


def test_a_condition_too_many_is_refused(linear):
    with pytest.raises(InputError, match="with conditions"):
        linear[0].complete(np.ones((2, 3)), np.array([True, False, False]), condition=1)


def test_promises_of_the_columns_are_kept():
    rng = np.random.default_rng(0)
    table = np.stack([rng.exponential(size=200), rng.uniform(-3, 3, 200), rng.integers(0, 3, 200)], axis=1)
    kinds = {"names": ["pt", "phi", "kind"], "kind": {"phi": "periodic", "kind": "categorical"}}
    model = GAN(**TINY, generator=(8,), discriminator=(8,)).fit(Dataset(table, **kinds))
    mask = rng.random((50, 3)) < 0.5
    X = np.where(mask, table[:50], np.nan)
    completed = model.complete(X, mask, random_state=0, search=QUICK).values
    assert (completed[mask] == table[:50][mask]).all()
    assert np.isfinite(completed).all()
    assert set(completed[:, 2]) <= {0, 1, 2}
    assert (np.abs(completed[:, 1]) <= math.pi).all()


@pytest.mark.parametrize("options", [{"noise_prior": "uniform"}, {"n_replicas": 2, "ensemble": "bag"}])
def test_conditional_models_replicas_and_the_discriminator_take_part(options):
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(60, 2)).astype("float32"), rng.integers(0, 2, 60)
    model = GAN(**TINY, generator=(8,), discriminator=(8,), **options).fit(X, y)
    mask = np.array([True, False])
    plain, judged = (
        model.complete(X[:5], mask, condition=y[:5], random_state=0, search=QUICK, discriminator_weight=w)
        for w in (0.0, 5.0)
    )
    assert plain.dtype == np.float32
    assert (judged[:, 0] == X[:5, 0]).all()
    assert (judged[:, 1] != plain[:, 1]).any()
    with pytest.raises(InputError, match="conditions"):
        model.complete(X[:5], mask)


# ----------------------------------------------------------------------------------------------------- images


def _images(n=40):
    clean = np.random.default_rng(0).integers(0, 17, size=(n, 8, 8)).astype("uint8")
    return clean, clean + np.random.default_rng(1).normal(0, 4, clean.shape)


def test_parts_of_images_are_completed():
    clean, _ = _images()
    model = GAN(**TINY, generator=(8,), discriminator=(8,)).fit(clean)
    mask = np.zeros((8, 8), bool)
    mask[:4] = True
    drawn = model.complete(torch.from_numpy(clean[:3].astype("float64")), mask, n_draws=2, random_state=0, search=QUICK)
    assert drawn.shape == (2, 3, 8, 8)
    assert drawn.dtype == np.uint8
    assert (drawn[:, :, :4] == clean[:3, :4]).all()
    assert (drawn <= 16).all()


def test_images_are_translated_into_images():
    clean, noisy = _images()
    model = GAN(**TINY | {"max_steps": 3}, reconstruction_weight=10.0).fit(clean, noisy)
    translated = model.sample(5, random_state=0, condition=noisy[:5])
    assert translated.shape == (5, 8, 8)
    assert translated.dtype == np.uint8
    completed = model.complete(clean[:2], clean[:2] > 3, condition=noisy[:2], search=QUICK, random_state=0)
    assert (completed[clean[:2] > 3] == clean[:2][clean[:2] > 3]).all()
