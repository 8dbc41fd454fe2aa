"""Options with values that make no sense: one sentence each, at once, and nothing is left behind.

Hypothesis draws the slow cases; ``REVERIE_CASES=5000`` asks for more of them.
"""

import importlib
import os
import random
import re
import resource
import tempfile
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from reverie.cli.model_options import MODEL_NAMES

N_CASES = int(os.environ.get("REVERIE_CASES", "300"))
HUGE = str(10**23)

REFUSED = {
    "device of another library": ("run gan TABLE --device mps --out x", "mps"),
    "device without values": ("run gan TABLE --device meta --out x", "meta"),
    "a million threads": ("run gan TABLE --n_threads 1000000 --out x", "threads"),
    "averages without end": ("run gan TABLE --betas 0.5,1.0 --out x", "betas"),
    "samples beyond the disk, by run": (f"run gan TABLE --n-samples {HUGE} --out x", "room"),
    "samples beyond the disk": (f"sample RUN -n {HUGE} -o s.npy", "room"),
    "samples beyond the disk, in parts": (f"sample RUN -n {HUGE} -o parts", "room"),
    "permutations without end": ("validate TABLE TABLE --permutations 1000000000000", "--permutations"),
    "a device for a file": ("sample RUN -o /dev/stdout", "/dev/stdout"),
    "a folder for a file": ("simulate ising -n 20 --side 4 -o .", "folder|suffix"),
    "a name without suffix": ("simulate ising -n 20 --side 4 -o spins", "suffix"),
    "no name": ("run gan TABLE --out ''", "empty text"),
    "no data": ("run gan '' --out x", "empty text"),
    "weights that are all zero": ("explore ZERO --weights w", "weight"),
    "a lattice beyond the memory": ("simulate ising --side 1000000 -n 20", "memory"),
    "a temperature beyond all": ("simulate ising --beta 1e300 --side 4 -n 20", "beta"),
    "a referee that may be": ("run gan TABLE --refine maybe --out x", "refine"),
    "half a check": ("run gan TABLE --n_checks 1.5 --out x", "n_checks"),
    "formats that disagree": ("export RUN --to pt2 -o m.onnx", ".pt2"),
    "workers beyond a machine": ("sample RUN -n 20 -o parts --workers 1000000", "workers"),
    "seeds without end": ("run gan TABLE --seeds 1000000000 --out x", "seeds"),
}


@pytest.mark.parametrize(("command", "words"), REFUSED.values(), ids=REFUSED)
def test_refused(call, monkeypatch, tmp_path, table, finished, command, words):
    monkeypatch.chdir(tmp_path)
    zero = "a,b,w\n" + "\n".join(f"{k},{k * k % 7},0" for k in range(100))
    (tmp_path / "zero.csv").write_text(zero)
    names = {"TABLE": str(table), "RUN": str(finished), "ZERO": "zero.csv", "''": ""}
    code, _, err = call(*(names.get(word, word) for word in command.split()))
    assert code == 2, err
    assert re.search(words, err), err
    assert [name for name in os.listdir(tmp_path) if name != "zero.csv"] == []


ODD = (
    "nan", "inf", "-inf", "1e300", "-1", "0", "1.5", "-0.0", "1e-300", HUGE, "maybe", "null", "[]", "{}", "[1,2",
    "true", "auto", "../x", "/dev/full", ".", "a,b", "x" * 300, "é", "0x10", "1_000", "[[1],[2]]",
    "!!python/name:os.system", "{a: 1}", "px", "label=3", "5m", "*", "'", "pz,px",
)  # fmt: skip
NOT_DRAWN = (
    "--help",
    "--config",
    "--seeds",
    "--engine",
    "--scheduler-file",
    "--overwrite",
    "--max-time",
    "--print_shtab",
)
TRAINING = ("--max_steps", "12", "--record_every", "6", "--batch_size", "16", "--max-time", "20s", "--quiet")
SECONDS = 120.0  # of processor time for one case


def bases(table: Path, run: Path) -> dict[str, tuple[str, ...]]:
    """Return commands to which odd options are added."""
    of_models = {f"fit {model}": ("fit", model, str(table), "--out", "out", *TRAINING) for model in MODEL_NAMES}
    return of_models | {
        "sample": ("sample", str(run), "-o", "s.npy", "-n", "20"),
        "validate": ("validate", str(table), str(table), "--permutations", "19", "--classifiers", "none"),
        "explore": ("explore", str(table), "--max-rows", "60"),
        "simulate": ("simulate", "ising", "--side", "4", "-n", "20"),
        "compare": ("compare", str(run), str(run)),
        "data": ("data", "describe", str(table)),
        "export": ("export", str(run), "-o", "m.onnx"),
    }


def options_of(verb: str, model: str | None) -> list[str]:
    module = importlib.import_module(f"reverie.cli.{verb}")
    parser = module.options() if model is None else module.options(model)
    actions = parser._option_string_actions
    return sorted(n for n, a in actions.items() if n.startswith("--") and a.nargs != 0 and n not in NOT_DRAWN)


def faults(code: int, out: str, err: str) -> list[str]:
    errors = re.findall(r"(?m)^error: .*$", err)
    wrong = [] if code in (0, 1, 2) else [f"exit code {code}"]
    wrong += ["a traceback"] if "Traceback" in err + out else []
    wrong += [f"{len(errors)} errors"] if len(errors) != (code != 0) else []
    return wrong


def odd_command(r: random.Random, commands: dict[str, tuple[str, ...]]) -> Sequence[str]:
    base = commands[r.choice(sorted(commands))]
    options = options_of(base[0], base[1] if base[0] == "fit" else None)
    added = [f"{name}={r.choice(ODD)}" for name in r.sample(options, r.choice((1, 1, 2)))]
    return [*base, *added]


@pytest.mark.slow
@pytest.mark.timeout(36_000)
def test_drawn(call, monkeypatch, tmp_path, table, finished):
    commands = bases(table, finished)

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
        place = Path(tempfile.mkdtemp(dir=tmp_path))
        monkeypatch.chdir(place)
        command = odd_command(r, commands)
        began = resource.getrusage(resource.RUSAGE_SELF).ru_utime
        code, out, err = call(*command)
        wrong = faults(code, out, err)
        wrong += ["too long"] if resource.getrusage(resource.RUSAGE_SELF).ru_utime - began > SECONDS else []
        wrong += ["something left behind"] if code == 2 and list(place.rglob("*.tmp")) else []
        assert not wrong, f"reverie {' '.join(command)}: {wrong}\n    {err.strip()}"

    law()
