r"""Is a law invariant under a group? An exact test, by exchanging each event with its own transforms.

Let x have the law p, let g be drawn from a group so that g and g^-1 have one law (its Haar measure, or that measure
on the elements that change x), and y = g x. If p is invariant, then y has the law p whatever g, and x = g^-1 y: the
pairs (x, y) and (y, x) have one law. So every statistic of n pairs has the law that it gets when each pair is swapped,
or not, at the toss of a coin (Fisher's randomisation test). That is exact for any n, and since x and y share all that g
leaves alone, much sharper than a test of two samples.

Of a large group one transform says little of where on its orbit x lies, so K of them, y_1 ... y_K, may stand beside x =
y_0, each by an element of its own: the law of all K + 1 is then that of any order of them. For functions f_j and

    D_ij(r) = w_i (f_j(y_ri) - the mean of f_j over y_0i ... y_Ki)
    z_j = sum_i D_ij(0) / (sum_i mean_r D_ij(r)^2)^1/2,            T = max_j |z_j|

the test draws for every row which r is called the event, which for K = 1 is the swap of a pair. The f_j are the normal
scores of each column among all rows of x and y, whether the score is above the median, all squares and products of two
scores, the signs of the products, and which of two scores is the larger. What they do not see, a classifier may:
boosted trees learn to tell x from y_1 on one half of the pairs, and z of their log-odds is tested on the other. With
p_1 and p_2 of T and of the trees,

    p = min(1, 2 min(p_1, p_2))

The r are drawn for groups of neighbouring rows: of a chain for blocks of ten autocorrelation times of D
(`reverie.validation.inputs.chains`), and for at most 4096 groups, which leaves the test exact and its time bounded. The
times are those of the f_j of the columns that g changes, of their sum and components, and of each other f_j alone: a
table in the order of another column, such as the time, is no chain in these where the symmetry holds. A table whose
order goes with a violation, such as runs of another asymmetry one after the other, looks like a chain, and less is
found in it, or nothing.

What is found: n events of which a share A are on the wrong side of a symmetry (mean sign A) have z = A n^1/2. T rejects
at 1 % near 4.4, so A = 5 % is found in 95 % of all samples from about (4.4 + 1.65)^2 / A^2 = 14,600 events on. Where y
is not the mirror image of x but a random point of a large orbit, as of a rotation, z^2 falls to K / (K + 1) of that.
"""

from dataclasses import dataclass
from itertools import combinations

import numpy as np
from scipy.special import ndtri
from scipy.stats import rankdata

from reverie.core.errors import ShortChainError
from reverie.core.random import child_seed
from reverie.validation.classifiers.training import Events, train_classifier
from reverie.validation.inputs.chains import inspect_chains

__all__ = ["Invariance", "invariance_test"]

N_ORDERS = 4999
_GROUPS = 4096
_MOST_IN_PRODUCTS = 16  # columns; products of more are left to the trees
_MOST_TRAINED = 20_000  # pairs that the trees learn from
_FEWEST_TRAINED = 250  # pairs that say something to the trees
_ORDERS_AT_ONCE = 500


@dataclass(frozen=True)
class Invariance:
    """Outcome of the test.

    Parameters
    ----------
    p_value : of the whole test.
    feature : the statistic that differs most, in words, such as "mean of eta1".
    z : its z.
    n_groups : groups of rows that were swapped together, the independent events of a chain.
    n_effective : (sum w)^2 / sum w^2 of their weights.
    """

    p_value: float
    feature: str
    z: float
    n_groups: int
    n_effective: float


