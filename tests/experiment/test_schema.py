"""The JSON schema of config.yaml: what a run writes is valid, what a run refuses is not."""

import json
from dataclasses import fields
from pathlib import Path

import pytest
import yaml

from reverie.cli.main import main
from reverie.experiment.config import RunConfig, all_options, model_class, model_names
from reverie.experiment.schema import config_schema

RUNS = Path(__file__).parents[1] / "cli" / "runs_0_1"


@pytest.fixture(scope="module")
def schema():
    return config_schema()


@pytest.fixture(scope="module")
def errors(schema):
    jsonschema = pytest.importorskip("jsonschema", reason="the package jsonschema is not installed")
    jsonschema.Draft202012Validator.check_schema(schema)
    validator = jsonschema.Draft202012Validator(schema)
    return lambda content: [error.message for error in validator.iter_errors(content)]


def test_every_key_and_option_has_an_entry_with_its_sentence(schema):
    assert list(schema["properties"]) == [f.name for f in fields(RunConfig)]
    known = schema["$defs"]
    for name in model_names():
        config = RunConfig(data="ring", model={"name": name})
        options = known[model_class(config.model_name).__name__]["properties"]
        assert set(options) == {"name", *all_options(config)}
        assert all(entry["description"] for key, entry in options.items() if key != "name")
    gan = known["GAN"]["properties"]
    assert gan["max_steps"] | {"description": ""} == {
        "description": "", "type": "integer", "minimum": 1, "default": model_class("gan")().max_steps,
    }  # fmt: skip
    assert gan["on_alarm"]["enum"] == ["warn", "stop", "rollback"]
    assert gan["validation_fraction"]["exclusiveMaximum"] == 1


def test_it_is_printed_and_written(schema, tmp_path, capsys):
    assert main(["schema"]) == 0
    assert json.loads(capsys.readouterr().out) == schema
    assert main(["schema", "--out", str(tmp_path / "s.json")]) == 0
    assert json.loads((tmp_path / "s.json").read_text()) == schema


@pytest.mark.parametrize("name", model_names())
def test_what_a_run_writes_is_valid(errors, name):
    config = RunConfig(data="ring", model={"name": name})
    assert not errors(yaml.safe_load(config.to_yaml()))
    whole = RunConfig(data="ring", model={"name": config.model_name, **all_options(config)})
    assert not errors(yaml.safe_load(whole.to_yaml()))


def test_runs_of_older_versions_are_valid(errors):
    for run in RUNS.iterdir():
        assert not errors(yaml.safe_load((run / "config.yaml").read_text()))


@pytest.mark.parametrize(
    "wrong",
    [
        {"seeds": 1}, {"seed": "one"}, {"drop_missing": 3}, {"data": None}, {"model": {"name": "gna"}}, {"model": {}},
        {"model": {"name": "gan", "max_step": 5}}, {"model": {"name": "gan", "max_steps": 0}},
        {"model": {"name": "gan", "on_alarm": "halt"}}, {"model": {"name": "vae", "generator": [8]}},
    ],
)  # fmt: skip
def test_what_a_run_refuses_is_not(errors, wrong):
    good = {"data": "ring", "columns": ["x", "y"], "max_time": 90, "validation_time": 30, "model": {"name": "gan"}}
    assert not errors(good)
    assert errors(good | wrong)
