"""How training went: its health, losses and gradients, samples along the way, and how much the seed matters."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from reverie.core.statistics import ks_distance
from reverie.plots.health import best_step, coverage, held_out_score
from reverie.plots.images import image_rows
from reverie.plots.snapshots import choose_pair, evolution, projections
from reverie.plots.style import to_png, to_svg
from reverie.plots.training import discriminator_outputs, gradient_norms, learning_curves, losses
from reverie.report.page import Block, Cell, Details, Gallery, Picture, Section, Table, Text
from reverie.report.samples import Samples
from reverie.report.words import JsonObject, measured, number

__all__ = [
    "alarms_of",
    "health_section",
    "health_warning",
    "replicas_section",
    "snapshots_section",
    "training_section",
]

_LEAD = (
    "A part of the training events was kept from training. At every check the generator drew samples from the same "
    "noise, and they were compared with those events. The score is a distance, 0 in expectation for a perfect "
    "generator; its bars are the error of the comparison. The checkpoint that was kept is the one with the best "
    "score within its error, not the one with the least loss: the losses of the two players say little by themselves."
)
_LEAD_ALONE = (
    "A part of the training events was kept from training. At every check the model’s loss on them was measured, and "
    "samples of it were compared with them. The score is a distance, 0 in expectation for a perfect generator; its "
    "bars are the error of the comparison. The checkpoint that was kept is the one with the least loss on those "
    "events, or, where there is none, with the least score."
)
_MEANINGS = {
    "held_out_loss": "mean loss on held-out events; nats where the model has a likelihood",
    "held_out_error": "standard error of that mean",
    "score": "distance of generated from held-out events",
    "score_error": "standard error of the score",
    "score_real": "the same distance for real events",
    "coverage": (
        "share of held-out events with a generated one nearer than their fifth nearest held-out one (coverage, as "
        "among the tests, here of up to 2,000 events), over that of a perfect generator"
    ),
    "plausible": "share of generated events nearer to a held-out one than its fifth nearest held-out one",
    "lost": "share of the real events in regions that the generator (nearly) leaves out",
    "d_auc": "how well the discriminator ranks held-out above generated events (0.5: not at all)",
    "d_memory": "how well it ranks training above held-out events (0.5: it has not memorised)",
    "g_gradient": "mean gradient that a generated event receives",
    "copies": "share of generated events closer to a training event than chance explains",
}
_ENDINGS = {
    "max_steps": "it took all its steps",
    "max_time": "its time was used up",
    "equilibrium": "the discriminator stood near 1/2 on both classes and the held-out score no longer improved",
    "alarm": "an alarm stopped it",
    "interrupted": "it was interrupted",
}


def alarms_of(history: Sequence[JsonObject]) -> list[dict[str, Any]]:
    """Return the alarms of a history in their order, each with kind, step, evidence and remedy."""
    return [dict(alarm) for row in history for alarm in row.get("alarms", ())]


def health_warning(history: Sequence[JsonObject]) -> str:
    """Return a sentence for the head of the report when there were alarms, or ""."""
    alarms = alarms_of(history)
    if not alarms:
        return ""
    named = ", ".join(dict.fromkeys(f"{alarm['kind']} (step {alarm['step']:,})" for alarm in alarms[-3:]))
    return f"Training raised {_counted(len(alarms), 'alarm')}: {named}. See “Health of training”."


def health_section(history: Sequence[JsonObject], training: JsonObject | None = None) -> Section | None:
    """Return the section on the health of training, or None when it was not watched.

    Parameters
    ----------
    history : records; those of checks hold "score", any may hold "alarms".
    training : how training ended: "step" and "ended_by".
    """
    checks = [row for row in history if "score" in row or "held_out_loss" in row]
    alarms, n_checks = alarms_of(history), len(checks)
    if not alarms and not n_checks:
        return None
    blocks: list[Block] = [Text(_summary(history, alarms, n_checks, training or {}))]
    if alarms:
        alarm_rows = [
            (Cell(f"{alarm['step']:,}", "number"), Cell(str(alarm["kind"]), "bad"))
            + (Cell(str(alarm["evidence"])), Cell(str(alarm["remedy"])))
            for alarm in alarms
        ]
        blocks.append(Table(("Step", "Alarm", "Evidence", "What to do"), tuple(alarm_rows)))
    drawn = (
        (
            held_out_score(history, alarms),
            "Held-out score with error by training step, with the kept checkpoint marked.",
        ),
        (discriminator_outputs(history), "Mean output of the discriminator for real and generated data by step."),
        (
            coverage(history),
            "Share of held-out events with a generated one nearer than their fifth nearest held-out one, over that of "
            "a perfect generator, and of generated events so near to a held-out one, by step.",
        ),
        (losses(history), "Loss of the discriminator and of the generator against the training step."),
    )
    pictures = tuple(Picture(to_svg(figure), alt) for figure, alt in drawn if figure is not None)
    pictures += tuple(
        Picture(to_svg(figure), f"{figure.axes[0].get_title()} by training step.")
        for figure in learning_curves(history)
    )
    blocks += [Gallery(pictures, size="large")] if pictures else []
    if n_checks:
        last = checks[-1]
        blocks.append(Text(_LEAD if "d_auc" in last else _LEAD_ALONE, "note"))
        rows = [
            (Cell(key, "code"), Cell(number(last[key]), "number"), Cell(text))
            for key, text in _MEANINGS.items()
            if key in last
        ]
        table = Table(("Quantity", "Value", "Meaning"), tuple(rows))
        blocks.append(Details(f"What the last check measured (step {last['step']:,})", (table,)))
    return Section("health", "Health of training", tuple(blocks), "Health")


def _summary(
    history: Sequence[JsonObject],
    alarms: Sequence[JsonObject],
    n_checks: int,
    training: JsonObject,
) -> str:
    """Return how training ended, how many alarms there were, and which step the model is of."""
    sentences = []
    if reason := _ENDINGS.get(str(training.get("ended_by"))):
        sentences.append(f"Training ended at step {training['step']:,}: {reason}.")
    if training.get("compiled"):
        sentences.append(f"Steps were {training['compiled']}.")
    n_alarms = _counted(len(alarms), "alarm") if alarms else "No alarm"
    sentences.append(f"{n_alarms} in {_counted(n_checks, 'check')} on held-out events.")
    best = best_step(history)
    row = next((r for r in history if r.get("step") == best and "score" in r), None)
    if row is not None:
        level = f" (real against real: {number(row['score_real'])})" if "score_real" in row else ""
        score = measured(row["score"], row.get("score_error"))
        sentences.append(f"The model is that of step {best:,}, with a score of {score}{level}.")
    return " ".join(sentences)


def _counted(n: int, word: str) -> str:
    return f"{n:,} {word}" + ("" if n == 1 else "s")


def training_section(history: Sequence[JsonObject], *, is_watched: bool = False) -> Section | None:
    """Return losses, discriminator outputs and gradient norms, or None when the history holds none of them.

    Parameters
    ----------
    history : records of the training.
    is_watched : whether losses and outputs stand in the section on the health of training already.
    """
    norms = gradient_norms(history)
    if is_watched:
        return None if norms is None else Section("training", "Gradient norms", (_norms(norms),), "Gradients")
    drawn = (
        (losses(history), "Loss of the discriminator and of the generator against the training step."),
        (discriminator_outputs(history), "Mean output of the discriminator for real and generated data by step."),
    )
    pictures = [Picture(to_svg(figure), alt) for figure, alt in drawn if figure is not None]
    if not pictures and norms is None:
        return None
    lead = (
        "The two players’ losses say little by themselves; the game is balanced when the discriminator answers 1/2 to "
        "real and generated data alike. Faint: single records. Bold: their running mean."
    )
    blocks: list[Block] = [Text(lead), Gallery(tuple(pictures), size="large")]
    if norms is not None:
        blocks.append(Details("Gradient norms", (_norms(norms),)))
    return Section("training", "How the game went", tuple(blocks), "Training")


def _norms(figure: Figure) -> Gallery:
    picture = Picture(to_svg(figure), "Gradient norms of both players against the training step.")
    return Gallery((picture,), size="large")


def snapshots_section(samples: Samples, snapshots: Sequence[tuple[int, np.ndarray]]) -> Section:
    """Return the samples at selected steps: rows of images, or projections and columns of a table."""
    last = max(snapshots, key=lambda pair: pair[0])[1]
    if samples.are_images:
        figure = image_rows(snapshots, samples.real, kind=samples.kinds[0])
        alt = "One row of generated images per selected training step, real images in the last row."
        blocks: list[Block] = [Picture(to_png(figure), alt, media="png", wide=True)]
        return Section("snapshots", "Samples along the way", tuple(blocks), "Along the way")
    real, labels = samples.real, {"names": samples.names, "units": samples.units, "kinds": samples.kinds}
    i, j = choose_pair(real, last) if len(real) else (0, min(1, last.shape[1] - 1))
    lead = "Generated samples at selected training steps, in the two columns that still differ most at the end."
    blocks = [Text(lead)]
    if i != j and len(real) and samples.weights is None:
        figure = projections(real, snapshots, columns=(i, j), **labels)
        alt = f"{samples.names[i]} against {samples.names[j]} at several training steps, real data last."
        caption = "Ink contours hold 39 % and 86 % of the real data; they are the same in every panel."
        blocks.append(Picture(to_svg(figure), alt, caption, wide=True))
    pictures = [_evolution(samples, snapshots, c) for c in dict.fromkeys((i, j))] if len(real) else []
    blocks += [Gallery(tuple(pictures), size="large")] if pictures else []
    return Section("snapshots", "Samples along the way", tuple(blocks), "Along the way")


def _evolution(samples: Samples, snapshots: Sequence[tuple[int, np.ndarray]], j: int) -> Picture:
    columns = [(step, x[:, j]) for step, x in snapshots]
    name, unit, kind = samples.names[j], samples.units[j], samples.kinds[j]
    figure = evolution(samples.real[:, j], columns, name=name, unit=unit, kind=kind, weights=samples.weights)
    return Picture(to_svg(figure), f"Histogram of {name} at several training steps, with the real data as points.")


_MOST_COLUMNS = 30


def replicas_section(samples: Samples) -> Section | None:
    """Return the table of the spread between replicas, or None when there are fewer than two."""
    if samples.replicas is None or len(samples.replicas) < 2:
        return None
    n_replicas, n = samples.replicas.shape[:2]
    text = (
        f"{n_replicas} independent games were played, with other weights, batches and noise. Below are mean ± standard "
        f"deviation over the replicas, from {n:,} samples of each; part of it is the noise of these samples. The same "
        "spread is hatched in the panels of the columns, from the lowest to the highest replica in each bin."
    )
    headers = ("Column", "Mean, real", "Mean, replicas", "Sd, real", "Sd, replicas", "KS distance, replicas",
               "worst replica")  # fmt: skip
    rows = tuple(_row(samples, name, j) for j, name in enumerate(samples.rows_of_numbers))
    blocks: list[Block] = [Text(text), Table(headers, rows)]
    return Section("replicas", "How much the seed matters", tuple(blocks), "Replicas")


def _row(samples: Samples, name: str, j: int) -> tuple[Cell, ...]:
    real, replicas = samples.numbers(samples.real)[:, j], [samples.numbers(x)[:, j] for x in samples.replicas]  # pyright: ignore
    distances = np.array([ks_distance(real, x) for x in replicas])
    texts = (
        number(real.mean()) if len(real) else "–",
        _spread([x.mean() for x in replicas]),
        number(real.std()) if len(real) else "–",
        _spread([x.std() for x in replicas]),
        _spread(distances) if len(real) else "–",
        f"{int(np.argmax(distances))}: {number(distances.max())}" if len(real) else "–",
    )
    return (Cell(name), *(Cell(text, "number") for text in texts))


def _spread(values: np.ndarray | list[float]) -> str:
    return measured(float(np.mean(values)), float(np.std(values, ddof=1)))
