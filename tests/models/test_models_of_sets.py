"""Known answers of flow matching and GAN on sets: density of an untrained flow, comparison, shards, and refusals."""

import math

import numpy as np
import pytest
import torch
from scipy.integrate import quad
from scipy.stats import norm

from reverie.core.errors import InputError
from reverie.data.dataset import Dataset
from reverie.data.sets import particle_sets
from reverie.models import GAN, FlowMatching, load_model
from reverie.models.flow_matching.sampling import conditioning_noise, draw_conditioning, solve_ode
from reverie.models.flow_matching.set_network import VelocitySet
from reverie.models.flow_matching.training import _errors
from reverie.models.sets import moments_of_sets
from reverie.simulators import ToySets

TINY = {"max_steps": 2, "batch_size": 16, "n_checks": 0, "random_state": 0}
COUNTS = np.array([1, 2, 2, 3, 3, 3] * 40)


def _sets(seed=0, n_features=2):
    rng = np.random.default_rng(seed)
    mask = np.arange(4) < COUNTS[:, None]
    return particle_sets(rng.normal(size=(240, 4, n_features)) * mask[..., None], mask)


def _untrained(X):
    options = {"width": 8, "n_blocks": 1, "n_evaluations": 8, "learning_rate": 1e-30, "preprocessing": "standardise"}
    model = FlowMatching(**options, **TINY).fit(X)
    return model, model.preprocessing_.features(X.values)


def test_log_p_of_an_untrained_flow_is_that_of_normal_particles_their_number_and_its_permutations():
    """It starts as the flow to N(0, 1): log p = log N! + log p(N) + sum log N(y) + log |dy/dx|, exactly."""
    X = _sets()
    model, y = _untrained(X)
    of_particles = (norm.logpdf(y[..., :-1].numpy().astype(float)).sum(2) * y[..., -1].numpy()).sum(1)
    stretch = model.preprocessing_.transform.log_det(torch.tensor(X.values)).numpy()
    shares = np.exp(model._velocity().multiplicity.log_shares.numpy())  # of the events that are trained on
    expected = of_particles + stretch + np.array([math.lgamma(n + 1) for n in COUNTS]) + np.log(shares[COUNTS])
    order = np.random.default_rng(1).permutation(4)
    for some, rows in ((X.values, slice(0, 40)), (X.values[:, order], slice(40, 80))):
        got = model.score_samples(Dataset(some[rows], schema=X.schema))
        np.testing.assert_allclose(got, expected[rows], atol=5e-3)  # of the steps of the solver
    assert not np.allclose(of_particles + stretch, expected, atol=0.1)  # the twin without N! and p(N)


def test_sets_are_drawn_by_a_solver_of_fourth_order_and_tables_by_one_of_second():
    """What is wrong with each particle adds up over a set; `solver="auto"` says in `resolved_` what it took."""
    model, _ = _untrained(_sets())
    assert model.resolved_["solver"] == "rk4"
    assert FlowMatching(**TINY).fit(np.random.default_rng(0).normal(size=(60, 2))).resolved_["solver"] == "heun"


def test_the_loss_of_sets_is_over_the_coordinates_that_are_there():
    """For v = b x of normal particles the error has variance 1 / q; times are even; padding adds none."""
    expected = quad(lambda t: 1 / (t**2 + (1 - t) ** 2), 0, 1)[0]  # pi / 2; times 1 - u^2 would give 1.45
    X = _sets()
    model, y = _untrained(X)
    rows = model._run.train_step.prepared({"x": y})
    many = {key: x.repeat(200, *(1,) * (x.ndim - 1)) for key, x in rows.items()}
    with torch.no_grad():
        loss = _errors(model._velocity(), many, torch.Generator().manual_seed(0)).mean()
    assert float(loss) == pytest.approx(expected, rel=0.02)  # 48,000 events, 4.6 coordinates each: 5 errors of 0.4 %


