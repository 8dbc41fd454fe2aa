"""Options of a verb: made by jsonargparse from signatures and docstrings, with our wording of errors.

What this layer adds to jsonargparse: words without dashes in any place between the options; a
configuration file before or after them, whose values the options override; presets, which go before the
file and behind the options; dashes or underscores alike; options of a model with or without ``model.``
in front; lists between commas; and one sentence with the nearest right name when something is wrong.
"""

import inspect
import json
import re
import shutil
from argparse import SUPPRESS, Action, HelpFormatter
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import MISSING, fields
from typing import Any, NoReturn

from jsonargparse import ArgumentParser, Namespace

from reverie.core.errors import InputError, nearest
from reverie.experiment.config import flatten, parameter_texts, read_yaml

__all__ = ["Options", "split_names"]


class Options(ArgumentParser):
    """The options of one verb.

    Parameters
    ----------
    verb : Name of the verb, such as "run".
    about : One or two sentences on what it does.
    words : Names of the words without dashes, in order, such as ("model.name", "data").
    usage : The words as the help shows them, such as "MODEL DATA".
    examples : Commands shown below the help.
    """

    def __init__(
        self, verb: str, about: str, *, words: Sequence[str] = (), usage: str = "", examples: Sequence[str] = ()
    ) -> None:
        shown = f"reverie {verb} {usage} [options]".replace("  ", " ")
        super().__init__(prog=f"reverie {verb}", usage=shown, description=about, exit_on_error=False)
        self.words, self.examples = tuple(words), tuple(examples)
        self._lists: set[str] = set()
        self._preset: Callable[[str], Mapping[str, Any]] | None = None
        for word in self.words:
            self.add_argument(f"--{word}", type=str | None, default=None, help=SUPPRESS)

    def option(self, names: str, text: str, kind: Any = str, default: Any = None) -> None:
        """Add an option with a value of a kind; without a default it may be absent. `names` may be "-o --out"."""
        self.add_argument(*names.split(), type=kind | None if default is None else kind, default=default, help=text)

    def flag(self, name: str, text: str, *more: str) -> None:
        """Add an option without a value."""
        self.add_argument(*more, f"--{name}", action="store_true", help=text)

    def add_fields(self, config: type, *names: str) -> None:
        """Add one option for each field of the dataclass `config` (or for `names`), help from its docstring."""
        texts = parameter_texts(config)
        for f in fields(config):
            if f.name in self.words or (names and f.name not in names) or f.name == "model":
                continue
            option, text = "--" + f.name.replace("_", "-"), texts.get(f.name, "")
            if f.type is bool:
                self.flag(option[2:], text)
            else:
                default = None if f.default is MISSING else f.default
                self.add_argument(option, type=f.type, default=default, help=text)

    def add_model(self, name: str, model: type) -> None:
        """Add one option for each argument of the constructor of `model`, except its seed, which is the run's."""
        self.prog += f" {name}"
        self.add_class_arguments(model, "model", skip={"random_state"}, fail_untyped=False)
        parameters = inspect.signature(model).parameters
        self._lists = {f"--model.{key}" for key, p in parameters.items() if "Sequence" in str(p.annotation)}
        texts = parameter_texts(model)
        for action in self._actions:
            name = action.dest.removeprefix("model.")
            if action.dest.startswith("model.") and name in texts:
                action.help = texts[name]

    def add_presets(self, text: str, arguments: Callable[[str], Mapping[str, Any]]) -> None:
        """Add ``--preset``; `arguments` returns those of the model's constructor for a name, or raises."""
        self.add_argument("--preset", type=str | None, default=None, help=text)
        self._preset = arguments

    def parse(self, argv: Sequence[str]) -> Namespace:
        """Return the values of `argv`.

        Raises
        ------
        InputError
            One sentence, with the nearest right name and the help command.
        """
        if any(word in ("-h", "--help") for word in argv):
            self.print_help()
            raise SystemExit(0)
        options, config, preset = self._arranged(list(argv))
        try:
            if config is not None:
                self._take_config(config)
            if preset is not None:
                self._take_preset(preset)
            return self.parse_args(options)
        except InputError:
            raise
        except Exception as error:  # jsonargparse raises several kinds
            self.error(str(error))

    def peek(self, argv: Sequence[str], *, more: Callable[[], Collection[str]] = tuple) -> dict[str, str]:
        """Return words and values in `argv`; options of a model, which is not known yet, may be misspelt.

        Parameters
        ----------
        argv : the command line.
        more : names of the options of all models, asked for when an option is none of these.
        """
        rest, words, values = list(argv), list(self.words), {}
        while rest:
            token = rest.pop(0)
            name, equals, value = token.partition("=")
            if not token.startswith("-") or _is_number(token):
                values[words.pop(0) if words else "more"] = token
                continue
            name, takes_value = (name, True) if name.startswith("--model.") else self._known(name, more)
            if takes_value and not equals:
                value = self._value(name, rest)
            values[name.lstrip("-")] = value
        return values

    def error(self, message: str, ex: Exception | None = None) -> NoReturn:
        """Raise the one sentence that `message` of jsonargparse amounts to."""
        raise InputError(f"{_sentence(message)} See: {self._help_command()}")

    def shows(self, action: Action) -> bool:
        """Tell whether the help shows an option: words without dashes and what jsonargparse adds are left out."""
        return action.help != SUPPRESS and action.option_strings[:1] not in ([], ["--model"], ["--print_shtab"])

    def format_help(self) -> str:
        """Return the help: usage, what the verb does, its options, those of the model apart, examples."""
        shown = [action for action in self._actions if self.shows(action)]
        formatter = _Formatter(self.prog)
        formatter.add_usage(self.usage, (), ())
        formatter.add_text(self.description)
        for title, of_model in (("options", False), ("options of the model ('model.' may be left out)", True)):
            formatter.start_section(title)
            formatter.add_arguments([action for action in shown if action.dest.startswith("model.") == of_model])
            formatter.end_section()
        examples = [f"  {example}" for example in self.examples]
        return formatter.format_help() + "\n".join(["\nexamples:", *examples, ""] if examples else [])

    def _arranged(self, argv: list[str]) -> tuple[list[str], str | None, str | None]:
        """Turn words into options, unify the spelling, take out file and preset, refuse unknown options."""
        arranged, words = [], list(self.words)
        apart: dict[str, str | None] = {"--config": None, "--preset": None}
        while argv:
            token = argv.pop(0)
            if not token.startswith("-") or _is_number(token):
                arranged.append(f"--{self._next_word(words, self._not_empty('a word', token))}={token}")
                continue
            name, equals, value = token.partition("=")
            name, takes_value = self._known(name)
            if takes_value:
                value = self._not_empty(name, value) if equals else self._value(name, argv)
            if name in apart:
                apart[name] = value
            else:
                arranged.append(f"{name}={self._as_list(name, value)}" if takes_value else name)
        return arranged, apart["--config"], apart["--preset"]

    def _as_list(self, name: str, value: str) -> str:
        """Put what stands between commas, such as 100,100 or mass,delta_r, into the brackets of a YAML list."""
        if name in self._lists and not value.startswith("[") and value not in ("null", ""):
            return json.dumps(split_names(value))
        numbers = re.fullmatch(r"[-+.\deE]+(,\s*[-+.\deE]+)+", value) is not None
        return f"[{value}]" if numbers and name.startswith("--model.") else value

    def _next_word(self, words: list[str], token: str) -> str:
        if words:
            return words.pop(0)
        raise InputError(f"Expected nothing more than the options, got {token!r}. See: {self._help_command()}")

    def _known(self, name: str, more: Callable[[], Collection[str]] = tuple) -> tuple[str, bool]:
        """Return the option as it is known and whether it takes a value; `more` are names of options with values."""
        known = self._option_string_actions
        plain = name[2:].replace("-", "_")
        for spelling in (name, name.replace("_", "-"), f"--{plain}", f"--model.{plain}"):
            if spelling in known:
                return spelling, known[spelling].nargs != 0
        if plain in more():
            return f"--model.{plain}", True
        spellings = [n for n in known if n.startswith("--") and "print_" not in n] + [f"--{n}" for n in more()]
        close = nearest(name.replace("_", "-"), spellings)
        hint = f"Did you mean {close}? " if close else ""
        raise InputError(f"Unknown option {name}. {hint}See: {self._help_command()}")

    def _value(self, name: str, argv: list[str]) -> str:
        if argv and (not argv[0].startswith("--")):
            return self._not_empty(name, argv.pop(0))
        raise InputError(f"Expected a value after {name}, got nothing. See: {self._help_command()}")

    def _not_empty(self, name: str, value: str) -> str:
        if value.strip():
            return value
        raise InputError(f"Expected a value for {name}, got an empty text. Is a variable of the shell not set?")

    def _take_config(self, path: str) -> None:
        """Let the values of the file `path` be the defaults, once they are checked."""
        flat = flatten(read_yaml(path))
        preset = flat.pop("preset", None)
        known = {action.dest for action in self._actions}
        for key in flat:
            if key not in known or key in ("help", "config", "model"):
                close = nearest(key, known - {"help", "config", "model"})
                hint = f"Did you mean {close!r}? " if close else ""
                raise InputError(f"Unknown key {key!r} in {path!r}. {hint}See: {self._help_command()}")
        if preset is not None:
            self._take_preset(str(preset))
        self.parse_object(_nested(flat))
        self.set_defaults(flat)

    def _take_preset(self, name: str) -> None:
        """Let the values of the preset `name` be the defaults of the model."""
        if self._preset is None:
            raise InputError(f"Expected a model for the preset {name!r}, got none. Write: {self.prog} gan DATA")
        values = {f"model.{key}": value for key, value in self._preset(name).items()}
        self.set_defaults({key: list(value) if isinstance(value, tuple) else value for key, value in values.items()})

    def _help_command(self) -> str:
        return f"{self.prog} --help"


