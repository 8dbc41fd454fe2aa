"""Samples in shards: the same bits as from one process, whatever draws them, and after a crash."""

import json
import os
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import reverie
from reverie.core.errors import FolderError, InputError, WorkerError
from reverie.core.typed_files import digest_of_file
from reverie.data import Dataset, read
from reverie.experiment import sharding
from reverie.experiment.sampling import draw_from
from reverie.experiment.sharding import draw_sharded
from reverie.scale.shards import MANIFEST, digest_of_folder

TINY: dict[str, Any] = {"max_steps": 3, "batch_size": 16, "random_state": 0, "n_checks": 0}
N = 5000  # five shards of 1024 rows, the last one not full


def _table(n: int = 200) -> Dataset:
    rng = np.random.default_rng(0)
    x = np.column_stack([rng.normal(size=n), rng.exponential(size=n), rng.uniform(-np.pi, np.pi, n)])
    return Dataset(np.column_stack([x, rng.integers(0, 5, n)]).astype("float32"), names=["eta", "pt", "phi", "hits"])


@pytest.fixture(scope="module")
def models(tmp_path_factory) -> dict[str, Path]:
    """Folders of small models: of a table, with conditions, and of images with labels."""
    place, rng = tmp_path_factory.mktemp("models"), np.random.default_rng(1)
    x, label = _table(), np.repeat([0, 1], 100)
    images = (rng.uniform(size=(200, 6, 6)) * 255).astype("uint8")
    fitted = {
        "table": reverie.GAN(generator=(8,), discriminator=(8,), **TINY).fit(x),
        "conditions": reverie.GAN(generator=(8,), discriminator=(8,), **TINY).fit(x, label),
        "images": reverie.GAN(generator=(8,), discriminator=(8,), **TINY).fit(images, label),
    }
    return {name: model.save(place / name) for name, model in fitted.items()}


@pytest.fixture
def threads():
    """Two threads as workers: any executor of `concurrent.futures` will do."""
    with ThreadPoolExecutor(2) as executor:
        yield executor


def _joined(folder: Path) -> np.ndarray:
    return np.concatenate([np.asarray(read(file).values) for file in sorted(folder.glob("part-*"))])


@pytest.mark.parametrize("name", ["table", "conditions", "images"])
@pytest.mark.parametrize("start", [0, 1024, 1500, 17 * 1024])
def test_a_part_of_the_samples_is_drawn_without_those_before_it(models, name, start):
    model = reverie.load(models[name])
    whole = model.sample(start + 100, random_state=3)
    whole = np.asarray(whole.values if isinstance(whole, Dataset) else whole)
    part = np.concatenate(list(model.iter_sample(100, random_state=3, start=start)))
    np.testing.assert_array_equal(part, whole[start:])
    other = np.concatenate(list(model.iter_sample(100, random_state=3, start=start + 1)))
    assert not np.array_equal(part, other)


def test_conditions_are_drawn_without_those_before_them(models):
    model = reverie.load(models["conditions"])
    whole = np.asarray(model.sample_conditions(3000, random_state=3))
    np.testing.assert_array_equal(np.asarray(model.sample_conditions(500, random_state=3, start=2500)), whole[2500:])


@pytest.mark.parametrize("suffix", [".npy", ".parquet", ".csv"])
@pytest.mark.parametrize("name", ["table", "conditions"])
def test_one_file_in_shards_is_the_file_of_one_process(models, threads, tmp_path, name, suffix):
    alone, shared = tmp_path / f"a{suffix}", tmp_path / f"b{suffix}"
    draw_from(str(models[name]), alone, N, seed=7, quiet=True)
    assert draw_sharded(str(models[name]), shared, N, seed=7, engine=threads, quiet=True) == [shared]
    assert shared.read_bytes() == alone.read_bytes()
    assert sorted(file.name for file in tmp_path.iterdir()) == sorted([alone.name, shared.name])


