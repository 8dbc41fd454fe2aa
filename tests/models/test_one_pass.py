"""Sampling as one function of noise: it is the model's own way of sampling, only with the noise as an argument."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits

from reverie.core.errors import InputError
from reverie.data.dataset import Dataset
from reverie.data.transforms.base import check_within, unchecked
from reverie.models import EBM, GAN, RBM, VAE, Autoencoder, Flow, FlowMatching, SemiSupervisedGAN
from reverie.models.gan.training import draw_noise
from reverie.models.one_pass import Noise, physical_sampler

N, SEED, UNIT = 300, 5, 1024
QUICK = {"max_steps": 3, "random_state": 0, "batch_size": 32, "n_checks": 0}
GAME = {**QUICK, "refine": False}


def _columns() -> Dataset:
    """400 rows of every kind of column."""
    rng = np.random.default_rng(1)
    n = 400
    columns = {
        "pt": rng.exponential(20.0, n) + 5,
        "phi": rng.uniform(-np.pi, np.pi, n),
        "share": rng.beta(2, 3, n),
        "hits": rng.poisson(4, n),
        "flavour": rng.integers(0, 3, n),
        "spin": rng.choice([-1, 1], n),
        "edep": np.where(rng.random(n) < 0.3, 0.0, rng.exponential(1.0, n)),
        "eta": rng.normal(0, 1.5, n),
    }
    kinds = {"phi": "periodic", "share": "bounded", "hits": "integer", "flavour": "categorical", "spin": "spin"}
    return Dataset(np.stack(list(columns.values()), axis=1).astype(float), names=list(columns), kind=kinds)


def _conditions() -> Dataset:
    return _columns().select(["flavour", "pt", "phi"])


def _digits():
    X, y = load_digits(return_X_y=True)
    return X[:200].reshape(-1, 8, 8).astype("uint8"), y[:200]


def _game_noise(model, noise: torch.Generator) -> torch.Tensor:
    settings = model._step.settings
    z = draw_noise(UNIT, settings.n_noise, prior=settings.noise_prior, generator=noise)
    if model.n_replicas == 1:
        return z
    turn = (torch.arange(UNIT) % model.n_replicas + 0.5) / model.n_replicas
    return torch.cat([z, turn[:, None]], dim=1)


def _vae_noise(model, noise: torch.Generator) -> torch.Tensor:
    law, d = model._network().law, int(np.prod(model.preprocessing_.transform.output_shape))
    z = torch.randn(UNIT, model.n_latent_, generator=noise)
    if law.is_binary:
        return torch.cat([z, torch.rand(UNIT, d, generator=noise)], dim=1)
    both = torch.randn(UNIT, d, generator=noise), torch.rand(UNIT, d, generator=noise)
    return torch.cat([z, *(both if law.n_uniform else both[:1])], dim=1)


def _flow_noise(model, noise: torch.Generator) -> torch.Tensor:
    network = model._exact()
    options = {"generator": noise, "dtype": torch.float64}
    normal = torch.randn(UNIT, len(network.lines), **options)
    return torch.cat([normal, torch.rand(UNIT, len(network.circles), **options)], dim=1).float()


def _path_noise(model, noise: torch.Generator) -> torch.Tensor:
    coordinates = model._velocity().coordinates
    normal = torch.randn(UNIT, coordinates.n_lines, generator=noise)
    return torch.cat([normal, torch.rand(UNIT, len(coordinates.circles), generator=noise)], dim=1)


def _uniform_noise(model, noise: torch.Generator) -> torch.Tensor:
    return draw_noise(UNIT, int(model.n_noise), prior="uniform", generator=noise)


ETA_AND_SHARE = ["eta", "share"]
MODELS = {  # fitted model, and the noise that it draws itself
    "gan, all columns": (lambda: GAN(**GAME).fit(_columns()), _game_noise),
    "gan, uniform noise": (lambda: GAN(noise_prior="uniform", **GAME).fit(_columns()), _game_noise),
    "gan, replicas": (lambda: GAN(n_replicas=3, **GAME).fit(_columns()), _game_noise),
    "gan, conditions": (lambda: GAN(**GAME).fit(_columns().select(["eta", "edep"]), _conditions()), _game_noise),
    "gan, images": (lambda: GAN(**GAME).fit(*_digits()), _game_noise),
    "vae, all columns": (lambda: VAE(**QUICK).fit(_columns()), _vae_noise),
    "vae, conditions": (lambda: VAE(**QUICK).fit(_columns().select(["eta", "hits"]), _conditions()), _vae_noise),
    "vae, bits": (lambda: VAE(**QUICK).fit((_digits()[0] > 7).astype("uint8")), _vae_noise),
    "flow": (lambda: Flow(hidden=(8,), **QUICK).fit(_columns().select(["pt", "phi", "hits", "edep"])), _flow_noise),
    "flow matching, conditions": (
        lambda: FlowMatching(width=8, n_evaluations=4, **QUICK).fit(_columns().select(["pt", "phi"]), _conditions()),
        _path_noise,
    ),
    "flow, conditions": (
        lambda: Flow(hidden=(8,), **QUICK).fit(_columns().select(ETA_AND_SHARE), _conditions()),
        _flow_noise,
    ),
    "semi-supervised gan": (
        lambda: SemiSupervisedGAN(hidden=(8,), generator_hidden=(8,), max_steps=2, random_state=0).fit(
            _columns().select(ETA_AND_SHARE), np.arange(400) % 2
        ),
        _uniform_noise,
    ),
}


@pytest.fixture(scope="module", params=MODELS)
def case(request):
    made, noise = MODELS[request.param]
    model = made()
    return model, noise(model, model._unit_noise(SEED, 0))[:N]


def _asked(model) -> tuple[torch.Tensor, ...]:
    if getattr(model, "conditions_", None) is None:
        return ()
    return (torch.from_numpy(_numbers(model.sample_conditions(N, SEED)).reshape(N, -1)),)


def _numbers(x) -> np.ndarray:
    return np.array(x.values if isinstance(x, Dataset) else x, dtype=float)


def test_the_noise_of_the_model_gives_the_samples_of_the_model(case):
    model, noise = case
    sampler = physical_sampler(model)
    assert noise.shape == (N, sampler.n_noise)
    given = _asked(model)
    (values,) = sampler(noise, *given)
    expected = _numbers(model.sample(N, SEED))
    assert values.shape == expected.shape
    assert values.dtype == torch.float64
    scale = np.maximum(np.abs(expected), expected.std(axis=0))
    assert float((np.abs(values.numpy() - expected) / np.maximum(scale, 1e-12)).max()) < 1e-5  # float32 noise of a flow


def test_other_noise_gives_other_samples(case):
    model, noise = case
    sampler = physical_sampler(model)
    given = _asked(model)
    assert not torch.allclose(sampler(noise, *given)[0], sampler(noise.flip(0), *given)[0])


def test_the_form_for_graphs_is_the_same_to_the_error_of_its_table(case):
    model, noise = case
    given = _asked(model)
    exact, fast = (physical_sampler(model, is_graph=g)(noise, *given)[0] for g in (False, True))
    scale = torch.maximum(exact.abs(), exact.std(dim=0)).clamp(min=1e-12)
    assert float(((fast - exact).abs() / scale).max()) < 1e-6


def test_examples_follow_the_laws_and_depend_on_the_seed(case):
    model, _ = case
    sampler = physical_sampler(model)
    noise = sampler.example(N, seed=1)[0]
    assert noise.dtype == torch.float32
    assert not torch.equal(noise, sampler.example(N, seed=2)[0])
    blocks = noise.split([block.n for block in sampler.noise], dim=1)
    for block, x in zip(sampler.noise, blocks, strict=True):
        if block.law == "uniform":
            assert block.a <= float(x.min())
            assert float(x.max()) <= block.b
        n = x.numel()
        mean, sd = (
            (block.a, block.b) if block.law == "normal" else ((block.a + block.b) / 2, (block.b - block.a) / 12**0.5)
        )
        assert abs(float(x.mean()) - mean) < 4.5 * sd / n**0.5  # false alarm 7e-6 a block


def test_an_autoencoder_draws_a_gaussian_of_its_mixture_and_decodes():
    model = Autoencoder(n_latent=2, n_components=3, **QUICK).fit(_columns())
    weights, means, scales = model._codes
    noise = torch.randn(50, 3, generator=torch.Generator().manual_seed(0))
    ends = torch.cat([torch.zeros(1), weights.cumsum(0)])
    for k in range(len(weights)):
        noise[:, 0] = (ends[k] + ends[k + 1]) / 2
        z = means[k] + noise[:, 1:] @ scales[k].T
        expected = _numbers(model.decode(z.numpy()))
        np.testing.assert_allclose(physical_sampler(model)(noise)[0].numpy(), expected, rtol=1e-5, atol=1e-4)


def test_a_referee_gives_acceptances_instead_of_drawing_again():
    model = GAN(**{**GAME, "refine": "auto", "max_steps": 40}).fit(_columns().select(["pt", "eta"]))
    drawing = model._drawing()
    if drawing.rejection is None:  # it learnt nothing that holds: make one that refuses
        from reverie.models.gan.rejection import RejectionClassifier

        model._rejection = RejectionClassifier(4, 2).eval()
    sampler = physical_sampler(model)
    values, acceptance = sampler(*sampler.example(N))
    z = sampler.example(N)[0]
    rows = {"x": model._samples_from()(z)}
    expected = model._rejection.acceptance(model._drawing().known(rows))
    torch.testing.assert_close(acceptance, expected, rtol=1e-5, atol=1e-6)
    assert sampler.has_acceptance
    assert values.shape == (N, 2)


@pytest.mark.parametrize("kind", [RBM, EBM])
def test_a_model_of_markov_chains_says_why_it_cannot_and_what_to_do(kind):
    model = kind()
    model.device_ = torch.device("cpu")
    model.preprocessing_ = GAN(**GAME).fit(_columns().select(["pt", "eta"])).preprocessing_
    with pytest.raises(InputError, match=r"Markov chains.*sample\(\)"):
        physical_sampler(model)


def test_without_checks_values_are_cut_instead_of_refused():
    x = torch.tensor([-1.0, 2.0])
    with pytest.raises(InputError, match="within"):
        check_within(x, 0.0, 1.0)
    with unchecked():
        assert check_within(x, 0.0, 1.0).tolist() == [0.0, 1.0]
    with pytest.raises(InputError, match="within"):
        check_within(x, 0.0, 1.0)


def test_a_law_says_itself_in_one_line():
    assert str(Noise("normal", 16)) == "normal 0 1 16"
    assert str(replace(Noise("uniform", 2), a=-1.0)) == "uniform -1 1 2"
