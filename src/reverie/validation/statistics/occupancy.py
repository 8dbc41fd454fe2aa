"""The occupancy of regions or modes by real and generated events, as a table that speaks.

Formulas are those of `reverie.validation.statistics.bins`. A mode of share p stays empty in n events with probability
(1 - p)^n: below p = 3/n a missing mode cannot be seen at 95 % (rule of three).

p-values are those of the normal law for independent events without relabellings. With relabellings
(`reverie.validation.permutation.relabelling`) they are those of each gap y_k - x_k, and of chi^2, among the
labellings, with the step-down correction of `reverie.validation.permutation.multiple_testing`. For blocks of a chain
the variance of a gap over the labellings, in units of that of independent events, says how many of its events are
worth an independent one: z and intervals take this into account, region by region.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from scipy.special import chdtrc, ndtr
from torch import Tensor

from reverie.core.arguments import Count, Level, checked
from reverie.core.checks import check_positive
from reverie.core.errors import InputError
from reverie.core.proportions import clopper_pearson, percent
from reverie.core.random import as_generator
from reverie.core.tables import as_column
from reverie.core.types import ArrayLike, RandomState
from reverie.validation.permutation.multiple_testing import holm, permutation_p, ranked, step_down
from reverie.validation.permutation.relabelling import Relabellings, relabellings

__all__ = ["Occupancy", "Region", "mode_occupancy", "blocks_relabelled", "occupancy", "region_contrasts"]

_ROWS = 4096


@dataclass(frozen=True)
class Region:
    """One region: shares of both samples with their 95 % intervals (Clopper-Pearson).

    Parameters
    ----------
    name : Name of the region, such as "the region near pt = 31" or "mode 3".
    real, generated : shares, each in [0, 1].
    real_interval, generated_interval : (low, high).
    z : two-proportion z, positive where generated events are too many.
    p_adjusted : two-sided, corrected for the number of regions: Holm's of z, or step-down of the relabellings.
    """

    name: str
    real: float
    generated: float
    real_interval: tuple[float, float]
    generated_interval: tuple[float, float]
    z: float
    p_adjusted: float

    def __str__(self) -> str:
        return (
            f"{self.name} holds {percent(self.generated)} of generated and {percent(self.real)} of real events "
            f"(z = {self.z:.1f})"
        )


@dataclass(frozen=True)
class Occupancy:
    """How two samples fill the same regions.

    Parameters
    ----------
    regions : The regions, in their order.
    chi2, dof, p_value : homogeneity of all regions; p is asymptotic, or from relabellings where there are some.
    n_real, n_generated : events, effective ones where they are weighted.
    alpha : level of `n_different` and `worst`.
    n_different : regions with p <= alpha before correction (NDB).
    expected_different : mean and standard deviation of that number by chance; None in files of older versions.
    """

    regions: tuple[Region, ...]
    chi2: float
    dof: int
    p_value: float
    n_real: float
    n_generated: float
    alpha: float
    n_different: int
    expected_different: tuple[float, float] | None = None

    @property
    def worst(self) -> tuple[Region, ...]:
        """The regions that differ after Holm's correction, the most significant first."""
        return tuple(sorted((r for r in self.regions if r.p_adjusted <= self.alpha), key=lambda r: -abs(r.z)))

    @property
    def missing(self) -> tuple[Region, ...]:
        """Regions with real but no generated events, that differ after correction."""
        return tuple(region for region in self.worst if region.generated == 0)

    @property
    def blind_below(self) -> float:
        """Share of a mode below which its absence would not be seen, 3/n of the smaller sample."""
        return min(1.0, 3 / min(self.n_real, self.n_generated))

    @property
    def counted(self) -> str:
        """How many regions differ, beside what chance gives, as part of a sentence."""
        text = f"{self.n_different} differ at {self.alpha:.0%}"
        if self.expected_different is None:
            return text
        mean, spread = self.expected_different
        return f"{text} where chance gives {mean:.1f} ± {spread:.1f}"

    def __str__(self) -> str:
        p = f"= {self.p_value:.2g}" if self.p_value > 1e-10 else "< 1e-10"  # the asymptotic law ends before that
        lines = [
            f"{len(self.regions)} regions: chi2 = {self.chi2:.4g} for {self.dof} degrees of freedom, p {p}; "
            f"{self.counted}."
        ]
        lines += [f"{str(region)[:1].upper()}{str(region)[1:]}." for region in self.worst[:3]]
        lines += [f"Missing: {', '.join(region.name for region in self.missing)}."] if self.missing else []
        lines.append(f"A mode of less than {percent(self.blind_below)} of the events could be missing unseen.")
        return "\n".join(lines)


