"""``python -m gdframe guide``: topics, pages, and topics that do not exist."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import gdframe as gd
from gdframe.cli.guide import topics

PAGES = sorted((Path(gd.__file__).parent / "guide").glob("*.md"))


def test_topics_are_listed_with_one_line_each(gdframe):
    done = gdframe("guide")
    assert done.code == 0, done.err
    assert list(topics()) == [page.stem for page in PAGES]
    lines = [line.split(maxsplit=1) for line in done.out.splitlines()]
    assert lines[: len(PAGES)] == [list(item) for item in topics().items()]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_a_page_is_shown(gdframe, page):
    done = gdframe("guide", page.stem)
    assert done.code == 0, done.err
    title = page.read_text().splitlines()[0].removeprefix("# ")
    assert title in done.out
    assert "```" not in done.out
    assert "<!--" not in done.out


def test_an_unknown_topic_is_an_error_with_a_suggestion(gdframe):
    done = gdframe("guide", "sweep")
    assert done.code == 2
    assert "no such page of the guide; did you mean 'sweeps'? choose from data, " in done.err


def test_it_is_shown_without_torch():
    code = (
        "import sys; from gdframe.cli.main import main; main(['guide', 'data']); "
        "print([m for m in ('torch', 'numpy', 'hydra') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout.splitlines()[-1] == "[]", done.stderr
