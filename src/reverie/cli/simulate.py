"""`reverie simulate ising|dimuon|jets|toy_sets -n N -o FILE`: events of a simulator into a file."""

from collections.abc import Sequence

from reverie.cli.options import Options
from reverie.core.errors import InputError, UnknownNameError

__all__ = ["main", "options"]

_OF_SIMULATOR = {
    "ising": {"side": 16, "beta": 0.44, "field": 0.0},
    "dimuon": {"resolution": 0.01, "min_pt": 20.0, "max_eta": 2.4},
    "jets": {"kind": "gluon", "max_size": 30},
    "toy_sets": {"mean_size": 15.0, "max_size": 30, "distance": 0.2},
}
_FILES = {"ising": "spins.npy", "dimuon": "muons.csv", "jets": "jets.parquet", "toy_sets": "sets.parquet"}


def options() -> Options:
    parser = Options(
        "simulate",
        "Draw independent events of a simulator: ising, a two-dimensional lattice of spins, with averages beside exact "
        "values; dimuon, two muons of a Z boson in a detector; jets, sets of particles by Pythia 8 and FastJet (extra "
        "hep); toy_sets, sets of particles of known density.",
        words=("simulator",),
        usage="ising|dimuon|jets|toy_sets -n N -o FILE",
        examples=(
            "reverie simulate dimuon -n 50000 -o muons.csv",
            "reverie simulate ising --side 16 --beta 0.44 -n 20000 -o spins.npy",
            "reverie run rbm spins.npy --out runs/spins",
            "reverie simulate jets --kind top -n 20000 -o jets.parquet",
        ),
    )
    parser.option("--side", "ising: sites along an edge of the periodic lattice, at least 2; 16.", int)
    parser.option("--beta", "ising: inverse temperature in units of 1/J, at least 0; 0.44.", float)
    parser.option("--field", "ising: external field in units of J; 0.", float)
    parser.option("--resolution", "dimuon: relative error of a transverse momentum at eta = 0; 0.01.", float)
    parser.option("--min-pt", "dimuon: least transverse momentum of a muon in GeV; 20.", float)
    parser.option("--max-eta", "dimuon: largest absolute pseudorapidity of a muon; 2.4.", float)
    parser.option(
        "--kind", "jets: what they come from: gluon, quark (light), top or w, or several in turn: gluon,top; gluon."
    )
    parser.option("--max-size", "jets, toy_sets: most particles of a set, those of largest pT; 30.", int)
    parser.option("--mean-size", "toy_sets: mean number of particles of a set; 15.", float)
    parser.option("--distance", "toy_sets: distance of the two prongs from the axis; 0.2.", float)
    parser.option("-n --n-samples", "How many events.", int, 10_000, least=(1, "Try -n 1000."))
    parser.option(
        "-o --out", "File: .npy, .csv, .parquet, .h5 or .root, sets also .npz; spins.npy, muons.csv, jets.parquet."
    )
    parser.option("--seed", "Seed; another seed gives other events.", int, 0, least=(0, "Try --seed 0."))
    parser.flag("overwrite", "Replace the file if it is there.")
    return parser


def main(argv: Sequence[str]) -> int:
    values = options().parse(argv)
    name = values.simulator or "ising"
    if name not in _OF_SIMULATOR:
        raise UnknownNameError("simulator", name, _OF_SIMULATOR)
    for other in {option for known in _OF_SIMULATOR.values() for option in known} - set(_OF_SIMULATOR[name]):
        if values[other] is not None:
            flag = "--" + other.replace("_", "-")
            raise InputError(f"Expected an option of {name}, got {flag}, of another simulator. Leave {flag} out.")
    from reverie.experiment import simulate

    how = {key: usual if values[key] is None else values[key] for key, usual in _OF_SIMULATOR[name].items()}
    how |= {"seed": values.seed, "overwrite": values.overwrite}
    out = values.out or _FILES[name]
    summary = getattr(simulate, f"simulate_{name}")(out, values.n_samples, **how)
    if summary:
        print(summary)
    print(f"{'configurations' if name == 'ising' else 'events'}: {out}")
    return 0
