"""One database for all tests of a module: opening one takes longer than reading a small table."""

from __future__ import annotations

from contextlib import contextmanager

import pytest

from gdframe.data.reading.database import database


@pytest.fixture(scope="module")
def connection():
    with database() as opened:
        yield opened


@pytest.fixture
def shared_database(connection, monkeypatch):
    """Parse with one database; ``tests/data/test_query.py`` tests what keeps each apart."""

    @contextmanager
    def shared(files=None):
        yield connection

    for module in ("parsers", "columnar"):
        monkeypatch.setattr(f"gdframe.data.reading.{module}.database", shared)
