"""What `run` and `fit` share: the options of a run, and those of the model that is named.

The options ``--model.NAME``, or ``--NAME`` for short, are made from the signature and docstring of the
model's constructor; ``--preset`` gives several of them at once. The model is looked for first, in the
words or in the configuration file, so that the help of ``reverie run --help`` needs no model and hence
no torch.
"""

import shlex
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from functools import partial
from pathlib import Path
from typing import Any

from jsonargparse import Namespace

from reverie.cli.options import Options
from reverie.core.errors import InputError
from reverie.experiment.config import (
    AUTO,
    RunConfig,
    looks_like_path,
    model_class,
    model_names,
    model_parameters,
    preset_arguments,
    preset_words,
    read_yaml,
    registered_name,
)
from reverie.models.registry import ALIASES

__all__ = ["MODEL_NAMES", "RunCall", "parse_run", "run_options"]

MODEL_NAMES = tuple(model_names())
_AUTO = (
    "Train the two models that suit the kind and the size of the data within the time given, and keep the one whose "
    "samples boosting finds harder to tell from held-out events. The verdict is on other held-out events, and the "
    "folder is that of an ordinary run."
)


@dataclass(frozen=True)
class RunCall:
    """What the command line asked for: its values, the configuration, the folder, and how to go about it."""

    values: Namespace
    config: RunConfig
    out: Path
    how: dict[str, Any]

    def start(self, **stages: Sequence[str]) -> int:
        """Start the run, or one for each of several seeds, with all stages by default; return the exit code."""
        how: dict[str, Any] = {**stages, **self.how}
        if self.config.model_name == AUTO:
            from reverie.experiment.auto import start_auto

            return start_auto(self.config, self.out, **how)
        if self.values.seeds is None:
            from reverie.experiment.run import start

            return start(self.config, self.out, **how)
        from reverie.experiment.seeds import run_seeds

        return run_seeds(self.config, self.out, self.values.seeds, workers=self.values.workers, **how)


def run_options(
    verb: str, about: str, *, model: str | None, examples: Sequence[str], with_seeds: bool = True
) -> Options:
    """Return the options of a run, with those of `model` if it is named, and of several seeds unless told otherwise."""
    usage = f"{model or 'MODEL'} DATA --out FOLDER"
    if model is None:
        chosen = "" if verb == "tune" else "; or auto, which trains two and keeps one"
        about += f" Models: {', '.join(MODEL_NAMES)}{chosen}. Options of a model: reverie {verb} gan --help"
    elif model == AUTO:
        about = _AUTO
        if verb == "tune":
            raise InputError("Expected a model with options to search, got auto. Name one: reverie tune gan DATA")
    options = Options(verb, about, words=("model.name", "data"), usage=usage, examples=examples)
    options.option("--out", "Run folder; runs/DATA-MODEL by default.")
    options.option("--config", "YAML file of values; options override them.")
    options.add_run()
    if with_seeds and model != AUTO:
        text = "Number of runs that differ in nothing but the seed: FOLDER/seed-0, ...; again carries them on."
        options.option("--seeds", text, int)
        options.option("--workers", "Runs at a time with --seeds; by default one per core.", int)
    options.flag("overwrite", "Replace the run that is in the folder.")
    options.flag("print-config", "Print the resolved configuration and stop.")
    options.flag("quiet", "No progress.")
    if model == AUTO:
        return options
    if model is not None:
        text = f"Settings of the model to start from: {preset_words(model)}."
        options.add_presets(text, partial(preset_arguments, model))
        options.add_model(model, model_class(model))
        _, arguments = ALIASES.get(model, (model, {}))
        options.set_defaults({f"model.{key}": value for key, value in arguments.items()})
    else:
        options.option("--preset", "Settings of the model to start from.")
    return options


def parse_run(options: Callable[[str | None], Options], argv: Sequence[str]) -> RunCall | None:
    """Return what `argv` asks for, or None when printing the configuration was all it asked.

    An `InputError` says in one sentence what is missing, unknown or unusable.
    """
    words = options(None).peek(argv, more=model_parameters)
    name = words.get("model.name")
    if name is None and words.get("config"):
        model = read_yaml(words["config"]).get("model")
        name = model.get("name") if isinstance(model, dict) else model
    parser = options(None if name is None else registered_name(str(name)))
    values = parser.parse(argv)
    if not values.model.name or not values.data:
        missing = "data" if values.model.name else "a model and data"
        command = parser.prog if name is not None else f"{parser.prog} gan"
        raise InputError(
            f"Expected {missing}, got nothing of that kind. Write: {command} DATA "
            "--out runs/x (DATA is a path, or a name from 'reverie data list')."
        )
    content = {f.name: values[f.name] for f in fields(RunConfig) if f.name != "model"}
    if looks_like_path(content["data"]):
        content["data"] = str(Path(content["data"]).absolute())  # the run can be resumed from elsewhere
    if content["start"] is not None:
        content["start"] = str(Path(content["start"]).absolute())
    condition = content["condition"]
    if condition is not None and looks_like_path(condition) and Path(condition).is_file():
        content["condition"] = str(Path(condition).absolute())
    config = RunConfig(**content, model=values.model.as_dict())
    if values.get("workers") is not None and "seeds" in values and values.seeds is None:
        raise InputError("Expected --seeds N with --workers: one run is one process. Try --seeds 4.")
    if values.print_config:
        print(config.to_yaml(), end="")
        return None
    out = Path(values.out or f"runs/{Path(config.data).name.split('.')[0]}-{values.model.name}")
    command = shlex.join([*parser.prog.split()[:2], *argv])
    return RunCall(values, config, out, {"overwrite": values.overwrite, "quiet": values.quiet, "command": command})
