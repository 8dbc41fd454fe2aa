"""Sets of particles from the forms in which they are kept: awkward arrays, lists, padded arrays with a mask.

`reverie.core.sets` says what the values of such a data set are. Jets, hits, tracks and sources in a field are sets.
"""

import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from reverie.core.arguments import checked
from reverie.core.checks import check_different, check_positive
from reverie.core.errors import InputError, UnknownNameError
from reverie.core.sets import check_sets, multiplicities, padded, real_entries, stacked, with_mask
from reverie.core.tables import as_array, as_column, check_width
from reverie.data.dataset import Dataset
from reverie.data.inference import infer_schema
from reverie.data.schema import split_unit

if TYPE_CHECKING:
    from reverie.core.types import ArrayLike

__all__ = ["particle_sets"]


@checked
def particle_sets(
    particles: Any,
    mask: "ArrayLike | None" = None,
    *,
    names: Sequence[str] | None = None,
    units: Sequence[str] | Mapping[str, str] | None = None,
    max_size: int | None = None,
    hardest: str | None = None,
    weights: "ArrayLike | None" = None,
) -> Dataset:
    """Return sets of particles as a data set of values (n, P, F + 1): zero-padded, with the mask last.

    Parameters
    ----------
    particles : One of: an awkward array of n lists of records, or of n lists of F numbers each; a list of n arrays
        (n_i, F); a mapping from the name of a feature to an awkward array of n lists of numbers; a padded array
        (n, P, F), with `mask`; an array (n, P, F + 1) with the mask last.
    mask : 1 or True where a particle is there, 0 where not, shape (n, P). What stands in the places without a particle
        has to be 0 or NaN.
    names : Name of each feature, with or without unit, as in "pt_rel" or "pt [GeV]"; default those of the records,
        else x0, x1, ...
    units : Unit of each feature, or by name.
    max_size : P, the number of particles of the largest set that is taken; default that of the largest set.
    hardest : Feature, such as "pt_rel", by whose greatest values the `max_size` particles of larger sets are kept.
    weights : Weight of each set, shape (n,).

    Raises
    ------
    InputError
        For a mask that is not 0 and 1, or disagrees with the zeros of the padding; for larger sets without `hardest`;
        and for what is not made of sets of particles with the same features.

    Examples
    --------
    >>> jets = particle_sets([[[0.1, 0.7], [-0.2, 0.3]], [[0.0, 1.0]]], names=["eta_rel", "pt_rel"])
    >>> jets
    Dataset(2 sets of at most 2 particles: eta_rel, pt_rel)
    >>> jets.values[1].tolist()
    [[0.0, 1.0, 1.0], [0.0, 0.0, 0.0]]
    """
    if max_size is not None:
        check_positive("max_size", max_size, integer=True)
    array, features, counts, own_names, dtypes = _read(particles, mask)
    n_features = features.shape[1]
    named = own_names if names is None else [str(name) for name in names]
    named = named[:-1] if len(named) == n_features + 1 and split_unit(named[-1])[0] == "mask" else named
    if len(named) != n_features:
        raise InputError(
            f"Expected a name for each of {n_features} features of a particle, got {len(named)}: {', '.join(named)}. "
            "Give as many."
        )
    plain = [split_unit(name)[0] for name in named]
    check_different(plain)
    if hardest is not None and hardest not in plain:
        raise UnknownNameError("feature", hardest, plain)
    if array is None or max_size not in (None, array.shape[1]):
        array = padded(features, counts, max_size=max_size, hardest=None if hardest is None else plain.index(hardest))
    units = units if units is None or isinstance(units, Mapping) else [*units, ""]
    schema = infer_schema(array, [*named, "mask"], units, dtypes=[*dtypes, array.dtype.name])
    return Dataset(array, schema=schema, weights=weights)


