"""Results and figures become one self-contained HTML file: the verdict first, its evidence below.

``write``  results -> file        ``build``  results -> `Page`        ``save``  `Page` -> file
"""

from reverie.report.build import build, write
from reverie.report.html import render, save
from reverie.report.page import (
    Cell,
    Details,
    Gallery,
    Page,
    Picture,
    Reference,
    References,
    Section,
    Table,
    Text,
    Tile,
    Verdict,
)

__all__ = [
    "Cell",
    "Details",
    "Gallery",
    "Page",
    "Picture",
    "Reference",
    "References",
    "Section",
    "Table",
    "Text",
    "Tile",
    "Verdict",
    "build",
    "render",
    "save",
    "write",
]
