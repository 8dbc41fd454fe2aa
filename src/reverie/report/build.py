"""From results to a page to a file, in the order a reader asks: can I trust it, how did it go, what does it look like.

Every part may be missing; its section is then left out, and the verdict says when nothing was tested.
"""

import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from reverie.core.assessment import Assessment, LatentView
from reverie.core.bibliography import BIBLIOGRAPHY
from reverie.core.types import ArrayLike
from reverie.report.model import assessed, latent_space
from reverie.report.page import Page, save, sections
from reverie.report.provenance import origins, references_of
from reverie.report.samples import Samples, column_pairs, columns, conditioned, images, particles
from reverie.report.training import (
    game,
    gradients,
    health,
    health_warning,
    is_watched,
    samples_on_the_way,
    spread_of_replicas,
)
from reverie.report.validation import copies, differences, tests, verdict
from reverie.report.words import JsonObject
from reverie.validation.inputs.sets import set_features

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
    words: Mapping[str, Sequence[str]] | None = None,
    event_shape: Sequence[int] | None = None,
    conditions: JsonObject | None = None,
    snapshots: Sequence[tuple[int, np.ndarray]] | None = None,
    unvalidated: str = "",
    assessment: Assessment | None = None,
    latent: LatentView | None = None,
    training: JsonObject | None = None,
    trained_on: int | None = None,
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
    history : Records of the training; keys step, d_loss, g_loss, d_real, d_fake, d_grad_norm, g_grad_norm, and of
        checks score, score_error, alarms, ...; each of them may be missing.
    result : A `reverie.validation.ValidationResult`, or None.
    title, subtitle : Heading of the page.
    real, generated : Samples (n, *event) in original units.
    real_weights : (n,) event weights of `real`, negative ones too: its histograms are weighted.
    replicas : (replica, n, *event) samples of each of several replicas.
    names, units, kinds : One per column; one for all pixels of images.
    words : Words behind the codes 0, 1, ... of columns of words, by name.
    event_shape : Shape of one event, if the arrays come flattened as (n, pixel).
    conditions : What the samples were conditioned on: "names", "units", "levels" (words by value, or None for a
        number), and "real" (n, k) and "generated" (m, k), row by row with the samples.
    snapshots : Pairs (step, samples (n, *event)) drawn during training.
    unvalidated : Why there is no `result`, in a sentence.
    assessment : What the model says of itself, or None.
    latent : A look into its latent space, or None.
    training : How training ended: "step" and "ended_by", and whether steps were "compiled".
    trained_on : Events in the bootstrap sample that each replica was trained on, whose spread then says how many true
        events the samples are worth; None where they were not.
    provenance : Where the data came from: source, licence, hash, sizes, seeds.
    config, environment : The settings; versions and machine.
    resolved : What the options of the model that were left open, by "auto" or null, came to.
    references : Pairs (key, text or BibTeX entry) of the methods used; None takes those of the validation.
    command : The line that makes this run again.
    """
    drawn = _samples(real, generated, names, units, kinds, event_shape, real_weights, replicas)
    drawn = drawn and replace(drawn, words=words or {})
    if references is None and result is not None:
        references = [(key, BIBLIOGRAPHY[key]) for key in result.references if key in BIBLIOGRAPHY]
    shape = () if drawn is None else drawn.real.shape[1:]
    of_sets, along = None if drawn is None or drawn.sets is None else drawn.sets[2], []
    for step, x in snapshots or () if drawn else ():
        along.append((int(step), _shaped(x, shape) if of_sets is None else set_features(np.asarray(x), of_sets)[0]))
    table = None if drawn is None or drawn.are_images else drawn
    checks = () if result is None else result.checks
    p_values = {check.feature: check.p_value for check in checks if check.feature and check.name == "KS"}
    history, watched = history or (), is_watched(history or ())
    shown = sections(
        ("verdict", "Verdict", "", verdict(result, unvalidated, health_warning(history))),
        ("health", "Health of training", "Health", health(history, training)),
        ("training", "How the game went", "Training", [] if watched else game(history)),
        ("training", "Gradient norms", "Gradients", gradients(history) if watched else []),
        ("model", "What the model says of itself", "Model", assessed(assessment)),
        ("snapshots", "Samples along the way", "Along the way",
         samples_on_the_way(drawn, along) if drawn and along else []),
        ("images", "Images side by side", "Images", images(drawn) if drawn and not table else []),
        ("sets", "Particles side by side", "Particles", particles(drawn) if drawn else []),
        ("marginals", "Column by column", "Columns", columns(table, p_values) if table else []),
        ("pairs", "Pair by pair", "Pairs", column_pairs(table) if table else []),
        ("conditions", "Asked for, and given", "Conditions", conditioned(drawn, conditions) if drawn else []),
        ("replicas", "How far the replicas agree", "Replicas", spread_of_replicas(drawn, trained_on) if drawn else []),
        ("latent", "A look into the latent space", "Latent space",
         latent_space(latent, drawn.names, drawn.kinds) if drawn and not of_sets else []),
        ("where", "Where they differ", "Where", differences(result)),
        ("validation", "The tests, one by one", "Validation", tests(result)),
        ("copies", "Copies of training events", "Copies", copies(None if result is None else result.memorisation)),
        ("provenance", "Where it came from", "Provenance", origins(command, provenance, config, resolved, environment)),
        ("references", "Methods used, and whom to cite", "References", references_of(references)),
    )  # fmt: skip
    meta = []
    if drawn is not None:
        what = " × ".join(str(size) for size in shape)
        sort = "features of a set" if of_sets else "images" if drawn.are_images else "columns"
        meta.append(f"{sort}: {what}")
        meta += [f"{name}: {len(x):,}" for name, x in (("real", drawn.real), ("generated", drawn.generated)) if len(x)]
    if history:
        last = history[-1]
        meta.append(f"training steps: {last.get('step', len(history)):,.0f}")
        minutes, rest = divmod(round(last.get("seconds", 0.0)), 60)
        time = f"{minutes} min {rest} s" if minutes else f"{last.get('seconds', 0.0):.1f} s"
        meta += [f"training time: {time}"] if last.get("seconds") else []
    meta += [f"steps {training['compiled']}"] if training and training.get("compiled") else []
    meta += [f"validation seed: {result.seed}"] if result is not None else []
    return Page(title, subtitle, shown, meta=tuple(meta))


def _samples(
    real: ArrayLike | None,
    generated: ArrayLike | None,
    names: Sequence[str] | None,
    units: Sequence[str] | None,
    kinds: Sequence[str] | None,
    event_shape: Sequence[int] | None,
    weights: np.ndarray | None,
    replicas: Sequence[np.ndarray] | np.ndarray | None,
) -> Samples | None:
    known = real if real is not None else generated
    if known is None:
        return None
    shape = tuple(event_shape) if event_shape else np.asarray(known).shape[1:] or (1,)
    arrays = [np.empty((0, *shape)) if x is None else _shaped(x, shape) for x in (real, generated)]
    w = None if weights is None or real is None else np.asarray(weights, dtype=float)
    if names and kinds and kinds[-1] == "mask":  # sets of particles (n, P, F + 1): a table of their features
        (of_real, called), (of_generated, _) = (set_features(x, names) for x in arrays)
        sorts = tuple("integer" if name == "multiplicity" else "continuous" for name in called)
        several = None if replicas is None else np.stack([set_features(x, names)[0] for x in replicas])
        unit_of = dict(zip(names, units or (), strict=False))  # "sum pt" and "pt[1]" have the unit of "pt"
        filled = tuple(unit_of.get(name.split(" ")[-1].partition("[")[0], "") for name in called)
        return Samples(of_real, of_generated, called, filled, sorts, w, several, (arrays[0], arrays[1], tuple(names)))
    width = shape[0] if len(shape) == 1 else 1
    labels = tuple(str(name) for name in names) if names else tuple(f"x{j}" for j in range(width))
    filled = tuple(str(unit or "") for unit in units) if units else ("",) * width
    sorts = tuple(kinds) if kinds else (("continuous",) * width if len(shape) == 1 else ("pixel",))
    several = None if replicas is None else np.stack([_shaped(x, shape) for x in replicas])
    return Samples(arrays[0], arrays[1], labels, filled, sorts, w, several)


def _shaped(values: ArrayLike, shape: Sequence[int]) -> np.ndarray:
    x = np.asarray(values, dtype=float)
    same_size = x.ndim > 1 and int(np.prod(x.shape[1:])) == int(np.prod(shape))
    return x.reshape(len(x), *shape) if same_size or x.ndim == 1 else x
