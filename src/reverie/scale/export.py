"""Export of a trained model for programs that know nothing of reverie.

    model.onnx                noise (and condition) in, values in physical units out; for ONNX Runtime
    model.pt2                 the same as a torch.export program, for PyTorch
    model.onnx.parity.json    how far the graph is from the model on the same noise

Inverse transforms, and the transform of the conditions, are inside the graph. Values are float64. A model with a
referee has a second output, the probability with which each sample is to be accepted; what is refused is drawn
anew with the same condition. The metadata say what the columns are and how the noise is to be drawn:

    format, reverie, torch          version of this layout, of reverie and of torch
    model                           class of the model
    names, units                    of the columns, one per line
    columns, conditions             schema of each as JSON: kinds, bounds, levels and their words
    event_shape, dtype              of one sample, and the type of the training data
    noise                           one line per block of columns: law, two parameters, number of columns;
                                    "normal mean sd n" or "uniform from to n"
    n_noise                         columns in all

The sampler is traced once as a graph of tensor operations with a free batch size. A kinematic fit takes derivatives
inside the sampler; those are first written out as operations of their own, which costs minutes for two observables.
"""

import contextlib
import importlib.util
import json
import logging
import os
import secrets
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch
from sklearn.utils.validation import check_is_fitted

from reverie.core.checks import check_choice, check_positive
from reverie.core.errors import FolderError, MissingDependencyError
from reverie.data.schema import Schema
from reverie.data.transforms import ObservablesBeside
from reverie.models.gan.kinematic_fit import KinematicFit
from reverie.models.one_pass import PhysicalSampler, physical_sampler
from reverie.scale.lowering import ONNX_TABLE, SOLVE_TABLE
from reverie.scale.parity import TOLERANCE, Parity, ParityError, Run, compared

__all__ = ["FORMATS", "Exported", "export_model", "parity_path"]

FORMATS = {"onnx": ".onnx", "pt2": ".pt2"}
_LAYOUT = "reverie-sampler 1"
_EXTRA_FILE = "reverie.json"
OPSET = 20
_TRACED_ROWS = 3
_LOUD = ("torch.onnx", "torch.export", "torch._dynamo", "onnxscript", "onnx_ir")


@dataclass(frozen=True)
class Exported:
    """What was written.

    Parameters
    ----------
    path : File of the graph.
    parity_path : File of the comparison with the model.
    parity : The comparison.
    metadata : Metadata of the graph.
    """

    path: Path
    parity_path: Path
    parity: Parity
    metadata: dict[str, str]

    def __str__(self) -> str:
        return f"{self.path}: {self.parity}"


def export_model(
    model: Any, path: str | Path, *, to: str | None = None, tolerance: float = TOLERANCE, overwrite: bool = False
) -> Exported:
    """Write a fitted model as a graph from noise to values, and a comparison of the two beside it.

    Parameters
    ----------
    model : GAN, SemiSupervisedGAN, VAE, Autoencoder, Flow or FlowMatching, on the processor.
    path : File; its suffix, .onnx or .pt2, tells the format unless `to` does.
    to : "onnx" or "pt2".
    tolerance : Largest relative difference from the model, > 0; see `reverie.scale.parity`.
    overwrite : Whether files that are there are replaced.

    Raises
    ------
    InputError
        For a model that is no function of noise, such as an RBM, or an unknown format.
    ParityError
        When the graph does not give the samples of the model; no graph is left behind, the comparison is.
    FolderError
        If a file is there already.
    """
    check_is_fitted(model)
    check_positive("tolerance", tolerance)
    path = Path(path)
    form = check_choice("format", path.suffix.removeprefix(".") if to is None else to, {name: name for name in FORMATS})
    beside = parity_path(path)
    for file in (path, beside):
        if file.exists() and not overwrite:
            raise FolderError(f"Expected a new file, got {str(file)!r}, which exists. Overwrite it, or choose another.")
    if not path.parent.is_dir():
        raise FolderError(f"Expected a folder to write to, got {str(path.parent)!r}, which does not exist. Make it.")
    if form == "onnx":
        onnx_libraries()  # a missing library is better known before the work
    sampler, graph = physical_sampler(model), physical_sampler(model, is_graph=True)
    metadata = _metadata(model, sampler)
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp{FORMATS[form]}")
    try:
        run = (_write_onnx if form == "onnx" else _write_pt2)(graph, temporary, metadata)
        parity = compared(sampler, run, model.schema_, tolerance=tolerance)
        installed = [name for name in ("onnx", "onnxruntime") if importlib.util.find_spec(name) is not None]
        versions = {name: metadata[name] for name in ("reverie", "torch")} | {name: version(name) for name in installed}
        content = parity.to_json() | {"model": metadata["model"], "versions": versions}
        beside.write_text(json.dumps(content, indent=2), encoding="utf-8")
        if not parity.holds:
            raise ParityError(
                f"Expected a graph that gives the samples of the model, got {parity}. See {beside} for each column; "
                "a larger tolerance lets it pass."
            )
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
    return Exported(path, beside, parity, metadata)


