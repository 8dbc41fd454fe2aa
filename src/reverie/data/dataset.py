"""Values with names, units, kinds, weights and a record of where they came from.

A `Dataset` is frozen: every change returns a new one, and its arrays cannot be written to. Values
that rest on a memory map stay there until rows or columns are picked; those of a large table
(`reverie.core.lazy`) stay there even then, unless few rows are asked for by their numbers.
"""

import hashlib
import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Literal, Self

import numpy as np

from reverie.core.arguments import checked
from reverie.core.checks import check_finite, check_table
from reverie.core.errors import InputError, MissingDependencyError
from reverie.core.html import Fragment, bars, card, picture, table
from reverie.core.lazy import LazyTable, is_large, row_blocks, sample_rows
from reverie.core.sets import check_sets, multiplicities, real_entries
from reverie.core.statistics import effective_size
from reverie.core.tables import check_weights, column_order, to_raw
from reverie.core.words import recoded
from reverie.data.inference import infer_schema
from reverie.data.schema import Schema, in_columns

if TYPE_CHECKING:
    import torch

    from reverie.core.types import ArrayLike, RandomState

__all__ = ["Dataset", "check_trainable", "constant_columns", "describe"]


@dataclass(frozen=True, init=False, eq=False, repr=False)
class Dataset:
    """Events of one shape, with all that is known about them.

    Parameters
    ----------
    values : (n, d) table, (n, height, width) or (n, channel, height, width) images or lattices, or (n, P, F + 1)
        sets of particles with the mask last, which `reverie.data.particle_sets` makes of other forms: an array, tensor,
        data frame, Dataset or DataArray of xarray, mapping of columns, or another Dataset.
    names : one per column, with or without unit ("pt1 [GeV]"); default those of `values`, else x0, x1, ... Three axes
        with a name for each number on the last one, the last of them "mask", are sets of particles.
    units : one per column, or a mapping by name.
    kind : what the columns are, where it is known better than guessed: one word for all
        (``kind="spin"``), one per column, or a mapping by name. See `reverie.data.schema`.
    weights : (n,) finite event weights, or the name of the column that holds them.
    provenance : Where the values came from, as a report lists it.
    schema : a complete schema, instead of names, units and kind.

    Raises
    ------
    InputError
        If `values` is not made of numbers, if lengths do not agree, or if the mask of sets disagrees with their zeros.

    Examples
    --------
    >>> data = Dataset({"pt [GeV]": [20.1, 31.5, 44.0], "n": [1, 0, 2]})
    >>> data
    Dataset(3 events x 2 columns: pt [GeV], n)
    >>> data.select(["n"]).values.ravel()
    array([1., 0., 2.])
    """

    values: np.ndarray
    schema: Schema
    weights: np.ndarray | None
    provenance: Mapping[str, Any]

    def __init__(
        self,
        values: "ArrayLike",
        names: Sequence[str] | None = None,
        units: Sequence[str] | Mapping[str, str] | None = None,
        kind: str | Sequence[str] | Mapping[str, str] | None = None,
        weights: "ArrayLike | str | None" = None,
        provenance: Mapping[str, Any] | None = None,
        schema: Schema | None = None,
    ) -> None:
        if isinstance(values, Dataset):
            weights = values.weights if weights is None else weights
            provenance = values.provenance if provenance is None else provenance
            is_described = names is not None or units is not None or kind is not None
            schema = values.schema if schema is None and not is_described else schema
            names = values.schema.names if names is None else names
            values = values.values
        raw = to_raw(values)
        array: Any = raw.values
        if is_large(array) and not isinstance(array, LazyTable):
            array = LazyTable(_read_only(array))
        if schema is None:
            names = raw.names if names is None else names
            units = raw.units or None if units is None else units
            schema = infer_schema(array, names, units, kind, dtypes=raw.dtypes, labels=raw.labels)
        if tuple(array.shape[1:]) != schema.event_shape:
            raise InputError(
                f"Expected events of shape {schema.event_shape}, got {tuple(array.shape[1:])}. "
                "Give data of that shape, or another schema."
            )
        if isinstance(weights, str) and schema.is_set:
            raise InputError(f"Expected one weight per set, got the name {weights!r}. Give an array (n,).")
        if isinstance(weights, str):
            j, others = schema.index(weights), [other for other in schema.names if other != weights]
            if not others:
                raise InputError(f"Expected columns besides the weights {weights!r}, got none. Name another column.")
            if schema.columns[j].labels is not None and schema.columns[j].dtype != "bool":
                raise InputError(f"Expected numbers as event weights, got words in {weights!r}. Name another column.")
            weights, schema = np.asarray(array[:, j]), schema.select(others)
            rest = [k for k in range(array.shape[1]) if k != j]
            array = array.select(rest) if isinstance(array, LazyTable) else np.delete(array, j, axis=1)
        if schema.is_set:
            check_sets(array)
        object.__setattr__(self, "values", array if isinstance(array, LazyTable) else _read_only(array))
        object.__setattr__(self, "schema", schema)
        w = check_weights(weights, len(array), positive_sum=False)
        object.__setattr__(self, "weights", None if w is None else _read_only(w))
        object.__setattr__(self, "provenance", MappingProxyType(dict(provenance or {})))

    @property
    def names(self) -> list[str]:
        """Names of the columns, the mask of sets included; a single one for images and lattices."""
        return self.schema.names

    @property
    def labels(self) -> dict[str, tuple[str, ...]]:
        """The words behind the codes of columns of words, by name."""
        return self.schema.labels

    @property
    def event_shape(self) -> tuple[int, ...]:
        """Shape of one event."""
        return self.schema.event_shape

    def __len__(self) -> int:
        return len(self.values)

    def __repr__(self) -> str:
        shape = " x ".join(str(n) for n in self.event_shape)
        extra = "" if self.weights is None else ", weighted"
        titles = [column.title for column in self.schema.columns if column.kind != "mask"]
        shown = ", ".join(titles[:8]) + (", ..." if len(titles) > 8 else "")
        if self.schema.is_set:
            return f"Dataset({len(self)} sets of at most {self.event_shape[0]} particles: {shown}{extra})"
        if not self.schema.is_table:
            return f"Dataset({len(self)} events of {shape}, {self.schema.columns[0].kind}{extra})"
        return f"Dataset({len(self)} events x {shape} column{'s' * (len(titles) > 1)}: {shown}{extra})"

    def _repr_html_(self) -> str:
        """Return what a notebook shows: kind, range and histogram of each column, or some of the images.

        Of many events every k-th is looked at.
        """
        values: Any = self.values[:: max(1, -(-len(self) // _MOST_SHOWN))]
        about = "" if len(values) == len(self) else f"Ranges and pictures are those of {len(values):,} events."
        about = "Weights take no part in ranges and pictures. " * (self.weights is not None) + about
        if not self.schema.is_table and not self.schema.is_set:
            column, x = self.schema.columns[0], np.asarray(values[:12])
            images = "".join(picture(one.reshape(-1, *one.shape[-2:])[0]) for one in x if one.ndim > 1)
            kind = f"{column.title}: {column.kind}, {np.nanmin(values):.4g} to {np.nanmax(values):.4g}"
            return card("Dataset", repr(self)[8:-1], Fragment(f"<p>{images}</p>"), kind, about)
        rows = []
        for column, x in zip(self.schema.columns[:_MOST_ROWS], _column_values(self.schema, values), strict=False):
            good = x[np.isfinite(x)] if x.dtype.kind == "f" else x
            marks = [f"{mark(good):.4g}" for mark in (np.min, np.median, np.max)] if len(good) else [""] * 3
            words = ", ".join(column.labels[:6]) + ", ..." * (len(column.labels) > 6) if column.labels else ""
            marks, kind = ([""] * 3, f"{column.kind}: {words}") if words else (marks, column.kind)
            name = "particles in a set" if column.kind == "mask" else column.name
            rows.append([name, kind, column.unit, *marks, bars(x)])
        more = len(self.schema.columns) - len(rows)
        about = f"... and {more} columns more. " * bool(more) + about
        shape = table(("column", "kind", "unit", *_MARKS[:3], ""), rows, right=_MARKS)
        return card("Dataset", repr(self)[8:-1].partition(":")[0], shape, about)

    def __reduce__(self) -> tuple:
        parts = {"schema": self.schema, "weights": self.weights, "provenance": dict(self.provenance)}
        return partial(type(self), **parts), (np.asarray(self.values),)

    def select(self, names: Sequence[str] | str) -> Self:
        """Return the columns `names` (a list, or one string "a,b,c") of a table or of sets, in that order.

        Sets keep their mask, named or not.

        Raises
        ------
        UnknownNameError
            For a column that is not there; the nearest name is given.
        InputError
            For images, which have no columns to choose.
        """
        wanted = [name.strip() for name in names.split(",")] if isinstance(names, str) else [str(n) for n in names]
        wanted = [name for name in wanted if name]
        if not wanted or len(set(wanted)) < len(wanted):
            raise InputError(f"Expected different column names, got {wanted}. Name each column once, as in a,b,c.")
        if not self.schema.is_table and not self.schema.is_set:
            raise InputError(f"Expected a table to choose columns from, got {self!r}. Leave the columns out.")
        schema = self.schema.select(wanted)
        if schema.names == self.names:
            return self
        index = [self.schema.index(name) for name in schema.names]
        values: np.ndarray | LazyTable = self.values
        if isinstance(values, LazyTable) and self.schema.is_table:
            values = values.select(index)
        else:
            values = values[..., index]
        return type(self)(values, weights=self.weights, provenance=self.provenance, schema=schema)

    def in_order(self, schema: Schema, what: str) -> Self:
        """Return the events with their columns in the order of another schema, which has the same.

        Raises `InputError` for columns of other names; `what` is what messages call the events.
        """
        both_tables = schema.is_table and self.schema.is_table
        places = column_order(schema.names, self.names, what) if both_tables else None
        if places is None:
            return self
        values = self.values.select(places) if isinstance(self.values, LazyTable) else self.values[:, places]
        own = self.schema.select([self.names[j] for j in places])
        return type(self)(values, weights=self.weights, provenance=self.provenance, schema=own)

    def coded_as(self, schema: Schema) -> Self:
        """Return the events with the codes that another schema has for the words of the columns.

        Raises
        ------
        InputError
            For words that it does not have, or a table too large for a copy that would need other codes.
        """
        if self.labels == {name: schema.labels.get(name) for name in self.labels}:
            return self
        values = recoded(self.values, self.names, self.labels, schema.labels, "the data")
        known = {column.name: column for column in schema.columns}
        columns = tuple(known[c.name] if c.labels is not None else c for c in self.schema.columns)
        own = replace(self.schema, columns=columns)
        return type(self)(values, weights=self.weights, provenance=self.provenance, schema=own)

    def take(self, index: "ArrayLike") -> Self:
        """Return the events at `index`: integers, a boolean mask, or a slice."""
        rows = index if isinstance(index, slice) else np.asarray(index)
        weights = None if self.weights is None else self.weights[rows]
        return self._with(self.values[rows], weights)

    def without(self, rows: np.ndarray) -> Self:
        """Return all events but those of the given numbers, in their order."""
        if isinstance(self.values, LazyTable):
            weights = None if self.weights is None else np.delete(self.weights, rows)
            return self._with(self.values.without(rows), weights)
        kept = np.ones(len(self), dtype=bool)
        kept[rows] = False
        return self.take(kept)

    def missing_rows(self) -> np.ndarray:
        """Return the numbers of the events with NaN or infinite entries, and of sets that hold no particle."""
        values = self.values
        if self.schema.is_set:
            bad = [~np.isfinite(b).all(axis=(1, 2)) | (b[..., -1] == 0).all(axis=1) for b in row_blocks(values)]
            return np.flatnonzero(np.concatenate(bad)) if bad else np.empty(0, np.int64)
        if values.dtype.kind != "f" or (isinstance(values, LazyTable) and not values.summary.has_missing):
            return np.empty(0, np.int64)
        start, missing = 0, [np.empty(0, np.int64)]
        for block in row_blocks(values):
            missing.append(start + np.flatnonzero(~np.isfinite(block).reshape(len(block), -1).all(axis=1)))
            start += len(block)
        return np.concatenate(missing)

    def drop_missing(self) -> Self:
        """Return the events but those of `missing_rows`; the number dropped goes to provenance."""
        bad = self.missing_rows()
        if len(bad) == 0:
            return self
        return self.without(bad)._noted(dropped_rows=len(bad) + int(self.provenance.get("dropped_rows", 0)))

    def split(self, fraction: float, *more: float, random_state: "RandomState" = None) -> tuple[Self, ...]:
        """Return disjoint random parts of the given sizes, and what remains as the last one.

        Parameters
        ----------
        fraction, more : sizes as fractions of all events, each in (0, 1), together at most 1. A
            remainder (sum below 1) becomes one more part: ``split(0.8)`` gives 80 % and 20 %.
        random_state : the same seed gives the same parts.

        Examples
        --------
        >>> data = Dataset([[float(i)] for i in range(10)])
        >>> [len(part) for part in data.split(0.6, 0.2, random_state=0)]
        [6, 2, 2]
        """
        from reverie.core.random import as_seed, child_seed

        fractions, n = (fraction, *more), len(self)
        if any(not 0 < f < 1 for f in fractions) or sum(fractions) > 1 + 1e-9:
            raise InputError(f"Expected fractions in (0, 1) that sum to at most 1, got {fractions}. Correct them.")
        edges = [0, *(round(float(f) * n) for f in np.cumsum(fractions))]
        edges += [n] if sum(fractions) < 1 - 1e-9 else []
        if any(stop <= start for start, stop in itertools.pairwise(edges)):
            raise InputError(
                f"Expected parts with at least one event, got {n} events for {fractions}. Give more events."
            )
        seed = as_seed(random_state)
        order = np.random.default_rng(child_seed(seed, "split")).permutation(n)
        parts = []
        for k, (start, stop) in enumerate(itertools.pairwise(edges), start=1):
            note = f"part {k} of {len(edges) - 1}, rows {start} to {stop} of a permutation, seed {seed}"
            parts.append(self.take(order[start:stop])._noted(split=note))
        return tuple(parts)

    def hold_out(self, n: int, random_state: "RandomState" = None) -> tuple[Self, Self]:
        """Return all events but `n`, in their order, and these `n`, drawn at random, in random order.

        It is `split` for large tables: nothing but the `n` events is copied.

        Parameters
        ----------
        n : at least one, and fewer than there are.
        random_state : the same seed gives the same events.
        """
        from reverie.core.random import as_seed, child_seed

        if not 0 < n < len(self):
            raise InputError(f"Expected 1 to {len(self) - 1} events to hold out, got {n}. Give another number.")
        seed = as_seed(random_state)
        out = sample_rows(len(self), n, child_seed(seed, "hold out"))
        order = np.random.default_rng(child_seed(seed, "order of held out")).permutation(n)
        rest, held_out = self.without(out), self.take(out[order])
        return rest._noted(split=f"all but {n}, seed {seed}"), held_out._noted(split=f"{n} at random, seed {seed}")

    def fingerprint(self) -> str:
        """Return the sha256 of shape, type and values, as 64 hexadecimal digits."""
        digest = hashlib.sha256(f"{self.values.shape} {self.values.dtype.str}".encode())
        for block in row_blocks(self.values):
            digest.update(np.ascontiguousarray(block).data)
        return digest.hexdigest()

    def to_frame(self, library: Literal["pandas", "polars", "pyarrow"] = "pandas") -> Any:
        """Return the table as a data frame of `library`.

        Each column has its own type, and codes are words again; a pandas frame has them as a categorical column.

        Raises
        ------
        MissingDependencyError
            Where the library is not installed.
        InputError
            For a stack of images, or sets, which are no table.
        """
        if self.schema.is_set:
            raise InputError(f"Expected a table for a data frame, got {self!r}. Use to_awkward().")
        if not self.schema.is_table:
            raise InputError(f"Expected a table for a data frame, got {self!r}. Use values.reshape(len(data), -1).")
        columns: dict[str, Any] = {}
        from_codes = None
        try:
            if library == "polars":
                import polars

                make = polars.DataFrame
            elif library == "pyarrow":
                import pyarrow

                make = pyarrow.table
            else:
                import pandas

                make, from_codes = pandas.DataFrame, pandas.Categorical.from_codes
            for column, x in zip(self.schema.columns, self.values.T, strict=True):
                if column.labels is not None and column.dtype == "str":
                    codes, words = np.where(np.isfinite(x), x, -1).astype(np.int64), list(column.labels)
                    if from_codes is not None:
                        columns[column.name] = from_codes(codes, words)
                    else:
                        columns[column.name] = [None if k < 0 else words[k] for k in codes]
                else:
                    exact = column.dtype != "str" and (np.dtype(column.dtype).kind == "f" or np.isfinite(x).all())
                    columns[column.name] = x.astype(column.dtype) if exact else x
        except ModuleNotFoundError:
            extra = "frames" if library == "polars" else "io"
            raise MissingDependencyError(library, extra, "make a data frame") from None
        return make(columns)

    def to_awkward(self) -> Any:
        """Return sets of particles as an awkward array of records, a list of them for each set, without the padding.

        Raises
        ------
        InputError
            For what are no sets.
        MissingDependencyError
            Where awkward is not installed.
        """
        if not self.schema.is_set:
            raise InputError(f"Expected sets of particles for an awkward array, got {self!r}. Use values.")
        try:
            import awkward
        except ModuleNotFoundError:
            raise MissingDependencyError("awkward", "root", "make awkward arrays") from None
        columns = zip(self.schema.columns[:-1], real_entries(self.values).T, strict=True)
        particles = {c.name: np.ascontiguousarray(x, None if c.dtype == "str" else c.dtype) for c, x in columns}
        return awkward.unflatten(awkward.zip(particles), multiplicities(self.values))

    def to_xarray(self, axes: Sequence[tuple[str, Sequence | None]] = (), *, as_array: bool = False) -> Any:
        """Return a table as a Dataset of xarray, one variable for each column, and images or sets as a DataArray.

        Units stand in the attribute "units".

        Parameters
        ----------
        axes : Name and coordinates, or None, of each axis, the one of the events first; by default "event",
            "column" of a table, "particle" and "column" of sets, and "channel", "y" and "x" of images.
        as_array : Whether a table becomes a DataArray too, with the names of the columns as coordinates.

        Raises
        ------
        MissingDependencyError
            Where xarray is not installed.
        """
        try:
            import xarray
        except ModuleNotFoundError:
            raise MissingDependencyError("xarray", "frames", "make what xarray holds") from None
        is_table, values = self.schema.is_table, np.asarray(self.values)
        default = ("column",) if is_table else ("channel", "y", "x")[3 - len(self.event_shape) :]
        default = ("particle", "column") if self.schema.is_set else default
        dims = [name for name, _ in axes] or ["event", *default]
        notes = [{"units": column.unit} if column.unit else {} for column in self.schema.columns]
        if is_table and not as_array:
            parts = zip(self.names, values.T, notes, strict=True)
            return xarray.Dataset({name: (dims[0], x, note) for name, x, note in parts})
        coordinates = {name: list(x) for name, x in axes if x is not None}
        coordinates |= {dims[-1]: self.names} if is_table or self.schema.is_set else {}
        if is_table or self.schema.is_set:
            return xarray.DataArray(values, coordinates, dims)
        return xarray.DataArray(values, coordinates, dims, self.names[0], notes[0])

    def to_hist(self, columns: Sequence[str] | str, bins: int | Sequence[float] = 50, *, like: object = None) -> Any:
        """Return the histogram of one or several columns as a `hist.Hist`, weighted if the events are.

        Of sets, each particle is an entry, with the weight of its set.

        Parameters
        ----------
        columns : Names, a list or one string "pt,eta"; each becomes an axis with its name and unit.
        bins : Number of bins between the least and the greatest value, or edges, of each column that has no levels.
        like : A histogram of any library that follows the protocol UHI (hist, boost-histogram, uproot), whose axes are
            taken: one for each column, in this order.

        Raises
        ------
        InputError
            For other columns, or another number of axes.
        MissingDependencyError
            Without the package hist.
        """
        try:
            import hist
        except ModuleNotFoundError:
            raise MissingDependencyError("hist", "hist", "make histograms") from None
        chosen = self.select(columns)
        wanted = [column for column in chosen.schema.columns if column.kind != "mask"]
        given: list[Any] = [None] * len(wanted) if like is None else list(getattr(like, "axes", ()))
        if len(given) != len(wanted):
            raise InputError(f"Expected a histogram of {len(wanted)} axes to be like, got {len(given)}. Give one.")
        axes, parts = [], []
        for column, x, axis in zip(wanted, _column_values(chosen.schema, chosen.values), given, strict=False):
            called = {"name": column.name, "label": column.title}
            x = np.asarray(x)
            if axis is not None and not axis.traits.discrete:
                axes.append(hist.axis.Variable([axis[0][0], *(end for _, end in axis)], **called))
            elif column.labels is not None:
                axes.append(hist.axis.StrCategory(column.labels, **called))
                x = np.array(column.labels)[x.astype(int)]
            elif column.levels is not None and column.integral:
                axes.append(hist.axis.IntCategory([int(level) for level in column.levels], **called))
                x = x.astype(int)
            else:
                good = x[np.isfinite(x)]
                ends = (good.min(), good.max()) if len(good) else (0.0, 1.0)
                # pyrefly: ignore[bad-argument-type] - a number where it has no dimension
                edges = np.array(bins, float) if np.ndim(bins) else np.linspace(*ends, int(bins) + 1)
                edges[-1] = np.nextafter(edges[-1], np.inf) if not np.ndim(bins) else edges[-1]  # it belongs to its bin
                axes.append(hist.axis.Variable(edges, **called))
            parts.append(x)
        made = hist.Hist(*axes, storage=hist.storage.Double() if self.weights is None else hist.storage.Weight())
        weight = None if self.weights is None else np.asarray(self.weights)
        if weight is not None and self.schema.is_set:
            weight = np.repeat(weight, multiplicities(self.values))
        return made.fill(*parts, weight=weight)

    def to_tensor(self, dtype: "torch.dtype | None" = None) -> "torch.Tensor":
        """Return a copy of the values as a torch tensor on the CPU; `dtype` defaults to their own."""
        import torch

        return torch.as_tensor(np.array(self.values)).to(dtype)

    def _with(self, values: "np.ndarray | LazyTable", weights: np.ndarray | None) -> Self:
        return type(self)(values, weights=weights, provenance=self.provenance, schema=self.schema)

    def _noted(self, **notes: object) -> Self:
        provenance = {**self.provenance, **notes}
        return type(self)(self.values, weights=self.weights, provenance=provenance, schema=self.schema)


@checked
def check_trainable(dataset: Dataset) -> None:
    """Raise `InputError` unless a model can learn from `dataset`.

    Asked for: at least two events, no NaN or infinite entry, and no constant column. Single cells
    of an image may be constant, a whole stack of images may not. Of sets, the particles that are there
    are looked at, and each set has to hold one.
    """
    check_table(dataset.values, "the data")
    if dataset.schema.is_set:
        check_finite(real_entries(dataset.values), dataset.names[:-1], name="the particles")
        empty = int((multiplicities(dataset.values) == 0).sum())
        if empty:
            raise InputError(
                f"Expected a particle in every set, got none in {empty} of {len(dataset)}. Leave those out "
                "(--drop-missing, or Dataset.drop_missing()), and keep their share beside what is learnt of the others."
            )
    else:
        check_finite(dataset.values, dataset.names, name="the data")
    constant = [f"{name} = {value}" for name, value in constant_columns(dataset).items()]
    if constant:
        shown = ", ".join(constant[:8]) + (", ..." if len(constant) > 8 else "")
        raise InputError(
            f"Expected columns that vary, got {len(constant)} constant: {shown}. "
            "Leave constant columns out (--columns with the others)."
        )


def constant_columns(dataset: Dataset) -> dict[str, str]:
    """Return the columns of one value only, and that value in print; of sets, those of the particles that are there."""
    columns, values = dataset.schema.columns, dataset.values
    if dataset.schema.is_set:
        parts = zip(columns[:-1], real_entries(values).T, strict=True)
        constant = [(column, x[0]) for column, x in parts if len(x) and bool((x == x[0]).all())]
    elif isinstance(values, LazyTable):
        low, high = values.summary.low, values.summary.high
        constant = [(c, a) for c, a, b in zip(columns, low, high, strict=True) if a == b]
    else:
        parts = zip(columns, values.T if dataset.schema.is_table else [values], strict=True)
        constant = [(column, x.flat[0]) for column, x in parts if bool((x == x.flat[0]).all())]
    return {c.name: c.labels[int(value)] if c.labels else f"{value:g}" for c, value in constant}


@checked
def describe(dataset: Dataset) -> str:
    """Return a summary: a sentence, then a line per column with kind, unit, range, missing entries and notes.

    Columns of sets are those of the particles that are there; the line of the mask tells of the number of particles
    in a set. Weights take no part in the median. The fingerprint and the source close the text.
    """
    schema, w = dataset.schema, dataset.weights
    shape = " x ".join(str(n) for n in schema.event_shape) + (" columns" if schema.is_table else " each")
    rows: list[tuple[str, ...]] = [("column", "kind", "unit", *_MARKS, "notes")]
    for column, x in zip(schema.columns, _column_values(schema, dataset.values), strict=True):
        good = np.asarray(x[np.isfinite(x)]) if x.dtype.kind == "f" else np.asarray(x)
        is_constant = good.size and bool((good == good.flat[0]).all()) and column.kind != "mask"
        marks = [""] * 3
        if good.size and column.labels is None:
            marks = [f"{value:.6g}" for value in (good.min(), 2 * np.median(good / 2), good.max())]
        notes = "; ".join(filter(None, (column.notes, "constant: leave it out" if is_constant else "")))
        missing = str(x.size - good.size) if x.size > good.size else ""
        if column.kind == "mask" and x.size:
            notes = f"particles in a set: mean {x.mean():.3f}, standard deviation {x.std():.3f}"
            empty, full = int((x == 0).sum()), int((x == schema.event_shape[0]).sum())
            notes += f"; of the largest size: {full}" + f"; empty, leave them out: {empty}" * bool(empty)
        rows.append((column.name, column.kind, column.unit, *marks, missing, notes))
    what = f"{len(dataset)} sets of at most {schema.event_shape[0]} particles" if schema.is_set else ""
    what = what or f"{len(dataset)} events, {shape}"
    lines = [f"{what}, type {dataset.values.dtype}.", "", *in_columns(rows, right=_MARKS), ""]
    if w is not None:
        effective = effective_size(w) if w.any() else 0.0
        lines.append(f"weights: sum {w.sum():.6g}, effective number of events {effective:.6g}")
    lines += [f"{name}: {value}" for name, value in dataset.provenance.items() if not isinstance(value, (dict, list))]
    return "\n".join([*lines, f"sha256 of the values: {dataset.fingerprint()}"])


def _column_values(schema: Schema, values: "np.ndarray | LazyTable") -> Sequence[np.ndarray]:
    """Return what a summary shows of each column.

    Of a table the columns (n,), of images all cells, of sets each feature of the particles that are there, and for the
    mask the number of particles in a set.
    """
    if schema.is_set:
        return [*real_entries(values).T, multiplicities(values)]
    # pyrefly: ignore[bad-return] - an array (column, n) is a sequence of them, and only tables are lazy
    return values.T if schema.is_table else [values]


_MOST_SHOWN, _MOST_ROWS = 20_000, 40  # events and columns of a card
_MARKS = ("min", "median", "max", "missing")


def _read_only(array: np.ndarray) -> np.ndarray:
    view = array.view()
    view.flags.writeable = False
    return view
