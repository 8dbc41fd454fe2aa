"""Real and generated samples side by side: column by column, pair by pair, as images, and by their conditions."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.special import chdtrc

from reverie.core.errors import InputError
from reverie.core.statistics import ks_distance
from reverie.plots.binning import bin_columns
from reverie.plots.conditions import Condition, label_rows, profile
from reverie.plots.images import image_grids
from reverie.plots.marginals import marginal
from reverie.plots.pairs import choose_columns, pairs
from reverie.plots.style import to_png, to_svg
from reverie.report.page import Block, Cell, Details, Gallery, Picture, Section, Table, Text
from reverie.report.words import measured, number

__all__ = [
    "Samples",
    "conditions_section",
    "images_section",
    "marginals_section",
    "pairs_section",
    "read_conditions",
    "weighted_moments",
]

_MOST_MARGINALS = 18


@dataclass(frozen=True)
class Samples:
    """Real and generated samples with the names of their columns.

    Parameters
    ----------
    real, generated : (n, *event) each, n possibly 0, one event shape.
    names, units, kinds : one per column; images have one of each for all pixels.
    weights : (n,) event weights of `real`, or None.
    replicas : (replica, n, *event) samples of each replica, or None.
    """

    real: np.ndarray
    generated: np.ndarray
    names: tuple[str, ...]
    units: tuple[str, ...]
    kinds: tuple[str, ...]
    weights: np.ndarray | None = None
    replicas: np.ndarray | None = None

    def __post_init__(self) -> None:
        shapes = self.real.shape[1:], self.generated.shape[1:]
        if shapes[0] != shapes[1]:
            raise InputError(
                f"Expected real and generated samples of one event shape, got {shapes[0]} and {shapes[1]}. "
                "Give samples of the same columns or image size."
            )

    @property
    def are_images(self) -> bool:
        """Whether an event is an image or a lattice rather than a row of a table."""
        return self.real.ndim > 2

    @property
    def rows_of_numbers(self) -> tuple[str, ...]:
        """Names of the numbers that an event is summed up by: its columns, or what is taken of an image."""
        return tuple(name for name, _ in _summaries(self.kinds[0])) if self.are_images else self.names

    def numbers(self, values: np.ndarray) -> np.ndarray:
        """Return those numbers of events (n, *event), (n, number)."""
        if not self.are_images:
            return values
        return np.stack([summary(values) for _, summary in _summaries(self.kinds[0])], axis=1)


def marginals_section(samples: Samples, p_values: Mapping[str, float] | None = None) -> Section:
    """Return one panel per column with its ratio, and the table of the numbers behind them."""
    columns = choose_columns(samples.real, samples.generated, most=_MOST_MARGINALS)
    weighted = " Real events are weighted: points are sums of weights." if samples.weights is not None else ""
    band = " The hatched band reaches from the lowest to the highest replica." if samples.replicas is not None else ""
    pictures = tuple(_marginal(samples, j, (p_values or {}).get(samples.names[j])) for j in columns)
    lead = (
        "Points are real data with Poisson errors, steps are generated data scaled to the same size. Below each: "
        "generated over real, where the grey band is the error of the real counts; triangles lie beyond the frame. "
        "“outside” counts the events beyond the range shown, real | generated."
    )
    blocks: list[Block] = [Text(lead + band + weighted), Gallery(pictures)]
    if len(columns) < len(samples.names):
        blocks.insert(
            1, Text(f"Shown: {len(columns)} of {len(samples.names)} columns, those that differ most.", "note")
        )
    if len(samples.real) and len(samples.generated):
        blocks.append(Details("The numbers behind the panels", (_moments(samples),)))
    return Section("marginals", "Column by column", tuple(blocks), "Columns")


def pairs_section(samples: Samples, most: int = 6) -> Section | None:
    """Return the pair plot of at most `most` columns, or None for fewer than two."""
    columns = choose_columns(samples.real, samples.generated, most=most)
    if len(columns) < 2:
        return None
    labels = {"names": samples.names, "units": samples.units, "kinds": samples.kinds}
    figure = pairs(samples.real, samples.generated, columns=columns, replicas=samples.replicas, **labels)
    left_out = len(samples.names) - len(columns)
    which = f" Shown are the {len(columns)} columns that differ most; {left_out} are left out." if left_out > 0 else ""
    lead = (
        "Real data below the diagonal, generated data above it, in the same bins and shades. The ink lines over the "
        "generated densities are contours of the real data (39 % and 86 % inside): teal should fill them." + which
    )
    alt = f"Pair plot of {', '.join(samples.names[j] for j in columns)}: real below, generated above the diagonal."
    return Section("pairs", "Pair by pair", (Text(lead), Picture(to_svg(figure), alt, wide=True)), "Pairs")


def images_section(samples: Samples) -> Section:
    """Return grids of real and generated images and the distributions of their mean and spread."""
    figure = image_grids(samples.real, samples.generated, kind=samples.kinds[0])
    alt = "A grid of real images beside a grid of generated images."
    shade = "in the two colours" if samples.kinds[0] == "spin" else "on the grey scale"
    caption = f"The first images of each, not a selection, both {shade} of the real ones."
    blocks: list[Block] = [Picture(to_png(figure), alt, caption, media="png")]
    pictures = tuple(_image_summary(samples, j, name) for j, name in enumerate(samples.rows_of_numbers))
    blocks += [Text("One number per image, so that the counts are independent:"), Gallery(pictures)]
    return Section("images", "Images side by side", tuple(blocks), "Images")


def _summaries(kind: str) -> Sequence[tuple[str, Callable[[np.ndarray], np.ndarray]]]:
    if kind == "spin":
        return (("magnetisation, sum of s", _magnetisation), ("neighbour sum of s s′", _neighbour_products))
    return (("mean of the pixels", _pixel_mean), ("spread of the pixels (sd)", _pixel_spread))


def _image_summary(samples: Samples, j: int, name: str) -> Picture:
    real, generated = (samples.numbers(x)[:, j] if len(x) else np.empty(0) for x in (samples.real, samples.generated))
    replicas = samples.replicas
    is_spin = samples.kinds[0] == "spin"
    figure = marginal(
        real,
        generated,
        name=name,
        unit="" if is_spin else samples.units[0],
        kind="integer" if is_spin else "continuous",
        weights=samples.weights,
        replicas=None if replicas is None else np.stack([samples.numbers(x)[:, j] for x in replicas]),
    )
    return Picture(to_svg(figure), f"Distribution of the {name} per image, real against generated.")


def _pixel_mean(stack: np.ndarray) -> np.ndarray:
    return stack.reshape(len(stack), -1).mean(axis=1)


def _pixel_spread(stack: np.ndarray) -> np.ndarray:
    return stack.reshape(len(stack), -1).std(axis=1)


def _magnetisation(stack: np.ndarray) -> np.ndarray:
    return _spins(stack).reshape(len(stack), -1).sum(axis=1)


def _neighbour_products(stack: np.ndarray) -> np.ndarray:
    """Sum of s s' over neighbours in rows and columns, open borders: minus the energy of an Ising lattice over J."""
    s = _spins(stack)
    across, down = s[..., :, 1:] * s[..., :, :-1], s[..., 1:, :] * s[..., :-1, :]
    return across.reshape(len(s), -1).sum(axis=1) + down.reshape(len(s), -1).sum(axis=1)


