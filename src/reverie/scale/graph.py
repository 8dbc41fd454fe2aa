"""A model's sampler as a graph of tensor operations with a free batch size, and as ONNX.

A kinematic fit takes derivatives inside the sampler. Those are first written out as operations of their own, which
costs minutes for two observables; everything else is traced once.
"""

import contextlib
import logging
import warnings
from collections.abc import Iterator, Mapping
from typing import Any

import torch

from reverie.core.errors import MissingDependencyError
from reverie.models.gan.kinematic_fit import KinematicFit
from reverie.models.one_pass import PhysicalSampler
from reverie.scale.lowering import ONNX_TABLE, SOLVE_TABLE

__all__ = ["OPSET", "onnx_libraries", "quiet", "to_onnx", "traced"]

OPSET = 20
_TRACED_ROWS = 3
_LOUD = ("torch.onnx", "torch.export", "torch._dynamo", "onnxscript", "onnx_ir")


def traced(sampler: PhysicalSampler) -> torch.export.ExportedProgram:
    """Return the program of `sampler`, for any number of rows."""
    inputs = sampler.example(_TRACED_ROWS)
    batch = torch.export.Dim("batch")
    shapes = tuple({0: batch} for _ in inputs)
    with quiet(), torch.no_grad():
        return torch.export.export(_without_derivatives(sampler, inputs), inputs, dynamic_shapes=shapes, strict=False)


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
        made = torch.onnx.export(
            program, dynamo=True, opset_version=OPSET, verbose=False, input_names=inputs, output_names=outputs
        )
        if made is None:
            raise RuntimeError("torch.onnx.export returned no program")
        model = made.model_proto
    model.producer_name, model.graph.name, model.doc_string = "reverie", "sampler", ""
    _name_the_batch(model)
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


def _without_derivatives(sampler: PhysicalSampler, inputs: tuple[torch.Tensor, ...]) -> torch.nn.Module:
    """Return a module that does the same without automatic differentiation."""
    if not any(isinstance(module, KinematicFit) for module in sampler.modules()):
        return sampler
    from torch.fx.experimental.proxy_tensor import make_fx

    trace = make_fx(sampler, decomposition_table=SOLVE_TABLE, tracing_mode="symbolic", _allow_non_fake_inputs=True)
    return trace(*inputs)


def _name_the_batch(model: Any) -> None:
    """Call the first axis of every input and output "batch"."""
    for value in (*model.graph.input, *model.graph.output):
        value.type.tensor_type.shape.dim[0].dim_param = "batch"
