"""A page that shows how a run is doing, made anew from its folder whenever it is asked for, and its server.

The server listens on the loopback address alone and knows two places, the page and the report of the run; no path of a
request reaches the disk. It answers to no other name than that address, so that a page of the web cannot read it
through a name that is made to point here. The page needs no script: it asks the browser to load it again.
"""

import html
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import islice
from typing import Any

import numpy as np

from reverie.core.errors import InputError
from reverie.core.html import Fragment, bars, card, curves, folded, listed, picture, table
from reverie.experiment.config import all_options, format_duration
from reverie.experiment.folder import RunFolder
from reverie.experiment.progress import alarm_sentence
from reverie.report.training import ENDINGS

__all__ = ["page", "served"]

_PANELS = (
    ("loss", "held_out_loss"), ("d_loss", "g_loss"), ("d_real", "d_fake"), ("log_d_real", "log_not_d_fake"),
    ("score", "score_real"),
)  # fmt: skip
_NO_CURVES = ("step", "seconds", "alarms")
_MOST_COLUMNS, _MOST_IMAGES, _MOST_ALARMS = 12, 24, 20
_STYLE = (
    "body{font:14px/1.45 system-ui,sans-serif;margin:1.5em auto;max-width:72em;padding:0 1em;"
    "background:#fff;color:#222}"
    "@media(prefers-color-scheme:dark){body{background:#1b1e23;color:#ddd}}"
    "h1{font-size:1.3em}h2{font-size:1.05em;margin:1.4em 0 .4em}svg,img{margin:0 10px 6px 0}"
    ".reverie-card{margin:1em 0}a{color:inherit}"
)


def page(folder: RunFolder, *, every: int | None = None) -> str:
    """Return the page of a run as it stands: status, curves, alarms, latest samples, and the verdict once there is one.

    `every` is the number of seconds after which the browser loads it again; None for a page that stays.
    """
    config = folder.config()
    history: list[Any] = list(folder.history())
    name = html.escape(folder.path.resolve().name)
    parts = [f"<h1>{name}</h1>", card(config.model_name, f"on {config.data}.", _status(folder, history))]
    result = folder.validation()
    if result is not None:
        report = Fragment('<p><a href="/report.html">The report</a></p>')
        parts.append(result._repr_html_() + (report if (folder / "report.html").is_file() and every else ""))
    if history:
        parts += ["<h2>Training</h2>", _curves(history)]
    alarms = [alarm for record in history for alarm in record.get("alarms", [])]
    if alarms:
        told = [alarm_sentence(alarm) for alarm in reversed(alarms)]
        parts += ["<h2>Alarms</h2>", listed(told[:_MOST_ALARMS]), folded("Earlier ones", listed(told[_MOST_ALARMS:]))]
    parts.append(_samples(folder))
    again = f'<meta http-equiv="refresh" content="{every}">' if every else ""
    head = f'<meta charset="utf-8"><meta name="viewport" content="width=device-width">{again}<title>{name}</title>'
    return (
        f'<!doctype html><html lang="en"><head>{head}<style>{_STYLE}</style></head><body>{"".join(parts)}</body></html>'
    )


def _status(folder: RunFolder, history: Sequence[Mapping[str, Any]]) -> str:
    """Return in a sentence how far training is."""
    if not history:
        return "No record yet."
    step, seconds = int(history[-1]["step"]), float(history[-1].get("seconds", 0.0))
    n_steps = int(all_options(folder.config()).get("max_steps", step))
    rate = step / max(seconds, 1e-9)
    done = f"Step {step:,} of {n_steps:,} after {format_duration(seconds)}, {rate:,.0f} steps/s"
    ended = folder.read_json("status.json", {}).get("training")
    if ended and ended["step"] == step:
        return f"{done}. Training has ended: {ENDINGS[ended['ended_by']]}."
    return f"{done}, at most {format_duration(max(n_steps - step, 0) / max(rate, 1e-9))} left."


