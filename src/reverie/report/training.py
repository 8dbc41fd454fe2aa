"""How training went: its health, losses and gradients, samples along the way, and how much the seed matters."""

import math
from collections.abc import Sequence

import numpy as np

from reverie.core.bands import equivalent_events
from reverie.core.statistics import ks_distance
from reverie.plots.images import image_rows
from reverie.plots.snapshots import choose_pair, evolution, projections
from reverie.plots.training import (
    amplification,
    best_step,
    coverage,
    discriminator_outputs,
    gradient_norms,
    held_out_score,
    learning_curves,
    losses,
    value_terms,
)
from reverie.report.page import Block, Details, Gallery, Text, png, svg, table
from reverie.report.samples import Samples
from reverie.report.words import JsonObject, measured, number

__all__ = [
    "ENDINGS",
    "game",
    "gradients",
    "health",
    "health_warning",
    "is_watched",
    "samples_on_the_way",
    "spread_of_replicas",
]

_QUANTILES = 20  # bins of equal content in which a sample is held against true events
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
    "events, or, where there is none, with the least score; of flow matching the one with the least loss among those "
    "whose scores cannot be told from the least."
)
_MEANINGS = {
    "held_out_loss": "mean loss on held-out events; nats where the loss is a likelihood",
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
    "augmentation": "probability with which the discriminator sees an event transformed",
    "d_overfitting": (
        "what the discriminator says of held-out events: 0 as of training events, 1 as of generated ones"
    ),
    "g_gradient": "mean gradient that a generated event receives",
    "copies": "share of generated events closer to a training event than chance explains",
}
ENDINGS = {
    "max_steps": "it took all its steps",
    "max_time": "its time was used up",
    "equilibrium": "the discriminator stood near 1/2 on both classes and the held-out score no longer improved",
    "overfitting": "the loss on held-out events had long risen, since few training events are soon known by heart",
    "alarm": "an alarm stopped it",
    "interrupted": "it was interrupted",
}


_LOSSES = "Loss of the discriminator and of the generator against the training step."
_OUTPUTS = "Mean output of the discriminator for real and generated data by step."
_VALUE = "The two terms of the value, E log D(x) and E log(1 - D(G(z))), by step."
_COVERAGE = (
    "Share of held-out events with a generated one nearer than their fifth nearest held-out one, over that of a "
    "perfect generator, and of generated events so near to a held-out one, by step."
)


def _alarms(history: Sequence[JsonObject]) -> list[JsonObject]:
    """Return the alarms of a history in their order, each with kind, step, evidence and remedy."""
    return [alarm for row in history for alarm in row.get("alarms", ())]


def is_watched(history: Sequence[JsonObject]) -> bool:
    """Return whether training was checked on held-out events, or raised an alarm."""
    return any("score" in row or "held_out_loss" in row for row in history) or bool(_alarms(history))


def health_warning(history: Sequence[JsonObject]) -> str:
    """Return a sentence for the head of the report when there were alarms, or ""."""
    alarms = _alarms(history)
    if not alarms:
        return ""
    named = ", ".join(dict.fromkeys(f"{alarm['kind']} (step {alarm['step']:,})" for alarm in alarms[-3:]))
    return f"Training raised {_counted(len(alarms), 'alarm')}: {named}. See “Health of training”."


