"""What every refusal of the command line keeps to."""

from __future__ import annotations


def assert_refused(done, *words):
    assert done.code == 2, done.err
    assert "Traceback" not in done.err
    for word in words:
        assert word in done.err
