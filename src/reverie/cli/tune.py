"""`reverie tune MODEL DATA --out FOLDER`: search for better options than the default."""

from collections.abc import Sequence
from pathlib import Path

from reverie.cli.model_options import parse_run, run_options
from reverie.cli.options import Options
from reverie.core.errors import InputError

__all__ = ["main", "options"]


def options(model: str | None = None) -> Options:
    """Return the options of the verb, with those of `model` if it is named."""
    parser = run_options(
        "tune",
        "Search for options with which a model does better on held-out events than with its defaults, and say by how "
        "much. The same command goes on where it stands; several at once share the work.",
        model=model,
        examples=(
            "reverie tune gan dimuon_z --columns pt1,eta1,phi1,pt2,eta2,phi2 --out tunes/z --trials 30",
            "reverie tune flow events.csv --out tunes/e --workers 4 --max-steps 2000",
            "reverie tune vae events.csv --out tunes/v --space 'learning_rate=1e-4:1e-2:log,batch_size=64|128|256'",
            "reverie run --config tunes/z/best.yaml --out runs/z-best",
        ),
        with_seeds=False,
    )
    for action in parser._actions:
        if action.dest in _TEXTS:
            action.help = _TEXTS[action.dest]
    add = parser.option
    add("--trials", "Configurations that are tried in all; the first is the default.", int, 30)
    add("--workers", "Processes that share the work.", int, 1)
    add("--space", f"What is searched: {_SPACE}")
    add("--by", "What judges: likelihood, samples, or auto: the first, if there is one.", str, "auto")
    add("--tune-fraction", "Part of the training rows that judges the trials.", float, 0.25)
    add("--repeats", "Trainings of winner and default that are quoted in the end.", int, 3)
    parser.flag("no-prune", "Let every trial take all its steps; else those that lag behind are stopped.")
    return parser


def main(argv: Sequence[str]) -> int:
    call = parse_run(options, argv)
    if call is None:
        return 0
    values = call.values
    for name, most in (("trials", 1_000_000), ("workers", 1024), ("repeats", 1000)):
        if not 1 <= values[name] <= most:
            raise InputError(
                f"Expected --{name} to be an integer from 1 to {most:,}, got {values[name]}. Leave it out."
            )
    from reverie.experiment.tune import tune

    out = call.out if values.out is not None else Path("tunes") / call.out.name
    chosen = {name: values[name] for name in ("trials", "workers", "space", "by", "tune_fraction", "repeats")}
    return tune(call.config, out, prune=not values.no_prune, **chosen, **call.how)


_SPACE = (
    "NAME=LOW:HIGH, NAME=LOW:HIGH:log or NAME=A|B|C between commas, for options of the model; by default those that "
    "matter most and that you have not set."
)
_TEXTS = {
    "out": "Folder of the study; tunes/DATA-MODEL by default.",
    "overwrite": "Forget the study that is in the folder.",
    "max_time": "Budget of time for each training, such as 90s, 5m or 1h30m; results then depend on the machine.",
    "held_out": "Fraction of the rows, in (0, 1), that no trial sees and by which winner and default are quoted.",
    "seed": "Root of all randomness: splits, proposals, weights, noise, batches.",
    "checkpoint_every": "Kept in best.yaml: time between two kept states of a run.",
    "n_samples": "Kept in best.yaml: how many samples a run draws.",
    "no_validate": "Kept in best.yaml: leave out the verdict of a run.",
    "note": "Kept in best.yaml: a remark for the report of a run.",
    "selection": "Kept in best.yaml: part of the held-out rows of a run that chooses, not judges.",
    "samples_format": "Kept in best.yaml: file format of the samples of a run.",
}
