"""The page of `reverie explore`: the findings in sentences, then a section with figures for each stage."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.figure import Figure

from reverie.plots.exploration import biplane, component_images, correlations, dimension, hamming, scree, spectrum
from reverie.plots.groups import cluster_plane, criteria, embedding, feature_importances, tree, tree_correlations
from reverie.plots.style import to_png, to_svg
from reverie.report.page import Block, Cell, Gallery, Page, Picture, Section, Table, Text, Tile, Verdict
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
    sections = [_summary(found), _components(found), _dimension(found), _clusters(found), _forest(found)]
    sections.append(_picture(found))
    shape = " × ".join(str(size) for size in found.event_shape)
    meta = (f"rows: {found.n:,}", f"{'columns' if _is_table(found) else 'images'}: {shape}", f"seed: {found.seed}")
    kept = tuple(section for section in sections if section is not None)
    return Page(f"Exploration of {found.name}", "What the data say before any model", kept, meta=meta)


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
    result : its principal components.
    correlation, names : (p, p) and the p names of its rows.
    """
    tiles = (
        Tile("Rank", f"{result.rank} of {len(result.eigenvalues)}", "eigenvalues above rounding"),
        Tile(
            "Condition number",
            number(result.condition_number),
            f"correlations: {number(result.correlation_condition_number)}",
        ),
        Tile("First eigenvector", f"{100 * result.explained_variance_ratio[0]:.1f} %", "of the variance"),
    )
    blocks: list[Block] = [
        Verdict("unknown", f"Rank {result.rank} of {len(result.eigenvalues)}", " ".join(sentences), tiles)
    ]
    if notes:
        blocks.append(Text("\n".join(notes), "warning"))
    values = result.eigenvalues[: result.rank]
    pictures = (
        Picture(to_svg(spectrum(values, tolerance=result.tolerance)), f"{result.rank} eigenvalues over the largest."),
        _png(correlations(correlation, names), f"Heat map of {len(names)} x {len(names)} correlations."),
    )
    headers = ("Eigenvector", "Eigenvalue", "Share", "Largest entries")
    rows = tuple(
        (Cell(str(k + 1)), Cell(number(values[k], 4), "number"), Cell(f"{100 * share:.2f} %", "number"),
         Cell(_loadings(result.components[k], result.names)))
        for k, share in enumerate(result.explained_variance_ratio[:_SHOWN])
    )  # fmt: skip
    body: tuple[Block, ...] = (Gallery(pictures, size="large"), Table(headers, rows, "The leading eigenvectors."))
    sections = (
        Section("findings", "Findings", tuple(blocks)),
        Section("spectrum", "Spectrum and correlations", body, "Spectrum"),
    )
    return Page(f"Covariance {name}", "Eigenvalues, rank and correlations", sections)


def _summary(found: "Exploration") -> Section:
    count = found.n_components
    tiles = [Tile("Components for 90 %", "more" if count is None else str(count), f"of {len(found.pca.names)}")]
    if found.intrinsic is not None:
        kind = "bit-wise" if found.bits is not None else "at the smallest scale"
        tiles.append(Tile("Intrinsic dimension", measured(found.intrinsic.value, found.intrinsic.error), kind))
    sure = "as asked" if not found.clusters.criteria else "all criteria agree" if found.agree else "criteria disagree"
    tiles.append(Tile("Clusters", str(found.clusters.n_clusters), sure))
    if found.forest is not None:
        score = found.forest.out_of_bag
        chance = (
            "0 is no better than the mean" if found.forest.classes is None else f"chance: {found.forest.chance:.3g}"
        )
        tiles.append(Tile(f"{_score(found)} for {found.target}", measured(score.value, score.error), chance))
    first, *others = found.sentences
    blocks: list[Block] = [Verdict("unknown", first, " ".join(others), tuple(tiles))]
    if found.notes:
        blocks.append(Text("\n".join(found.notes), "warning"))
    return Section("findings", "Findings", tuple(blocks))


def _components(found: "Exploration") -> Section:
    pca, table = found.pca, _is_table(found)
    ratio, error = pca.explained_variance_ratio, pca.ratio_error
    pictures = (
        Picture(to_svg(scree(ratio, error)), f"Shares of the variance of {len(ratio)} components."),
        _png(biplane(found.plane, with_arrows=table), "Rows in the plane of the first two components."),
    )
    arrows = " Arrows are columns: two in one direction belong to correlated columns." if table else ""
    caption = f"Errors of the shares come from the bootstrap. The plane shows the central 99 % of the rows.{arrows}"
    blocks: list[Block] = [Gallery(pictures, caption, size="large")]
    if table:
        blocks.append(_component_table(found))
    else:
        margin = float(np.sqrt(pca.explained_variance.sum() / len(pca.mean)))
        drawn = component_images(pca.mean, pca.components, ratio, found.event_shape, margin=margin)
        caption = "The mean and the leading components: teal cells rise together, orange ones fall."
        blocks.append(_png(drawn, "Leading components as images.", caption, wide=True))
    return Section("components", "Principal components", tuple(blocks), "Components")


