"""Shell completion: a script for bash, which zsh understands too.

    eval "$(reverie --print-completion bash)"     in ~/.bashrc
    eval "$(reverie --print-completion zsh)"      in ~/.zshrc

The script is made from the options of the verbs, so it knows every option there is, behind the name of a model those of
that model, and the names of models and catalogue data; pressing the key starts no Python.
"""

import importlib

from reverie.cli.main import VERBS
from reverie.core.errors import UnknownNameError

__all__ = ["completion_script"]

_BASH = """\
_reverie() {{
  local word="${{COMP_WORDS[COMP_CWORD]}}" previous="${{COMP_WORDS[COMP_CWORD-1]}}" verb="${{COMP_WORDS[1]}}" names=""
  local options="" model="${{COMP_WORDS[2]}}"
  if [ "$COMP_CWORD" -eq 1 ]; then
    COMPREPLY=($(compgen -W "{verbs}" -- "$word"))
    return
  fi
  case "$verb" in
{options}
  esac
  case "$verb:$model" in
{of_models}
  esac
  case "$verb" in
    run|fit|tune) if [ "$COMP_CWORD" -eq 2 ]; then names="{models}"; else names="{data}"; fi ;;
    data) if [ "$COMP_CWORD" -eq 2 ]; then names="list fetch describe"; else names="{data}"; fi ;;
  esac
  if [[ "$word" == -* ]]; then
    COMPREPLY=($(compgen -W "$options" -- "$word"))
  elif [[ "$previous" == -* ]]; then
    COMPREPLY=($(compgen -f -- "$word"))
  else
    COMPREPLY=($(compgen -W "$names" -- "$word") $(compgen -f -- "$word"))
  fi
}}
complete -o filenames -F _reverie reverie"""
_OF_A_MODEL = ("run", "fit", "tune")
_ZSH = "autoload -U +X compinit && compinit -u\nautoload -U +X bashcompinit && bashcompinit\n"


def completion_script(shell: str) -> str:
    """Return the completion script of `shell`, "bash" or "zsh".

    Raises
    ------
    UnknownNameError
        For another shell.
    """
    if shell not in ("bash", "zsh"):
        raise UnknownNameError("shell", shell, ("bash", "zsh"))
    from reverie.data import catalogue
    from reverie.experiment.config import model_names

    general = {verb: _options(verb) for verb in VERBS}
    further = {
        f"{verb}:{model}": [name for name in _options(verb, model) if name not in general[verb]]
        for verb in _OF_A_MODEL
        for model in model_names()
    }
    script = _BASH.format(
        verbs=" ".join([*VERBS, "--help", "--version"]),
        options="\n".join(f'    {verb}) options="{" ".join(names)}" ;;' for verb, names in general.items()),
        of_models="\n".join(f'    {words}) options+=" {" ".join(names)}" ;;' for words, names in further.items()),
        models=" ".join(model_names()),
        data=" ".join(catalogue.entries()),
    )
    return _ZSH + script if shell == "zsh" else script


def _options(verb: str, model: str | None = None) -> list[str]:
    module = importlib.import_module(f"reverie.cli.{verb}")
    parser = module.options() if model is None else module.options(model)
    hidden = {f"--{word}" for word in parser.words} | {"--model", "--print_shtab"}
    return sorted(name for name in parser._option_string_actions if name.startswith("--") and name not in hidden)
