"""What the import contract cannot see: circles of files, the front door, homes of libraries, how states are loaded."""

import ast
import functools
import re
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[1] / "src" / "reverie"
FILES = sorted(SOURCE.rglob("*.py"))
HOMES = {  # third-party libraries and the folders that may import them
    "matplotlib": {"plots", "report", "lectures"},
    "jinja2": {"report"},
    "jsonargparse": {"cli", "experiment"},
    "dask": {"scale"},
    "onnx": {"scale"},
    "pooch": {"data"},
    "uproot": {"data"},
    "h5py": {"data"},
    "pyarrow": {"data"},
    "polars": {"data"},
    "xarray": {"data"},
    "optuna": {"experiment"},
    "zuko": {"models"},
    "rich": {"cli", "experiment"},
}


@functools.cache
def _text(path: Path) -> str:
    return path.read_text(encoding="utf-8")


@functools.cache
def _parsed(path: Path) -> tuple[frozenset[str], bool]:
    """Return the dotted names that a module imports, at its head or inside functions, and whether it says what it is.

    Its tree is not kept: the garbage collector would walk through those of all files again and again.
    """
    tree = ast.parse(_text(path))
    nodes, waiting = [], [tree]
    while waiting:  # statements alone: expressions hold no imports, and nine tenths of the nodes
        node = waiting.pop()
        nodes.append(node)
        blocks = [getattr(node, name, ()) for name in ("body", "orelse", "finalbody", "handlers", "cases")]
        waiting += [part for block in blocks if isinstance(block, list) for part in block]
    plain = {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
    sources = [node for node in nodes if isinstance(node, ast.ImportFrom) and node.module]
    dotted = {node.module for node in sources} | {f"{n.module}.{a.name}" for n in sources for a in n.names}
    return frozenset(plain | dotted), bool(ast.get_docstring(tree))


def _imports(path: Path) -> frozenset[str]:
    return _parsed(path)[0]


def _folder(path):
    return path.relative_to(SOURCE).parts[0]


def _circles(graph: dict[str, set[str]]) -> list[str]:
    """Return the nodes from which a way leads back to themselves."""
    circles = []
    for start in graph:
        seen, waiting = set(), [start]
        while waiting:
            new = graph.get(waiting.pop(), set()) - seen
            seen |= new
            waiting += new
        if start in seen:
            circles.append(start)
    return circles


def test_files_import_each_other_without_circles():
    """Imports inside functions count too: a file that hides one knows another that knows it."""
    names = {".".join(("reverie", *path.relative_to(SOURCE).with_suffix("").parts)): path for path in FILES}
    names = {name.removesuffix(".__init__"): path for name, path in names.items()}
    graph = {name: (_imports(path) & names.keys()) - {name, "reverie"} for name, path in names.items()}
    assert not _circles(graph)


def test_a_circle_is_seen():
    assert _circles({"a": {"b"}, "b": {"c"}, "c": {"b"}}) == ["b", "c"]


def test_nobody_inside_imports_from_the_front_door():
    """Pages of the lectures are scripts of a user, who comes in by it."""
    inside = [p for p in FILES if p.parent != SOURCE and _folder(p) != "lectures"]
    guilty = [p for p in inside if "reverie" in _imports(p)]
    assert not guilty, guilty


@pytest.mark.parametrize("library", list(HOMES))
def test_every_library_stays_in_its_home(library):
    guilty = {_folder(p) for p in FILES if any(name.split(".")[0] == library for name in _imports(p))}
    assert guilty <= HOMES[library]


def test_torch_distributed_stays_in_scale():
    assert all(_folder(p) == "scale" for p in FILES if any(n.startswith("torch.distributed") for n in _imports(p)))


def test_steps_of_optimisers_stay_in_training_and_models():
    """Whoever trains elsewhere does so through `reverie.training`."""
    assert {_folder(p) for p in FILES if ".backward()" in _text(p)} <= {"training", "models"}


def test_dynamic_imports_stay_at_the_lazy_doors():
    guilty = {str(p.relative_to(SOURCE)) for p in FILES if "importlib" in _imports(p)}
    registries = {"models/registry.py", "data/formats/__init__.py", "data/transforms/base.py"}
    lazy = {"__init__.py", "models/__init__.py", "cli/verbs.py", *registries}
    assert guilty <= lazy, guilty - lazy


def test_no_pickle_is_loaded_and_nothing_is_evaluated():
    for path in FILES:
        source = _text(path)
        for call in re.findall(r"torch\.load\([^)]*\)", source):
            assert "weights_only=True" in call, f"{path}: {call}"
        assert not re.search(r"\b(pickle|joblib|dill|marshal)\.loads?\(", source), path
        assert not re.search(r"(?<![\w.])(eval|exec)\(", source), path
        assert not re.search(r"allow_pickle\s*=\s*True", source), path
        assert not re.search(r"weights_only\s*=\s*False", source), path


def test_there_is_no_utils_and_every_module_says_what_it_is():
    assert not [p for p in FILES if "utils" in p.stem or "helpers" in p.stem]
    assert not [p for p in FILES if not _parsed(p)[1]]
