"""``coefficients.csv``: the coefficients of a linear model, in the units of the data."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass

from gdframe.errors import UserError, first_line, in_words
from gdframe.runs.spreadsheet import cell

COEFFICIENTS = "coefficients.csv"

HEAD = ["output", "feature", "coefficient", "standardized"]
"""First line of the table."""

INTERCEPT = "intercept"

SHOWN = 10
"""Most coefficients in the table of a run."""


@dataclass(frozen=True)
class Coefficient:
    """The effect of a feature on an output of a linear model.

    Args:
        output: the class that the output is for; of two classes the second; empty for numbers.
        feature: its name; ``intercept`` for the output where all features are zero.
        value: change of the output for a change of the feature by 1, in the units of the data.
        standardized: change for one standard deviation of the feature; of the intercept, the output
            where all features are at their means.
    """

    output: str
    feature: str
    value: float
    standardized: float


def to_csv(coefficients: Sequence[Coefficient]) -> str:
    """Return the table as text, a row for each coefficient."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(HEAD)
    for c in coefficients:
        writer.writerow([cell(c.output), cell(c.feature), c.value, c.standardized])
    return text.getvalue()


def from_csv(text: str) -> list[Coefficient]:
    """Return the coefficients of a table that ``to_csv`` wrote.

    Raises:
        UserError: the text is no such table.
    """
    reader = csv.reader(io.StringIO(text))
    try:
        head, *lines = list(reader)
        coefficients = [Coefficient(o, f, float(v), float(s)) for o, f, v, s in lines]
    except (csv.Error, ValueError) as error:
        raise UserError(f"{COEFFICIENTS}: line {reader.line_num:,}: {first_line(error)}") from error
    if head != HEAD:
        raise UserError(f"{COEFFICIENTS}: its first line is not {','.join(HEAD)}")
    return coefficients


def largest(coefficients: Sequence[Coefficient]) -> str:
    """Return the coefficients of the features with the largest effects, for one line.

    Example:
        >>> largest([Coefficient("", "age", 2.0, 26.0), Coefficient("", "intercept", 5.0, 9.0)])
        'age 2, intercept 5, in the units of the data'
    """
    features = [c for c in coefficients if c.feature != INTERCEPT]
    ordered = sorted(features, key=lambda c: -abs(c.standardized))
    shown = ordered[:SHOWN]
    if len(features) == len(shown):
        shown += [c for c in coefficients if c.feature == INTERCEPT]
    has_several = len({c.output for c in coefficients}) > 1
    labels = [f" ({c.output})" if has_several else "" for c in shown]
    terms = [f"{c.feature}{of} {c.value:.4g}" for c, of in zip(shown, labels, strict=True)]
    text = in_words(terms)
    if len(features) > SHOWN:
        return f"{text}: the {SHOWN} largest effects of {len(features):,}, see {COEFFICIENTS}"
    return f"{text}, in the units of the data"
