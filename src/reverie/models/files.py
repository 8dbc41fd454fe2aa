"""Models on disk: a folder of text and safetensors, never pickle.

    config.yaml          class of the model and its constructor arguments
    schema.json          names, units, kinds and types of the data
    transform.json       the fitted change of variables
    model.safetensors    weights and buffers of the networks, and a stock of conditions
    attachments.json     fitted conditions and observables, best replica
    metadata.json        format version, torch version, seed, steps, and the sha256 of the files of data and weights
    replica_0/, ...      of a model of several replicas, instead of the files of data and weights: each a model folder

The folder is written beside its place and renamed, so it is there whole or not at all. A network that
the user passed as a module or a factory has no name to rebuild it from: hand it to `load` again.

A wave function has no data and so no schema, transform or attachments: its folder holds the other three files.
"""

import json
import shutil
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Literal, Protocol

import safetensors
import safetensors.torch
import torch
import yaml
from msgspec import Meta, Struct
from torch import Tensor, nn

from reverie.core.arguments import checked
from reverie.core.errors import CheckpointError, FolderError, InputError
from reverie.core.typed_files import digest_of_file, read_json, read_yaml, rebuilt
from reverie.core.types import Json
from reverie.models.preprocessing import Preprocessing
from reverie.models.registry import MODELS, WAVE_FUNCTIONS, model_class

__all__ = ["load_model", "save_model"]

FORMAT, VERSION = "reverie-model", 2
_PASSED_AGAIN = "<passed by the user>"
_DIGESTED = ("schema.json", "transform.json", "attachments.json", "model.safetensors")  # config.yaml may be edited
_REMEDY = "Give the folder that save() or a run wrote, restore it from a copy, or train again."


class _Fitted(Protocol):
    """What is saved of every model."""

    seed_: int
    n_iter_: int

    def get_params(self, deep: bool = ...) -> dict[str, Any]: ...  # noqa: FBT001 - as scikit-learn has it


# not needed again: the seed and the fitted transform are saved, and samples are drawn without the symmetries
_USED_UP = {"random_state": None, "preprocessing": "auto", "symmetries": None}


class _GenerativeModel(_Fitted, Protocol):
    """A model of data: what stands between them and its networks, and these."""

    preprocessing_: Preprocessing
    history_: list[dict[str, float]]
    device_: torch.device

    def _attachments(self) -> tuple[Json, dict[str, Tensor]]: ...

    def _attach(self, texts: Json, tensors: Mapping[str, Tensor]) -> None: ...

    def _build_networks(self) -> None: ...

    def _networks(self) -> dict[str, nn.Module]: ...


class _Metadata(Struct):
    version: Annotated[int, Meta(ge=1)]
    seed: int
    n_steps: Annotated[int, Meta(ge=0)]
    format: str = ""
    sha256: dict[str, str] = {}


class _Config(Struct):
    model: str
    arguments: Json


class _Data(Struct):
    schema: Json
    container: Literal["array", "tensor", "frame", "polars", "arrow", "xarray", "xarray array", "dataset"]
    dtype: str


_json = partial(read_json, remedy=_REMEDY, error=CheckpointError)


def save_model(model: _Fitted, folder: str | Path) -> Path:
    """Save a fitted model of the registry into a new or empty folder; return its path.

    Raises
    ------
    FolderError
        When the folder holds something else already, or cannot be written.
    """
    folder = Path(folder)
    is_own = folder.is_dir() and (not any(folder.iterdir()) or (folder / "metadata.json").exists())
    if folder.exists() and not is_own:
        raise FolderError(f"Expected a new folder to save the model in, got {folder}, which exists. Choose another.")
    temporary, old = folder.with_name(f".{folder.name}.tmp"), folder.with_name(f".{folder.name}.old.tmp")
    if old.exists() and not folder.exists():  # of a process that was killed between two names
        old.rename(folder)
    shutil.rmtree(temporary, ignore_errors=True)
    try:
        temporary.mkdir(parents=True)
        _write(model, temporary)
        if folder.exists():
            shutil.rmtree(old, ignore_errors=True)
            folder.rename(old)  # it comes back if the new one cannot take its place
        try:
            temporary.rename(folder)
        except OSError:
            if old.exists():
                old.rename(folder)
            raise
        shutil.rmtree(old, ignore_errors=True)
    except PermissionError:
        raise FolderError(f"Expected a folder that can be written, got {folder}. Choose another place.") from None
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return folder


