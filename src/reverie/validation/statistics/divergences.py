"""Divergences between two laws, estimated from samples: Kullback-Leibler, Jensen-Shannon, separation power.

With p the law of x, q that of y and M = (p + q)/2,

    KL = E_p ln p/q        reverse KL = E_q ln q/p        JS = (KL(p, M) + KL(q, M))/2, between 0 and ln 2
    S = (1/2) integral (p - q)^2/(p + q), between 0 and 1: the separation power of one observable

Divergences are integrals over unknown densities; three estimators look at the data differently.

**Bins.** With shares p_k, q_k of K bins each divergence is a sum of f(p_k, q_k), and a lower bound of the true one.
For f of degree one, f_pp p = -f_pq q = a and f_qq q = b determine the second order of its expansion:

    bias     sum_k a (1 - p)/(2n) + b (1 - q)/(2m)            under the null (K-1)(1/n + 1/m) x (1/2, 1/8, 1/4)
    error^2  max(V1 - 2 V2, 0) + V2,   V1 = Var_p(f_p)/n + Var_q(f_q)/m,   V2 = tr (H C)^2/2

with H the second derivatives and C the multinomial covariance; E[V1] = true V1 + 2 V2, and V2 alone is the variance
under the null. The bias is subtracted, so estimates may fall below zero.

**Neighbours.** For each row of x, let e be the larger of the distances to its k-th neighbours in x and in y. With
k_i and l_i the number of rows of x and y nearer than e, plus one,

    KL = mean of psi(k_i) - psi(l_i) + ln(m/(n - 1))      (Wang, Kulkarni and Verdu 2009; counts as Kraskov et al. 2004)

JS is the mutual information of a row and its label (Ross 2014), the larger sample cut to the smaller. Where several
rows lie at distance e (lattices, duplicates) all rows up to e are counted instead, which for repeated points is the
plug-in estimate. Errors: delete-group jackknife of both samples. They hold no bias: a large divergence, and one made
in tails that a sample does not reach, comes out too small (n = 1500, k = 5, one dimension: 1.7 for KL = 2).

**Classifier.** From the probability c of being x, of events that the classifier has not seen:

    JS >= ln 2 - BCE,    KL >= E_p f - ln E_q e^f,   f = ln c/(1 - c)    (Donsker and Varadhan 1983)

both equalities for the exact c. Errors: first order, of both samples of events, for this classifier.
"""

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeAlias

import numpy as np
from scipy.special import digamma, logit, xlogy

from reverie.core.arguments import checked
from reverie.core.checks import check_choice, check_positive
from reverie.core.errors import InputError
from reverie.core.measured import Measured
from reverie.core.random import as_seed
from reverie.core.types import ArrayLike, RandomState
from reverie.validation.inputs.tables import as_rows, as_values
from reverie.validation.permutation.relabelling import jackknife_error

if TYPE_CHECKING:
    from scipy.spatial import KDTree

__all__ = [
    "Divergences",
    "Unit",
    "binned_divergences",
    "discriminator_divergences",
    "histogram_divergences",
    "knn_divergences",
]

Unit = Literal["nats", "bits"]
_Pair: TypeAlias = tuple[float, float]  # value and error
_Form: TypeAlias = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray]  # f, f_p, f_q, a, b: (K,) each

_UNITS = {"nats": 1.0, "bits": 1 / math.log(2)}
_CLUSTERED = 20_000  # rows from which the bins of many features are made
_TOUCHING = 1e-10  # relative width of "at the same distance"


@dataclass(frozen=True)
class Divergences:
    """Divergences of x and y with their errors.

    Parameters
    ----------
    kl, reverse_kl : KL(p, q) and KL(q, p), in `unit`; inf where one sample leaves a bin of the other empty.
    js : Jensen-Shannon divergence, in `unit`.
    separation : separation power, without unit; None for estimators that do not give it.
    unit : "nats" or "bits".
    """

    kl: Measured
    reverse_kl: Measured
    js: Measured
    separation: Measured | None
    unit: str

    def __str__(self) -> str:
        power = "" if self.separation is None else f", separation power {self.separation}"
        return f"KL {self.kl}, reverse KL {self.reverse_kl}, JS {self.js} in {self.unit}{power}"


