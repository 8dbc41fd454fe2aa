"""What the import contract cannot see: the front door, homes of libraries, and how states are loaded."""

import ast
import re
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[1] / "src" / "reverie"
FILES = sorted(SOURCE.rglob("*.py"))
HOMES = {  # third-party libraries and the folders that may import them
    "matplotlib": {"plots", "report"},
    "jinja2": {"report"},
    "jsonargparse": {"cli", "experiment"},
    "dask": {"scale"},
    "onnx": {"scale"},
    "pooch": {"data"},
    "uproot": {"data"},
    "h5py": {"data"},
    "pyarrow": {"data"},
    "optuna": {"experiment"},
    "zuko": {"models"},
    "rich": {"cli", "experiment"},
}


def _imports(path):
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.module or ""


def _folder(path):
    return path.relative_to(SOURCE).parts[0]


def test_nobody_inside_imports_from_the_front_door():
    guilty = [p for p in FILES if p.parent != SOURCE and "reverie" in set(_imports(p))]
    assert not guilty, guilty


@pytest.mark.parametrize("library", list(HOMES))
def test_every_library_stays_in_its_home(library):
    guilty = {_folder(p) for p in FILES if any(name.split(".")[0] == library for name in _imports(p))}
    assert guilty <= HOMES[library]


def test_torch_distributed_stays_in_scale():
    assert all(_folder(p) == "scale" for p in FILES if any(n.startswith("torch.distributed") for n in _imports(p)))


def test_dynamic_imports_stay_at_the_lazy_doors():
    guilty = {str(p.relative_to(SOURCE)) for p in FILES if "importlib" in set(_imports(p))}
    lazy = {"__init__.py", "cli/main.py", "cli/completion.py"}
    assert guilty <= lazy, guilty - lazy


def test_no_pickle_is_loaded_and_nothing_is_evaluated():
    text = {p: p.read_text() for p in FILES}
    for path, source in text.items():
        for call in re.findall(r"torch\.load\([^)]*\)", source):
            assert "weights_only=True" in call, f"{path}: {call}"
        assert not re.search(r"\b(pickle|joblib|dill|marshal)\.loads?\(", source), path
        assert not re.search(r"(?<![\w.])(eval|exec)\(", source), path
        assert not re.search(r"allow_pickle\s*=\s*True", source), path
        assert not re.search(r"weights_only\s*=\s*False", source), path


def test_there_is_no_utils_and_every_module_says_what_it_is():
    assert not [p for p in FILES if "utils" in p.stem or "helpers" in p.stem]
    assert not [p for p in FILES if not ast.get_docstring(ast.parse(p.read_text()))]
