"""`reverie compare RUN RUN ...`: which run is best, and which differences are significant."""

import json
from argparse import SUPPRESS
from collections.abc import Sequence

from reverie.cli.options import Options
from reverie.core.errors import InputError

__all__ = ["main", "options"]

_MOST = 256  # runs; beyond, a file of results and a script of one's own serve better


def options() -> Options:
    parser = Options(
        "compare",
        "Rank runs on the same data, with errors, and say which differences are significant. Runs that differ in "
        "nothing but the seed are also compared as groups. A folder of runs stands for the runs in it.",
        usage="RUN RUN ...",
        examples=(
            "reverie compare runs/a runs/b runs/c",
            "reverie compare runs --by energy --out comparison",
            "reverie compare runs/a runs/b --json > comparison.json",
        ),
    )
    parser.add_argument("--runs", type=list[str], default=[], help=SUPPRESS)
    parser.words = ("runs+",) * _MOST  # each word without dashes is appended to the list
    parser.option(
        "--by", "Statistic that ranks the runs, or how its name begins: auc, energy, 'KS pt1'. The AUC by default."
    )
    parser.option("--alpha", "Level of significance.", float, 0.05)
    parser.option("--out", "Folder for comparison.json and comparison.html.")
    parser.flag("json", "Print JSON.")
    return parser


def main(argv: Sequence[str]) -> int:
    values = options().parse(argv)
    if not 0 < values.alpha < 1:
        raise InputError(f"Expected --alpha between 0 and 1, got {values.alpha}. Try --alpha 0.05.")
    from reverie.experiment.compare import compare_runs

    result = compare_runs(values.runs, by=values.by, alpha=values.alpha)
    print(json.dumps(result.to_json(), indent=1, ensure_ascii=False) if values.json else result)
    if values.out is not None:
        page = result.write(values.out)
        if not values.json:
            print(f"page: {page}")
    return 0
