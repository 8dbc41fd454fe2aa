"""What one action of a user crosses: functions, files, and calls from a floor back up to a higher one.

    python -m benchmarks.trace

A reader who follows the action has to open these files. Counted are functions of the package that run at least once,
comprehensions and class bodies left out, and pairs of functions of which one calls the other on a higher floor, such
as a closure that is handed down. Import time is not counted: each action runs once before it is traced.
"""

import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from types import CodeType, FrameType

import numpy as np

import reverie
from reverie.cli.main import main as command

FLOORS = (
    ("core",),
    ("compile",),
    ("data", "networks", "objectives", "samplers", "training", "validation", "explore"),
    ("models", "simulators"),
    ("plots",),
    ("report", "scale"),
    ("experiment",),
    ("cli",),
)
_SOURCE = str(Path(reverie.__file__).parent)


def _floor(code: CodeType) -> int | None:
    """Return the floor of a function of the package; None for any other, and for the front door."""
    if not code.co_filename.startswith(_SOURCE) or (code.co_name.startswith("<") and code.co_name != "<lambda>"):
        return None
    folder = Path(code.co_filename).relative_to(_SOURCE).parts[0]
    return next((k for k, folders in enumerate(FLOORS) if folder in folders), None)


def trace(action: Callable[[], object]) -> tuple[int, int, int]:
    """Return the numbers of functions, of files, and of calls up that `action` crosses."""
    functions: set[CodeType] = set()
    upward: set[tuple[CodeType, CodeType]] = set()

    def profile(frame: FrameType, event: str, argument: object) -> None:
        if event != "call" or (floor := _floor(frame.f_code)) is None:
            return
        functions.add(frame.f_code)
        caller = frame.f_back
        while caller is not None and _floor(caller.f_code) is None:
            caller = caller.f_back
        if caller is not None and floor > (_floor(caller.f_code) or 0):
            upward.add((caller.f_code, frame.f_code))

    sys.setprofile(profile)
    try:
        action()
    finally:
        sys.setprofile(None)
    return len(functions), len({code.co_filename for code in functions}), len(upward)


def main() -> None:
    """Print a row for each action."""
    X = np.random.default_rng(0).normal(size=(1000, 3))
    options = {"max_steps": 20, "record_every": 10, "n_checks": 2, "random_state": 0}
    model = reverie.GAN(**options).fit(X)
    with tempfile.TemporaryDirectory() as folder:
        table = Path(folder) / "table.csv"
        np.savetxt(table, X, delimiter=",", header="a,b,c", comments="")
        arguments = ["run", "gan", str(table), "--max-steps", "20", "--overwrite", "--quiet"]
        actions: dict[str, Callable[[], object]] = {
            "GAN().fit(X)": lambda: reverie.GAN(**options).fit(X),
            ".sample(10)": lambda: model.sample(10, random_state=0),
            "reverie run gan table.csv": lambda: command([*arguments, "--out", f"{folder}/run"]),
        }
        print(f"{'action':28s} {'functions':>9s} {'files':>6s} {'calls up':>9s}")
        for name, action in actions.items():
            action()
            print(f"{name:28s} {{:9d}} {{:6d}} {{:9d}}".format(*trace(action)))


if __name__ == "__main__":
    main()
