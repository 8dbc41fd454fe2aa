"""`reverie validate REAL GENERATED`, or `reverie validate RUN`: real or not."""

from collections.abc import Sequence
from pathlib import Path

from reverie.cli.options import Options
from reverie.core.errors import InputError

__all__ = ["main", "options"]


def options() -> Options:
    """Return the options of the verb."""
    parser = Options(
        "validate",
        "Compare generated with real data, and real with real: p-values, a classifier, a verdict. "
        "With a run folder, its samples are compared with its held-out data.",
        words=("real", "generated"),
        usage="REAL GENERATED | RUN",
        examples=("reverie validate held_out.csv samples.csv --train train.csv --out check", "reverie validate runs/z"),
    )
    parser.add_argument(
        "--train", type=str | None, default=None, help="A second real sample, for real against real at full size."
    )
    parser.add_argument("--columns", type=str | None, default=None, help="Names of the columns to compare.")
    parser.add_argument("--seed", type=int, default=0, help="Seed of the permutations.")
    parser.add_argument("--out", type=str | None, default=None, help="Folder for validation.json and report.html.")
    parser.flag("drop-missing", "Leave out rows with NaN or infinite entries.")
    return parser


def main(argv: Sequence[str]) -> int:
    """Run the verb and return the exit code."""
    values = options().parse(argv)
    if values.real is None:
        raise InputError("Expected two files or a run folder, got nothing. Write: reverie validate REAL GENERATED")
    if values.generated is None and not Path(values.real).is_dir():
        raise InputError(f"Expected generated data beside {values.real!r}, got nothing. Name a second file.")
    if values.seed < 0:
        raise InputError(f"Expected --seed to be an integer >= 0, got {values.seed}. Try --seed 0.")
    from reverie.experiment.judge import validate_files
    from reverie.experiment.run import validate_run

    if values.generated is None:
        print(validate_run(values.real))
        return 0
    result = validate_files(
        values.real,
        values.generated,
        train=values.train,
        columns=values.columns,
        seed=values.seed,
        out=values.out,
        drop_missing=values.drop_missing,
    )
    print(result)
    return 0