def occupancy(
    real: np.ndarray,
    generated: np.ndarray,
    names: Sequence[str],
    *,
    real_weights: np.ndarray | None = None,
    generated_weights: np.ndarray | None = None,
    relabel: Relabellings | None = None,
    alpha: float = 0.05,
) -> Occupancy:
    """Return the table of regions 0 ... K - 1 of n real and m generated events.

    Parameters
    ----------
    real, generated : (n,) and (m,) whole numbers, the region of each event.
    names : K names.
    real_weights, generated_weights : event weights of any unit, each with a positive sum; None counts events.
    relabel : labellings of these events, real ones first, that give the p-values (see the module); None for
        independent events and the normal law.

    Raises
    ------
    InputError
        For empty samples, or regions without a name.
    """
    n, m, k = len(real), len(generated), len(names)
    if not n or not m or max(real.max(), generated.max()) >= k or min(real.min(), generated.min()) < 0:
        raise InputError(f"Expected regions 0 to {k - 1} of at least one event in each sample, got {n} and {m} events.")
    x, x_squares, n_eff = _sums(real, real_weights, k)
    y, y_squares, m_eff = _sums(generated, generated_weights, k)
    squares = x_squares + y_squares
    used = squares > 0
    gap = np.where(used, y / m - x / n, 0.0)
    spread = squares / (n * m)
    variance = spread * (1 - (x + y) / (n + m))
    chi2 = float((gap[used] ** 2 / spread[used]).sum())
    dof = int(used.sum()) - 1
    inflation, expected = np.ones(k), (alpha * k, (k * alpha * (1 - alpha)) ** 0.5)
    if relabel is not None:
        gaps = region_contrasts(torch.from_numpy(np.concatenate([real, generated])), k, relabel).numpy() * relabel.unit
        if relabel.block > 1:
            np.divide(np.square(gaps[:, 1:]).mean(1), variance, out=inflation, where=variance > 0)
    z = np.divide(gap, np.sqrt(variance * inflation), out=np.zeros(k), where=variance * inflation > 0)
    if relabel is None:
        p = 2 * ndtr(-np.abs(z))
        adjusted, p_value = holm(p.tolist()), float(chdtrc(dof, chi2)) if dof > 0 else 1.0
    else:
        ranks = [ranked(np.abs(row)) for row in gaps]
        different = np.sum([rank.p <= alpha for rank in ranks], axis=0)
        p, expected = np.array([rank.observed_p for rank in ranks]), (different[1:].mean(), different[1:].std())
        adjusted, p_value = step_down(ranks), permutation_p((gaps[used] ** 2 / spread[used, None]).sum(0))
    return Occupancy(
        regions=_regions(names, (x / n, n_eff / inflation), (y / m, m_eff / inflation), z, adjusted),
        chi2=chi2,
        dof=dof,
        p_value=p_value,
        n_real=n_eff,
        n_generated=m_eff,
        alpha=alpha,
        n_different=int((p <= alpha).sum()),
        expected_different=(float(expected[0]), float(expected[1])),
    )


def region_contrasts(of_row: Tensor, k: int, relabel: Relabellings) -> Tensor:
    """Return h sum of s over the rows of each region, (k, B + 1) float64, for every labelling.

    Parameters
    ----------
    of_row : (N,), the region of each pooled row, 0 to k - 1.
    """
    shares = torch.zeros(k, relabel.labels.shape[1], dtype=torch.float64)
    for start in range(0, len(of_row), _ROWS):
        rows = slice(start, start + _ROWS)
        one_hot = torch.nn.functional.one_hot(of_row[rows], k).T
        shares += (one_hot.float() @ relabel.contrasts(rows)).double()
    return shares


