"""Rows of the table: what is compared, and how the sides take turns.

A `Row` is a task of a stated size with our side, its peers and the terms of its floor. Every side is a process of its
own (`benchmarks.speed.worker`), pinned to the same cores and held to the same number of threads. After a first turn,
which compiles and is not counted but reported, a turn is so many units of work as take about `target` seconds, and the
sides take turns, ours, the peers', the floor's, one at a time: `rounds` of them, at least 5. Ratios are taken within a
round, and medians over rounds are reported with the least and the greatest.

The clock is that of the wall, or that of the processor: with one thread they differ by what other programs took, so
the processor's is then the default; sides that keep several threads busy need the wall's.
"""

import atexit
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import Any

from benchmarks.speed.machine import Term

__all__ = ["FLOOR", "OURS", "Bench", "Measured", "Row", "Side", "both_ways", "environment", "measure", "ratio"]

ROOT = Path(__file__).resolve().parents[2]
FLOOR, OURS = "floor", "reverie"


@dataclass(frozen=True)
class Side:
    """A competitor.

    Parameters
    ----------
    name : how the table calls it.
    task : "module:function" of `benchmarks.speed.worker`.
    params : keyword arguments of the task.
    chunk : units of work that cannot be divided.
    ours : whether it runs in our environment, else in that of the peers.
    root : checkout whose package and benchmarks it runs.
    """

    name: str
    task: str
    params: Mapping[str, Any] = field(default_factory=dict)
    chunk: int = 1
    ours: bool = False
    root: Path = ROOT


def both_ways(task: str, params: Mapping[str, Any], chunk: int) -> list[Side]:
    """Return our side as it comes, whose long runs are compiled, and with compile=False."""
    plain = {**params, "compile": False}
    return [Side(OURS, task, params, chunk, ours=True), Side(f"{OURS}, not compiled", task, plain, chunk, ours=True)]


@dataclass(frozen=True)
class Row:
    """A task.

    Parameters
    ----------
    key : short name, by which `--only` finds it.
    what : the task with its sizes, in words.
    unit : what the time is of, such as "step".
    sides : ours first.
    floor : terms of the floor; none leaves it out.
    asked : what is wanted of the ratios, in words.
    threads : that this row needs, None for those of the run.
    """

    key: str
    what: str
    unit: str
    sides: Sequence[Side]
    floor: Sequence[Term] = ()
    asked: str = ""
    threads: int | None = None


@dataclass(frozen=True)
class Bench:
    """How to measure: the peers' interpreter (None: no peers, `missing` says why), threads, cores, rounds, seconds.

    `against` is another checkout, whose package takes turns with this one's in every row.
    """

    peers: str | None
    missing: str
    threads: int
    cores: Sequence[int]
    rounds: int = 7
    target: float = 0.4
    clock: str = "wall"
    against: Path | None = None

    @property
    def spare(self) -> int:
        """Cores given beyond the threads: a busy machine is better left the choice."""
        return max(0, len(self.cores) - self.threads)


@dataclass
class Measured:
    """One side of a row: seconds of a unit in each round, of the first turn altogether, peak memory, or what failed."""

    name: str
    seconds: list[float] = field(default_factory=list)
    wall_over_processor: float | None = None
    first: float | None = None
    peak_mb: float | None = None
    error: str = ""

    @property
    def median(self) -> float | None:
        """Median over rounds, in seconds."""
        return statistics.median(self.seconds) if self.seconds else None


def measure(row: Row, bench: Bench) -> list[Measured]:
    """Return what each side of `row` took, the floor last.

    Parameters
    ----------
    row : the task.
    bench : how to measure.
    """
    threads = row.threads or bench.threads
    sides = list(row.sides)
    if bench.against:
        other = bench.against
        sides += [replace(side, name=f"{side.name}, {other.name}", root=other) for side in row.sides if side.ours]
    if row.floor:
        params = {"terms": list(row.floor), "threads": threads}
        sides.append(Side(FLOOR, "benchmarks.speed.machine:floor", params, ours=True))
    with ExitStack() as stack:
        workers = [stack.enter_context(_Worker(side, bench, threads)) for side in sides]
        for worker in workers:
            worker.ready()
        for worker in workers:
            worker.prepare(bench.target)
        for _ in range(bench.rounds):
            for worker in workers:
                worker.turn()
        return [worker.measured for worker in workers]


