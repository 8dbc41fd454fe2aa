"""One walk along the lists of neighbours finds the balls of many labellings and of many parts of the rows.

A column is a labelling of the pooled rows, with some of them absent. The ball of a present row ends at its k-th
nearest present row of its own label, so the balls of every column follow from one list of pooled neighbours: walk
along it, count the rows of the own label, stop at the k-th. Columns are packed 64 to a word, and the count is k
words, so one machine instruction takes a step in 64 columns. A ball that would reach beyond the list is cut there.
"""

from dataclasses import dataclass

import numpy as np

from reverie.validation.statistics.neighbours import NeighbourGraph

__all__ = ["TIE", "Walk", "column_sums", "packed", "unpacked", "walk"]

TIE = 1e-9  # relative difference of squared distances that counts as none
_ROWS = 4096


@dataclass(frozen=True)
class Walk:
    """The balls of all columns.

    Parameters
    ----------
    covered : (N, words), the row's ball holds a row of the other label.
    inside : (N, words), the row lies in a ball of the other label.
    held : (columns,), rows of y in balls of x, counted as often as they are held.
    cut : share of the balls of column 0 that end with the list.
    """

    covered: np.ndarray
    inside: np.ndarray
    held: np.ndarray
    cut: float


def packed(columns: np.ndarray) -> np.ndarray:
    """Return booleans (N, columns) as (N, words) of 64 bits; bits to spare in the last word are zero."""
    bits = np.packbits(columns, axis=1)
    words = np.zeros((len(bits), -(-columns.shape[1] // 64) * 8), dtype=np.uint8)
    words[:, : bits.shape[1]] = bits
    return words.view(np.uint64)


def unpacked(bits: np.ndarray, columns: slice) -> np.ndarray:
    """Return these columns, which begin and end with a byte, of packed bits (N, words) as zeros and ones, uint8."""
    return np.unpackbits(bits.view(np.uint8)[:, columns.start // 8 : columns.stop // 8], axis=1)


def column_sums(bits: np.ndarray) -> np.ndarray:
    """Return the number of rows with each bit set, (columns,)."""
    total = np.zeros(bits.shape[1] * 64, dtype=np.int64)
    for start in range(0, len(bits), _ROWS):
        bytes_ = bits[start : start + _ROWS].view(np.uint8)
        total += np.unpackbits(bytes_, axis=1).sum(0, dtype=np.int64)
    return total


def walk(graph: NeighbourGraph, labels: np.ndarray, present: np.ndarray, k: int) -> Walk:
    """Return the balls of the packed columns: `labels` of x, and the rows that are `present`, (N, words) both."""
    covered, inside = np.zeros_like(labels), np.zeros_like(labels)
    held, cut = np.zeros(labels.shape[1] * 64, dtype=np.int64), 0
    for start in range(0, len(labels), _ROWS):
        rows = slice(start, start + _ROWS)
        here, still_open = labels[rows], present[rows].copy()
        seen = [np.zeros_like(here) for _ in range(k)]  # seen[j]: more than j rows of the own sample so far
        ends = _last_of_ties(graph.squared[rows])
        for p in range(graph.length):
            there = graph.rows[rows, p]
            differs = labels[there] ^ here
            hit = differs & present[there] & still_open
            covered[rows] |= hit
            _scatter_or(inside, there, hit)
            held += column_sums(hit & here)
            same = ~differs & present[there]
            for j in range(k - 1, 0, -1):
                seen[j] |= seen[j - 1] & same
            seen[0] |= same
            still_open &= ~(seen[-1] & ends[:, p, None])
            if not still_open.any():
                break
        cut += int(column_sums(still_open)[0])
    return Walk(covered, inside, held, cut / len(labels))


def _last_of_ties(squared: np.ndarray) -> np.ndarray:
    # all ones where the next neighbour is farther: a ball may end here
    last = np.ones(squared.shape, dtype=bool)
    last[:, :-1] = squared[:, 1:] > squared[:, :-1] * (1 + TIE)
    return np.where(last, np.uint64(0xFFFFFFFFFFFFFFFF), np.uint64(0))


def _scatter_or(target: np.ndarray, rows: np.ndarray, bits: np.ndarray) -> None:
    order = np.argsort(rows)
    unique, starts = np.unique(rows[order], return_index=True)
    target[unique] |= np.bitwise_or.reduceat(bits[order], starts, axis=0)
