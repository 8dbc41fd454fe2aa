"""What another seed would have given: the spread of several replicas of one model."""

import numpy as np

from reverie.core.statistics import ks_distance
from reverie.report.page import Block, Cell, Section, Table, Text
from reverie.report.sections import Samples
from reverie.report.words import measured, number

__all__ = ["replicas_section"]

_MOST_COLUMNS = 30


def replicas_section(samples: Samples) -> Section | None:
    """Return the table of the spread between replicas, or None when there are fewer than two."""
    if samples.replicas is None or len(samples.replicas) < 2:
        return None
    n_replicas, n = samples.replicas.shape[:2]
    text = (
        f"{n_replicas} independent games were played, with other weights, batches and noise. Below are mean ± standard "
        f"deviation over the replicas, from {n:,} samples of each; part of it is the noise of these samples. The same "
        "spread is hatched in the panels of the columns, from the lowest to the highest replica in each bin."
    )
    blocks: list[Block] = [Text(text), _table(samples)]
    return Section("replicas", "How much the seed matters", tuple(blocks), "Replicas")


def _table(samples: Samples) -> Table:
    headers = ("Column", "Mean, real", "Mean, replicas", "Sd, real", "Sd, replicas", "KS distance, replicas",
               "worst replica")  # fmt: skip
    return Table(headers, tuple(_row(samples, name, j) for j, name in enumerate(samples.rows_of_numbers)))


def _row(samples: Samples, name: str, j: int) -> tuple[Cell, ...]:
    real, replicas = samples.numbers(samples.real)[:, j], [samples.numbers(x)[:, j] for x in samples.replicas]  # pyright: ignore
    distances = np.array([ks_distance(real, x) for x in replicas])
    texts = (
        number(real.mean()) if len(real) else "–",
        _spread([x.mean() for x in replicas]),
        number(real.std()) if len(real) else "–",
        _spread([x.std() for x in replicas]),
        _spread(distances) if len(real) else "–",
        f"{int(np.argmax(distances))}: {number(distances.max())}" if len(real) else "–",
    )
    return (Cell(name), *(Cell(text, "number") for text in texts))


def _spread(values: np.ndarray | list[float]) -> str:
    return measured(float(np.mean(values)), float(np.std(values, ddof=1)))
