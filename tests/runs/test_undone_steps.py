"""What a return to better parameters undoes is executed, counted and drawn once after a resume."""

from __future__ import annotations

import json

import pytest

WORDS = (
    "data=regression", "data.rows=40", "variant=sgd", "engine=eager", "lr=0.02", "epochs=40",
    "stopping=early", "stopping.early.patience=3", "stopping.tolerance=null", "checkpoint.every=2",
    "hydra.run.dir=r",
)  # fmt: skip


def result(folder):
    return json.loads((folder / "r" / "result.json").read_text())


def test_a_resume_of_an_early_end_counts_its_steps_once(gdframe, tmp_path):
    assert gdframe(*WORDS).code == 0
    whole = result(tmp_path)
    assert whole["gradient_evaluations"] > whole["steps"]
    for _ in range(2):  # as if it had been killed before it wrote its result, and again
        (tmp_path / "r" / "result.json").unlink()
        done = gdframe("resume", "r")
        assert done.code == 0, done.err
        again = result(tmp_path)
        for name in ("gradient_evaluations", "steps", "objective", "reason"):
            assert again[name] == whole[name], name
    assert gdframe("resume", "r").code == 0
    assert result(tmp_path)["gradient_evaluations"] == whole["gradient_evaluations"]


@pytest.mark.parametrize("words", [
    ("lr=1e30", "variant=batch", "epochs=3"),
    ("lr=10.0", "variant=batch", "epochs=9", "stopping=early", "stopping.divergence_factor=1e300",
     "stopping.tolerance=null", "stopping.early.patience=2"),
])  # fmt: skip
def test_a_run_that_ends_at_its_start_lacks_no_points(gdframe, tmp_path, words):
    gdframe("data=regression", "data.rows=40", *words, "hydra.run.dir=r")
    before = result(tmp_path)
    assert before["steps"] == 0
    done = gdframe("resume", "r")
    assert "lack" not in done.err
    assert result(tmp_path)["gradient_evaluations"] == before["gradient_evaluations"]