def _spins(stack: np.ndarray) -> np.ndarray:
    """Two-valued lattices as -1 and 1, whatever the two values were."""
    return np.where(stack > 0.5 * (stack.min() + stack.max()), 1.0, -1.0)


def _marginal(samples: Samples, j: int, p_value: float | None) -> Picture:
    name, unit, kind = samples.names[j], samples.units[j], samples.kinds[j]
    figure = marginal(
        samples.real[:, j],
        samples.generated[:, j],
        name=name,
        unit=unit,
        kind=kind,
        p_value=p_value,
        weights=samples.weights,
        replicas=None if samples.replicas is None else samples.replicas[..., j],
    )
    return Picture(to_svg(figure), f"Histogram of {name}: real points, generated steps, and their ratio below.")


def _moments(samples: Samples) -> Table:
    headers = ("Column", "Unit", "Mean, real", "Mean, generated", "Sd, real", "Sd, generated", "χ²/ndf", "p of χ²",
               "KS distance")  # fmt: skip
    rows = []
    for j, (name, unit, kind) in enumerate(zip(samples.names, samples.units, samples.kinds, strict=True)):
        real, generated = samples.real[:, j], samples.generated[:, j]
        w = samples.weights
        chi2, ndf = bin_columns(real, generated, kind=kind, weights=w).chi_square()
        spread = real.std() if w is None else weighted_moments(real, w)[1]
        moments = [_mean(real, kind, w), _mean(generated, kind), number(spread), number(generated.std())]
        test = [f"{chi2:.1f}/{ndf}" if ndf else "–", number(chdtrc(ndf, chi2), 2) if ndf else "–"]
        cells = [
            Cell(text, "number")
            for text in (*moments, *test, number(ks_distance(real, generated) if w is None else None))
        ]
        rows.append((Cell(name), Cell(unit), *cells))
    return Table(headers, tuple(rows))