def test_images_have_their_conditions_in_a_second_file(models, threads, tmp_path):
    alone, shared = tmp_path / "a.npy", tmp_path / "b.npy"
    draw_from(str(models["images"]), alone, 2500, seed=7, quiet=True)
    files = draw_sharded(str(models["images"]), shared, 2500, seed=7, engine=threads, quiet=True)
    assert files == [shared, tmp_path / "b_conditions.npy"]
    for a, b in (("a.npy", "b.npy"), ("a_conditions.npy", "b_conditions.npy")):
        assert (tmp_path / a).read_bytes() == (tmp_path / b).read_bytes()


def test_a_folder_of_parts_is_a_table_with_a_manifest(models, threads, tmp_path):
    pandas = pytest.importorskip("pandas")
    out = tmp_path / "samples"
    assert draw_sharded(str(models["table"]), out, N, seed=7, engine=threads, quiet=True) == [out]
    manifest = json.loads((out / MANIFEST).read_text())
    assert (manifest["n_done"], manifest["n_shards"], manifest["asked"]["n_samples"]) == (5, 5, N)
    for shard in manifest["shards"]:
        assert digest_of_file(out / shard["file"]) == shard["sha256"]
    draw_from(str(models["table"]), tmp_path / "a.parquet", N, seed=7, quiet=True)
    pandas.testing.assert_frame_equal(pandas.read_parquet(out), pandas.read_parquet(tmp_path / "a.parquet"))


def test_array_tasks_in_any_order_and_a_last_call_give_the_same_file(models, tmp_path):
    alone, shared = tmp_path / "a.parquet", tmp_path / "b.parquet"
    draw_from(str(models["conditions"]), alone, N, seed=7, condition="condition=1", quiet=True)
    order = {"seed": 7, "condition": "condition=1", "workers": 1, "quiet": True}
    for task in (3, 1):
        parts = draw_sharded(str(models["conditions"]), shared, N, task=(task, 3), **order)
        assert parts == [tmp_path / "b.parquet.parts"]
        assert not shared.exists()
    draw_sharded(str(models["conditions"]), shared, N, **order)  # the second task never came
    assert shared.read_bytes() == alone.read_bytes()


def test_what_is_finished_is_not_drawn_again(models, tmp_path, monkeypatch):
    out, drawn = tmp_path / "s", []
    real = sharding.draw

    def counted(model, path, *args, **options):
        drawn.append(path.name)
        if len(drawn) == 3:
            raise KeyboardInterrupt
        real(model, path, *args, **options)

    monkeypatch.setattr(sharding, "draw", counted)
    with pytest.raises(KeyboardInterrupt):
        draw_sharded(str(models["table"]), out, N, seed=0, workers=1, quiet=True)
    assert json.loads((out / MANIFEST).read_text())["n_done"] == 2
    (out / "part-00001.parquet").write_bytes(b"cut short")
    draw_sharded(str(models["table"]), out, N, seed=0, workers=1, quiet=True)
    assert drawn[3:] == [f"part-0000{k}.parquet" for k in (1, 2, 3, 4)]
    draw_from(str(models["table"]), tmp_path / "a.npy", N, seed=0, quiet=True)
    np.testing.assert_array_equal(_joined(out), np.load(tmp_path / "a.npy"))


def test_other_samples_are_refused_and_replaced_if_asked(models, tmp_path):
    out, order = tmp_path / "s", {"workers": 1, "quiet": True}
    draw_sharded(str(models["table"]), out, 2000, seed=0, **order)
    with pytest.raises(FolderError, match=r"another seed \(0, not 1\)"):
        draw_sharded(str(models["table"]), out, 2000, seed=1, **order)
    with pytest.raises(FolderError, match="another model"):
        draw_sharded(str(models["images"]), out, 2000, seed=0, **order)
    draw_sharded(str(models["table"]), out, 2000, seed=1, overwrite=True, **order)
    draw_from(str(models["table"]), tmp_path / "a.npy", 2000, seed=1, quiet=True)
    np.testing.assert_array_equal(_joined(out), np.load(tmp_path / "a.npy"))
    with pytest.raises(InputError, match="--format"):
        draw_sharded(str(models["table"]), tmp_path / "t", 20, seed=1, file_format="txt", **order)