def parity_path(path: str | Path) -> Path:
    """Return the file of the comparison that belongs to a graph: x.onnx -> x.onnx.parity.json."""
    return Path(f"{path}.parity.json")


def _write_onnx(sampler: PhysicalSampler, path: Path, metadata: dict[str, str]) -> Run:
    onnx, runtime = onnx_libraries()
    inputs = ("noise",) if sampler.conditions is None else ("noise", "condition")
    outputs = ("values", "acceptance") if sampler.has_acceptance else ("values",)
    model = to_onnx(traced(sampler), inputs=inputs, outputs=outputs, metadata=metadata)
    onnx.save(model, path)
    options = runtime.SessionOptions()
    options.log_severity_level = 3  # errors only
    session = runtime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    return lambda *arrays: session.run(None, dict(zip(inputs, arrays, strict=True)))


def _write_pt2(sampler: PhysicalSampler, path: Path, metadata: dict[str, str]) -> Run:
    with quiet():
        torch.export.save(traced(sampler), path, extra_files={_EXTRA_FILE: json.dumps(metadata)})
        program = torch.export.load(path).module()

    def run(*arrays: np.ndarray) -> Sequence[np.ndarray]:
        with torch.no_grad():
            return [x.numpy() for x in program(*map(torch.from_numpy, arrays))]

    return run


def _metadata(model: Any, sampler: PhysicalSampler) -> dict[str, str]:
    schema: Schema = model.schema_
    conditions: Schema | None = getattr(model, "conditions_", None)
    return {
        "format": _LAYOUT,
        "reverie": version("reverie"),
        "torch": str(torch.__version__),
        "model": type(model).__name__,
        "names": "\n".join(schema.names),
        "units": "\n".join(column.unit for column in schema.columns),
        "columns": _described(schema),
        "conditions": "[]" if conditions is None else _described(conditions),
        "event_shape": json.dumps(list(schema.event_shape)),
        "dtype": model.preprocessing_.dtype,
        "noise": "\n".join(map(str, sampler.noise)),
        "n_noise": str(sampler.n_noise),
    }


def _described(schema: Schema) -> str:
    plain = [{key: value for key, value in asdict(c).items() if value not in (None, "")} for c in schema.columns]
    return json.dumps(plain)


def traced(sampler: PhysicalSampler) -> torch.export.ExportedProgram:
    """Return the program of `sampler`, for any number of rows."""
    inputs, module = sampler.example(_TRACED_ROWS), sampler
    fits = (KinematicFit, ObservablesBeside)
    if any(isinstance(part, fits) or isinstance(getattr(part, "transform", None), fits) for part in sampler.modules()):
        # its derivatives become operations
        from torch.fx.experimental.proxy_tensor import make_fx

        table: dict[str, Any] = {
            "decomposition_table": SOLVE_TABLE,
            "tracing_mode": "symbolic",
            "_allow_non_fake_inputs": True,
        }
        with quiet(), torch.no_grad():
            module = make_fx(sampler, **table)(*inputs)
    batch = torch.export.Dim("batch")
    shapes = tuple({0: batch} for _ in inputs)
    with quiet(), torch.no_grad():
        return torch.export.export(module, inputs, dynamic_shapes=shapes, strict=False)


def to_onnx(
    program: torch.export.ExportedProgram,
    *,
    inputs: tuple[str, ...],
    outputs: tuple[str, ...],
    metadata: Mapping[str, str],
) -> Any:
    """Return the ONNX model of a traced sampler, with the names of its inputs and outputs and its metadata."""
    onnx = onnx_libraries()[0]
    with quiet(), torch.no_grad():
        if any(node.target in ONNX_TABLE for node in program.graph.nodes):
            program = program.run_decompositions(ONNX_TABLE)
        exported = torch.onnx.export(
            program, dynamo=True, opset_version=OPSET, verbose=False, input_names=inputs, output_names=outputs
        )
        if exported is None:
            raise RuntimeError("torch.onnx.export returned no program")
        model = exported.model_proto
    model.producer_name, model.graph.name, model.doc_string = "reverie", "sampler", ""
    for value in (*model.graph.input, *model.graph.output):
        value.type.tensor_type.shape.dim[0].dim_param = "batch"
    onnx.helper.set_model_props(model, dict(metadata))
    onnx.checker.check_model(model)
    return model


def onnx_libraries() -> tuple[Any, Any]:
    """Return the modules onnx and onnxruntime; a missing one is an error that names the extra to install."""
    try:
        import onnx
        import onnxruntime
        import onnxscript  # noqa: F401 - torch.onnx needs it
    except ImportError as error:
        raise MissingDependencyError(str(error.name), "export", "export a model to ONNX") from None
    return onnx, onnxruntime


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Silence what the libraries below say of their own affairs."""
    levels = {name: logging.getLogger(name).level for name in _LOUD}
    for name in _LOUD:
        logging.getLogger(name).setLevel(logging.CRITICAL)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for name, level in levels.items():
            logging.getLogger(name).setLevel(level)
