"""Whether rows are independent and, if not, in which blocks they may be exchanged.

Rows of a Markov chain (lattices, Boltzmann machines, Langevin samples) resemble their neighbours, and every
two-sample test for independent rows then rejects equal laws: Kolmogorov-Smirnov "at 5 %" in 78 % of the
runs for autoregressive chains with coefficient 0.9 (validation reference, section 1). So before anything is tested,
the integrated autocorrelation time tau (`reverie.core.series`) is measured on quantities that chains
forget slowly: the features of largest variance, their sum, its distance from the mean (for spins: magnetisation and
its size), and the first principal components.

    2 tau > 1.2    and    tau - 1/2 > 4.5 sqrt(W / n)        the rows are a chain, n_eff = n / (2 tau)

For independent rows tau - 1/2 is a sum of W autocorrelations of variance 1/n. With the window W that the
Gamma method chooses, 1 of 1,000 series of independent rows exceeds 3.3 of these units, and 1 of 5,000 exceeds 4.2
(simulated, n = 300 to 5,000). That law is normal for many rows only. A column that is 0 in nearly all rows has its
variance from k of them, k = (sum x^2)^2 / sum x^4, and its autocorrelation from those that happen to lie W rows
apart or less: a Poisson number, divided by k, whose quantile lies (4.5^2 - 1)/6 higher than that of a normal law of
its variance (Cornish and Fisher). So 3.2/k is added to the bound, which is nothing where k is of the order of n. Where
a few entries hold the variance, k < n/50, the series is replaced by its ranks first if that leaves more: a chain with
one huge entry is still a chain.

Blocks of ten tau are then exchanged as a whole. The two tau of rows between a block and the next are left out, since
neighbouring blocks would remember each other, and so is what is left of a sample after its last whole block: what is
exchanged is then all but exchangeable. Blocks are shorter, five tau at least, where a sample would hold fewer than
`LEAST_BLOCKS`. Where it would even so, there is no classifier, and `FEWEST_BLOCKS` are enough for the other tests:
4 + 4 blocks have 70 labellings, of which the observed one and its mirror image can be the most extreme, p = 2/70.

A sample that is shorter than that gets no p-value but a `ShortChainError`: taken as independent, equal laws would be
told apart in most runs. Sorted tables of independent events look like such a chain; only who made them knows that they
are none, and says so with "ignore".
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
from scipy.stats import rankdata

from reverie.core.errors import ShortChainError
from reverie.core.series import autocorrelation_time

__all__ = ["FEWEST_BLOCKS", "LEAST_BLOCKS", "ChainReport", "inspect_chains"]

LEAST_BLOCKS = 11  # in each sample: five for a classifier to test on, as many to train on, a gap
FEWEST_BLOCKS = 4  # in each sample: with three, all 20 labellings together leave no p below 2/20
_GAP = 0.2  # of a block
_LEAST = 1.2
_SIGMAS = 4.5
_FEW = 0.02
_MOST_SERIES = 32


@dataclass(frozen=True)
class ChainReport:
    """What was found out about the order of the rows.

    Parameters
    ----------
    tau : the largest integrated autocorrelation time, in rows; 1/2 for independent rows.
    sample, series : The sample and the series that have it, such as "generated" and "sum of all features".
    block : rows that change their label together; 1 for independent rows.
    gap : rows left out after each block.
    thinning : every which row was kept.
    warnings : sentences for the user.
    """

    tau: float = 0.5
    sample: str = ""
    series: str = ""
    block: int = 1
    gap: int = 0
    thinning: int = 1
    warnings: tuple[str, ...] = ()

    @property
    def is_chain(self) -> bool:
        """Whether rows depend on each other."""
        return self.block > 1 or self.thinning > 1

    @property
    def inflation(self) -> float:
        """Variance of a mean over that of as many independent rows: 2 tau where blocks are exchanged."""
        return 2 * self.tau if self.block > 1 else 1.0

    def kept(self, n: int) -> np.ndarray:
        """Return the rows, of n in their order, that are used: thinned, or whole blocks without the gaps."""
        if self.block == 1:
            return np.arange(0, n, self.thinning)
        starts = np.arange(self.n_blocks(n)) * (self.block + self.gap)
        return (starts[:, None] + np.arange(self.block)).ravel()

    def n_blocks(self, n: int) -> int:
        """Return the number of whole blocks in n rows."""
        return (n + self.gap) // (self.block + self.gap)


def inspect_chains(
    table: Mapping[str, np.ndarray], names: tuple[str, ...], correlated: str, size: int | None = None
) -> ChainReport:
    """Return the report on samples (n, d) by name, in the order of their rows.

    Parameters
    ----------
    correlated : "auto" and "blocks" exchange blocks of a chain, "thin" keeps every few rows, "ignore" does not look.
    size : rows that will be used of the smallest sample; None takes all.

    Raises
    ------
    ShortChainError
        For a chain with fewer than `FEWEST_BLOCKS` blocks of five autocorrelation times.
    """
    if correlated == "ignore":
        return ChainReport()
    series = [(what, name, x) for what, rows in table.items() for name, x in _series(rows, names).items()]
    slow = [(tau, what, name) for what, name, x in series if (tau := _slow_time(x)) is not None]
    if not slow:
        return ChainReport()
    tau, what, name = max(slow)
    size = min(len(rows) for rows in table.values()) if size is None else size
    where = f"Rows of the {what} sample depend on their neighbours ({name}: autocorrelation time {tau:.3g} rows)"
    if correlated == "thin":
        step = math.ceil(4 * tau)  # twice the 2 tau that make rows all but independent
        note = f"{where}; every {step}th row of each sample was used."
        return ChainReport(tau, what, name, thinning=step, warnings=(note,))
    effective = size / (2 * tau)
    # ten tau, or as many rows as leave room for the blocks and their gaps
    blocks = [min(math.ceil(10 * tau), math.floor(size / k / (1 + _GAP))) for k in (LEAST_BLOCKS, FEWEST_BLOCKS)]
    block = next((rows for rows in blocks if rows >= 5 * tau), None)
    if block is None:
        least = math.ceil(FEWEST_BLOCKS * (1 + _GAP) * 5 * tau)
        raise ShortChainError(
            f"{where}, and {size:,} rows of each sample are worth {effective:,.0f} independent ones: too few for a "
            f"p-value. Give {least:,} rows of each or more, twice that of real where it is halved; or, for independent "
            "events in sorted order, correlated = 'ignore'."
        )
    note = f"{where}; p-values and errors come from blocks of {block:,} rows, with gaps between. "
    note += f"Effective size about {effective:,.0f}."
    report = ChainReport(tau, what, name, block=block, gap=math.floor(_GAP * block))
    n_blocks = report.n_blocks(size)
    if n_blocks < LEAST_BLOCKS:
        note += f" {n_blocks} blocks in each sample are too few for classifiers: a longer chain would see more."
    return replace(report, warnings=(note,))


def _slow_time(x: np.ndarray) -> float | None:
    """Return tau of a series (n,) where it is significantly above that of independent rows, else None."""
    k = _participation(x)
    if k < _FEW * len(x):
        ranks = rankdata(x)
        x, k = max(((x, k), (ranks, _participation(ranks))), key=lambda pair: pair[1])
    time = autocorrelation_time(x)
    bound = _SIGMAS * math.sqrt(max(time.window, 1) / time.n) + (_SIGMAS**2 - 1) / 6 / k
    return time.value if 2 * time.value > _LEAST and time.value - 0.5 > bound else None


def _participation(x: np.ndarray) -> float:
    squares = np.square((x - x.mean()) / np.abs(x - x.mean()).max())
    return float(squares.sum() ** 2 / np.square(squares).sum())


def _series(rows: np.ndarray, names: tuple[str, ...]) -> dict[str, np.ndarray]:
    spread = rows.std(axis=0)
    scaled = (rows - rows.mean(axis=0)) / np.where(spread > 0, spread, 1)
    widest = np.sort(np.argsort(-spread, kind="stable")[:_MOST_SERIES])
    series = {names[j]: scaled[:, j] for j in widest if spread[j] > 0}
    if rows.shape[1] > 1:
        total = rows.sum(axis=1)
        series |= {"sum of all features": total, "distance of the sum from its mean": np.abs(total - total.mean())}
        # the directions are found on at most a thousand rows: any direction will do
        directions = np.linalg.svd(scaled[:: max(1, len(scaled) // 1000)], full_matrices=False)[2][:3]
        series |= {f"principal component {k + 1}": score for k, score in enumerate((scaled @ directions.T).T)}
    return {name: values for name, values in series.items() if np.ptp(values) > 0}
