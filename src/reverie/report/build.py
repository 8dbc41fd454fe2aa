"""From results to a page to a file, in the order a reader asks: can I trust it, how did it go, what does it look like.

Every part may be missing; its section is then left out, and the verdict says when nothing was tested.
"""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from reverie.core.assessment import Assessment, LatentView
from reverie.core.bibliography import BIBLIOGRAPHY
from reverie.report.model import assessment_section, latent_section
from reverie.report.page import Page, Section, save
from reverie.report.provenance import provenance_section, references_section
from reverie.report.samples import (
    Samples,
    conditions_section,
    images_section,
    marginals_section,
    pairs_section,
    read_conditions,
)
from reverie.report.training import (
    health_section,
    health_warning,
    replicas_section,
    snapshots_section,
    training_section,
)
from reverie.report.validation import copies_section, validation_section, verdict_section, where_section
from reverie.report.words import JsonObject

if TYPE_CHECKING:
    from reverie.validation.results.result import ValidationResult

__all__ = ["build", "write"]


def write(
    path: str | os.PathLike[str],
    history: Sequence[Mapping[str, float]] | None = None,
    result: "ValidationResult | None" = None,
    **parts: Any,
) -> Path:
    """Write the report to one self-contained HTML file, atomically, and return its path.

    Parameters
    ----------
    path : Path of the HTML file, in a folder that exists.
    history, result, **parts : See `build`.

    Raises
    ------
    FolderError
        When the file cannot be written.
    InputError
        When real and generated samples do not have one event shape.

    Examples
    --------
    >>> reverie.report.write("report.html", model.history_, result)  # doctest: +SKIP
    """
    return save(path, build(history, result, **parts))


def build(
    history: Sequence[Mapping[str, float]] | None = None,
    result: "ValidationResult | None" = None,
    *,
    title: str = "Generative model",
    subtitle: str = "",
    real: np.ndarray | None = None,
    real_weights: np.ndarray | None = None,
    generated: np.ndarray | None = None,
    replicas: np.ndarray | None = None,
    names: Sequence[str] | None = None,
    units: Sequence[str] | None = None,
    kinds: Sequence[str] | None = None,
    event_shape: Sequence[int] | None = None,
    conditions: JsonObject | None = None,
    snapshots: Sequence[tuple[int, np.ndarray]] | None = None,
    unvalidated: str = "",
    assessment: Assessment | None = None,
    latent: LatentView | None = None,
    training: JsonObject | None = None,
    provenance: JsonObject | None = None,
    config: JsonObject | None = None,
    resolved: JsonObject | None = None,
    environment: JsonObject | None = None,
    references: Sequence[tuple[str, str]] | None = None,
    command: str | None = None,
) -> Page:
    """Return the report as a page.

    Parameters
    ----------
    history : records of the training; keys step, d_loss, g_loss, d_real, d_fake, d_grad_norm, g_grad_norm, and of
        checks score, score_error, alarms, ...; each of them may be missing.
    result : a `reverie.validation.ValidationResult`, or None.
    title, subtitle : heading of the page.
    real, generated : samples (n, *event) in original units.
    real_weights : (n,) event weights of `real`, negative ones too: its histograms are weighted.
    replicas : (replica, n, *event) samples of each of several replicas.
    names, units, kinds : one per column; one for all pixels of images.
    event_shape : shape of one event, if the arrays come flattened as (n, pixel).
    conditions : what the samples were conditioned on: "names", "units", "levels" (words by value, or None for a
        number), and "real" (n, k) and "generated" (m, k), row by row with the samples.
    snapshots : pairs (step, samples (n, *event)) drawn during training.
    unvalidated : why there is no `result`, in a sentence.
    assessment : what the model says of itself, or None.
    latent : a look into its latent space, or None.
    training : how training ended: "step" and "ended_by", and whether steps were "compiled".
    provenance : where the data came from: source, licence, hash, sizes, seeds.
    config, environment : the settings; versions and machine.
    resolved : what the options of the model that were left open, by "auto" or null, came to.
    references : pairs (key, text or BibTeX entry) of the methods used; None takes those of the validation.
    command : the line that makes this run again.
    """
    samples = _samples(real, generated, names, units, kinds, event_shape, real_weights, replicas)
    health = health_section(history or (), training)
    sections: list[Section | None] = [
        verdict_section(result, unvalidated=unvalidated, warning=health_warning(history or ())),
        health,
        training_section(history or (), is_watched=health is not None),
        assessment_section(assessment),
    ]
    if samples is not None:
        if snapshots:
            shaped = [(int(step), _shaped(x, samples.real.shape[1:])) for step, x in snapshots]
            sections.append(snapshots_section(samples, shaped))
        if samples.are_images:
            sections.append(images_section(samples))
        else:
            p_values = {c.feature: c.p_value for c in result.checks if c.feature and c.name == "KS"} if result else {}
            both = len(samples.real) and len(samples.generated) and samples.weights is None
            sections += [marginals_section(samples, p_values), pairs_section(samples) if both else None]
        sections += [conditions_section(samples, read_conditions(conditions)), replicas_section(samples)]
        sections.append(latent_section(latent, samples.names, samples.kinds))
    if result is not None:
        sections += [where_section(result), validation_section(result), copies_section(result.memorisation)]
    origin = {"config": config, "resolved": resolved, "environment": environment}
    sections.append(provenance_section(provenance=provenance, command=command, **origin))
    if references is None and result is not None:
        references = [(key, BIBLIOGRAPHY[key]) for key in result.references if key in BIBLIOGRAPHY]
    if references:
        sections.append(references_section(references))
    kept = tuple(section for section in sections if section is not None)
    return Page(title, subtitle, kept, meta=_meta(samples, result, history, training))


