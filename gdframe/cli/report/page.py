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

from gdframe.runs.picture_files import read_pictures
from gdframe.runs.result import finite
from gdframe.stopping import Status

SYMBOLS: dict[str, str] = {
    Status.CONVERGED: "✓", Status.TARGET_REACHED: "✓", Status.MAX_EPOCHS: "■",
    Status.TIME_LIMIT: "■", Status.DIVERGED: "✗", Status.FAILED: "✗", Status.INTERRUPTED: "‖",
}  # fmt: skip
"""Symbols of statuses, so that they do not depend on colour alone."""


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
    """

    png: bytes
    alt: str
    title: str

    @property
    def source(self) -> str:
        """The picture as a data URL."""
        return "data:image/png;base64," + base64.b64encode(self.png).decode()


@dataclass
class Figure:
    """Curves of a page.

    Args:
        title: the question that the curves answer.
        measures: names of columns; the first is selected.
        together: whether to draw all measures of one run, instead of one measure of all runs.
        words: description in words, for screen readers.
        reference: value and label of a horizontal line.
    """

    title: str
    measures: list[str]
    together: bool
    words: list[str]
    reference: tuple[float, str] | None = None


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
        axis: the selected axis of curves: ``step``, ``samples`` or ``seconds``.
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
    axis: str = "step"


def render(page: Page) -> str:
    """Return a page as HTML, with all names escaped."""
    folder = files("gdframe.cli.report")
    sources = {
        name: folder.joinpath(f"page.{name}").read_text("utf-8") for name in ("html", "css", "js")
    }
    environment = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters["cell"] = cell
    figures = [
        {"measures": f.measures, "together": f.together, "reference": f.reference, "title": f.title}
        for f in page.figures
    ]
    data = {"figures": figures, "runs": page.curves, "groups": page.groups}
    return environment.from_string(sources["html"]).render(
        page=page,
        symbol=SYMBOLS.get(page.status or "", "…"),
        style=sources["css"],
        script=sources["js"],
        data=_in_script(data),
        written=datetime.now().strftime("%Y-%m-%d %H:%M"),
    )


def _in_script(data: Any) -> str:
    """Return JSON that is safe inside a script element."""
    text = json.dumps(finite(data), separators=(",", ":"), ensure_ascii=False)
    for character in "<>&\u2028\u2029":
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
        for part, png in read_pictures(folder, name).items():
            suffix = f", {part}" if part else ""
            pictures.append(Picture(png, words + suffix, title + suffix))
    return pictures
