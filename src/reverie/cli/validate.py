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
        "Compare generated with real data, and real with real: sixteen tests with one global p-value, "
        "classifiers, hard constraints, copies of training events, and a verdict in sentences. "
        "With a run folder, its samples are compared with its held-out data.",
        words=("real", "generated"),
        usage="REAL GENERATED | RUN",
        examples=("reverie validate held_out.csv samples.csv --train train.csv --out check", "reverie validate runs/z"),
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
        parser.add_argument(f"--{name}", type=str | None, default=None, help=text)
    parser.add_argument(
        "--modes",
        type=int | None,
        default=None,
        help="Compare this many clusters of real events; 0: as many as there are.",
    )
    parser.add_argument("--classifiers", type=str, default="auto", help="Of boosting, forest, mlp, cnn; or none.")
    parser.add_argument(
        "--correlated", type=str, default="auto", help="Rows of a chain: auto (blocks), thin, or ignore."
    )
    parser.add_argument("--permutations", type=int, default=999, help="The smallest p-value is 1 over this plus one.")
    parser.add_argument("--max-samples", type=int, default=10_000, help="Most rows used of each sample.")
    parser.add_argument("--seed", type=int, default=0, help="Seed of the permutations.")
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
    listed = () if values.classifiers == "none" else tuple(values.classifiers.split(","))
    result = validate_files(
        values.real,
        values.generated,
        train=values.train,
        calibration=values.calibration,
        columns=values.columns,
        weights=values.weights,
        observables=values.observables,
        modes=values.modes,
        seed=values.seed,
        out=values.out,
        drop_missing=values.drop_missing,
        classifiers="auto" if listed == ("auto",) else listed,
        correlated=values.correlated,
        n_permutations=values.permutations,
        max_samples=values.max_samples,
    )
    print(result)
    return 0
