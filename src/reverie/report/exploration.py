"""The page of `reverie explore`: the findings in sentences, then a section with figures for each stage."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from reverie.plots.exploration import (
    biplane,
    cluster_plane,
    component_images,
    correlations,
    criteria,
    dimension,
    embedding,
    feature_importances,
    hamming,
    scree,
    spectrum,
    tree,
    tree_correlations,
)
from reverie.report.page import Block, Gallery, Page, Section, Text, Tile, Verdict, png, sections, svg, table
from reverie.report.words import measured, number

if TYPE_CHECKING:
    from reverie.explore.covariance import CovarianceResult
    from reverie.explore.exploration import Exploration

__all__ = ["covariance_page", "exploration_page"]

_CRITERIA = (
    " Diamonds mark what each criterion would choose. The gap statistic can find one cluster, that is none; the others "
    "cannot."
)
_SHOWN = 8  # components with a row in the table
_LOADINGS = 4  # columns named for each, if their loading is above this share of the largest
_LEAST_LOADING = 0.1
_MOST_LABELS = 12  # classes that a picture tells apart by colour


def exploration_page(found: "Exploration") -> Page:
    """Return the page of an exploration of rows."""
    shape = " × ".join(str(size) for size in found.event_shape)
    meta = (f"rows: {found.n:,}", f"{'columns' if _is_table(found) else 'images'}: {shape}", f"seed: {found.seed}")
    shown = sections(
        ("findings", "Findings", "", _findings(found)),
        ("components", "Principal components", "Components", _components(found)),
        ("dimension", "Intrinsic dimension", "Dimension", _dimension(found)),
        ("clusters", "Clusters", "", _clusters(found)),
        ("forest", f"Random forest for {found.target}", "Forest", _forest(found)),
        ("tsne", "t-SNE", "", _picture(found)),
    )
    return Page(f"Exploration of {found.name}", "What the data say before any model", shown, meta=meta)


def covariance_page(
    *,
    name: str,
    sentences: Sequence[str],
    notes: Sequence[str],
    result: "CovarianceResult",
    correlation: np.ndarray,
    names: Sequence[str],
) -> Page:
    """Return the page of a covariance matrix.

    Parameters
    ----------
    name, sentences, notes : Name of the file, and the findings in sentences.
    result : Its principal components.
    correlation, names : Correlations (p, p), and the p names of its rows.
    """
    rank, condition = f"{result.rank} of {len(result.eigenvalues)}", number(result.condition_number)
    tiles = (
        Tile("Rank", rank, "eigenvalues above rounding"),
        Tile("Condition number", condition, f"correlations: {number(result.correlation_condition_number)}"),
        Tile("First eigenvector", f"{100 * result.explained_variance_ratio[0]:.1f} %", "of the variance"),
    )
    findings: list[Block] = [Verdict("unknown", f"Rank {rank}", " ".join(sentences), tiles)]
    findings += [Text("\n".join(notes), "warning")] if notes else []
    values = result.eigenvalues[: result.rank]
    pictures = (
        svg(spectrum(values, tolerance=result.tolerance), f"{result.rank} eigenvalues over the largest."),
        png(correlations(correlation, names), f"Heat map of {len(names)} x {len(names)} correlations."),
    )
    columns = {"Eigenvector": "plain", "Eigenvalue": "number", "Share": "number", "Largest entries": "plain"}
    rows = [
        (str(k + 1), number(values[k], 4), f"{100 * share:.2f} %", _loadings(result.components[k], result.names))
        for k, share in enumerate(result.explained_variance_ratio[:_SHOWN])
    ]
    body = (Gallery(pictures, size="large"), table(columns, rows, "The leading eigenvectors."))
    shown = (
        Section("findings", "Findings", tuple(findings)),
        Section("spectrum", "Spectrum and correlations", body, "Spectrum"),
    )
    return Page(f"Covariance {name}", "Eigenvalues, rank and correlations", shown)


def _findings(found: "Exploration") -> list[Block]:
    count = found.n_components
    tiles = [Tile("Components for 90 %", "more" if count is None else str(count), f"of {len(found.pca.names)}")]
    if found.intrinsic is not None:
        kind = "bit-wise" if found.bits is not None else "at the smallest scale"
        tiles.append(Tile("Intrinsic dimension", measured(found.intrinsic.value, found.intrinsic.error), kind))
    sure = "as asked" if not found.clusters.criteria else "all criteria agree" if found.agree else "criteria disagree"
    tiles.append(Tile("Clusters", str(found.clusters.n_clusters), sure))
    if found.forest is not None:
        score, name, chance = found.forest.out_of_bag, "Accuracy", f"chance: {found.forest.chance:.3g}"
        if found.forest.classes is None:
            name, chance = "R²", "0 is no better than the mean"
        tiles.append(Tile(f"{name} for {found.target}", measured(score.value, score.error), chance))
    first, *others = found.sentences
    blocks: list[Block] = [Verdict("unknown", first, " ".join(others), tuple(tiles))]
    return [*blocks, *([Text("\n".join(found.notes), "warning")] if found.notes else [])]


def _components(found: "Exploration") -> list[Block]:
    pca, is_table = found.pca, _is_table(found)
    ratio, error = pca.explained_variance_ratio, pca.ratio_error
    pictures = (
        svg(scree(ratio, error), f"Shares of the variance of {len(ratio)} components."),
        png(biplane(found.plane, with_arrows=is_table), "Rows in the plane of the first two components."),
    )
    arrows = " Arrows are columns: two in one direction belong to correlated columns." if is_table else ""
    caption = f"Errors of the shares come from the bootstrap. The plane shows the central 99 % of the rows.{arrows}"
    planes = Gallery(pictures, caption, size="large")
    if not is_table:
        margin = float(np.sqrt(pca.explained_variance.sum() / len(pca.mean)))
        drawn = component_images(pca.mean, pca.components, ratio, found.event_shape, margin=margin)
        caption = "The mean and the leading components: teal cells rise together, orange ones fall."
        return [planes, png(drawn, "Leading components as images.", caption, wide=True)]
    rows = []
    for k in range(min(_SHOWN, len(ratio))):
        share, variance = f"{measured(100 * ratio[k], 100 * error[k])} %", number(pca.explained_variance[k])
        rows.append((str(k + 1), share, variance, _loadings(pca.components[k], pca.names)))
    columns = {"Component": "plain", "Share": "number", "Variance": "number", "Largest loadings": "plain"}
    return [planes, table(columns, rows, "What the components are made of.")]


def _loadings(component: np.ndarray, names: Sequence[str]) -> str:
    largest = np.argsort(-np.abs(component), kind="stable")[:_LOADINGS]
    kept = [j for j in largest if abs(component[j]) > _LEAST_LOADING * abs(component[largest[0]])]
    return ", ".join(f"{f'{component[j]:+.2f}'.replace('-', '−')} {names[j]}" for j in kept)


def _dimension(found: "Exploration") -> list[Block]:
    if found.bits is not None:
        picture = svg(hamming(found.bits), "Histogram of Hamming distances and the law fitted to it.")
        text = (
            "Two rows of D independent bits differ in r of them with a binomial probability; correlated bits behave "
            "like fewer. The dimension is the number of effective bits at small distance."
        )
    elif found.dimension is not None:
        picture = svg(dimension(found.dimension, len(found.pca.names)), "Intrinsic dimension by distance.")
        text = (
            "Ratios of the distances to two neighbours tell how many directions the data fill, whatever their density. "
            "A dimension that falls with distance shows noise at small scales; in many dimensions it comes out too low."
        )
    else:
        return []
    return [Text(text), Gallery((picture,), size="large")]


def _clusters(found: "Exploration") -> list[Block]:
    clusters, merges = found.clusters, found.tree
    alt = f"{clusters.n_clusters} clusters in the leading plane."
    pictures = [png(cluster_plane(found.plane, clusters.labels), alt)]
    text = "K-means takes clusters to be round and equally wide."
    if len(clusters.criteria) > 1:
        text += _CRITERIA
        chart = criteria(clusters.criteria, clusters.preferred)
        pictures.append(svg(chart, "Gap statistic and silhouette by number of clusters."))
    n_clusters = int(merges.labels().max()) + 1
    chart = tree(merges.dendrogram(min(30, len(merges.centres))), linkage=merges.linkage, n_clusters=n_clusters)
    caption = "The last merges; the dashed line leaves the number of clusters beside it."
    drawn = svg(chart, f"Dendrogram of {merges.linkage} linkage.", caption, wide=True)
    return [Gallery(tuple(pictures), text, size="large"), drawn]


def _forest(found: "Exploration") -> list[Block]:
    if found.forest is None:
        return []
    forest, score = found.forest, "R²" if found.forest.classes is None else "accuracy"
    matter = feature_importances(forest.permutation, forest.impurity, score=score)
    alike = tree_correlations(forest.correlation, forest.max_features)
    text = (
        "Left, the honest importance: correlated columns stand in for each other and share it. Right, the share of the "
        "training, which favours columns of many values."
    )
    more = (
        "Fewer columns to choose from make a tree worse and, as a rule, two trees less alike, so that their average "
        "gains more: the error of the forest is ρ E + (1 − ρ) E/n, with E that of one tree and ρ the correlation."
    )
    return [
        svg(matter, f"Importance of {len(forest.names)} columns.", text, wide=True),
        svg(alike, "Correlation of trees and errors by features per question.", more, wide=True),
    ]


def _picture(found: "Exploration") -> list[Block]:
    picture = found.picture
    if picture is None:
        return []
    labels, names = found.clusters.labels, [f"cluster {k + 1}" for k in range(found.clusters.n_clusters)]
    classes = None if found.forest is None else found.forest.classes
    if found.answers is not None and classes is not None and len(classes) <= _MOST_LABELS:
        labels, names = np.searchsorted(classes, found.answers), [str(label) for label in classes]
    drawn = embedding(picture.points, labels[picture.rows], names, trust=picture.trustworthiness)
    by = found.target if len(names) and classes is not None else "K-means cluster"
    caption = (
        f"Colours: {by}. Neighbours mean something here; distances between groups, their sizes and the axes do not. "
        f"Trustworthiness of the first two components: {picture.pca_trustworthiness:.3f}."
    )
    return [Gallery((png(drawn, f"t-SNE picture of {len(picture.rows):,} rows."),), caption, size="large")]


def _is_table(found: "Exploration") -> bool:
    return len(found.event_shape) == 1
