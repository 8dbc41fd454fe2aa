"""`reverie data`: the catalogue, a description, a schema to edit."""

import pytest
import yaml

from reverie.experiment.folder import RunFolder


def test_the_catalogue_is_listed(call):
    code, out, _ = call("data", "list")
    assert code == 0
    listed = {line.split()[0] for line in out.splitlines()}
    assert listed >= {"digits", "mnist", "binarized_mnist", "dimuon_z", "dimuon_upsilon", "magic", "planck_plik_lite"}
    assert listed >= {"ring", "grid", "swiss_roll"}
    assert call("data")[1] == out


def test_a_file_is_described(call, table):
    code, out, _ = call("data", "describe", table, "--columns", "px,pz")
    assert code == 0
    assert "240 events" in out
    assert "continuous" in out
    assert "\npx" in out
    assert "\npy" not in out


@pytest.mark.slow  # quick: those of tests/models/test_symmetries.py
def test_symmetries_that_hold_are_proposed_and_shown_in_the_report_of_a_run(call, table, tmp_path, tiny):
    out = call("data", "describe", table)[1]
    assert "  reflect px: broken (p = " in out
    assert '--symmetries "negate" trains' in out
    run = ("run", "gan", table, "--out", tmp_path / "x", "--no-validate", *tiny)
    code, _, err = call(*run, "--symmetries", "negate,reflect px")
    assert code == 2
    assert "Expected data with the symmetry 'reflect px', got data that break it: p = " in err
    assert not (tmp_path / "x").exists()
    assert call(*run, "--symmetries", "negate,reflect px", "--on-broken-symmetry", "warn")[0] == 0
    report = (tmp_path / "x" / "report.html").read_text()
    assert "symmetry &#39;negate&#39;: p-value" in report
    assert "samples have it, the data do not" in report
    assert "Group-Theoretic Framework" in report


def test_a_catalogue_name_is_described(call, monkeypatch):
    monkeypatch.setattr("reverie.experiment.datasets._MOST_TESTED", 500)  # events that symmetries are tested on
    code, out, _ = call("data", "describe", "ring")
    assert code == 0
    assert "sha256" in out


def test_an_edited_schema_is_used(call, table, tmp_path, tiny):
    path = tmp_path / "schema.yaml"
    assert call("data", "describe", table, "--schema", path)[0] == 0
    assert call("data", "describe", table, "--schema", path)[0] == 2  # not overwritten unasked
    content = yaml.safe_load(path.read_text())
    content["columns"][0]["unit"] = "GeV"
    path.write_text(yaml.safe_dump(content))
    out = tmp_path / "x"
    assert call("fit", "gan", table, "--schema", path, "--out", out, *tiny)[0] == 0
    assert RunFolder(out).read_json("data.json")["schema"]["columns"][0]["unit"] == "GeV"


def test_a_schema_of_other_columns_is_refused(call, table, tmp_path):
    path = tmp_path / "schema.yaml"
    assert call("data", "describe", table, "--columns", "px", "--schema", path)[0] == 0
    code, _, err = call("fit", "gan", table, "--schema", path, "--out", tmp_path / "x")
    assert code == 2
    assert "schema" in err
