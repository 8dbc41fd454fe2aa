"""The main jobs on a busy machine, against a fair share of it.

    python -m benchmarks.speed.busy --out busy.json
    python -m benchmarks.speed.busy --jobs gan validate --competitors 0 1 2 --repeats 3

Every job runs in a process of its own with all defaults, alone and beside k programs that each keep one core busy:

    gan        a GAN on the ring of eight normals, 600 steps           what `reverie run gan ring` does first
    dcgan      a convolutional GAN on 2000 images of 28 x 28, 40 steps
    validate   5000 x 5 normal values against as many, all tests

What is fair: the scheduler gives a program of one thread a share s of a core, 1 on a quiet machine with a core left and
c / (k + 1) on one of c <= k cores. The competitors measure s while the job runs: processor time over wall time of each,
the mean of them. (Alone, a watcher beside the job would disturb it, so s = 1 is taken.) A job that needs w seconds of
one processor, measured with one thread, has had its fair share when it is done after w / s seconds. The table gives

    seconds    wall time of the job, imports and first calls not counted
    fair       w / s
    ratio      seconds / fair: asked is at most 1.3; threads that wait for each other give 5 to 20

Other programs on the machine lower s as they slow the job down, so the ratio keeps its meaning; the median of several
runs is what to quote. Run it when the machine is quiet all the same.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

__all__ = ["JOBS", "fair_share", "main"]

_COMPETITOR = """
import sys, time
began = time.perf_counter()
while not sys.stdin in __import__("select").select([sys.stdin], [], [], 0)[0]:
    for _ in range(200_000):
        pass
print(time.process_time() / (time.perf_counter() - began))
"""


def _gan() -> Callable[[], object]:
    import reverie

    rows = reverie.data.load("ring")
    reverie.GAN(max_steps=2, random_state=0).fit(rows)
    return lambda: reverie.GAN(max_steps=600, refine=False, random_state=0).fit(rows)


def _dcgan() -> Callable[[], object]:
    import numpy as np

    import reverie

    rows = np.random.default_rng(0).random((2000, 28, 28))
    options: dict[str, Any] = {"n_checks": 1, "record_every": 10, "random_state": 0}
    reverie.GAN(max_steps=2, **options).fit(rows)
    return lambda: reverie.GAN(max_steps=40, **options).fit(rows)


def _validate() -> Callable[[], object]:
    import numpy as np

    import reverie

    real, generated = np.random.default_rng(0).normal(size=(2, 5000, 5))
    reverie.validate(real[:200], generated[:200], n_permutations=19, random_state=0)
    return lambda: reverie.validate(real, generated, random_state=0)


JOBS: dict[str, Callable[[], Callable[[], object]]] = {"gan": _gan, "dcgan": _dcgan, "validate": _validate}


def fair_share(work: float, shares: list[float]) -> float:
    """Return the seconds that `work` seconds of one processor take at the mean share of a core of the competitors."""
    return work / (sum(shares) / len(shares) if shares else 1.0)


def _child(name: str) -> None:
    job = JOBS[name]()
    print("ready", flush=True)
    sys.stdin.readline()
    wall, processor = time.perf_counter(), time.process_time()
    job()
    print(json.dumps({"seconds": time.perf_counter() - wall, "processor": time.process_time() - processor}))


def _measured(name: str, n_competitors: int, *, one_thread: bool = False) -> dict[str, Any]:
    """Return wall and processor seconds of a job beside competitors, and the share of a core that these had."""
    one = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1") if one_thread else {}
    pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    command = [sys.executable, "-m", "benchmarks.speed.busy", "--child", name]
    with subprocess.Popen(command, env=os.environ | one, **pipes) as job:
        assert job.stdout is not None
        job.stdout.readline()
        others = [subprocess.Popen([sys.executable, "-c", _COMPETITOR], **pipes) for _ in range(n_competitors)]
        time.sleep(0.5 if others else 0.0)
        told, _ = job.communicate("go\n")
        shares = [float(other.communicate("stop\n")[0]) for other in others]
    return {**json.loads(told.splitlines()[-1]), "shares": shares}


def main() -> None:
    """Measure, print a table, and write the numbers."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--jobs", nargs="+", choices=list(JOBS), default=list(JOBS))
    parser.add_argument("--competitors", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--child", choices=list(JOBS), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        _child(options.child)
        return
    rows = []
    print(f"{'job':10}{'competitors':>12}{'seconds':>10}{'fair':>8}{'ratio':>8}{'from':>8}{'to':>7}", flush=True)
    for name in options.jobs:
        work = min(_measured(name, 0, one_thread=True)["processor"] for _ in range(options.repeats))
        for k in options.competitors:
            runs = [_measured(name, k) for _ in range(options.repeats)]
            ratios = sorted(run["seconds"] / fair_share(work, run["shares"]) for run in runs)
            middle = min(runs, key=lambda run: run["seconds"])
            row = {"job": name, "competitors": k, "work": work, "runs": runs, "ratio": statistics.median(ratios)}
            rows.append(row)
            fair = fair_share(work, middle["shares"])
            said = f"{name:10}{k:12d}{middle['seconds']:10.2f}{fair:8.2f}{row['ratio']:8.2f}"
            print(f"{said}{ratios[0]:8.2f}{ratios[-1]:7.2f}", flush=True)
    if options.out:
        options.out.write_text(json.dumps({"n_cores": os.cpu_count(), "rows": rows}, indent=1) + "\n")


if __name__ == "__main__":
    main()
