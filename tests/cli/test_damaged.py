"""Run folders of which something is damaged: every verb says one sentence, and a failure changes nothing.

Hypothesis draws the slow cases; ``REVERIE_CASES=5000`` asks for more of them.
"""

import contextlib
import io
import json
import os
import random
import re
import shutil
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

import reverie
from reverie.cli.main import main
from reverie.core.errors import CheckpointError
from reverie.experiment.folder import RunFolder
from reverie.training import CheckpointFolder, load_state

N_CASES = int(os.environ.get("REVERIE_CASES", "300"))
ODD = (None, [], {}, "word", "", -1, 0, 7, 1.5, 1e300, 10**25, True, [None], {"a": None}, [[1, "x"]])
KNOWN_CODES = (0, 1, 2)


def delete(path: Path, r: random.Random) -> str:
    path.unlink()
    return "deleted"


def halve(path: Path, r: random.Random) -> str:
    content = path.read_bytes()
    path.write_bytes(content[: r.randrange(1, max(2, len(content)))])
    return "cut short"


def empty(path: Path, r: random.Random) -> str:
    path.write_bytes(b"")
    return "empty"


def garbage(path: Path, r: random.Random) -> str:
    path.write_bytes(r.randbytes(200))
    return "garbage"


def flip(path: Path, r: random.Random) -> str:
    content = bytearray(path.read_bytes())
    for _ in range(20):
        content[r.randrange(len(content))] ^= 1 << r.randrange(8)
    path.write_bytes(bytes(content))
    return "flipped bits"


def odd_whole(path: Path, r: random.Random) -> str:
    value = r.choice(ODD)
    path.write_text(json.dumps(value))
    return f"is {value!r}"


def odd_entry(path: Path, r: random.Random) -> str:
    """Give one entry, however deep, a value of another type, or take it away."""
    lines = path.suffix == ".jsonl"
    content = [json.loads(line) for line in path.read_text().splitlines()] if lines else _loaded(path)
    places = list(_places(content))
    if not places:
        return odd_whole(path, r)
    holder, key, name = r.choice(places)
    if r.random() < 0.25:
        del holder[key]
        done = f"lacks {name}"
    else:
        holder[key] = r.choice(ODD)
        done = f"has {name} = {holder[key]!r}"
    if lines:
        path.write_text("".join(json.dumps(line) + "\n" for line in content))
    else:
        path.write_text(json.dumps(content) if path.suffix == ".json" else yaml.safe_dump(content))
    return done


def odd_array(path: Path, r: random.Random) -> str:
    x = np.load(path)
    other: dict[str, Any] = {
        "nan": np.where(np.arange(x.size).reshape(x.shape) == r.randrange(x.size), np.nan, x),
        "inf": np.where(np.arange(x.size).reshape(x.shape) == r.randrange(x.size), np.inf, x),
        "flat": x.ravel(),
        "wider": np.concatenate([x, x], axis=-1),
        "text": np.array(["a", "b"]),
        "scalar": np.array(1.0),
        "complex": x.astype(complex),
        "no rows": x[:0],
    }
    name = r.choice(sorted(other))
    np.save(path, other[name])
    return f"an array: {name}"


def _loaded(path: Path) -> Any:
    text = path.read_text()
    return json.loads(text) if path.suffix == ".json" else yaml.safe_load(text)


def _places(content: Any, name: str = ""):
    keys = content if isinstance(content, dict) else range(len(content)) if isinstance(content, list) else ()
    for key in list(keys):
        inner = f"{name}[{key}]" if isinstance(content, list) else f"{name}.{key}"
        yield content, key, inner
        yield from _places(content[key], inner)


Damage = Callable[[Path, random.Random], str]
WHOLE: tuple[Damage, ...] = (delete, halve, empty, garbage, flip, odd_whole)
TEXT = {".json", ".jsonl", ".yaml"}


