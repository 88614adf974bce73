"""Drawings in SVG that need no library: they stand in a page, or in a file by themselves.

Colours and fonts are classes of `STYLE`, so that a page in dark mode draws them dark.
"""

from .confusion import draw_confusion
from .curves import draw_learning, draw_threshold
from .frame import STYLE, Drawing
from .reliability import draw_reliability

__all__ = [
    "STYLE",
    "Drawing",
    "draw_confusion",
    "draw_learning",
    "draw_reliability",
    "draw_threshold",
]
