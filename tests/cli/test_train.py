"""The main command: table, run folder, exit codes, and many combinations of components."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from datetime import date

import numpy as np
import pytest
from safetensors import safe_open
from thinned import thinned

FIELDS = [
    "status", "reason", "variant", "engine", "model", "loss", "optimizer", "lr", "seed", "epochs",
    "steps", "samples", "objective", "train_loss", "gradient_norm", "metrics", "seconds",
    "parameter_count", "versions",
]  # fmt: skip


def test_the_first_command_of_the_readme(gdframe):
    done = gdframe("variant=sgd", "lr=0.01", "epochs=3")
    assert done.code == 0, done.err
    assert done.err == ""  # no progress bar into a pipe
    assert not re.search(r"[\x00-\x08\x0b-\x1f\x7f]", done.out)
    for line in ("status", "epochs", "objective", "gradient norm", "train", "validation",
                 "seconds", "folder", "TensorBoard"):  # fmt: skip
        assert re.search(f"^{line} ", done.out, re.MULTILINE), line
    result = done.result
    assert [field for field in FIELDS if field not in result] == []
    assert result["variant"] == "sgd"
    assert result["steps"] == result["samples"] == 3 * 354
    assert result["metrics"]["validation"]["r2"] > 0.3
    assert set(result["seconds"]) == {"setup", "train"}
    names = {path.name for path in done.run.iterdir()}
    events = {name for name in names if name.startswith("events.out.tfevents")}
    assert len(events) == 1
    expected = {
        "result.json", "model.safetensors", "coefficients.csv", "checkpoint", ".hydra",
        "gdframe.log",
    }  # fmt: skip
    assert names - events == expected
    assert done.run.parent.name == date.today().isoformat()
    assert "status" in (done.run / "gdframe.log").read_text()


def test_the_model_file_is_plain_and_complete(gdframe):
    done = gdframe("data=iris", "epochs=2")
    with safe_open(done.run / "model.safetensors", framework="np") as file:
        assert set(file.keys()) == {"weight", "bias"}
        assert file.get_tensor("weight").shape == (3, 4)
        assert file.get_tensor("weight").dtype == np.float32
        encoding = json.loads(file.metadata()["encoding"])
    assert encoding["classes"] == ["setosa", "versicolor", "virginica"]
    assert len(encoding["mean"]) == 4


def test_divergence_is_a_result(gdframe):
    done = gdframe("lr=100", "variant=batch")
    assert done.code == 3
    assert "diverged" in done.out
    assert "learning rate 100 is 410 times the stability limit 0.24" in done.result["reason"]
    assert done.result["status"] == "diverged"
    assert (done.run / "model.safetensors").exists()


@pytest.mark.parametrize(
    "arguments",
    thinned([
        ["variant=minibatch", "lr=2"],
        ["variant=minibatch", "lr=5"],
        ["variant=sgd", "lr=1", "dtype=float64"],
        ["variant=minibatch", "lr=20", "dtype=float64"],
        ["model=double_well", "model.start=[1e30]"],
    ], 2),
    ids=" ".join,
)  # fmt: skip
def test_a_diverged_run_ends_with_finite_parameters(gdframe, arguments):
    done = gdframe(*arguments)
    assert done.code == 3, done.err
    assert done.err == ""
    assert done.result["objective"] is not None or done.result["steps"] == 0


def test_a_run_can_end_before_its_first_step(gdframe):
    done = gdframe("stopping.target=1e9")
    assert done.code == 0, done.err
    assert done.result["status"] == "target_reached"
    assert done.result["steps"] == 0


def test_a_run_that_hardly_moves_is_told_so(gdframe):
    reason = gdframe("variant=batch", "lr=1e-9").result["reason"]
    assert "moves too slowly" in reason
    assert "the learning rate is 4.1e-07 % of its stability limit 0.24" in reason


@pytest.mark.parametrize(
    "arguments",
    thinned([
        ["variant=batch", "dtype=float64", "optimizer=momentum"],
        ["variant=sgd", "data=wine", "optimizer=nesterov", "penalty=l1"],
        ["variant=minibatch", "data=digits", "model=cnn", "optimizer=adam"],
        ["data=breast_cancer", "loss=hinge", "penalty=elastic_net", "optimizer=adagrad"],
        ["data=breast_cancer", "loss=squared_hinge", "model=mlp", "optimizer=rmsprop"],
        ["data=classification", "data.classes=4", "schedule=cosine", "initializer=normal"],
        ["data=regression", "data.condition_number=50", "loss=huber", "schedule=step"],
        ["model=polynomial", "loss=mae", "schedule=warmup", "schedule.then={name: step}"],
        ["model=rosenbrock", "optimizer=adam", "lr=0.02"],
        ["model=quadratic", "model.dimension=5", "penalty=l2", "schedule=inverse_time"],
        ["model=himmelblau", "initializer=uniform", "initializer.low=-5", "initializer.high=5"],
        ["model=rastrigin", "lr=0.001", "optimizer.clip_norm=1"],
        ["model=double_well", "schedule=exponential"],
        ["experiment=logistic"],
        ["experiment=digits"],
    ], 3),
    ids=" ".join,
)  # fmt: skip
def test_components_compose(gdframe, arguments):
    done = gdframe(*arguments, "epochs=2", "stopping.tolerance=null")
    assert done.code == 0, done.out + done.err
    assert done.result["objective"] is not None
    assert done.result["epochs"] == 2


def test_launches_in_one_second_have_different_folders(tmp_path):
    from gdframe.config.folders import claim

    folders = [claim(tmp_path / "outputs") for _ in range(5)]
    assert len(set(folders)) == 5


def test_the_experiment_logistic_reaches_its_accuracy(gdframe):
    done = gdframe("experiment=logistic")
    assert done.result["metrics"]["validation"]["accuracy"] > 0.96


def test_quiet_and_without_tensorboard(gdframe):
    done = gdframe("epochs=1", "logging.progress=false", "logging.tensorboard=false")
    assert done.err == ""
    assert not list(done.run.glob("events*"))


def test_help_and_config_do_not_import_torch(gdframe, tmp_path):
    (tmp_path / "torch.py").write_text("raise SystemExit('torch was imported')")
    environment = {"PYTHONPATH": str(tmp_path)}
    assert "Groups: GROUP=NAME" in gdframe("--help", **environment).out
    assert "lr: auto" in gdframe("--cfg", "job", **environment).out
    assert "adam" in gdframe("list", **environment).out
    assert "did you mean 'adam'?" in gdframe("optimizer=adm", **environment).err
    assert "torch was imported" in gdframe("epochs=1", **environment).err


def test_list_shows_every_component(gdframe):
    from gdframe.registry import REGISTRIES, is_built_in

    out = gdframe("list").out
    for kind, registry in REGISTRIES.items():  # other tests may have registered components
        names = [name for name in registry if is_built_in(registry.get(name))]
        _, heading, rest = out.partition(f"{kind} ({len(names)})\n")
        assert heading
        lines = rest.partition("\n\n")[0].splitlines()
        for name in names:
            (line,) = [text for text in lines if re.match(rf"  {name} ", text)]
            assert len(line.split(maxsplit=1)[1]) > 10, f"{kind} {name} has no description"


def test_a_failure_is_recorded(gdframe, bad_rule):
    done = gdframe(f"plugins=[{bad_rule}]", "optimizer=bad", "lr=0.01")
    assert done.code == 1
    assert done.result["status"] == "failed"
    assert done.result["reason"] == "RuntimeError: out of luck"


def test_a_linear_run_does_not_import_the_compiler(tmp_path):
    """It takes 0.7 seconds."""
    code = (
        "import sys; from gdframe.cli.main import main; "
        "assert main(['variant=sgd', 'lr=0.01', 'epochs=1', 'hydra.run.dir=run']) == 0; "
        "sys.exit('torch._dynamo' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True)
    assert done.returncode == 0, done.stderr.decode()
