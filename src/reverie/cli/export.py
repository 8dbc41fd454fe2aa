"""`reverie export RUN --to onnx|pt2 -o FILE`: a trained model as a graph for C++ and other programs."""

from collections.abc import Sequence
from pathlib import Path

from reverie.cli.options import Options
from reverie.core.errors import InputError, UnknownNameError

__all__ = ["main", "options"]

_FORMATS = ("onnx", "pt2")


def options() -> Options:
    parser = Options(
        "export",
        "Write a trained model as a graph: noise (and conditions) in, values in original units out. Names, units and "
        "the laws of the noise are in its metadata; how far it is from the model on the same noise is written beside.",
        words=("run",),
        usage="RUN",
        examples=(
            "reverie export runs/z",
            "reverie export runs/z --to onnx -o muons.onnx",
            "reverie export runs/z --to pt2 -o muons.pt2",
        ),
        needs="Expected a run folder, got nothing. Write: reverie export runs/x --to onnx",
    )
    text = "Format: onnx (for ONNX Runtime) or pt2 (for torch.export.load); by default that of the file, else onnx."
    parser.option("--to", text)
    parser.option("-o --out", "File, .onnx or .pt2; by default RUN/model.onnx.")
    text = "Largest difference from the model, relative to a value or the spread of its column; 1e-5."
    parser.option("--tolerance", text, float)
    parser.flag("overwrite", "Replace the files if they are there.")
    return parser


def main(argv: Sequence[str]) -> int:
    values = options().parse(argv)
    if not Path(values.run).is_dir():
        raise InputError(f"Expected a run folder or a saved model, got {values.run!r}, which does not exist.")
    if values.tolerance is not None and not values.tolerance > 0:
        raise InputError(f"Expected --tolerance to be a number > 0, got {values.tolerance:g}. Try --tolerance 1e-5.")
    to = values.to or Path(values.out or "").suffix.removeprefix(".") or _FORMATS[0]
    if to not in _FORMATS:
        raise UnknownNameError("format", to, _FORMATS)
    if values.out is not None and Path(values.out).suffix != f".{to}":
        raise InputError(
            f"Expected a file name that ends in .{to} for --to {to}, got {values.out!r}. Change one of the two."
        )
    out = Path(values.out or Path(values.run) / f"model.{to}")
    from reverie.data.sinks import check_new_file

    for file in (out, Path(f"{out}.parity.json")):
        check_new_file(file, overwrite=values.overwrite)
    from reverie.models.files import load_model
    from reverie.scale.export import export_model

    given = {} if values.tolerance is None else {"tolerance": values.tolerance}
    exported = export_model(load_model(values.run), out, to=to, overwrite=values.overwrite, **given)
    print(f"graph: {exported.path}")
    print(f"parity: {exported.parity_path}: {exported.parity}")
    return 0
