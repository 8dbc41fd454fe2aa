"""Training and validating on a table on disk go through in less memory than the table, where plain arrays do not."""

import os
import subprocess
import sys
import textwrap

import numpy as np
import pytest

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="limits of memory are those of Linux")

ROWS, COLUMNS = 1 << 21, 8
ROOM = 200  # MiB: less than two copies of the table in double precision, 128 each; the watch alone takes 130

# A child process imports everything, runs the task once on a few rows, and may then take `room` MiB more.
CHILD = """
    import resource, sys
    import numpy as np, torch
    import reverie
    from reverie.core import lazy

    torch.set_num_threads(1)
    lazy.SAMPLE_ROWS = 1 << 14  # a smaller sample for a smaller table

    def train(x):
        model = reverie.VAE(encoder=(8,), decoder=(8,), max_steps=4, n_checks=1, record_every=4, device="cpu",
                            preprocessing="standardise", random_state=0)
        model.fit(reverie.data.Dataset(x))

    def validate(x):
        data = reverie.data.Dataset(x), reverie.data.Dataset(x[::-1])
        options = {"classifiers": (), "locate": False, "calibrate": False, "n_permutations": 9, "max_samples": 60}
        reverie.validate(*data, random_state=0, correlated="ignore", **options)

    task, path, room = {"train": train, "validate": validate}[sys.argv[1]], sys.argv[2], int(sys.argv[3])
    task(np.random.default_rng(0).standard_normal((400, 8), dtype=np.float32))
    with open("/proc/self/status") as status:
        used = next(int(line.split()[1]) for line in status if line.startswith("VmData"))
    limit = used * 1024 + room * 2**20
    resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))
    try:
        task(np.load(path, mmap_mode="r"))
    except (MemoryError, RuntimeError) as error:
        sys.exit("out of memory" if isinstance(error, MemoryError) or "memory" in str(error) else str(error))
"""


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    path = tmp_path_factory.mktemp("memory") / "big.npy"
    x = np.random.default_rng(0).standard_normal((ROWS, COLUMNS), dtype=np.float32)
    np.save(path, x)
    return path


def run(task, file, *, large):
    environment = os.environ | {"REVERIE_LARGE": large, "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-c", textwrap.dedent(CHILD), task, str(file), str(ROOM)]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)  # noqa: S603 - our own


@pytest.mark.slow
@pytest.mark.parametrize("task", ["train", "validate"])
def test_a_table_on_disk_needs_less_memory_than_copies_of_it(task, file):
    from_disk = run(task, file, large="1e6")
    assert from_disk.returncode == 0, from_disk.stderr


@pytest.mark.slow
@pytest.mark.parametrize("task", ["train", "validate"])
def test_in_memory_the_same_does_not_go_through(task, file):
    in_memory = run(task, file, large="1e12")
    assert in_memory.returncode == 1
    assert "out of memory" in in_memory.stderr
