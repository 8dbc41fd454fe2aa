"""What a model can say of itself: likelihoods, log Z, chains and codes, as numbers with a sentence each.

Unlike validation, which sees samples only, this looks inside. A model returns an `Assessment`; the report prints it.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Self

import msgspec
import numpy as np

from reverie.core.measured import Measured, measured_mean

__all__ = ["Assessment", "Curves", "LatentView", "LogLikelihood", "Quantity"]


@dataclass(frozen=True)
class Quantity:
    """A number that describes a model.

    Parameters
    ----------
    name : What the number is, in a few words.
    value, error : The number and its standard error, or None where that is not known.
    meaning : One plain sentence.
    """

    name: str
    value: float
    error: float | None = None
    meaning: str = ""


@dataclass(frozen=True)
class Curves:
    """Lines of one small figure.

    Parameters
    ----------
    title, x_label, y_label : Title of the figure and labels of its axes.
    lines : Name of each line -> its points (x, y), as many numbers in both.
    """

    title: str
    x_label: str
    y_label: str
    lines: Mapping[str, tuple[Sequence[float], Sequence[float]]]


@dataclass(frozen=True)
class Assessment:
    """Numbers, warnings and curves, in the order in which they are to be read.

    Parameters
    ----------
    numbers : What was measured.
    warnings : Sentences that must not be overlooked.
    curves : Small figures.
    """

    numbers: tuple[Quantity, ...] = ()
    warnings: tuple[str, ...] = ()
    curves: tuple[Curves, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.numbers or self.warnings or self.curves)

    def __add__(self, other: "Assessment") -> "Assessment":
        return Assessment(self.numbers + other.numbers, self.warnings + other.warnings, self.curves + other.curves)

    def __str__(self) -> str:
        width = max((len(q.name) for q in self.numbers), default=0)
        measured = [Measured(q.value, math.nan if q.error is None else q.error) for q in self.numbers]
        lines = [f"{q.name:<{width}}  {value}" for q, value in zip(self.numbers, measured, strict=True)]
        return "\n".join([*lines, *self.warnings])

    def __getitem__(self, name: str) -> Quantity:
        return next(quantity for quantity in self.numbers if quantity.name == name)

    @classmethod
    def of_replicas(cls, parts: "Sequence[Assessment]") -> "Assessment":
        """Return the means over several models, their standard deviations, all warnings, the curves of the first."""
        if len(parts) == 1:
            return parts[0]
        numbers = []
        for quantity in parts[0].numbers:
            values = [one.value for part in parts for one in part.numbers if one.name == quantity.name]
            spread = float(np.std(values, ddof=1)) if len(values) > 1 else None
            meaning = f"{quantity.meaning}; mean ± standard deviation of {len(values)} replicas"
            numbers.append(Quantity(quantity.name, float(np.mean(values)), spread, meaning))
        warnings = dict.fromkeys(warning for part in parts for warning in part.warnings)
        return Assessment(tuple(numbers), tuple(warnings), parts[0].curves)

    def to_json(self) -> dict[str, object]:
        """Return a dictionary that `json` can write."""
        return asdict(self)

    @classmethod
    def from_json(cls, stored: Mapping[str, object]) -> Self:
        """Return what `to_json` described."""
        return msgspec.convert(stored, cls)


@dataclass(frozen=True, eq=False)
class LatentView:
    """A latent space as a report shows it.

    Latent vectors are counted in standard deviations from the middle: those of the prior N(0, 1), or of the codes.

    Parameters
    ----------
    dimensions : (d,) the latent dimensions that are shown, the most telling one first.
    n_latent : how many there are.
    values : (v,) of each dimension along its traversal, in standard deviations.
    traversals : (d, v, *event) mean events while one dimension takes its values and the others stay in the middle.
    manifold : (side, side, *event) mean events at normal quantiles of the first two dimensions, to the right and
        upwards; of no rows where there is none to draw.
    codes : (n, d) where events lie in those dimensions.
    is_prior : whether the codes are to follow N(0, 1).
    """

    dimensions: np.ndarray
    n_latent: int
    values: np.ndarray
    traversals: np.ndarray
    manifold: np.ndarray
    codes: np.ndarray
    is_prior: bool

    def arrays(self) -> dict[str, np.ndarray]:
        """Return everything as arrays by name, as a file holds them."""
        return {name: np.asarray(value) for name, value in asdict(self).items()}

    @classmethod
    def from_arrays(cls, stored: Mapping[str, np.ndarray]) -> Self:
        """Return what `arrays` described."""
        whole = {"n_latent": int(stored["n_latent"]), "is_prior": bool(stored["is_prior"])}
        names = ("dimensions", "values", "traversals", "manifold", "codes")
        return cls(**{name: stored[name] for name in names}, **whole)


@dataclass(frozen=True, eq=False)
class LogLikelihood:
    """Log-likelihood of events, in nats.

    Parameters
    ----------
    values : (n,) log p of each event, float64.
    common_error : standard error that all values share, such as that of log Z; 0 where log p is exact.
    weights : (n,) event weights, or None.
    """

    values: np.ndarray
    common_error: float = 0.0
    weights: np.ndarray | None = None

    @classmethod
    def of_mixture(cls, parts: "Sequence[LogLikelihood]") -> "LogLikelihood":
        """Return the log of the mean density of several models of the same events.

        The error common to all events joins those of the parts and the standard deviation of their means.
        """
        values = np.logaddexp.reduce([part.values for part in parts]) - math.log(len(parts))
        spread = float(np.std([part.mean.value for part in parts], ddof=1)) if len(parts) > 1 else 0.0
        common = float(np.sqrt(np.mean([part.common_error**2 for part in parts])))
        return LogLikelihood(values, math.hypot(common, spread), parts[0].weights)

    @property
    def mean(self) -> Measured:
        """Mean per event; its error joins the scatter over events and the common error."""
        mean = measured_mean(self.values, self.weights)
        return Measured(mean.value, float(np.hypot(mean.error, self.common_error)), mean.n)

    @property
    def scatter(self) -> float:
        """Standard error of the mean from the scatter over events alone; nan for one event."""
        return measured_mean(self.values, self.weights).error

    def __str__(self) -> str:
        common = f", of which ± {self.common_error:.2g} common to all" if self.common_error > 0 else ""
        return f"{self.mean} nats per event{common}"
