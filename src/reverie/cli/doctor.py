"""`reverie doctor`: what may be wrong with this installation or machine, and what to do about it."""

from collections.abc import Sequence

from reverie.cli.options import Options

__all__ = ["main", "options"]


def options() -> Options:
    parser = Options(
        "doctor",
        "Look at packages, threads, compiler, GPU, data folder, cache and disk, then train for two seconds; say in a "
        "sentence each what is wrong and what to do. The exit code is 1 where something keeps reverie from working.",
        examples=("reverie doctor", "reverie doctor --no-test"),
    )
    parser.flag("no-test", "Leave out the training.")
    return parser


def main(argv: Sequence[str]) -> int:
    """Run the verb and return the exit code: 0, or 1 for a fault."""
    values = options().parse(argv)
    from reverie.experiment.info import examinations

    states = []
    for one in examinations(with_test=not values.no_test):
        print(f"{one.state.upper() if one.state == 'fault' else one.state:<6} {one.name:<9} {one.sentence}", flush=True)
        states.append(one.state)
    n_faults = states.count("fault")
    print("\nAll is well." if not n_faults else f"\n{n_faults} {'faults' if n_faults > 1 else 'fault'}; see above.")
    return 1 if n_faults else 0
