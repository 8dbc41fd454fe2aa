"""How fast: our time, the peers' and the floor in one run, by `python -m benchmarks.speed`."""
