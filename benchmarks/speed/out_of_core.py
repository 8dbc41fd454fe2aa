"""Peak memory of training and validating on tables on disk, against the plain path that holds them in memory.

    python -m benchmarks.speed.out_of_core --rows 1e6 4e6 1.6e7 --out out_of_core.json

For each size a table of 8 columns in single precision is written to a temporary file. Child processes then train a
small GAN and a small VAE for a few steps, and validate one table against another, once from disk (REVERIE_LARGE=1) and
once in memory (REVERIE_LARGE=1e12). Each reports its time, its peak resident memory in all, pages of memory maps
included, and how much of that came after the imports.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

__all__ = ["main", "measured", "write_table"]

_COLUMNS, _BLOCK = 8, 1 << 18
TASKS = ("gan", "vae", "validate")


def write_table(path: Path, n_rows: int, seed: int, shift: float = 0.0) -> None:
    """Write normal, correlated and exponential columns (n_rows, 8), float32, block by block."""
    table = np.lib.format.open_memmap(path, "w+", "float32", (n_rows, _COLUMNS))
    rng = np.random.default_rng(seed)
    for start in range(0, n_rows, _BLOCK):
        x = rng.standard_normal((min(_BLOCK, n_rows - start), _COLUMNS), dtype=np.float32)
        x[:, 1] += x[:, 0] + shift
        x[:, 2] = np.exp(x[:, 2])
        table[start : start + len(x)] = x
    table.flush()


def measured(task: str, paths: list[Path], *, lazily: bool, steps: int = 20) -> dict[str, Any]:
    """Return seconds and peak memory in MiB of a child process that does `task`."""
    environment = os.environ | {"REVERIE_LARGE": "1" if lazily else "1e12", "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "benchmarks.speed.out_of_core", "--child", task, *map(str, paths)]
    done = subprocess.run(  # noqa: S603 - our own program
        [*command, "--steps", str(steps)], env=environment, capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        return {"task": task, "lazily": lazily, "failed": done.stderr.strip().splitlines()[-1:]}
    return {"task": task, "lazily": lazily, **json.loads(done.stdout.splitlines()[-1])}


def _child(task: str, paths: list[str], steps: int) -> None:
    import torch

    import reverie

    torch.set_num_threads(1)
    options: dict[str, Any] = {"max_steps": steps, "record_every": steps, "n_checks": 1, "random_state": 0}
    makers = {
        "gan": lambda: reverie.GAN(generator=(32,), discriminator=(32,), refine=False, device="cpu", **options),
        "vae": lambda: reverie.VAE(encoder=(32,), decoder=(32,), device="cpu", **options),
    }
    _warm_up(makers)
    before, began = _peak(), time.perf_counter()
    if task == "validate":
        few = {"classifiers": (), "locate": False, "calibrate": False, "n_permutations": 19, "max_samples": 500}
        data = [reverie.data.read(path) for path in paths]
        reverie.validate(data[0], data[1], random_state=0, **few)
    else:
        makers[task]().fit(reverie.data.read(paths[0]))
    seconds, peak = time.perf_counter() - began, _peak()
    print(json.dumps({"seconds": round(seconds, 1), "peak_mib": round(peak), "added_mib": round(peak - before)}))


def _warm_up(makers: dict[str, Any]) -> None:
    """Import what any of the tasks import, so that it does not count as memory of the data."""
    import reverie
    import reverie.validation.suite  # noqa: F401 - imported for its imports
    from reverie.data.toys import TOYS  # noqa: F401 - as above

    x = np.random.default_rng(0).standard_normal((300, _COLUMNS))
    for make in makers.values():
        model = make()
        next(model.iter_fit(reverie.data.Dataset(x), stop=lambda: True))


def _peak() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1024.0 if sys.platform != "darwin" else 1024.0**2)


def _rows(
    sizes: list[int], tasks: list[str], paths_taken: tuple[bool, ...], folder: Path, steps: int
) -> Iterator[dict[str, Any]]:
    for n in sizes:
        paths = [folder / "real.npy", folder / "generated.npy"]
        for k, path in enumerate(paths):
            write_table(path, n, seed=k, shift=0.01 * k)
        for task in tasks:
            for lazily in paths_taken:
                yield {"rows": n, "table_mib": round(n * _COLUMNS * 4 / 2**20)} | measured(
                    task, paths, lazily=lazily, steps=steps
                )


def main() -> None:
    """Print a line for each size, task and path."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", nargs="+", type=float, default=[1e6, 4e6, 1.6e7])
    parser.add_argument("--tasks", nargs="+", choices=TASKS, default=list(TASKS))
    parser.add_argument("--disk-only", action="store_true", help="leave the plain path out")
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--folder", help="where the tables are written; default a temporary folder")
    parser.add_argument("--out", help="JSON file of the lines")
    parser.add_argument("--child", nargs="+", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.child:
        _child(given.child[0], given.child[1:], given.steps)
        return
    lines = []
    with tempfile.TemporaryDirectory(dir=given.folder) as folder:
        taken = (True,) if given.disk_only else (True, False)
        for line in _rows([int(n) for n in given.rows], given.tasks, taken, Path(folder), given.steps):
            lines.append(line)
            print("  ".join(f"{key} {value}" for key, value in line.items()), flush=True)
    if given.out:
        Path(given.out).write_text(json.dumps(lines, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
