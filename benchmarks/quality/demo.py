"""What `reverie demo` ends with, over seeds: the verdict on fresh events of the simulation, and its time.

    python -m benchmarks.quality.demo [--seeds 0 1 2 3 4]

A seed is that of the simulated events, of the training and of the tests. AUC is that of the classifier with the least
p-value, on 10,000 generated and 10,000 fresh events; seconds are those of the clock, and of the processor.
"""

import argparse
import contextlib
import io
import json
import statistics
import tempfile
import time
from pathlib import Path

from reverie.cli.main import main as reverie


def main() -> None:
    """Print a row for each seed, then mean and spread of the AUC."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2, 3, 4])
    aucs = []
    print(f"{'seed':>4s} {'global p':>9s} {'told apart':>10s} {'AUC':>15s} {'real':>6s} {'s':>5s} {'s cpu':>6s}")
    for seed in parser.parse_args().seeds:
        began, spent = time.perf_counter(), time.process_time()
        with tempfile.TemporaryDirectory() as folder:
            out = Path(folder) / "demo"
            with contextlib.redirect_stdout(io.StringIO()):
                code = reverie(["demo", "--out", str(out), "--seed", str(seed), "--quiet"])
            if code:
                raise SystemExit(f"Expected a demo that ends, got exit code {code} with seed {seed}.")
            verdict = json.loads((out / "validation.json").read_text())
        auc, told = verdict["auc"], "yes" if verdict["distinguishes"] else "no"
        aucs.append(auc["value"])
        print(
            f"{seed:4d} {verdict['p_value']:9.2g} {told:>10s} {auc['value']:7.4f} ± {auc['error']:.4f} "
            f"{auc['real_vs_real']:6.4f} {time.perf_counter() - began:5.0f} {time.process_time() - spent:6.0f}",
            flush=True,
        )
    if len(aucs) > 1:
        print(f"AUC {statistics.mean(aucs):.4f} ± {statistics.stdev(aucs):.4f} (sd), largest {max(aucs):.4f}")


if __name__ == "__main__":
    main()