def damaged(folder: Path, r: random.Random) -> tuple[str, str]:
    """Damage one file in `folder`; return its name and what was done."""
    files = sorted(p for p in folder.rglob("*") if p.is_file() and p.suffix not in (".html", "") and p.name != ".lock")
    names = [*files, *(p for p in files if p.suffix in TEXT for _ in range(3))]  # those with entries more often
    path = r.choice(names)
    ways: list[Damage] = list(WHOLE)
    ways += [odd_entry] * 12 if path.suffix in TEXT else [odd_array] * 6 if path.suffix == ".npy" else []
    return str(path.relative_to(folder)), r.choice(ways)(path, r)


@dataclass(frozen=True)
class Answer:
    """What the command line said."""

    code: int
    out: str
    err: str

    @property
    def faults(self) -> list[str]:
        """What is wrong with it: no known code, not one sentence, a traceback."""
        errors = re.findall(r"(?m)^error: .*$", self.err)
        wrong = [] if self.code in KNOWN_CODES else [f"exit code {self.code}"]
        wrong += ["a traceback"] if "Traceback" in self.err + self.out else []
        wrong += [f"{len(errors)} errors"] if len(errors) != (self.code != 0) else []
        wrong += ["an error without remedy"] if errors and len(errors[0].split()) < 6 else []
        wrong += ["a foreign error"] if errors and not re.match(r"error: (Expected|Unknown|The )", errors[0]) else []
        return wrong


