"""Samples by condition: a row of images for each label, or the columns of a table against what they were asked for."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from reverie.core.statistics import ks_distance
from reverie.plots.conditions import Condition, label_rows, profile
from reverie.plots.marginals import marginal
from reverie.plots.style import to_png, to_svg
from reverie.report.page import Block, Gallery, Picture, Section, Text
from reverie.report.sections import Samples

__all__ = ["conditions_section", "read_conditions"]

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
    worst = max(learnt, key=lambda j: max(_distance(samples, j, part) for part in bins))
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


def _distance(samples: Samples, j: int, part: tuple[str, np.ndarray, np.ndarray]) -> float:
    return float(np.nan_to_num(ks_distance(samples.real[part[1], j], samples.generated[part[2], j])))
