"""Messages for words that another program, or a look at the guide, suggests."""

from __future__ import annotations

import pytest
from thinned import thinned

TABLE = ["data=table", "data.target=y"]

CASES: list[tuple[list[str], list[str]]] = [
    # a value is told by the key that was typed, wherever the constructor is that refuses it
    (["stopping.patience=0"], ["stopping.patience=0: expected"]),
    (["stopping.time_limit=-1"], ["stopping.time_limit=-1: expected"]),
    (["stopping.divergence_factor=0.5"], ["stopping.divergence_factor=0.5: expected"]),
    (["stopping.gradient_tolerance=-1"], ["stopping.gradient_tolerance=-1: expected"]),
    (["stopping=time", "stopping.time.seconds=-1"], ["stopping.time.seconds=-1: expected"]),
    (
        ["stopping=improvement", "stopping.improvement.patience=0"],
        ["stopping.improvement.patience=0: expected"],
    ),
    (["stopping=early", "stopping.early.metric=rr"], ["stopping.early.metric=rr", "'r2'?"]),
    (["schedule=warmup", "schedule.epochs=-1"], ["schedule.epochs=-1: expected"]),
    (["schedule=step", "schedule.every=-1"], ["schedule.every=-1: expected"]),
    (["schedule=warmup", "schedule.then=cosin"], ["schedule.then=cosin", "'cosine'?"]),
    (
        ["schedule=warmup", "schedule.then={name: step, every: -1}"],
        ["schedule.then.every=-1: expected"],
    ),
    (["optimizer.clip_norm=-1"], ["optimizer.clip_norm=-1: expected"]),
    (["observer=checkpoint", "observer.checkpoint.keep=0"], ["observer.checkpoint.keep=0: exp"]),
    (["diagnostics.every=0"], ["diagnostics.every=0: expected"]),
    (["data=regression", "data.noise=-1"], ["data.noise=-1: expected"]),
    # and as it was typed
    (["stopping.patience=null"], ["stopping.patience=null: expected"]),
    (["stopping.divergence_factor=null"], ["stopping.divergence_factor=null: expected"]),
    ([*TABLE, "data.path=t.csv", "data.features=x"], ["data.features=x", "data.features=[x]"]),
    (["seed=1..3"], ["seed=1..3: expected", "'seed=range(1,4)'", "-m"]),
    (["plugins=x.py"], ["plugins=[x.py]"]),
    # of several names, the wrong one is told
    (["metric=[r2,r3]"], ["metric=[r2,r3]", "'r3'", "'r2'?"]),
    (["stopping=[early,tim]"], ["stopping rule as 'tim'", "'time'?"]),
    # what is typed as if it were another program's
    (["epochs", "10"], ["'epochs'", "write epochs=10"]),
    (["epochs=5", "lr", "1"], ["'lr'", "write lr=1"]),
    (["lr:0.1"], ["write lr=0.1"]),
    (["--epochs", "10"], ["--epochs:", "write epochs=10"]),
    (["--lr=0.1"], ["--lr=0.1:", "write lr=0.1"]),
    (["train", "lr=0.1"], ["'train':", "no verb"]),
    (["help"], ["--help"]),
    (["report", "--otput", "x", "run"], ["--otput:", "'--output'?"]),
    (["resume", "run", "--epochs", "10"], ["write epochs=10"]),
    (["lr-range", "-m", "lr=0.1,1"], ["-m:", "--low", "--high"]),
    (["lr-range", "lr=0.1,1"], ["lr=0.1,1:", "--low", "--high"]),
    (["--cfg"], ["--cfg"]),
    # keys and names that are at home elsewhere
    (["momentum=0.9"], ["'optimizer=momentum'?"]),
    (["beta=0.9"], ["'optimizer=momentum optimizer.beta=VALUE'"]),
    (["target=1"], ["'stopping.target'"]),
    (["optimizer.beta=0.9"], ["optimizer=momentum", "optimizer=nesterov"]),
    (["data.path=t.csv"], ["data=table"]),
    (["observer.csv.every=3"], ["observer=csv"]),
    (["optimizer.name=adam"], ["optimizer=adam"]),
    (["observer=csv", "observer.csv.name=mlflow"], ["observer=mlflow"]),
    (["data=t.csv"], ["'data=table data.path=t.csv data.target=COLUMN'?"]),
    (["optimizer=my.py"], ["plugins=[my.py]"]),
    (["guide", "metrics"], ["'models'"]),
    # several values
    (["model=mlp", "model.hidden=8,8"], ["-m", "model.hidden=[8,8]"]),
    (["metric=r2,rmse"], ["-m", "metric=[r2,rmse]"]),
    # files
    ([*TABLE, "data.path=ragged.csv"], ["line 3 has 2 values", "3 columns"]),
    (["predict", "t.csv", "run"], ["t.csv: is a file", "folder"]),
    (["resume", "t.csv"], ["t.csv: is a file", "folder"]),
    (["landscape", "t.csv"], ["t.csv: is a file", "folder"]),
    # what does not fit the data
    (
        ["stopping=early", "stopping.early.metric=accuracy"],
        ["classification", "regression", "r2, rmse, mae"],
    ),
    (["stopping=early", "data.validation=0"], ["no validation rows", "data.validation=0.2"]),
    (
        ["stopping=early", "stopping.early.metric=mae", "metric=[r2]"],
        ["does not measure", "metric=[r2,mae]"],
    ),
    (["model=cnn", "data=iris"], ["2 x 2 pixels", "model.channels=[8]"]),
    (["data.validation=0.9999"], ["data.validation=0.9999", "smaller share"]),
    (["data.validation=0.0001"], ["data.validation=0.0001", "larger share"]),
    # metrics of sweeps
    (["sweep.metric=parameter_count"], ["metric of a sweep", "objective"]),
    (
        ["-m", "lr=0.1,0.2", "sweep.metric=metrics.validation.r3"],
        ["metrics.validation.r3", "'metrics.validation.r2'?"],
    ),
    (
        ["-m", "lr=0.1,0.2", "data.validation=0", "sweep.metric=validation_loss"],
        ["validation_loss", "objective"],
    ),
]

