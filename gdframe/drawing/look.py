"""The common look of gdframe's pictures: size, colours and axes."""

from __future__ import annotations

import io
from pathlib import Path

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.text import Text

from gdframe.errors import printable

if not Path(matplotlib.matplotlib_fname()).is_absolute():  # of the working folder, maybe by a link
    # settings name programs and modules, and somebody may have sent this folder
    matplotlib.rcdefaults()
    matplotlib.rcParams["backend"] = "agg"

COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#000000", "#999999")
"""Colours that colour-blind readers can distinguish (Okabe and Ito, 2008)."""

WARM = "#D55E00"
"""Colour of failed and diverged runs."""

SIZE, DPI = (8.0, 5.0), 120


def new_axes() -> tuple[Figure, Axes]:
    """Return a figure with one empty pair of axes."""
    figure = Figure(figsize=SIZE, layout="constrained")
    axes = figure.add_subplot()
    axes.grid(visible=True, color="#dddddd", lw=0.6)
    axes.set_axisbelow(True)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    return figure, axes


def png(figure: Figure) -> bytes:
    """Return a figure as a PNG file; texts are shown as they are, without formulas."""
    ticks = {
        id(label)
        for axes in figure.axes
        for axis in (axes.xaxis, axes.yaxis)
        for label in axis.get_ticklabels(which="both")
    }
    for text in figure.findobj(Text):
        if isinstance(text, Text) and id(text) not in ticks:  # ticks write powers as formulas
            text.set_text(printable(text.get_text(), lines=True))
            text.set_parse_math(False)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=DPI)
    return buffer.getvalue()
