"""One configuration with several seeds, each a run of its own, in as many processes at a time as there are workers.

    runs/z/seed-0    runs/z/seed-1    ...

The runs know nothing of each other, so engines and numbers of workers change none of them. One that fails does not
stop the others. The same command again carries on those that were interrupted and leaves the complete ones alone. In
the end stands the mean over the seeds; `reverie compare runs/z` says more.
"""

import contextlib
import io
import math
from collections.abc import Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, replace
from pathlib import Path

from reverie.core.checks import check_positive
from reverie.core.errors import FolderError, InputError, ReverieError
from reverie.core.measured import Measured
from reverie.experiment.compare import compare_runs
from reverie.experiment.config import RunConfig
from reverie.experiment.progress import Progress
from reverie.experiment.run import ALL_STAGES, resume, start
from reverie.scale.executors import completed, open_executor

__all__ = ["SeedRun", "run_seeds"]

MOST_SEEDS = 10_000


@dataclass(frozen=True)
class SeedRun:
    """One of the runs, as a worker is told of it; see `run_seeds`."""

    config: RunConfig
    out: str
    stages: tuple[str, ...]
    command: str
    overwrite: bool


def run_seeds(
    config: RunConfig,
    out: str | Path,
    n_seeds: int,
    *,
    engine: str | Executor = "pool",
    workers: int | None = None,
    stages: Sequence[str] = ALL_STAGES,
    overwrite: bool = False,
    quiet: bool = False,
    command: str = "",
) -> int:
    """Run `config` with the seeds s, s + 1, ..., s + n_seeds - 1, s its own; return the largest exit code.

    The run folders are seed-0 and so on in `out`; one of another configuration is a `FolderError`. `engine` and
    `workers` are those of `reverie.scale.executors.open_executor`, with one thread for each run; a worker that died is
    a `WorkerError`. The other options are those of `reverie.experiment.run.start`.
    """
    check_positive("n_seeds", n_seeds, integer=True)
    if n_seeds > MOST_SEEDS:
        raise InputError(f"Expected at most {MOST_SEEDS:,} seeds, got {n_seeds:,}. Give several folders of them.")
    jobs = []
    for seed in range(config.seed, config.seed + int(n_seeds)):
        own, place = replace(config, seed=seed), Path(out) / f"seed-{seed}"
        file = place / "config.yaml"
        if file.is_file() and not overwrite and file.read_text(encoding="utf-8") != own.to_yaml():
            raise FolderError(
                f"Expected a run of the same configuration in {str(place)!r}, got another. Give another --out, or "
                "--overwrite."
            )
        jobs.append(SeedRun(own, str(place.absolute()), tuple(stages), command, overwrite))
    Path(out).mkdir(parents=True, exist_ok=True)
    opened = open_executor(engine, workers=None if workers is None else min(workers, len(jobs)))
    ended: dict[str, tuple[int, str]] = {}
    with opened as executor, Progress("running", len(jobs), unit="runs", quiet=quiet, every=0.0) as bar:
        for job, (code, printed, error) in completed(executor, _one, jobs):
            ended[job.out] = code, printed
            bar.update(len(ended))
            bar.tell(f"{Path(job.out).name}: {error or 'done'}")
    for job in jobs:
        print(ended[job.out][1], end="")
    judged = [job.out for job in jobs if (Path(job.out) / "validation.json").is_file()]
    if len(judged) > 1:
        compared = compare_runs(judged)
        mean, told = compared.groups[0], sum(run.result.p_value <= compared.alpha for run in compared.runs)
        found = Measured(mean.mean, math.nan if mean.error is None else mean.error)
        print(
            f"{len(judged)} seeds: mean {compared.by} {found}, told from real events at 5 % in {told} of {len(judged)}"
        )
        print(f"compare: reverie compare {out}")
    return max(code for code, _ in ended.values())


def _one(job: SeedRun) -> tuple[int, str, str]:
    """Start one run, or carry it on; return its exit code, what it printed, and the sentence of an error or ""."""
    printed = io.StringIO()
    try:
        with contextlib.redirect_stdout(printed):  # so that the runs do not talk at once
            if (Path(job.out) / "config.yaml").is_file() and not job.overwrite:
                code = resume(job.out, quiet=True)
            else:
                code = start(
                    job.config, job.out, stages=job.stages, overwrite=job.overwrite, command=job.command, quiet=True
                )
    except ReverieError as error:
        return 1, printed.getvalue(), str(error)
    return code, printed.getvalue(), ""
