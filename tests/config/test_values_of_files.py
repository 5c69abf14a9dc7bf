"""Values that a plugin's file sets when it is imported: equal in each process, or warned of."""

from __future__ import annotations

import json

import pytest

FILE = """
import numpy as np
import torch

import gdframe as gd
import {helper}

W, PHASES = torch.randn(10, 16) / 3, np.random.rand(16)
UNSEEDED = np.random.default_rng().normal(size=16)


@gd.MODELS.register("features")
class Features(gd.LinearModel):
    KEPT = torch.rand(16)
    def __init__(self, features: int, outputs: int = 1):
        super().__init__(16, outputs, bias=True)

    def design(self, x, more=torch.rand(16)):
        shifts = torch.from_numpy(PHASES).to(x) + more.to(x) + self.KEPT.to(x)
        return torch.cos(x @ W.to(x) + shifts)


@gd.MODELS.register("unseeded")
class Unseeded(Features):
    def design(self, x):
        return torch.cos(x @ W.to(x) + torch.from_numpy(UNSEEDED).to(x))


@gd.MODELS.register("helped")
class Helped(Features):
    def design(self, x):
        return {helper}.bend(x @ W.to(x))


@gd.MODELS.register("hashed")
class Hashed(Features):
    HASHED = [hash(f"x{{place}}") % 97 for place in range(16)]

    def design(self, x):
        return torch.cos(x @ W.to(x) + torch.tensor(self.HASHED).to(x))
"""

QUICK = ("data=diabetes", "lr=0.05", "variant=batch", "dtype=float64", "logging.progress=false")


@pytest.fixture
def command(tmp_path, gdframe, monkeypatch):
    (tmp_path / "bends.py").write_text("def bend(x):\n    return x**2 / 9\n")
    (tmp_path / "plugin.py").write_text(FILE.format(helper="bends"))

    def run(*words):
        done = gdframe(*words, PYTHONPATH=str(tmp_path))
        assert done.code == 0, done.err
        return done

    monkeypatch.delenv("PYTHONHASHSEED", raising=False)
    return run


def objective(tmp_path, name):
    return json.loads((tmp_path / name / "result.json").read_text())["objective"]


def test_draws_of_a_file_are_the_same_in_each_process(command, tmp_path):
    words = ("plugins=[plugin.py]", "model=features", *QUICK)
    command(*words, "epochs=6", "hydra.run.dir=whole")
    command(*words, "epochs=3", "hydra.run.dir=part")
    resumed = command("resume", "part", "epochs=6")
    assert objective(tmp_path, "part") == objective(tmp_path, "whole")
    assert "has another value" not in resumed.err + resumed.out


@pytest.mark.parametrize(
    ("model", "place"),
    [
        ("unseeded", "Unseeded.design UNSEEDED"),
        ("hashed", "Hashed.HASHED"),
        ("helped", "code of Helped.design bends.bend"),
    ],
)
def test_other_values_are_warned_of(command, tmp_path, model, place):
    command("plugins=[plugin.py]", f"model={model}", *QUICK, "epochs=3", "hydra.run.dir=run")
    (tmp_path / "bends.py").write_text("def bend(x):\n    return x**3 / 90\n")
    rows = "age,sex,bmi,bp,s1,s2,s3,s4,s5,s6\n" + ",".join(["1"] * 10) + "\n"
    (tmp_path / "rows.csv").write_text(rows)
    for words, result in (
        (("predict", "run", "rows.csv"), "the predictions are of another model"),
        (("resume", "run", "epochs=4"), "the resumed run is another one"),
    ):
        done = command(*words)
        (warning,) = (
            line for line in (done.err + done.out).splitlines() if "has another value" in line
        )
        assert f"model {place}" in warning
        assert f"than in the process that trained the run, so {result}" in warning
