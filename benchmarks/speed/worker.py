"""One side of a comparison: a process that waits for its turn, takes it, and says how long it took.

    python -m benchmarks.speed.worker '{"task": "benchmarks.speed.rows.gan:ours", "params": {...}, "cores": [0]}'

It speaks lines of JSON. Once the task is made it says how long that took; to {"run": n} it answers with the seconds of
one unit of work out of n, by the clock on the wall and by that of the processor, and its peak memory; an end of input
ends it. Between two lines it sleeps, so that two sides never work at once. This file needs nothing but Python, and so
runs in the environment of the peers too.

A task is a function of keyword arguments that returns `window`: window(n) does n units of work and returns None, or
by itself the seconds of one unit, as the floor does.
"""

import importlib
import json
import os
import resource
import sys
import time
from collections.abc import Callable
from typing import Any, TextIO

__all__ = ["main"]

Window = Callable[[int], float | None]


def main() -> None:
    """Make the task, then serve turns until the input ends."""
    spec = json.loads(sys.argv[1])
    if spec.get("cores") and hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, spec["cores"])
    out = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)  # what libraries print must not mix with the answers
    try:
        wall, processor = time.perf_counter(), time.process_time()
        window = _made(spec["task"], spec.get("params", {}))
        _say(out, {"seconds": time.perf_counter() - wall, "processor": time.process_time() - processor})
        for line in sys.stdin:
            _say(out, _turn(window, json.loads(line)["run"]))
    except KeyboardInterrupt:
        sys.exit(130)
    except Exception as error:  # whatever goes wrong in a peer is a sentence in its row, not the end of the suite
        _say(out, {"error": f"{type(error).__name__}: {str(error).strip().splitlines()[0] if str(error) else ''}"})
        sys.exit(1)


def _made(task: str, params: dict[str, Any]) -> Window:
    module, function = task.split(":")
    return getattr(importlib.import_module(module), function)(**params)


def _turn(window: Window, n: int) -> dict[str, float]:
    wall, processor = time.perf_counter(), time.process_time()
    own = window(n)
    wall, processor = time.perf_counter() - wall, time.process_time() - processor
    unit = 1 if sys.platform == "darwin" else 1024
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e6
    if own is not None:
        return {"seconds": own, "processor": own, "peak_mb": peak}
    return {"seconds": wall / n, "processor": processor / n, "peak_mb": peak}


def _say(out: TextIO, answer: dict[str, Any]) -> None:
    out.write(json.dumps(answer) + "\n")


if __name__ == "__main__":
    main()
