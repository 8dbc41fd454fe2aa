"""`reverie report RUN`: write the report of a run folder anew."""

from collections.abc import Sequence

from reverie.cli.options import Options

__all__ = ["main", "options"]


def options() -> Options:
    return Options(
        "report",
        "Write report.html of a run folder anew, from what the folder holds.",
        words=("run",),
        usage="RUN",
        examples=("reverie report runs/z",),
        needs="Expected a run folder, got nothing. Write: reverie report runs/x",
    )


def main(argv: Sequence[str]) -> int:
    values = options().parse(argv)
    from reverie.experiment.folder import RunFolder

    RunFolder(values.run)  # a wrong folder is answered before torch is loaded
    from reverie.experiment.run import rewrite_report

    print(f"report: {rewrite_report(values.run)}")
    return 0
