"""Shards: how n is cut, what counts as finished, and what a folder refuses."""

import json
import math

import pytest

from reverie.core.errors import FolderError, InputError
from reverie.core.random import UNIT
from reverie.core.typed_files import digest_of_file
from reverie.scale.shards import (
    LEAST_SHARDS,
    MANIFEST,
    MOST_BYTES,
    ShardFolder,
    array_script,
    parse_task,
    shard_rows,
    shards_of,
    share,
)

SIZES = [(1, 8), (5000, 32), (100_000, 32), (10**6, 32), (10**8, 32), (10**6, 3136), (20_000, 10**6)]


def folder(path, seed=0, n=5000):
    made = ShardFolder(path, {"seed": seed, "n_samples": n}, shards_of(n, 2048), ".npy")
    made.open()
    return made


def written(shards, k, content="x"):
    shard = shards.shards[k]
    shards.part(shard).write_text(content * shard.n_rows)
    shards.finish(shard)


@pytest.mark.parametrize(("n", "size"), SIZES)
def test_shards_hold_every_row_once_and_begin_where_a_seed_begins(n, size):
    rows = shard_rows(n, size)
    shards = shards_of(n, rows)
    assert sum(shard.n_rows for shard in shards) == n
    assert [s.start for s in shards[1:]] == [s.start + s.n_rows for s in shards[:-1]]
    assert all(shard.start % UNIT == 0 for shard in shards)
    assert rows == UNIT or rows * size <= MOST_BYTES
    assert len(shards) >= min(LEAST_SHARDS // 2, math.ceil(n / UNIT))


@pytest.mark.parametrize("n_tasks", [1, 3, 7, 50])
def test_tasks_share_all_shards_and_none_twice(n_tasks):
    shards = shards_of(20_000, 1024)
    shares = [share(shards, i, n_tasks) for i in range(1, n_tasks + 1)]
    assert sorted(shard.index for part in shares for shard in part) == list(range(20))
    assert max(map(len, shares)) - min(map(len, shares)) <= 1


def test_a_shard_is_finished_when_its_note_is_there_and_its_file_whole(tmp_path):
    shards = folder(tmp_path / "s")
    assert shards.finished() == {}
    shards.part(shards.shards[0]).write_text("a file without a note")
    written(shards, 1)
    written(shards, 2)
    shards.part(shards.shards[2]).write_text("cut short")
    assert shards.finished() == {1: digest_of_file(shards.part(shards.shards[1]))}
    assert [shard.index for shard in shards.missing(shards.shards)] == [0, 2]


def test_the_manifest_says_what_was_asked_and_what_is_done(tmp_path):
    shards = folder(tmp_path / "s")
    for k in range(3):
        written(shards, k)
        shards.write_manifest()
        content = json.loads((shards.path / MANIFEST).read_text())
        assert (content["n_done"], content["n_shards"]) == (k + 1, 3)
        assert [entry["done"] for entry in content["shards"]] == [i <= k for i in range(3)]
    shards.tidy()
    assert sorted(file.name for file in shards.path.iterdir()) == [MANIFEST, *(f"part-0000{k}.npy" for k in range(3))]
    assert shards.missing(shards.shards) == []
    assert content["asked"] == {"seed": 0, "n_samples": 5000}
    assert [entry["rows"] for entry in content["shards"]] == [2048, 2048, 904]
    assert content["shards"][0]["sha256"] == digest_of_file(shards.part(shards.shards[0]))


def test_a_folder_of_other_samples_or_other_files_is_refused(tmp_path):
    folder(tmp_path / "s")
    with pytest.raises(FolderError, match=r"another seed \(0, not 1\)"):
        folder(tmp_path / "s", seed=1)
    with pytest.raises(FolderError, match=r"another seed \(0, not 1\), another n samples \(5000, not 7\)"):
        folder(tmp_path / "s", seed=1, n=7)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.tex").write_text("")
    with pytest.raises(FolderError, match="other files"):
        folder(tmp_path / "mine")
    (tmp_path / "s" / MANIFEST).write_text("{}")
    with pytest.raises(InputError, match="other content"):
        folder(tmp_path / "s")


def test_removing_leaves_what_is_not_ours(tmp_path):
    shards = folder(tmp_path / "s")
    written(shards, 0)
    (shards.path / "notes.txt").write_text("mine")
    shards.remove()
    assert [file.name for file in shards.path.iterdir()] == ["notes.txt"]
    other = folder(tmp_path / "t")
    other.remove()
    assert not other.path.exists()


def test_tasks_are_counted_from_one():
    assert parse_task("3/20") == (3, 20)
    assert parse_task("1/1") == (1, 1)
    for wrong in ("0/20", "21/20", "3", "3/", "-1/4", "a/b"):
        with pytest.raises(InputError, match="3/20"):
            parse_task(wrong)


def test_the_script_of_an_array_quotes_what_needs_it():
    text = array_script(["reverie", "sample", "my runs/z", "-n", "5"], 20)
    assert text.startswith("#!/bin/bash\n")
    assert "#SBATCH --array=1-20\n" in text
    assert "\nreverie sample 'my runs/z' -n 5 --shard \"$SLURM_ARRAY_TASK_ID/20\" --quiet\n" in text


def test_a_manifest_that_another_task_writes_meanwhile_is_no_other_file(tmp_path, monkeypatch):
    folder(tmp_path)
    known, seen = ShardFolder._manifest, []

    def late(self):
        seen.append(1)
        return known(self) if len(seen) > 1 else None

    monkeypatch.setattr(ShardFolder, "_manifest", late)
    folder(tmp_path)
    assert (tmp_path / MANIFEST).is_file()
