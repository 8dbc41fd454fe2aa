"""`reverie resume RUN`: carry on an interrupted run, bit for bit, and complete its stages; or train one further."""

from collections.abc import Sequence

from reverie.cli.options import Options
from reverie.core.errors import InputError

__all__ = ["main", "options"]


def options() -> Options:
    parser = Options(
        "resume",
        "Carry on a run that was stopped or killed: training goes on exactly where its last state was kept, then the "
        "remaining stages follow. With --max-steps a run that has ended trains on.",
        words=("run",),
        usage="RUN",
        examples=(
            "reverie resume runs/z",
            "reverie resume runs/z --max-time 20m",
            "reverie resume runs/z --max-steps 20000",
        ),
        needs="Expected a run folder, got nothing. Write: reverie resume runs/x",
    )
    parser.option(
        "--max-time",
        "New budget of training time, all sessions together; a run that ended at its old budget trains on.",
    )
    parser.option(
        "--max-steps",
        "New number of steps, all sessions together. A run that ended trains on; its learning rate and its checks are "
        "those of a run of so many steps from there on.",
        kind=int,
    )
    parser.flag("quiet", "No progress.")
    return parser


def main(argv: Sequence[str]) -> int:
    values = options().parse(argv)
    from reverie.experiment.config import AUTO, RunConfig
    from reverie.experiment.folder import RunFolder

    file = RunFolder(values.run) / "config.yaml"  # a wrong folder is answered before torch is loaded
    if RunConfig.from_yaml(file).model_name == AUTO:
        if values.max_time is not None or values.max_steps is not None:
            raise InputError(
                "Expected no --max-time or --max-steps for an interrupted choice of a model: its time was shared out."
            )
        from reverie.experiment.auto import resume_auto

        return resume_auto(values.run, quiet=values.quiet)
    from reverie.experiment.run import resume

    return resume(values.run, max_time=values.max_time, max_steps=values.max_steps, quiet=values.quiet)
