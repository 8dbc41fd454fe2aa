"""ROOT files: a TTree or RNTuple of flat branches, by uproot (extra ``root``)."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import uproot

from reverie.core.errors import InputError
from reverie.core.lazy import exceeds_memory
from reverie.core.tables import Raw, check_width, join_columns
from reverie.data.formats import Layout
from reverie.data.formats.arrays import known_column, pick
from reverie.data.formats.unpacked import ROWS_AT_ONCE, mapped_columns

__all__ = ["RootWriter", "read"]


def read(path: Path, key: str | None, names: Sequence[str] | None) -> Raw:
    """Return the branches `names` of the tree `key` of a ROOT file, or all of the only tree."""
    opened: Any = uproot.open(path)
    with opened as file:
        classes = file.classnames(cycle=False)
        trees = [name for name, kind in classes.items() if kind in ("TTree", "TNtuple", "TNtupleD", "ROOT::RNTuple")]
        tree = file[pick(trees, path, key, "tree")]
        branches: list[str] = list(tree.keys())
        wanted = branches if names is None else [known_column(name, branches) for name in names]
        check_width(len(wanted), path.name)
        first = {name: x.dtype for name, x in _flat(tree.arrays(wanted, library="np", entry_stop=2), wanted).items()}
        if exceeds_memory((tree.num_entries, len(wanted))) and all(dtype.kind in "biuf" for dtype in first.values()):
            parts = tree.iterate(wanted, library="np", step_size=ROWS_AT_ONCE)
            blocks = (list(_flat(columns, wanted).values()) for columns in parts)
            return mapped_columns(path, first, tree.num_entries, blocks, [tree.name])
        columns = tree.arrays(wanted, library="np")
    return join_columns(_flat(columns, wanted))


class RootWriter:
    """Writer of the TTree "samples", a branch per feature."""

    def __init__(self, path: Path, layout: Layout) -> None:
        self._layout = layout
        self._types = {n: np.dtype("float32") if t == np.float16 else t for n, t in layout.types_by_name.items()}
        self._file = uproot.recreate(path)
        self._tree = self._file.mktree("samples", self._types)

    def write(self, block: np.ndarray) -> None:
        """Append a block (n, *event)."""
        columns = self._layout.columns(block)
        self._tree.extend({name: x.astype(self._types[name], copy=False) for name, x in columns.items()})

    def close(self) -> None:
        """Write what is held back, and close the file."""
        self._file.close()


def _flat(columns: Mapping[str, np.ndarray], wanted: Sequence[str]) -> dict[str, np.ndarray]:
    """Return the branches, those of k numbers an event as k columns; of a varying number they are refused."""
    objects = [name for name in wanted if columns[name].dtype == object]
    jagged = [name for name in objects if not (len(columns[name]) and isinstance(columns[name][0], str))]
    if jagged:
        rest = ",".join(name for name in wanted if name not in jagged)[:120]
        raise InputError(
            f"Expected one number per event in every branch, got a varying number in {', '.join(jagged[:6])}. "
            f"Choose flat branches, as in --columns {rest or 'a,b'}."
        )
    flat: dict[str, np.ndarray] = {}
    for name in wanted:
        x = columns[name]
        flat |= {f"{name}_{k}": x[:, k] for k in range(x.shape[1])} if x.ndim == 2 else {name: x}
    return flat
