"""How fast reverie is, beside what others do, what a user could write by hand, and what the machine allows.

    python -m benchmarks.speed [--quick] [--threads 2] [--only lecture toy pcd] [--curves] [--long] [--out FOLDER]

One table: our time, the peer's time in the same run, the floor, and both ratios. See `benchmarks.speed.suite` for how
the sides take turns, `benchmarks.speed.machine` for the floor, and the modules of `benchmarks.speed.rows` for the
tasks. Results go to speed.json, with the machine described, and speed.html draws them. The peers are installed in an
environment of their own, under --peers, at the first run.

    --quick     few rows and short turns, under a minute once the peers are installed; the least to say
    --curves    the step of a GAN over batch, width, data, replicas and threads; some minutes more
    --long      after the table, the suite's longer programs, each with a table of its own: sampling to files, the Ising
                model, the default battery and its parts; an hour
    --against   another checkout of this project, whose package takes turns with this one's, side by side in each row
    --page      draw an earlier speed.json again

Figures are worth what the machine is: close other programs, or read the processor's clock (--clock), which with one
thread leaves out what they take.
"""

import argparse
import importlib
import json
import os
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

from benchmarks.speed import suite
from benchmarks.speed.machine import description
from benchmarks.speed.peers.environment import DEFAULT, peers_python
from benchmarks.speed.suite import Bench, Row, measure
from benchmarks.speed.table import as_json, lines_of

FAMILIES = ("gan", "boltzmann", "energies", "statistics", "flow", "flow_matching", "sets")
QUICK = ("lecture", "pcd", "langevin")
QUICK_SIDES = ("reverie", "JAX scan", "lecture's loop", "scikit-learn, float32")
LONG = ("sampling", "ising", "battery_core", "battery")


def main() -> None:
    """Measure, print the table as it grows, and keep the results."""
    options = _options()
    if options.page:
        _draw(options.out, json.loads((options.out / "speed.json").read_text()))
        return
    try:
        _run(options)
    except KeyboardInterrupt:
        print("interrupted; the rows measured so far are kept", file=sys.stderr)
        sys.exit(130)


def _options() -> argparse.Namespace:
    form = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(prog="python -m benchmarks.speed", description=__doc__, formatter_class=form)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--threads", type=int, default=len(_cores()), help="of ours, the peers' and the floor's alike")
    parser.add_argument("--cores", type=int, nargs="+", help="numbers of the cores to use (default: the last ones)")
    parser.add_argument("--only", nargs="+", metavar="ROW", help="rows by their keys; an unknown one lists them")
    parser.add_argument("--rounds", type=int, help="turns of each side, at least 5 (default: 7)")
    parser.add_argument("--target", type=float, help="seconds of a turn (default: 0.4)")
    parser.add_argument("--clock", choices=["wall", "processor"], help="default: processor with one thread")
    parser.add_argument("--curves", nargs="*", metavar="CURVE", help="all, or those named")
    parser.add_argument("--long", nargs="*", choices=LONG, help="all, or those named")
    parser.add_argument("--peers", type=Path, default=DEFAULT, help="folder of the peers' environment")
    parser.add_argument("--against", type=Path, metavar="CHECKOUT", help="another version, beside ours in every row")
    parser.add_argument("--no-peers", action="store_true", help="ours and the floor alone")
    parser.add_argument("--out", type=Path, default=Path("runs/speed"), help="folder of speed.json and speed.html")
    parser.add_argument("--page", action="store_true")
    options = parser.parse_args()
    if not 1 <= options.threads <= len(_cores()):
        parser.error(f"expected --threads from 1 to {len(_cores())}, got {options.threads}. This machine has no more.")
    if options.cores and (len(options.cores) < options.threads or not set(options.cores) <= set(_cores())):
        parser.error(f"expected --cores of at least {options.threads} among {_cores()}, got {options.cores}.")
    if options.rounds is not None and options.rounds < 5:
        parser.error(f"expected --rounds of at least 5, got {options.rounds}. Medians of fewer say little.")
    return options


def _cores() -> list[int]:
    return sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else list(range(os.cpu_count() or 1))


