"""`reverie watch RUN`: a page on this machine that follows a run while it trains."""

from collections.abc import Sequence

from reverie.cli.options import Options

__all__ = ["main", "options"]


def options() -> Options:
    parser = Options(
        "watch",
        "Follow a run while it trains: a page with its curves, alarms and latest samples, which refreshes itself. It "
        "is seen from this machine only; from another one through ssh -L 8765:127.0.0.1:8765 HOST.",
        words=("run",),
        usage="RUN",
        examples=("reverie watch runs/z", "reverie watch runs/z --port 0", "reverie watch runs/z --out page.html"),
        needs="Expected a run folder, got nothing. Write: reverie watch runs/x",
    )
    parser.option("--port", "Port of the page; 0 takes a free one.", int, 8765, least=(0, "Try --port 0."))
    parser.option("--every", "Seconds between two refreshes.", int, 3, least=(1, "Try --every 3."))
    parser.option("--out", "Write the page to this file once, and serve nothing.")
    return parser


def main(argv: Sequence[str]) -> int:
    values = options().parse(argv)
    from reverie.experiment.folder import RunFolder, write_text
    from reverie.experiment.watch import page, served

    folder = RunFolder(values.run)
    if values.out is not None:
        from pathlib import Path

        write_text(Path(values.out), page(folder))
        print(f"page: {values.out}")
        return 0
    with served(folder, port=values.port, every=values.every) as server:
        print(f"watching {folder.path} at http://127.0.0.1:{server.server_port}/ (Ctrl-C ends)", flush=True)
        server.serve_forever()
    return 0
