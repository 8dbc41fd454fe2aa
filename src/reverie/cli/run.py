"""`reverie run MODEL DATA --out FOLDER`: train, sample, validate, report."""

from collections.abc import Sequence

from reverie.cli.model_options import parse_run, run_options
from reverie.cli.options import Options

__all__ = ["main", "options"]


def options(model: str | None = None) -> Options:
    """Return the options of the verb, with those of `model` if it is named."""
    return run_options(
        "run",
        "Train a model on data, sample it, compare the samples with held-out data and write a report.",
        model=model,
        examples=(
            "reverie run gan dimuon_z --columns pt1,eta1,phi1,pt2,eta2,phi2 --out runs/z",
            "reverie run gan events.csv --out runs/e --max-time 5m --model.objective minimax",
            "reverie run auto events.csv --time 10m --out runs/best",
            "reverie run rbm ising_4x4 --out runs/i --model.n_hidden 32",
            "reverie run --config runs/z/config.yaml --out runs/z2 --seed 1",
            "reverie run gan events.csv --out runs/e --seeds 5 --workers 2; reverie compare runs/e",
        ),
    )


def main(argv: Sequence[str]) -> int:
    call = parse_run(options, argv)
    return 0 if call is None else call.start()
