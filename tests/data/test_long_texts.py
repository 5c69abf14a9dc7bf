"""A long text in a file, a name or a setting is read in a time that grows as its length."""

from __future__ import annotations

import importlib
import itertools
import pkgutil
import re
import time

import pytest

import gdframe as gd
from gdframe import errors
from gdframe.data.reading import arff_attribute, dates, header, numerals, sniff

LENGTH, SECONDS = 8_000, 0.1
BEGINNINGS = (
    "", "1", "$1", "(1", "1.", "1e", "2020", "2020-01-01", "2020-01-01 12:00", "12:30", "Jan", "Q1",
    "0-", "${", "@attribute ", "@attribute 'a", '"', "a_", "median", ";",
)  # fmt: skip
REPEATED = (
    " ", "1", "12:30 ", "\\", "a", "A", ".", "-", "'", '"', '" ', "_", ":", "T", "0", ",", "\t",
    "/", "$", "${", "=", ";", "ab_", "..", "1,", "\u00a0", "é",
)  # fmt: skip
ENDINGS = ("", "x")
WHOLE = {"DATE_LIKE", "NUMBER_LIKE", "PLAIN_NUMBER", "RANGE", "TARGET_NAMES"}
"""Names of patterns that are compared with whole texts only."""

TEXTS = [
    beginning + (repeated * LENGTH)[:LENGTH] + ending
    for beginning, repeated, ending in itertools.product(BEGINNINGS, REPEATED, ENDINGS)
]  # fmt: skip


def patterns():
    """Return all compiled patterns of gdframe's modules by name."""
    compiled = {}
    for module in pkgutil.walk_packages(gd.__path__, "gdframe."):
        if "hydra_plugins" in module.name or module.name.endswith("__main__"):
            continue
        for name, value in vars(importlib.import_module(module.name)).items():
            several = value if isinstance(value, dict) else {name: value}
            for key, pattern in several.items():
                if isinstance(pattern, re.Pattern) and isinstance(pattern.pattern, str):
                    compiled[f"{name} {key}"] = pattern
    return compiled


LAYOUT = gd.data.Table(path="a", target=1).layout
FUNCTIONS = {
    "is_value": header.is_value,
    "has_header": lambda text: header.has_header([[text], [text]], LAYOUT),
    "number": lambda text: [form.parse(text) for form in numerals.FORMATS],
    "date": lambda text: [dates.DateFormat(form).parse(text) for form in dates.FORMS],
    "blanks": sniff.split_blanks,
    "arff": lambda text: arff_attribute.DECLARED.match(text),
    "escaped": errors.escaped,
    "override": errors.override_value,
    "shell": errors.shell_word,
    "printable": errors.printable,
}  # fmt: skip


def assert_quick(function):
    for text in TEXTS:
        begun = time.process_time()
        function(text)
        spent = time.process_time() - begun
        assert spent < SECONDS, (text[:30], text[-3:], spent)


@pytest.mark.parametrize("name", sorted(patterns()))
def test_a_pattern_is_tried_in_linear_time(name):
    pattern = patterns()[name]
    assert_quick(pattern.fullmatch)
    if not WHOLE.intersection(name.split()):
        assert_quick(pattern.search)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_a_function_of_text_takes_linear_time(name):
    assert_quick(FUNCTIONS[name])
