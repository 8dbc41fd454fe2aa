"""`reverie cite [RUN]`: BibTeX of reverie, or of everything a run used."""

from collections.abc import Sequence
from pathlib import Path

from reverie.cli.options import Options

__all__ = ["main", "options"]


def options() -> Options:
    return Options(
        "cite",
        "Print BibTeX of reverie; with a run folder, also of the methods, the data and the tests it used; with jets, of"
        " the programmes that simulate them.",
        words=("run",),
        usage="[RUN|jets]",
        examples=("reverie cite", "reverie cite runs/z > methods.bib", "reverie cite jets"),
    )


def main(argv: Sequence[str]) -> int:
    values = options().parse(argv)
    from reverie.experiment.cite import bibtex, of_jets
    from reverie.experiment.folder import RunFolder

    if values.run == "jets" and not Path("jets").exists():
        print(of_jets())
        return 0
    print(bibtex(None if values.run is None else RunFolder(values.run)))
    return 0
