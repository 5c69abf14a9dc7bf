"""Tables composed from a grammar come in with the values that were written."""

from __future__ import annotations

import gzip

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import gdframe as gd

pytestmark = pytest.mark.usefixtures("shared_database")

SEPARATORS = [",", ";", "\t", "|", " "]
ENDS = ["\n", "\r\n", "\r", "\r\r\n"]
ENCODINGS = ["utf-8", "utf-8-sig", "utf-16", "cp1252"]
NULLS = ["", "NA", "?", "null", "n/a"]
FORMATS = {
    "plain": lambda x: f"{x:.2f}",
    "exponent": lambda x: f"{x:.10e}",
    "grouped": lambda x: f"{x:,.2f}",
    "money": lambda x: f"${x:,.2f}" if x >= 0 else f"-${-x:,.2f}",
    "share": lambda x: f"{x:.2f}%",
    "comma": lambda x: f"{x:.2f}".replace(".", ","),
    "german": lambda x: f"{x:,.2f}".translate(str.maketrans(",.", ".,")),
}


def cell(text: str, separator: str, quoted: bool) -> str:
    special = separator in text or '"' in text or (separator == " " and (not text or " " in text))
    return '"' + text.replace('"', '""') + '"' if quoted or special else text


@st.composite
def tables(draw):
    """Draw the bytes of a table, the numbers of its columns and its categories."""
    separator = draw(st.sampled_from(SEPARATORS))
    rows = draw(st.integers(4, 12))
    form = draw(st.sampled_from(list(FORMATS)))
    number = st.integers(-(10**7), 10**7).map(lambda n: n / 100)
    x = draw(st.lists(number, min_size=rows, max_size=rows, unique=True))
    y = draw(st.lists(number, min_size=rows, max_size=rows, unique=True))
    holes = draw(st.sets(st.integers(0, rows - 1), max_size=2))
    null = draw(st.sampled_from(NULLS))
    c = draw(st.lists(st.sampled_from(["ä", "b c", 'q"', "z"]), min_size=rows, max_size=rows))
    c[:2] = ["b c", "z"]
    texts = [null if i in holes else FORMATS[form](x[i]) for i in range(rows)]
    has_header = draw(st.booleans())
    quoted = draw(st.booleans())
    lines = [("wert", "art", "ziel")] if has_header else []
    lines += [(texts[i], c[i], f"{y[i]:.2f}") for i in range(rows)]
    text = "".join(
        separator.join(cell(v, separator, quoted) for v in line) + "\n" for line in lines
    )
    content = text.replace("\n", draw(st.sampled_from(ENDS))).encode(
        draw(st.sampled_from(ENCODINGS))
    )
    if draw(st.booleans()):
        content = gzip.compress(content)
    expected = [np.nan if i in holes else round(x[i], 2) for i in range(rows)]
    return content, expected, c, [round(value, 2) for value in y], has_header


@settings(
    max_examples=60, deadline=None, derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)  # fmt: skip
@given(table=tables())
def test_the_values_that_were_written_come_in(table, tmp_path):
    check(table, tmp_path)


@pytest.mark.slow
@settings(
    max_examples=3000, deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)  # fmt: skip
@given(table=tables())
def test_the_values_of_many_tables_come_in(table, tmp_path):
    check(table, tmp_path)


def check(table, folder):
    content, x, c, y, has_header = table
    path = folder / "table"
    path.write_bytes(content)
    source = gd.Table(path=str(path), target=-1, features=[1, 2], task="regression")
    frame = source.read()
    told = "\n".join(frame.notes)
    assert [column.name for column in frame.columns] == (
        ["wert", "art"] if has_header else ["c1", "c2"]
    ), told
    np.testing.assert_allclose(frame.target, y, rtol=1e-12, err_msg=told)
    np.testing.assert_allclose(frame.values[0], x, rtol=1e-12, err_msg=told)
    texts = [frame.columns[1].categories[index] for index in frame.values[1]]
    assert texts == c, told
