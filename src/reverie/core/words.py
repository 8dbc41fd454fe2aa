"""One code for a word wherever two tables meet.

Words of a column become codes 0, 1, ... in the order of their own table (`reverie.core.tables`); those of another
table number other words. What compares or joins two tables therefore brings both to one list of words first.

    in_same_words  several samples in which a word has one code
    recoded        the rows of one table with the codes of another list of words
"""

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from reverie.core.errors import InputError
from reverie.core.lazy import LazyTable
from reverie.core.tables import labels_of, named_columns, to_raw

__all__ = ["Coded", "in_same_words", "recoded"]

_TRUTH = {"False", "True"}  # words that are numbers where those of another table are


@dataclass(frozen=True)
class Coded:
    """A table whose words are codes; `tabular` takes it.

    Parameters
    ----------
    values : rows, shape (n, d).
    names : one per column, or None where the container had no names.
    weights : event weights as they came, or None.
    labels : the words behind the codes 0, 1, ... of columns of words, by name.
    """

    values: np.ndarray
    names: Sequence[str] | None
    weights: object
    labels: Mapping[str, Sequence[str]]


def in_same_words(samples: Mapping[str, Any]) -> dict[str, Any]:
    """Return samples, by what messages call them, in which a word has the same code in all.

    Codes are those of the first sample, then come words that only later ones hold. What has no words stays as it is.

    Raises
    ------
    InputError
        As `to_raw`, and for words of a table too large for a copy that would need other codes.
    """
    coded: dict[str, Any] = {}
    words: dict[str, list[str]] = {}
    for what, sample in samples.items():
        raw = None if sample is None or named_columns(sample) is None else to_raw(sample, what)
        coded[what] = sample if raw is None else Coded(raw.values, raw.names, None, raw.labels)
        for name, own in labels_of(coded[what]).items():
            known = words.setdefault(name, [])
            known += [word for word in own if word not in known]
    words = {name: ["False", "True"] if set(known) <= _TRUTH else known for name, known in words.items()}
    for what, sample in coded.items():
        _check_codes(sample, words, what)
        labels = labels_of(sample)
        values = recoded(sample.values, sample.names, labels, words, what) if labels else None
        knows_less = any(len(own) < len(words[name]) for name, own in labels.items())
        if values is not None and (values is not sample.values or knows_less):
            coded[what] = Coded(values, sample.names, sample.weights, {name: words[name] for name in labels})
    return coded


def _check_codes(sample: Any, words: Mapping[str, Sequence[str]], what: str) -> None:
    """Warn where a sample has numbers in a column that has words in another, and refuse those that are no codes."""
    names = getattr(sample, "names", None) or ()
    for name in [name for name in words if name in names and name not in labels_of(sample)]:
        x, known = np.asarray(sample.values[:, list(names).index(name)]), words[name]
        if set(known) <= _TRUTH:
            continue
        given = x[np.isfinite(x)]
        if not len(given):
            continue
        if not (np.isin(given, np.arange(len(known)))).all():
            raise InputError(
                f"Expected the words {', '.join(known[:20])} in the column {name!r} of {what}, as in another sample, "
                "got numbers that are no codes of them. Give words in both."
            )
        codes = ", ".join(f"{code} = {word}" for code, word in enumerate(known[:20]))
        warnings.warn(
            f"Expected words in the column {name!r} of {what}, as in another sample, got numbers. They are taken as "
            f"codes: {codes}. Files .csv and .parquet keep words.",
            stacklevel=5,
        )


def recoded(
    values: np.ndarray,
    names: Sequence[str] | None,
    labels: Mapping[str, Sequence[str]],
    words: Mapping[str, Sequence[str]],
    what: str,
) -> np.ndarray:
    """Return rows (n, d) in which codes of the words `labels`, by column, are codes of `words`; gaps stay NaN.

    Raises
    ------
    InputError
        For a column that has no words there, a word that is not among them, or a table too large for a copy.
    """
    for name, own in labels.items():
        if name not in words and set(own) - _TRUTH:
            raise InputError(f"Expected numbers in the column {name!r} of {what}, got words. Encode or drop it.")
    other = {name: own for name, own in labels.items() if list(own) != list(words.get(name, own))[: len(own)]}
    if not other:
        return values
    if isinstance(values, LazyTable):
        name, own = next(iter(other.items()))
        raise InputError(
            f"Expected the words of {name!r} in {what} in the order {', '.join(words[name])}, got {', '.join(own)}: "
            "the table is too large for a copy. Read both with one schema (--schema)."
        )
    table = np.array(values)
    for name, own in other.items():
        j, codes = list(names or ()).index(name), {word: code for code, word in enumerate(words[name])}
        given = np.isfinite(table[:, j])
        met = table[given, j].astype(int)
        unknown = sorted({own[code] for code in np.unique(met)} - set(codes))
        if unknown:
            raise InputError(
                f"Expected the column {name!r} of {what} to hold {', '.join(list(codes)[:20])}, got "
                f"{', '.join(unknown[:5])}. Leave these events out."
            )
        table[given, j] = np.array([codes.get(word, -1) for word in own])[met]
    return table
