"""What options come to that are left open: learning rates by optimiser, presets, pairs that cannot go together."""

import inspect
from pathlib import Path

import numpy as np
import pytest
import torch

from reverie.core.errors import InputError, UnknownNameError
from reverie.data import catalogue
from reverie.models import EBM, GAN, MODELS, PRESETS, RBM, preset
from reverie.models.gan.settings import ANY, FEATURE_MATCHING, LEARNING_RATES, learning_rate_of
from reverie.models.rbm.training import LEARNING_RATES as RBM_RATES
from reverie.models.registry import model_class
from reverie.networks.build import build_discriminator
from reverie.networks.energies import SMOOTH
from reverie.objectives.adversarial import OBJECTIVES
from reverie.training.optimizers import OPTIMIZERS

TINY = {"max_steps": 2, "n_checks": 0, "random_state": 0, "n_threads": 1, "batch_size": 16}


def _ring(n=300):
    return catalogue.load("ring", n=n)


def _image_stack():
    return np.random.default_rng(0).integers(0, 17, (60, 8, 8)).astype("uint8")


# ---------------------------------------------------------------------------------------------------- learning rates


def test_every_optimiser_has_a_rate_for_every_game_and_a_source():
    for optimizer in OPTIMIZERS:
        for objective in OBJECTIVES:
            for images in (False, True):
                assert learning_rate_of(optimizer, objective, images=images).learning_rate > 0
    for (optimizer, objective, networks), row in LEARNING_RATES.items():
        assert optimizer in OPTIMIZERS
        assert objective in (ANY, FEATURE_MATCHING, *OBJECTIVES)
        assert networks in (ANY, "table", "image")
        assert len(row.source) > 10
    with pytest.raises(UnknownNameError, match="Did you mean 'adam'"):
        learning_rate_of("adm", "hinge", images=False)


def test_the_page_has_the_rows_of_the_table():
    page = (Path(__file__).parents[2] / "docs" / "theory" / "gan.md").read_text(encoding="utf-8")
    rows = [
        line.split("|")[1:-1]
        for line in page.split("## Learning rates")[1].split("##")[0].splitlines()
        if '| `"' in line
    ]
    for names, rate, discriminator, betas, _ in rows:
        objective = "wasserstein" if "wasserstein" in names else ANY
        for optimizer in [word for word in OPTIMIZERS if f'"{word}"' in names]:
            row = learning_rate_of(optimizer, objective, images=False)
            assert (float(rate), tuple(map(float, betas.split(",")))) == (row.learning_rate, row.betas)
            assert (float(discriminator) if discriminator.strip() else None) == row.discriminator
    assert len(rows) == 7


@pytest.mark.parametrize(
    ("options", "rate", "betas"),
    [
        ({}, 1e-3, (0.0, 0.99)),
        ({"optimizer": "adadelta"}, 1.0, (0.0, 0.99)),
        ({"optimizer": "rmsprop", "objective": "wasserstein"}, 5e-5, (0.0, 0.99)),
        ({"optimizer": "adadelta", "learning_rate": 0.001, "betas": (0.5, 0.9)}, 0.001, (0.5, 0.9)),
        ({"optimizer": "sgd", "learning_rate": 0.001}, 0.001, (0.0, 0.99)),  # the table's rate of D goes with its rate
    ],
)
def test_a_game_takes_the_row_of_its_optimiser_and_explicit_values_as_they_are(options, rate, betas):
    model = GAN(**TINY, generator=(4,), discriminator=(4,), **options).fit(_ring())
    settings = model._step.settings
    assert (settings.generator_rate, settings.discriminator_rate, settings.betas) == (rate, rate, betas)
    assert ("learning_rate" in model.resolved_) == ("learning_rate" not in options)
    assert model.resolved_["n_noise"] == 16
    assert model.get_params()["learning_rate"] == options.get("learning_rate")


def test_the_rates_of_machines_are_those_of_the_table():
    for (optimizer, gradient, visible), (rate, source) in RBM_RATES.items():
        X = np.random.default_rng(0).integers(0, 2, (60, 3)) if visible == "binary" else _ring(60).values
        method = "exact" if gradient == "exact" else "cd"
        model = RBM(**TINY, n_hidden=2, optimizer=optimizer, method=method, visible=visible).fit(X)
        assert model.resolved_["learning_rate"] == rate
        assert len(source) > 10
    assert {row[0] for row in RBM_RATES} == OPTIMIZERS.keys() - {"adamw", "rmsprop"}  # which go by Adam's rows


# ------------------------------------------------------------------------------------- options that cannot go together


