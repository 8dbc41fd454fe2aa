"""`reverie explore FILE --covariance`: the spectrum of a covariance matrix that is given."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from reverie.data import catalogue
from reverie.data.covariances import read_covariance
from reverie.explore import CovarianceResult, correlation_matrix, principal_components_of_covariance

__all__ = ["CovarianceExploration", "explore_covariance"]


@dataclass(frozen=True, eq=False)
class CovarianceExploration:
    """What was found about a covariance matrix.

    Parameters
    ----------
    name : of the file.
    result : its principal components.
    correlation : (p, p), of the rows with a positive variance. names : of these rows.
    notes : what to keep in mind.
    """

    name: str
    result: CovarianceResult
    correlation: np.ndarray
    names: tuple[str, ...]
    notes: tuple[str, ...] = ()

    @property
    def n_components(self) -> int:
        """How many eigenvectors hold 90 % of the variance."""
        return int(np.searchsorted(np.cumsum(self.result.explained_variance_ratio), 0.9 - 1e-12)) + 1

    @property
    def sentences(self) -> tuple[str, ...]:
        """What was found, without the notes."""
        d, size = len(self.result.eigenvalues), np.abs(self.correlation - np.eye(len(self.names)))
        i, j = np.unravel_index(int(size.argmax()), size.shape)
        said = [f"{self.name}: a covariance matrix of {d} x {d}.", str(self.result)]
        count = self.n_components
        holds = f"One of {d} eigenvectors holds" if count == 1 else f"{count} of {d} eigenvectors hold"
        said.append(f"{holds} 90 % of the variance.")
        if len(self.names) > 1:
            pairs = size[np.triu_indices(len(size), 1)]
            said.append(
                f"The largest correlation is {self.correlation[i, j]:+.3f}, of {self.names[i]} with {self.names[j]}; "
                f"{100 * (pairs > 0.5).mean():.0f} % of the pairs are beyond 0.5."
            )
        return tuple(said)

    def to_json(self) -> dict[str, Any]:
        """Return a dictionary that `json` can write; of the eigenvectors the first ten."""
        content = self.result.to_json() | {"components": self.result.components[:10].tolist()}
        return {"name": self.name, "sentences": list(self.sentences), "notes": list(self.notes), **content}

    def __str__(self) -> str:
        return "\n".join([*self.sentences, *(f"Note: {note}" for note in self.notes)])


def explore_covariance(data: str) -> CovarianceExploration:
    """Return what is found about the covariance matrix in a file, or of planck_plik_lite.

    Raises
    ------
    InputError
        For a file that is missing or holds no covariance matrix.
    """
    in_catalogue = data in catalogue.entries()
    matrix, names = (catalogue.load_covariance(data), None) if in_catalogue else read_covariance(data)
    result = principal_components_of_covariance(matrix, names=names)
    varies = np.diag(matrix) > 0
    kept = tuple(name for name, positive in zip(result.names, varies, strict=True) if positive)
    correlation = correlation_matrix(matrix[np.ix_(varies, varies)])
    notes = [f"{int((~varies).sum())} rows have no variance and no correlations."] if not varies.all() else []
    if result.n_negative:
        notes.append(
            f"{result.n_negative} eigenvalues are negative, down to {result.smallest:.2g}: rounding of the matrix."
        )
    return CovarianceExploration(Path(data).name, result, correlation, kept, tuple(notes))
