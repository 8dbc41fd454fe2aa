"""Real and generated samples side by side: column by column, pair by pair, as images, and by their conditions."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from scipy.special import chdtrc

from reverie.core.errors import InputError
from reverie.core.statistics import ks_distance
from reverie.plots.binning import bin_columns
from reverie.plots.conditions import Condition, label_rows, profile
from reverie.plots.images import image_grids
from reverie.plots.marginals import marginal
from reverie.plots.pairs import choose_columns, pairs
from reverie.plots.sets import mean_images, set_pictures
from reverie.report.page import Block, Details, Gallery, Picture, Text, png, svg, table
from reverie.report.words import JsonObject, measured, number
from reverie.validation.inputs.sets import SUBSTRUCTURE

__all__ = ["Samples", "column_pairs", "columns", "conditioned", "images", "particles", "weighted_moments"]

_MOST_MARGINALS = 18
_MOST_CONDITIONS, _MOST_PROFILES, _MOST_PANELS = 3, 9, 6
_UNPROFILED = ("categorical", "periodic")  # a median says nothing of them


@dataclass(frozen=True)
class Samples:
    """Real and generated samples with the names of their columns.

    Parameters
    ----------
    real, generated : (n, *event) each, n possibly 0, one event shape.
    names, units, kinds : one per column; images have one of each for all pixels.
    weights : (n,) event weights of `real`, or None.
    replicas : (replica, n, *event) samples of each replica, or None.
    sets : Real and generated sets of particles and the names of their columns, where `real` and the rest are tables of
        their features (`reverie.validation.inputs.sets`); None for other events.
    words : Words behind the codes 0, 1, ... of columns of words, by name.
    """

    real: np.ndarray
    generated: np.ndarray
    names: tuple[str, ...]
    units: tuple[str, ...]
    kinds: tuple[str, ...]
    weights: np.ndarray | None = None
    replicas: np.ndarray | None = None
    sets: tuple[np.ndarray, np.ndarray, tuple[str, ...]] | None = None
    words: Mapping[str, Sequence[str]] = field(default_factory=dict)

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
    def _summaries(self) -> dict[str, Callable[[np.ndarray], np.ndarray]]:
        """What is taken of an image, by its name."""
        if self.kinds[0] == "spin":
            return {
                "magnetisation, sum of s": lambda x: _spins(x).sum(axis=(-1, -2)),
                "neighbour sum of s s′": _products,
            }
        return {
            "mean of the pixels": lambda x: x.reshape(len(x), -1).mean(axis=1),
            "spread of the pixels (sd)": lambda x: x.reshape(len(x), -1).std(axis=1),
        }

    @property
    def rows_of_numbers(self) -> tuple[str, ...]:
        """Names of the numbers that an event is summed up by: its columns, or what is taken of an image."""
        return tuple(self._summaries) if self.are_images else self.names

    def numbers(self, values: np.ndarray) -> np.ndarray:
        """Return those numbers of events (n, *event), (n, number)."""
        if not self.are_images:
            return values
        taken = self._summaries.values()
        return np.stack([of(values).reshape(len(values), -1).sum(axis=1) for of in taken], axis=1)


def _spins(stack: np.ndarray) -> np.ndarray:
    """Return two-valued lattices as -1 and 1, whatever the two values were."""
    return np.where(stack > 0.5 * (stack.min() + stack.max()), 1.0, -1.0)


def _products(stack: np.ndarray) -> np.ndarray:
    """Return s s' summed over neighbours, with open borders: minus the energy of an Ising lattice over J."""
    s = _spins(stack)
    across, down = s[..., :, 1:] * s[..., :, :-1], s[..., 1:, :] * s[..., :-1, :]
    return across.sum(axis=(-1, -2)) + down.sum(axis=(-1, -2))


