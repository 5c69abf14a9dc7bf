"""``lr=auto``: one number in all files of a run, chosen once, the same alone and in a sweep."""

from __future__ import annotations

import json
import re
import shutil

import pytest
import yaml
from thinned import thinned

import gdframe as gd
from gdframe.config import automatic_rate
from gdframe.config.train_run import resume_run
from gdframe.sweeps.executing.train_sweep import train_sweep

QUIET = ("logging.tensorboard=false", "logging.progress=false")
RUN = ("data=iris", "epochs=4", *QUIET)


def test_one_number_is_in_all_files_and_the_verdict_says_why(tmp_path):
    result = gd.train(*RUN, "lr=auto", folder=tmp_path / "a")
    content = json.loads((tmp_path / "a/result.json").read_text())
    config = yaml.safe_load((tmp_path / "a/.hydra/config.yaml").read_text())
    assert isinstance(content["lr"], float)
    assert content["lr"] == config["lr"] == result.lr
    assert content["lr_reason"].startswith(f"lr=auto took {result.lr:g}: of ")
    assert content["reason"].endswith(content["lr_reason"])
    assert yaml.safe_load((tmp_path / "a/.hydra/overrides.yaml").read_text()) == [*RUN, "lr=auto"]


@pytest.mark.parametrize("is_written", [True, False])
def test_a_run_without_a_checkpoint_resumes_with_the_reason_for_its_rate(tmp_path, is_written):
    result = gd.train(*RUN, "lr=auto", folder=tmp_path / "a")
    config = tmp_path / "a/.hydra/config.yaml"
    for path in (tmp_path / "a").iterdir():
        if path.name == "checkpoint":
            shutil.rmtree(path)
        elif path.is_file():
            path.unlink()
    if not is_written:  # the rate is searched again
        text = re.sub(r"(?m)^lr: .*$", "lr: auto", config.read_text())
        config.write_text("".join(line for line in text.splitlines(True) if line[0] != "#"))
    resumed = resume_run(tmp_path / "a", [])
    assert resumed.lr == result.lr
    assert resumed.lr_reason == result.lr_reason


def test_the_run_is_the_same_as_with_that_number(tmp_path):
    result = gd.train(*RUN, "lr=auto", folder=tmp_path / "a")
    again = gd.train(*RUN, "lr=auto", folder=tmp_path / "b")
    number = gd.train(*RUN, f"lr={result.lr}", folder=tmp_path / "c")
    assert result.lr == again.lr == number.lr
    assert number.lr_reason == ""
    for other in (again, number):
        assert (result.history["objective"] == other.history["objective"]).all()


def test_a_resumed_run_does_not_search_again(tmp_path, monkeypatch):
    result = gd.train(*RUN, "lr=auto", folder=tmp_path / "a")
    monkeypatch.setattr(automatic_rate, "choose_rate", None)
    resumed = resume_run(tmp_path / "a", ["epochs=6"])
    assert resumed.epochs == 6
    assert resumed.lr == result.lr
    assert resumed.lr_reason == result.lr_reason
    assert result.lr_reason in resumed.reason


def test_each_run_of_a_sweep_has_the_rate_that_it_has_alone(tmp_path):
    sweep = gd.sweep(*RUN, "lr=auto,0.01", "seed=0,1", folder=tmp_path / "s")
    results = [json.loads(path.read_text()) for path in tmp_path.glob("s/*/result.json")]
    for seed in (0, 1):
        alone = gd.train(*RUN, "lr=auto", f"seed={seed}", folder=tmp_path / f"{seed}")
        (row,) = [r for r in results if r["seed"] == seed and r["lr_reason"]]
        assert row["lr"] == alone.lr
        assert row["lr_reason"] == alone.lr_reason
        assert row["objective"] == pytest.approx(alone.objective, rel=1e-4)
    assert sorted(r["lr_reason"] == "" for r in results) == [False, False, True, True]
    assert {c.settings["lr"] for c in sweep.configurations} == {"auto", "0.01"}


def test_a_resumed_sweep_does_not_search_again(tmp_path, monkeypatch):
    gd.sweep(*RUN, "lr=auto", "seed=0,1", folder=tmp_path)
    before = json.loads((tmp_path / "0/result.json").read_text())
    for name in ("result.json", "model.safetensors"):
        (tmp_path / "0" / name).unlink()
    monkeypatch.setattr(automatic_rate, "choose_rate", None)
    outcome = train_sweep(tmp_path, None)
    assert outcome.results[0]["lr"] == before["lr"]
    assert outcome.results[0]["lr_reason"] == before["lr_reason"]


