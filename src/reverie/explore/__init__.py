"""What the data themselves say, before any generative model: components, dimension, clusters, forests, errors.

``principal_components``, ``biplot``, ``tsne``, ``trustworthiness``      fewer dimensions
``principal_components_of_covariance``, ``correlation_matrix``           a covariance that is given
``two_nn``, ``gride``, ``bitwise_dimension``                             the intrinsic dimension
``kmeans``, ``hierarchy``                                                clusters and the tree of clusters
``forest``, ``bagging``, ``decompose``, ``variance_decomposition``       ensembles, and what averaging costs
``bootstrap``                                                            the error of any statistic
``ball_in_cube``, ``surface_shares``, ``distance_concentration``, ``crowded_neighbours``    many dimensions
``Exploration``                                                          all of it about one data set, in sentences
"""

from reverie.explore.bitwise import BitwiseDimension, bitwise_dimension
from reverie.explore.bootstrap import Bootstrap, bootstrap
from reverie.explore.cluster import Clustering, kmeans, kmeans_steps
from reverie.explore.components import Biplot, PCAResult, biplot, principal_components
from reverie.explore.covariance import (
    CovarianceResult,
    correlation_matrix,
    principal_components_of_covariance,
    symmetrised,
)
from reverie.explore.crowding import ball_in_cube, crowded_neighbours, distance_concentration, surface_shares
from reverie.explore.dimension import DimensionResult, DimensionScan, gride, two_nn
from reverie.explore.embedding import Embedding, trustworthiness, tsne
from reverie.explore.ensemble import Bagged, VarianceDecomposition, bagging, decompose, variance_decomposition
from reverie.explore.exploration import Exploration
from reverie.explore.forest import ForestResult, forest
from reverie.explore.hierarchy import Dendrogram, Hierarchy, hierarchy

__all__ = [
    "Bagged",
    "Biplot",
    "BitwiseDimension",
    "Bootstrap",
    "Clustering",
    "CovarianceResult",
    "Dendrogram",
    "DimensionResult",
    "DimensionScan",
    "Embedding",
    "Exploration",
    "ForestResult",
    "Hierarchy",
    "PCAResult",
    "VarianceDecomposition",
    "bagging",
    "ball_in_cube",
    "biplot",
    "bitwise_dimension",
    "bootstrap",
    "correlation_matrix",
    "crowded_neighbours",
    "decompose",
    "distance_concentration",
    "forest",
    "gride",
    "hierarchy",
    "kmeans",
    "kmeans_steps",
    "principal_components",
    "principal_components_of_covariance",
    "surface_shares",
    "symmetrised",
    "trustworthiness",
    "tsne",
    "two_nn",
    "variance_decomposition",
]