def binned_divergences(
    counts_x: ArrayLike,
    counts_y: ArrayLike,
    *,
    debias: bool = True,
    effective_sizes: tuple[float, float] | None = None,
    unit: Unit = "nats",
) -> Divergences:
    """Return the divergences of two histograms with the same bins.

    Parameters
    ----------
    counts_x, counts_y : (K,), number or sum of weights of events in each bin, >= 0.
    debias : subtract the leading bias, see the module.
    effective_sizes : n and m for weighted events, (sum w)^2 / sum w^2; None takes the sums.

    Raises
    ------
    InputError
        For counts of unequal length, below zero, or without any event.
    """
    counts = [np.asarray(c, dtype=float).ravel() for c in (counts_x, counts_y)]
    if counts[0].shape != counts[1].shape or any(c.min(initial=0) < 0 or c.sum() <= 0 for c in counts):
        raise InputError(
            f"Expected two histograms with the same bins and positive sums, got {counts[0].shape} and "
            f"{counts[1].shape} bins with sums {counts[0].sum():.4g} and {counts[1].sum():.4g}. Bin both alike."
        )
    n, m = effective_sizes or (float(counts[0].sum()), float(counts[1].sum()))
    p, q = (c / c.sum() for c in counts)
    kl, js, power = (
        _binned(form(p, q), (p, q), (n, m), debias=debias) for form in (_kl_form, _js_form, _separation_form)
    )
    reverse = _binned(_kl_form(q, p), (q, p), (m, n), debias=debias)
    return _in_unit(unit, kl, reverse, js, power, int(min(n, m)))


@checked
def histogram_divergences(
    x: ArrayLike,
    y: ArrayLike,
    *,
    n_bins: int = 100,
    debias: bool = True,
    unit: Unit = "nats",
    random_state: RandomState = 0,
) -> Divergences:
    """Return the divergences of samples x (n, d) and y (m, d) in bins made from the pooled rows.

    One feature, (n,) or (n, 1), is cut into `n_bins` bins of equal content; rows of several features fall to the
    nearest of `n_bins` k-means centres, so give them on one common scale.
    """
    check_positive("n_bins", n_bins, integer=True)
    x, y = _tables(x, y)
    z = np.concatenate([x, y])
    if z.shape[1] == 1:
        edges = np.unique(np.quantile(z[:, 0], np.linspace(0, 1, n_bins + 1)[1:-1]))
        bins = np.searchsorted(edges, z[:, 0], side="right")
    else:
        from sklearn.cluster import KMeans

        seed = as_seed(random_state)
        rows = z[np.random.default_rng(seed).permutation(len(z))[:_CLUSTERED]]
        n_clusters = min(n_bins, len(np.unique(rows, axis=0)))
        fitted = KMeans(n_clusters, n_init=1, random_state=seed % 2**32).fit(rows)
        bins = np.asarray(fitted.predict(z))
    counts = [np.bincount(part, minlength=bins.max() + 1) for part in (bins[: len(x)], bins[len(x) :])]
    return binned_divergences(*counts, debias=debias, unit=unit)


@checked
def knn_divergences(x: ArrayLike, y: ArrayLike, *, k: int = 5, n_groups: int = 10, unit: Unit = "nats") -> Divergences:
    """Return the divergences of samples x (n, d) and y (m, d) from their k nearest neighbours.

    Parameters
    ----------
    k : neighbours; more means less noise and more bias.
    n_groups : groups of each sample in the jackknife, which repeats everything 2 n_groups times; 0 for no errors.

    Raises
    ------
    InputError
        For samples of different features or no more than k + 1 rows, once a group is left out.
    """
    x, y = _tables(x, y)
    check_positive("k", k, integer=True)
    least = min(len(s) - (math.ceil(len(s) / n_groups) if n_groups else 0) for s in (x, y))
    if least < k + 1:
        raise InputError(f"Expected more rows than neighbours, got {least} rows and k = {k}. Lower k or n_groups.")
    values = [_knn_values(x, y, k)]
    for first, second, swap in ((x, y, False), (y, x, True)) if n_groups else ():
        for group in np.array_split(np.arange(len(first)), n_groups):
            kept = np.delete(first, group, axis=0)
            values.append(_knn_values(second, kept, k) if swap else _knn_values(kept, second, k))
    errors = [jackknife_error(column[1:]) if n_groups else math.nan for column in np.array(values).T]
    kl, reverse, js = zip(values[0], errors, strict=True)
    return _in_unit(unit, kl, reverse, js, None, min(len(x), len(y)))