def _read(
    particles: Any, mask: "ArrayLike | None"
) -> tuple[np.ndarray | None, np.ndarray, np.ndarray, list[str], list[str]]:
    """Return a padded array or None, features (particles, F), counts (n,), names and types of the features."""
    if isinstance(particles, Dataset):
        raise InputError(f"Expected particles, got {particles!r}. Give its values, or use it as it is.")
    is_awkward = "awkward" in sys.modules and isinstance(particles, sys.modules["awkward"].Array)
    is_ragged = isinstance(particles, (list, tuple, Mapping)) or is_awkward
    if is_ragged and mask is not None:
        raise InputError(
            "Expected a mask beside a padded array (n, P, F) only, got one beside lists. Leave it out: lists are as "
            "long as their sets."
        )
    if is_awkward or isinstance(particles, Mapping):
        return None, *_ragged(particles)
    array = None
    if is_ragged:
        features, counts = _listed(particles)
    else:
        array = with_mask(as_array(particles, "the particles"), mask)
        check_sets(array)
        features, counts = real_entries(array), multiplicities(array)
    names = [f"x{j}" for j in range(features.shape[1])]
    return array, features, counts, names, [features.dtype.name] * len(names)


def _ragged(particles: Any) -> tuple[np.ndarray, np.ndarray, list[str], list[str]]:
    """Return features (particles, F), numbers of particles (n,), names and types of awkward arrays."""
    import awkward

    columns: dict[str, Any] = {}
    if isinstance(particles, Mapping) or awkward.fields(particles):
        names = list(particles) if isinstance(particles, Mapping) else awkward.fields(particles)
        columns = {str(name): awkward.Array(particles[name]) for name in names}
    elif particles.ndim == 3:
        sizes = np.unique(awkward.to_numpy(awkward.ravel(awkward.num(particles, axis=2))))
        if len(sizes) > 1:
            raise InputError(
                f"Expected particles with the same number of features, got from {sizes[0]} to {sizes[-1]} of them. "
                "Correct the lists."
            )
        columns = {f"x{j}": particles[..., j] for j in range(int(sizes[0]) if len(sizes) else 0)}
    if not columns:
        raise InputError(
            "Expected an awkward array of lists of records, or of lists of lists of numbers, got the type "
            f"{awkward.type(particles)}. Use awkward.zip({{'pt': ..., 'eta': ...}})."
        )
    check_width(len(columns), "the particles")
    parts, all_counts = {}, {}
    for name, column in columns.items():
        if column.ndim != 2:
            raise InputError(
                f"Expected a list of numbers for each set in {name!r}, got the type {awkward.type(column)}. Leave it "
                "out: columns of the set, such as the momentum of a jet, are conditions of a model."
            )
        all_counts[name] = awkward.to_numpy(awkward.num(column, axis=1)).astype(np.int64)
        parts[name] = as_column(awkward.to_numpy(awkward.flatten(column, axis=1)), name)
    features, counts = stacked(parts, all_counts)
    return features, counts, list(parts), [x.dtype.name for x in parts.values()]


def _listed(particles: Iterable[Any]) -> tuple[np.ndarray, np.ndarray]:
    """Return features (particles, F) and numbers of particles (n,) of a list of arrays (n_i, F)."""
    arrays = [as_array(one, f"set {i}") for i, one in enumerate(particles)]
    shapes = [one.shape for one in arrays]
    widths = {shape[1:] for shape in shapes if shape[0]} if all(shapes) else {()}
    if len(widths) != 1 or len(next(iter(widths))) != 1:
        odd = next((i for i, shape in enumerate(shapes) if len(shape) != 2 or shape[1] != shapes[0][-1]), 0)
        got = "no particles" if not widths else f"{shapes[0]} and, in set {odd}, {shapes[odd]}" if shapes else "none"
        raise InputError(
            f"Expected an array (n_i, F) for each set, with the same number of features, got {got}. Correct the list."
        )
    features = np.concatenate([one for one in arrays if one.shape[0]])
    features = features if features.dtype.kind == "f" else features.astype(np.float64)
    return features, np.array([shape[0] for shape in shapes], np.int64)