def test_clipped_weights_do_not_go_together_with_adadelta():
    with pytest.raises(InputError, match=r"'adadelta'.*'rmsprop'"):
        GAN(objective="wasserstein", optimizer="adadelta", max_steps=2).fit(
            np.random.default_rng(0).normal(size=(50, 2))
        )
    GAN(objective="hinge", optimizer="adadelta", max_steps=2).fit(np.random.default_rng(0).normal(size=(50, 2)))


def test_clipped_weights_need_an_activation_with_a_kink():
    game = {**TINY, "objective": "wasserstein"}
    assert GAN(**game).fit(_ring()).resolved_["activation"] == "leaky_relu"
    assert GAN(**game, activation="relu").fit(_ring())
    with pytest.raises(InputError, match=r"with a kink.*'silu'.*'leaky_relu'"):
        GAN(**game, activation="silu").fit(_ring())
    assert GAN(**game, activation="silu", discriminator=lambda shape: torch.nn.Linear(*shape, 1)).fit(_ring())


@pytest.mark.parametrize("seed", range(3))
def test_within_the_clip_a_smooth_critic_is_a_straight_line(seed):
    """The scatter of the critic's gradient over its mean: 0.0004 to 0.1 of a smooth one, 0.3 to 0.8 with a kink."""

    def scatter(activation):
        source = torch.Generator().manual_seed(seed)
        D = build_discriminator("mlp", event_shape=(2,), random_generator=source, activation=activation)
        with torch.no_grad():
            for weight in D.parameters():
                weight.clamp_(-OBJECTIVES["wasserstein"].clip, OBJECTIVES["wasserstein"].clip)
        x = torch.randn(200, 2, generator=source).requires_grad_()
        (gradient,) = torch.autograd.grad(D(x).sum(), x)
        return float(gradient.std(dim=0).norm() / gradient.mean(dim=0).norm())

    assert 4 * max(map(scatter, SMOOTH)) < min(map(scatter, ("leaky_relu", "relu")))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"adjusted": False, "step_size": 10.0, "jumps": False},
            r"below 2 confinement\^2 = 2 .* got 10.*confinement=None",
        ),
        ({"adjusted": False, "step_size": 0.1, "temperature": 0.5}, "jumps=False"),
        ({"method": "score_matching", "energy_penalty": 0.1}, "'contrastive'"),
    ],
)
def test_steps_of_an_energy_that_cannot_go_together_are_refused_in_words(options, message):
    with pytest.raises(InputError, match=message):
        EBM(**TINY, **options).fit(_ring())


def test_the_largest_step_that_is_let_through_stays_on_the_parabola():
    """At E = x^2 / 2 a step of eta < 2 shrinks x by |1 - eta|; the twin, eta > 2, throws it away."""
    for eta, stays in ((1.9, True), (2.1, False)):
        x = torch.ones(1)
        for _ in range(200):
            x = x - eta * x
        assert bool(x.abs() < 1) == stays


@pytest.mark.parametrize(
    ("options", "labels", "message"),
    [
        ({"stop_at_equilibrium": True, "n_checks": 0}, False, "n_checks > 0.*stop_at_equilibrium=False"),
        ({"stop_at_equilibrium": True, "validation_fraction": 0.0, "n_checks": 3}, False, "validation_fraction > 0"),
        ({"reconstruction_weight": 10.0}, False, r"conditions y.*reconstruction_weight=10"),
        ({"condition_mode": "auxiliary"}, True, "auxiliary_weight > 0.*'projection'"),
    ],
)
def test_options_of_a_game_that_wait_for_what_is_not_there_are_refused(options, labels, message):
    X = _ring(60)
    y = np.arange(60) % 3 if labels else None
    with pytest.raises(InputError, match=message):
        GAN(**(TINY | options)).fit(X, y)


# ----------------------------------------------------------------------------------------------------------- presets


def test_presets_name_options_of_their_model_and_make_it():
    for name, row in PRESETS.items():
        assert row.model in map(model_class, MODELS)
        assert set(row.arguments) <= set(inspect.signature(row.model).parameters)
        assert type(preset(name, random_state=3)) is row.model
    assert preset("lecture_mlp", n_noise=7).get_params()["n_noise"] == 7


def test_the_recipe_of_du_and_mordatch_takes_its_first_steps():
    small = {"energy": (8,), "n_langevin": 3, "buffer_size": 40, "n_temperatures": 4, "n_annealed": 4}
    model = preset("du_mordatch", **{**TINY, **small, "n_sample_steps": 3}).fit(_image_stack())
    assert np.isfinite(model.history_[-1]["loss"])
    assert model.sample(4, random_state=0).shape == (4, 8, 8)
