"""`reverie sample RUN -n N -o FILE`: stream samples of a trained model into a file."""

from collections.abc import Sequence
from pathlib import Path

from reverie.cli.options import Options
from reverie.core.errors import FolderError, InputError

__all__ = ["main", "options"]


def options() -> Options:
    """Return the options of the verb."""
    parser = Options(
        "sample",
        "Draw samples from a trained model, in original units, block by block: memory stays constant.",
        words=("run",),
        usage="RUN -n N -o FILE",
        examples=(
            "reverie sample runs/z -n 1000000 -o samples.parquet",
            "reverie sample runs/z -n 99 -o s.csv --seed 7",
            "reverie sample runs/digits -n 100 -o threes.npy --condition label=3",
        ),
    )
    parser.add_argument("-n", "--n-samples", type=int, default=1000, help="How many samples.")
    parser.add_argument(
        "-o", "--out", type=str | None, default=None, help="File: .npy, .csv, .parquet, .h5 or .root; RUN/samples.npy."
    )
    parser.add_argument(
        "--condition",
        type=str | None,
        default=None,
        help="Of a model trained with conditions: a value for each, such as label=3 or label=3,energy=20.5; by default "
        "each sample has the conditions of a training event. They are written as the last columns, for images "
        "into a second file.",
    )
    parser.add_argument("--seed", type=int, default=0, help="Seed of the noise; another seed gives other samples.")
    parser.flag("overwrite", "Replace the file if it is there.")
    parser.flag("quiet", "No progress.")
    return parser


def main(argv: Sequence[str]) -> int:
    """Run the verb and return the exit code."""
    values = options().parse(argv)
    if values.run is None:
        raise InputError("Expected a run folder, got nothing. Write: reverie sample runs/x -n 1000 -o samples.npy")
    if values.n_samples < 1:
        raise InputError(f"Expected -n to be an integer > 0, got {values.n_samples}. Try -n 1000.")
    if values.seed < 0:
        raise InputError(f"Expected --seed to be an integer >= 0, got {values.seed}. Try --seed 0.")
    if not Path(values.run).is_dir():
        raise InputError(f"Expected a run folder or a saved model, got {values.run!r}, which does not exist.")
    out = Path(values.out or Path(values.run) / "samples.npy")
    if out.exists() and not values.overwrite:
        raise FolderError(f"Expected a new file, got {str(out)!r}, which exists. Give --overwrite or another -o.")
    from reverie.experiment.stages import draw_from

    files = draw_from(
        values.run,
        out,
        values.n_samples,
        seed=values.seed,
        condition=values.condition,
        overwrite=values.overwrite,
        quiet=values.quiet,
    )
    for what, file in zip(("samples", "conditions"), files, strict=False):
        print(f"{what}: {file}")
    return 0