def _write(model: Any, folder: Path) -> None:
    known = MODELS | WAVE_FUNCTIONS
    place = f"{type(model).__module__.removesuffix('.estimator')}:{type(model).__name__}"
    names = [n for n, kind in known.items() if kind in (type(model), place)]
    names = names or [n for n in known if type(model) is model_class(n)]
    if not names:
        raise InputError(f"Expected a model of reverie to save, got {type(model).__name__}. Known: {', '.join(known)}.")
    config = {"model": names[0], "arguments": {k: _plain(v) for k, v in model.get_params(deep=False).items()}}
    (folder / "config.yaml").write_text(yaml.safe_dump(config, sort_keys=False), encoding="utf-8")
    replicas = () if names[0] in WAVE_FUNCTIONS else model.replicas_
    for r, replica in enumerate(replicas):
        (folder / f"replica_{r}").mkdir()
        _write(replica, folder / f"replica_{r}")
    if not replicas:
        tensors = model.state_dict() if names[0] in WAVE_FUNCTIONS else _write_preparation(model, folder)
        tensors = {key: x.detach().cpu().contiguous() for key, x in tensors.items()}
        safetensors.torch.save_file(tensors, folder / "model.safetensors", metadata={"format": FORMAT})
    metadata = {"format": FORMAT, "version": VERSION, "torch": torch.__version__}
    metadata |= {"seed": model.seed_, "n_steps": model.n_iter_}
    digests = {name: digest_of_file(folder / name) for name in _DIGESTED if (folder / name).is_file()}
    _write_json(folder / "metadata.json", metadata | {"sha256": digests})


def _plain(value: object) -> object:
    """Return a constructor argument as YAML can hold it."""
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if isinstance(value, (tuple, list)) and all(isinstance(v, (int, float, str)) for v in value):
        return list(value)
    return _PASSED_AGAIN


def _write_preparation(model: _GenerativeModel, folder: Path) -> dict[str, Tensor]:
    """Write what stands between data and networks; return the tensors of the attachments and the networks by name."""
    stored = model.preprocessing_.to_json()
    _write_json(folder / "transform.json", stored.pop("transform"))
    _write_json(folder / "schema.json", stored)
    texts, attached = model._attachments()
    _write_json(folder / "attachments.json", texts)
    states = {"attachment": attached} | {name: network.state_dict() for name, network in model._networks().items()}
    return {f"{name}.{key}": x for name, state in states.items() for key, x in state.items()}


def _write_json(path: Path, content: Json) -> None:
    path.write_text(json.dumps(content, allow_nan=False), encoding="utf-8")


