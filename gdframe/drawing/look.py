"""The common look of gdframe's pictures: size, and colours on light and on dark pages."""

from __future__ import annotations

import io
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import matplotlib
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.text import Text

from gdframe.errors import printable

logging.getLogger("matplotlib").setLevel(logging.ERROR)  # else it tells where it keeps its cache

if not Path(matplotlib.matplotlib_fname()).is_absolute():  # of the working folder, maybe by a link
    # settings name programs and modules, and somebody may have sent this folder
    matplotlib.rcdefaults()
    matplotlib.rcParams["backend"] = "agg"

SIZE, DPI = (6.4, 4.2), 150
"""Inches and dots per inch: text of 10 points can be read where a phone shows the picture."""

LONGEST_ROW, ROW = 92, 0.19
"""Most characters in a row of a legend of 9 points, its lines included; height of a row, inches."""


@dataclass(frozen=True)
class Look:
    """The colours of a picture.

    Args:
        paper: the background, that of the report's page.
        ink: text, axes and marks that belong to no series.
        faint: lines of the grid.
        series: colours of series, which colour-blind readers can distinguish.
    """

    paper: str
    ink: str
    faint: str
    series: tuple[str, ...]


LIGHT = Look(
    "#ffffff", "#1b1b1b", "#dddddd",
    ("#0072b2", "#b34700", "#00785a", "#a3407a", "#5b4fc4", "#8a6100", "#e0559a", "#6f6f6f"),
)  # fmt: skip
DARK = Look(
    "#15181b", "#ececec", "#3a4046",
    ("#56b4e9", "#ff9e5e", "#3dd6a8", "#f0a3cf", "#b3a8ff", "#f0c24b", "#ff6f91", "#9da3a8"),
)  # fmt: skip


def new_axes(look: Look = LIGHT) -> tuple[Figure, Axes]:
    """Return a figure with one empty pair of axes."""
    figure = Figure(figsize=SIZE, layout="constrained", facecolor=look.paper)
    axes = figure.add_subplot(facecolor=look.paper)
    axes.grid(visible=True, color=look.faint, lw=0.6)
    axes.set_axisbelow(True)
    for side, spine in axes.spines.items():
        spine.set_visible(side not in ("top", "right"))
        spine.set_color(look.ink)
    axes.tick_params(which="both", colors=look.ink)
    return figure, axes


def legend_below(figure: Figure, axes: Axes, more: Sequence[Artist] = ()) -> None:
    """Add a legend below the axes, where it covers nothing, with as many columns as fit.

    Args:
        figure: of the axes.
        axes: whose labelled artists are shown.
        more: further labelled artists.
    """
    handles, labels = axes.get_legend_handles_labels()
    handles, labels = [*handles, *more], [*labels, *(str(artist.get_label()) for artist in more)]
    if not handles:
        return
    longest = max(map(len, labels)) + 6
    size = 9 if longest <= LONGEST_ROW // 2 else 8
    columns = max(1, min(len(handles), 3, LONGEST_ROW * 9 // size // longest))
    rows = -(-len(handles) // columns)
    width, height = SIZE
    figure.set_size_inches(width, height + ROW * max(0, rows - 2))
    figure.legend(
        handles, labels, fontsize=size, frameon=False, loc="outside lower center", ncols=columns
    )


def write_plainly(figure: Figure, look: Look = LIGHT) -> None:
    """Let the texts of a figure be shown as they are, without control characters and formulas.

    This comes before anything that lays the texts out.
    """
    for text in figure.findobj(Text):
        if isinstance(text, Text):
            text.set_text(printable(text.get_text(), lines=True))
            text.set_parse_math(False)
            if text.get_color() == matplotlib.rcParams["text.color"]:  # of no colour of its own
                text.set_color(look.ink)


def png(figure: Figure, look: Look = LIGHT) -> bytes:
    """Return a figure as a PNG file; texts are shown as they are, without formulas."""
    write_plainly(figure, look)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=DPI, metadata={"Software": "gdframe"})
    return buffer.getvalue()
