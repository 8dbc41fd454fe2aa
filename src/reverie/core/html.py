"""Cards that notebooks show: a sentence, a table, small pictures; plain HTML and SVG without any script.

All text is escaped. A `Fragment` is text that is HTML already; `card`, `table`, `folded`, `bars`, `line`, `curves` and
`picture` return one. Colours are those of the page around a card, so that it can be read on a dark one too.
"""

import base64
import html
import struct
import zlib
from collections.abc import Mapping, Sequence

import numpy as np

__all__ = ["Fragment", "bars", "card", "curves", "folded", "line", "listed", "picture", "table"]

_TONES = {"": "#7f8c9b", "good": "#2e8b57", "bad": "#c0392b"}
_STYLE = (
    "<style>.reverie-card{border-left:4px solid var(--tone);padding:.2em 0 .2em .9em;line-height:1.45;max-width:60em}"
    ".reverie-card p,.reverie-card ul{margin:.35em 0}.reverie-card summary{cursor:pointer;opacity:.75}"
    ".reverie-card .scroll{overflow-x:auto}.reverie-card table{border-collapse:collapse;margin:.5em 0;"
    "color:inherit;font-size:inherit}"
    ".reverie-card th,.reverie-card td{padding:.15em .9em .15em 0;text-align:left;vertical-align:middle;"
    "border-bottom:1px solid rgba(128,128,128,.25);background:none;white-space:nowrap}"
    ".reverie-card th{font-weight:600;opacity:.75}.reverie-card td.right,.reverie-card th.right{text-align:right;"
    "font-variant-numeric:tabular-nums}.reverie-card img{image-rendering:pixelated;margin-right:4px}</style>"
)
_INKS = ("#1f9d94", "#d9772b", "#6d87a5", "#b565a7")  # the teal and orange of the reports, lighter
_INK = "#2a9d95"  # to be seen on a white page and on a dark one
_WIDTH, _HEIGHT = 120, 22  # of a small picture, in pixels


class Fragment(str):
    """Text that is HTML, and is not escaped again."""

    __slots__ = ()


def _escaped(text: object) -> str:
    return text if isinstance(text, Fragment) else html.escape(str(text))


def card(title: str, sentence: str, *parts: Fragment | str, tone: str = "") -> Fragment:
    """Return a card: a title, a sentence, and parts one below the other; `tone` is "", "good" or "bad"."""
    body = "".join(part if isinstance(part, Fragment) else f"<p>{_escaped(part)}</p>" for part in parts if part)
    head = f"<p><strong>{_escaped(title)}</strong> {_escaped(sentence)}</p>"
    return Fragment(f'{_STYLE}<div class="reverie-card" style="--tone:{_TONES[tone]}">{head}{body}</div>')


def table(head: Sequence[str], rows: Sequence[Sequence[object]], *, right: Sequence[str] = ()) -> Fragment:
    """Return a table with a head; the columns named in `right` are set to the right. Nothing without rows."""
    if not rows:
        return Fragment()
    sides = [' class="right"' if name in right else "" for name in head]
    lines = [[("th", side, x) for side, x in zip(sides, head, strict=True)]]
    lines += [[("td", side, x) for side, x in zip(sides, row, strict=True)] for row in rows]
    cells = ["".join(f"<{tag}{side}>{_escaped(x)}</{tag}>" for tag, side, x in line) for line in lines]
    return Fragment(f'<div class="scroll"><table>{"".join(f"<tr>{row}</tr>" for row in cells)}</table></div>')


def listed(sentences: Sequence[object]) -> Fragment:
    """Return a list of sentences; nothing without any."""
    return Fragment(f"<ul>{''.join(f'<li>{_escaped(one)}</li>' for one in sentences)}</ul>" if sentences else "")


def folded(summary: str, *parts: Fragment) -> Fragment:
    """Return what is seen after a click on the `summary`; nothing without parts."""
    body = "".join(parts)
    return Fragment(f"<details><summary>{_escaped(summary)}</summary>{body}</details>" if body else "")


def bars(values: np.ndarray, n_bins: int = 30, ends: tuple[float, float] | None = None) -> Fragment:
    """Return the histogram of finite numbers (n,), between `ends`, as a small picture; nothing where there are none."""
    x = np.asarray(values, dtype=np.float64).ravel()
    x = x[np.isfinite(x) & (np.abs(x) < 1e150)]  # the width of wider ranges is no number
    if not len(x):
        return Fragment()
    counts, _ = np.histogram(x, bins=n_bins, range=ends)
    heights, step = _HEIGHT * counts / max(1, counts.max()), _WIDTH / n_bins
    path = "".join(f"M{j * step:.4g} {_HEIGHT}v-{h:.3g}h{step * 0.85:.3g}V{_HEIGHT}" for j, h in enumerate(heights))
    return _svg(f'<path d="{path}" fill="{_INK}"/>', f"histogram from {x.min():.4g} to {x.max():.4g}")