@checked
def load_model(folder: str | Path, **passed_again: Any) -> Any:
    """Load a model that `save_model` wrote: a `GenerativeModel`, or a `WaveFunctionRBM`.

    Parameters
    ----------
    folder : the model's folder, or a run folder that holds it as ``model/``.
    passed_again : constructor arguments that cannot be written to a file, such as ``generator=`` a module.

    Raises
    ------
    CheckpointError
        When the folder is no model, is corrupt, or comes from a newer version.
    """
    folder = Path(folder)
    folder = folder / "model" if (folder / "model" / "metadata.json").exists() else folder
    if not (folder / "metadata.json").is_file():
        is_run = (folder / "command.txt").is_file() and not (folder / "model").is_dir()
        carry_on = f"got a run whose training has not ended. Carry it on: reverie resume {folder}"
        how = carry_on if is_run else f"got no metadata.json there. {_REMEDY}"
        raise CheckpointError(f"Expected a saved model in {folder}, {how}")
    metadata = _json(folder / "metadata.json", _Metadata)
    if metadata.get("format") != FORMAT:
        raise CheckpointError(f"Expected a model saved by reverie in {folder}, got a foreign folder.")
    if metadata["version"] > VERSION:
        raise CheckpointError(f"The model in {folder} was saved by a newer reverie. Update reverie to load it.")
    for name, digest in metadata.get("sha256", {}).items():  # folders of older versions hold none
        if not (folder / name).is_file():
            raise CheckpointError(f"Expected {name} in the model {folder}, got no such file. {_REMEDY}")
        if digest_of_file(folder / name) != digest:
            raise CheckpointError(
                f"Expected {str(folder / name)!r} as it was saved, got a file that has changed or is damaged. {_REMEDY}"
            )
    config = read_yaml(folder / "config.yaml", _Config, remedy=_REMEDY, error=CheckpointError)
    kind, weights = model_class(config["model"]), folder / "model.safetensors"
    is_wave = config["model"] in WAVE_FUNCTIONS
    misfits = (OSError, safetensors.SafetensorError, RuntimeError)
    misfits = (*misfits, KeyError, AttributeError, ValueError) if is_wave else misfits
    with rebuilt(f"a saved {config['model']}", folder, remedy=_REMEDY, error=CheckpointError):
        model: Any = kind(**_arguments(config["arguments"], passed_again))
        model.seed_ = metadata["seed"]
        parts = sorted(
            folder.glob("replica_*/metadata.json"), key=lambda part: int(part.parent.name[len("replica_") :])
        )
        if parts:
            model.history_, model.alarms_, model._kept = [], [], None
            model._begin()
            model._take_over([load_model(part.parent, **passed_again) for part in parts])
            return model
        try:
            tensors = safetensors.torch.load_file(weights)
            if is_wave:
                model.load_state_dict(tensors)
            else:
                _restore(model, folder, tensors, metadata["version"])
        except misfits as error:
            raise CheckpointError(
                f"Expected the weights of this model in {weights}, got a file that is corrupt or of another model "
                f"({str(error).splitlines()[0]}). Restore it from a copy or train again."
            ) from None
        model.seed_, model.n_iter_ = metadata["seed"], metadata["n_steps"]
        return model


def _arguments(stored: Json, passed_again: Json) -> Json:
    arguments = {k: tuple(v) if isinstance(v, list) else v for k, v in stored.items()}
    for name in [k for k, v in arguments.items() if v == _PASSED_AGAIN]:
        if name in _USED_UP:
            arguments[name] = _USED_UP[name]
        elif name not in passed_again:
            raise CheckpointError(
                f"Expected {name}= for this model, which was trained with a {name} of your own. "
                f"Call reverie.load(folder, {name}=...) with it."
            )
    return arguments | passed_again


def _restore(model: _GenerativeModel, folder: Path, tensors: Mapping[str, Tensor], version: int) -> None:
    """Give an unfitted model of data its preprocessing, attachments and weights."""

    def of(name: str) -> dict[str, Tensor]:
        return {key.removeprefix(f"{name}."): x for key, x in tensors.items() if key.startswith(f"{name}.")}

    transform = _json(folder / "transform.json", Json)
    stored, observables = _json(folder / "schema.json", _Data), model.get_params(deep=False).get("observables")
    model.preprocessing_ = Preprocessing.from_json(stored | {"transform": transform}, observables)
    model.history_ = []
    model.device_ = torch.device("cpu")  # pyrefly: ignore[read-only] - see `GenerativeModel.device_`
    model._attach({} if version < 2 else _json(folder / "attachments.json", Json), of("attachment"))
    model._build_networks()
    for name, network in model._networks().items():
        network.load_state_dict(of(name))
        network.to(model.device_)
