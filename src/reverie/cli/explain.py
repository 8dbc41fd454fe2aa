"""`reverie explain PAGE`: the page of docs/errors that an error names, which comes with the package."""

from collections.abc import Sequence
from pathlib import Path

from reverie.cli.options import Options
from reverie.core.errors import UnknownNameError

__all__ = ["main", "options", "pages"]

_INSTALLED = Path(__file__).parents[1] / "errors"  # pyproject.toml puts docs/errors there
_CHECKOUT = Path(__file__).parents[3] / "docs" / "errors"


def pages() -> dict[str, Path]:
    """Return the pages on errors by name."""
    folder = _INSTALLED if _INSTALLED.is_dir() else _CHECKOUT
    return {path.stem: path for path in sorted(folder.glob("*.md")) if path.stem != "index"}


def options() -> Options:
    return Options(
        "explain",
        "Print what an error means, why it comes, and what to do; without a name, the names.",
        words=("page",),
        usage="[PAGE]",
        examples=("reverie explain", "reverie explain training"),
    )


def main(argv: Sequence[str]) -> int:
    name, known = options().parse(argv).page, pages()
    if name is not None and name not in known:
        raise UnknownNameError("page", name, known)
    for page, path in known.items():
        text = path.read_text(encoding="utf-8").strip()
        if name == page:
            print(text)
        elif name is None:
            title = text.splitlines()[0].removeprefix("# ")
            print(f"{page:<12}{title}")
    return 0
