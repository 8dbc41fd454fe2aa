"""What a run is made of, as one frozen record, and its YAML form.

The options of the command line and the keys of `config.yaml` are both made from the signatures and
docstrings of `RunConfig` and of the model class; there is no second schema to keep in step. The
file that a run leaves behind holds every value, and runs again as it stands:

    reverie run --config runs/x/config.yaml --out runs/y
"""

import csv
import inspect
import re
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

import yaml
from msgspec import Struct

from reverie.core import typed_files
from reverie.core.checks import check_choice
from reverie.core.errors import InputError, UnknownNameError
from reverie.core.typed_files import checked
from reverie.models import registry

__all__ = [
    "AUTO",
    "RunConfig",
    "all_options",
    "command_of",
    "flatten",
    "format_duration",
    "joined_columns",
    "looks_like_path",
    "model_class",
    "model_names",
    "model_parameters",
    "parameter_texts",
    "parse_columns",
    "parse_condition",
    "parse_duration",
    "preset_arguments",
    "preset_words",
    "read_yaml",
    "registered_name",
]

AUTO = "auto"  # in place of a model: `reverie.experiment.auto` chooses it
DURATIONS = ("max_time", "checkpoint_every", "validation_time")
SAMPLE_FORMATS = ("npy", "csv", "parquet", "h5", "root")
_UNITS = {"": 1.0, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_REMEDY = "Correct the file."


class _Named(Struct):
    name: str


class _Needed(Struct):
    data: str
    model: _Named


@dataclass(frozen=True, kw_only=True)
class RunConfig:
    """A run: data, split, budget, samples, and a model with its options.

    Parameters
    ----------
    data : a name of the catalogue ('reverie data list') or the path of a file.
    columns : names of the columns to learn, such as pt1,eta1,phi1; all by default.
    condition : columns that samples are asked for by, such as energy,kind: p(other columns | these) is learnt; "label"
        of the digits and of mnist; or a file with one row (or image) for each event.
    weights : name of the column that holds event weights, negative ones too; training honours them.
    schema : YAML file of column kinds and units, as 'reverie data describe DATA --schema FILE' writes it.
    drop_missing : leave out rows with NaN or infinite entries.
    held_out : fraction of the rows, in (0, 1), that the model never sees and is judged by.
    selection : fraction of the held-out rows, in [0, 1), by which the model was chosen among others ('reverie run auto'
        takes 0.5): the verdict leaves them out.
    seed : root of all randomness: split, weights, noise, batches, tests.
    max_time : budget of training time, such as 90s, 5m or 1h30m; without it, training takes all its steps. Of 'auto'
        it is the time of both trainings, by default what they need, and at most ten minutes.
    checkpoint_every : time between two kept states; a killed run loses at most this much.
    n_samples : how many samples to draw; by default as many as rows are held out.
    samples_format : file format of the samples: npy, csv, parquet, h5 or root.
    validation_time : most time for the validation, such as 90s or 5m; what does not fit is left out and named. By
        default as much as training took, and a minute.
    no_validate : leave the verdict out: train, draw samples and write the report; 'reverie validate FOLDER' adds it.
    start : folder of a finished run, or of a saved model, of the same model and columns: training starts at its weights
        and change of variables, to fine-tune them on these data.
    note : what the report says under its title, such as what is new in this run.
    model : name of the model under "name", and its options; an alias is resolved to its model and arguments.
    """

    data: str
    columns: str | None = None
    condition: str | None = None
    weights: str | None = None
    schema: str | None = None
    drop_missing: bool = False
    held_out: float = 0.35
    selection: float = 0.0
    seed: int = 0
    max_time: str | None = None
    checkpoint_every: str = "30s"
    n_samples: int | None = None
    samples_format: str = "npy"
    validation_time: str | None = None
    no_validate: bool = False
    start: str | None = None
    note: str = ""
    model: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        parse_duration(self.max_time)
        parse_duration(self.validation_time)
        parse_duration(self.checkpoint_every)
        if not 0.0 < self.held_out < 1.0:
            raise InputError(f"Expected --held-out between 0 and 1, got {self.held_out}. Try 0.35.")
        if not 0.0 <= self.selection < 1.0:
            raise InputError(f"Expected --selection from 0 to below 1, got {self.selection}. Leave it out, or try 0.5.")
        if self.seed < 0:
            raise InputError(f"Expected --seed to be an integer >= 0, got {self.seed}. Try 0.")
        if self.n_samples is not None and self.n_samples < 1:
            raise InputError(f"Expected --n-samples to be an integer > 0, got {self.n_samples}. Try 10000.")
        if self.samples_format not in SAMPLE_FORMATS:
            raise UnknownNameError("samples format", self.samples_format, SAMPLE_FORMATS)
        name = spelled_name(self.model_name)
        if self.start is not None and name == AUTO:
            raise InputError("Expected a model with --start, got auto. Name that of the start: reverie run gan DATA.")
        model, arguments = registry.ALIASES.get(name, (name, {}))
        left = {key: value for key, value in arguments.items() if key not in self.model}
        object.__setattr__(self, "model", {**self.model, "name": model, **left})

    @property
    def model_name(self) -> str:
        """Name of the model."""
        return str(self.model["name"])

    @property
    def model_options(self) -> dict[str, Any]:
        """Constructor arguments of the model, without its seed."""
        return {key: value for key, value in self.model.items() if key != "name"}

    def to_yaml(self) -> str:
        """Return the text of `config.yaml`."""
        content = {f.name: getattr(self, f.name) for f in fields(self)}
        if self.start is None:  # the text is then that of older versions, which runs of several seeds are compared by
            del content["start"]
        content["model"] = {key: _plain(value) for key, value in self.model.items()}
        return yaml.safe_dump(content, sort_keys=False, allow_unicode=True, default_flow_style=None)

    @classmethod
    def from_yaml(cls, path: str | Path) -> "RunConfig":
        """Read the `config.yaml` of a run folder.

        Raises `InputError` if it is no such file; an unknown key is named with its nearest neighbour.
        """
        content = read_yaml(path)
        known = [f.name for f in fields(cls)]
        for key in content:
            if key not in known:
                raise UnknownNameError(f"key in {str(path)!r}:", key, known)
        cls.check_content(content, path)
        return checked(content, cls, path, remedy=_REMEDY)

    @staticmethod
    def check_content(content: object, path: str | Path) -> None:
        """Raise `InputError` unless the `content` of a file holds data and the name of a model."""
        checked(content, _Needed, path, remedy=_REMEDY)


def read_yaml(path: str | Path) -> dict[str, Any]:
    """Return the mapping in the YAML file `path`; `columns` and `condition` may be lists, and are joined by commas."""
    if not Path(path).exists():
        raise InputError(f"Expected a configuration file, got {str(path)!r}, which does not exist.")
    content = typed_files.read_yaml(path, dict[str, Any], remedy=_REMEDY)
    for key in ("columns", "condition"):
        if isinstance(content.get(key), list):
            content[key] = joined_columns([str(name) for name in content[key]])
    for key in DURATIONS:  # 90 is as good as 90s
        if isinstance(content.get(key), (int, float)) and not isinstance(content[key], bool):
            content[key] = str(content[key])
    return content


def spelled_name(name: str) -> str:
    """Return `name`, of a model, an alias or `AUTO`, as it is spelled; an unknown one is answered with the nearest."""
    return check_choice("model", name, {known: known for known in (*registry.MODELS, *registry.ALIASES, AUTO)})


def registered_name(name: str) -> str:
    """Return `spelled_name` of a model that a run can train.

    A classifier is refused: the labels that it learns are no conditions of its samples, which a run takes them for.
    """
    known = spelled_name(name)
    if known in registry.CLASSIFIERS:
        raise InputError(
            f"Expected a model of samples for a run, got {known}, a classifier. Use it from Python: "
            f"reverie.{registry.model_class(known).__name__}().fit(X, y)."
        )
    return known


def model_class(name: str) -> type:
    """Return the class of the registered model `name`."""
    return registry.model_class(registered_name(name))


def model_names() -> list[str]:
    """Return the names of the models that can be run, aliases last; classifiers are used from Python."""
    return [name for name in (*registry.MODELS, *registry.ALIASES) if name not in registry.CLASSIFIERS]


def model_parameters() -> set[str]:
    """Return the names of the constructor arguments of all registered models."""
    models = map(registry.model_class, registry.MODELS)
    return {name for model in models for name in inspect.signature(model).parameters}


def all_options(config: RunConfig) -> dict[str, Any]:
    """Return the options of the model of `config`, with the defaults of those that it does not name."""
    defaults = model_class(config.model_name)().get_params(deep=False)
    known = {key: list(value) if isinstance(value, tuple) else value for key, value in defaults.items()}
    return {key: value for key, value in (known | config.model_options).items() if key != "random_state"}


def command_of(config: RunConfig) -> str:
    """Return the command that repeats the run of `config`, with the options that are not the defaults."""
    plain = RunConfig(data=config.data, model={"name": config.model_name})
    given = {f.name: getattr(config, f.name) for f in fields(RunConfig) if f.name not in ("data", "model")}
    known = {name: getattr(plain, name) for name in given} | all_options(plain)
    words = ["reverie", "run", config.model_name, config.data]
    for name, value in (given | config.model_options).items():
        if value != known[name]:
            text = ",".join(map(str, value)) if isinstance(value, list) else str(value)
            words += [f"--{name.replace('_', '-')}", *([] if value is True and name in given else [text])]
    return shlex.join(words)


def preset_words(model: str) -> str:
    """Return the presets of the registered model with what they are for, as the help shows them."""
    from reverie.models.presets import PRESETS

    own = {name: preset for name, preset in PRESETS.items() if preset.model is model_class(model)}
    return "; ".join(f"{name} ({preset.about})" for name, preset in own.items()) or "none for this model"


def preset_arguments(model: str, name: str) -> Mapping[str, object]:
    """Return the constructor arguments of the preset `name` of the registered model.

    An unknown preset is answered with the nearest, one of another model with the name of that model.
    """
    from reverie.models.presets import PRESETS

    preset = check_choice("preset", name, PRESETS)
    if preset.model is not model_class(model):
        (owner,) = (key for key in registry.MODELS if registry.model_class(key) is preset.model)
        raise InputError(
            f"Expected a preset of {model}, got {name!r}, which is one of {owner}. Write {owner} in place of {model}, "
            "or leave --preset out."
        )
    return preset.arguments


def parameter_texts(kind: type) -> dict[str, str]:
    """Return the text of each parameter in the NumPy docstring of a class: ``name : text``, continued indented."""
    section = re.search(r"\nParameters\n-+\n(.*?)(?:\n\n|\Z)", inspect.cleandoc(kind.__doc__ or ""), flags=re.S)
    texts: dict[str, str] = {}
    for entry in re.split(r"\n(?=\S)", section[1] if section else ""):
        names, _, text = entry.partition(" : ")
        texts.update((name.strip(), " ".join(text.split())) for name in names.split(","))
    return texts


def looks_like_path(data: str) -> bool:
    """Tell a path (it has a suffix or a folder) from a name of the catalogue."""
    return bool(Path(data).suffix) or "/" in data or "\\" in data


def flatten(content: Mapping[str, object], prefix: str = "") -> dict[str, object]:
    """Return nested mappings as one, with dotted keys: ``{"model": {"a": 1}}`` -> ``{"model.a": 1}``."""
    flat: dict[str, object] = {}
    for key, value in content.items():
        if key == "model" and isinstance(value, Mapping):
            flat.update(flatten(value, prefix=f"{prefix}{key}."))
        else:
            flat[f"{prefix}{key}"] = value
    return flat


def parse_columns(text: str | None) -> list[str] | None:
    """Return the names in ``"pt1, eta1"``, or None for all columns; one that is missing or doubled is refused.

    A name with a comma stands in double quotes: ``'x,"energy, total"'``.
    """
    if text is None:
        return None
    names = [name.strip() for name in next(csv.reader([text.replace("\n", " ")], skipinitialspace=True), [""])]
    if not (names and all(names)):
        raise InputError(f"Expected names between commas, such as pt1,eta1, got {text!r}. Write it without spaces.")
    for name in names:
        if names.count(name) > 1:
            raise InputError(f"Expected each column once, got {name!r} twice. Leave one of them out.")
    return names


def joined_columns(names: Sequence[str]) -> str:
    """Return names as `parse_columns` reads them, those with a comma in quotes."""
    return ",".join(f'"{name}"' if "," in name else name for name in names)


def parse_condition(text: str) -> dict[str, str]:
    """Return the values by name in ``"label=3, energy=20.5"``, as they are written; other text is refused."""
    pairs = [part.partition("=") for part in text.split(",")]
    values = {name.strip(): value.strip() for name, _, value in pairs}
    if not all(equals and name.strip() and value.strip() for name, equals, value in pairs) or len(values) < len(pairs):
        raise InputError(f"Expected --condition NAME=VALUE,NAME=VALUE, got {text!r}. Write it like label=3.")
    return values


def parse_duration(text: str | float | None) -> float | None:
    """Return seconds from ``"90"``, ``"90s"``, ``"5m"`` or ``"1h30m"``; None stays None, other text is refused."""
    if text is None:
        return None
    number = r"(\d+(?:\.\d*)?|\.\d+)\s*([smhd]?)\s*"
    words = str(text).strip().lower()
    parts = re.findall(number, words) if re.fullmatch(f"(?:{number})+", words) else []
    seconds = sum(float(count) * _UNITS[unit] for count, unit in parts)
    if seconds <= 0:
        raise InputError(f"Expected a duration such as 90s, 5m or 1h30m, got {str(text)!r}. Write it like these.")
    return seconds


def format_duration(seconds: float) -> str:
    """Return seconds as ``"4.2 s"``, ``"42 s"``, ``"3 min 07 s"`` or ``"1 h 05 min"``."""
    whole = round(seconds)
    if whole < 60:
        return f"{seconds:.1f} s" if seconds < 10 else f"{whole} s"
    return (
        f"{whole // 60} min {whole % 60:02d} s" if whole < 3600 else f"{whole // 3600} h {whole % 3600 // 60:02d} min"
    )


def _plain(value: object) -> object:
    """Return what YAML can write and read back: tuples become lists."""
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    raise InputError(f"Expected an option that YAML can hold, got {value!r}. Use the Python interface for objects.")