FILES = {
    "t.csv": "x,y\n1,2\n2,3\n",
    "ragged.csv": "a,b,y\n1,2,3\n4,5\n7,8,9\n",
}


@pytest.mark.parametrize(
    ("arguments", "words"), thinned(CASES, 6), ids=[" ".join(c[0]) for c in CASES]
)
def test_a_mistake_is_told_in_one_line_with_what_to_do(gdframe, tmp_path, arguments, words):
    for name, text in FILES.items():
        (tmp_path / name).write_text(text)
    done = gdframe(*arguments)
    assert done.code == 2, done.out + done.err
    assert done.err.startswith("gdframe: ")
    assert done.err.count("\n") == 1
    assert [word for word in words if word not in done.err] == [], done.err
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(FILES)


def test_text_labels_are_not_advised_to_be_numbers(gdframe, tmp_path):
    for name, labels in (("text", "ab"), ("numbers", "01")):
        rows = [f"{index},{labels[index % 2]}" for index in range(8)]
        (tmp_path / f"{name}.csv").write_text("\n".join(["x,y", *rows]) + "\n")
        done = gdframe(*TABLE, f"data.path={name}.csv", "loss=mse")
        assert done.code == 2
        assert "loss=cross_entropy" in done.err
        assert ("data.task=regression" in done.err) == (name == "numbers")


def test_a_function_in_place_of_a_component_is_told(gdframe, tmp_path):
    (tmp_path / "mine.py").write_text(
        "from gdframe import METRICS\n"
        "@METRICS.register('gap')\n"
        "def gap(predicted, targets):\n"
        "    return (predicted - targets).abs().mean()\n"
    )
    done = gdframe("plugins=[mine.py]", "metric=gap")
    assert done.code == 2
    assert "gap is a function" in done.err


@pytest.mark.parametrize(
    ("arguments", "unused", "used"),
    [
        (["variant=sgd", "batch_size=8"], ["batch_size"], []),
        (["variant=batch", "batch_size=8"], ["batch_size"], []),
        (["variant=minibatch", "batch_size=8"], [], ["batch_size"]),
        (["variant=sgd"], [], ["batch_size"]),
        (["model=rosenbrock", "loss=mse", "data=iris"], ["data", "loss"], ["metric", "variant"]),
        (["model=rosenbrock"], [], ["data", "loss", "variant"]),
    ],
    ids=" ".join,
)
def test_settings_without_effect_are_told(gdframe, arguments, unused, used):
    done = gdframe(*arguments, "epochs=1", "engine=eager")
    assert done.code == 0, done.err
    lines = [line for line in done.out.splitlines() if line.startswith("warning: ")]
    warned = [key for line in lines if "no effect" in line for key in unused + used if key in line]
    assert warned == unused