@pytest.mark.slow
@pytest.mark.parametrize(
    "model",
    [
        FlowMatching(width=64, n_blocks=3, max_steps=1500, random_state=0),
        GAN(generator=(48,) * 3, discriminator=(48,) * 2, batch_size=128, max_steps=1500, random_state=0),
    ],
)
def test_correlations_that_only_pairs_of_particles_show_are_learnt(model):
    """One particle of the toy shows no direction, and independent ones, with the right marginals, correlate by 0.

    Of 2,000 real sets the correlation is 0.457, with a standard error of 0.01. A network whose layers and last layer
    all start at zero stays where the gradient of both vanishes, and would give 0.
    """
    toy = ToySets(mean_size=5.0, max_size=10)
    real, generated = (
        x.values for x in (toy.sample(2000, random_state=1), model.fit(toy.sample(6000, random_state=0)).sample(2000))
    )

    def correlation(x):
        z = (x[..., 0] + 1j * x[..., 1]) ** 2 * x[..., -1]
        return ((abs(z.sum(1)) ** 2 - (abs(z) ** 2).sum(1)).sum()) / (abs(z).sum(1) ** 2 - (abs(z) ** 2).sum(1)).sum()

    assert correlation(generated) == pytest.approx(correlation(real), abs=0.12)


def _width(x):
    """Return the spread of the first column within each set, which is there for sets of two and more."""
    y, mask = x[..., 0], x[..., -1]
    n = mask.sum(1).clamp(min=1)
    mean = (y * mask).sum(1) / n
    return (((y - mean[:, None]) ** 2 * mask).sum(1) / n + 1e-6).sqrt()


def test_observables_of_sets_have_a_law_of_their_own_that_begins_as_the_normal_one():
    """Untrained, their velocity is that of N(0, 1); particles are drawn given mask, observables and condition."""
    model = FlowMatching(width=8, n_blocks=1, observables=[_width], learning_rate=1e-30, **TINY)
    model.fit(_sets(), COUNTS.astype(float))
    network = model._velocity()
    noise, condition = torch.rand(2000, 2), torch.ones(2000, 1)
    given = draw_conditioning(network, noise, condition, n_evaluations=32, solver="rk4")
    mask, observables, c = network.split_given(given)
    torch.testing.assert_close(observables, noise[:, 1:], atol=1e-3, rtol=0)  # of the steps of the solver
    torch.testing.assert_close(mask, network.multiplicity.masks(noise[:, 0], condition))
    torch.testing.assert_close(c, condition)
    with pytest.raises(InputError, match="Train without observables"):
        model.log_likelihood(_sets(), COUNTS.astype(float))


def test_a_start_gives_its_scale_of_the_observables_and_one_without_them_is_refused():
    """Networks have learnt them on this scale; other events, four times as wide, would give another."""
    options = {"width": 8, "n_blocks": 1, **TINY}
    shown = FlowMatching(observables=[_width], **options).fit(_sets())
    other = _sets(seed=1)
    wide = Dataset(other.values * np.array([4.0, 4.0, 1.0]), schema=other.schema)
    further = FlowMatching(observables=[_width], **options).fit(wide, start=shown)
    assert further._observed.to_json() == shown._observed.to_json()
    assert FlowMatching(observables=[_width], **options).fit(wide)._observed.to_json() != shown._observed.to_json()
    with pytest.raises(InputError, match="networks of the same sizes"):
        FlowMatching(**options).fit(wide, start=shown)


