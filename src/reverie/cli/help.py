"""The help of a verb as text: usage, what it does, one block for each option, examples."""

import re
import shutil
import textwrap
from argparse import Action
from collections.abc import Iterable, Sequence

__all__ = ["help_text"]

_COLUMN = 26
_UNSHOWN = ("==SUPPRESS==", "--model", "--print_shtab")


def help_text(usage: str, about: str, actions: Iterable[Action], examples: Sequence[str]) -> str:
    """Return the help.

    Parameters
    ----------
    usage : the line behind "usage:".
    about : what the verb does.
    actions : options of the parser; those of a model have names that begin with ``--model.``.
    examples : commands.
    """
    width = min(max(shutil.get_terminal_size().columns, 60), 100)
    shown = [a for a in actions if a.option_strings and not _is_unshown(a)]
    general = [a for a in shown if not a.dest.startswith("model.")]
    special = [a for a in shown if a.dest.startswith("model.")]
    parts = [f"usage: {usage}", textwrap.fill(about, width)]
    parts.append("\n".join(["options:", *(_entry(a, width) for a in general)]))
    if special:
        parts.append(
            "\n".join(["options of the model ('model.' may be left out):", *(_entry(a, width) for a in special)])
        )
    if examples:
        parts.append("\n".join(["examples:", *(f"  {example}" for example in examples)]))
    return "\n\n".join(parts) + "\n"


def _is_unshown(action: Action) -> bool:
    return action.help in _UNSHOWN or action.option_strings[0] in _UNSHOWN


def _entry(action: Action, width: int) -> str:
    head = "  " + ", ".join(action.option_strings)
    if action.nargs != 0:
        head += f" {_value_word(action)}"
    text = " ".join((action.help or "").replace("%%", "%").split())
    text = text[:1].upper() + text[1:]
    if action.nargs != 0 and action.default not in (None, ""):
        text += f" (default: {_shown(action.default)})"
    gap = " " * _COLUMN
    lines = textwrap.wrap(text, width - _COLUMN, break_on_hyphens=False) or [""]
    first = f"{head:<{_COLUMN}}{lines[0]}" if len(head) < _COLUMN else f"{head}\n{gap}{lines[0]}"
    return "\n".join([first, *(gap + line for line in lines[1:])])


def _value_word(action: Action) -> str:
    return re.sub(r"^.*\.", "", action.dest).upper()


def _shown(value: object) -> str:
    if isinstance(value, (tuple, list)):
        return "[" + ", ".join(map(str, value)) + "]"
    return str(value)
