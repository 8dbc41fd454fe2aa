"""Citations: every method that a run can use has an entry, and the entries follow the configuration."""

import pytest

from reverie.cli.model_options import MODEL_NAMES
from reverie.core.bibliography import BIBLIOGRAPHY
from reverie.experiment.cite import method_keys
from reverie.experiment.config import RunConfig
from reverie.models.registry import MODELS, model_class
from reverie.objectives import OBJECTIVES, PENALTIES

KNOWN = set(BIBLIOGRAPHY)


def _config(**options):
    return RunConfig(data="ring", model={"name": "gan", **options})


@pytest.mark.parametrize("objective", list(OBJECTIVES))
def test_every_objective_is_cited(objective):
    keys = method_keys(_config(objective=objective), (2,))
    assert set(OBJECTIVES[objective].references) <= set(keys)
    assert set(keys) <= KNOWN


@pytest.mark.parametrize("penalty", list(PENALTIES))
def test_every_penalty_is_cited(penalty):
    keys = method_keys(_config(objective="hinge", penalty=penalty), (2,))
    assert set(PENALTIES[penalty].references) <= set(keys) <= KNOWN


def test_citations_follow_the_data_and_the_options():
    table, images = method_keys(_config(), (6,)), method_keys(_config(), (28, 28))
    assert "kessy2018" in table
    assert "radford2016" not in table
    assert "radford2016" in images
    assert "kessy2018" not in images
    assert "karras2020" not in method_keys(_config(penalty_every=1), (6,))
    assert "karras2020ada" not in table
    few = method_keys(_config(), (6,), None, {"augmentation": "adaptive"})  # what was left open came to it
    assert "karras2020ada" in few
    assert "kessy2018" not in method_keys(_config(whiten=False), (6,))
    assert "miyato2018" not in table
    assert "miyato2018" in method_keys(_config(spectral_norm=True), (6,))


def test_the_semi_supervised_model_has_citations_of_its_own():
    keys = method_keys(RunConfig(data="digits", model={"name": "semi_supervised_gan"}), (8, 8))
    assert {"salimans2016", "salimanskingma2016", "kingma2015"} <= set(keys) <= KNOWN
    assert "jolicoeurmartineau2018" not in keys


@pytest.mark.parametrize("name", [name for name in MODEL_NAMES if name != "gan"])
def test_every_model_without_an_opponent_is_cited(name):
    keys = method_keys(RunConfig(data="ring", model={"name": name}), (2,))
    assert len(keys) > 3
    assert set(keys) <= KNOWN


def test_options_of_models_without_an_opponent_are_cited_when_they_are_used():
    def keys(name, **options):
        return set(method_keys(RunConfig(data="ring", model={"name": name, **options}), (2,)))

    assert keys("vae", n_importance=5, beta=2.0) - keys("vae") == {"burda2016", "higgins2017"}
    assert keys("flow", kind="maf") - keys("flow") == {"papamakarios2017"}
    assert "durkan2019" in keys("flow")
    assert keys("autoencoder", noise=0.1) - keys("autoencoder") == {"vincent2010"}
    images = RunConfig(data="digits", model={"name": "flow_matching"})
    by_adamw, by_muon = (set(method_keys(images, (8, 8), None, {"optimizer": o})) for o in ("adamw", "muon"))
    assert by_muon - by_adamw == {"liu2025muon"}  # of many images; the training chooses it
    for kind in map(model_class, MODELS):
        assert {*kind.references, *(key for _, _, key in kind.option_references)} <= KNOWN


NETWORKS = ("auto", "mlp", "residual", "dcgan", "unet", "lecture_mlp", "thesis", "dcgan28", "wgan_conv")


@pytest.mark.parametrize("network", NETWORKS)
def test_every_network_has_its_entries(network):
    keys = method_keys(_config(generator=network, discriminator="auto"), (28, 28), (28, 28))
    assert set(keys) <= KNOWN
    assert len(keys) == len(set(keys))


def test_conditions_are_cited_as_they_are_used():
    def keys(condition_shape=None, condition="label", **options):
        config = RunConfig(data="digits", condition=condition, model={"name": "gan", **options})
        return method_keys(config, (8, 8), condition_shape)

    assert "miyatokoyama2018" in keys()
    assert "miyatokoyama2018" not in keys(condition=None)
    assert "mirza2014" in keys(condition_mode="concatenate")
    assert "odena2017" in keys(condition_mode="auxiliary", auxiliary_weight=1.0)
    assert "ronneberger2015" in keys(condition_shape=(8, 8))
    assert "ronneberger2015" not in keys(condition_shape=(3,))
    assert "isola2017" in keys(reconstruction_weight=1.0)


def test_the_watch_and_the_bag_are_cited_when_used():
    assert "naeem2020" in method_keys(_config(), (2,))
    assert "naeem2020" not in method_keys(_config(n_checks=0), (2,))
    assert "azadi2019" in method_keys(_config(), (2,))
    assert "azadi2019" not in method_keys(_config(refine=False), (2,))
    assert "azadi2019" not in method_keys(_config(), (8, 8))
    assert "breiman1996" in method_keys(_config(n_replicas=3), (2,))
    assert "breiman1996" not in method_keys(_config(n_replicas=3, ensemble="best"), (2,))
    assert "srivastava2014" in method_keys(_config(generator="dcgan28", discriminator="dcgan28"), (28, 28))


@pytest.mark.parametrize(("name", "key"), [("flow_matching", "bao2022"), ("gan", "liu2020")])
def test_clusters_are_cited_where_a_training_came_to_some(name, key):
    config = RunConfig(data="mnist", model={"name": name})
    assert key in method_keys(config, (28, 28), None, {"image_clusters": 200})
    assert key not in method_keys(config, (28, 28), None, {"image_clusters": 0})
    assert key not in method_keys(config, (28, 28))


def test_a_kinematic_fit_is_cited_where_there_are_observables():
    assert "nocedal2006" in method_keys(_config(observables=["mass"]), (6,))
    assert "nocedal2006" not in method_keys(_config(), (6,))
    assert "nocedal2006" not in method_keys(_config(observables=["mass"], kinematic_fit=False), (6,))
    assert "nocedal2006" in method_keys(_config(name="flow_matching", observables=["mass"]), (6,))
    assert "nocedal2006" not in method_keys(_config(name="flow_matching"), (6,))
