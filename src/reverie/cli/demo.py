"""`reverie demo`: the whole path on simulated events of two muons."""

import shlex
from collections.abc import Sequence
from pathlib import Path

from reverie.cli.options import Options

__all__ = ["main", "options"]

_EVENTS, _STEPS = 40_000, 4000  # a minute of training on two cores
_NOTE = (
    "Flow matching learned the momenta and angles of two muons from 30,000 simulated decays of a Z boson in a "
    "detector; it was told their mass, whose peak is 3 GeV wide, and drew 10,000 events. 10,000 further events of the "
    "simulation, which it has never seen, are the real ones that its events are compared with. Next: 'reverie run "
    "auto YOUR.csv --out runs/mine' does the same with a table of yours, and 'reverie sample {out} -n 1000000 -o "
    "muons.parquet' draws as many events as you like."
)


def options() -> Options:
    parser = Options(
        "demo",
        "Simulate decays of a Z boson to two muons, train flow matching on them, draw events, compare them with fresh "
        "ones of the simulation, write the report.",
        examples=("reverie demo", "reverie demo --out runs/quick --max-time 30s"),
    )
    parser.option("--out", "Run folder; the simulated events lie beside it.", str, "runs/demo")
    parser.option("--max-time", "Budget of training time.", str, "2m")
    parser.option("--seed", "Root of all randomness.", int, 0, least=(0, "Try --seed 0."))
    parser.flag("overwrite", "Replace the run that is in the folder.")
    parser.flag("quiet", "No progress.")
    return parser


def main(argv: Sequence[str]) -> int:
    values = options().parse(argv)
    from reverie.cli import run, simulate

    events = Path(f"{values.out.rstrip('/')}-muons.csv")
    events.parent.mkdir(parents=True, exist_ok=True)
    seed = ["--seed", str(values.seed)]
    of_run = ["flow_matching", str(events), "--out", values.out, "--max-time", values.max_time, *seed]
    of_run += ["--held-out", "0.25", "--model.observables", "mass", "--model.max_steps", str(_STEPS)]
    of_run += [f"--{name}" for name in ("overwrite", "quiet") if values[name]]
    simulated = ["dimuon", "-n", str(_EVENTS), "-o", str(events), *seed, "--overwrite"]
    for verb, arguments in ((simulate, simulated), (run, of_run)):
        print(f"$ reverie {verb.__name__.rpartition('.')[2]} {shlex.join(arguments)}")
        note = ["--note", _NOTE.format(out=values.out)] if verb is run else []
        code = verb.main([*arguments, *note])
        if code:
            return code
    return 0
