"""Years as names of columns, and periods such as quarters as dates."""

from __future__ import annotations

from datetime import UTC, datetime
from itertools import pairwise

import numpy as np
import pytest

import gdframe as gd
from gdframe.data.calendar_parts import varying_parts
from gdframe.data.reading.dates import date_format
from gdframe.data.reading.header import has_header
from gdframe.data.reading.layout import Layout

LAYOUT = Layout(separator=",", header=None)


def rows_of(rng, texts, width, count):
    """Return rows of a text each and whole numbers."""
    return [[text, *map(str, rng.integers(0, 3000, width))] for text, _ in zip(texts, range(count))]


@pytest.mark.parametrize("seed", range(20))
def test_years_beside_a_text_are_names(seed):
    rng = np.random.default_rng(seed)
    years = np.sort(rng.choice(np.arange(1850, 2030), rng.integers(5, 40), replace=False))
    countries = [f"country {i}" for i in range(50)]
    body = rows_of(rng, countries, len(years), 50)
    for corner in ("Country", "", "id"):
        header = [corner, *map(str, years)]
        assert has_header([header, *body], LAYOUT)
    ids = [[str(i), *row[1:]] for i, row in enumerate(body)]
    assert has_header([["id", *map(str, years)], *ids], LAYOUT)


@pytest.mark.parametrize("seed", range(20))
def test_a_first_row_of_ascending_numbers_is_data(seed):
    """Classes occur again below, and other rows ascend by chance."""
    rng = np.random.default_rng(seed)
    body = rows_of(rng, rng.choice(["a", "b", "c"], 60), 3, 60)
    first = [body[1][0], "1", "2", "3"]
    assert not has_header([first, *body], LAYOUT)
    assert not has_header([["10", "20", "30"], *(row[1:] for row in body)], LAYOUT)
    assert not has_header([["", "10", "20", "30"], *body[:30], ["", "1", "0", "5"]], LAYOUT)


@pytest.mark.parametrize("seed", range(20))
def test_ranges_above_numbers_are_names_beside_a_text(seed):
    """Some ranges look like dates."""
    rng = np.random.default_rng(seed)
    limits = np.sort(rng.choice(30, 6, replace=False)).tolist()
    ranges = [f"{a}-{b}" for a, b in pairwise(limits)]
    body = [[t, *(f"{v:.2f}" for v in rng.random(6))] for t in ("N", "NE", "E", "SE", "S", "W")]
    assert has_header([["r", *ranges, f"{limits[-1]}+"], *body], LAYOUT)
    dates = [[row[0], *(f"{d}-{m}" for d, m in rng.integers(1, 12, (6, 2)))] for row in body]
    assert not has_header([[body[1][0], *ranges, "3-4"], *dates], LAYOUT)
    odd = [body[1][0], ranges[0], *body[0][2:]]  # one odd cell among numbers
    assert not has_header([odd, *body], LAYOUT)


def test_a_wide_table_of_years_trains(tmp_path):
    rng = np.random.default_rng(0)
    lines = [f"{i},{','.join(f'{v:.3f}' for v in rng.normal(size=4))}" for i in range(40)]
    (tmp_path / "wide.csv").write_text("\n".join(["code,1990,2000,2010,2015", *lines]))
    words = ("data=table", f"data.path={tmp_path / 'wide.csv'}", "data.target='2015'", "epochs=2")
    result = gd.train(*words, folder=tmp_path / "run")
    assert result.data["rows"] == 40
    assert [column["name"] for column in result.data["columns"]][-3:] == ["1990", "2000", "2010"]


@pytest.mark.parametrize(
    ("text", "month", "day"),
    [
        ("2011 Q1", 1, 1), ("2011Q4", 10, 1), ("2011-Q2", 4, 1), ("Q3 2011", 7, 1),
        ("q3/2011", 7, 1), ("2011M02", 2, 1), ("2011 M12", 12, 1), ("2011 W01", 1, 3),
        ("2011-W10", 3, 7), ("2011 Feb", 2, 1), ("2011 March", 3, 1), ("2011-05", 5, 1),
    ],
)  # fmt: skip
def test_periods_are_dates(text, month, day):
    _, seconds = date_format([text])
    assert seconds[text] == datetime(2011, month, day, tzinfo=UTC).timestamp()


@pytest.mark.parametrize("text", ["2011 Q5", "2011W54", "Q1", "2011 M13", "2011 Foo", "X 2011"])
def test_texts_that_only_look_like_periods_are_none(text):
    assert date_format([text]) is None


@pytest.mark.parametrize(("unit", "parts"), [
    ("M", ("month", "days")), ("Y", ("days",)), ("W", ("month", "days")),
    ("D", ("month", "weekday", "days")),
])  # fmt: skip
def test_dates_that_begin_months_have_no_weekday(unit, parts):
    """Weeks begin on one weekday; the days of a few years have all of them."""
    first = np.datetime64("2000-01-01" if unit != "W" else "2000-01-03", unit)
    dates = (first + np.arange(24 if unit in "MY" else 900 if unit == "D" else 120)).astype("M8[s]")
    seconds = np.append(dates.astype(float), np.nan)
    assert tuple(part for part in varying_parts(seconds) if part != "year") == parts
