"""Results and figures become one self-contained HTML file: the verdict first, its evidence below.

``write``  results -> file        ``build``  results -> page        ``render``, ``save``  page -> text, file
"""

from reverie.report.build import build, write
from reverie.report.page import render, save

__all__ = ["build", "render", "save", "write"]
