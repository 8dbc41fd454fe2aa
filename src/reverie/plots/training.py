"""Training over the iterations: losses, the discriminator's outputs, gradient norms, energies, any named lines.

At the equilibrium of the game the discriminator cannot tell real from generated and answers 1/2 to both (Goodfellow et
al., arXiv:1406.2661); that line is drawn. Raw records are faint, their running mean is bold. Where the history holds a
quantity replica by replica, as ``d_loss.0``, ``d_loss.1``, ..., a band reaches from the lowest to the highest of them.

The held-out score compares generated samples with events that training never saw; 0 is what a perfect generator has in
expectation, and less is better. Of several replicas the mean is drawn, and the range over them shaded. The error is
that of the comparison, not of another training. What real events score against real ones is drawn where the history
holds it (``score_real``), and the checkpoint that was kept is marked (the last with ``kept`` > 0; the lowest score
where the history does not say).
"""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from reverie.core.bands import equivalent_of_sample
from reverie.plots.style import ALERT, CRITIC, DASHED, GENERATED, MUTED, REAL, legend_above, panel, style

__all__ = [
    "amplification",
    "best_step",
    "coverage",
    "curve",
    "discriminator_outputs",
    "draw_curve",
    "gradient_norms",
    "held_out_score",
    "learning_curves",
    "line_figure",
    "losses",
    "smoothed",
    "step_axis",
    "value_terms",
]

if TYPE_CHECKING:
    from reverie.core.measured import Measured

History = Sequence[Mapping[str, Any]]
_MOST_POINTS = 1500
_COLORS = (REAL, GENERATED, CRITIC, MUTED)
_LEARNING = (
    ("Loss", "loss", (("loss", "training", REAL), ("held_out_loss", "held out", GENERATED))),
    ("Parts of the loss", "nats", (("reconstruction", "reconstruction", REAL), ("kl", "KL of the code", CRITIC))),
    ("Energies", "energy", (("energy_data", "data", REAL), ("energy_samples", "samples", GENERATED))),
    ("Free energy", "nats", (("free_energy_train", "training", REAL), ("free_energy_held_out", "held out", GENERATED))),
)  # fmt: skip


def curve(history: History, key: str) -> tuple[np.ndarray, np.ndarray]:
    """Return (steps, values) of the finite records of `key`; two empty arrays when there are none."""
    rows = [(row.get("step", i), row[key]) for i, row in enumerate(history) if row.get(key) is not None]
    table = np.array(rows, dtype=float).reshape(-1, 2)
    table = table[np.isfinite(table).all(axis=1)]
    return table[:, 0], table[:, 1]


