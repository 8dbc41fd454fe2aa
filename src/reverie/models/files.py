"""Models on disk: a folder of text and safetensors, never pickle.

    config.yaml          class of the model and its constructor arguments
    schema.json          names, units, kinds and types of the data
    transform.json       the fitted change of variables
    model.safetensors    weights and buffers of the networks, and a stock of conditions
    attachments.json     fitted conditions and observables, best replica
    metadata.json        format version, torch version, seed, steps, and the sha256 of the files of data and weights

The folder is written beside its place and renamed, so it is there whole or not at all. A network that
the user passed as a module or a factory has no name to rebuild it from: hand it to `load` again.

A wave function has no data and so no schema, transform or attachments: its folder holds the other three files.
"""

import json
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Protocol

import safetensors
import safetensors.torch
import torch
import yaml
from msgspec import Meta, Struct

from reverie.core.arguments import checked
from reverie.core.errors import CheckpointError, FolderError, InputError
from reverie.core.typed_files import digest_of_file, read_json, read_yaml, rebuilt
from reverie.models.preprocessing import Preprocessing
from reverie.models.registry import MODELS, WAVE_FUNCTIONS, model_class

__all__ = ["load_model", "save_model"]

FORMAT, VERSION = "reverie-model", 2
_PASSED_AGAIN = "<passed by the user>"
_DIGESTED = ("schema.json", "transform.json", "attachments.json", "model.safetensors")  # config.yaml may be edited
_REMEDY = "Give the folder that save() or a run wrote, restore it from a copy, or train again."


class _Fitted(Protocol):
    """What is saved of every estimator."""

    seed_: int
    n_iter_: int

    def get_params(self, deep: bool = ...) -> dict[str, Any]: ...  # noqa: FBT001 - as scikit-learn has it


class _WaveFunction(_Fitted, Protocol):
    """A wave function, which is its state alone."""

    def state_dict(self) -> dict[str, torch.Tensor]: ...

    def load_state_dict(self, state: dict[str, torch.Tensor]) -> Any: ...


class _GenerativeModel(_Fitted, Protocol):
    """A model of data: what stands between them and its networks, and these."""

    preprocessing_: Preprocessing
    history_: list[dict[str, float]]
    device_: torch.device

    def _attachments(self) -> tuple[dict[str, Any], dict[str, torch.Tensor]]: ...

    def _attach(self, texts: Mapping[str, Any], tensors: Mapping[str, torch.Tensor]) -> None: ...

    def _build_networks(self) -> None: ...

    def _networks(self) -> dict[str, torch.nn.Module]: ...


def save_model(model: Any, folder: str | Path) -> Path:
    """Save a fitted model of the registry into a new or empty folder; return its path.

    Raises
    ------
    FolderError
        When the folder holds something else already, or cannot be written.
    """
    folder = Path(folder)
    if folder.exists() and not _is_model_folder(folder):
        raise FolderError(f"Expected a new folder to save the model in, got {folder}, which exists. Choose another.")
    temporary = folder.with_name(f".{folder.name}.tmp")
    shutil.rmtree(temporary, ignore_errors=True)
    try:
        temporary.mkdir(parents=True)
        _write(model, temporary)
        shutil.rmtree(folder, ignore_errors=True)
        temporary.rename(folder)
    except PermissionError:
        raise FolderError(f"Expected a folder that can be written, got {folder}. Choose another place.") from None
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return folder


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
        raise CheckpointError(f"Expected a saved model in {folder}, got no metadata.json there. {_REMEDY}")
    metadata = _read(read_json, folder / "metadata.json", _Metadata)
    if metadata.get("format") != FORMAT:
        raise CheckpointError(f"Expected a model saved by reverie in {folder}, got a foreign folder.")
    if metadata["version"] > VERSION:
        raise CheckpointError(f"The model in {folder} was saved by a newer reverie. Update reverie to load it.")
    _check_digests(folder, metadata.get("sha256", {}))
    config = _read(read_yaml, folder / "config.yaml", _Config)
    kind = model_class(config["model"])
    with rebuilt(f"a saved {config['model']}", folder, remedy=_REMEDY, error=CheckpointError):
        model = kind(**_arguments(config["arguments"], passed_again))
        load = _load_state if config["model"] in WAVE_FUNCTIONS else _load_preparation
        load(model, _read_tensors(folder / "model.safetensors"), folder, metadata)
        return model


class _Metadata(Struct):
    version: Annotated[int, Meta(ge=1)]
    seed: int
    n_steps: Annotated[int, Meta(ge=0)]
    format: str = ""
    sha256: dict[str, str] = {}


class _Config(Struct):
    model: str
    arguments: dict[str, Any]


class _Data(Struct):
    schema: dict[str, Any]
    container: Literal["array", "tensor", "frame", "dataset"]
    dtype: str


def _read(read: Callable[..., Any], path: Path, kind: Any) -> Any:
    return read(path, kind, remedy=_REMEDY, error=CheckpointError)


def _check_digests(folder: Path, digests: Mapping[str, str]) -> None:
    """Refuse a model whose files are not as they were written; folders of older versions hold no digests."""
    for name, digest in digests.items():
        file = folder / name
        if not file.is_file():
            raise CheckpointError(f"Expected {name} in the model {folder}, got no such file. {_REMEDY}")
        if digest_of_file(file) != digest:
            raise CheckpointError(
                f"Expected {str(file)!r} as it was saved, got a file that has changed or is damaged. {_REMEDY}"
            )


