"""What a release is made of agrees with pyproject.toml: recipe, workflow, container, extras, typing marker."""

import re
import tomllib
from pathlib import Path

import yaml

import reverie

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
OF_CONDA = {"torch": "pytorch", "matplotlib": "matplotlib-base"}
OF_JSONARGPARSE = {"docstring_parser", "typeshed_client", "shtab"}  # its extras, which conda does not know


def test_the_recipe_asks_for_what_the_project_asks_for():
    text = (ROOT / "recipe" / "meta.yaml").read_text(encoding="utf-8")
    run = yaml.safe_load(re.sub(r"\{\{.*?\}\}", "0", text))["requirements"]["run"]
    recipe = {name: bounds for name, _, bounds in (line.partition(" ") for line in run)}
    wanted = {"python": PROJECT["requires-python"]}
    for line in PROJECT["dependencies"]:
        name, _, bounds = re.fullmatch(r"([\w-]+)(\[.*\])?(.*)", line).groups()
        wanted[OF_CONDA.get(name, name.lower())] = bounds
    assert recipe == wanted | dict.fromkeys(OF_JSONARGPARSE, "")


def test_the_workflow_tries_the_oldest_and_newer_versions_of_python():
    jobs = yaml.safe_load((ROOT / ".github" / "workflows" / "tests.yml").read_text(encoding="utf-8"))["jobs"]
    versions = jobs["tests"]["strategy"]["matrix"]["python"]
    assert f">={versions[0]}" == PROJECT["requires-python"]
    assert {f"Programming Language :: Python :: {version}" for version in versions} <= set(PROJECT["classifiers"])
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    for job in jobs.values():
        target = job["steps"][-1]["run"].split()[1]
        assert re.search(rf"^{target}:", makefile, flags=re.MULTILINE), target


def test_the_container_copies_what_is_there_and_runs_as_a_user():
    text = (ROOT / "Containerfile").read_text(encoding="utf-8")
    for line in re.findall(r"^COPY (.*) \S+$", text, flags=re.MULTILINE):
        for name in line.split():
            assert (ROOT / name).exists()
            assert f"!{name}" in (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    extras = re.search(r'"\.\[(.*)\]"', text)[1].split(",")
    assert set(extras) <= set(PROJECT["optional-dependencies"])
    assert text.index("USER user") < text.index("ENTRYPOINT")


def test_the_container_has_what_the_wheel_is_made_of():
    wheel = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["hatch"]["build"]["targets"][
        "wheel"
    ]
    copied = (ROOT / "Containerfile").read_text(encoding="utf-8")
    for folder in (*wheel["packages"], *wheel["force-include"]):
        top = folder if folder in wheel["force-include"] else folder.split("/")[0]
        assert re.search(rf"^COPY {top} {top}$", copied, flags=re.MULTILINE), folder


def test_recipe_and_citation_have_the_version_of_the_package():
    for name in ("recipe/meta.yaml", "CITATION.cff"):
        version = re.search(r"^ *version: .*?(\d+\.\d+\.\d+)", (ROOT / name).read_text(encoding="utf-8"), re.M)[1]
        assert version == reverie.__version__, name


def test_every_extra_that_a_sentence_names_exists():
    named = set()
    for path in (ROOT / "src").rglob("*.py"):
        named |= set(re.findall(r'MissingDependencyError\([^,]+, "(\w+)"', path.read_text(encoding="utf-8")))
    assert {"frames", "hist", "arviz", "mlflow"} <= named
    assert named <= set(PROJECT["optional-dependencies"])


def test_types_are_announced():
    assert (ROOT / "src" / "reverie" / "py.typed").is_file()
