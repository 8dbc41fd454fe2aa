"""README, pages and docstrings tell the truth: their Python runs, their files exist, their commands are known."""

import doctest
import importlib
import inspect
import re
import shlex
from pathlib import Path
from typing import Any

import pytest

import reverie
from reverie.cli.main import VERBS, main
from reverie.models.base import GenerativeModel
from reverie.training.alarms import RULES, Alarm, Finding
from reverie.validation.statistics.memorisation import MemorisationResult

ROOT = Path(__file__).parents[1]
PAGES = [page for page in sorted((ROOT / "docs").rglob("*.md")) if "_build" not in page.parts]
README = (ROOT / "README.md").read_text(encoding="utf-8")
SHOWN = [path.relative_to(ROOT / "src") for path in sorted((ROOT / "src").rglob("*.py")) if ">>> " in path.read_text()]


@pytest.fixture
def quick(monkeypatch):
    """Let data sets have 1,000 rows, validations 39 permutations, trainings 30 steps, and figures not be painted."""
    library: Any = reverie
    whole, gan, load = library.validate, library.GAN, library.data.load
    monkeypatch.setattr(reverie.data, "load", lambda name, **how: load(name, **{"n": 1000} | how))
    monkeypatch.setattr("matplotlib.figure.Figure.savefig", lambda figure, file, **options: file.write(b"<svg/>"))
    monkeypatch.setattr(reverie, "validate", lambda *samples, **how: whole(*samples, **how | {"n_permutations": 39}))
    monkeypatch.setattr(reverie, "GAN", lambda **options: gan(**options | {"max_steps": 30}))


@pytest.mark.slow
@pytest.mark.parametrize(
    "page", ["README.md", "docs/how-to/replicas.md", "docs/theory/flow_matching.md", "docs/theory/sets.md"]
)
def test_python_of_pages_runs_as_it_stands(page, tmp_path, monkeypatch):
    """With all its steps and permutations; blocks of a page may stand on those before them."""
    monkeypatch.chdir(tmp_path)
    blocks, names = re.findall(r"```python\n(.*?)```", (ROOT / page).read_text(encoding="utf-8"), flags=re.DOTALL), {}
    assert blocks
    for block in blocks:
        exec(compile(block, page, "exec"), names)