class _Worker:
    """The process of a side, from its start to its end."""

    def __init__(self, side: Side, bench: Bench, threads: int) -> None:
        self.side, self.bench, self.threads = side, bench, threads
        self.measured = Measured(side.name)
        self.n, self._walls = side.chunk, []
        self._process: subprocess.Popen[str] | None = None
        self._complaints = tempfile.TemporaryFile("w+")

    def __enter__(self) -> "_Worker":
        python = sys.executable if self.side.ours else self.bench.peers
        if python is None:
            self.measured.error = self.bench.missing
            return self
        spec = {
            "task": self.side.task,
            "params": dict(self.side.params),
            "cores": list(self.bench.cores)[-(self.threads + self.bench.spare) :],
        }
        self._process = subprocess.Popen(
            [python, "-m", "benchmarks.speed.worker", json.dumps(spec)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._complaints,
            text=True,
            env=environment(self.threads, self.side.root),
            cwd=self.side.root,
        )
        return self

    def __exit__(self, *_: object) -> None:
        if self._process is None:
            self._complaints.close()
            return
        self._process.kill()
        self._process.communicate()
        self._complaints.close()

    @property
    def _clock(self) -> str:
        return "processor" if self.bench.clock == "processor" else "seconds"

    def ready(self) -> None:
        """Wait until the task is made."""
        made = self._answer()
        self.measured.first = made[self._clock] if made else None

    def prepare(self, target: float) -> None:
        """Take the first turns and choose how long the others are."""
        first = self._run(self.side.chunk)
        if not first or self.measured.first is None:
            return
        self.measured.first += first[self._clock] * self.side.chunk
        second = self._run(self.side.chunk)
        if second:
            each = min(first["seconds"], second["seconds"])
            self.n = self.side.chunk * max(1, round(target / max(each, 1e-9) / self.side.chunk))

    def turn(self) -> None:
        """Take a turn that counts."""
        took = self._run(self.n)
        if not took:
            return
        self.measured.seconds.append(took[self._clock])
        self.measured.peak_mb = took["peak_mb"]
        self._walls.append(took["seconds"] / max(took["processor"], 1e-12))
        self.measured.wall_over_processor = statistics.median(self._walls)

    def _run(self, n: int) -> dict[str, float] | None:
        if self._process is None or self._process.stdin is None or self.measured.error:
            return None
        try:
            self._process.stdin.write(json.dumps({"run": n}) + "\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            self.measured.error = self.measured.error or "ended before its turn"
            return None
        return self._answer()

    def _answer(self) -> dict[str, float] | None:
        if self._process is None or self._process.stdout is None or self.measured.error:
            return None
        line = self._process.stdout.readline()
        answer: dict[str, Any] = json.loads(line) if line else {"error": self._last_words()}
        if "error" in answer:
            self.measured.error = answer["error"]
            return None
        return answer

    def _last_words(self) -> str:
        self._complaints.seek(0)
        return (self._complaints.read().strip().splitlines() or ["ended without a word"])[-1][:200]


def environment(threads: int, root: Path = ROOT) -> dict[str, str]:
    """Return the environment of a side: so many threads for every library, and the checkout `root` on the path.

    What torch compiles is kept in a folder of this run, so that the first turn pays for it, once.
    """
    one = {"XLA_FLAGS": "--xla_cpu_multi_thread_eigen=false"} if threads == 1 else {}
    counts = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS"), threads)
    path = os.pathsep.join([str(root / "src"), str(root), *filter(None, [os.environ.get("PYTHONPATH")])])
    quiet = {"POT_BACKEND_DISABLE_JAX": "1", "POT_BACKEND_DISABLE_TENSORFLOW": "1", "POT_BACKEND_DISABLE_CUPY": "1"}
    return {
        **os.environ,
        **{name: str(n) for name, n in counts.items()},
        **one,
        **quiet,
        "PYTHONPATH": path,
        "TORCHINDUCTOR_CACHE_DIR": _cache(),
    }


@cache
def _cache() -> str:
    folder = tempfile.mkdtemp(prefix="reverie-speed-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder


def ratio(a: Measured, b: Measured, over: Callable[[Sequence[float]], float] = statistics.median) -> float | None:
    """Return the median (or another summary) over rounds of the time of `a` over that of `b`."""
    pairs = [x / y for x, y in zip(a.seconds, b.seconds, strict=False) if y > 0]
    return over(pairs) if pairs else None