@checked
def mode_occupancy(
    real_labels: ArrayLike,
    generated_labels: ArrayLike,
    *,
    block: Count = 1,
    n_permutations: Count = 999,
    random_state: RandomState = 0,
    alpha: Level = 0.05,
) -> Occupancy:
    """Return how real and generated events fill given modes, such as the clusters of `reverie.explore`.

    Parameters
    ----------
    real_labels, generated_labels : (n,) and (m,), the mode of each event, numbers or words.
    block : neighbouring events of a chain that belong together, at least ten autocorrelation times; p-values then
        come from permutations of whole blocks. 1 for independent events.
    n_permutations, random_state : permutations, and their seed, for blocks.

    Raises
    ------
    InputError
        For labels that are neither numbers nor words, or numbers in one sample and words in the other.
    """
    given = {"real_labels": real_labels, "generated_labels": generated_labels}
    labels = [_modes(values, what) for what, values in given.items()]
    if len({x.dtype.kind == "U" for x in labels}) > 1:
        raise InputError(
            "Expected labels of one kind, got numbers in one sample and words in the other. Give one kind."
        )
    modes, place = np.unique(np.concatenate(labels), return_inverse=True)
    n = len(labels[0])
    relabel = blocks_relabelled(n, len(place) - n, block, n_permutations, random_state)
    called = [f"mode {mode}" for mode in modes.tolist()]
    return occupancy(place[:n], place[n:], called, relabel=relabel, alpha=alpha)


def _modes(labels: ArrayLike, what: str) -> np.ndarray:
    """Return one label per event, (n,): numbers, or words as fixed-width text."""
    x = as_column(labels, what).ravel()
    if x.dtype.kind == "O" and all(isinstance(one, str) for one in x):
        x = x.astype(str)
    if x.dtype.kind not in "biufU" or (x.dtype.kind == "f" and np.isnan(x).any()):
        raise InputError(
            f"Expected the mode of each event in {what}, a number or a word, got entries that are neither. Leave those "
            "events out, or name their mode."
        )
    return x


def blocks_relabelled(
    n: int, m: int, block: int, n_permutations: int, random_state: RandomState
) -> Relabellings | None:
    """Return the relabellings of blocks of n + m events, None for blocks of one.

    Raises
    ------
    InputError
        For a block that leaves fewer than two blocks in a sample.
    """
    check_positive("block", block, integer=True)
    if block == 1:
        return None
    if block > min(n, m) // 2:
        raise InputError(
            f"Expected at least two blocks in each sample, got block = {block} for {n:,} and {m:,} events. Use shorter "
            "blocks, or longer chains."
        )
    return relabellings(n, m, n_permutations, as_generator(random_state), block=block)


def _sums(regions: np.ndarray, weights: np.ndarray | None, k: int) -> tuple[np.ndarray, np.ndarray, float]:
    # sums of weights of mean one, of their squares, and the effective number of events
    w = np.ones(len(regions)) if weights is None else np.asarray(weights, dtype=float)
    if w.shape != regions.shape or w.sum() <= 0:
        raise InputError(f"Expected one weight per event with a positive sum, got shape {w.shape}, sum {w.sum():.4g}.")
    w = w / w.mean()
    sums = [np.bincount(regions, part, minlength=k) for part in (w, w**2)]
    return sums[0], sums[1], float(w.sum() ** 2 / (w**2).sum())


def _regions(
    names: Sequence[str],
    real: tuple[np.ndarray, np.ndarray],
    generated: tuple[np.ndarray, np.ndarray],
    z: np.ndarray,
    p_adjusted: list[float],
) -> tuple[Region, ...]:
    limits = [np.stack(clopper_pearson(share * n, n), axis=1).tolist() for share, n in (real, generated)]
    return tuple(
        Region(name, float(a), float(b), (low[0], low[1]), (high[0], high[1]), float(score), p)
        for name, a, b, low, high, score, p in zip(
            names, real[0], generated[0], limits[0], limits[1], z, p_adjusted, strict=True
        )
    )
