"""`reverie data list|fetch|describe`: what data there are, and what is in them."""

from collections.abc import Sequence

from reverie.cli.options import Options
from reverie.core.errors import InputError, UnknownNameError

__all__ = ["main", "options"]


def options() -> Options:
    parser = Options(
        "data",
        "list: the catalogue. fetch: download a data set, checked by its sha256. describe: columns, units and kinds of "
        "a data set or file.",
        words=("action", "data"),
        usage="list | fetch NAME | describe NAME_OR_PATH",
        examples=("reverie data list", "reverie data describe events.csv --columns pt,eta --schema schema.yaml"),
    )
    parser.option("--columns", "Names of the columns to describe.")
    parser.option("--schema", "Write the schema to this YAML file, to edit.")
    parser.flag("drop-missing", "Leave out rows with NaN or infinite entries.")
    parser.flag("overwrite", "Replace the schema file if it is there.")
    return parser


def main(argv: Sequence[str]) -> int:
    values = options().parse(argv)
    if values.action not in (None, "list", "fetch", "describe"):
        raise UnknownNameError("action", values.action, ("list", "fetch", "describe"))
    if values.action in ("fetch", "describe") and values.data is None:
        raise InputError(f"Expected data to {values.action}, got nothing. Names: reverie data list")
    from reverie.data import catalogue
    from reverie.experiment.datasets import describe_data, write_schema

    if values.action == "fetch":
        paths = catalogue.fetch(values.data)
        print("\n".join(map(str, paths)) if paths else f"{values.data} needs no files.")
    elif values.action == "describe":
        text = describe_data(values.data, columns=values.columns, drop_missing=values.drop_missing)
        if values.schema is not None:
            write_schema(values.data, values.schema, columns=values.columns, overwrite=values.overwrite)
            text += f"\nschema: {values.schema}"
        print(text)
    else:
        print(catalogue.listing())
    return 0
