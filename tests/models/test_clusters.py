"""Images in clusters: their shares and centres, the bound on log p, and when a training takes them."""

import math

import numpy as np
import pytest
import torch

from reverie.core.errors import InputError
from reverie.models import GAN, FlowMatching, load_model
from reverie.models.clusters import Clusters
from reverie.models.density_features import Coordinates
from reverie.models.flow_matching.unet import VelocityUNet
from reverie.models.flow_matching.velocity import EDITION
from reverie.networks.init import initialise

GAME = {
    "generator": "dcgan",
    "discriminator": "dcgan",
    "max_steps": 2,
    "n_checks": 1,
    "random_state": 0,
    "n_threads": 1,
}
TINY = {"width": 8, "n_evaluations": 4, "max_steps": 1, "n_checks": 0, "random_state": 0, "n_threads": 1}


def patterns(n: int, *, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    """Return events (n, 40) about three centres far apart, and which of them each belongs to, in shares 1 : 2 : 5."""
    rng = np.random.default_rng(seed)
    kind = rng.choice(3, n, p=[1 / 8, 2 / 8, 5 / 8])
    centres = 5.0 * np.random.default_rng(7).normal(size=(3, 40))
    return torch.from_numpy((centres[kind] + rng.normal(size=(n, 40))).astype("f4")), torch.from_numpy(kind)


def fitted(x: torch.Tensor, weight: torch.Tensor | None = None) -> Clusters:
    clusters = Clusters(3, x.shape[1])
    clusters.fit(x, weight, seed=0)
    return clusters


def test_clusters_that_lie_apart_are_found_with_their_centres_and_shares():
    x, kind = patterns(4000)
    clusters = fitted(x)
    found = clusters.of(x)
    assert found.shape == (4000, 3)
    assert torch.equal(found.sum(1), torch.ones(4000))
    for k in range(3):
        mine = found[kind == k].mean(0)
        j = int(mine.argmax())
        assert mine[j] == 1.0
        share = float((kind == k).float().mean())
        assert float(clusters.log_shares[j].exp()) == pytest.approx(share, abs=1e-3)
        torch.testing.assert_close(clusters.centres[j], x[kind == k].mean(0), atol=0.1, rtol=0)


def test_shares_go_by_the_weights_of_the_events_and_no_cluster_is_impossible():
    x, kind = patterns(4000)
    weight = torch.where(kind == 0, 4.0, 1.0)
    clusters, plain = fitted(x, weight), fitted(x)
    rare = int(clusters.of(x[kind == 0][:1]).argmax())
    exact = float(4 * (kind == 0).sum() / weight.sum())
    assert float(clusters.log_shares[rare].exp()) == pytest.approx(exact, abs=1e-3)
    assert float(plain.log_shares[rare].exp()) < exact / 2  # the twin
    plain.count(x[kind != 0], None)
    assert 0 < float(plain.log_shares[rare].exp()) < 1e-3


def test_clusters_are_drawn_by_their_shares():
    clusters = fitted(patterns(4000)[0])
    u = (torch.arange(100_000, dtype=torch.float64) + 0.5) / 100_000
    drawn = clusters.drawn(u)
    assert torch.equal(drawn.sum(1), torch.ones(len(u), dtype=drawn.dtype))
    torch.testing.assert_close(drawn.mean(0).log(), clusters.log_shares.double(), atol=1e-3, rtol=0)
    torch.testing.assert_close(clusters.log_share(drawn), clusters.log_shares.double()[drawn.argmax(1)])


def test_the_likelihood_of_an_untrained_model_is_that_of_the_noise_times_the_share():
    """Its velocity knows no cluster, so the bound lacks the log of the share, and no more."""
    images = patterns(400)[0].reshape(-1, 5, 8).numpy().astype("f8")
    still = TINY | {"learning_rate": 1e-12, "preprocessing": "standardise", "network": "unet"}
    known, plain = (FlowMatching(image_clusters=k, **still).fit(images) for k in (3, 0))
    clusters = known._velocity().clusters
    share = clusters.log_share(clusters.of(known.preprocessing_.features(images).flatten(1))).numpy()
    assert np.ptp(share) > math.log(2)
    bound, value = known.log_likelihood(images[:50]).values, plain.log_likelihood(images[:50]).values
    np.testing.assert_allclose(bound - value, share[:50], atol=1e-3)


def test_samples_have_the_shares_of_the_clusters():
    """Of 2,048 samples, within 4.5 standard deviations of a binomial law: a false alarm in 50,000."""
    images = patterns(3000)[0].reshape(-1, 5, 8).numpy()
    model = FlowMatching(
        **dict(TINY, max_steps=400, n_evaluations=16), batch_size=64, image_clusters=3, network="unet"
    ).fit(images)
    clusters = model._velocity().clusters
    features = model.preprocessing_.features(model.sample(2048, random_state=1))
    found, share = clusters.of(features.flatten(1)).mean(0), clusters.log_shares.exp()
    spread = (share * (1 - share) / 2048).sqrt()
    assert ((found - share).abs() / spread).max() < 4.5
    assert ((found - 1 / 3).abs() / spread).max() > 4.5  # the twin: clusters drawn equally often


@pytest.mark.parametrize(
    ("n", "shape", "options", "expected"),
    [
        (2400, (6, 6), {}, 24),
        (50_000, (6, 6), {}, 500),
        (1900, (6, 6), {}, 0),  # few stay together
        (2400, (5, 6), {}, 0),  # log p stays exact
        (2400, (6, 6), {"periodic": True}, 0),
        (2400, (6, 6), {"network": "mlp"}, 0),
        (2400, (6, 6), {"image_clusters": 7}, 7),
        (2400, (6, 6), {"image_clusters": 0}, 0),
        (2400, (36,), {}, 0),
    ],
)
def test_many_images_without_conditions_are_learnt_in_clusters(n, shape, options, expected):
    images = np.random.default_rng(0).normal(size=(n, *shape)).astype("f4")
    model = FlowMatching(**TINY, **options).fit(images)
    clusters = getattr(model._velocity(), "clusters", None)
    assert (0 if clusters is None else len(clusters.centres)) == expected
    assert model.resolved_.get("image_clusters", expected) == expected


def test_images_with_conditions_have_no_clusters_and_asking_for_some_is_refused():
    images = np.random.default_rng(0).normal(size=(2400, 6, 6)).astype("f4")
    label = np.arange(2400) % 3
    assert FlowMatching(**TINY).fit(images, label)._velocity().clusters is None
    with pytest.raises(InputError, match="Expected image_clusters=4 for images without conditions"):
        FlowMatching(**TINY, image_clusters=4).fit(images, label)
    with pytest.raises(InputError, match="image_clusters"):
        FlowMatching(**TINY, image_clusters=1001).fit(images)
    assert len(FlowMatching(**TINY, image_clusters=1000).fit(images[:300])._velocity().clusters.centres) == 150
    with pytest.raises(InputError, match="Expected image_clusters=4 for images without conditions"):
        FlowMatching(**TINY, image_clusters=4).fit(images.reshape(2400, 36))


def test_the_unet_sees_the_centre_of_the_cluster_and_that_of_the_former_edition_its_number():
    """Two clusters with one centre are one to the network, but not to the former one."""
    x = torch.randn(4, 36, generator=torch.Generator().manual_seed(0))
    first, second = torch.eye(3)[[0, 0, 0, 0]], torch.eye(3)[[1, 1, 1, 1]]
    for edition, is_same in ((EDITION, True), (5, False)):
        sizes = {"n_clusters": 3, "width": 8, "edition": edition}
        network = VelocityUNet(Coordinates(36), (6, 6), **sizes)
        initialise(network, torch.Generator().manual_seed(1), allow_zero=False)
        network.clusters.centres.copy_(torch.randn(3, 36, generator=torch.Generator().manual_seed(2)))
        t = torch.full((4, 1), 0.5)
        apart = (network(x, t, first) - network(x, t, second)).detach().abs().max()
        network.clusters.centres[1] = network.clusters.centres[0]
        together = (network(x, t, first) - network(x, t, second)).detach().abs().max()
        assert apart > 1e-3
        assert (together == 0) == is_same


def test_a_start_gives_its_clusters_and_the_events_their_shares():
    x, kind = patterns(3000)
    images = x.reshape(-1, 5, 8).numpy()
    options = TINY | {"network": "unet", "image_clusters": 3}
    first = FlowMatching(**options).fit(images)
    model = FlowMatching(**options).fit(images[kind.numpy() != 2], start=first)
    before, after = first._velocity().clusters, model._velocity().clusters
    assert torch.equal(after.centres, before.centres)
    common = int(before.of(first.preprocessing_.features(images[kind.numpy() == 2][:1]).flatten(1)).argmax())
    assert float(before.log_shares[common].exp()) == pytest.approx(5 / 8, abs=0.03)
    assert float(after.log_shares[common].exp()) < 1e-2


def test_the_nearest_centre_among_observed_values_looks_at_these_alone():
    x, kind = patterns(2000)
    clusters = fitted(x)
    observed = torch.zeros(2000, 40, dtype=torch.bool)
    observed[:, :10] = True
    hidden = torch.where(observed, x, 1e6 * torch.ones(()))
    assert torch.equal(clusters.nearest(hidden, observed), clusters.nearest(x))
    assert not torch.equal(clusters.nearest(hidden), clusters.nearest(x))  # the twin


def test_both_players_of_a_game_are_given_the_cluster():
    images = patterns(3000)[0].reshape(-1, 5, 8).numpy()
    model = GAN(image_clusters=3, **GAME).fit(images)
    D, x = model._step.D, torch.zeros(3, 5, 8)
    assert float(D(x, condition=torch.eye(3)).detach().std()) > 0
    z = torch.zeros(3, model._step.settings.n_noise)
    assert float(model._samples_from()(z, torch.eye(3)).detach().std(0).max()) > 0
    assert model.conditions_ is None


def test_a_loaded_game_knows_its_clusters(tmp_path):
    images = patterns(3000)[0].reshape(-1, 5, 8).numpy()
    model = GAN(image_clusters=3, **GAME).fit(images)
    loaded = load_model(model.save(tmp_path / "model"))
    assert torch.equal(loaded.discriminate(images[:9]), model.discriminate(images[:9]))
    np.testing.assert_array_equal(loaded.sample(9, random_state=0), model.sample(9, random_state=0))
    observed = np.zeros((5, 8), dtype=bool)
    observed[:3] = True
    completed = loaded.complete(images[:3], observed, random_state=0)
    np.testing.assert_array_equal(completed[:, :3], images[:3, :3])


@pytest.mark.parametrize(
    ("options", "expected"),
    [({}, 24), ({"image_clusters": 0}, 0), ({"generator": "mlp"}, 0), ({"periodic": True, "generator": "auto"}, 0)],
)
def test_games_of_many_images_have_clusters_where_both_networks_are_convolutional(options, expected):
    images = np.random.default_rng(0).normal(size=(2400, 8, 8)).astype("f4")
    game = GAME | {"discriminator": "auto" if "periodic" in options else "dcgan"} | options
    clusters = GAN(**game).fit(images)._samples_from().clusters
    assert (0 if clusters is None else len(clusters.centres)) == expected


def test_games_with_conditions_have_no_clusters_and_asking_for_some_is_refused():
    images = np.random.default_rng(0).normal(size=(2400, 8, 8)).astype("f4")
    assert GAN(**GAME).fit(images, np.arange(2400) % 3)._samples_from().clusters is None
    with pytest.raises(InputError, match="Expected image_clusters=4 for images without conditions"):
        GAN(image_clusters=4, **GAME).fit(images, np.arange(2400) % 3)
