"""`reverie info`: versions, devices, threads, and a self-test of a few seconds."""

import json
from collections.abc import Sequence

from reverie.cli.options import Options

__all__ = ["main", "options"]


def options() -> Options:
    parser = Options(
        "info",
        "Print versions, devices and threads; then train a small GAN for two seconds and write to the disk.",
        examples=("reverie info", "reverie info --json > info.json"),
    )
    parser.flag("json", "Print JSON.")
    parser.flag("no-test", "Leave out the self-test.")
    return parser


def main(argv: Sequence[str]) -> int:
    """Run the verb and return the exit code: 0, or 1 when the self-test failed."""
    values = options().parse(argv)
    from reverie.experiment.info import environment, self_test

    facts = environment()
    test = None if values.no_test else self_test()
    good = test is None or (test["finite"] and test["can_write"])
    if values.json:
        print(json.dumps({**facts, "self_test": test}, indent=1))
        return 0 if good else 1
    for name, version in facts["versions"].items():
        print(f"{name:<14} {version}")
    print(f"{'platform':<14} {facts['platform']}")
    print(
        f"{'processor':<14} {facts['processor']}, {facts['n_cores']} cores, {facts['torch_threads']} threads of torch"
    )
    print(f"{'devices':<14} {', '.join(facts['devices'])}")
    if test is not None:
        state = "passed" if good else "FAILED"
        taken = f"{test['steps']:,} steps of a small GAN on the ring in {test['seconds']:.1f} s"
        rate = f"{test['steps_per_second']:,.0f} steps/s; {test['processor_seconds']:.1f} s of processor time"
        print(f"{'self-test':<14} {state}: {taken} ({rate}), losses and samples "
              f"{'finite' if test['finite'] else 'NOT FINITE'}, disk {'can' if test['can_write'] else 'CANNOT'} be "
              f"written, {test['free_gb']:.0f} GB free")  # fmt: skip
    return 0 if good else 1