def _component_table(found: "Exploration") -> Table:
    pca = found.pca
    rows = []
    for k, (share, error) in enumerate(zip(pca.explained_variance_ratio, pca.ratio_error, strict=True)):
        figures = (
            Cell(f"{measured(100 * share, 100 * error)} %", "number"),
            Cell(number(pca.explained_variance[k]), "number"),
        )
        rows.append((Cell(str(k + 1)), *figures, Cell(_loadings(pca.components[k], pca.names))))
    return Table(
        ("Component", "Share", "Variance", "Largest loadings"), tuple(rows[:_SHOWN]), "What the components are made of."
    )


def _loadings(component: np.ndarray, names: Sequence[str]) -> str:
    largest = np.argsort(-np.abs(component), kind="stable")[:_LOADINGS]
    kept = [j for j in largest if abs(component[j]) > _LEAST_LOADING * abs(component[largest[0]])]
    return ", ".join(f"{f'{component[j]:+.2f}'.replace('-', '−')} {names[j]}" for j in kept)


def _dimension(found: "Exploration") -> Section | None:
    if found.bits is not None:
        picture = Picture(to_svg(hamming(found.bits)), "Histogram of Hamming distances and the law fitted to it.")
        text = (
            "Two rows of D independent bits differ in r of them with a binomial probability; correlated bits behave "
            "like fewer. The dimension is the number of effective bits at small distance."
        )
    elif found.dimension is not None:
        picture = Picture(to_svg(dimension(found.dimension, len(found.pca.names))), "Intrinsic dimension by distance.")
        text = (
            "Ratios of the distances to two neighbours tell how many directions the data fill, whatever their density. "
            "A dimension that falls with distance shows noise at small scales; in many dimensions it comes out too low."
        )
    else:
        return None
    return Section("dimension", "Intrinsic dimension", (Text(text), Gallery((picture,), size="large")), "Dimension")


def _clusters(found: "Exploration") -> Section:
    clusters = found.clusters
    pictures = [
        _png(cluster_plane(found.plane, clusters.labels), f"{clusters.n_clusters} clusters in the leading plane.")
    ]
    text = "K-means takes clusters to be round and equally wide."
    if len(clusters.criteria) > 1:
        text += _CRITERIA
        chart = criteria(clusters.criteria, clusters.preferred)
        pictures.append(Picture(to_svg(chart), "Gap statistic and silhouette by number of clusters."))
    n_clusters = int(found.tree.labels().max()) + 1
    leaves = min(30, len(found.tree.centres))
    chart = tree(found.tree.dendrogram(leaves), linkage=found.tree.linkage, n_clusters=n_clusters)
    caption = "The last merges; the dashed line leaves the number of clusters beside it."
    drawn = Picture(to_svg(chart), f"Dendrogram of {found.tree.linkage} linkage.", caption, wide=True)
    return Section("clusters", "Clusters", (Gallery(tuple(pictures), text, size="large"), drawn))


def _forest(found: "Exploration") -> Section | None:
    if found.forest is None:
        return None
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
    blocks = (
        Picture(to_svg(matter), f"Importance of {len(forest.names)} columns.", text, wide=True),
        Picture(to_svg(alike), "Correlation of trees and errors by features per question.", more, wide=True),
    )
    return Section("forest", f"Random forest for {found.target}", blocks, "Forest")


def _picture(found: "Exploration") -> Section | None:
    picture = found.picture
    if picture is None:
        return None
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
    blocks = (Gallery((_png(drawn, f"t-SNE picture of {len(picture.rows):,} rows."),), caption, size="large"),)
    return Section("tsne", "t-SNE", blocks)


def _png(figure: Figure, alt: str, caption: str = "", *, wide: bool = False) -> Picture:
    """Return a picture of many points or cells, which as SVG would weigh megabytes."""
    return Picture(to_png(figure), alt, caption, media="png", wide=wide)


def _is_table(found: "Exploration") -> bool:
    return len(found.event_shape) == 1


def _score(found: "Exploration") -> str:
    return "R²" if found.forest is not None and found.forest.classes is None else "Accuracy"