def line(values: np.ndarray) -> Fragment:
    """Return a curve (n,) or curves (k, n) over their steps as a small picture; nothing where no two are finite."""
    y = np.atleast_2d(np.asarray(values, dtype=np.float64))
    y = y[:, :: max(1, -(-y.shape[1] // 60))]
    good = np.isfinite(y) & (np.abs(y) < 1e150)
    if good.sum() < 2:
        return Fragment()
    low, high = float(y[good].min()), float(y[good].max())
    x, span = np.linspace(0, _WIDTH, y.shape[1]), (high - low) or 1.0
    paths = []
    for row, kept in zip(y, good, strict=True):
        points = " ".join(
            f"{a:.4g},{_HEIGHT - 2 - (_HEIGHT - 4) * (b - low) / span:.3g}"
            for a, b in zip(x[kept], row[kept], strict=True)
        )
        paths.append(f'<polyline points="{points}" fill="none" stroke="{_INK}" opacity=".8"/>')
    return _svg("".join(paths), f"from {low:.4g} to {high:.4g}")


def curves(series: Mapping[str, tuple[Sequence[float], Sequence[float]]]) -> Fragment:
    """Return curves by name, each steps (n,) and finite values (n,), in one figure with both scales at its ends."""
    points = {name: np.asarray(xy, dtype=np.float64) for name, xy in series.items() if len(xy[0])}
    if not points:
        return Fragment()
    low, high = (np.array([end(xy, axis=1) for xy in points.values()]) for end in (np.min, np.max))
    (x0, y0), (x1, y1) = low.min(axis=0), high.max(axis=0)
    width, height, left = 340, 150, 60
    lines, words = [], []
    for k, (name, (x, y)) in enumerate(points.items()):
        every, ink = max(1, -(-len(x) // 300)), _INKS[k % len(_INKS)]
        u = left + (width - left - 4) * (x - x0) / ((x1 - x0) or 1.0)
        v = height - 20 - (height - 38) * (y - y0) / ((y1 - y0) or 1.0)
        path = " ".join(f"{a:.4g},{b:.4g}" for a, b in zip(u[::every], v[::every], strict=True))
        lines.append(f'<polyline points="{path}" fill="none" stroke="{ink}" stroke-width="1.4"/>')
        words.append(f'<tspan fill="{ink}">{_escaped(name)} {y[-1]:.4g}</tspan>')
    ends = ((left - 4, 24, "end", f"{y1:.4g}"), (left - 4, height - 20, "end", f"{y0:.4g}"),
            (left, height - 5, "start", f"{x0:,.0f}"), (width - 4, height - 5, "end", f"{x1:,.0f}"))  # fmt: skip
    lines += [f'<text x="{x}" y="{y}" text-anchor="{side}" opacity=".7">{text}</text>' for x, y, side, text in ends]
    frame = f'<path d="M{left} 18V{height - 20}H{width - 4}" fill="none" stroke="currentColor" opacity=".35"/>'
    title = f'<text x="{left}" y="11">{" &#160; ".join(words)}</text>'
    size = f'width="{width}" height="{height}" viewBox="0 0 {width} {height}" font-size="11" fill="currentColor"'
    return Fragment(f'<svg {size} role="img">{frame}{title}{"".join(lines)}</svg>')


def picture(values: np.ndarray, size: int = 48) -> Fragment:
    """Return grey values (height, width) as an image of `size` pixels, the least number black, the greatest white."""
    x = np.nan_to_num(np.asarray(values, dtype=np.float64), posinf=0.0, neginf=0.0)
    x = x[tuple(slice(None, None, max(1, n // 64)) for n in x.shape)]
    low, high = x.min(), x.max()
    grey = np.zeros(x.shape, np.uint8) if high == low else np.rint(255 * (x / 2 - low / 2) / (high / 2 - low / 2))
    rows = b"".join(b"\0" + row.tobytes() for row in grey.astype(np.uint8))
    head = struct.pack(">IIBBBBB", x.shape[1], x.shape[0], 8, 0, 0, 0, 0)
    chunks = ((b"IHDR", head), (b"IDAT", zlib.compress(rows, 9)), (b"IEND", b""))
    packed = (struct.pack(">I", len(b)) + a + b + struct.pack(">I", zlib.crc32(a + b)) for a, b in chunks)
    data = base64.b64encode(b"\x89PNG\r\n\x1a\n" + b"".join(packed)).decode()
    about = f"from {low:.4g} to {high:.4g}"
    return Fragment(f'<img height="{size}" alt="{about}" title="{about}" src="data:image/png;base64,{data}">')


def _svg(content: str, about: str) -> Fragment:
    size = f'width="{_WIDTH}" height="{_HEIGHT}" viewBox="0 0 {_WIDTH} {_HEIGHT}"'
    return Fragment(f'<svg {size} role="img"><title>{_escaped(about)}</title>{content}</svg>')
