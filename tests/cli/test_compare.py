"""`reverie compare` on runs that were trained."""

import json
import shutil

import pytest
import yaml


@pytest.fixture
def twin(finished, tmp_path):
    """A copy of the finished run that is a little worse and has another seed."""
    path = tmp_path / "y"
    shutil.copytree(finished, path)
    content = json.loads((path / "validation.json").read_text())
    content["auc"]["value"] = min(1.0, content["auc"]["value"] + 0.001)
    (path / "validation.json").write_text(json.dumps(content))
    config = yaml.safe_load((path / "config.yaml").read_text())
    (path / "config.yaml").write_text(yaml.safe_dump({**config, "seed": config["seed"] + 1}))
    return path


def test_a_table_and_sentences(call, finished, twin):
    code, out, err = call("compare", finished, twin)
    assert (code, err) == (0, "")
    assert out.startswith("Rank")
    assert "are not told apart" in out
    assert "group 1" in out  # both are of one configuration
    assert out.splitlines()[-1].startswith("Note: The seeds differ")


def test_json_alone(call, finished, twin, tmp_path):
    code, out, _ = call("compare", finished, "--json", twin, "--out", tmp_path / "out", "--by", "energy")
    assert code == 0
    content = json.loads(out)
    assert content["by"] == "energy distance"
    assert content == json.loads((tmp_path / "out" / "comparison.json").read_text(encoding="utf-8"))


def test_the_page_is_named(call, finished, twin, tmp_path):
    _, out, _ = call("compare", "--out", tmp_path / "out", finished, twin)
    assert out.splitlines()[-1] == f"page: {tmp_path / 'out' / 'comparison.html'}"
    assert (tmp_path / "out" / "comparison.html").is_file()


@pytest.mark.parametrize("n", [0, 1])
def test_too_few_runs(call, finished, n):
    code, out, err = call("compare", *[finished][:n])
    assert (code, out) == (2, "")
    assert err.startswith(f"error: Expected two or more run folders, got {n}.")


def test_bad_options(call, finished, twin):
    for options, words in [
        (("--by", "enrgy"), "energy"),
        (("--alpha", "2"), "between 0 and 1"),
        (("--bye", "auc"), "--by"),
    ]:
        code, _, err = call("compare", finished, twin, *options)
        assert code == 2
        assert words in err
        assert len(err.splitlines()) == 1
