"""The declaration of an attribute in an ARFF file: its name, and numbers or labels."""

from __future__ import annotations

import csv
import re
from dataclasses import dataclass

DECLARED = re.compile(r"""@attribute\s+('(?:[^'\\]|\\.)*'|"[^"]*"|\S+)\s+(.*)""", re.IGNORECASE)

NUMERIC = ("numeric", "real", "integer")
"""Types of numbers."""


@dataclass(frozen=True)
class Attribute:
    """An attribute as a file declares it.

    Args:
        name: of the column.
        is_number: whether its type is one of numbers.
        labels: of a nominal attribute in the order of the declaration; empty for another.
    """

    name: str
    is_number: bool
    labels: tuple[str, ...] = ()

    @property
    def zero(self) -> str:
        """The value that a sparse row leaves out: number 0, or the first label."""
        return self.labels[0] if self.labels else "0"


def attribute_in(line: str) -> Attribute | None:
    """Return the attribute that a line declares, or None if it declares none.

    Example:
        >>> attribute_in("@attribute size {1, '2 or 3'}").labels
        ('1', '2 or 3')
    """
    match = DECLARED.match(line)
    if match is None:
        return None
    name, kind = re.sub(r"\\(.)", r"\1", match[1].strip("'\"")), match[2].strip()
    if not kind.startswith("{"):
        return Attribute(name, kind.split()[0].lower() in NUMERIC if kind else False)
    return Attribute(name, is_number=False, labels=tuple(values_in(kind[1 : kind.rfind("}")])))


def values_in(line: str) -> list[str]:
    """Return the values of a line that commas separate, without quotes and blanks around them."""
    quote = "'" if "'" in line else '"'
    reader = csv.reader([line], quotechar=quote, escapechar="\\", skipinitialspace=True)
    return [value.strip() for value in next(reader)]
