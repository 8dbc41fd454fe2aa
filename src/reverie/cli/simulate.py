"""`reverie simulate ising --side L --beta B -n N -o FILE`: configurations of a simulator into a file."""

from collections.abc import Sequence

from reverie.cli.options import Options
from reverie.core.errors import UnknownNameError

__all__ = ["main", "options"]

_SIMULATORS = ("ising",)


def options() -> Options:
    """Return the options of the verb."""
    parser = Options(
        "simulate",
        "Draw nearly independent configurations of a two-dimensional Ising model, with averages beside exact values.",
        words=("simulator",),
        usage="ising -n N -o FILE",
        examples=(
            "reverie simulate ising --side 16 --beta 0.44 -n 20000 -o spins.npy",
            "reverie run rbm spins.npy --out runs/spins",
        ),
    )
    parser.option("--side", "Sites along an edge of the periodic lattice, at least 2.", int, 16)
    parser.option("--beta", "Inverse temperature in units of 1/J, at least 0.", float, 0.44)
    parser.option("--field", "External field in units of J.", float, 0.0)
    parser.option("-n --n-samples", "How many configurations.", int, 10_000, least=(1, "Try -n 1000."))
    parser.option("-o --out", "File: .npy, .csv, .parquet, .h5 or .root; spins.npy.")
    parser.option("--seed", "Seed; another seed gives other configurations.", int, 0, least=(0, "Try --seed 0."))
    parser.flag("overwrite", "Replace the file if it is there.")
    return parser


def main(argv: Sequence[str]) -> int:
    """Run the verb and return the exit code."""
    values = options().parse(argv)
    name = values.simulator or "ising"
    if name not in _SIMULATORS:
        raise UnknownNameError("simulator", name, _SIMULATORS)
    from reverie.experiment.simulate import simulate_ising

    out = values.out or "spins.npy"
    how = {"side": values.side, "beta": values.beta, "field": values.field}
    averages = simulate_ising(out, values.n_samples, **how, seed=values.seed, overwrite=values.overwrite)
    if averages:
        print(averages)
    print(f"configurations: {out}")
    return 0
