"""The model of a run folder as a graph, for programs that know nothing of reverie."""

from pathlib import Path

from reverie.models.files import load_model
from reverie.scale.export import Exported, export_model

__all__ = ["export_run"]


def export_run(
    folder: str | Path, out: str | Path, *, to: str, tolerance: float | None = None, overwrite: bool = False
) -> Exported:
    """Write the model in a run folder, or in its own folder, as a graph; arguments as in `export_model`."""
    given = {} if tolerance is None else {"tolerance": tolerance}
    return export_model(load_model(folder), out, to=to, overwrite=overwrite, **given)
