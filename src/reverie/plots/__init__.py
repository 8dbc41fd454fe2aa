"""Results and arrays in, matplotlib figures out; nothing here touches pyplot or a file.

A plot of one panel draws on axes of the caller's own figure where `ax` is given; otherwise it makes a figure.

``marginal(s)``            columns one by one, with ratio panels
``pairs``                  columns two by two, real below and generated above the diagonal
``losses``, ``discriminator_outputs``, ``value_terms``, ``gradient_norms``, ``learning_curves``   the training
``held_out_score``, ``coverage``                            its health
``projections``, ``evolution``, ``image_rows``              samples at selected steps
``image_grids``, ``named_rows``   real and generated images side by side, or in rows with names
``label_rows``, ``profile``                                 samples by condition
``latent_traversals``, ``latent_manifold``, ``latent_codes``   the latent space of an autoencoder
``checks_in_noise_units``, ``auc``, ``importances``         the validation
``style``                  the house style as a context manager
"""

from reverie.plots.binning import Binned, bin_columns
from reverie.plots.conditions import Condition, label_rows, profile
from reverie.plots.images import image_grids, image_rows, named_rows
from reverie.plots.latent import latent_codes, latent_manifold, latent_traversals
from reverie.plots.marginals import draw_marginal, draw_ratio, marginal, marginals
from reverie.plots.pairs import choose_columns, pairs
from reverie.plots.sets import mean_images, set_pictures
from reverie.plots.snapshots import evolution, projections
from reverie.plots.style import style, to_png, to_svg
from reverie.plots.training import (
    coverage,
    discriminator_outputs,
    gradient_norms,
    held_out_score,
    learning_curves,
    losses,
    value_terms,
)
from reverie.plots.validation import auc, checks_in_noise_units, importances

__all__ = [
    "Binned",
    "Condition",
    "auc",
    "bin_columns",
    "checks_in_noise_units",
    "choose_columns",
    "coverage",
    "discriminator_outputs",
    "draw_marginal",
    "draw_ratio",
    "evolution",
    "gradient_norms",
    "held_out_score",
    "image_grids",
    "image_rows",
    "importances",
    "label_rows",
    "learning_curves",
    "latent_codes",
    "latent_manifold",
    "latent_traversals",
    "losses",
    "marginal",
    "marginals",
    "mean_images",
    "named_rows",
    "pairs",
    "profile",
    "projections",
    "set_pictures",
    "style",
    "to_png",
    "to_svg",
    "value_terms",
]
