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
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import MISSING, fields
from typing import NoReturn

from jsonargparse import ArgumentParser, Namespace

from reverie.core.errors import InputError, nearest
from reverie.experiment.config import RunConfig, flatten, parameter_texts, read_yaml

__all__ = ["Options"]

_LITERAL = re.compile(r"typing\.Literal\[(.*?)\]")
_NAMES = {"int": "an integer", "float": "a number", "bool": "true or false", "str": "text", "tuple": "a list"}


class Options(ArgumentParser):
    """The options of one verb.

    Parameters
    ----------
    verb : Name of the verb, such as "run".
    about : One or two sentences on what it does.
    words : Names of the words without dashes, in order, such as ("model.name", "data").
    usage : The words as the help shows them, such as "MODEL DATA".
    examples : Commands shown below the help.
    needs : What is said, before "got nothing", where the first word is missing; "" where it may be.
    """

    def __init__(
        self,
        verb: str,
        about: str,
        *,
        words: Sequence[str] = (),
        usage: str = "",
        examples: Sequence[str] = (),
        needs: str = "",
    ) -> None:
        shown = f"reverie {verb} {usage} [options]".replace("  ", " ")
        super().__init__(prog=f"reverie {verb}", usage=shown, description=about, exit_on_error=False)
        self.words, self.examples, self.needs = tuple(words), tuple(examples), needs
        self._lists: set[str] = set()
        self._least: dict[str, tuple[str, int, str]] = {}
        self._preset: Callable[[str], Mapping[str, object]] | None = None
        for word in self.words:
            self.add_argument(f"--{word}", type=str | None, default=None, help=SUPPRESS)

    def option(
        self, names: str, text: str, kind: type = str, default: object = None, *, least: tuple[int, str] | None = None
    ) -> None:
        """Add an option with a value of a kind; without a default it may be absent.

        `names` may be "-o --out". `least` is the smallest number, 0 or 1, and what to do about a smaller one.
        """
        flags = names.split()
        self.add_argument(*flags, type=kind | None if default is None else kind, default=default, help=text)
        if least is not None:
            self._least[flags[-1][2:].replace("-", "_")] = (flags[0], *least)

    def flag(self, name: str, text: str) -> None:
        """Add an option without a value."""
        self.add_argument(f"--{name}", action="store_true", help=text)

    def add_run(self) -> None:
        """Add one option for each field of `RunConfig` but the model and the words, help from its docstring."""
        texts = parameter_texts(RunConfig)
        for f in fields(RunConfig):
            if f.name in self.words or f.name == "model":
                continue
            name, text = f.name.replace("_", "-"), texts.get(f.name, "")
            if f.type is bool:
                self.flag(name, text)
            else:
                flags = (f"--{name}", "--time") if name == "max-time" else (f"--{name}",)
                self.add_argument(*flags, type=f.type, default=None if f.default is MISSING else f.default, help=text)

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

    def add_presets(self, text: str, arguments: Callable[[str], Mapping[str, object]]) -> None:
        """Add ``--preset``; `arguments` returns those of the model's constructor for a name, or raises."""
        self.option("--preset", text)
        self._preset = arguments

    def parse(self, argv: Sequence[str]) -> Namespace:
        """Return the values of `argv`; an `InputError` is one sentence with the nearest right name."""
        if any(word in ("-h", "--help") for word in argv):
            self.print_help()
            raise SystemExit(0)
        arranged, apart = self._arranged(argv)
        try:
            if apart["--config"] is not None:
                self._take_config(apart["--config"])
            if apart["--preset"] is not None:
                self._take_preset(apart["--preset"])
            values = self.parse_args(arranged)
        except InputError:
            raise
        except Exception as error:  # jsonargparse raises several kinds
            self.error(str(error))
        if self.needs and not values[self.words[0]]:
            raise InputError(self.needs)
        for key, (name, least, remedy) in self._least.items():
            if values[key] is not None and values[key] < least:
                wanted = "> 0" if least else ">= 0"
                raise InputError(f"Expected {name} to be an integer {wanted}, got {values[key]}. {remedy}")
        return values

    def peek(self, argv: Sequence[str], *, more: Callable[[], Collection[str]]) -> dict[str, str]:
        """Return words and values in `argv`; options of a model, which is not known yet, may be misspelt.

        `more` returns the names of the options of all models; it is called when an option is none of these.
        """
        words, values = list(self.words), {}
        for name, value in self._tokens(argv, more):
            key = name.lstrip("-") if name else words.pop(0) if words else "more"
            values[key] = value or ""
        return values

    def error(self, message: str, ex: Exception | None = None) -> NoReturn:
        """Raise the one sentence that the lines of `message`, of jsonargparse, amount to: expected, got."""
        key = re.search(r'key "([\w.]+)"', message)
        types = re.findall(r"Expected an? (?:<class '(\w+)'>|([^\n]+?))(?:\. Got value|\n|$)", message)
        got = re.search(r"(?:Got value|Given value): (.*)", message)
        if key and got:
            names = [_NAMES.get(name, name) for pair in types if (name := "".join(pair)) != "NoneType"]
            names = [_LITERAL.sub(lambda found: found[1].replace("'", ""), name) for name in names]
            names = [name for name in names if "import path" not in name]
            wanted = " or ".join(dict.fromkeys(names)) or "another value"
            option = key[1] if "." in key[1] else key[1].replace("_", "-")
            raise InputError(f"Expected --{option} to be {wanted}, got {got[1]!r}. {self._see()}")
        raise InputError(f"{' '.join(message.split()).rstrip('.')}. {self._see()}")

    def shows(self, action: Action) -> bool:
        """Tell whether the help shows an option: words without dashes and what jsonargparse adds are left out."""
        names = action.option_strings
        is_added = names[:1] in ([], ["--model"], ["--print_shtab"]) or names[0].endswith(".help")
        return action.help != SUPPRESS and not is_added

    # pyrefly: ignore[bad-override] - the formatter that the parent may be given is not for this help
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

    def _arranged(self, argv: Sequence[str]) -> tuple[list[str], dict[str, str | None]]:
        """Turn words into options and unify the spelling; file and preset stand apart."""
        apart: dict[str, str | None] = {"--config": None, "--preset": None}
        arranged, words = [], list(self.words)
        for name, value in self._tokens(argv):
            if name in apart:
                apart[name] = value
            elif name:
                arranged.append(name if value is None else f"{name}={self._as_list(name, value)}")
            elif words:
                arranged.append(f"--{words.pop(0)}={value}")
            else:
                raise InputError(f"Expected nothing more than the options, got {value!r}. {self._see()}")
        return arranged, apart

    def _tokens(
        self, argv: Sequence[str], more: Callable[[], Collection[str]] | None = None
    ) -> Iterator[tuple[str, str | None]]:
        """Yield each option as it is known with its value, None for a flag; of words the name is ""; see `peek`."""
        rest = list(argv)
        while rest:
            token = rest.pop(0)
            if not token.startswith("-") or re.fullmatch(r"-\d+(\.\d+)?", token):
                yield "", token if more else self._not_empty("a word", token)
                continue
            name, equals, value = token.partition("=")
            takes_value = True
            if not (more and name.startswith("--model.")):
                name, takes_value = self._known(name, () if more is None else more)
            if not takes_value and equals:
                raise InputError(
                    f"Expected no value after {name}, got {value!r}. Leave the option out for no. {self._see()}"
                )
            if not takes_value:
                yield name, None
            elif equals:
                yield name, value if more else self._not_empty(name, value)
            elif rest and not rest[0].startswith("--"):
                yield name, self._not_empty(name, rest.pop(0))
            else:
                raise InputError(f"Expected a value after {name}, got nothing. {self._see()}")

    def _known(self, name: str, more: Collection[str] | Callable[[], Collection[str]]) -> tuple[str, bool]:
        """Return the option as it is known and whether it takes a value; `more` are names of options with values."""
        known = self._option_string_actions
        plain = name[2:].replace("-", "_")
        for spelling in (name, name.replace("_", "-"), f"--{plain}", f"--model.{plain}"):
            if spelling in known:
                return spelling, known[spelling].nargs != 0
        more = more() if callable(more) else more
        if plain in more:
            return f"--model.{plain}", True
        spellings = [n for n in known if n.startswith("--") and "print_" not in n] + [f"--{n}" for n in more]
        hint = _meant(name.replace("_", "-"), spellings, "{}")
        raise InputError(f"Unknown option {name}. {hint}{self._see()}")

    def _as_list(self, name: str, value: str) -> str:
        """Put what stands between commas outside parentheses, such as mass(a, b),delta_r, into a YAML list."""
        if name in self._lists and not value.startswith("[") and value not in ("null", "auto", ""):
            return json.dumps([one.strip() for one in re.split(r",(?![^()]*\))", value) if one.strip()])
        numbers = re.fullmatch(r"[-+.\deE]+(,\s*[-+.\deE]+)+", value) is not None
        return f"[{value}]" if numbers and name.startswith("--model.") else value

    def _not_empty(self, name: str, value: str) -> str:
        if value.strip():
            return value
        raise InputError(f"Expected a value for {name}, got an empty text. Is a variable of the shell not set?")

    def _take_config(self, path: str) -> None:
        """Let the values of the file `path` be the defaults, once they are checked."""
        flat, content = flatten(read_yaml(path)), Namespace()
        preset = flat.pop("preset", None)
        known = {action.dest for action in self._actions} - {"help", "config", "model"}
        for key, value in flat.items():
            if key not in known:
                raise InputError(f"Unknown key {key!r} in {path!r}. {_meant(key, known, '{!r}')}{self._see()}")
            content[key] = value
        if preset is not None:
            self._take_preset(str(preset))
        self.parse_object(content)
        self.set_defaults(flat)

    def _take_preset(self, name: str) -> None:
        """Let the values of the preset `name` be the defaults of the model."""
        if self._preset is None:
            raise InputError(f"Expected a model for the preset {name!r}, got none. Write: {self.prog} gan DATA")
        values = {f"model.{key}": value for key, value in self._preset(name).items()}
        self.set_defaults({key: list(value) if isinstance(value, tuple) else value for key, value in values.items()})

    def _see(self) -> str:
        return f"See: {self.prog} --help"


class _Formatter(HelpFormatter):
    """The layout of argparse, with one word for the value of an option and its default at the end of the text."""

    def __init__(self, prog: str) -> None:
        super().__init__(prog, max_help_position=26, width=min(max(shutil.get_terminal_size().columns, 60), 100))

    def _format_action_invocation(self, action: Action) -> str:
        value = "" if action.nargs == 0 else f" {action.dest.rpartition('.')[2].upper()}"
        return ", ".join(name for name in action.option_strings if not name.endswith("+")) + value

    def _get_help_string(self, action: Action) -> str:
        text = " ".join((action.help or "").split())
        text = text[:1].upper() + text[1:]
        if action.nargs == 0 or action.default in (None, ""):
            return text
        default = action.default
        shown = f"[{', '.join(map(str, default))}]" if isinstance(default, (tuple, list)) else str(default)
        return f"{text} (default: {shown.replace('%', '%%')})"


def _meant(name: str, known: Iterable[str], form: str) -> str:
    close = nearest(name, known)
    return f"Did you mean {form.format(close)}? " if close else ""