@pytest.mark.usefixtures("quick")
def test_python_of_the_readme_runs(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    for block in re.findall(r"```python\n(.*?)```", README, flags=re.DOTALL):
        exec(compile(block, "README.md", "exec"), {})
    assert (tmp_path / "report.html").stat().st_size > 10_000
    assert "real against real" in capsys.readouterr().out


@pytest.mark.usefixtures("quick")
def test_python_of_the_page_on_validation_runs(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    page = (ROOT / "docs" / "how-to" / "validate.md").read_text(encoding="utf-8")
    for block in re.findall(r"```python\n(.*?)```", page, flags=re.DOTALL):
        exec(compile(block.replace("1500", "800"), "validate.md", "exec"), {})  # fewer rows
    assert "pt differs" in capsys.readouterr().out


BLOCKS = {page: re.findall(r"```python\n(.*?)```", page.read_text(encoding="utf-8"), flags=re.DOTALL) for page in PAGES}
WITH_PYTHON = [str(page.relative_to(ROOT / "docs")) for page in PAGES if BLOCKS[page]]
ON_REAL_DATA = ("how-to/observables.md", "how-to/symmetries.md", "theory/quantum.md", "theory/rbm.md")
_AS_THEY_STAND = ("how-to/replicas.md", "theory/flow_matching.md")
TESTED_ELSEWHERE = ("how-to/validate.md", "how-to/architectures.md", "theory/samplers.md", *_AS_THEY_STAND)
# What stands on a page before its Python: a model that was exported, a run, the data of a reader.
BEFORE = {
    "how-to/export.md": """
import reverie
from reverie.scale.export import export_model
small = reverie.Autoencoder(max_steps=5, random_state=0).fit(reverie.data.load("ring", n=300))
export_model(small, "muons.pt2")
""",
    "how-to/many_gpus.md": """
import reverie
model, events = reverie.VAE(max_steps=5, random_state=0), reverie.data.load("ring", n=300)
""",
    "theory/ebm.md": """
import reverie
X, X_held_out = reverie.data.load("ring", n=300).split(0.5, random_state=0)
""",
    "how-to/many_machines.md": """
from reverie.cli.main import main
assert main("run vae ring --max-steps 5 --no-validate --out runs/z --quiet".split()) == 0
""",
}


@pytest.fixture
def short_trainings(monkeypatch):
    """Let trainings end after 200 steps, and large samples be small ones."""
    whole = GenerativeModel.iter_fit

    def iter_fit(self, *args, **options):
        if hasattr(self, "max_steps"):
            self.max_steps = min(self.max_steps, 200)
        return whole(self, *args, **options)

    monkeypatch.setattr(GenerativeModel, "iter_fit", iter_fit)


@pytest.mark.slow
@pytest.mark.usefixtures("short_trainings")
@pytest.mark.parametrize("name", [name for name in WITH_PYTHON if name not in TESTED_ELSEWHERE])
def test_python_of_a_page_runs(name, tmp_path, monkeypatch, request):
    """All blocks of a page run in turn, in one empty folder."""
    if name in ON_REAL_DATA:
        request.getfixturevalue("real_data")
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {}
    for block in [BEFORE.get(name, ""), *BLOCKS[ROOT / "docs" / name]]:
        exec(compile(block.replace("100_000_000", "2_000"), name, "exec"), names)


def masked(text: str) -> str:
    """Return the words of a text, without numbers, marks, breaks and checksums of values, whose last bits differ."""
    return " ".join(re.findall(r"[A-Za-z]+", re.sub(r"\b[0-9a-f]{64}\b", "", text)))


def shown_commands(page: str) -> list[tuple[str, str]]:
    """Return the commands of a page with what stands below each, as it was printed."""
    found: list[tuple[str, str]] = []
    for block in re.findall(
        r"```console\n(.*?)```", (ROOT / "docs" / page).read_text(encoding="utf-8"), flags=re.DOTALL
    ):
        parts = re.split(r"^\$ (.*)\n", block, flags=re.MULTILINE)
        found += list(zip(parts[1::2], parts[2::2], strict=True))
    return found


@pytest.mark.slow
@pytest.mark.parametrize(
    "page", ["start/first_ten_minutes.md", "start/lattice.md", "start/digits.md", "start/jets.md", "how-to/sets.md"]
)
def test_commands_of_a_tutorial_run_in_turn(page, tmp_path, monkeypatch, capsys):
    """With short trainings. What is shown below a command has the words that it prints, but for a verdict's."""
    monkeypatch.chdir(tmp_path)
    if page == "how-to/sets.md":  # whose Python writes the file
        names: dict[str, object] = {}
        for block in BLOCKS[ROOT / "docs" / page]:
            exec(compile(block, page, "exec"), names)
    for command, shown in shown_commands(page):
        words = shlex.split(re.sub(r"\s+(#|>).*", "", command), comments=True)
        if words[0] != "reverie" or "compare" in words:
            continue
        if words[1] == "run":
            words = [word for word in words if word != "auto"]
            words += ["--max-steps", "20", "--validation-time", "1s", "--quiet"]
        assert main(words[1:]) == 0, command
        printed = masked(capsys.readouterr().out)
        for line in shown.splitlines():
            if words[1] in ("simulate", "data"):
                assert masked(line) in printed, f"{command}: {line}"


def test_alarms_of_the_faq_are_those_of_the_code():
    """Each quoted sentence has the words of the function that writes it; a changed word would be missed."""
    page = masked((ROOT / "docs" / "help" / "faq.md").read_text(encoding="utf-8"))
    numbers: dict[str, Any] = {name: 1.0 for name in Finding.__dataclass_fields__}
    bad: dict[str, Any] = {"score": 1.0, "width": 0.001, "coverage": 0.3, "lost": 0.3, "close": 0.5, "copies_z": 9.0}
    calm = Finding(**numbers | bad | {"step": 1, "n_lost": 5, "n_regions": 20, "moved": 0.9, "distance": 0.9})
    sure, blind = {"d_real": 1.0, "d_fake": 0.0, "gradient": 0.0}, {"d_real": 0.5, "d_fake": 0.5}
    for kind, rule in RULES.items():
        seen: dict[str, Any] = sure if kind == "discriminator too strong" else blind
        findings = [Finding(**vars(calm) | seen) for _ in range(8)]
        evidence = rule(findings)
        assert evidence, kind
        quoted = str(Alarm(kind, 1000, evidence, "")).partition(" (0.5 if")[0]
        assert masked(quoted) in page, quoted
    assert masked("mode collapse at step 7: nothing of the kind") not in page
    copied = "Generated events lie too close to training events: some are copied"
    assert copied in inspect.getsource(MemorisationResult)
    assert masked(copied) in page


def test_commands_of_the_readme_are_known():
    commands = re.findall(r"^\$ reverie (.*)$", README, flags=re.MULTILINE)
    assert commands
    for command in commands:
        assert shlex.split(command, comments=True)[0] in VERBS


def test_links_of_the_readme_and_of_contributing_lead_somewhere():
    for page in (ROOT / "README.md", ROOT / "CONTRIBUTING.md", *PAGES):
        text = re.sub(r"```.*?```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)
        for target in re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", text):
            made = target.endswith(".rst")  # written by docs/conf.py
            assert made or target.startswith("http") or (page.parent / target).exists(), f"{page}: {target}"


def test_every_page_is_in_the_index_of_its_folder():
    """The site is built with warnings as errors, and a page that no index names is one."""
    for folder in ("how-to", "theory", "start", "errors", "help"):
        index = (ROOT / "docs" / folder / "index.md").read_text(encoding="utf-8")
        named = set(re.findall(r"^[\w-]+$", index, flags=re.MULTILINE))
        pages = {page.stem for page in (ROOT / "docs" / folder).glob("*.md")} - {"index"}
        assert pages <= named, f"docs/{folder}/index.md: {sorted(pages - named)}"


def test_every_folder_with_public_names_is_in_the_reference():
    rooms = (ROOT / "docs" / "conf.py").read_text(encoding="utf-8")
    folders = [path.parent.name for path in (ROOT / "src" / "reverie").glob("*/__init__.py")]
    public = [name for name in folders if getattr(importlib.import_module(f"reverie.{name}"), "__all__", ())]
    assert len(public) > 8
    assert [name for name in public if f'"reverie.{name}"' not in rooms] == []


def test_the_readme_is_short():
    assert len(README.splitlines()) <= 90


def test_vision_is_short():
    assert len((ROOT / "VISION.md").read_text(encoding="utf-8").split()) < 60


# those that train the longest: the others show that a model is shown
_SLOW_EXAMPLES = [f"reverie.models.{name}.estimator" for name in ("rbm", "gan", "ebm")]
_EXAMPLES = [".".join(path.with_suffix("").parts).removesuffix(".__init__") for path in SHOWN]


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[pytest.mark.slow] * (name in _SLOW_EXAMPLES)) for name in _EXAMPLES]
)
def test_examples_in_docstrings_run(name):
    module = importlib.import_module(name)
    failed, _ = doctest.testmod(module, optionflags=doctest.NORMALIZE_WHITESPACE | doctest.ELLIPSIS)
    assert failed == 0
