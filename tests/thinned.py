"""Samples of long lists of cases: the test command runs some, ``-m slow`` the others."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pytest


def thinned(cases: Iterable[Any], every: int) -> list[Any]:
    """Return all cases; all but one of ``every`` are marked slow.

    Args:
        cases: values of one argument, or tuples of the values of several.
        every: at least 2.
    """
    return [
        pytest.param(
            *(case if isinstance(case, tuple) else (case,)),
            marks=() if place % every == 0 else pytest.mark.slow,
        )
        for place, case in enumerate(cases)
    ]