def weighted_moments(values: np.ndarray, weights: np.ndarray) -> tuple[float, float, float]:
    """Return mean, standard deviation and error of the mean of weighted values (n,); weights may be negative."""
    total = float(weights.sum())
    mean = float((weights * values).sum()) / total
    variance = float((weights * (values - mean) ** 2).sum()) / total
    error = float(np.sqrt((weights**2 * (values - mean) ** 2).sum())) / abs(total)
    return mean, float(np.sqrt(max(variance, 0.0))), error


def _mean(values: np.ndarray, kind: str, weights: np.ndarray | None = None) -> str:
    if kind in ("periodic", "categorical"):
        return "–"
    if weights is not None:
        mean, _, error = weighted_moments(values, weights)
        return measured(mean, error)
    return (
        measured(values.mean(), values.std(ddof=1) / np.sqrt(len(values))) if len(values) > 1 else number(values.mean())
    )


_MOST_CONDITIONS, _MOST_PROFILES, _MOST_PANELS = 3, 9, 6
_UNPROFILED = ("categorical", "periodic")  # a median says nothing of them


def read_conditions(given: Mapping[str, Any] | None) -> list[Condition]:
    """Return the conditions in a mapping of "names", "units", "levels", "real" (n, k) and "generated" (m, k)."""
    if given is None:
        return []
    real, generated = np.asarray(given["real"], dtype=float), np.asarray(given["generated"], dtype=float)
    return [
        Condition(name, unit, real[:, j], generated[:, j], levels)
        for j, (name, unit, levels) in enumerate(zip(given["names"], given["units"], given["levels"], strict=True))
    ]


def conditions_section(samples: Samples, conditions: Sequence[Condition]) -> Section | None:
    """Return samples in bins of their conditions, or None when there is nothing to compare."""
    if not conditions or not (len(samples.real) and len(samples.generated)):
        return None
    blocks = _image_blocks(samples, conditions) if samples.are_images else _table_blocks(samples, conditions)
    return Section("conditions", "Asked for, and given", tuple(blocks), "Conditions")


def _image_blocks(samples: Samples, conditions: Sequence[Condition]) -> list[Block]:
    shown = next((c for c in conditions if c.levels is not None), conditions[0])
    figure = label_rows(samples.real, samples.generated, shown, kind=samples.kinds[0])
    alt = f"Rows of real and generated images, one for each value of {shown.name}."
    text = f"Each row was asked for by one value of {shown.name}: the first images of each, not a selection."
    return [Text(text), Picture(to_png(figure), alt, media="png", wide=True)]


def _table_blocks(samples: Samples, conditions: Sequence[Condition]) -> list[Block]:
    learnt = [j for j, name in enumerate(samples.names) if name not in {c.name for c in conditions}]
    blocks: list[Block] = []
    for condition in conditions[:_MOST_CONDITIONS]:
        drawn = [j for j in learnt if samples.kinds[j] not in _UNPROFILED][:_MOST_PROFILES]
        if drawn:
            pictures = tuple(_profile(samples, condition, j) for j in drawn)
            text = (
                f"Against {condition.name}: medians with their errors, and dashed lines that hold the central 68 % of "
                "real (ink) and generated (teal) events."
            )
            blocks += [Text(text), Gallery(pictures)]
        blocks += _panels(samples, condition, learnt)
    return blocks


def _profile(samples: Samples, condition: Condition, j: int) -> Picture:
    real, generated = samples.real[:, j], samples.generated[:, j]
    figure = profile(real, generated, condition, name=samples.names[j], unit=samples.units[j])
    return Picture(to_svg(figure), f"{samples.names[j]} against {condition.name}: real and generated medians.")


def _panels(samples: Samples, condition: Condition, learnt: Sequence[int]) -> list[Block]:
    """Return the histogram, in a few bins of the condition, of the column that differs most there."""
    bins = [part for part in condition.bins(4) if part[1].sum() > 20 and part[2].sum() > 20][:_MOST_PANELS]
    if len(bins) < 2:
        return []
    worst = max(learnt, key=lambda j: max(_ks(samples, j, part) for part in bins))
    pictures = []
    for label, of_real, of_generated in bins:
        name = f"{samples.names[worst]} at {condition.name} {label}"
        figure = marginal(
            samples.real[of_real, worst],
            samples.generated[of_generated, worst],
            name=name,
            unit=samples.units[worst],
            kind=samples.kinds[worst],
        )
        pictures.append(Picture(to_svg(figure), f"Histogram of {name}: real points, generated steps, ratio below."))
    text = f"{samples.names[worst]} in parts of {condition.name}, the column that differs most within one of them:"
    return [Text(text), Gallery(tuple(pictures))]


def _ks(samples: Samples, j: int, part: tuple[str, np.ndarray, np.ndarray]) -> float:
    return float(np.nan_to_num(ks_distance(samples.real[part[1], j], samples.generated[part[2], j])))
