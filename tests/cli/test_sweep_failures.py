"""Components of users that raise in a sweep: their runs fail, and the others continue."""

from __future__ import annotations

import pytest
from command import summary_rows
from thinned import thinned


def test_a_failed_run_fails_the_sweep_and_not_the_other_runs(gdframe, bad_rule):
    done = gdframe("-m", f"plugins=[{bad_rule}]", "optimizer=bad,gd", "seed=0,1", "epochs=1")
    assert done.code == 1
    statuses = [row["status"] for row in summary_rows(done.folder)]
    assert statuses == ["failed", "failed", "max_epochs", "max_epochs"]
    assert "run 0 (" in done.out
    assert "out of luck" in done.out
    assert "RuntimeError: out of luck" in (done.runs[0] / "gdframe.log").read_text()


ODD = """
import torch
from gdframe import OPTIMIZERS, GD

@OPTIMIZERS.register("odd")
class Odd(GD):
    def __init__(self, params, lr, *, gain: float = 1.0):
        if gain > 5: raise ValueError("gain is above 5")
        super().__init__(params, lr)
        self.defaults["gain"] = gain
        self.param_groups[0]["gain"] = gain

    @staticmethod
    def init_state(params):
        raise RuntimeError("no state today")
"""


def test_a_component_that_raises_in_its_constructor_fails_only_its_runs(gdframe, tmp_path):
    (tmp_path / "odd.py").write_text(ODD)
    done = gdframe("-m", "plugins=[odd.py]", "optimizer=odd,gd", "seed=0,1", "epochs=1")
    assert done.code == 1, done.err
    statuses = [row["status"] for row in summary_rows(done.folder)]
    assert statuses == ["failed", "failed", "max_epochs", "max_epochs"]
    assert "no state today" in summary_rows(done.folder)[0]["reason"]
    refused = gdframe("-m", "plugins=[odd.py]", "optimizer=odd", "optimizer.gain=1,6")
    assert refused.code == 2
    assert "optimizer=odd optimizer.gain=6): optimizer=odd: gain is above 5" in refused.err


PICKY = """
import torch
from gdframe import GD, OPTIMIZERS, PENALTIES, L2

@OPTIMIZERS.register("picky")
class Picky(GD):
    def __init__(self, params, lr):
        super().__init__(params, lr)

    @staticmethod
    def update(params, grads, state, hyper):
        if hyper["lr"] > 0.5:
            raise KeyError("that rate")
        return [p - hyper["lr"] * g for p, g in zip(params, grads)], state

@PENALTIES.register("remote")
class Remote(L2):
    def __init__(self, *, strength: float = 0.0):
        super().__init__(strength=strength)

    def value(self, params):
        if self.strength > 0.5:
            raise ConnectionError("server unreachable")
        return super().value(params)
"""


@pytest.mark.parametrize(
    ("overrides", "last", "reason"),
    thinned([(["optimizer=picky", "lr=0.01,0.02,0.6"], "lr=0.6", "KeyError: 'that rate'"),
     (["penalty=remote", "penalty.strength=0.1,0.2,0.9"], "penalty.strength=0.9",
      "ConnectionError: server unreachable")], 2),
)  # fmt: skip
def test_a_component_that_raises_in_its_first_step_fails_only_its_runs(
    gdframe, tmp_path, overrides, last, reason
):
    """An OSError of a component is not a full disk, and diagnostics do not raise it again."""
    (tmp_path / "picky.py").write_text(PICKY)
    done = gdframe("-m", "plugins=[picky.py]", *overrides, "seed=0,1", "epochs=2", "engine=eager")
    assert done.code == 1, done.err
    rows = summary_rows(done.folder)
    assert [row["status"] for row in rows] == ["max_epochs"] * 4 + ["failed"] * 2
    assert rows[4]["reason"] == reason
    assert "Traceback" not in done.err
    single = gdframe("plugins=[picky.py]", overrides[0], last, "engine=eager", "epochs=2")
    assert single.code == 1
    assert reason in single.err
