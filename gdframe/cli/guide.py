"""The guide in the terminal: the topics, or one page. Imports no torch."""

from __future__ import annotations

import re
from pathlib import Path

from rich.console import Console
from rich.markdown import Markdown

from gdframe.errors import unknown

PAGES = Path(__file__).parents[1] / "guide"


def topics() -> dict[str, str]:
    """Return what each page is about, by topic: the first line below its title."""
    return {path.stem: _subject(path) for path in sorted(PAGES.glob("*.md"))}


def _subject(path: Path) -> str:
    lines = (line.strip() for line in path.read_text(encoding="utf-8").splitlines())
    return next((line for line in lines if line and not line.startswith("#")), "")


def _page_of(section: str) -> str | None:
    """Return the page with a heading of this text, or that has these words, if any."""
    for path in sorted(PAGES.glob("*.md")):
        headings = re.findall(r"^##+ (.*)$", path.read_text(encoding="utf-8"), re.MULTILINE)
        match = next((text for text in headings if section.lower() in text.lower()), None)
        if match is not None:
            return f"'{path.stem}', with the section \"{match}\""
    return None


def show(topic: str | None, console: Console) -> None:
    """Print a page, or the topics if none is named.

    Args:
        topic: the name of a page.
        console: where to print.

    Raises:
        UserError: there is no such page; the message suggests the closest topic.
    """
    subjects = topics()
    if topic is None:
        lines = [f"{name:<14}{subject}" for name, subject in subjects.items()]
        lines += ["", "python -m gdframe guide TOPIC shows a page"]
        console.print("\n".join(lines), highlight=False, soft_wrap=True)
        return
    if topic not in subjects:
        is_page = any(topic in name or name in topic for name in subjects)
        section = None if is_page else _page_of(topic)
        raise unknown(f"'{topic}'", "page of the guide", topic, subjects, suggestion=section)
    text = (PAGES / f"{topic}.md").read_text(encoding="utf-8")
    console.print(Markdown(text, code_theme="ansi_dark", hyperlinks=False))