def test_a_search_that_fails_is_told_in_a_line_and_the_run_goes_on(tmp_path, monkeypatch):
    def fail(*arguments, **settings):
        raise RuntimeError("out of ideas\nand more")

    monkeypatch.setattr("gdframe.diagnostics.learning_rate.trials.Trials.train", fail)
    result = gd.train(*RUN, "lr=auto", folder=tmp_path / "a")
    assert result.lr == 0.01
    assert result.lr_reason == (
        "lr=auto took 0.01, since the search for a better one fails: out of ideas"
    )
    assert result.reason.endswith(result.lr_reason)


PLUGIN = """
import torch
import gdframe as gd


class Layer(torch.nn.Module):
    def __init__(self, *, features, outputs):
        super().__init__()
        self.layer = torch.nn.Linear(features, outputs)

    def forward(self, x):
        return self.layer(x)


@gd.MODELS.register("stubborn")
class Stubborn(Layer):
    def __deepcopy__(self, memo):
        raise TypeError("one of a kind")


@gd.MODELS.register("counting")
class Counting(Layer):
    calls = 0

    def forward(self, x):
        self.calls += 1
        return self.layer(x)


@gd.OPTIMIZERS.register("signs")
class Signs(torch.optim.Optimizer):
    def __init__(self, params, lr):
        super().__init__(params, {"lr": lr})

    @torch.no_grad()
    def step(self, closure=None):
        for group in self.param_groups:
            for p in group["params"]:
                p -= group["lr"] * p.grad.sign()


@gd.OPTIMIZERS.register("rateless")
class Rateless(torch.optim.Rprop):
    def __init__(self, params, lr):
        super().__init__(params)
"""


@pytest.mark.parametrize(
    ("words", "is_found"),
    thinned([
        (("model=stubborn",), False),
        (("model=counting",), True),
        (("optimizer=signs",), True),
        (("optimizer=rateless",), True),
        (("schedule=cosine",), True),
        (("schedule=warmup", "schedule.epochs=2"), True),
        (("stopping=early",), True),
        (("model=double_well",), True),
        (("data.validation=0",), True),
    ], 5),
)  # fmt: skip
def test_components_of_others_and_schedules_get_a_rate_or_the_fallback(
    gdframe, tmp_path, words, is_found
):
    (tmp_path / "others.py").write_text(PLUGIN)
    done = gdframe(*RUN, "plugins=[others.py]", *words, "lr=auto")
    assert done.code == 0, done.err
    result = done.result
    assert result["status"] in ("max_epochs", "converged")
    assert ("since" not in result["lr_reason"]) == is_found, result["lr_reason"]
    if not is_found:
        assert result["lr"] == 0.01
        assert "one of a kind" in result["lr_reason"]


def trainer(groups, **settings) -> gd.Trainer:
    data = gd.Dataset.from_arrays([[0.0, 1.0], [1.0, 0.0], [2.0, 1.0]], [1.0, 3.0, 5.0])
    model = gd.Linear(2)
    optimizer = gd.GD(groups(model), lr=0.5)
    return gd.Trainer(model, gd.MSE(), optimizer, gd.FullBatch(3), data, **settings)


def test_a_trainer_finds_a_rate_below_the_stability_limit_and_keeps_the_ratios_of_groups():
    for groups in (
        lambda model: model.parameters(),
        lambda model: [{"params": [model.weight], "lr": 0.1}, {"params": [model.bias], "lr": 0.3}],
    ):
        built = trainer(groups, lr="auto")
        result = built.fit()
        rates = [group["lr"] for group in built.run.spec.optimizer.param_groups]
        assert rates == pytest.approx([result.lr * factor for factor in (1, 3)][: len(rates)])
        assert result.lr not in (0.1, 0.3, 0.5)
        assert result.objective < 1e-3
        assert result.reason.endswith(result.lr_reason)
    with pytest.raises(gd.UserError, match="lr='fast': expected 'auto'; give a number to the opt"):
        trainer(lambda model: model.parameters(), lr="fast")
