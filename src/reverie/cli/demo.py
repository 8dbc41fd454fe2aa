"""`reverie demo`: the whole path on the handwritten digits that ship inside scikit-learn."""

import shlex
from collections.abc import Sequence

from reverie.cli.options import Options

__all__ = ["main", "options"]

_STEPS = 5000  # about a minute on two cores


def options() -> Options:
    """Return the options of the verb."""
    parser = Options(
        "demo",
        "Train a GAN on 1,797 handwritten digits of 8 x 8 pixels, sample it, validate the samples, write the report.",
        examples=("reverie demo", "reverie demo --out runs/quick --max-time 30s"),
    )
    parser.option("--out", "Run folder.", str, "runs/demo")
    parser.option("--max-time", "Budget of training time.", str, "2m")
    parser.option("--seed", "Root of all randomness.", int, 0)
    parser.flag("overwrite", "Replace the run that is in the folder.")
    parser.flag("quiet", "No progress.")
    return parser


def main(argv: Sequence[str]) -> int:
    """Run the verb and return the exit code."""
    values = options().parse(argv)
    from reverie.cli import run

    arguments = ["gan", "digits", "--out", values.out, "--max-time", values.max_time, "--seed", str(values.seed)]
    arguments += ["--model.max_steps", str(_STEPS)]
    arguments += [f"--{name}" for name in ("overwrite", "quiet") if values[name]]
    print(f"$ reverie run {shlex.join(arguments)}")
    return run.main(arguments)