@pytest.mark.slow
def test_particles_have_the_observables_that_were_drawn_for_them():
    """A network that ignored its observables would leave no correlation between those asked for and those of the set.

    The sets of the law are normal with a width that is one of two, which the model has to take from the observable.
    """
    rng = np.random.default_rng(0)
    mask = np.arange(8) < rng.integers(4, 9, 4000)[:, None]
    width = rng.choice([0.3, 1.5], 4000)
    X = particle_sets(rng.normal(size=(4000, 8, 2)) * width[:, None, None] * mask[..., None], mask)
    model = FlowMatching(width=48, n_blocks=3, observables=[_width], max_steps=1200, random_state=0).fit(X)
    network, generator = model._velocity(), torch.Generator().manual_seed(1)
    with torch.no_grad():
        given = draw_conditioning(network, conditioning_noise(network, 2000, generator), n_evaluations=32, solver="rk4")
        x = solve_ode(network, network.noise(2000, generator, given), given, n_evaluations=32, solver="rk4")
        features = network.features(x, given).reshape(2000, 8, -1)
    asked, got = network.split_given(given)[1][:, 0].numpy(), model._observed(features)[:, 0].numpy()
    assert np.corrcoef(asked, got)[0, 1] > 0.8
    assert abs(np.corrcoef(asked[::-1], got)[0, 1]) < 0.12  # the twin: observables of other sets, and 5 errors
    assert norm.cdf(got).mean() == pytest.approx(0.5, abs=0.04)  # their law too: 5 errors of 0.29 / 2000^(1/2)


@pytest.mark.parametrize("kind", ["epic", "attention"])
def test_velocities_permute_with_the_particles_and_padding_stays_at_zero(kind):
    torch.manual_seed(0)
    model = FlowMatching(network=kind, width=8, n_blocks=2, learning_rate=0.1, **TINY).fit(_sets())
    network = model._velocity().double()
    assert isinstance(network, VelocitySet)
    mask = torch.tensor([[1.0, 0, 1, 1], [1, 1, 0, 0]]).double()
    x = torch.randn(2, 4, 2).double() * mask[..., None]
    v = network(x.flatten(1), torch.full((2, 1), 0.3).double(), mask).reshape(2, 4, 2)
    assert (v[mask == 0] == 0).all()
    order = torch.tensor([2, 0, 3, 1])
    moved = network(x[:, order].flatten(1), torch.full((2, 1), 0.3).double(), mask[:, order]).reshape(2, 4, 2)
    torch.testing.assert_close(moved, v[:, order])


@pytest.mark.parametrize(  # numbers are drawn in one place for both
    "model",
    [
        GAN(generator=(8,), discriminator=(8,), **TINY),
        pytest.param(FlowMatching(width=8, **TINY), marks=pytest.mark.slow),
    ],
)
def test_samples_have_their_law_of_numbers_given_the_condition_and_shards_are_bit_identical(model):
    """N = 1 + label: after training on labels alone the shares start as those of all; shards begin where others end."""
    X = _sets()
    fitted = model.fit(X, COUNTS.astype(float))
    whole = fitted.sample(2100, random_state=3).values
    parts = np.concatenate(
        [np.concatenate(list(fitted.iter_sample(n, 3, start=k))) for k, n in ((0, 1500), (1500, 600))]
    )
    np.testing.assert_array_equal(parts, whole)
    counts = whole[..., -1].sum(1)
    assert set(counts) >= {1.0, 2.0, 3.0}
    assert (counts == 4).mean() < 0.008  # no training set has four: 1 / (4 * 217), and 5 errors
    assert (whole[..., :-1][whole[..., -1] == 0] == 0).all()
    assert abs((counts == 3).mean() - 0.5) < 0.06  # 5 errors of 2100 draws, and the shares of 216 of the 240 sets


def test_the_rate_of_a_gan_falls_after_a_quarter_of_the_run_with_sets_and_a_half_with_others():
    small = {"generator": (8,), "discriminator": (8,), **TINY, "max_steps": 4}
    table = np.random.default_rng(0).normal(size=(240, 2))
    for X, schedule, begin in ((_sets(), "cosine", 1), (table, "cosine", 2), (_sets(), "constant", 4)):
        assert GAN(schedule=schedule, **small).fit(X)._training.train_step.decay_from == begin


def test_the_rate_of_the_discriminator_of_sets_does_not_fall_with_that_of_the_generator():
    small = {"generator": (8,), "discriminator": (8,), **TINY, "max_steps": 40}
    for X, falls in ((_sets(), False), (np.random.default_rng(0).normal(size=(240, 2)), True)):
        step = GAN(**small).fit(X)._training.train_step
        step.rounds, step.step = dict.fromkeys(step.rounds, lambda inputs, _: inputs[1]), 39
        rates = step.train_step({"x": torch.zeros(1)}, torch.Generator())
        assert rates["g_rate"] < 0.05 * step.settings.generator_rate
        assert rates["d_rate"] == (rates["g_rate"] if falls else step.settings.discriminator_rate)


