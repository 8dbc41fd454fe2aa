"""`reverie fit MODEL DATA --out FOLDER`: train only."""

from collections.abc import Sequence

from reverie.cli.model_options import parse_run, run_options
from reverie.cli.options import Options

__all__ = ["main", "options"]


def options(model: str | None = None) -> Options:
    """Return the options of the verb, with those of `model` if it is named."""
    return run_options(
        "fit",
        "Train a model on data into a run folder, without sampling and validation.",
        model=model,
        examples=(
            "reverie fit gan events.parquet --out runs/e --max-time 10m",
            "reverie sample runs/e -n 10000 -o s.npy",
        ),
    )


def main(argv: Sequence[str]) -> int:
    call = parse_run(options, argv)
    return 0 if call is None else call.start(stages=("fit",))
