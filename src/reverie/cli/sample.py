"""`reverie sample RUN -n N -o OUT`: stream samples of a trained model into a file, or a folder of part files."""

from collections.abc import Sequence
from pathlib import Path

from jsonargparse import Namespace

from reverie.cli.options import Options
from reverie.core.errors import InputError

__all__ = ["main", "options"]


def options() -> Options:
    parser = Options(
        "sample",
        "Draw samples from a trained model, in original units, block by block: memory stays constant. The same seed "
        "gives the same samples for any engine and any number of workers. With several workers the samples are drawn "
        "in shards; after a crash the same command carries on with those that are missing.",
        words=("run",),
        usage="RUN -n N -o OUT",
        needs="Expected a run folder, got nothing. Write: reverie sample runs/x -n 1000 -o samples.npy",
        examples=(
            "reverie sample runs/z -n 1000000 -o samples.parquet",
            "reverie sample runs/z -n 99 -o s.csv --seed 7",
            "reverie sample runs/digits -n 100 -o threes.npy --condition label=3",
            "reverie sample runs/z -n 100000000 -o samples.parquet --workers 4      # one file",
            "reverie sample runs/z -n 1000000000 -o samples --workers 16            # part files and a manifest",
            "reverie sample runs/z -n 1000000000 -o samples --engine dask --scheduler-file cluster.json",
            "reverie sample runs/z -n 1000000000 -o samples --engine slurm --workers 20 > job.sh; sbatch job.sh",
            "reverie sample runs/z -n 1000000000 -o samples --shard 3/20            # the third of twenty tasks",
        ),
    )
    parser.option("-n --n-samples", "How many samples.", int, 1000, least=(1, "Try -n 1000."))
    parser.option(
        "-o --out",
        "A file: .npy, .csv, .parquet, .h5 or .root; or, without a suffix, a folder of part files with "
        "_manifest.json, for many samples. RUN/samples.npy by default.",
    )
    parser.option(
        "--condition",
        "Of a model trained with conditions: a value for each, such as label=3 or label=3,energy=20.5; by default "
        "each sample has the conditions of a training event. They are written as the last columns, for images "
        "into a second file.",
    )
    parser.option("--seed", "Seed of the noise; another seed gives other samples.", int, 0, least=(0, "Try --seed 0."))
    text = "Processes; by default one for a file, one per core for a folder. With --engine slurm: tasks."
    parser.option("--workers", text, int, least=(1, "Leave it out for all cores."))
    parser.option(
        "--engine",
        "pool: processes of this machine; dask: workers of a Dask cluster, which must see RUN and OUT; slurm: "
        "draw nothing, print the script of a job array.",
        str,
        "pool",
    )
    parser.option(
        "--scheduler-file",
        "Of the Dask cluster: what 'dask scheduler --scheduler-file FILE' wrote; by default one on this machine.",
    )
    parser.option(
        "--shard",
        "I/K: draw the shards of task I of K only. When all are done, the same command without it joins them.",
    )
    parser.option("--format", "Of part files in a folder: parquet, csv, npy, h5 or root.", str, "parquet")
    parser.flag("overwrite", "Replace the file, or the shards of other samples, if there are any.")
    parser.flag("quiet", "No progress.")
    return parser


def main(argv: Sequence[str]) -> int:
    values = options().parse(argv)
    if not Path(values.run).is_dir():
        raise InputError(f"Expected a run folder or a saved model, got {values.run!r}, which does not exist.")
    out = Path(values.out or Path(values.run) / "samples.npy")
    if values.engine == "slurm":
        print(_script(values, out), end="")
        return 0
    from reverie.data.sinks import check_new_file
    from reverie.experiment.sharding import draw_sharded, is_one_file, parts_of

    if is_one_file(out):
        check_new_file(out, overwrite=values.overwrite)
    alone = values.engine == "pool" and values.workers in (None, 1) and values.shard is None
    if is_one_file(out) and alone and not parts_of(out).exists():
        from reverie.experiment.sampling import draw_from

        chosen = {key: values[key] for key in ("seed", "condition", "overwrite", "quiet")}
        files = draw_from(values.run, out, values.n_samples, **chosen)
    else:
        from reverie.scale.shards import parse_task

        one_worker = values.engine == "pool" and (is_one_file(out) or values.shard is not None)
        chosen = {
            name: values[name] for name in ("seed", "condition", "engine", "scheduler_file", "overwrite", "quiet")
        }
        files = draw_sharded(
            values.run,
            out,
            values.n_samples,
            file_format=values.format.lstrip("."),
            workers=1 if values.workers is None and one_worker else values.workers,
            task=None if values.shard is None else parse_task(values.shard),
            **chosen,
        )
    for what, file in zip(("samples", "conditions"), files, strict=False):
        print(f"{what}: {file}")
    return 0


def _script(values: Namespace, out: Path) -> str:
    """Return the script of the job array that does what `values` ask for."""
    from reverie.scale.shards import array_script

    if values.workers is None or values.shard is not None:
        raise InputError("Expected --workers N tasks and no --shard with --engine slurm. Try --workers 20.")
    command = ["reverie", "sample", values.run, "-n", str(values.n_samples), "-o", str(out)]
    command += ["--seed", str(values.seed), "--format", values.format]
    command += [] if values.condition is None else ["--condition", values.condition]
    return array_script(command, values.workers)
