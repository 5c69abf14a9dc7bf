"""The content of a report page, and its HTML."""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass, field
from datetime import datetime
from importlib.resources import files
from pathlib import Path
from typing import Any

from jinja2 import Environment, StrictUndefined

from gdframe.cli.report.labels import word
from gdframe.errors import without_controls
from gdframe.runs.picture_files import read_pictures
from gdframe.runs.result import finite
from gdframe.stopping import Status

SYMBOLS: dict[str, str] = {
    Status.CONVERGED: "✓", Status.TARGET_REACHED: "✓", Status.MAX_EPOCHS: "■",
    Status.TIME_LIMIT: "■", Status.DIVERGED: "✗", Status.FAILED: "✗", Status.INTERRUPTED: "‖",
}  # fmt: skip
"""Symbols of statuses, so that they do not depend on colour alone."""


SOURCES = ("page.html", "page.css", "scales.js", "figures.js", "page.js")
"""The template, the style and the scripts of a page."""

AXES = {"step": "steps (gradient evaluations)", "samples": "samples", "seconds": "seconds"}
"""Labels of the axes of curves; each step has one gradient evaluation."""


@dataclass
class Table:
    """A table of a page.

    Args:
        head: names of the columns.
        rows: cells, as text or numbers.
        caption: title of the table.
        note: text below the table.
    """

    head: list[str]
    rows: list[list[Any]]
    caption: str = ""
    note: str = ""


@dataclass
class Picture:
    """A picture of a page.

    Args:
        png: content of the file.
        alt: description in words.
        title: text above the picture.
        dark: the picture for readers with a dark page, if there is one.
    """

    png: bytes
    alt: str
    title: str
    dark: bytes | None = None

    @property
    def source(self) -> str:
        """The picture as a data URL."""
        return _data_url(self.png)

    @property
    def dark_source(self) -> str | None:
        """The picture for dark pages as a data URL."""
        return None if self.dark is None else _data_url(self.dark)


def _data_url(png: bytes) -> str:
    return "data:image/png;base64," + base64.b64encode(png).decode()


@dataclass
class Figure:
    """Curves of a page.

    Args:
        title: the question that the curves answer.
        measures: names of columns; the first is selected.
        together: whether to draw all measures of one run, instead of one measure of all runs.
        words: description in words, for screen readers.
        reference: value and label of a horizontal line.
        groups: numbers of the configurations that are drawn; by default all.
        linear: names of columns whose axis is linear: scores such as r2 and accuracy.
    """

    title: str
    measures: list[str]
    together: bool
    words: list[str]
    reference: tuple[float, str] | None = None
    groups: list[int] | None = None
    linear: list[str] = field(default_factory=list)


@dataclass
class Page:
    """The content of a page about a run or a sweep.

    Args:
        title: of the page.
        status: of a run; None for an ended sweep.
        verdict: paragraphs.
        facts: names and values at the top.
        commands: descriptions and command lines to train again.
        figures: of ``curves``.
        curves: columns of each run, as the script reads them.
        groups: names of configurations by colour, best first.
        tables: by the title of their section.
        pictures: drawn by gdframe.
        settings: the config as YAML.
        notes: about the page itself.
        axes: the axes of curves to choose from: ``step``, ``samples`` and ``seconds``.
        axis: the selected axis.
    """

    title: str
    status: str | None
    verdict: list[str]
    facts: list[tuple[str, str]]
    commands: list[tuple[str, str]]
    figures: list[Figure] = field(default_factory=list)
    curves: list[dict[str, Any]] = field(default_factory=list)
    groups: list[str] = field(default_factory=list)
    tables: dict[str, list[Table]] = field(default_factory=dict)
    pictures: list[Picture] = field(default_factory=list)
    settings: str = ""
    notes: list[str] = field(default_factory=list)
    axes: list[str] = field(default_factory=lambda: ["step", "samples", "seconds"])
    axis: str = "step"


def render(page: Page) -> str:
    """Return a page as HTML, with all names and control characters escaped."""
    folder = files("gdframe.cli.report")
    html, style, *scripts = (folder.joinpath(name).read_text("utf-8") for name in SOURCES)
    environment = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters["cell"] = cell
    figures = [{**vars(figure), "words": None} for figure in page.figures]
    names = {column: word(column) for figure in page.figures for column in figure.measures}
    data = {"figures": figures, "runs": page.curves, "groups": page.groups, "names": names}
    text = environment.from_string(html).render(
        page=page,
        axes={name: AXES[name] for name in page.axes},
        symbol=SYMBOLS.get(page.status or "", "…"),
        style=style,
        script="\n".join(scripts),
        data=_in_script(data),
        written=datetime.now().strftime("%Y-%m-%d %H:%M"),
    )
    return without_controls(text)


def _in_script(data: Any) -> str:
    """Return JSON that is safe inside a script element."""
    text = json.dumps(finite(data), separators=(",", ":"), ensure_ascii=False)
    for character in ("<", ">", "&", "\u2028", "\u2029", *map(chr, range(0x7F, 0xA0))):
        text = text.replace(character, f"\\u{ord(character):04x}")
    return text


def cell(value: Any) -> str:
    """Return the value of a table's cell as text.

    Example:
        >>> cell(0.123456789), cell(None), cell(12000), cell("sgd")
        ('0.123457', '', '12,000', 'sgd')
    """
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int):
        return f"{value:,}"
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def number(value: float | None) -> str:
    """Return a number as text for a sentence."""
    return "not finite" if value is None else f"{value:,.6g}"


def pictures_in(folder: Path, texts: dict[str, tuple[str, str]]) -> list[Picture]:
    """Return gdframe's pictures in a folder.

    Args:
        folder: of a run or a sweep.
        texts: title and description by the name of the picture.
    """
    pictures = []
    for name, (title, words) in texts.items():
        for part, (png, dark) in read_pictures(folder, name).items():
            suffix = f", {part}" if part else ""
            pictures.append(Picture(png, words + suffix, title + suffix, dark))
    return pictures
