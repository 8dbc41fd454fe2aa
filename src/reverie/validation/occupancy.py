"""The occupancy of regions or modes by real and generated events, as a table that speaks.

Formulas are those of `reverie.validation.bins`. A mode of share p stays empty in n events with probability
(1 - p)^n: below p = 3/n a missing mode cannot be seen at 95 % (rule of three).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import chdtrc, ndtr

from reverie.core.errors import InputError
from reverie.core.proportions import clopper_pearson, percent
from reverie.validation.multiple import holm

__all__ = ["Occupancy", "Region", "mode_occupancy", "occupancy"]


@dataclass(frozen=True)
class Region:
    """One region: shares of both samples with their 95 % intervals (Clopper-Pearson).

    Parameters
    ----------
    name : such as "the region near pt = 31" or "mode 3".
    real, generated : shares, each in [0, 1].
    real_interval, generated_interval : (low, high).
    z : two-proportion z, positive where generated events are too many.
    p_adjusted : of z, two-sided, corrected for the number of regions (Holm).
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
    regions : one `Region` each, in their order.
    chi2, dof, p_value : homogeneity of all regions, asymptotic; permutations give the exact one.
    n_real, n_generated : events, effective ones where they are weighted.
    alpha : level of `n_different` and `worst`.
    n_different : regions with p <= alpha before correction (NDB).
    """

    regions: tuple[Region, ...]
    chi2: float
    dof: int
    p_value: float
    n_real: float
    n_generated: float
    alpha: float
    n_different: int

    @property
    def expected_different(self) -> tuple[float, float]:
        """Mean and standard deviation of `n_different` by chance."""
        k = len(self.regions)
        return self.alpha * k, (k * self.alpha * (1 - self.alpha)) ** 0.5

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

    def __str__(self) -> str:
        mean, spread = self.expected_different
        p = f"= {self.p_value:.2g}" if self.p_value > 1e-10 else "< 1e-10"  # the asymptotic law ends before that
        lines = [
            f"{len(self.regions)} regions: chi2 = {self.chi2:.4g} for {self.dof} degrees of freedom, p {p}; "
            f"{self.n_different} differ at {self.alpha:.0%} where chance gives {mean:.1f} ± "
            f"{spread:.1f}."
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
    alpha: float = 0.05,
) -> Occupancy:
    """Return the table of regions 0 ... K - 1 of n real and m generated events.

    Parameters
    ----------
    real, generated : (n,) and (m,) whole numbers, the region of each event.
    names : K names.
    real_weights, generated_weights : event weights of any unit, each with a positive sum; None counts events.

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
    chi2 = float((gap[used] ** 2 / spread[used]).sum())
    rest = 1 - (x + y) / (n + m)
    z = np.divide(gap, np.sqrt(spread * rest), out=np.zeros(k), where=used & (rest > 0))
    p = 2 * ndtr(-np.abs(z))
    dof = int(used.sum()) - 1
    return Occupancy(
        regions=_regions(names, (x / n, n_eff), (y / m, m_eff), z, holm(p.tolist())),
        chi2=chi2,
        dof=dof,
        p_value=float(chdtrc(dof, chi2)) if dof > 0 else 1.0,
        n_real=n_eff,
        n_generated=m_eff,
        alpha=alpha,
        n_different=int((p <= alpha).sum()),
    )


def mode_occupancy(real_labels: np.ndarray, generated_labels: np.ndarray, *, alpha: float = 0.05) -> Occupancy:
    """Return how real and generated events fill given modes, such as the clusters of `reverie.explore`.

    Parameters
    ----------
    real_labels, generated_labels : (n,) and (m,), the mode of each event, numbers or words.
    """
    both = np.concatenate([np.asarray(real_labels).ravel(), np.asarray(generated_labels).ravel()])
    modes, place = np.unique(both, return_inverse=True)
    n = np.asarray(real_labels).size
    return occupancy(place[:n], place[n:], [f"mode {mode}" for mode in modes.tolist()], alpha=alpha)


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
    real: tuple[np.ndarray, float],
    generated: tuple[np.ndarray, float],
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