def health(history: Sequence[JsonObject], training: JsonObject | None = None) -> list[Block]:
    """Return how healthy training was and how it ended, or nothing when it was not watched."""
    if not is_watched(history):
        return []
    checks = [row for row in history if "score" in row or "held_out_loss" in row]
    alarms, training = _alarms(history), training or {}
    sentences = []
    if reason := ENDINGS.get(str(training.get("ended_by"))):
        sentences.append(f"Training ended at step {training['step']:,}: {reason}.")
    if training.get("compiled"):
        sentences.append(f"Steps were {training['compiled']}.")
    n_alarms = _counted(len(alarms), "alarm") if alarms else "No alarm"
    sentences.append(f"{n_alarms} in {_counted(len(checks), 'check')} on held-out events.")
    sentences += filter(None, [training.get("augmentation")])
    best = best_step(history)
    row = next((r for r in history if r.get("step") == best and "score" in r), None)
    if row is not None:
        level = f" (real against real: {number(row['score_real'])})" if "score_real" in row else ""
        score = measured(row["score"], row.get("score_error"))
        sentences.append(f"The model is that of step {best:,}, with a score of {score}{level}.")
    blocks: list[Block] = [Text(" ".join(sentences))]
    if alarms:
        columns = {"Step": "number", "Alarm": "bad", "Evidence": "plain", "What to do": "plain"}
        rows = [(f"{a['step']:,}", str(a["kind"]), str(a["evidence"]), str(a["remedy"])) for a in alarms]
        blocks.append(table(columns, rows))
    score_alt = "Held-out score with error by training step, with the kept checkpoint marked."
    drawn = (
        (held_out_score(history, alarms), score_alt),
        (discriminator_outputs(history), _OUTPUTS),
        (value_terms(history), _VALUE),
        (coverage(history), _COVERAGE),
        (losses(history), _LOSSES),
        *((figure, f"{figure.axes[0].get_title()} by training step.") for figure in learning_curves(history)),
    )
    pictures = tuple(svg(figure, alt) for figure, alt in drawn if figure is not None)
    blocks += [Gallery(pictures, size="large")] if pictures else []
    if checks:
        last = checks[-1]
        rows = [(key, number(last[key]), text) for key, text in _MEANINGS.items() if key in last]
        content = table({"Quantity": "code", "Value": "number", "Meaning": "plain"}, rows)
        blocks.append(Text(_LEAD if "d_auc" in last else _LEAD_ALONE, "note"))
        blocks.append(Details(f"What the last check measured (step {last['step']:,})", (content,)))
    return blocks


def _counted(n: int, word: str) -> str:
    return f"{n:,} {word}" + ("" if n == 1 else "s")


def gradients(history: Sequence[JsonObject]) -> list[Block]:
    """Return the gradient norms, or nothing when the history holds none."""
    figure = gradient_norms(history)
    alt = "Gradient norms of both players against the training step."
    return [] if figure is None else [Gallery((svg(figure, alt),), size="large")]


def game(history: Sequence[JsonObject]) -> list[Block]:
    """Return losses, discriminator outputs and gradient norms, or nothing when the history holds none of them."""
    drawn = ((losses(history), _LOSSES), (discriminator_outputs(history), _OUTPUTS))
    pictures, of_norms = tuple(svg(figure, alt) for figure, alt in drawn if figure is not None), gradients(history)
    if not pictures and not of_norms:
        return []
    lead = (
        "The two players’ losses say little by themselves; the game is balanced when the discriminator answers 1/2 to "
        "real and generated data alike. Faint: single records. Bold: their running mean."
    )
    return [
        Text(lead),
        Gallery(pictures, size="large"),
        *([Details("Gradient norms", tuple(of_norms))] if of_norms else []),
    ]


def samples_on_the_way(samples: Samples, drawn: Sequence[tuple[int, np.ndarray]]) -> list[Block]:
    """Return the samples `drawn` at selected steps: rows of images, or projections and columns of a table."""
    if samples.are_images:
        figure = image_rows(drawn, samples.real, kind=samples.kinds[0])
        alt = "One row of generated images per selected training step, real images in the last row."
        return [png(figure, alt, wide=True)]
    real, last = samples.real, max(drawn, key=lambda pair: pair[0])[1]
    i, j = choose_pair(real, last) if len(real) else (0, min(1, last.shape[1] - 1))
    lead = "Generated samples at selected training steps, in the two columns that still differ most at the end."
    blocks: list[Block] = [Text(lead)]
    if i != j and len(real) and samples.weights is None:
        labels = {"names": samples.names, "units": samples.units, "kinds": samples.kinds}
        figure = projections(real, drawn, columns=(i, j), **labels)
        alt = f"{samples.names[i]} against {samples.names[j]} at several training steps, real data last."
        caption = "Ink contours hold 39 % and 86 % of the real data; they are the same in every panel."
        blocks.append(svg(figure, alt, caption, wide=True))
    pictures = []
    for c in dict.fromkeys((i, j)) if len(real) else ():
        name, values = samples.names[c], [(step, x[:, c]) for step, x in drawn]
        figure = evolution(
            real[:, c], values, name=name, unit=samples.units[c], kind=samples.kinds[c], weights=samples.weights
        )
        pictures.append(svg(figure, f"Histogram of {name} at several training steps, with the real data as points."))
    return [*blocks, *([Gallery(tuple(pictures), size="large")] if pictures else [])]


