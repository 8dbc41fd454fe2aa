"""ROOT files: a TTree or RNTuple of flat branches, by uproot (extra ``root``)."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import uproot

from reverie.core.errors import InputError
from reverie.core.lazy import exceeds_memory
from reverie.core.tables import Raw, check_width, join_columns
from reverie.data.formats import Layout
from reverie.data.formats.arrays import known_column, pick
from reverie.data.formats.unpacked import ROWS_AT_ONCE, mapped

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
        if exceeds_memory((tree.num_entries, len(wanted))):
            return _unpacked(path, tree, wanted)
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


def _unpacked(path: Path, tree: Any, wanted: Sequence[str]) -> Raw:
    """Return the branches of a large tree from a memory map."""
    first = join_columns(_flat(tree.arrays(wanted, library="np", entry_stop=2), wanted))
    if first.labels:
        return join_columns(_flat(tree.arrays(wanted, library="np"), wanted))

    def blocks() -> Iterator[np.ndarray]:
        for columns in tree.iterate(wanted, library="np", step_size=ROWS_AT_ONCE):
            yield join_columns(_flat(columns, wanted)).values

    shape, dtype, n_rows = first.values.shape[1:], first.values.dtype, tree.num_entries
    values = mapped(path, [tree.name, *wanted], event_shape=shape, dtype=dtype, n_rows=n_rows, blocks=blocks)
    return Raw(values, first.names, first.dtypes)


def _flat(columns: Mapping[str, np.ndarray], wanted: Sequence[str]) -> dict[str, np.ndarray]:
    objects = [name for name in wanted if columns[name].dtype == object]
    jagged = [name for name in objects if not (len(columns[name]) and isinstance(columns[name][0], str))]
    flat: dict[str, np.ndarray] = {}
    for name in wanted:
        x = columns[name]
        if x.ndim == 2:
            flat.update({f"{name}_{k}": x[:, k] for k in range(x.shape[1])})
        else:
            flat[name] = x
    if jagged:
        rest = ",".join(name for name in wanted if name not in jagged)[:120]
        raise InputError(
            f"Expected one number per event in every branch, got a varying number in {', '.join(jagged[:6])}. "
            f"Choose flat branches, as in --columns {rest or 'a,b'}."
        )
    return flat