class _Formatter(HelpFormatter):
    """The layout of argparse, with one word for the value of an option and its default at the end of the text."""

    def __init__(self, prog: str) -> None:
        super().__init__(prog, max_help_position=26, width=min(max(shutil.get_terminal_size().columns, 60), 100))

    def _format_action_invocation(self, action: Action) -> str:
        value = "" if action.nargs == 0 else f" {action.dest.rpartition('.')[2].upper()}"
        return ", ".join(action.option_strings) + value

    def _get_help_string(self, action: Action) -> str:
        text = " ".join((action.help or "").split())
        text = text[:1].upper() + text[1:]
        if action.nargs == 0 or action.default in (None, ""):
            return text
        default = action.default
        shown = f"[{', '.join(map(str, default))}]" if isinstance(default, (tuple, list)) else str(default)
        return f"{text} (default: {shown.replace('%', '%%')})"


def split_names(text: str) -> list[str]:
    """Return what stands between the commas outside parentheses: ``"mass(a, b), delta_r"`` is two names."""
    return [part.strip() for part in re.split(r",(?![^()]*\))", text) if part.strip()]


def _is_number(token: str) -> bool:
    return re.fullmatch(r"-\d+(\.\d+)?", token) is not None


def _nested(flat: Mapping[str, Any]) -> dict[str, Any]:
    nested: dict[str, Any] = {}
    for key, value in flat.items():
        *outer, last = key.split(".")
        place = nested
        for part in outer:
            place = place.setdefault(part, {})
        place[last] = value
    return nested


def _sentence(message: str) -> str:
    """Turn the several lines of jsonargparse into: expected, got."""
    key = re.search(r'key "([\w.]+)"', message)
    types = re.findall(r"Expected an? (?:<class '(\w+)'>|([^\n]+?))(?:\. Got value|\n|$)", message)
    got = re.search(r"(?:Got value|Given value): (.*)", message)
    if key and got:
        names = [_words(a or b) for a, b in types if (a or b) != "NoneType"]
        wanted = " or ".join(dict.fromkeys(names)) or "another value"
        return f"Expected --{key[1].replace('_', '-') if '.' not in key[1] else key[1]} to be {wanted}, got {got[1]!r}."
    return " ".join(message.split()).rstrip(".") + "."


def _words(name: str) -> str:
    names = {"int": "an integer", "float": "a number", "bool": "true or false", "str": "text", "tuple": "a list"}
    return names.get(name, name)