def _run(options: argparse.Namespace) -> None:
    began = time.perf_counter()
    table = _chosen(options)
    python, missing = (None, "left out") if options.no_peers else peers_python(options.peers)
    bench = Bench(
        python,
        missing,
        options.threads,
        options.cores or _cores()[-options.threads :],
        rounds=options.rounds or (5 if options.quick else 7),
        target=options.target or (0.1 if options.quick else 0.4),
        clock=options.clock or ("processor" if options.threads == 1 else "wall"),
        against=options.against and options.against.resolve(),
    )
    results: dict[str, Any] = {
        "machine": description(options.threads, list(bench.cores)),
        "rates": {} if options.quick else _rates(bench),
        "how": {"rounds": bench.rounds, "target": bench.target, "clock": bench.clock, "peers": missing},
        "rows": [],
        "curves": {},
        "programs": {},
    }
    _print_head(results)
    try:
        for row in table:
            results["rows"].append(as_json(row, measure(row, bench)))
            print("\n".join(lines_of(results["rows"][-1])), flush=True)
        if options.curves is not None:
            _measure_curves(results, options, bench)
        if options.long is not None:
            _run_programs(results, options)
    finally:
        results["seconds"] = round(time.perf_counter() - began, 1)
        _keep(options.out, results)


def _chosen(options: argparse.Namespace) -> list[Row]:
    modules = [importlib.import_module(f"benchmarks.speed.rows.{name}") for name in FAMILIES]
    table = [row for module in modules for row in module.rows(options.threads)]
    wanted = options.only or (QUICK if options.quick else [row.key for row in table])
    unknown = sorted(set(wanted) - {row.key for row in table})
    if unknown:
        keys = ", ".join(f"'{row.key}'" if " " in row.key else row.key for row in table)
        sys.exit(f"Expected rows among {keys}, got {', '.join(unknown)}. Give some of these.")
    chosen = [row for row in table if row.key in wanted]
    return [_shortened(row) for row in chosen] if options.quick else chosen


def _shortened(row: Row) -> Row:
    return replace(row, sides=[side for side in row.sides if side.name in QUICK_SIDES])


def _rates(bench: Bench) -> dict[str, float]:
    spec = json.dumps({"threads": bench.threads, "cores": list(bench.cores)})
    command = [sys.executable, "-m", "benchmarks.speed.machine", spec]
    done = subprocess.run(command, check=True, capture_output=True, text=True, env=suite.environment(bench.threads))
    return json.loads(done.stdout)


def _measure_curves(results: dict[str, Any], options: argparse.Namespace, bench: Bench) -> None:
    gan = importlib.import_module("benchmarks.speed.rows.gan")
    for name, (axis, points) in gan.curves(options.threads).items():
        if options.curves and name not in options.curves:
            continue
        print(f"\n{name}: {axis}")
        found = []
        for value, row in points:
            found.append({"x": value, **as_json(row, measure(row, bench))})
            print("\n".join([f"{value:,}", *lines_of(found[-1])]), flush=True)
        results["curves"][name] = {"axis": axis, "points": found}


def _run_programs(results: dict[str, Any], options: argparse.Namespace) -> None:
    """Run the suite's longer programs and keep what they print."""
    for name in options.long or LONG:
        print(f"\npython -m benchmarks.speed.{name}", flush=True)
        command = [sys.executable, "-m", f"benchmarks.speed.{name}"]
        done = subprocess.run(command, check=False, capture_output=True, text=True)
        said = done.stdout if done.returncode == 0 else (done.stderr.strip().splitlines() or ["failed"])[-1]
        print(said, flush=True)
        results["programs"][name] = said


def _print_head(results: dict[str, Any]) -> None:
    machine, how = results["machine"], results["how"]
    versions = ", ".join(f"{name} {number}" for name, number in machine["versions"].items())
    print(
        f"{machine['processor']}, {machine['threads']} of {machine['cores']} cores; {versions}; load {machine['load']}"
    )
    print(f"median (least .. greatest) of {how['rounds']} rounds by the {how['clock']}'s clock")
    for name, value in results["rates"].items():
        print(f"  {name:48s} {value:10.1f}")
    if how["peers"]:
        print(f"peers: {how['peers']}")


def _keep(folder: Path, results: dict[str, Any]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "speed.json").write_text(json.dumps(results, indent=1))
    _draw(folder, results)
    print(f"\n{results['seconds']:.0f} s; {folder / 'speed.json'}, {folder / 'speed.html'}")


def _draw(folder: Path, results: dict[str, Any]) -> None:
    from benchmarks.speed.page import write  # matplotlib is slow to import

    write(folder / "speed.html", results)


if __name__ == "__main__":
    main()
