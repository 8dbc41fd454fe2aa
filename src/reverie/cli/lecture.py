"""`reverie lecture [NAME]`: a page of the lectures, or all of them, run here; without a name, the list of all pages."""

from collections.abc import Sequence

from reverie.cli.options import Options

__all__ = ["main", "options"]


def options() -> Options:
    parser = Options(
        "lecture",
        "Run a page of the lectures' gallery: it prints the lecture's numbers beside those found here, and writes its "
        'figures. "all" runs every page; without a name, list all pages by lecture and section.',
        words=("name",),
        usage="[NAME]",
        examples=(
            "reverie lecture",
            "reverie lecture langevin",
            "reverie lecture first_gan --quick --out figures",
            "reverie lecture langevin --store --out docs/lectures",
            "reverie lecture all --quick",
        ),
    )
    parser.flag("quick", "Take the short budget: less than a minute on one core.")
    parser.flag("store", "Write in place of them the small record that the documentation shows: NAME.yaml, NAME.webp.")
    parser.flag("list", "List the pages.")
    parser.option("--out", "Folder for the figures, as PNG, and for what was printed, as JSON.", str, "lectures")
    return parser


def main(argv: Sequence[str]) -> int:
    values = options().parse(argv)
    from reverie.lectures.gallery import pages, pages_by_lecture, run_page

    if values.name is None or values.list:
        for lecture, places in pages_by_lecture():
            print(lecture)
            width = max((len(page.name) for _, page in places), default=0)
            for section, page in places:
                print(f"   {page.name:<{width}}  {section}")
        print("\nreverie lecture NAME [--quick] runs one.")
        return 0
    for name in pages() if values.name == "all" else [values.name]:
        for file in run_page(name, values.out, quick=values.quick, store=values.store):
            print(f"file: {file}")
    return 0