def _samples(
    real: Any,
    generated: Any,
    names: Any,
    units: Any,
    kinds: Any,
    event_shape: Sequence[int] | None,
    weights: Any,
    replicas: Any,
) -> Samples | None:
    if real is None and generated is None:
        return None
    known = np.asarray(real if real is not None else generated)
    shape = tuple(event_shape) if event_shape else known.shape[1:] or (1,)
    arrays = [np.empty((0, *shape)) if x is None else _shaped(x, shape) for x in (real, generated)]
    width = shape[0] if len(shape) == 1 else 1
    labels = tuple(str(name) for name in names) if names else tuple(f"x{j}" for j in range(width))
    filled = tuple(str(unit or "") for unit in units) if units else ("",) * width
    sorts = tuple(kinds) if kinds else (("continuous",) * width if len(shape) == 1 else ("pixel",))
    w = None if weights is None or real is None else np.asarray(weights, dtype=float)
    several = None if replicas is None else np.stack([_shaped(x, shape) for x in replicas])
    return Samples(arrays[0], arrays[1], labels, filled, sorts, w, several)


def _shaped(values: Any, shape: Sequence[int]) -> np.ndarray:
    x = np.asarray(values, dtype=float)
    same_size = x.ndim > 1 and int(np.prod(x.shape[1:])) == int(np.prod(shape))
    return x.reshape(len(x), *shape) if same_size or x.ndim == 1 else x


def _meta(
    samples: Samples | None,
    result: "ValidationResult | None",
    history: Sequence[Mapping[str, float]] | None,
    training: JsonObject | None,
) -> tuple[str, ...]:
    parts = []
    if samples is not None:
        what = " × ".join(str(size) for size in samples.real.shape[1:])
        parts.append(f"{'images' if samples.are_images else 'columns'}: {what}")
        parts += [f"real: {len(samples.real):,}"] if len(samples.real) else []
        parts += [f"generated: {len(samples.generated):,}"] if len(samples.generated) else []
    if history:
        last = history[-1]
        parts.append(f"training steps: {last.get('step', len(history)):,.0f}")
        minutes, rest = divmod(round(last.get("seconds", 0.0)), 60)
        time = f"{minutes} min {rest} s" if minutes else f"{last.get('seconds', 0.0):.1f} s"
        parts += [f"training time: {time}"] if last.get("seconds") else []
    parts += [f"steps {training['compiled']}"] if training and training.get("compiled") else []
    if result is not None:
        parts.append(f"validation seed: {result.seed}")
    return tuple(parts)
