"""Columns of text: codes, categories and refusals equal their definitions in plain Python."""

from __future__ import annotations

import re

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gdframe.data.frame import Column
from gdframe.data.reader import (
    MOSTLY_NUMBERS,
    describe_column,
    feature_values,
    plain,
    refuse_stray_text,
)
from gdframe.data.target import read_target
from gdframe.errors import UserError

TYPES = [pa.string(), pa.large_string(), pa.string_view()]
TEXTS = st.sampled_from(
    ["1", "2.5", "nan", "1e3", " 4", "1_0", "", "a", "b", "é", "ä, b", "B", "x"]
)
COLUMNS = st.lists(st.none() | TEXTS, min_size=1, max_size=30)


def column_of(values, kind):
    return plain(pa.chunked_array([pa.array(values, kind)]))


def is_numeral(text):
    try:
        float(text)
    except ValueError:
        return False
    return True


@given(values=COLUMNS, kind=st.sampled_from(TYPES))
def test_text_among_numbers_is_refused_by_its_definition(values, kind):
    present = [value for value in values if value is not None]
    bad = [i for i, v in enumerate(values) if v is not None and not is_numeral(v)]
    if 0 < len(bad) < (1 - MOSTLY_NUMBERS) * len(present):
        rows = ", ".join(str(row + 1) for row in bad[:3])
        shown = ", ".join(repr(values[row]) for row in bad[:3])
        words = f"text in {len(bad)} of {len(present)} rows .*: {re.escape(shown)}, .* {rows} \\("
        with pytest.raises(UserError, match=words):
            refuse_stray_text("x", column_of(values, kind))
    else:
        refuse_stray_text("x", column_of(values, kind))


@given(values=COLUMNS, kind=st.sampled_from(TYPES), data=st.data())
def test_codes_of_categories_are_those_of_their_definition(values, kind, data):
    known = data.draw(st.lists(TEXTS, unique=True))
    column, array = Column("x", "category", tuple(known)), column_of(values, kind)
    bad = [i for i, value in enumerate(values) if value is not None and value not in known]
    if bad:
        words = re.escape(f"category {values[bad[0]]!r}, which the training data does not have")
        with pytest.raises(UserError, match=f"{words}, first in rows? {bad[0] + 1}\\b"):
            feature_values(column, array)
    else:
        expected = [-1 if value is None else known.index(value) for value in values]
        codes = feature_values(column, array)
        assert codes.tolist() == expected
        assert codes.dtype == np.int32


@given(values=COLUMNS, kind=st.sampled_from(TYPES))
def test_categories_are_the_sorted_texts(values, kind):
    array = column_of([*values, "a", "b", "x", "B"] + ["c"] * len(values), kind)
    expected = sorted({value for value in array.to_pylist() if value is not None})
    assert describe_column("x", array, 100).categories == tuple(expected)


@given(values=st.lists(TEXTS, min_size=1, max_size=30), kind=st.sampled_from(TYPES))
def test_classes_of_text_are_the_sorted_texts(values, kind):
    values = [*values, "a", "b", "x"] + ["c"] * len(values)
    indices, classes = read_target("y", column_of(values, kind), "auto")
    assert classes == tuple(sorted(set(values)))
    assert [classes[index] for index in indices] == values
    assert indices.dtype == np.int64
