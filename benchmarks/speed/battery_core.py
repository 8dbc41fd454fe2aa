"""The statistics that share their relabellings: time and memory of each, as the battery calls them.

    python -m benchmarks.speed.battery_core [--rows 40000] [--features 20] [--permutations 500] [--threads 2]

Standard normal rows in both samples, half of the rows each. Wall and processor time and the peak of the
process so far are printed after each part; processor time beyond threads times wall time does not exist, less
of it means that other programs ran. Asked, with 20 features and 500 permutations on two cores: 40,000 rows
with all kernels in 45 s, 200,000 rows in 2 minutes within 2 GB.
"""

import argparse
import resource
import sys
import time
from collections.abc import Callable

import torch

from reverie.validation.permutation.relabelling import relabellings
from reverie.validation.statistics.correlations import correlation_columns
from reverie.validation.statistics.kernels import (
    BANDWIDTH_FACTORS,
    draw_frequencies,
    energy_kernel,
    fourier_columns,
    gaussian_kernel,
    kernel_columns,
    median_distance,
    polynomial_columns,
)
from reverie.validation.statistics.marginal import marginal_columns
from reverie.validation.statistics.sliced import draw_directions, energy_by_slices, sliced_columns


def main() -> None:
    """Print the time of each part."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rows", type=int, default=40_000, help="of both samples together")
    parser.add_argument("--features", type=int, default=20)
    parser.add_argument("--permutations", type=int, default=500)
    parser.add_argument("--directions", type=int, default=50)
    parser.add_argument("--frequencies", type=int, default=1000)
    parser.add_argument("--max-exact", type=int, default=50_000, help="rows beyond which kernels are approximated")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    generator = torch.Generator().manual_seed(0)
    half = options.rows // 2
    z = torch.randn(2 * half, options.features, generator=generator, dtype=torch.float64)
    print(f"{2 * half} rows, {options.features} features, B = {options.permutations}, {options.threads} thread(s)")
    relabel = _timed("relabellings", lambda: relabellings(half, half, options.permutations, generator))
    directions = draw_directions(options.features, options.directions, generator)
    _timed("KS and AD by feature", lambda: marginal_columns(z, relabel))
    _timed(f"{directions.shape[1]} directions, W1 and energy", lambda: sliced_columns(z, relabel, directions))
    _timed("correlations", lambda: correlation_columns(z, relabel))
    _timed("polynomial kernel", lambda: polynomial_columns(z, relabel))
    widths = [factor * median_distance(z, generator) for factor in BANDWIDTH_FACTORS]
    if options.rows <= options.max_exact:
        kernels = [energy_kernel, *map(gaussian_kernel, widths)]
        _timed("energy and 5 Gaussians, exact", lambda: kernel_columns(z, relabel, kernels))
        return
    many = draw_directions(options.features, 4 * options.directions, generator)
    frequencies = draw_frequencies(options.features, options.frequencies, generator)
    _timed(f"energy, {many.shape[1]} directions", lambda: energy_by_slices(z, relabel, many))
    _timed(f"5 Gaussians, {options.frequencies} frequencies", lambda: fourier_columns(z, relabel, widths, frequencies))


def _timed(what: str, function: Callable):
    wall, processor = time.perf_counter(), time.process_time()
    result = function()
    wall, processor = time.perf_counter() - wall, time.process_time() - processor
    unit = 1 if sys.platform == "darwin" else 1024
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e9
    print(f"  {what:36s} {wall:7.1f} s   {processor:7.1f} s of processor   peak {peak:.2f} GB", flush=True)
    return result


if __name__ == "__main__":
    main()