def test_the_epsilon_of_adam_is_larger_for_a_gan_on_sets():
    """What it does to a step: `tests/training/test_descent.py`."""
    small = {"generator": (8,), "discriminator": (8,), **TINY}
    for X, eps in ((_sets(), 1e-5), (np.random.default_rng(0).normal(size=(240, 2)), 1e-8)):
        step = GAN(**small).fit(X)._training.train_step
        assert [player.optimizer.param_groups[0]["eps"] for player in (step.g_descent, step.d_descent)] == [eps, eps]


def _activations_of(network):
    """Return the classes of the activations of a network."""
    return {type(part) for part in network.modules()} & {torch.nn.SiLU, torch.nn.LeakyReLU}


def test_the_discriminator_of_sets_alone_has_an_activation_without_a_level_place(tmp_path):
    """A unit at the minimum of SiLU learns nothing; a model saved when it was taken for both players keeps it."""
    small, (silu, leaky) = {"generator": (8,), "discriminator": (8,), **TINY}, (torch.nn.SiLU, torch.nn.LeakyReLU)
    X, table = _sets(), np.random.default_rng(0).normal(size=(240, 2))
    model = GAN(**small).fit(X)
    cases = ((model, silu, leaky), (GAN(**small).fit(table), silu, silu))
    cases += ((GAN(activation="silu", **small).fit(X), silu, silu),)
    cases += ((GAN(objective="wasserstein", **small).fit(X), leaky, leaky),)
    for fitted, of_generator, of_discriminator in cases:
        players = fitted._networks()
        assert _activations_of(players["generator"]) == {of_generator}
        assert _activations_of(players["discriminator"]) == {of_discriminator}
    assert model.resolved_["activation"] == "silu and, in the discriminator, leaky_relu"
    model._edition = 1
    model._build_networks()
    model._attachments = lambda: ({"best_replica": 0}, {})  # as it was saved before
    model.save(tmp_path / "before")
    before = load_model(tmp_path / "before")
    assert _activations_of(before._networks()["discriminator"]) == {silu}
    assert not before._networks()["discriminator"].sees_means
    assert _activations_of(GAN(**small).fit(X, start=before)._networks()["discriminator"]) == {silu}
    assert _activations_of(before.fit(X)._networks()["discriminator"]) == {leaky}


def test_the_features_by_which_sets_are_compared_know_no_order_and_see_correlations():
    y = torch.tensor([[[1.0, 2.0, 1], [3.0, -1.0, 1], [9.0, 9.0, 0]]])
    got = moments_of_sets(y)[0].tolist()
    expected = [2, 2, 0.5, 5, -0.5, 2.5, 14, 3.5, -3.5, 3.5, 1, -1, 3, 2]
    assert got == pytest.approx(expected)
    assert torch.equal(moments_of_sets(y[:, [2, 1, 0]]), moments_of_sets(y))


def test_what_sets_cannot_have_is_refused_in_a_sentence():
    X = _sets()
    for model, words in (
        (FlowMatching(observables=["mass"], **TINY), "a table for the observable 'mass', got sets"),
        (FlowMatching(network="mlp", **TINY), "'epic' or 'attention' for sets"),
        (GAN(generator="dcgan", **TINY), "generator='auto', 'epic' or 'attention'"),
        (GAN(augmentation=0.3, **TINY), "no augmentation for sets"),
        (GAN(reconstruction_weight=1.0, **TINY), "reconstruction_weight=0 for sets"),
    ):
        y = COUNTS if "reconstruction" in words else None
        with pytest.raises(InputError, match=words):
            model.fit(X, y)
    with pytest.raises(InputError, match="events without a mask"):
        FlowMatching(network="epic", **TINY).fit(np.zeros((20, 2)) + np.arange(20)[:, None])
