"""Transforms made of transforms: one after another, and one per column of a table.

Chain     y = T_k(... T_2(T_1(x)))
Columns   the outputs of the columns' transforms, side by side
"""

import copy
from collections.abc import Sequence
from dataclasses import KW_ONLY, dataclass, replace

import torch
from torch import Tensor

from reverie.core.errors import InputError, UnknownNameError
from reverie.data.transforms.base import InvertibleTransform, Output

__all__ = ["Chain", "Columns"]


@dataclass(eq=False, repr=False)
class Chain(InvertibleTransform):
    """Apply the steps in order; the inverse undoes them in reverse; log-determinants add up.

    Parameters
    ----------
    steps : transforms, first applied first. `fit` works on copies, ``steps_``.

    Examples
    --------
    >>> from reverie.data.transforms import Dequantise, Standardise
    >>> Chain([Dequantise(), Standardise()])
    Chain([Dequantise(), Standardise()])
    """

    steps: Sequence[InvertibleTransform]

    @property
    def output_shape(self) -> tuple[int, ...]:
        """That of the last step."""
        return self.steps_[-1].output_shape

    @property
    def outputs(self) -> tuple[Output, ...]:
        """Those of the last step."""
        return self.steps_[-1].outputs

    @property
    def n_noise(self) -> int:
        """Sum over the steps."""
        return sum(step.n_noise for step in self.steps_)

    def __repr__(self) -> str:
        return f"Chain({list(self.steps)!r})"

    def _fit(self, x: Tensor) -> None:
        if not len(self.steps):
            raise InputError("Expected at least one step in Chain, got none. Use Identity() to change nothing.")
        self.steps_ = [copy.deepcopy(step) for step in self.steps]
        for i, step in enumerate(self.steps_):
            step.fit(x)
            if i + 1 < len(self.steps_):
                x = step.forward(x)

    def _forward(self, x: Tensor, u: Tensor) -> Tensor:
        for step, part in zip(self.steps_, self._parts(u), strict=True):
            x = step.forward(x, noise=part)
        return x

    def _inverse(self, y: Tensor) -> Tensor:
        for step in reversed(self.steps_):
            y = step.inverse(y)
        return y

    def _log_det(self, x: Tensor, u: Tensor) -> Tensor:
        total = x.new_zeros(len(x))
        for step, part in zip(self.steps_, self._parts(u), strict=True):
            total = total + step.log_det(x, noise=part)
            x = step.forward(x, noise=part)
        return total

    def _parts(self, u: Tensor) -> tuple[Tensor, ...]:
        return torch.split(u, [step.n_noise for step in self.steps_], dim=1)


@dataclass(eq=False, repr=False)
class Columns(InvertibleTransform):
    """Apply a transform to each column, or group of columns, of a table (batch, features).

    The outputs are concatenated in the order of the parts; the inverse puts every column back in
    its place. Each column must stand in exactly one part.

    Parameters
    ----------
    parts : pairs (columns, transform); columns is an index, a name, or a list of them. `fit` works
        on copies, ``transforms_``.
    names : the names of all columns, needed where parts speak of names.

    Examples
    --------
    >>> from reverie.data.transforms import Periodic, Quantile
    >>> Columns([("pt", Quantile()), ("phi", Periodic())], names=["pt", "phi"])
    Columns(pt: Quantile(), phi: Periodic())
    """

    parts: Sequence[tuple[int | str | Sequence[int | str], InvertibleTransform]]
    _: KW_ONLY
    names: Sequence[str] | None = None
    takes_tables_only = True

    @property
    def output_shape(self) -> tuple[int, ...]:
        """(sum of the output features of all parts,)."""
        return (sum(part.output_shape[0] for part in self.transforms_),)

    @property
    def n_noise(self) -> int:
        """Sum over the parts."""
        return sum(part.n_noise for part in self.transforms_)

    @property
    def outputs(self) -> tuple[Output, ...]:
        """The tags of all parts, with groups numbered through."""
        tags: list[Output] = []
        first = 0
        for part in self.transforms_:
            new = [tag if tag.group is None else replace(tag, group=tag.group + first) for tag in part.outputs]
            first = max([first, *(tag.group + 1 for tag in new if tag.group is not None)])
            tags += new
        return tuple(tags)

    @property
    def output_names(self) -> list[str]:
        """A name per output feature: the column's, with a number where a part has more outputs than columns."""
        labels = []
        for columns, part in zip(self.indices_, self.transforms_, strict=True):
            own = [str(self.names[j]) if self.names is not None else f"x{j}" for j in columns]
            each = part.output_shape[0] // len(own)
            labels += own if each == 1 else [f"{name}:{k}" for name in own for k in range(each)]
        return labels

    def __repr__(self) -> str:
        shown = []
        for columns, part in self.parts:
            words = [str(columns)] if isinstance(columns, (int, str)) else [str(entry) for entry in columns]
            shown.append(f"{'+'.join(words) if len(words) <= 4 else f'{words[0]}..{words[-1]}'}: {part!r}")
        return f"Columns({', '.join(shown)})"

    def _fit(self, x: Tensor) -> None:
        n, names = x.shape[1], list(self.names or [])
        self.indices_: list[list[int]] = []
        for columns, _ in self.parts:
            self.indices_.append([])
            for entry in [columns] if isinstance(columns, (int, str)) else columns:
                if isinstance(entry, str) and entry not in names:
                    raise UnknownNameError("column", entry, names)
                j = names.index(entry) if isinstance(entry, str) else entry
                if not 0 <= j < n:
                    raise InputError(f"Expected column indices from 0 to {n - 1}, got {j}. Correct the part.")
                self.indices_[-1].append(j)
        used = sorted(j for columns in self.indices_ for j in columns)
        if used != list(range(n)):
            raise InputError(
                f"Expected each of the {n} columns in exactly one part, got {used}. "
                "Add the missing ones with Identity()."
            )
        self.transforms_ = [copy.deepcopy(part) for _, part in self.parts]
        for columns, part in zip(self.indices_, self.transforms_, strict=True):
            try:
                part.fit(x[:, columns])
            except InputError as error:
                shown = ", ".join(repr(self.names[j]) if self.names is not None else str(j) for j in columns[:3])
                raise InputError(f"Column {shown}: {error}") from error

    def _forward(self, x: Tensor, u: Tensor) -> Tensor:
        return torch.cat([part.forward(x[:, c], noise=n) for c, part, n in self._pieces(u)], dim=1)

    def _inverse(self, y: Tensor) -> Tensor:
        sizes = [part.output_shape[0] for part in self.transforms_]
        pieces = torch.split(y.t().contiguous(), sizes)  # the parts work on columns, which now lie side by side
        x = torch.cat([part._inverse(rows.t()).t() for part, rows in zip(self.transforms_, pieces, strict=True)])
        found = [j for columns in self.indices_ for j in columns]
        order = sorted(range(len(found)), key=found.__getitem__)
        return (x if order == list(range(len(order))) else x[order]).t().contiguous()

    def _log_det(self, x: Tensor, u: Tensor) -> Tensor:
        return torch.stack([part.log_det(x[:, c], noise=n) for c, part, n in self._pieces(u)]).sum(0)

    def _pieces(self, u: Tensor) -> list[tuple[list[int], InvertibleTransform, Tensor]]:
        noise = torch.split(u, [part.n_noise for part in self.transforms_], dim=1)
        return list(zip(self.indices_, self.transforms_, noise, strict=True))
