"""`reverie schema`: the JSON schema of config.yaml, with which editors complete and check it."""

import json
from collections.abc import Sequence

from reverie.cli.options import Options

__all__ = ["main", "options"]


def options() -> Options:
    parser = Options(
        "schema",
        "Print the JSON schema of the configuration of a run: its keys, the models and all their options, with what "
        "each may be. Editors that know the YAML language server complete and check config.yaml with it.",
        examples=("reverie schema > reverie.schema.json", "reverie schema --out reverie.schema.json"),
    )
    parser.option("-o --out", "Write it to this file.")
    return parser


def main(argv: Sequence[str]) -> int:
    values = options().parse(argv)
    from reverie.experiment.schema import config_schema

    text = json.dumps(config_schema(), indent=1)
    if values.out is None:
        print(text)
        return 0
    from pathlib import Path

    from reverie.experiment.folder import write_text

    write_text(Path(values.out), text + "\n")
    print(f"schema: {values.out}")
    return 0