def columns(samples: Samples, p_values: Mapping[str, float]) -> list[Block]:
    """Return one panel per column with its ratio, and the table of the numbers behind them."""
    shown = choose_columns(samples.real, samples.generated, most=_MOST_MARGINALS)
    weighted = " Real events are weighted: points are sums of weights." if samples.weights is not None else ""
    band = (
        f" The hatched band is the 68 % band of the {len(samples.replicas)} replicas, from their spread."
        if samples.replicas is not None
        else ""
    )
    lead = (
        "Points are real data with Poisson errors, steps are generated data scaled to the same size. Below each: "
        "generated over real, where the grey band is the error of the real counts; triangles lie beyond the frame. "
        "“outside” counts the events beyond the range shown, real | generated."
    )
    blocks: list[Block] = [Text(lead + band + weighted)]
    if len(shown) < len(samples.names):
        blocks.append(Text(f"Shown: {len(shown)} of {len(samples.names)} columns, those that differ most.", "note"))
    pictures = []
    for j in shown:
        name, replicas = samples.names[j], None if samples.replicas is None else samples.replicas[..., j]
        figure = marginal(
            samples.real[:, j], samples.generated[:, j], name=name, unit=samples.units[j], kind=samples.kinds[j],
            p_value=p_values.get(name), weights=samples.weights, replicas=replicas, words=samples.words.get(name, ()),
        )  # fmt: skip
        pictures.append(svg(figure, f"Histogram of {name}: real points, generated steps, and their ratio below."))
    blocks.append(Gallery(tuple(pictures)))
    if not (len(samples.real) and len(samples.generated)):
        return blocks
    headers = ("Mean, real", "Mean, generated", "Sd, real", "Sd, generated", "χ²/ndf", "p of χ²", "KS distance")
    rows, w = [], samples.weights
    for j, (name, unit, kind) in enumerate(zip(samples.names, samples.units, samples.kinds, strict=True)):
        real, generated = samples.real[:, j], samples.generated[:, j]
        chi2, ndf = bin_columns(real, generated, kind=kind, weights=w).chi_square()
        spread = real.std() if w is None else weighted_moments(real, w)[1]
        moments = (_mean(real, kind, w), _mean(generated, kind), number(spread), number(generated.std()))
        test = (f"{chi2:.1f}/{ndf}", number(chdtrc(ndf, chi2), 2)) if ndf else ("–", "–")
        rows.append((name, unit, *moments, *test, number(ks_distance(real, generated) if w is None else None)))
    content = table({"Column": "plain", "Unit": "plain"} | dict.fromkeys(headers, "number"), rows)
    return [*blocks, Details("The numbers behind the panels", (content,))]


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
    if len(values) < 2:
        return number(values.mean())
    return measured(values.mean(), values.std(ddof=1) / np.sqrt(len(values)))


def column_pairs(samples: Samples, most: int = 6) -> list[Block]:
    """Return the pair plot of at most `most` columns, or nothing for fewer than two, weights, or one sample alone."""
    if not (len(samples.real) and len(samples.generated)) or samples.weights is not None:
        return []
    shown = choose_columns(samples.real, samples.generated, most=most)
    if len(shown) < 2:
        return []
    labels = {"names": samples.names, "units": samples.units, "kinds": samples.kinds}
    figure = pairs(samples.real, samples.generated, columns=shown, replicas=samples.replicas, **labels)
    left_out = len(samples.names) - len(shown)
    which = f" Shown are the {len(shown)} columns that differ most; {left_out} are left out." if left_out > 0 else ""
    lead = (
        "Real data below the diagonal, generated data above it, in the same bins and shades. The ink lines over the "
        "generated densities are contours of the real data (39 % and 86 % inside): teal should fill them." + which
    )
    alt = f"Pair plot of {', '.join(samples.names[j] for j in shown)}: real below, generated above the diagonal."
    return [Text(lead), svg(figure, alt, wide=True)]


def images(samples: Samples) -> list[Block]:
    """Return grids of real and generated images and the distributions of their mean and spread."""
    is_spin = samples.kinds[0] == "spin"
    figure = image_grids(samples.real, samples.generated, kind=samples.kinds[0])
    shades = {"spin": "in the two colours", "periodic": "on the scale of angles, whose ends meet,"}
    shade = shades.get(samples.kinds[0], "on the grey scale")
    caption = f"The first images of each, not a selection, both {shade} of the real ones."
    of_real, of_generated = (samples.numbers(x) if len(x) else x[:, :0] for x in (samples.real, samples.generated))
    replicas = None if samples.replicas is None else np.stack([samples.numbers(x) for x in samples.replicas])
    unit, kind = ("", "integer") if is_spin else (samples.units[0], "continuous")
    pictures = []
    for j, name in enumerate(samples.rows_of_numbers):
        real, generated = (x[:, j] if len(x) else np.empty(0) for x in (of_real, of_generated))
        several = None if replicas is None else replicas[..., j]
        drawn = marginal(real, generated, name=name, unit=unit, kind=kind, weights=samples.weights, replicas=several)
        pictures.append(svg(drawn, f"Distribution of the {name} per image, real against generated."))
    return [
        png(figure, "A grid of real images beside a grid of generated images.", caption),
        Text("One number per image, so that the counts are independent:"),
        Gallery(tuple(pictures)),
    ]


