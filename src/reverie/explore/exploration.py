"""The results of an exploration of one data set, and the sentences that state them.

The stages are those of this folder; `reverie.experiment.explore` runs them. Each sentence stands on one
result, says what it was measured on, and does not hide that criteria disagree.
"""

from dataclasses import dataclass

import numpy as np

from reverie.core.measured import Measured, as_json
from reverie.explore.bitwise import BitwiseDimension
from reverie.explore.cluster import Clustering
from reverie.explore.components import Biplot, PCAResult
from reverie.explore.dimension import DimensionScan
from reverie.explore.embedding import Embedding
from reverie.explore.forest import ForestResult
from reverie.explore.hierarchy import Hierarchy
from reverie.explore.tables import listed_sizes

__all__ = ["Exploration"]

SHARE = 0.9  # of the variance
LISTED = 10  # components and merges that are written down
CRITERIA = {"gap": "the gap statistic", "silhouette": "the silhouette", "calinski_harabasz": "Calinski-Harabasz"}
SAME = 0.95  # overlap of two directions that are called one
WEAK_SILHOUETTE = 0.25  # below, no substantial structure; 0.5 is reasonable (Kaufman and Rousseeuw 1990, table 4)


@dataclass(frozen=True, eq=False)
class Exploration:
    """Results about n rows with d features.

    Parameters
    ----------
    name : Name of the data.
    n, n_given : Number of rows used, and of rows given.
    event_shape : Shape of one row: (d,) of a table, (height, width) or (channel, height, width) of images and lattices.
    standardised : Whether each feature was divided by its standard deviation.
    pca : Principal components of the rows.
    plane : The rows, and the features of a table, in the plane of the first two components.
    dimension : Intrinsic dimension against scale; None for bits, or where it cannot be estimated.
    bits : Dimension of rows of bits; None for others.
    clusters, tree : Clusters of the rows, or, with many features, of their leading components.
    forest : Random forest; None without a target.
    target : Column that the forest predicts, "" for none.
    answers : Values of the target, shape (n,); None without one.
    picture : The t-SNE embedding, or None.
    seed : Root of all randomness.
    notes : What was left out, cut or approximated, in sentences.
    """

    name: str
    n: int
    n_given: int
    event_shape: tuple[int, ...]
    standardised: bool
    pca: PCAResult
    plane: Biplot
    dimension: DimensionScan | None
    bits: BitwiseDimension | None
    clusters: Clustering
    tree: Hierarchy
    forest: ForestResult | None = None
    target: str = ""
    answers: np.ndarray | None = None
    picture: Embedding | None = None
    seed: int = 0
    notes: tuple[str, ...] = ()

    @property
    def sentences(self) -> tuple[str, ...]:
        """The results, one sentence or two for each stage, without the notes."""
        shape = " x ".join(str(size) for size in self.event_shape)
        sort = "bits" if self.bits is not None else "cells"
        what = f"rows of {shape} columns" if len(self.event_shape) == 1 else f"images of {shape} {sort}"
        how = "each divided by its standard deviation" if self.standardised else "as they are"
        keeps = "" if np.isnan(self.tree.cophenetic) else f"; cophenetic correlation {self.tree.cophenetic:.2f}"
        sizes = np.bincount(self.tree.labels())
        cut = f"{_clusters(len(sizes))} of sizes {listed_sizes(sizes)}{keeps}"
        stages = [
            f"{self.name}: {self.n:,} {what}, {how}.",
            self._components(),
            self._dimension(),
            self._clusters(),
            f"The tree of {self.tree.linkage} linkage is cut into {cut}.",
            self._forest(),
        ]
        if self.picture is not None:
            trust, plain = self.picture.trustworthiness, self.picture.pca_trustworthiness
            stages.append(
                f"t-SNE of {len(self.picture.rows):,} rows: trustworthiness {trust:.3f}, that of the first two "
                f"principal components {plain:.3f}."
            )
        return tuple(sentence for sentence in stages if sentence)

    @property
    def n_components(self) -> int | None:
        """How many components hold 90 % of the variance; None if all that were kept hold less."""
        return self.pca.n_for(SHARE)

    @property
    def intrinsic(self) -> Measured | None:
        """The intrinsic dimension at the smallest scale, or that of bits; None if unknown."""
        if self.bits is not None:
            return self.bits.d0
        return None if self.dimension is None else self.dimension.results[0].dimension

    @property
    def agree(self) -> bool:
        """Whether all criteria find the number of clusters that was chosen; true where it was given."""
        return len(set(self.clusters.preferred.values())) < 2

    def to_json(self) -> dict[str, object]:
        """Return a dictionary that `json` can write; of long lists the leading parts, None for what is not finite."""
        parts = ("name", "n", "n_given", "standardised", "target", "seed", "event_shape", "sentences", "notes")
        results = ("dimension", "bits", "clusters", "forest")
        return as_json(
            {key: getattr(self, key) for key in (*parts, *results)}
            | {
                "components_for_90_percent": self.n_components,
                "pca": self.pca.to_json() | {"components": self.pca.components[:LISTED]},
                "tree": {
                    "linkage": self.tree.linkage,
                    "n_clusters": self.tree.n_clusters,
                    "cophenetic": self.tree.cophenetic,
                    "sizes": np.bincount(self.tree.labels()),
                    "largest_heights": self.tree.heights[: -LISTED - 1 : -1],
                },
                "tsne": self.picture,
            }
        )

    def __str__(self) -> str:
        return "\n".join([*self.sentences, *(f"Note: {note}" for note in self.notes)])

    def _components(self) -> str:
        ratio, error = 100 * self.pca.explained_variance_ratio, 100 * self.pca.ratio_error
        d, count = len(self.pca.names), self.n_components
        share = _plain(Measured(float(ratio[0]), float(error[0])))
        # where rows are cells of an image or lattice: of spins, the mean over all cells is the magnetisation
        overlap = abs(float(self.pca.components[0].sum())) / d**0.5
        uniform = (self.bits is not None or len(self.event_shape) > 1) and overlap > SAME
        mean = f" and is the mean over all cells (overlap {overlap:.3f})" if uniform else ""
        first = f"the first holds {share} %{mean}"
        if count is None:
            return f"The {len(ratio)} components that were kept hold {ratio.sum():.1f} % of the variance; {first}."
        if count == 1:
            return f"One of {d} principal components holds {share} %."
        return f"{count} of {d} principal components hold {100 * SHARE:.0f} % of the variance; {first}."

    def _dimension(self) -> str:
        d = len(self.pca.names)
        if self.bits is not None:
            return f"The bit-wise intrinsic dimension is {_plain(self.bits.d0)} of {d} bits."
        if self.dimension is None:
            return ""
        near, far = self.dimension.results[0], self.dimension.results[-1]
        here, there = (f"{r.scale:.3g}" if r.scale < 1000 else f"{r.scale:,.0f}" for r in (near, far))
        said = f"The intrinsic dimension is {_plain(near.dimension)} of {d} at distance {here}"
        if far is near:
            return f"{said}."
        return f"{said} (neighbours 1 and 2), {_plain(far.dimension)} at {there} ({far.n1} and {far.n2})."

    def _clusters(self) -> str:
        clusters, choices = self.clusters, self.clusters.preferred
        if not choices:
            return f"K-means into {clusters.n_clusters} clusters, as asked: sizes {listed_sizes(clusters.sizes)}."
        silhouettes = {c.n_clusters: c.silhouette for c in clusters.criteria if c.silhouette is not None}
        if self.agree:
            how_well = _silhouette(silhouettes.get(clusters.n_clusters))
            return (
                f"K-means: {_listed([CRITERIA[name] for name in choices])} all find {_clusters(clusters.n_clusters)}, "
                f"sizes {listed_sizes(clusters.sizes)}{how_well}."
            )
        others = _listed([f"{CRITERIA[name]} {k}" for name, k in choices.items() if name != "gap"])
        sizes = f" of sizes {listed_sizes(clusters.sizes)}" if clusters.n_clusters > 1 else ""
        best = max(silhouettes, key=lambda k: silhouettes[k] or 0)
        at_least = "at least " if choices["gap"] == clusters.criteria[-1].n_clusters else ""
        return (
            f"K-means: the gap statistic finds {at_least}{_clusters(clusters.n_clusters)}{sizes}, {others}: the "
            f"criteria disagree, so the number of clusters is not certain{_silhouette(silhouettes[best], best)}."
        )

    def _forest(self) -> str:
        if self.forest is None:
            return ""
        best = sorted(self.forest.permutation.items(), key=lambda item: -item[1].value)[:3]
        matter = _listed([name for name, loss in best if loss.value > 2 * loss.error])
        score = _plain(self.forest.out_of_bag)
        if self.forest.classes is None:
            said = f"A random forest predicts {self.target} with R² = {score} out of bag (the mean alone has 0)"
        else:
            chance = f"chance is {self.forest.chance:.3g}"
            said = f"A random forest names {self.target} with accuracy {score} out of bag ({chance})"
        return f"{said}; {f'what matters most: {matter}' if matter else 'no feature stands out'}."


def _plain(measured: Measured) -> str:
    return str(Measured(measured.value, measured.error))


def _clusters(count: int) -> str:
    return "1 cluster" if count == 1 else f"{count} clusters"


def _silhouette(value: float | None, count: int | None = None) -> str:
    if value is None:
        return ""
    at = "" if count is None else f" at {_clusters(count)}"
    weak = ", which is weak" if value < WEAK_SILHOUETTE else ""
    return f" (mean silhouette {value:.2f}{at}{weak})"


def _listed(words: list[str]) -> str:
    return " and ".join(filter(None, (", ".join(words[:-1]), words[-1]))) if words else ""
