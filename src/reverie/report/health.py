"""How healthy training was: alarms with their evidence and remedy, the held-out score, the discriminator's answers."""

from collections.abc import Mapping, Sequence
from typing import Any

from reverie.plots.health import best_step, coverage, held_out_score
from reverie.plots.style import to_svg
from reverie.plots.training import discriminator_outputs, learning_curves, losses
from reverie.report.page import Block, Cell, Details, Gallery, Picture, Section, Table, Text
from reverie.report.words import measured, number

__all__ = ["alarms_of", "health_section", "health_warning"]

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


def alarms_of(history: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return the alarms of a history in their order, each with kind, step, evidence and remedy."""
    return [dict(alarm) for row in history for alarm in row.get("alarms", ())]


def health_warning(history: Sequence[Mapping[str, Any]]) -> str:
    """Return a sentence for the head of the report when there were alarms, or ""."""
    alarms = alarms_of(history)
    if not alarms:
        return ""
    named = ", ".join(dict.fromkeys(f"{alarm['kind']} (step {alarm['step']:,})" for alarm in alarms[-3:]))
    return f"Training raised {_counted(len(alarms), 'alarm')}: {named}. See “Health of training”."


def health_section(history: Sequence[Mapping[str, Any]], training: Mapping[str, Any] | None = None) -> Section | None:
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
    blocks: list[Block] = [Text(_ending(training) + _count_text(alarms, n_checks) + _best_text(history))]
    if alarms:
        blocks.append(_alarm_table(alarms))
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
        blocks.append(Details(f"What the last check measured (step {last['step']:,})", (_last_check(last),)))
    return Section("health", "Health of training", tuple(blocks), "Health")


def _ending(training: Mapping[str, Any] | None) -> str:
    reason = _ENDINGS.get(str((training or {}).get("ended_by")))
    steps = (training or {}).get("compiled")
    said = f"Training ended at step {(training or {})['step']:,}: {reason}. " if reason else ""
    return f"{said}Steps were {steps}. " if steps else said


def _count_text(alarms: Sequence[Mapping[str, Any]], n_checks: int) -> str:
    if not alarms:
        return f"No alarm in {_counted(n_checks, 'check')} on held-out events."
    return f"{_counted(len(alarms), 'alarm')} in {_counted(n_checks, 'check')} on held-out events."


def _best_text(history: Sequence[Mapping[str, Any]]) -> str:
    best = best_step(history)
    row = next((r for r in history if r.get("step") == best and "score" in r), None)
    if row is None:
        return ""
    text = f" The model is that of step {best:,}, with a score of {measured(row['score'], row.get('score_error'))}"
    level = f" (real against real: {number(row['score_real'])})" if "score_real" in row else ""
    return f"{text}{level}."


def _counted(n: int, word: str) -> str:
    return f"{n:,} {word}" + ("" if n == 1 else "s")


def _alarm_table(alarms: Sequence[Mapping[str, Any]]) -> Table:
    rows = tuple(
        (
            Cell(f"{alarm['step']:,}", "number"),
            Cell(str(alarm["kind"]), "bad"),
            Cell(str(alarm["evidence"])),
            Cell(str(alarm["remedy"])),
        )
        for alarm in alarms
    )
    return Table(("Step", "Alarm", "Evidence", "What to do"), rows)


def _last_check(row: Mapping[str, Any]) -> Table:
    rows = tuple((Cell(key, "code"), Cell(number(row[key]), "number"), Cell(text))
                 for key, text in _MEANINGS.items() if key in row)  # fmt: skip
    return Table(("Quantity", "Value", "Meaning"), rows)