@checked
def discriminator_divergences(
    p_x: ArrayLike, p_y: ArrayLike, *, prior: float = 0.5, unit: Unit = "nats"
) -> Divergences:
    """Return lower bounds of the divergences from a classifier's probabilities of being x.

    Parameters
    ----------
    p_x, p_y : (n,) and (m,), for events of x and of y that it was not trained on; calibrated for values that are
        more than bounds. Probabilities of exactly 0 or 1 are taken half an event, 1/(2 (n + m)), away from there.
    prior : share of x among the training events.

    Raises
    ------
    InputError
        For probabilities outside [0, 1], or fewer than two events of a kind.
    """
    cs = [as_values(c, what).detach().cpu().double().numpy() for c, what in ((p_x, "p_x"), (p_y, "p_y"))]
    if any(len(c) < 2 or not (c.min() >= 0 and c.max() <= 1) for c in cs) or not 0 < prior < 1:
        raise InputError(
            f"Expected probabilities in [0, 1] of at least two events of x and of y, and a prior between 0 and 1, got "
            f"{len(cs[0])} and {len(cs[1])} values and {prior!r}. Pass the classifier's probability of x."
        )
    edge = 0.5 / (len(cs[0]) + len(cs[1]))
    f_x, f_y = (logit(np.clip(c, edge, 1 - edge)) - logit(prior) for c in cs)
    # with c in place of f: ln 2 - BCE is (E_p ln 2c + E_q ln 2(1 - c))/2, and S = E_M (2c - 1)^2
    js = _of_means((math.log(2) - np.logaddexp(0, -f_x)) / 2, (math.log(2) - np.logaddexp(0, f_y)) / 2)
    power = _of_means(np.square(np.tanh(f_x / 2)) / 2, np.square(np.tanh(f_y / 2)) / 2)
    kl, reverse = _donsker_varadhan(f_x, f_y), _donsker_varadhan(-f_y, -f_x)
    return _in_unit(unit, kl, reverse, js, power, min(len(f_x), len(f_y)))


def _in_unit(unit: Unit, kl: _Pair, reverse: _Pair, js: _Pair, power: _Pair | None, size: int) -> Divergences:
    scale = check_choice("unit", unit, _UNITS)
    forward, backward, shared = (Measured(scale * value, scale * error, size) for value, error in (kl, reverse, js))
    return Divergences(forward, backward, shared, None if power is None else Measured(*power, size), unit)


# each form returns the terms of its sum, their first derivatives, and a = f_pp p, b = f_qq q


def _kl_form(p: np.ndarray, q: np.ndarray) -> _Form:
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = np.where(p > 0, p / q, 0.0)
        log = np.where(p > 0, np.log(ratio), 0.0)
    return np.where(p > 0, p * log, 0.0), log + 1, -ratio, (p > 0).astype(float), ratio


def _js_form(p: np.ndarray, q: np.ndarray) -> _Form:
    s = np.where(p + q > 0, p + q, 1.0)
    value = (xlogy(p, 2 * p / s) + xlogy(q, 2 * q / s)) / 2
    f_p, f_q = (np.log(np.where(r > 0, 2 * r / s, 1.0)) / 2 for r in (p, q))
    return value, f_p, f_q, np.where(p > 0, q / (2 * s), 0.0), np.where(q > 0, p / (2 * s), 0.0)


def _separation_form(p: np.ndarray, q: np.ndarray) -> _Form:
    s = np.where(p + q > 0, p + q, 1.0)
    f_p, f_q = 0.5 - 2 * np.square(q / s), 0.5 - 2 * np.square(p / s)
    return np.square(p - q) / (2 * s), f_p, f_q, 4 * p * q**2 / s**3, 4 * q * p**2 / s**3


def _binned(form: _Form, shares: tuple[np.ndarray, np.ndarray], sizes: tuple[float, float], *, debias: bool) -> _Pair:
    """Return a divergence of shares p, q of n and m events, and its error to second order (see the module)."""
    (f, f_p, f_q, a, b), (p, q), (n, m) = form, shares, sizes
    value = float(f.sum())
    if not math.isfinite(value):
        return value, math.nan
    bias = (a @ (1 - p)) / (2 * n) + (b @ (1 - q)) / (2 * m)
    first = sum(share @ np.square(g - share @ g) / size for g, share, size in ((f_p, p, n), (f_q, q, m)))
    of_p, of_q = ((c * c) @ (1 - 2 * share) + (c @ share) ** 2 for c, share in ((a, p), (b, q)))
    mixed = (a * b) @ (1 - p - q) + (a @ p) ** 2  # of f_pq, by a = -f_pq q
    second = (of_p / n**2 + 2 * mixed / (n * m) + of_q / m**2) / 2
    return value - float(bias) * debias, math.sqrt(max(first - 2 * second, 0.0) + second)


