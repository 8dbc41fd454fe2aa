"""How fast: our time, the reference and the ratio, in one run."""