def _curves(history: Sequence[Mapping[str, Any]]) -> Fragment:
    """Return figures of the scalars in the history: those that belong together, then the others behind a click."""
    names = [name for name in dict.fromkeys(n for record in history for n in record) if name not in _NO_CURVES]
    known = {}
    for name in names:
        rows = [(r["step"], r[name]) for r in history if isinstance(r.get(name), (int, float)) and np.isfinite(r[name])]
        known[name] = ([x for x, _ in rows], [y for _, y in rows])
    panels = [{name: known.pop(name) for name in panel if name in known} for panel in _PANELS]
    more = Fragment("".join(curves({name: xy}) for name, xy in known.items()))
    return Fragment("".join(map(curves, panels)) + folded("More curves", more))


def _samples(folder: RunFolder) -> Fragment:
    """Return the latest samples: images, or histograms of columns beside those of the snapshots before."""
    files = list(folder.snapshot_files().items())[-3:]
    if not files:
        return Fragment()
    snapshots = {step: np.load(file, mmap_mode="r", allow_pickle=False) for step, file in files}
    step, last = files[-1][0], snapshots[files[-1][0]]
    if last.ndim > 2:
        images = (picture(x.reshape(-1, *x.shape[-2:])[0]) for x in islice(last, _MOST_IMAGES))
        return Fragment(f"<h2>Samples at step {step:,}</h2>{''.join(images)}")
    schema = folder.read_json("data.json", {}).get("schema") or {}
    called = [str(column.get("name", "")) for column in schema.get("columns", ())]
    rows = []
    for j in range(min(last.shape[1], _MOST_COLUMNS)):
        kept = [x[:, j][np.isfinite(x[:, j])] for x in snapshots.values()]
        ends = (min(float(x.min()) for x in kept if len(x)), max(float(x.max()) for x in kept if len(x)))
        rows.append([called[j] if j < len(called) else f"x{j}", *(bars(x, ends=ends) for x in kept), *ends])
    head = ["column", *(f"step {step:,}" for step in snapshots), "least", "greatest"]
    rows = [[*row[:-2], *(f"{end:.4g}" for end in row[-2:])] for row in rows]
    shown = card("", "", table(head, rows, right=("least", "greatest")))
    return Fragment(f"<h2>Samples</h2>{shown}")


def served(folder: RunFolder, *, port: int, every: int = 3) -> ThreadingHTTPServer:
    """Return a server of the page on the loopback address, to be entered and told to `serve_forever`.

    Raises `InputError` where the port is taken or not allowed.
    """

    class Handler(BaseHTTPRequestHandler):
        """Answers GET for the page and the report."""

        def do_GET(self) -> None:
            # pyrefly: ignore[missing-attribute] - the server is the one below
            own = {f"{name}:{self.server.server_port}" for name in ("127.0.0.1", "localhost")}
            if self.headers.get("Host") not in own:
                self.send_error(HTTPStatus.FORBIDDEN, "Expected the loopback address")
            elif self.path == "/":
                try:
                    text = page(folder, every=every)
                except (InputError, OSError, ValueError) as error:  # there is none just now: to be asked for again
                    again = f'<meta http-equiv="refresh" content="{every}">'
                    text = f'<meta charset="utf-8">{again}<p>{html.escape(str(error))}</p>'
                self._answer(text)
            elif self.path == "/report.html" and (folder / "report.html").is_file():
                self._answer((folder / "report.html").read_text(encoding="utf-8"))
            else:
                self.send_error(HTTPStatus.NOT_FOUND)

        def _answer(self, text: str) -> None:
            content = text.encode()
            self.send_response(HTTPStatus.OK)
            self.send_header("Content-Type", "text/html; charset=utf-8")
            self.send_header("Content-Length", str(len(content)))
            self.send_header("Cache-Control", "no-store")
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, format: str, *args: object) -> None:
            """Say nothing: the console belongs to the user."""

    try:
        return ThreadingHTTPServer(("127.0.0.1", port), Handler)
    except (OSError, OverflowError) as error:
        raise InputError(
            f"Expected a free --port, got {port} ({error}). Try --port 0, which takes a free one."
        ) from None
