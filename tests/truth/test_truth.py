"""Each sentence of verdicts is true: runs drawn at random, judged by NumPy, SciPy and second runs.

``python -m pytest -m slow tests/truth -s`` trains all runs and prints the shares.
"""

from __future__ import annotations

import pytest

from .__main__ import report, score
from .judge import FALSE, RIGHT, SILENT, judge
from .problems import Case
from .trained import Trained

SURE = ("status", "limits", "point", "gap")
"""Kinds of sentences of which none may be false."""

SAMPLE = [
    "data=regression data.rows=60 data.features=3 variant=batch optimizer=gd lr=0.1 epochs=10",
    "data=diabetes variant=minibatch optimizer=gd lr=0.02 epochs=30",
    "data=regression data.rows=60 data.features=3 variant=batch optimizer=gd lr=1e-9 epochs=20",
    "data=classification data.rows=60 data.features=2 data.noise=3.0 variant=batch optimizer=gd "
    "lr=0.5 epochs=60 penalty=l2 penalty.strength=0.01",
    "model=himmelblau optimizer=gd lr=0.03 epochs=50",
    "model=quadratic optimizer=gd lr=0.2 epochs=50",
    "model=rosenbrock optimizer=gd lr=1e-8 epochs=50",
]
"""One run of each kind, for the tests that always run."""


@pytest.mark.parametrize("words", SAMPLE)
def test_each_sentence_of_a_run_is_true(tmp_path, words):
    settings = dict(word.split("=", 1) for word in words.split())
    run = Trained(Case({"epochs": 100, **settings}), tmp_path)
    scores = judge(run)
    assert len(scores) > 2
    assert [item for item in scores if item[1] != RIGHT] == []


@pytest.mark.slow
def test_at_least_97_percent_of_sentences_are_right(tmp_path):
    counts = score(21, 400, tmp_path, verbose=True)
    print(report(counts))
    assert not sum(counts[kind, FALSE] for kind in SURE)
    total = {verdict: sum(n for (kind, v), n in counts.items() if v == verdict and kind != "end")
             for verdict in (RIGHT, SILENT, FALSE)}  # fmt: skip
    assert total[RIGHT] >= 0.97 * sum(total.values())
