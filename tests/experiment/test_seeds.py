"""Several seeds of one configuration: the runs are those of single calls, and are carried on."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from reverie.core.errors import FolderError, InputError, TrainingError
from reverie.core.measured import Measured
from reverie.experiment import seeds as module
from reverie.experiment.compare import compare_runs
from reverie.experiment.config import RunConfig
from reverie.experiment.run import start
from reverie.experiment.seeds import run_seeds

MODEL = {"name": "gan", "max_steps": 5, "batch_size": 16, "generator": (8,), "discriminator": (8,), "n_checks": 0}
CONFIG = RunConfig(data="ring", seed=3, n_samples=50, model=MODEL)
FIT = {"stages": ("fit", "sample"), "quiet": True}


def test_each_seed_is_the_run_that_one_call_makes(tmp_path, capsys):
    assert run_seeds(CONFIG, tmp_path / "all", 2, workers=1, **FIT) == 0
    out = capsys.readouterr().out
    assert [line.split("/")[-2] for line in out.splitlines()] == ["seed-3", "seed-4"]
    assert start(RunConfig(data="ring", seed=4, n_samples=50, model=MODEL), tmp_path / "one", **FIT) == 0
    samples = [np.load(place / "samples.npy") for place in (tmp_path / "all" / "seed-4", tmp_path / "one")]
    np.testing.assert_array_equal(*samples)
    assert not np.array_equal(samples[0], np.load(tmp_path / "all" / "seed-3" / "samples.npy"))


def test_in_the_end_stands_the_mean_over_the_seeds(tmp_path, capsys):
    config = RunConfig(data="ring", seed=3, n_samples=50, validation_time=0.1, model=MODEL)
    assert run_seeds(config, tmp_path / "all", 2, workers=1, quiet=True) == 0
    *_, line, last = capsys.readouterr().out.splitlines()
    compared = compare_runs([tmp_path / "all"])
    (group,) = compared.groups
    assert line.startswith(f"2 seeds: mean {compared.by} {Measured(group.mean, group.error)}, told from real events")
    assert last == f"compare: reverie compare {tmp_path / 'all'}"


def test_the_same_command_carries_on_and_leaves_the_complete_alone(tmp_path, monkeypatch):
    out = tmp_path / "all"
    assert run_seeds(CONFIG, out, 1, workers=1, **FIT) == 0
    before = (out / "seed-3" / "samples.npy").stat().st_mtime_ns
    assert run_seeds(CONFIG, out, 2, workers=1, **FIT) == 0
    assert (out / "seed-3" / "samples.npy").stat().st_mtime_ns == before
    assert (out / "seed-4" / "samples.npy").is_file()
    with pytest.raises(FolderError, match="another"):
        run_seeds(RunConfig(data="ring", seed=3, n_samples=51, model=MODEL), out, 1, workers=1, **FIT)


def test_one_that_fails_does_not_stop_the_others(tmp_path, monkeypatch, capsys):
    real = module.start

    def fails(config, out, **how):
        if config.seed == 3:
            raise TrainingError("The loss is not finite.", step=1)
        return real(config, out, **how)

    monkeypatch.setattr(module, "start", fails)
    with ThreadPoolExecutor(1) as executor:
        assert run_seeds(CONFIG, tmp_path, 2, engine=executor, stages=("fit",)) == 1
    err = capsys.readouterr().err
    assert "seed-3: The loss is not finite." in err
    assert "seed-4: done" in err
    assert (tmp_path / "seed-4" / "model").is_dir()


def test_a_number_of_seeds_is_positive(tmp_path):
    with pytest.raises(InputError, match="n_seeds"):
        run_seeds(CONFIG, tmp_path, 0)


@pytest.mark.slow
def test_processes_make_the_same_runs(tmp_path):
    for workers in (1, 2):
        assert run_seeds(CONFIG, tmp_path / str(workers), 2, workers=workers, **FIT) == 0
    for seed in ("seed-3", "seed-4"):
        a, b = (np.load(tmp_path / workers / seed / "samples.npy") for workers in "12")
        np.testing.assert_array_equal(a, b)
