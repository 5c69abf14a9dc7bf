"""Tables as people have them are read as what they are, and what was decided is told."""

from __future__ import annotations

import numpy as np
import pytest
from tables import CASES

import gdframe as gd
from gdframe.data.features import WORDS

pytestmark = pytest.mark.usefixtures("shared_database")


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_a_table_is_read_as_what_it_is(case, tmp_path):
    frame = gd.Table(path=str(case.write(tmp_path)), validation=0.0, **case.settings).read()
    told = "\n".join(frame.notes)
    assert {c.name: c.kind for c in frame.columns} == dict(case.features), told
    assert [c.name for c in frame.columns] == list(case.features)
    assert frame.rows == len(case.target), told
    if frame.classes is not None:
        assert [frame.classes[index] for index in frame.target] == list(case.target)
        assert [type(label) for label in frame.classes] == [
            type(label) for label in sorted(set(case.target))
        ]
    else:
        np.testing.assert_array_equal(frame.target, np.array(case.target, dtype=float))
    if case.first is not None:
        np.testing.assert_array_equal(frame.take(np.array([0]))[0], case.first)
    for note in case.notes:
        assert note in told


def test_there_are_many_of_them():
    assert len(CASES) >= 60
    assert len({case.name for case in CASES}) == len(CASES)


@pytest.mark.parametrize("case", CASES[::9], ids=lambda case: case.name)
def test_a_table_trains(case, tmp_path):
    data = gd.Table(path=str(case.write(tmp_path)), validation=0.0, **case.settings).load()
    assert data.train.features.isfinite().all()
    assert data.facts["rows"] == len(case.target)
    assert data.facts["target"]


def test_hashed_words_are_the_same_for_the_same_words(tmp_path):
    case = next(case for case in CASES if case.name == "hashed.csv")
    frame = gd.Table(path=str(case.write(tmp_path)), **case.settings).read()
    words = frame.take(np.arange(30))[:, :WORDS]
    assert (words.sum(axis=1) == 4).all()  # name, its number, of, many
    assert (words.min(axis=0) == 1).sum() == 3
