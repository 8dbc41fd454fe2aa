"""What a model says of itself: likelihoods, diagnostics, small figures, and a look into its latent space."""

from collections.abc import Sequence

from reverie.core.assessment import Assessment, LatentView
from reverie.plots.latent import latent_codes, latent_manifold, latent_traversals
from reverie.plots.training import line_figure
from reverie.report.page import Block, Gallery, Text, png, svg, table
from reverie.report.words import measured

__all__ = ["assessed", "latent_space"]

_LEAD = (
    "The tests of this page see samples only. These numbers come from inside the model; errors are one standard error, "
    "and include those of estimates such as log Z."
)


def assessed(assessment: Assessment | None) -> list[Block]:
    """Return what the model says of itself, or nothing."""
    if not assessment:
        return []
    blocks: list[Block] = [Text(_LEAD), *(Text(warning, "warning") for warning in assessment.warnings)]
    if assessment.numbers:
        rows = [(q.name, measured(q.value, q.error), q.meaning) for q in assessment.numbers]
        blocks.append(table({"Quantity": "plain", "Value": "number", "Meaning": "plain"}, rows))
    pictures = []
    for c in assessment.curves:
        figure = line_figure(c.lines, title=c.title, x_label=c.x_label, y_label=c.y_label)
        pictures.append(svg(figure, f"{c.title}: {c.y_label} against {c.x_label}."))
    return [*blocks, *([Gallery(tuple(pictures), size="large")] if pictures else [])]


def latent_space(view: LatentView | None, names: Sequence[str], kinds: Sequence[str]) -> list[Block]:
    """Return a look into the latent space, or nothing; names and kinds are those of `Samples`, conditions last."""
    if view is None:
        return []
    n, d = view.n_latent, len(view.dimensions)
    which = "All" if d == n else f"{d} of {n}"
    order = "that differ most from the prior" if view.is_prior else "in which the codes spread most"
    scale = "of the prior N(0, 1)" if view.is_prior else "of the codes, from their mean"
    shown = f"{which} dimensions are shown, those {order} first." if d == n else f"The {which} dimensions {order}."
    lead = f"{shown} Latent vectors are counted in standard deviations {scale}."
    ends = f"from {view.values[0]:g} to {view.values[-1]:g} standard deviations".replace("-", "−")
    traversals, numbers = (view.traversals, view.values), view.dimensions.tolist()
    if view.traversals.ndim > 3:
        figure = latent_traversals(*traversals, dimensions=numbers, kind=kinds[0])
        alt = f"A row of mean events per latent dimension, which goes {ends}."
        caption = f"A row per dimension: the mean event as it goes {ends}, the others at 0."
        drawn = png(figure, alt, caption, wide=True)
    else:
        own = names[: view.traversals.shape[-1]]  # without the conditions
        figure = latent_traversals(*traversals, dimensions=numbers, names=own)
        alt = f"Every column of the mean event as one latent dimension goes {ends}."
        caption = f"A line per dimension: the columns of the mean event as it goes {ends}, the others at 0."
        drawn = svg(figure, alt, caption, wide=True)
    pictures, first = [], tuple(int(k) for k in view.dimensions[:2])
    if view.manifold.size:
        figure = latent_manifold(view.manifold, dimensions=(first[0], first[1]), kind=kinds[0])
        alt = f"Mean events on a grid of latent dimensions {first[0]} and {first[1]}."
        caption = "The plane of the first two at normal quantiles: each picture stands for as much probability."
        pictures.append(png(figure, alt, caption))
    if d > 1:
        figure = latent_codes(view.codes, dimensions=(0, 1), names=first, is_prior=view.is_prior)
        alt = "Where held-out events lie in the first two latent dimensions."
        circles = " Circles: one and two standard deviations of the prior." if view.is_prior else ""
        pictures.append(svg(figure, alt, f"{len(view.codes):,} held-out events in the first two.{circles}"))
    return [Text(lead), drawn, *([Gallery(tuple(pictures))] if pictures else [])]
