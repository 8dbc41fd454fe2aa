"""Training over the iterations: losses, the discriminator's outputs, gradient norms, energies.

At the equilibrium of the game the discriminator cannot tell real from generated and answers 1/2 to both
(Goodfellow et al., arXiv:1406.2661); that line is drawn. Raw records are faint, their running mean is bold.
Where the history holds a quantity replica by replica, as ``d_loss.0``, ``d_loss.1``, ..., a band reaches from
the lowest to the highest of them.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from reverie.plots.style import CRITIC, GENERATED, MUTED, REAL, new_figure, style

__all__ = ["curve", "discriminator_outputs", "draw_curve", "gradient_norms", "learning_curves", "losses", "smoothed"]

History = Sequence[Mapping[str, Any]]
_MOST_POINTS = 1500
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


def losses(history: History) -> Figure | None:
    """Return the losses of both players against the step, or None when the history has none."""
    parts = (("d_loss", "discriminator", CRITIC), ("g_loss", "generator", GENERATED))
    return _curves(history, parts, title="Losses of the two players", y_label="loss")


def discriminator_outputs(history: History) -> Figure | None:
    """Return D(real) and D(fake) against the step with the equilibrium line at 1/2, or None without them."""
    parts = (("d_real", "D(real)", REAL), ("d_fake", "D(fake)", GENERATED))
    figure = _curves(history, parts, title="What the discriminator answers", y_label="mean output of D")
    if figure is not None:
        ax = figure.axes[0]
        if all(((0 <= line.get_ydata()) & (line.get_ydata() <= 1)).all() for line in ax.get_lines()):  # pyright: ignore
            ax.set_ylim(0, 1)
            ax.axhline(0.5, color=MUTED, lw=1.1, ls=(0, (5, 3)), zorder=1, label="equilibrium 1/2")
            _legend_above(ax)
    return figure


def learning_curves(history: History) -> list[Figure]:
    """Return what a model without an opponent learns by, as far as it is there: losses, their parts, energies."""
    drawn = [_curves(history, parts, title=title, y_label=label) for title, label, parts in _LEARNING]
    return [figure for figure in drawn if figure is not None]


def gradient_norms(history: History) -> Figure | None:
    """Return the gradient norms of both players on a logarithmic axis, or None when the history has none."""
    parts = (("d_grad_norm", "discriminator", CRITIC), ("g_grad_norm", "generator", GENERATED))
    figure = _curves(history, parts, title="Gradient norms", y_label="norm of the gradient")
    if figure is not None and all((line.get_ydata() > 0).all() for line in figure.axes[0].get_lines()):  # pyright: ignore
        figure.axes[0].set_yscale("log")
    return figure


def draw_curve(ax: Axes, steps: np.ndarray, values: np.ndarray, *, label: str, color: str) -> None:
    """Draw raw records faintly (a pixel layer) and their running mean boldly on `ax`."""
    thin = slice(None, None, -(-len(steps) // _MOST_POINTS))
    raw = {"lw": 0.7, "alpha": 0.28, "rasterized": len(steps) > 400}
    ax.plot(steps[thin], values[thin], color=color, marker="." if len(steps) < 3 else None, **raw)
    ax.plot(steps[thin], smoothed(values)[thin], color=color, lw=1.7, label=label)


def _curves(history: History, parts: Sequence[tuple[str, str, str]], *, title: str, y_label: str) -> Figure | None:
    bands = [(replica_band(history, key), color) for key, _, color in parts]
    known = [(curve(history, key), label, color) for key, label, color in parts]
    known = [part for part in known if len(part[0][0])]
    if not known:
        return None
    with style():
        figure = new_figure(4.8, 2.85)
        ax = figure.subplots()
        figure.subplots_adjust(left=0.15, right=0.975, top=0.83, bottom=0.15)
        for (steps, values), label, color in known:
            draw_curve(ax, steps, values, label=label, color=color)
        for band, color in bands:
            if band is not None:
                ax.fill_between(*band, color=color, alpha=0.18, lw=0)
        ax.set_title(title, pad=22)
        ax.set_xlabel("training step", labelpad=3)
        ax.set_ylabel(y_label)
        ax.margins(x=0.01)
        ax.xaxis.set_major_locator(MaxNLocator(6))
        ax.xaxis.set_major_formatter(lambda x, _: f"{x:,.0f}")
        _robust_limits(ax, [values for (_, values), _, _ in known])
        _legend_above(ax)
    return figure


def _legend_above(ax: Axes) -> None:
    with style():
        ax.legend(loc="lower left", bbox_to_anchor=(0, 1.0), ncols=3, columnspacing=1.4, borderpad=0.1)


def _robust_limits(ax: Axes, series: Sequence[np.ndarray]) -> None:
    """Let the first wild steps leave the frame: show the central 99 % and a margin."""
    low, high = np.quantile(np.concatenate(series), [0.005, 0.995])
    if high > low:
        ax.set_ylim(low - 0.1 * (high - low), high + 0.12 * (high - low))
