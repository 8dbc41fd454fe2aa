"""`reverie pack RUN`: a run in one file with a card and checksums; `--check` and `--unpack` are the way back."""

from collections.abc import Sequence

from reverie.cli.options import Options
from reverie.core.errors import InputError

__all__ = ["main", "options"]


def options() -> Options:
    parser = Options(
        "pack",
        "Write a trained run into one .zip to hand on: model, samples, verdict, report, a card and SHA-256 sums; no "
        "data and no training states. The same verb checks such a file, and unpacks one that passes.",
        words=("run",),
        usage="RUN",
        examples=(
            "reverie pack runs/z                                # runs/z.zip",
            "reverie pack --check z.zip",
            "reverie pack --unpack z.zip --out runs/z_copy",
        ),
    )
    parser.option("-o --out", "The .zip; RUN.zip by default. With --unpack the new run folder.")
    parser.option("--check", "A .zip whose files are compared with their sums.")
    parser.option("--unpack", "A .zip that is checked, and then unpacked.")
    parser.flag("overwrite", "Replace a .zip that is there.")
    return parser


def main(argv: Sequence[str]) -> int:
    values = options().parse(argv)
    if sum(value is not None for value in (values.run, values.check, values.unpack)) != 1:
        raise InputError("Expected one of RUN, --check FILE and --unpack FILE. Write: reverie pack runs/x")
    if values.unpack is not None and values.out is None:
        raise InputError("Expected the folder to unpack into, got none. Add --out runs/x")
    from reverie.experiment.folder import RunFolder
    from reverie.experiment.pack import check, pack, unpack

    if values.run is not None:
        path = pack(RunFolder(values.run), values.out, overwrite=values.overwrite)
        print(f"packed: {path}, {path.stat().st_size / 1e6:.1f} MB")
    elif values.check is not None:
        sizes = check(values.check)
        print(f"{values.check}: {len(sizes)} files, {sum(sizes.values()) / 1e6:.1f} MB, all as they were packed.")
    else:
        print(f"unpacked: {unpack(str(values.unpack), str(values.out)).path}")
    return 0
