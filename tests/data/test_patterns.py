"""Patterns of file names find what Python's ``glob`` finds, and are not compared without end."""

from __future__ import annotations

import glob
import os
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gdframe.data.reading import named_files
from gdframe.data.reading.named_files import files_of
from gdframe.errors import UserError

NAMES = ["a.csv", "b.csv", "ab.txt", ".hidden.csv", "[x].csv", "a"]
FOLDERS = ["d", "e.d", ".f", "d/g"]
parts = st.sampled_from(
    ["*", "?", "[ab]*", "*.csv", "**", ".*", "[[]x*", "d", "a*", "[!a]*", "e.d"]
)


@pytest.fixture(scope="module")
def tree(tmp_path_factory):
    root = tmp_path_factory.mktemp("tree")
    for folder in ("", *FOLDERS):
        (root / folder).mkdir(parents=True, exist_ok=True)
        for name in NAMES:
            (root / folder / name).write_text("x,y\n1,2\n")
    (root / "d" / "link").symlink_to(root / "e.d")
    return root


@settings(max_examples=200, deadline=None)
@given(st.lists(parts, min_size=1, max_size=3), st.booleans())
def test_a_pattern_finds_what_glob_finds(tree, words, is_relative):
    pattern = os.path.join(*words) if is_relative else str(tree.joinpath(*words))  # noqa: PTH118
    before = Path.cwd()
    os.chdir(tree)
    try:
        expected = sorted(p for p in map(Path, glob.glob(pattern)) if p.is_file())  # noqa: PTH207
        if not glob.has_magic(pattern) or Path(pattern).exists():
            return
        if expected:
            assert files_of(pattern) == expected
        else:
            with pytest.raises(UserError, match="no file fits"):
                files_of(pattern)
    finally:
        os.chdir(before)


def test_a_pattern_that_loops_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(named_files, "MOST_NAMES", 1000)
    for number in range(10):
        (tmp_path / str(number)).symlink_to(tmp_path)
    with pytest.raises(UserError, match="more than 1,000 files and folders would be compared"):
        files_of(tmp_path.joinpath(*"*" * 9))


@pytest.mark.parametrize("encoding", [
    "punycode", "idna", "unicode-escape", "Raw_Unicode_Escape", "undefined", "zlib", "rot13",
    "base64", "none-such",
])  # fmt: skip
def test_codecs_that_are_not_of_files_are_refused(tmp_path, encoding):
    from gdframe.data.reading.text_file import text_file

    (tmp_path / "a.csv").write_text("x,y\n1,2\n")
    with (
        pytest.raises(UserError, match="expected an encoding"),
        text_file(tmp_path / "a.csv", encoding),
    ):
        pass