def _load_preparation(
    model: _GenerativeModel, tensors: dict[str, torch.Tensor], folder: Path, metadata: Mapping[str, Any]
) -> None:
    model.preprocessing_ = _read_preprocessing(folder)
    model.seed_, model.n_iter_, model.history_ = metadata["seed"], metadata["n_steps"], []
    model.device_ = torch.device("cpu")
    texts = _read_attachments(folder / "attachments.json", metadata["version"])
    model._attach(texts, _of("attachment", tensors))
    model._build_networks()
    try:
        for name, network in model._networks().items():
            network.load_state_dict(_of(name, tensors))
            network.to(model.device_)
    except RuntimeError as error:
        raise _foreign_weights(folder / "model.safetensors", error) from None


def _load_state(
    model: _WaveFunction, tensors: dict[str, torch.Tensor], folder: Path, metadata: Mapping[str, Any]
) -> None:
    try:
        model.load_state_dict(tensors)
    except (RuntimeError, KeyError, AttributeError, ValueError) as error:
        raise _foreign_weights(folder / "model.safetensors", error) from None
    model.seed_, model.n_iter_ = metadata["seed"], metadata["n_steps"]


def _write(model: Any, folder: Path) -> None:
    name = _name_of(model)
    config = {"model": name, "arguments": {k: _plain(v) for k, v in model.get_params(deep=False).items()}}
    (folder / "config.yaml").write_text(yaml.safe_dump(config, sort_keys=False), encoding="utf-8")
    tensors = model.state_dict() if name in WAVE_FUNCTIONS else _write_preparation(model, folder)
    tensors = {name: value.detach().cpu().contiguous() for name, value in tensors.items()}
    safetensors.torch.save_file(tensors, folder / "model.safetensors", metadata={"format": FORMAT})
    versions = {"format": FORMAT, "version": VERSION, "torch": torch.__version__}
    digests = {name: digest_of_file(folder / name) for name in _DIGESTED if (folder / name).is_file()}
    numbers = {"seed": model.seed_, "n_steps": model.n_iter_}
    _write_json(folder / "metadata.json", versions | numbers | {"sha256": digests})


def _write_preparation(model: _GenerativeModel, folder: Path) -> dict[str, torch.Tensor]:
    """Write what stands between data and networks; return the tensors of the attachments and the networks by name."""
    p = model.preprocessing_
    schema = {"schema": p.schema.to_json(), "container": p.container, "dtype": p.dtype}
    _write_json(folder / "schema.json", schema)
    _write_json(folder / "transform.json", p.transform.to_json())
    texts, attached = model._attachments()
    _write_json(folder / "attachments.json", texts)
    states = {"attachment": attached} | {name: network.state_dict() for name, network in model._networks().items()}
    return {f"{name}.{key}": value for name, state in states.items() for key, value in state.items()}


def _read_preprocessing(folder: Path) -> Preprocessing:
    stored = _read(read_json, folder / "schema.json", _Data)
    return Preprocessing.from_json(stored | {"transform": _read(read_json, folder / "transform.json", dict[str, Any])})


def _read_attachments(path: Path, version: int) -> dict[str, Any]:
    return {} if version < 2 else _read(read_json, path, dict[str, Any])


def _read_tensors(path: Path) -> dict[str, torch.Tensor]:
    try:
        return safetensors.torch.load_file(path)
    except (OSError, safetensors.SafetensorError) as error:
        raise _foreign_weights(path, error) from None


def _of(name: str, tensors: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Return the tensors filed under `name`, by their own names."""
    return {key.removeprefix(f"{name}."): x for key, x in tensors.items() if key.startswith(f"{name}.")}


def _foreign_weights(path: Path, error: Exception) -> CheckpointError:
    return CheckpointError(
        f"Expected the weights of this model in {path}, got a file that is corrupt or of another model "
        f"({str(error).splitlines()[0]}). Restore it from a copy or train again."
    )


def _name_of(model: Any) -> str:
    known = MODELS | WAVE_FUNCTIONS
    place = f"{type(model).__module__.removesuffix('.estimator')}:{type(model).__name__}"
    for name, registered in known.items():
        if registered in (type(model), place) or type(model) is model_class(name):
            return name
    raise InputError(f"Expected a model of reverie to save, got {type(model).__name__}. Known: {', '.join(known)}.")


def _plain(value: Any) -> Any:
    """Return a constructor argument as YAML can hold it."""
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if isinstance(value, (tuple, list)) and all(isinstance(v, (int, float, str)) for v in value):
        return list(value)
    return _PASSED_AGAIN


def _arguments(stored: dict[str, Any], passed_again: dict[str, Any]) -> dict[str, Any]:
    arguments = {k: tuple(v) if isinstance(v, list) else v for k, v in stored.items()}
    for name in [k for k, v in arguments.items() if v == _PASSED_AGAIN]:
        if name in ("random_state", "preprocessing"):  # not needed again: the seed and the fitted transform are saved
            arguments[name] = None if name == "random_state" else "auto"
        elif name not in passed_again:
            raise CheckpointError(
                f"Expected {name}= for this model, which was trained with a {name} of your own. "
                f"Call reverie.load(folder, {name}=...) with it."
            )
    return arguments | passed_again


def _is_model_folder(folder: Path) -> bool:
    return folder.is_dir() and (not any(folder.iterdir()) or (folder / "metadata.json").exists())


def _write_json(path: Path, content: Any) -> None:
    path.write_text(json.dumps(content, allow_nan=False), encoding="utf-8")