def answer(arguments: Sequence[object]) -> Answer:
    """Return what `reverie` says to `arguments`, in this process; warnings are faults as everywhere."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err), warnings.catch_warnings():
        warnings.simplefilter("error")
        code = main([str(argument) for argument in arguments])
    return Answer(code, out.getvalue(), err.getvalue())


def temporary_files(folder: Path) -> list[str]:
    return [str(path) for path in folder.rglob("*") if ".tmp" in path.name]


def case(
    r: random.Random, run: Path, verbs: Mapping[str, Callable[[Path], Sequence[object]]], place: Path
) -> list[str]:
    """Damage a copy of `run` as `r` says, call a verb, and return what is wrong with its answer."""
    folder = place / "case"
    shutil.copytree(run, folder)
    try:
        verb = r.choice(sorted(verbs))
        file, done = damaged(folder, r)
        history = (folder / "history.jsonl").read_bytes() if (folder / "history.jsonl").is_file() else b""
        said = answer(verbs[verb](folder))
        wrong = said.faults + [f"left behind: {name}" for name in temporary_files(folder)]
        now = (folder / "history.jsonl").read_bytes() if (folder / "history.jsonl").is_file() else b""
        wrong += ["history changed by a failure"] if said.code and now != history else []
        return [f"{verb}, {file} {done}: {'; '.join(wrong)}\n    {said.err.strip()}"] if wrong else []
    finally:
        shutil.rmtree(folder)


@pytest.fixture(scope="module")
def other(table, tiny, tmp_path_factory) -> Path:
    """Folder of a second run on the same data."""
    out = tmp_path_factory.mktemp("runs") / "other"
    assert answer(["run", "gan", table, "--out", out, "--seed", "6", *tiny]).code == 0
    return out


@pytest.fixture
def copy(finished, tmp_path) -> Path:
    """Copy of a complete run."""
    return Path(shutil.copytree(finished, tmp_path / "run"))


@pytest.mark.parametrize("block", [0, pytest.param(1, marks=pytest.mark.slow)])
def test_verbs_that_only_read(finished, tmp_path, block):
    verbs = {
        "cite": lambda f: ["cite", f],
        "sample": lambda f: ["sample", f, "-n", "20", "-o", f / "more.npy", "--quiet"],
        "compare": lambda f: ["compare", f, finished],
    }
    numbers = range(20 * block, 20 * block + 20)
    wrong = [text for number in numbers for text in case(random.Random(number), finished, verbs, tmp_path)]
    assert not wrong, "\n".join(wrong)


@pytest.mark.slow
@pytest.mark.timeout(36_000)
def test_all_verbs(finished, other, tmp_path):
    verbs = {
        "cite": lambda f: ["cite", f],
        "compare": lambda f: ["compare", f, other],
        "export": lambda f: ["export", f],
        "report": lambda f: ["report", f],
        "resume": lambda f: ["resume", f, "--quiet"],
        "sample": lambda f: ["sample", f, "-n", "20", "-o", f / "more.csv", "--quiet"],
        "validate": lambda f: ["validate", f],
    }

    @settings(
        max_examples=N_CASES,
        deadline=None,
        derandomize=True,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(st.randoms(use_true_random=False))
    def law(r):
        wrong = case(r, finished, verbs, tmp_path)
        assert not wrong, "\n".join(wrong)

    law()


def refused(said: Answer, *words: str) -> None:
    assert said.code == 2, said.err
    assert not said.faults, said.err
    for word in words:
        assert word in said.err, said.err


NOTICED = {
    "status.json": ({"training": {"step": 1, "seconds": None, "ended_by": "max_steps"}}, "training.seconds"),
    "data.json": ({"n_rows": 3}, "sha256"),
    "environment.json": ({"versions": [1]}, "versions"),
    "validation.json": ({"p_value": 0.1}, "battery_p"),
    "assessment.json": ({"numbers": [{"name": "x", "value": None}]}, "numbers[0].value"),
    "config.yaml": ({"data": "ring", "model": {"name": None}}, "model.name"),
}


@pytest.mark.parametrize(("name", "content", "place"), [(k, *v) for k, v in NOTICED.items()], ids=NOTICED)
def test_file_and_entry_are_named(copy, name, content, place):
    (copy / name).write_text(json.dumps(content))
    refused(answer(["report", copy]), name, place)


ARRAYS = {
    "not finite": (lambda x: np.where(x == x.max(), np.nan, x), "finite"),
    "too narrow": (lambda x: x[:, :2], "shape"),
    "text": (lambda x: np.array(["a", "b"]), "samples.npy"),
}


@pytest.mark.parametrize(("change", "word"), ARRAYS.values(), ids=ARRAYS)
def test_odd_samples_are_noticed(copy, change, word):
    np.save(copy / "samples.npy", change(np.load(copy / "samples.npy")))
    refused(answer(["report", copy]), "samples.npy", word)


def test_a_line_of_the_history_is_named_and_one_cut_short_is_left_out(copy):
    lines = (copy / "history.jsonl").read_text().splitlines()
    (copy / "history.jsonl").write_text("\n".join([lines[0], '{"step": "x"}', lines[-1]]) + "\n")
    refused(answer(["report", copy]), "step in line 2", "history.jsonl")
    (copy / "history.jsonl").write_text("\n".join(lines) + '\n{"step": 7, "sec')
    assert len(RunFolder(copy).history()) == len(lines)


def stopped(run: Path) -> Path:
    """Make a complete run one that was stopped."""
    shutil.rmtree(run / "model")
    return run


def flip_a_bit(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(bytes(content))


def test_a_resume_that_fails_leaves_the_history_alone(copy):
    run = stopped(copy)
    before = (run / "history.jsonl").read_bytes()
    for state in (run / "checkpoints").glob("*.pt"):
        flip_a_bit(state)
    refused(answer(["resume", run, "--quiet"]), ".pt")
    assert (run / "history.jsonl").read_bytes() == before


def test_an_older_state_is_used_when_the_last_is_damaged(tmp_path):
    states, told = CheckpointFolder(tmp_path), []
    for step in (10, 20):
        states.save(step, {"step": step, "weights": [0.5] * 1000})
    flip_a_bit(tmp_path / "step_00000020.pt")
    with pytest.raises(CheckpointError):
        load_state(tmp_path / "step_00000020.pt")
    found = states.newest_good(told.append)
    assert found is not None
    assert found[1]["step"] == 10
    assert "step_00000020.pt" in told[0]


@pytest.mark.parametrize("name", ["model.safetensors", "transform.json", "schema.json", "attachments.json"])
def test_a_model_that_has_changed_since_it_was_saved_is_refused(copy, name):
    flip_a_bit(copy / "model" / name)
    with pytest.raises(CheckpointError, match=name):
        reverie.load(copy)


def test_a_model_of_an_older_version_still_loads(copy):
    file = copy / "model" / "metadata.json"
    metadata = json.loads(file.read_text())
    del metadata["sha256"]
    file.write_text(json.dumps(metadata | {"of a newer version": 1}))
    assert len(reverie.load(copy).sample(3, random_state=0)) == 3