def test_a_worker_with_another_model_says_so(models, tmp_path):
    copy = tmp_path / "model"
    reverie.load(models["table"]).save(copy)
    digests = tuple(digest_of_folder(copy).items())
    order = sharding.Order(str(copy), digests, 2000, 0, None, str(tmp_path / "s"), ".npy", 1024)
    reverie.load(models["images"]).save(copy)
    with pytest.raises(InputError, match="the same model"):
        sharding.write_shard(order, order.shards().shards[0])


@pytest.mark.slow
@pytest.mark.parametrize("engine", ["pool", "dask"])
@pytest.mark.parametrize("workers", [2, 3])
def test_engines_and_numbers_of_workers_give_the_same_bits(models, tmp_path, engine, workers):
    if engine == "dask":
        pytest.importorskip("distributed")
    draw_sharded(str(models["conditions"]), tmp_path / "a", N, seed=7, workers=1, quiet=True)
    draw_sharded(str(models["conditions"]), tmp_path / "b", N, seed=7, engine=engine, workers=workers, quiet=True)
    files = sorted(file.name for file in (tmp_path / "a").iterdir())
    assert files == sorted(file.name for file in (tmp_path / "b").iterdir())
    assert len(files) == 6
    for name in files:
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="needs POSIX signals")
def test_after_a_kill_the_same_command_carries_on(models, tmp_path):
    """SIGKILL to the whole group, as when a machine goes down; then only what is missing is drawn."""
    out, n = tmp_path / "s", 3_000_000
    words = [sys.executable, "-m", "reverie", "sample", models["table"], "-n", n, "-o", out, "--workers", 2, "--quiet"]
    process = subprocess.Popen([str(word) for word in words], start_new_session=True)
    while len(list(out.glob(".part-*.json"))) < 3 and process.poll() is None:
        time.sleep(0.05)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    before = {file.name: file.stat().st_mtime_ns for file in out.glob("part-*")}
    kept = {json.loads(file.read_text())["index"] for file in out.glob(".part-*.json")}
    assert 3 <= len(kept) < 16
    assert subprocess.run([str(word) for word in words], check=True).returncode == 0
    assert json.loads((out / MANIFEST).read_text())["n_done"] == 16
    assert {file.name for file in out.iterdir()} == {MANIFEST, *(f"part-{k:05d}.parquet" for k in range(16))}
    for k in kept:
        assert (out / f"part-{k:05d}.parquet").stat().st_mtime_ns == before[f"part-{k:05d}.parquet"]
    model = reverie.load(models["table"])
    last = read(out / "part-00015.parquet").values
    start = n - len(last)
    np.testing.assert_array_equal(last, np.concatenate(list(model.iter_sample(len(last), 0, start=start))))


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="needs POSIX signals")
def test_a_killed_worker_leaves_what_is_finished(models, tmp_path, monkeypatch):
    monkeypatch.setattr(sharding, "write_shard", _dies_at_the_third)
    with pytest.raises(WorkerError, match="what is finished is kept"):
        draw_sharded(str(models["table"]), tmp_path / "s", N, seed=0, workers=2, quiet=True)
    monkeypatch.undo()
    draw_sharded(str(models["table"]), tmp_path / "s", N, seed=0, workers=1, quiet=True)
    draw_from(str(models["table"]), tmp_path / "a.npy", N, seed=0, quiet=True)
    np.testing.assert_array_equal(_joined(tmp_path / "s"), np.load(tmp_path / "a.npy"))


def _dies_at_the_third(order, shard):
    if shard.index == 2:
        os.kill(os.getpid(), signal.SIGKILL)
    sharding.write_shard(order, shard)
