"""Fine-tuning: training starts at the weights and the change of variables of a fitted model."""

from typing import Any

import numpy as np
import pytest
import torch

from reverie.core.errors import InputError
from reverie.models import EBM, GAN, RBM, VAE, Autoencoder, Flow, FlowMatching, load_model

TINY: dict[str, Any] = {"max_steps": 6, "record_every": 3, "n_checks": 1, "random_state": 0}
STILL: dict[str, Any] = TINY | {"learning_rate": 1e-9, "random_state": 1}
MODELS: dict[str, Any] = {
    "GAN": (GAN, {"generator": (8,), "discriminator": (8,)}),
    "RBM": (RBM, {"n_hidden": 4}),
    "RBM pcd": (RBM, {"n_hidden": 4, "method": "pcd"}),
    "EBM": (EBM, {"energy": (8,), "buffer_size": 32, "n_sample_steps": 4, "n_temperatures": 10, "n_annealed": 8}),
    "VAE": (VAE, {"encoder": (8,), "decoder": (8,), "n_latent": 2}),
    "Flow": (Flow, {"hidden": (8,), "n_transforms": 1}),
    "FlowMatching": (FlowMatching, {"width": 8, "n_blocks": 1}),
    "Autoencoder": (Autoencoder, {"encoder": (8,), "decoder": (8,), "n_latent": 1}),
}


@pytest.fixture(scope="module")
def events():
    return np.random.default_rng(0).normal(3.0, 2.0, (400, 2))


def _distance(model, other):
    """Return the largest difference of two models' weights."""
    pairs = ((x, other._networks()[k].state_dict()) for k, x in model._networks().items())
    return max(
        float((x.double() - y[name].double()).abs().max()) for net, y in pairs for name, x in net.state_dict().items()
    )


@pytest.mark.parametrize("name", [pytest.param(n, marks=pytest.mark.slow) if n == "EBM" else n for n in MODELS])
def test_a_training_of_no_length_keeps_the_weights_of_its_start(name, events, tmp_path):
    make, sizes = MODELS[name]
    first = make(**TINY, **sizes).fit(events)
    kept = make(**STILL, **sizes).fit(events + 1.0, start=first)
    assert _distance(kept, first) < 1e-5
    assert kept.preprocessing_.transform.to_json() == first.preprocessing_.transform.to_json()
    assert _distance(make(**STILL, **sizes).fit(events), first) > 1e-3  # a fresh one
    loaded = load_model(first.save(tmp_path / "model"))
    assert _distance(make(**STILL, **sizes).fit(events, start=loaded), first) < 1e-5


def test_a_model_can_start_at_itself(events):
    sizes = MODELS["VAE"][1]
    model, same = (VAE(**TINY, **sizes).fit(events) for _ in range(2))
    assert _distance(model.set_params(learning_rate=1e-9).fit(events, start=model), same) < 1e-5


@pytest.mark.slow
def test_what_was_learnt_before_helps_where_events_are_few():
    """Held-out log-likelihood of 100 events of a shifted law, after 60 steps; the margin is ten times its error."""
    rng = np.random.default_rng(0)
    law = lambda n, shift: rng.normal(size=(n, 2)) @ [[1.0, 0.9], [0.0, 0.3]] + shift  # noqa: E731
    before, few, test = law(4000, 0.0), law(100, 0.2), law(2000, 0.2)
    small = {"hidden": (32,), "n_transforms": 2}  # sizes that do not hang on the number of events
    first = Flow(max_steps=100, random_state=0, **small).fit(before)
    short = small | {"max_steps": 20, "random_state": 1, "learning_rate": 1e-3}
    tuned = Flow(**short).fit(few, start=first).log_likelihood(test).mean
    fresh = Flow(**short).fit(few).log_likelihood(test).mean
    assert tuned.value - fresh.value > 10 * tuned.error


@pytest.mark.parametrize("make", [Flow, VAE, pytest.param(FlowMatching, marks=pytest.mark.slow)])
def test_sizes_that_hang_on_the_number_of_events_are_those_of_the_start(make, tmp_path):
    rng = np.random.default_rng(0)
    first = make(**TINY).fit(rng.normal(size=(3000, 2)))
    tuned = make(**STILL).fit(rng.normal(size=(300, 2)), start=first)
    assert _distance(tuned, first) < 1e-5
    again = load_model(tuned.save(tmp_path / "model"))
    np.testing.assert_array_equal(again.sample(9, random_state=0), tuned.sample(9, random_state=0))


def test_a_gan_starts_with_the_discriminator_of_the_training(events):
    sizes = MODELS["GAN"][1]
    first = GAN(**TINY, **sizes).fit(events)
    kept = GAN(**STILL, **sizes).fit(events, start=first)
    pairs = zip(kept._step.D.parameters(), first._step.D.parameters(), strict=True)
    assert max(float((x - y).detach().abs().max()) for x, y in pairs) < 1e-5


