"""Engines follow eager where rounding errors grow, as closely as eager follows itself.

``python -m pytest -m slow tests/engines/test_chaotic.py`` runs the whole matrix.
"""

from __future__ import annotations

import pytest
from thinned import thinned

from .cases import (
    MATRIX_OF_COMPILED,
    MATRIX_OF_GRAM,
    MATRIX_OF_LINEAR,
    SAMPLE,
    chosen,
    slow_from,
    with_loaders,
)
from .chaos import assert_follows_eager, is_chaotic
from .problems import assert_apart

CHAOTIC = [case for case in SAMPLE if is_chaotic(case)]
GRAM = chosen(MATRIX_OF_GRAM, is_chaotic)
LINEAR = chosen(MATRIX_OF_LINEAR, is_chaotic)
COMPILED = chosen(MATRIX_OF_COMPILED, is_chaotic)


@pytest.mark.parametrize("case", slow_from(CHAOTIC, 1), ids=str)
def test_linear_follows_eager(case):
    for one in with_loaders(case):
        assert_follows_eager(one)


@pytest.mark.parametrize("cells", thinned(GRAM.values(), 3), ids=GRAM)
def test_gram_follows_eager(cells):
    for case in cells:
        assert_follows_eager(case)


@pytest.mark.slow
@pytest.mark.parametrize("cells", LINEAR.values(), ids=LINEAR)
def test_the_whole_matrix_of_linear(cells):
    assert_apart(assert_follows_eager, cells)


@pytest.mark.slow
@pytest.mark.parametrize("cells", COMPILED.values(), ids=COMPILED)
def test_the_whole_matrix_of_compiled(cells):
    assert_apart(assert_follows_eager, cells)
