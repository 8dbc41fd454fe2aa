"""`reverie explore DATA`: what the data say before any model."""

import json
import sys
from collections.abc import Sequence

from reverie.cli.options import Options
from reverie.core.errors import InputError

__all__ = ["main", "options"]


def options() -> Options:
    parser = Options(
        "explore",
        "Principal components, intrinsic dimension, clusters and, with a target, a random forest of a data set; or the "
        "spectrum of a covariance matrix. Prints sentences; with --out it writes a page.",
        words=("data",),
        usage="DATA",
        examples=(
            "reverie explore dimuon_upsilon --columns pt1,eta1,phi1,pt2,eta2,phi2 --out look",
            "reverie explore magic --target class",
            "reverie explore theory_covariance --covariance --out look",
            "reverie explore --lecture --out figures",
        ),
    )
    add = parser.option
    add("--columns", "Names of the columns to look at.")
    add("--target", "Column that a forest predicts; of digits and mnist: label.")
    add("--weights", "Column of event weights.")
    add("--clusters", "Number of clusters; by default it is chosen.", int)
    add("--linkage", "Of the tree of clusters: ward, single, complete or average.", str, "ward")
    parser.flag("standardise", "Divide columns by their standard deviations: the default unless units are all equal.")
    parser.flag("no-standardise", "Take columns as they are.")
    parser.flag("tsne", "Make a t-SNE picture too, of at most 5,000 rows.")
    parser.flag("covariance", "DATA is a covariance matrix.")
    parser.flag("lecture", "Write the figures of the lecture on many dimensions and ensembles into --out.")
    add("--max-rows", "More rows are cut at random.", int, 20_000)
    parser.flag("drop-missing", "Leave out rows with NaN or infinite entries.")
    add("--seed", "Root of all randomness.", int, 0, least=(0, "Try --seed 0."))
    add("--out", "Folder for exploration.json and exploration.html.")
    parser.flag("json", "Print JSON.")
    return parser


def main(argv: Sequence[str]) -> int:
    values = options().parse(argv)
    if values.lecture and values.out is None:
        raise InputError("Expected --out DIR beside --lecture, got none. Name a folder for the figures.")
    if values.standardise and values.no_standardise:
        raise InputError("Expected --standardise or --no-standardise, got both. Leave one of them out.")
    if values.lecture:
        from reverie.experiment.lecture import write_lecture

        print("\n".join(write_lecture(values.out, seed=values.seed)))
        return 0
    if values.data is None:
        raise InputError("Expected a file or a name of the catalogue, got nothing. Write: reverie explore DATA")
    from reverie.experiment.explore import explore_covariance, explore_data, write

    if values.covariance:
        result = explore_covariance(values.data)
    else:
        names = ("columns", "target", "weights", "linkage", "max_rows", "drop_missing", "seed")
        chosen = {name: values[name] for name in names} | {"n_clusters": values.clusters, "with_tsne": values.tsne}
        standardise = True if values.standardise else False if values.no_standardise else None
        result = explore_data(values.data, standardise=standardise, say=_say, **chosen)
    print(json.dumps(result.to_json(), indent=1, ensure_ascii=False) if values.json else result)
    if values.out is not None:
        page = write(result, values.out)
        if not values.json:
            print(f"page: {page}")
    return 0


def _say(stage: str) -> None:
    """Tell a person who watches what is going on."""
    if sys.stderr.isatty():
        print(f"{stage} ...", file=sys.stderr)
