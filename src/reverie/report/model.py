"""What a model says of itself: likelihoods, diagnostics, small figures, and a look into its latent space."""

from collections.abc import Sequence

from reverie.core.assessment import Assessment, LatentView
from reverie.plots.latent import latent_codes, latent_manifold, latent_traversals
from reverie.plots.style import to_png, to_svg
from reverie.plots.training import line_figure
from reverie.report.page import Block, Cell, Gallery, Picture, Section, Table, Text
from reverie.report.words import measured

__all__ = ["assessment_section", "latent_section"]

_LEAD = (
    "The tests of this page see samples only. These numbers come from inside the model; errors are one standard error, "
    "and include those of estimates such as log Z."
)


def assessment_section(assessment: Assessment | None) -> Section | None:
    """Return the section, or None when the model says nothing."""
    if not assessment:
        return None
    blocks: list[Block] = [Text(_LEAD)]
    blocks += [Text(warning, "warning") for warning in assessment.warnings]
    if assessment.numbers:
        rows = tuple(
            (Cell(q.name), Cell(measured(q.value, q.error), "number"), Cell(q.meaning)) for q in assessment.numbers
        )
        blocks.append(Table(("Quantity", "Value", "Meaning"), rows))
    if assessment.curves:
        pictures = []
        for c in assessment.curves:
            figure = line_figure(c.lines, title=c.title, x_label=c.x_label, y_label=c.y_label)
            pictures.append(Picture(to_svg(figure), f"{c.title}: {c.y_label} against {c.x_label}."))
        blocks.append(Gallery(tuple(pictures), size="large"))
    return Section("model", "What the model says of itself", tuple(blocks), "Model")


def latent_section(view: LatentView | None, names: Sequence[str], kinds: Sequence[str]) -> Section | None:
    """Return the section, or None where there is nothing to see.

    Parameters
    ----------
    view : the latent space, or None.
    names, kinds : Names and kinds of the columns of a table, its conditions last; of images one for all pixels.
    """
    if view is None:
        return None
    is_image = view.traversals.ndim > 3
    n, d = view.n_latent, len(view.dimensions)
    which = "All" if d == n else f"{d} of {n}"
    order = "that differ most from the prior" if view.is_prior else "in which the codes spread most"
    scale = "of the prior N(0, 1)" if view.is_prior else "of the codes, from their mean"
    shown = f"{which} dimensions are shown, those {order} first." if d == n else f"The {which} dimensions {order}."
    lead = f"{shown} Latent vectors are counted in standard deviations {scale}."
    blocks: list[Block] = [Text(lead), _traversals(view, names, kinds[0] if is_image else None)]
    pictures, first = [], tuple(int(k) for k in view.dimensions[:2])
    if view.manifold.size:
        drawn = to_png(latent_manifold(view.manifold, dimensions=(first[0], first[1]), kind=kinds[0]))
        alt = f"Mean events on a grid of latent dimensions {first[0]} and {first[1]}."
        caption = "The plane of the first two at normal quantiles: each picture stands for as much probability."
        pictures.append(Picture(drawn, alt, caption, media="png"))
    if d > 1:
        drawn = to_svg(latent_codes(view.codes, dimensions=(0, 1), names=first, is_prior=view.is_prior))
        alt = "Where held-out events lie in the first two latent dimensions."
        circles = " Circles: one and two standard deviations of the prior." if view.is_prior else ""
        pictures.append(Picture(drawn, alt, f"{len(view.codes):,} held-out events in the first two.{circles}"))
    blocks += [Gallery(tuple(pictures))] if pictures else []
    return Section("latent", "A look into the latent space", tuple(blocks), "Latent space")


def _traversals(view: LatentView, names: Sequence[str], kind: str | None) -> Picture:
    ends = f"from {view.values[0]:g} to {view.values[-1]:g} standard deviations".replace("-", "−")
    if kind is None:
        own = names[: view.traversals.shape[-1]]  # without the conditions
        figure = latent_traversals(view.traversals, view.values, dimensions=view.dimensions.tolist(), names=own)
        alt = f"Every column of the mean event as one latent dimension goes {ends}."
        caption = f"A line per dimension: the columns of the mean event as it goes {ends}, the others at 0."
        return Picture(to_svg(figure), alt, caption, wide=True)
    figure = latent_traversals(view.traversals, view.values, dimensions=view.dimensions.tolist(), kind=kind)
    alt = f"A row of mean events per latent dimension, which goes {ends}."
    caption = f"A row per dimension: the mean event as it goes {ends}, the others at 0."
    return Picture(to_png(figure), alt, caption, media="png", wide=True)
