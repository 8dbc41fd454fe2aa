"""`reverie validate REAL GENERATED`, or `reverie validate RUN`: real or not."""

from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path

from reverie.cli.options import Options
from reverie.core.errors import InputError

__all__ = ["main", "options"]

_MOST_PERMUTATIONS = 1_000_000  # more would neither fit nor end
_SHARING = ("workers", "engine", "scheduler_file", "max_time", "quiet")  # what may be said beside a run folder

_OF_FILES = (
    "train", "calibration", "columns", "weights", "observables", "modes", "seed", "out", "drop_missing", "correlated",
    "max_samples", "max_time", "quiet",
)  # fmt: skip


def options() -> Options:
    parser = Options(
        "validate",
        "Compare generated with real data, and real with real: seventeen kinds of tests with one global p-value, "
        "classifiers, hard constraints, copies of training events, and a verdict in sentences. "
        "With a run folder, its samples are compared with its held-out data.",
        words=("real", "generated"),
        usage="REAL GENERATED | RUN",
        needs="Expected two files or a run folder, got nothing. Write: reverie validate REAL GENERATED",
        examples=(
            "reverie validate held_out.csv samples.csv --train train.csv --out check",
            "reverie validate runs/z",
            "reverie validate runs/z --workers 4",
            "reverie validate held_out.npy samples.npy --engine dask --scheduler-file cluster.json",
        ),
    )
    texts = {
        "train": "The events that the generator was trained on: asks whether it copied them; calibrates too.",
        "calibration": "Other real events, for real against real at full size, instead of those of --train.",
        "columns": "Names of the columns to compare.",
        "weights": "Column with the event weights, negative ones too.",
        "observables": "Names such as mass or magnetisation, with commas: their means and shapes are compared too.",
        "out": "Folder for validation.json and report.html.",
    }
    for name, text in texts.items():
        parser.option(f"--{name}", text)
    parser.option("--modes", "Compare this many clusters of real events; 0: as many as there are.", int)
    parser.option("--classifiers", "Of boosting, forest, mlp, cnn, for sets of particles sets; or none.", str, "auto")
    parser.option("--correlated", "Rows of a chain: auto (blocks), thin, or ignore.", str, "auto")
    parser.option("--permutations", "The smallest p-value is 1 over this plus one.", int, 999)
    parser.option("--max-samples", "Most rows used of each sample.", int, 10_000)
    parser.option(
        "--max-time",
        "Most time, such as 90s or 5m: the cheapest tests come first, what does not fit is left out and named. "
        "By default no limit; for a run folder that of the run.",
    )
    parser.option("--seed", "Seed of the permutations.", int, 0, least=(0, "Try --seed 0."))
    parser.option(
        "--workers",
        "Processes that share the tests; the verdict is the same to the last bit. By default threads of this one.",
        int,
        least=(1, "Leave it out for one process."),
    )
    parser.option("--engine", "pool: processes of this machine; dask: workers of a Dask cluster.", str, "pool")
    parser.option(
        "--scheduler-file",
        "Of the Dask cluster: what 'dask scheduler --scheduler-file FILE' wrote; by default one on this machine.",
    )
    parser.flag("quiet", "No progress.")
    parser.flag("drop-missing", "Leave out rows with NaN or infinite entries.")
    return parser


def main(argv: Sequence[str]) -> int:
    values = options().parse(argv)
    if values.generated is None and not Path(values.real).is_dir():
        raise InputError(f"Expected generated data beside {values.real!r}, got nothing. Name a second file.")
    if not 1 <= values.permutations <= _MOST_PERMUTATIONS:
        raise InputError(
            f"Expected --permutations from 1 to {_MOST_PERMUTATIONS:,}, got {values.permutations:,}. Try 999."
        )
    if values.generated is None:
        defaults = options().parse([values.real])
        differ = (name for name, value in vars(values).items() if value != defaults[name] and name not in _SHARING)
        other = next(differ, None)
        if other is not None:
            raise InputError(
                "Expected a run folder alone, which is judged as its config.yaml says, got "
                f"--{other.replace('_', '-')} too. Leave it out, or name two files."
            )
    from reverie.scale.executors import open_executor

    if values.engine == "pool" and values.workers is None and values.scheduler_file is None:
        opened = nullcontext()  # threads of this process
    else:
        opened = open_executor(values.engine, workers=values.workers, scheduler_file=values.scheduler_file)
    from reverie.experiment.run import validate_run
    from reverie.experiment.validate import validate_files

    with opened as executor:
        if values.generated is None:
            print(validate_run(values.real, max_time=values.max_time, executor=executor, quiet=values.quiet))
            return 0
        listed = () if values.classifiers == "none" else tuple(values.classifiers.split(","))
        asked = {name: values[name] for name in _OF_FILES} | {"n_permutations": values.permutations}
        asked |= {"classifiers": "auto" if listed == ("auto",) else listed, "executor": executor}
        print(validate_files(values.real, values.generated, **asked))
    return 0