def _tables(x: ArrayLike, y: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    """Return both samples as (rows, features); one number per event, (n,), is one feature."""
    tables = []
    for sample in (x, y):
        try:
            tables.append(as_values(sample, "a sample of one feature")[:, None] if np.ndim(sample) == 1 else sample)
        except ValueError:  # rows of different lengths, which are refused in words when they are read
            tables.append(sample)
    x, y = (rows.detach().cpu().double().numpy() for rows in as_rows(x=tables[0], y=tables[1]))
    return x, y


def _knn_values(x: np.ndarray, y: np.ndarray, k: int) -> tuple[float, float, float]:
    """Return KL, reverse KL and JS of two samples."""
    from scipy.spatial import KDTree

    z = np.concatenate([x, y])
    ties = all(len(np.unique(column)) < len(z) for column in z.T)  # one feature without repeats rules them out
    size = min(len(x), len(y))
    of_x, of_y, x_cut, y_cut = map(KDTree, (x, y, *(s[np.arange(size) * len(s) // size] for s in (x, y))))
    js = sum(_label_information(*pair, k, ties=ties) for pair in ((x_cut, y_cut), (y_cut, x_cut))) / 2
    return _neighbour_kl(of_x, of_y, k, ties=ties), _neighbour_kl(of_y, of_x, k, ties=ties), js


def _neighbour_kl(own: "KDTree", other: "KDTree", k: int, *, ties: bool) -> float:
    radius = np.maximum(_kth(own, own.data, k + 1), _kth(other, own.data, k))
    of_own, of_other = _counts(own, other, radius, ties=ties)
    return float(np.mean(digamma(of_own) - digamma(of_other)) + math.log(other.n / (own.n - 1)))


def _label_information(own: "KDTree", other: "KDTree", k: int, *, ties: bool) -> float:
    """Return KL(p, M) by Ross (2014): k neighbours in one's own sample against all rows that are as near.

    With ties that favours one's own sample, so the radius is then set by 2k rows of both.
    """
    if ties:
        both = type(own)(np.concatenate([own.data, other.data]))
        of_own, of_other = _within(own, other, _kth(both, own.data, 2 * k + 1) * (1 + _TOUCHING))
    else:
        of_own, of_other = _counts(own, other, _kth(own, own.data, k + 1), ties=ties)
    of_both = of_own + of_other - 1  # the "plus one" of both counts once
    return float(np.mean(digamma(of_own) - digamma(of_both)) + digamma(2 * own.n) - digamma(own.n))


def _kth(tree: "KDTree", rows: np.ndarray, k: int) -> np.ndarray:
    return np.asarray(tree.query(rows, k=[k])[0])[:, 0]


def _counts(own: "KDTree", other: "KDTree", radius: np.ndarray, *, ties: bool) -> tuple[np.ndarray, np.ndarray]:
    """Return the rows of both samples nearer than the radius, plus one, which in one's own is the row itself."""
    nearer = _within(own, other, radius * (1 - _TOUCHING))
    if not ties:
        return nearer
    up_to = _within(own, other, radius * (1 + _TOUCHING))
    several = (sum(up_to) - sum(nearer) > 1) | (radius == 0)
    return np.where(several, up_to[0], nearer[0]), np.where(several, up_to[1], nearer[1])


def _within(own: "KDTree", other: "KDTree", radius: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    of_own, of_other = (tree.query_ball_point(own.data, radius, return_length=True) for tree in (own, other))
    return of_own, of_other + 1


def _of_means(a: np.ndarray, b: np.ndarray) -> _Pair:
    return float(a.mean() + b.mean()), math.sqrt(a.var(ddof=1) / len(a) + b.var(ddof=1) / len(b))


def _donsker_varadhan(f_p: np.ndarray, f_q: np.ndarray) -> _Pair:
    """Return E_p f - ln E_q e^f, the largest f taken out of the exponential."""
    top = f_q.max()
    e = np.exp(f_q - top)
    value = f_p.mean() - math.log(e.mean()) - top
    return float(value), math.sqrt(f_p.var(ddof=1) / len(f_p) + e.var(ddof=1) / e.mean() ** 2 / len(e))