def smoothed(values: np.ndarray, window: int | None = None) -> np.ndarray:
    """Return the running mean over `window` records around each (default: a thirtieth of them), fewer at the ends."""
    n = len(values)
    half = max(0, (window or n // 30) // 2)
    total = np.concatenate([[0.0], np.cumsum(values)])
    i = np.arange(n)
    first, behind = np.maximum(i - half, 0), np.minimum(i + half + 1, n)
    return (total[behind] - total[first]) / (behind - first)


def replica_band(history: History, key: str) -> tuple[np.ndarray, np.ndarray, np.ndarray] | None:
    """Return (steps, lowest, highest) over the replicas ``key.0``, ``key.1``, ..., each smoothed; None without them."""
    names = sorted({name for row in history[:1] for name in row if name.rpartition(".")[0] == key})
    curves = [curve(history, name) for name in names]
    if not curves or len({len(steps) for steps, _ in curves}) > 1 or not len(curves[0][0]):
        return None
    values = np.stack([smoothed(values) for _, values in curves])
    return curves[0][0], values.min(axis=0), values.max(axis=0)


def losses(history: History, *, ax: Axes | None = None) -> Figure | None:
    """Return the losses of both networks against the step, or None when the history has none."""
    parts = (("d_loss", "discriminator", CRITIC), ("g_loss", "generator", GENERATED))
    return _curves(history, parts, title="Losses of the two players", y_label="loss", ax=ax)


def discriminator_outputs(history: History, *, ax: Axes | None = None) -> Figure | None:
    """Return D(real) and D(fake) against the step with the equilibrium line at 1/2, or None without them."""
    parts = (("d_real", "D(real)", REAL), ("d_fake", "D(fake)", GENERATED))
    figure = _curves(history, parts, title="What the discriminator answers", y_label="mean output of D", ax=ax)
    if figure is not None:
        ax = ax or figure.axes[0]
        if all(((0 <= y) & (y <= 1)).all() for y in _drawn_values(ax)):
            ax.set_ylim(0, 1)
            ax.axhline(0.5, color=MUTED, lw=1.1, ls=DASHED, zorder=1, label="equilibrium 1/2")
            with style():
                legend_above(ax, ncols=3, columnspacing=1.4)
    return figure


def value_terms(history: History, *, ax: Axes | None = None) -> Figure | None:
    """Return the two terms of the value of the game against the step, or None of a game for something else.

    Both are -log 2 at equilibrium, which is drawn.
    """
    parts = (("log_d_real", "E log D(x)", REAL), ("log_not_d_fake", "E log(1 − D(G(z)))", GENERATED))
    figure = _curves(history, parts, title="The two terms of the value", y_label="nats", ax=ax)
    if figure is not None:
        ax = ax or figure.axes[0]
        ax.axhline(-np.log(2), color=MUTED, lw=1.1, ls=DASHED, zorder=1, label="equilibrium −log 2")
        with style():
            legend_above(ax, ncols=3, columnspacing=1.4)
    return figure


def learning_curves(history: History) -> list[Figure]:
    """Return what a model without an opponent learns by, as far as it was recorded: losses, their parts, energies."""
    drawn = [_curves(history, parts, title=title, y_label=label) for title, label, parts in _LEARNING]
    return [figure for figure in drawn if figure is not None]


def gradient_norms(history: History, *, ax: Axes | None = None) -> Figure | None:
    """Return the gradient norms of both networks on a logarithmic axis, or None when the history has none."""
    parts = (("d_grad_norm", "discriminator", CRITIC), ("g_grad_norm", "generator", GENERATED))
    figure = _curves(history, parts, title="Gradient norms", y_label="norm of the gradient", ax=ax)
    if figure is not None and all((y > 0).all() for y in _drawn_values(ax or figure.axes[0])):
        (ax or figure.axes[0]).set_yscale("log")
    return figure


def line_figure(
    lines: Mapping[str, tuple[Sequence[float], Sequence[float]]],
    *,
    title: str,
    x_label: str,
    y_label: str,
    ax: Axes | None = None,
) -> Figure:
    """Return a figure of named lines; beyond four they share one faint colour and need no legend.

    Parameters
    ----------
    lines : Pairs (x, y) by name.
    title, x_label, y_label : Texts of the figure.
    """
    few = len(lines) <= len(_COLORS)
    with panel(4.8, 2.85, (0.14, 0.975, 0.15, 0.83 if few else 0.88), ax) as (figure, ax):
        for i, (name, (x, y)) in enumerate(lines.items()):
            look: dict[str, Any] = (
                {"color": _COLORS[i], "lw": 1.5} if few else {"color": GENERATED, "lw": 0.7, "alpha": 0.5}
            )
            ax.plot(np.asarray(x), np.asarray(y), label=name, **look)
        ax.set_title(title, pad=22 if few and len(lines) > 1 else 8)
        ax.set_xlabel(x_label, labelpad=3)
        ax.set_ylabel(y_label)
        ax.margins(x=0.01)
        ax.xaxis.set_major_locator(MaxNLocator(6))
        if few and len(lines) > 1:
            legend_above(ax)
    return figure


def draw_curve(ax: Axes, steps: np.ndarray, values: np.ndarray, *, label: str, color: str) -> None:
    """Draw raw records faintly (a pixel layer) and their running mean boldly on `ax`."""
    thin = slice(None, None, -(-len(steps) // _MOST_POINTS))
    raw = {"lw": 0.7, "alpha": 0.28, "rasterized": len(steps) > 400}
    ax.plot(steps[thin], values[thin], color=color, marker="." if len(steps) < 3 else None, **raw)
    ax.plot(steps[thin], smoothed(values)[thin], color=color, lw=1.7, label=label)


def step_axis(ax: Axes, title: str, y_label: str, *, margin: float = 0.01) -> None:
    """Write title and labels of a panel over the training steps, with room for a legend between title and frame."""
    ax.set_title(title, pad=22)
    ax.set_xlabel("training step", labelpad=3)
    ax.set_ylabel(y_label)
    ax.margins(x=margin)
    ax.xaxis.set_major_locator(MaxNLocator(6))
    ax.xaxis.set_major_formatter(lambda x, _: f"{x:,.0f}")


def _drawn_values(ax: Axes) -> list[np.ndarray]:
    return [np.asarray(line.get_ydata()) for line in ax.get_lines()]


def _curves(
    history: History, parts: Sequence[tuple[str, str, str]], *, title: str, y_label: str, ax: Axes | None = None
) -> Figure | None:
    known = [(key, *curve(history, key), label, color) for key, label, color in parts]
    known = [part for part in known if len(part[1])]
    if not known:
        return None
    with panel(4.8, 2.85, (0.15, 0.975, 0.15, 0.83), ax) as (figure, ax):
        for key, steps, values, label, color in known:
            draw_curve(ax, steps, values, label=label, color=color)
            band = replica_band(history, key)
            if band is not None:
                ax.fill_between(*band, color=color, alpha=0.18, lw=0)
        step_axis(ax, title, y_label)
        # the first wild steps leave the frame: the central 99 % and a margin are shown
        low, high = np.quantile(np.concatenate([values for _, _, values, _, _ in known]), [0.005, 0.995])
        span = (high - low) or 0.5 * abs(high) or 1.0  # of a constant curve: wider than the rounding of its mean
        ax.set_ylim(low - 0.1 * span, high + 0.12 * span)
        legend_above(ax, ncols=3, columnspacing=1.4)
    return figure


_MARGINS = (0.165, 0.975, 0.15, 0.83)
_LEGEND = {"columnspacing": 0.9, "handletextpad": 0.4, "handlelength": 1.4}


def best_step(history: History) -> int | None:
    """Return the step of the checkpoint that was kept, or None when nothing was checked."""
    steps, scores = curve(history, "score")
    if not len(steps):
        return None
    kept_at, kept = curve(history, "kept")
    if (kept > 0).any():
        return int(kept_at[kept > 0][-1])
    return int(steps[np.argmin(scores)])


def held_out_score(history: History, alarms: History = (), *, ax: Axes | None = None) -> Figure | None:
    """Return the held-out score with its error against the step, or None when the history has none.

    Parameters
    ----------
    history : Records; those of checks hold "score", perhaps "score_error", "score_real" and "kept".
    alarms : Alarms, each with "step", which are drawn as marks on the axis.
    """
    steps, scores = curve(history, "score")
    if not len(steps):
        return None
    _, level = curve(history, "score_real")
    _, width = curve(history, "score_width")
    error_at, error = curve(history, "score_error")
    error = error if np.array_equal(error_at, steps) else None
    best = best_step(history)
    with panel(4.8, 2.85, _MARGINS, ax) as (figure, ax):
        step_axis(ax, "Distance from events that training never saw", "held-out score", margin=0.02)
        if len(width):
            ax.axhspan(-2 * float(width[-1]), 2 * float(width[-1]), color=REAL, alpha=0.08, lw=0)
        # what real events score against real ones; zero, the expectation, where that was not measured
        value, label = (float(level[-1]), "real against real") if len(level) else (0.0, "perfect generator")
        ax.axhline(value, color=MUTED, lw=1.1, ls=DASHED, zorder=1, label=label)
        _shade_replicas(ax, history, "score", GENERATED)
        ax.errorbar(steps, scores, yerr=error, fmt="o-", ms=3, lw=1.2, elinewidth=0.9, color=GENERATED, label="score")
        if best is not None:
            at, kept = scores[np.argmin(np.abs(steps - best))], f"kept: step {best:,}"
            ax.plot([best], [at], "D", ms=7, mfc="none", mec=CRITIC, mew=1.6, lw=0, label=kept, zorder=5)
        if alarms:
            marks = [alarm["step"] for alarm in alarms], [0.03] * len(alarms)
            ax.plot(*marks, "^", ms=6, color=ALERT, lw=0, transform=ax.get_xaxis_transform(), label="alarm")
        # linear where noise rules and logarithmic beyond, when the scores go far beyond
        noise = 0.0 if error is None else float(np.nanmedian(error))
        near = max(2 * float(np.quantile(np.abs(scores), 0.25)), 3 * noise, 1e-6)
        if float(scores.max()) > 10 * near:
            ax.set_yscale("symlog", linthresh=near, linscale=1.5)
        legend_above(ax, **_LEGEND)
    return figure


def coverage(history: History, *, ax: Axes | None = None) -> Figure | None:
    """Return how much of the real events is covered, and how many generated ones are plausible, or None."""
    parts = (("coverage", "real events covered", REAL), ("plausible", "generated events near real ones", GENERATED))
    known = [(*curve(history, key), label, color) for key, label, color in parts]
    known = [part for part in known if len(part[0])]
    if not known:
        return None
    with panel(4.8, 2.85, _MARGINS, ax) as (figure, ax):
        step_axis(ax, "Is anything missing, is anything invented?", "share, 1 is perfect", margin=0.02)
        ax.axhline(1.0, color=MUTED, lw=1.1, ls=DASHED, zorder=1)
        for steps, values, label, color in known:
            ax.plot(steps, values, "o-", ms=2.6, lw=1.3, color=color, label=label)
        for key, _, color in parts:
            _shade_replicas(ax, history, key, color)
        ax.set_ylim(0, max(1.08, *(float(values.max()) * 1.05 for _, values, _, _ in known)))
        legend_above(ax, **_LEGEND)
    return figure


def _shade_replicas(ax: Axes, history: History, key: str, color: str) -> None:
    """Shade the range over replicas, where the history holds it."""
    steps, lowest = curve(history, f"{key}_min")
    _, highest = curve(history, f"{key}_max")
    if len(steps):
        ax.fill_between(steps, lowest, highest, color=color, alpha=0.15, lw=0, zorder=0)


def amplification(worths: "Mapping[str, Measured]", trained_on: int, *, ax: Axes | None = None) -> Figure:
    """Return the number of true events that samples are worth, by their size; of a model of each column one line.

    Parameters
    ----------
    worths : Number of true events that the model is worth, by column, infinite where that is not known.
    trained_on : Number of events that it was trained on, drawn as a line.
    """
    n = np.geomspace(0.03, 300.0, 60) * trained_on
    with panel(4.8, 2.9, (0.15, 0.95, 0.19, 0.87), ax) as (figure, ax):
        ax.plot(n, n, color=MUTED, lw=0.9, ls=DASHED, label="true events")
        ax.axhline(trained_on, color=REAL, lw=0.9)
        for name, one in worths.items():
            look = {"color": GENERATED, "lw": 1.3, "alpha": max(0.25, 1 / len(worths))}
            ax.plot(n, equivalent_of_sample(n, one.value), label=name, **look)
        ax.set_xscale("log")
        ax.set_yscale("log")
        ax.set_xlim(n[0], n[-1])
        ax.set_ylim(n[0], 30 * trained_on)
        ax.set_xlabel("generated events")
        ax.set_ylabel("worth as many true events")
        ax.set_title(f"Amplification: above {trained_on:,}, the events trained on")
    return figure
