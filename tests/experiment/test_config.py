"""The configuration: durations, columns, YAML there and back."""

import shlex

import pytest
import yaml

from reverie.cli.main import main
from reverie.core.errors import InputError
from reverie.experiment.config import (
    RunConfig,
    all_options,
    command_of,
    flatten,
    format_duration,
    parse_columns,
    parse_duration,
    preset_arguments,
    preset_words,
    registered_name,
)
from reverie.experiment.run import make_model
from reverie.models import preset
from reverie.models.registry import ALIASES, model_class


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("90", 90), ("90s", 90), ("5m", 300), ("1.5h", 5400), ("1h30m", 5400), ("1h 30m", 5400), (".5m", 30), (7, 7)],
)
def test_durations(text, seconds):
    assert parse_duration(text) == seconds


@pytest.mark.parametrize("name", ["max_time", "checkpoint_every", "validation_time"])
def test_a_file_may_give_durations_as_numbers(name, tmp_path):
    path = tmp_path / "config.yaml"
    path.write_text(yaml.safe_dump({"data": "ring", "model": {"name": "gan"}, name: 90}))
    assert getattr(RunConfig.from_yaml(path), name) == "90"


@pytest.mark.parametrize("text", ["", "soon", "0", "-3", "5 minutes", "m", "5m!", "1:30"])
def test_bad_durations(text):
    with pytest.raises(InputError, match="Expected a duration such as 90s, 5m or 1h30m"):
        parse_duration(text)


@pytest.mark.parametrize(("seconds", "text"), [(3.2, "3.2 s"), (42, "42 s"), (187, "3 min 07 s"), (3900, "1 h 05 min")])
def test_durations_in_words(seconds, text):
    assert format_duration(seconds) == text


def test_columns():
    assert parse_columns(None) is None
    assert parse_columns("a, b") == ["a", "b"]
    with pytest.raises(InputError, match="twice"):
        parse_columns("a,a")
    with pytest.raises(InputError, match="between commas"):
        parse_columns("a,,b")


def test_yaml_there_and_back(tmp_path):
    config = RunConfig(data="ring", columns="x,y", max_time="5m", model={"name": "gan", "betas": (0.0, 0.9)})
    path = tmp_path / "config.yaml"
    path.write_text(config.to_yaml())
    again = RunConfig.from_yaml(path)
    assert again.model == {"name": "gan", "betas": [0.0, 0.9]}
    assert again.to_yaml() == config.to_yaml()


def test_an_unknown_key_is_answered_with_the_nearest(tmp_path):
    path = tmp_path / "config.yaml"
    path.write_text("data: ring\nsed: 3\nmodel: {name: gan}\n")
    with pytest.raises(InputError, match="Did you mean 'seed'"):
        RunConfig.from_yaml(path)


def test_flatten_goes_into_the_model_only():
    assert flatten({"a": {"b": 1}, "model": {"name": "gan"}}) == {"a": {"b": 1}, "model.name": "gan"}


def test_a_preset_belongs_to_its_model():
    assert preset_arguments("ebm", "du_mordatch")["step_size"] == 10.0
    assert "du_mordatch" in preset_words("ebm")
    assert "du_mordatch" not in preset_words("gan")
    with pytest.raises(InputError, match=r"preset of vae, got 'du_mordatch', which is one of ebm"):
        preset_arguments("vae", "du_mordatch")
    with pytest.raises(InputError, match="Did you mean 'lecture_mlp'"):
        preset_arguments("gan", "lecture_mpl")


@pytest.mark.parametrize(("written", "name"), [("GAN", "gan"), ("Auto", "auto"), ("Forest-Flow", "flow_matching")])
def test_a_name_in_another_spelling_is_that_of_the_registry(written, name):
    assert RunConfig(data="ring", model={"name": written}).model_name == name


def test_an_alias_is_resolved_to_its_model_and_arguments(capsys):
    """From Python, from the command line and as a preset it is one and the same model; what is given goes before."""
    (model, arguments), plain = ALIASES["diffusion"], {"name": "diffusion"}
    assert RunConfig(data="ring", model=plain).model == {"name": model, **arguments}
    assert RunConfig(data="ring", model={**plain, "n_evaluations": 7}).model_options["n_evaluations"] == 7
    texts = []
    for words in (["diffusion", "ring"], [model, "ring", "--preset", "diffusion"]):
        assert main(["run", *words, "--print-config"]) == 0
        texts.append(capsys.readouterr().out)
    assert texts[0] == texts[1]
    made = make_model(RunConfig(data="ring", model=plain)).get_params() | {"random_state": None}
    assert made == preset("diffusion").get_params()
    assert (made["stochasticity"] or 0) > 0 == model_class(model)().stochasticity
    assert main(["run", "diffusion", "ring", "--n-evaluations", "7", "--print-config"]) == 0
    assert "n_evaluations: 7" in capsys.readouterr().out
    with pytest.raises(InputError, match="Did you mean 'diffusion'"):
        registered_name("difusion")


def test_the_command_of_a_configuration_says_what_is_not_the_default(capsys):
    assert command_of(RunConfig(data="ring", model={"name": "gan"})) == "reverie run gan ring"
    options = {"refine": False, "generator": [8, 8], "max_steps": 30}
    config = RunConfig(data="a b.csv", no_validate=True, seed=2, model={"name": "gan", **options})
    line = command_of(config)
    assert line.startswith("reverie run gan 'a b.csv' --seed 2 --no-validate ")
    assert main([*shlex.split(line)[1:], "--print-config"]) == 0
    printed = yaml.safe_load(capsys.readouterr().out)["model"]
    assert printed == all_options(config) | {"name": "gan"}


def test_a_name_with_a_comma_stands_in_quotes():
    assert parse_columns('x, "energy, total [GeV]"') == ["x", "energy, total [GeV]"]
    with pytest.raises(InputError, match="names between commas"):
        parse_columns("")
