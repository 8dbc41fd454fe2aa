"""Kill, stop, resume: the resumed run ends at the same bits as one that was never interrupted."""

import hashlib
import json
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch

from reverie.cli.main import main
from reverie.experiment.folder import RunFolder
from reverie.experiment.training import Interrupt
from reverie.training import load_state, save_state

STEPS, FEW = 400, 160  # steps of runs that another process kills, and of the quick tests
TINY = "--generator 16,16 --discriminator 16,16 --batch_size 32 --record_every 20 --refine false"


def command(table: Path, out: Path, steps: int = STEPS) -> list[str]:
    options = f"--out {out} --seed 1 --quiet --checkpoint-every 0.02s --model.max_steps {steps} {TINY}"
    return ["fit", "gan", str(table), *options.split()]


@pytest.fixture(scope="module")
def table(tmp_path_factory) -> Path:
    rng = np.random.default_rng(2)
    path = tmp_path_factory.mktemp("data") / "points.csv"
    np.savetxt(path, rng.normal(size=(400, 2)), delimiter=",", header="x,y", comments="")
    return path


@pytest.fixture(scope="module")
def reference(table, tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("runs") / "reference"
    assert main(command(table, out)) == 0
    return out


@pytest.fixture(scope="module")
def short_reference(table, tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("runs") / "short"
    assert main(command(table, out, FEW)) == 0
    return out


def start(table: Path, out: Path) -> subprocess.Popen:
    return subprocess.Popen(
        [sys.executable, "-m", "reverie", *command(table, out)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def wait_for_state(process: subprocess.Popen, out: Path) -> None:
    deadline = time.monotonic() + 60
    while not (out / "checkpoints" / "latest").exists():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.01)


def digest(path: Path) -> str:
    """Return a name of a file's bytes: pytest explains unequal megabytes line by line, for minutes under CI."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def assert_same_weights(out: Path, reference: Path) -> None:
    assert digest(out / "model" / "model.safetensors") == digest(reference / "model" / "model.safetensors")


def assert_same(out: Path, reference: Path, steps: int = STEPS) -> None:
    assert_same_weights(out, reference)
    histories = [[{**r, "seconds": 0} for r in RunFolder(folder).history()] for folder in (out, reference)]
    assert [r["step"] for r in histories[0]] == list(range(20, steps + 1, 20))
    assert histories[0] == histories[1]
    snapshots = [RunFolder(folder).snapshots() for folder in (out, reference)]
    assert list(snapshots[0]) == list(snapshots[1])
    assert all(np.array_equal(snapshots[0][step], snapshots[1][step]) for step in snapshots[0])
    for folder in (out, reference):
        assert main(["sample", str(folder), "-n", "50", "-o", str(folder / "s.npy"), "--overwrite", "--quiet"]) == 0
    assert digest(out / "s.npy") == digest(reference / "s.npy")


def rewound(reference: Path, out: Path) -> Path:
    """Copy the finished run to `out` as a kill shortly before the end would have left it; return its last state."""
    shutil.copytree(reference, out)
    shutil.rmtree(out / "model")
    state = min((out / "checkpoints").glob("step_*.pt"))
    (out / "checkpoints" / "latest").write_text(state.name)
    steps = RunFolder(reference).config().model_options["max_steps"]
    assert 0 < int(state.stem.removeprefix("step_")) < steps
    return state


@pytest.mark.slow  # `test_resume_models` leaves a folder as a kill does
def test_a_killed_run_resumes_to_the_same_bits(table, reference, tmp_path):
    out = tmp_path / "x"
    process = start(table, out)
    wait_for_state(process, out)
    process.kill()
    assert process.wait() == -signal.SIGKILL
    process.communicate()
    assert not (out / "model").exists()
    assert main(["resume", str(out), "--quiet"]) == 0
    assert_same(out, reference)


@pytest.mark.slow  # `test_resume_models` stops runs in this process
def test_ctrl_c_saves_says_how_to_go_on_and_resumes_to_the_same_bits(table, reference, tmp_path):
    out = tmp_path / "x"
    process = start(table, out)
    wait_for_state(process, out)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert f"reverie resume {out}" in err
    assert "Traceback" not in err
    status = RunFolder(out).read_json("status.json")["training"]
    assert status["ended_by"] == "interrupted"
    assert 0 < status["step"] < STEPS
    assert (out / "checkpoints" / f"step_{status['step']:08d}.pt").is_file()
    assert main(["resume", str(out), "--quiet"]) == 0
    assert_same(out, reference)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(3))
def test_killed_again_and_again_at_random_moments(table, reference, tmp_path, seed):
    moments = random.Random(seed)
    out = tmp_path / "x"
    process = start(table, out)
    for _ in range(6):
        time.sleep(moments.uniform(1.0, 4.0))
        process.kill()
        process.communicate()
        again = ["resume", str(out), "--quiet"] if (out / "config.yaml").exists() else command(table, out)
        process = subprocess.Popen(
            [sys.executable, "-m", "reverie", *again], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
    _, err = process.communicate(timeout=300)
    assert process.returncode == 0, err
    assert_same(out, reference)


@pytest.mark.slow  # twin of the slow test above
def test_a_state_with_other_noise_is_not_the_same(table, reference, tmp_path):
    """The twin: resuming with the noise generator one draw ahead ends at other bits, and the comparison sees it."""
    out = tmp_path / "x"
    latest = rewound(reference, out)
    state = load_state(latest)
    noise = torch.Generator()
    noise.set_state(state["noise"])
    torch.rand(1, generator=noise)
    save_state(latest, {**state, "noise": noise.get_state()})
    assert main(["resume", str(out), "--quiet"]) == 0
    with pytest.raises(AssertionError):
        assert_same(out, reference)


def test_history_after_the_state_is_taken_anew(short_reference, tmp_path):
    """A kill after the last state leaves records that the resumed run writes again, once."""
    out = tmp_path / "x"
    rewound(short_reference, out)
    with open(out / "history.jsonl", "a", encoding="utf-8") as file:
        file.write('{"step": 99')
    assert main(["resume", str(out), "--quiet"]) == 0
    assert_same(out, short_reference, FEW)


def test_training_that_explodes_stops_with_step_cause_and_state(table, tmp_path, capsys):
    out = tmp_path / "x"
    assert main([*command(table, out), "--model.learning_rate", "1e30"]) == 1
    err = capsys.readouterr().err
    assert "step" in err
    assert "Traceback" not in err
    assert "tate" in err  # the last good state, or that there is none yet


def test_the_second_interrupt_quits_at_once():
    before = signal.getsignal(signal.SIGINT)  # a shell has background jobs ignore it
    with Interrupt() as interrupt:
        assert not interrupt.requested
        signal.raise_signal(signal.SIGINT)
        assert interrupt.requested
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
    assert signal.getsignal(signal.SIGINT) is before


def test_records_hold_both_players(short_reference):
    record = json.loads((short_reference / "history.jsonl").read_text().splitlines()[0])
    assert {"step", "seconds", "d_loss", "g_loss", "d_real", "d_fake"} <= set(record)
