"""What a model says of itself, as a section: likelihoods, diagnostics, small figures."""

from reverie.core.assessment import Assessment, Curves
from reverie.plots.style import to_svg
from reverie.plots.training import line_figure
from reverie.report.page import Block, Cell, Gallery, Picture, Section, Table, Text
from reverie.report.words import measured

__all__ = ["assessment_section"]

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
        blocks.append(Gallery(tuple(_picture(curves) for curves in assessment.curves), size="large"))
    return Section("model", "What the model says of itself", tuple(blocks), "Model")


def _picture(curves: Curves) -> Picture:
    figure = line_figure(curves.lines, title=curves.title, x_label=curves.x_label, y_label=curves.y_label)
    return Picture(to_svg(figure), f"{curves.title}: {curves.y_label} against {curves.x_label}.")