def particles(samples: Samples) -> list[Block]:
    """Return sets of particles as pictures, the spectra of their particles and the substructure of jets."""
    if samples.sets is None:
        return []
    real, generated, names = samples.sets
    blocks: list[Block] = []
    if len(names) > 2:
        alt = "The mean of the particles in the plane of two of their features, real beside generated."
        caption = "Mean per set, on a logarithmic scale over four decades, the same for both."
        blocks.append(png(mean_images(real, generated, names), alt, caption))
        alt = "Single sets, real above generated, each particle a disc."
        caption = (
            "The first sets of each, not a selection. The area of a disc is the pt of its particle, where there is one."
        )
        blocks.append(png(set_pictures(real, generated, names), alt, caption, wide=True))
    there = [x[x[..., -1] == 1] for x in (real, generated)]
    pictures = []
    for j, name in enumerate(names[:-1]):
        figure = marginal(there[0][:, j], there[1][:, j], name=f"{name} of all particles")
        pictures.append(svg(figure, f"Spectrum of {name} of all particles: real points, generated steps, ratio below."))
    text = (
        "Spectra of the particles. Those of one set are not independent, so the errors are too small: the verdict "
        "rests on the features of whole sets, below."
    )
    blocks += [Text(text), Gallery(tuple(pictures))]
    shown = [j for j, name in enumerate(samples.names) if name in SUBSTRUCTURE]
    pictures = []
    for j in shown:
        kind, name = samples.kinds[j], samples.names[j]
        figure = marginal(samples.real[:, j], samples.generated[:, j], name=name, kind=kind, weights=samples.weights)
        pictures.append(svg(figure, f"Distribution of {name} of a set: real points, generated steps, ratio below."))
    return [*blocks, Text("One number of each set:"), Gallery(tuple(pictures))]


def conditioned(samples: Samples, given: JsonObject | None) -> list[Block]:
    """Return samples in bins of the conditions `given` (see `build`), or nothing when there is nothing to compare."""
    if given is None or not (len(samples.real) and len(samples.generated)):
        return []
    of_real, of_generated = (np.asarray(given[key], dtype=float) for key in ("real", "generated"))
    conditions = [
        Condition(name, unit, of_real[:, j], of_generated[:, j], levels)
        for j, (name, unit, levels) in enumerate(zip(given["names"], given["units"], given["levels"], strict=True))
    ]
    if samples.are_images and conditions:
        shown = next((c for c in conditions if c.levels is not None), conditions[0])
        figure = label_rows(samples.real, samples.generated, shown, kind=samples.kinds[0])
        alt = f"Rows of real and generated images, one for each value of {shown.name}."
        text = f"Each row was asked for by one value of {shown.name}: the first images of each, not a selection."
        return [Text(text), png(figure, alt, wide=True)]
    learnt = [j for j, name in enumerate(samples.names) if name not in given["names"]]
    blocks: list[Block] = []
    for condition in conditions[:_MOST_CONDITIONS]:
        pictures = []
        for j in [j for j in learnt if samples.kinds[j] not in _UNPROFILED][:_MOST_PROFILES]:
            name, real, generated = samples.names[j], samples.real[:, j], samples.generated[:, j]
            figure = profile(real, generated, condition, name=name, unit=samples.units[j])
            pictures.append(svg(figure, f"{name} against {condition.name}: real and generated medians."))
        text = (
            f"Against {condition.name}: medians with their errors, and dashed lines that hold the central 68 % of "
            "real (ink) and generated (teal) events."
        )
        blocks += [Text(text), Gallery(tuple(pictures))] if pictures else []
        blocks += _in_parts(samples, condition, learnt)
    return blocks


def _in_parts(samples: Samples, condition: Condition, learnt: Sequence[int]) -> list[Block]:
    """Return the histogram, in a few bins of the condition, of the column that differs most there."""
    bins = [part for part in condition.bins(4) if part[1].sum() > 20 and part[2].sum() > 20][:_MOST_PANELS]
    if len(bins) < 2:
        return []

    def largest(j: int) -> float:
        distances = [ks_distance(samples.real[real, j], samples.generated[made, j]) for _, real, made in bins]
        return float(np.nan_to_num(distances).max())

    worst = max(learnt, key=largest)
    unit, kind = samples.units[worst], samples.kinds[worst]
    pictures: list[Picture] = []
    for label, real, made in bins:
        name = f"{samples.names[worst]} at {condition.name} {label}"
        figure = marginal(samples.real[real, worst], samples.generated[made, worst], name=name, unit=unit, kind=kind)
        pictures.append(svg(figure, f"Histogram of {name}: real points, generated steps, ratio below."))
    text = f"{samples.names[worst]} in parts of {condition.name}, the column that differs most within one of them:"
    return [Text(text), Gallery(tuple(pictures))]