def invariance_test(
    x: np.ndarray,
    y: np.ndarray,
    names: tuple[str, ...],
    *,
    weights: np.ndarray | None = None,
    seed: int = 0,
) -> Invariance:
    """Test whether rows x (n, d) and their transforms y (K, n, d) by random group elements have one law.

    Parameters
    ----------
    names : Names of the d columns.
    weights : (n,) event weights, which an event shares with its transforms.
    seed : of the order of an event and its transforms, and of the trees.
    """
    w = np.ones(len(x)) if weights is None else np.asarray(weights, dtype=np.float64)
    rows = np.concatenate([x[None], y]).reshape(-1, x.shape[1])
    features, values, columns = _features(ndtri(rankdata(rows, axis=0) / (len(rows) + 1)), names)
    values = values.reshape(1 + len(y), len(x), -1)
    middle = values.mean(axis=0, dtype=np.float64)  # in which the mean of equal numbers of float32 is exact
    differences = (w[:, None] * (values - middle)).astype(np.float32)
    changed = np.flatnonzero(differences.any(axis=(0, 1)))
    if not len(changed):
        return Invariance(1.0, "nothing", 0.0, len(x), len(x))
    differences, features = differences[..., changed], [features[k] for k in changed]
    moved = set(np.flatnonzero((y != x).any(axis=(0, 1))).tolist())
    own = [k for k, j in enumerate(changed) if columns[j] <= moved] or list(range(len(changed)))
    generator = np.random.default_rng(child_seed(seed, "orders"))
    looks = [own, *([k] for k in range(len(changed)) if k not in own)]  # together, and each of the others alone
    try:
        pairs = (({"pairs": differences[0][:, k]}, tuple(features[j] for j in k)) for k in looks)
        block = max(inspect_chains(*pair, "auto").block for pair in pairs)
    except ShortChainError:
        block = -(-len(x) // 4)  # no p below 1/8
    size = max(block, -(-len(x) // _GROUPS))
    order = np.arange(len(x)) if block > 1 else generator.permutation(len(x))
    starts = np.arange(0, len(x), size)
    z, p_value = _reordered(np.add.reduceat(differences[:, order], starts, axis=1), generator)
    worst = int(np.argmax(np.abs(z)))
    feature, largest = features[worst], float(z[worst])
    half = int(starts[len(starts) // 2])
    if half >= _FEWEST_TRAINED:
        first, second = order[:half][:_MOST_TRAINED], order[half:]
        of_x, of_y = (Events(rows[first], None if weights is None else w[first]) for rows in (x, y[0]))
        learner = train_classifier("boosting", of_y, of_x, names=names, seed=child_seed(seed, "trees"))
        gaps = w[second] * (learner.scores(x[second]) - learner.scores(y[0, second]))
        sums = np.add.reduceat(gaps[:, None], np.arange(0, len(second), size))
        z, p_of_trees = _reordered(np.stack([sums, -sums]), generator)
        p_of_trees = p_of_trees / 2 if z[0] > 0 else 1.0  # they must tell x from y, not y from x
        if 2 * p_of_trees < p_value:
            feature, largest = "boosted trees", float(z[0])
        p_value = min(1.0, 2 * min(p_value, p_of_trees))
    mass = np.add.reduceat(w[order], starts) if block > 1 else w
    return Invariance(p_value, feature, largest, len(starts), float(mass.sum() ** 2 / np.square(mass).sum()))


def _features(scores: np.ndarray, names: tuple[str, ...]) -> tuple[list[str], np.ndarray, list[set[int]]]:
    """Return the functions f_j of rows (N, d) of normal scores: names, columns (N, k) in float32, and what they see."""
    scores = scores.astype(np.float32)
    n_columns = scores.shape[1]
    columns = {f"mean of {name}": scores[:, j] for j, name in enumerate(names)}
    columns |= {f"share above the median of {name}": np.sign(scores[:, j]) for j, name in enumerate(names)}
    columns |= {f"spread of {name}": np.square(scores[:, j]) for j, name in enumerate(names)}
    seen = [{j} for j in range(n_columns)] * 3
    if n_columns <= _MOST_IN_PRODUCTS:
        for j, k in combinations(range(n_columns), 2):
            pair = f"{names[j]} and {names[k]}"
            columns[f"correlation of {pair}"] = scores[:, j] * scores[:, k]
            columns[f"signs of {pair} about their medians"] = np.sign(scores[:, j] * scores[:, k])
            columns[f"order of {pair}"] = np.sign(scores[:, j] - scores[:, k])
            seen += [{j, k}] * 3
    return list(columns), np.column_stack(list(columns.values())), seen


def _reordered(sums: np.ndarray, generator: np.random.Generator) -> tuple[np.ndarray, float]:
    """Return z (k,) of sums of D(r) over groups, (K + 1, G, k), and the p-value of the largest |z|."""
    length = np.sqrt(np.square(sums, dtype=np.float64).mean(axis=0).sum(axis=0))
    units = (sums / np.where(length > 0, length, 1)).astype(np.float32)
    z = units[0].sum(axis=0)
    at_least = np.abs(z).max() * (1 - 1e-5)  # equal up to rounding is equal
    n_larger, last = 0, len(units) - 1
    for start in range(0, N_ORDERS, _ORDERS_AT_ONCE):
        called = generator.integers(last + 1, size=(min(_ORDERS_AT_ONCE, N_ORDERS - start), units.shape[1]))
        drawn = sum(  # the D(r) of a row add up to 0, so the last of them need not be summed
            ((called == r).astype(np.float32) - (called == last)) @ units[r] for r in range(last)
        )
        n_larger += int((np.abs(drawn).max(axis=1) >= at_least).sum())
    return z, (1 + n_larger) / (1 + N_ORDERS)
