"""Shell completion, written by shtab from the options of the verbs.

    eval "$(reverie --print-completion bash)"     in ~/.bashrc
    eval "$(reverie --print-completion zsh)"      in ~/.zshrc

The script knows every option there is, behind the name of a model those of that model, and the names of models and
catalogue data; pressing the key starts no Python.
"""

from argparse import SUPPRESS, ArgumentParser

import shtab

from reverie.cli.options import Options
from reverie.cli.verbs import VERBS, module_of
from reverie.core.errors import UnknownNameError

__all__ = ["completion_script"]

SHELLS = ("bash", "zsh")
_OF_A_MODEL = ("run", "fit", "tune")


def completion_script(shell: str) -> str:
    """Return the completion script of `shell`, "bash" or "zsh".

    Raises `UnknownNameError` for another shell.
    """
    if shell not in SHELLS:
        raise UnknownNameError("shell", shell, SHELLS)
    from reverie.data import catalogue
    from reverie.experiment.config import AUTO, model_names

    data = [*catalogue.entries(), *shtab.Required.FILE]
    root = ArgumentParser("reverie", add_help=False)
    for name in ("--help", "--version"):
        root.add_argument(name, action="store_true")
    verbs = root.add_subparsers()
    for verb, text in VERBS.items():
        parser, options = verbs.add_parser(verb, help=text, add_help=False), module_of(verb).options
        _add_options(parser, options())
        if verb in _OF_A_MODEL:
            models = parser.add_subparsers()
            for model in [*model_names(), *([AUTO] if verb != "tune" else [])]:
                of_model = models.add_parser(model, help=f"train a model: {model}", add_help=False)
                of_model.add_argument("data", choices=data)
                _add_options(of_model, options(model))
        else:
            if verb == "data":
                parser.add_argument("action", choices=("list", "fetch", "describe"))
            parser.add_argument("words", nargs="*", choices=data)
    return shtab.complete(root, shell)


def _add_options(parser: ArgumentParser, options: Options) -> None:
    """Add the options that the help shows; a value may be the name of a file."""
    for action in options._actions:
        if action.option_strings and action.help != SUPPRESS and options.shows(action):
            if action.nargs == 0:
                parser.add_argument(*action.option_strings, action="store_true")
            else:
                # pyrefly: ignore[missing-attribute] - where shtab looks for it
                parser.add_argument(*action.option_strings).complete = shtab.FILE