def test_conditions_keep_their_codes(events):
    y = np.array(["e", "mu", "tau"])[np.arange(400) % 3]
    sizes = MODELS["VAE"][1]
    first = VAE(**TINY, **sizes).fit(events, y)
    some = y != "e"
    kept = VAE(**STILL, **sizes).fit(events[some], y[some], start=first)
    x, z = (m.sample(20, random_state=0, condition="mu") for m in (kept, first))
    np.testing.assert_allclose(x, z, rtol=1e-4)
    assert set(kept.sample_conditions(50, random_state=0).ravel()) == {1, 2}
    with pytest.raises(InputError, match="'pi'"):
        VAE(**STILL, **sizes).fit(events, np.where(some, y, "pi"), start=first)
    with pytest.raises(InputError, match="Expected one condition of shape"):
        VAE(**STILL, **sizes).fit(events, y[:10], start=first)


def test_replicas_start_at_replicas_or_all_at_one(events):
    sizes = MODELS["VAE"][1]
    one = VAE(**TINY, **sizes).fit(events)
    both = VAE(**STILL, **sizes, n_replicas=2).fit(events, start=one)
    assert all(_distance(replica, one) < 1e-5 for replica in both.replicas_)
    again = VAE(**STILL, **sizes, n_replicas=2).fit(events, start=both)
    assert all(_distance(a, b) < 1e-5 for a, b in zip(again.replicas_, both.replicas_, strict=True))
    with pytest.raises(InputError, match="3 replicas"):
        VAE(**STILL, **sizes, n_replicas=3).fit(events, start=both)


def test_a_resumed_fine_tuning_is_exact(events):
    sizes = MODELS["VAE"][1]
    first = VAE(**TINY, **sizes).fit(events)
    options: dict[str, Any] = TINY | sizes | {"random_state": 2}
    whole = VAE(**options).fit(events + 1, start=first)
    broken: Any = VAE(**options)
    next(records := broken.iter_fit(events + 1, start=first))
    state = broken.training_state()
    records.close()
    resumed = VAE(**options)
    list(resumed.iter_fit(events + 1, start=first, resume=state))
    np.testing.assert_array_equal(resumed.sample(20, random_state=0), whole.sample(20, random_state=0))


def test_what_cannot_be_started_at_is_refused_in_words(events):
    sizes = MODELS["VAE"][1]
    first = VAE(**TINY, **sizes).fit(events)
    cases: list[tuple[Any, dict[str, Any], Any, str]] = [
        (RBM(), {}, events, "Expected a fitted VAE to start at, got RBM"),
        (first, {"n_latent": 3}, events, "networks of the same sizes"),
        (first, {}, events[:, :1], r"those of the start"),
        (first, {}, {"a": events[:, 0], "b": events[:, 1]}, "those of the start, got .* with a, b"),
    ]
    for start, options, X, word in cases:
        with pytest.raises(InputError, match=word):
            VAE(**TINY | sizes | options).fit(X, start=start)
    trees = FlowMatching(network="trees", n_trees=2, n_evaluations=4, random_state=0).fit(events)
    with pytest.raises(InputError, match="got TreeStep"):
        FlowMatching(network="trees", n_trees=2, n_evaluations=4, random_state=0).fit(events, start=trees)


def test_more_steps_take_up_a_finished_training(events):
    """The learning rate is still constant where the shorter run stopped: the longer one then ends at the same bits."""
    sizes = MODELS["GAN"][1] | {"n_checks": 0, "max_steps": 40, "refine": False}
    short: Any = GAN(**TINY | sizes)
    whole = GAN(**TINY | sizes | {"max_steps": 80}).fit(events)
    records = short.iter_fit(events)
    while next(records).step < 18:
        pass
    state = short.training_state()
    records.close()
    longer = GAN(**TINY | sizes | {"max_steps": 80})
    list(longer.iter_fit(events, resume=state))
    np.testing.assert_array_equal(longer.sample(20, random_state=0), whole.sample(20, random_state=0))
    assert longer.n_iter_ == 80
    ended = GAN(**TINY | sizes).fit(events)
    assert ended._step.end == 40
    state = ended.training_state() | {"is_over": True}  # as an alarm would have left it
    longer = GAN(**TINY | sizes | {"max_steps": 80})
    list(longer.iter_fit(events, resume=state))
    assert (longer.n_iter_, longer._step.end) == (80, 80)
    assert torch.isfinite(torch.as_tensor(longer.sample(20, random_state=0))).all()


@pytest.mark.slow
def test_more_steps_take_up_a_training_that_ended_before_its_last_step():
    events = np.random.default_rng(0).normal(size=(200, 2))
    options: dict[str, Any] = TINY | {"max_steps": 2_000, "n_checks": 100, "encoder": (32,), "decoder": (32,)}
    ended = VAE(**options).fit(events)
    step, state = ended.n_iter_, ended.training_state()
    assert step < 2_000
    longer: Any = VAE(**dict(options, max_steps=4_000))
    next(records := longer.iter_fit(events, resume=state))
    assert longer.n_iter_ > step
    records.close()
