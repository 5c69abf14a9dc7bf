"""What a page says, as plain values, and the HTML that shows it."""

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

SYMBOLS = {
    "converged": "✓", "target_reached": "✓", "max_epochs": "■", "time_limit": "■",
    "diverged": "✗", "failed": "✗", "interrupted": "‖",
}  # fmt: skip
"""What stands before a status, so that it is not told by its colour alone."""


@dataclass
class Table:
    """A table of a page.

    Args:
        head: names of the columns.
        rows: cells, as text or numbers.
        caption: what it shows.
        note: what it leaves out, say.
    """

    head: list[str]
    rows: list[list[Any]]
    caption: str = ""
    note: str = ""


@dataclass
class Picture:
    """A picture of a page.

    Args:
        png: its file.
        alt: what it shows, in words.
        title: above it.
    """

    png: bytes
    alt: str
    title: str

    @property
    def source(self) -> str:
        """The picture as an address that holds it."""
        return "data:image/png;base64," + base64.b64encode(self.png).decode()


@dataclass
class Figure:
    """Curves that the page draws.

    Args:
        title: the question that they answer.
        measures: what is drawn, by the names of columns; the first at first.
        together: whether all measures are drawn at once, of one run; else one of many runs.
        words: the same in words, for those who do not see it.
        reference: a horizontal line: its value and what it is.
    """

    title: str
    measures: list[str]
    together: bool
    words: list[str]
    reference: tuple[float, str] | None = None


@dataclass
class Page:
    """What is known of a run or a sweep.

    Args:
        title: of the page.
        status: one word, or None for a sweep.
        verdict: a paragraph each.
        facts: name and value, at the top.
        commands: train it again: what each trains, and the command.
        figures: of ``curves``.
        curves: runs with their columns, as the script reads them.
        groups: names of what the runs' colours mean, best first.
        tables: by the title of their section.
        pictures: drawn by gdframe.
        settings: the config as YAML.
        notes: what should be known about the page itself.
        axis: along which curves are drawn at first: ``step``, ``samples`` or ``seconds``.
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
    """Return a page as HTML; whatever names hold, they are shown as text."""
    own = files("gdframe.cli.report")
    read = {name: own.joinpath(f"page.{name}").read_text("utf-8") for name in ("html", "css", "js")}
    environment = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters["cell"] = cell
    figures = [
        {"measures": f.measures, "together": f.together, "reference": f.reference, "title": f.title}
        for f in page.figures
    ]
    data = {"figures": figures, "runs": page.curves, "groups": page.groups}
    return environment.from_string(read["html"]).render(
        page=page,
        symbol=SYMBOLS.get(page.status or "", "…"),
        style=read["css"],
        script=read["js"],
        data=_in_script(data),
        written=datetime.now().strftime("%Y-%m-%d %H:%M"),
    )


def _in_script(data: Any) -> str:
    """Return JSON that cannot end the element it stands in."""
    text = json.dumps(finite(data), separators=(",", ":"), ensure_ascii=False)
    for character in "<>&\u2028\u2029":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return text


def cell(value: Any) -> str:
    """Return a table's value as text.

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
    """Return a number in a sentence."""
    return "nothing finite" if value is None else f"{value:,.6g}"


def pictures_in(folder: Path, known: dict[str, tuple[str, str]]) -> list[Picture]:
    """Return the pictures that gdframe has drawn in a folder.

    Args:
        folder: of a run or a sweep.
        known: title and words by the name of the picture.
    """
    found = []
    for name, (title, words) in known.items():
        for part, png in read_pictures(folder, name).items():
            what = f", {part}" if part else ""
            found.append(Picture(png, words + what, title + what))
    return found
