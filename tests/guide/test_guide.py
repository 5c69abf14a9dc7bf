"""Every example of README.md and of the guide runs as it is printed.

The Python blocks of a page are one script. The commands of a ``sh`` block run in turn, in a folder
with ``houses.csv``, a run in ``outputs/DATE/TIME``, a sweep in ``outputs/sweeps/DATE/TIME`` and the
files that the page shows, which are Python blocks that begin with ``# NAME.py``.

``<!-- slow -->`` before a block leaves it to ``pytest -m slow tests/guide``, and so is every other
block of commands of the guide. ``# exit code N`` ends a command whose exit code is not 0.
"""

from __future__ import annotations

import re
import shlex
import shutil
from dataclasses import dataclass
from pathlib import Path

import command
import numpy as np
import pytest

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "gdframe" / "guide").glob("*.md"))]

SKIPPED = {
    "python3 -m venv": "installs gdframe",
    "pip install": "installs an extra",
    "tensorboard": "opens a server",
    "python tests/benchmarks": "takes a quarter of an hour on a quiet machine",
    "python tests/sweeps/calibration.py": "takes half an hour",
}
"""Beginnings of the commands that are not executed, and why."""


@dataclass(frozen=True)
class Block:
    """A fenced block of a page."""

    page: str
    line: int
    language: str
    text: str
    is_slow: bool

    @property
    def file(self) -> str | None:
        """The file that a Python block shows, if any."""
        named = re.match(r"# (\w+\.py)\n", self.text)
        return named[1] if named and self.language == "python" else None

    def commands(self) -> list[str]:
        """Return the commands that are executed."""
        lines = self.text.splitlines()
        return [line for line in lines if not line.startswith(tuple(SKIPPED))]


def blocks_of(page: Path) -> list[Block]:
    text = page.read_text()
    pattern = r"^(<!-- slow -->\n)?```(\w+)\n(.*?)^```$"
    return [
        Block(page.stem, text[: m.start(2)].count("\n") + 1, m[2], m[3], m[1] is not None)
        for m in re.finditer(pattern, text, flags=re.MULTILINE | re.DOTALL)
    ]


BLOCKS = [block for page in PAGES for block in blocks_of(page)]
COMMANDS = [block for block in BLOCKS if block.language == "sh" and block.commands()]
SHELL = [
    pytest.param(
        block,
        id=f"{block.page}-{block.line}",
        marks=[pytest.mark.slow] * (block.is_slow or (block.page != "README" and place % 2 == 1)),
    )
    for place, block in enumerate(COMMANDS)
]


@pytest.fixture(scope="module")
def example(tmp_path_factory) -> Path:
    """Return a folder with all that commands of the guide name."""
    folder: Path = tmp_path_factory.mktemp("guide") / "example"
    folder.mkdir()
    random = np.random.default_rng(0)
    rows = ["size,rooms,kind,price"]
    for size, rooms, house in zip(
        random.uniform(40, 200, 60), random.integers(1, 7, 60), random.integers(0, 2, 60)
    ):
        price = 3 * size + 10 * rooms + 50 * house + random.normal(0, 10)
        rows.append(f"{size:.1f},{rooms},{('flat', 'house')[house]},{price:.1f}")
    (folder / "houses.csv").write_text("\n".join(rows) + "\n")
    table = ["data=table", "data.path=houses.csv", "data.target=price", "lr=0.1", "epochs=10"]
    run = [*table, "engine=eager", "hydra.run.dir=outputs/DATE/TIME"]
    sweep = ["variant=batch", "epochs=5", "lr=0.01,0.1", "seed=range(2)"]
    for arguments in (run, ["-m", *sweep, "sweep.dir=outputs/sweeps/DATE/TIME"]):
        assert command.call(arguments, folder, {}) == 0, command.output(folder)
    return folder


@pytest.fixture
def folder(example, tmp_path) -> Path:
    return shutil.copytree(example, tmp_path / "work")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_the_python_of_a_page_runs(page, folder):
    blocks = [block for block in blocks_of(page) if block.language == "python"]
    assert not any(block.is_slow for block in blocks)
    script = folder / f"{page.stem}_page.py"
    script.write_text("\n".join(block.text for block in blocks))
    if blocks:
        assert command.call_script(script, folder) == 0, command.output(folder)[1]


@pytest.mark.parametrize("block", SHELL)
def test_the_commands_of_a_block_run(block, folder, gdframe, monkeypatch):
    if block.is_slow:
        monkeypatch.setattr(command, "LIMIT", 900.0)
    for other in BLOCKS:
        if other.page == block.page and other.file is not None:
            (folder / other.file).write_text(other.text)
    for line in block.commands():
        words = shlex.split(line, comments=True)
        start = next(index for index, word in enumerate(words) if "=" not in word)
        environment = dict(word.split("=", 1) for word in words[:start])
        assert words[start : start + 3] == ["python", "-m", "gdframe"], line
        if "mlflow" in line:
            pytest.importorskip("mlflow")
        expected = re.search(r"# exit code (\d+)$", line)
        done = gdframe(*words[start + 3 :], cwd=folder, **environment)
        assert done.code == int(expected[1] if expected else 0), f"{line}\n{done.out}{done.err}"


def test_every_skipped_command_is_one_of_a_page():
    shown = [line for block in BLOCKS if block.language == "sh" for line in block.text.splitlines()]
    assert all(any(line.startswith(beginning) for line in shown) for beginning in SKIPPED)


def test_every_block_has_a_language_that_is_known():
    assert {block.language for block in BLOCKS} == {"python", "sh", "text"}
    fences = sum(page.read_text().count("\n```") for page in PAGES)
    assert fences == 2 * len(BLOCKS)


def test_the_front_page_is_short_and_keeps_its_test_command():
    text = PAGES[0].read_text()
    assert len(text.splitlines()) <= 180
    assert len(re.findall(r"^python3 -m venv .*pytest$", text, flags=re.MULTILINE)) == 1


def test_the_front_page_lists_every_page():
    listed = re.findall(
        r"^\| \[(\w+)\]\(gdframe/guide/\1\.md\) \|", PAGES[0].read_text(), re.MULTILINE
    )
    assert sorted(listed) == [page.stem for page in PAGES[1:]]


@pytest.mark.parametrize("page", PAGES[1:], ids=lambda page: page.stem)
def test_a_page_opens_with_its_title_and_one_line(page):
    title, blank, subject, after, *_ = page.read_text().splitlines()
    assert title.startswith("# ")
    assert (blank, after) == ("", "")
    assert len(subject) <= 100
    assert subject.endswith(".")


def anchors(page: Path) -> set[str]:
    """Return the headings of a page as GitHub links to them."""
    headings = re.findall(r"^#+ (.*)$", page.read_text(), flags=re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", [*PAGES, ROOT / "CONTRIBUTING.md"], ids=lambda page: page.stem)
def test_links_lead_somewhere(page):
    for link in re.findall(r"\]\(([^)\s]+)\)", page.read_text()):
        name, _, anchor = link.partition("#")
        target = (page.parent / name).resolve() if name else page
        assert target.exists(), link
        assert not anchor or anchor in anchors(target), link
