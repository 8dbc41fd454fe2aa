"""Every command that the help or a page of the documentation shows can be given: verb, options, names of data."""

import functools
import importlib
import re
import shlex
from pathlib import Path

import pytest

from reverie.cli.main import VERBS
from reverie.cli.model_options import MODEL_NAMES
from reverie.core.errors import InputError
from reverie.data import catalogue
from reverie.experiment.config import AUTO, looks_like_path

ROOT = Path(__file__).parents[2]
OF_A_MODEL = ("run", "fit", "tune")


def from_help() -> list[tuple[str, str]]:
    found = []
    for verb in VERBS:
        found += [(f"reverie {verb} --help", line) for line in module_of(verb).options().examples]
    return found


def from_pages() -> list[tuple[str, str]]:
    """Return the lines of code blocks that begin with reverie, those that go on behind a backslash joined."""
    found = []
    for page in (ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))):
        for block in re.findall(r"```\w*\n(.*?)```", page.read_text(encoding="utf-8"), flags=re.DOTALL):
            lines = re.sub(r"\\\n\s*", " ", block).splitlines()
            found += [(str(page.relative_to(ROOT)), line) for line in lines if re.match(r"(\$ )?reverie ", line)]
    return found


def module_of(verb: str):
    return importlib.import_module(f"reverie.cli.{verb}")


@functools.cache
def parser_of(verb: str, model: str | None):
    """Return the parser of a verb; many commands are shown of each, and most of the time goes into making it."""
    return module_of(verb).options(model) if model else module_of(verb).options()


def commands_in(line: str) -> list[list[str]]:
    """Return the reverie commands of a line of the shell, without what follows a pipe, an arrow or a comment."""
    lexer = shlex.shlex(line.removeprefix("$ "), posix=True, punctuation_chars=True)
    lexer.commenters, lexer.whitespace_split = "#", True
    commands: list[list[str]] = [[]]
    for token in lexer:
        if token and set(token) <= set(";|&<>()"):
            commands.append([])
        else:
            commands[-1].append(token)
    return [words[1:] for words in commands if words and words[0] == "reverie"]


def check(words: list[str]) -> None:
    """Raise `InputError` or fail unless the command could be given."""
    if words[0].startswith("--"):
        assert words[0] in ("--help", "--version", "--print-completion")
        return
    verb, arguments = words[0], words[1:]
    assert verb in VERBS, verb
    if "--config" in arguments:  # a file that the reader makes
        at = arguments.index("--config")
        assert arguments[at + 1].endswith(".yaml")
        arguments = arguments[:at] + arguments[at + 2 :]
    if "--help" in arguments:
        return
    model = next((word for word in arguments if word in (*MODEL_NAMES, AUTO)), None) if verb in OF_A_MODEL else None
    preset = any(word.split("=")[0] == "--preset" for word in arguments)
    values = (parser_of.__wrapped__ if preset else parser_of)(verb, model).parse(arguments)  # presets stay in a parser
    given = vars(values)
    names = [given.get(key) for key in ("data", "real", "generated") if isinstance(given.get(key), str)]
    for name in names:
        assert looks_like_path(name) or name in catalogue.entries(), f"{name} is no data set of the catalogue"
    if verb in OF_A_MODEL:
        assert model or "--config" in words, "no model"


SHOWN = [(where, command) for where, line in [*from_help(), *from_pages()] for command in commands_in(line)]


@pytest.mark.parametrize("where", sorted({where for where, _ in SHOWN}))
def test_shown_commands_can_be_given(where):
    for place, words in SHOWN:
        if place == where:
            try:
                check(words)
            except InputError as error:
                pytest.fail(f"{where}: reverie {shlex.join(words)}: {error}")


@pytest.mark.parametrize("line", ["reverie run rbm ising_5x5", "reverie rnu gan ring", "reverie run gan ring --max 3"])
def test_a_command_that_fails_is_found(line):
    with pytest.raises((AssertionError, InputError)):
        check(commands_in(line)[0])


def test_there_are_commands():
    assert len(SHOWN) > 60