def spread_of_replicas(samples: Samples, trained_on: int | None = None) -> list[Block]:
    """Return the table of the spread between replicas, or nothing when there are fewer than two.

    `trained_on` is the number of events in each bootstrap sample that they were trained on; with it follows how many
    true events the samples are worth.
    """
    if samples.replicas is None or len(samples.replicas) < 2:
        return []
    n_replicas, n = samples.replicas.shape[:2]
    text = (
        f"{n_replicas} models were trained, with other weights, batches and noise. Below are mean ± standard deviation "
        f"over the replicas, from {n:,} samples of each; part of it is the noise of these samples. The hatched band in "
        "the panels of the columns is the 68 % band from the same spread, without that noise."
    )
    headers = ("Mean, real", "Mean, replicas", "Sd, real", "Sd, replicas", "KS distance, replicas", "worst replica")
    of_real, of_replicas = samples.numbers(samples.real), [samples.numbers(x) for x in samples.replicas]
    rows = []
    for j, name in enumerate(samples.rows_of_numbers):
        real, each = of_real[:, j], [x[:, j] for x in of_replicas]
        means, spreads = _spread([x.mean() for x in each]), _spread([x.std() for x in each])
        distances = [ks_distance(real, x) for x in each]
        if len(real):
            worst = int(np.argmax(distances))
            of_distance = _spread(distances), f"{worst}: {number(distances[worst])}"
            rows.append((name, number(real.mean()), means, number(real.std()), spreads, *of_distance))
        else:
            rows.append((name, "–", means, "–", spreads, "–", "–"))
    worth = [] if trained_on is None or samples.are_images else _amplification(samples, trained_on)
    return [Text(text), *worth, table({"Column": "plain"} | dict.fromkeys(headers, "number"), rows)]


def _amplification(samples: Samples, trained_on: int) -> list[Block]:
    """Return how many true events a sample is worth in each column of real numbers, as a sentence and a figure."""
    assert samples.replicas is not None
    n, worths = samples.replicas.shape[1], {}
    for j, name in enumerate(samples.names):
        x = samples.replicas[..., j]
        edges = np.quantile(x, np.arange(1, _QUANTILES) / _QUANTILES)
        if len(np.unique(edges)) == len(edges) and samples.kinds[j] not in ("integer", "categorical", "spin"):
            counts = [np.bincount(np.searchsorted(edges, one), minlength=_QUANTILES) for one in x]
            worths[name] = equivalent_events(np.array(counts) / n, n)
    if not worths:
        return []
    each = ", ".join(
        f"{measured(one.value, one.error)} in {name}" if math.isfinite(one.value) else f"more than {n:,} in {name}"
        for name, one in worths.items()
    )
    text = (
        f"In the shares of {_QUANTILES} bins of equal content, a large sample of the model is worth this many true "
        f"events: {each}. Each replica was trained on {trained_on:,} events; a model worth more amplifies them. Of "
        "n events fewer, 1/N = 1/N(model) + 1/n. What all replicas miss alike, their spread does not show."
    )
    alt = "Number of true events that a generated sample is worth, by its size, for each column."
    return [Text(text), svg(amplification(worths, trained_on), alt)]


def _spread(values: Sequence[float]) -> str:
    return measured(float(np.mean(values)), float(np.std(values, ddof=1)))
