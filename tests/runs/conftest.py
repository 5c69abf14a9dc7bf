"""Fixtures of tests that damage, forbid or forge folders."""

from __future__ import annotations

from pathlib import Path

import pytest
from scenarios import store


@pytest.fixture(scope="session")
def stored(tmp_path_factory) -> Path:
    """Return a folder with a run, a sweep, rows to predict, and files outside of both."""
    folder: Path = tmp_path_factory.mktemp("stored") / "cwd"
    folder.mkdir()
    store(folder)
    return folder
