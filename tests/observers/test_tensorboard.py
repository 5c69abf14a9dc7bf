"""A real TensorBoard serves curves, histograms, text and hyperparameters of runs."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import time
import urllib.request
from contextlib import contextmanager
from itertools import pairwise
from urllib.parse import quote

import numpy as np
import pytest
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

import gdframe as gd
from gdframe.registry import OBSERVERS
from gdframe.runs.run_folder import RunFolder
from gdframe.sweeps.comparing.comparison import Configuration, Record
from gdframe.sweeps.writing.mean_curves import Curves, _name

TAGS = {
    "loss/step", "gradient_norm/step", "loss/train", "loss/validation", "objective/train",
    "gradient_norm/epoch", "lr", "metric/train_r2", "metric/validation_r2",
    "gradient_norm/weight", "gradient_norm/bias",
}  # fmt: skip


def scalars(folder, tag):
    accumulator = EventAccumulator(str(folder), size_guidance={"scalars": 0})
    accumulator.Reload()
    return [(event.step, event.value) for event in accumulator.Scalars(tag)]


def test_curves_equal_the_history(tmp_path):
    result = gd.train("epochs=5", "stopping.tolerance=null", folder=tmp_path / "run")
    steps = scalars(tmp_path / "run", "loss/step")
    assert [step for step, _ in steps] == list(range(1, 61))
    assert [v for _, v in steps] == pytest.approx(result.history.steps["loss"].tolist())
    epochs = scalars(tmp_path / "run", "objective/train")
    assert [epoch for epoch, _ in epochs] == list(range(6))
    assert [v for _, v in epochs] == pytest.approx(result.history["objective"].tolist())


@pytest.mark.parametrize("limit", [3, 10, 100])
def test_points_are_thinned_to_the_limit_with_both_ends(tmp_path, limit):
    gd.train(
        "epochs=40", "stopping.tolerance=null", f"logging.max_points={limit}",
        f"logging.histograms={limit}", folder=tmp_path / "run",
    )  # fmt: skip
    for tag in ("loss/step", "objective/train", "metric/train_r2"):
        points = scalars(tmp_path / "run", tag)
        assert 1 < len(points) <= limit, tag
    epochs = [epoch for epoch, _ in scalars(tmp_path / "run", "objective/train")]
    assert epochs[0] == 0
    assert epochs[-1] == 40
    accumulator = EventAccumulator(str(tmp_path / "run"), size_guidance={"histograms": 0})
    accumulator.Reload()
    assert 1 < len(accumulator.Histograms("parameters/weight")) <= limit


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    """Serve two runs, of which one has diverged, by TensorBoard on loopback; yield the address."""
    folder = tmp_path_factory.mktemp("runs")
    gd.train("variant=sgd", "lr=0.01", "epochs=3", folder=folder / "good")
    theory = "diagnostics.theory=true"
    gd.train("variant=batch", "lr=100", "epochs=3", theory, folder=folder / "bad")
    with dashboard(folder) as url:
        yield url


@contextmanager
def dashboard(folder):
    """Serve a folder on loopback; yield the address."""
    command = [sys.executable, "-m", "tensorboard.main", "--logdir", str(folder), "--port", "0"]
    command += ["--host", "127.0.0.1", "--load_fast", "false", "--reload_interval", "1"]
    server = subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True)
    try:
        assert server.stderr is not None
        for line in server.stderr:
            if match := re.search(r"http://127\.0\.0\.1:(\d+)/", line):
                break
        else:
            pytest.fail("TensorBoard did not start")
        yield f"http://127.0.0.1:{match[1]}"
    finally:
        server.kill()
        server.communicate()


STATUSES = ["STATUS_SUCCESS", "STATUS_UNKNOWN", "STATUS_FAILURE", "STATUS_RUNNING"]


def sessions(url):
    """Return the content of the HParams page."""
    ask(f"{url}/data/plugin/hparams/experiment", {})
    query = {"startIndex": 0, "sliceSize": 50, "allowedStatuses": STATUSES, "colParams": []}
    return ask(f"{url}/data/plugin/hparams/session_groups", query)["sessionGroups"]


def wait_for_runs(url, names):
    end = time.monotonic() + 30
    while set(ask(f"{url}/data/runs")) != set(names):
        assert time.monotonic() < end, ask(f"{url}/data/runs")
        time.sleep(0.2)


def ask(url: str, post: dict | None = None):
    data = None if post is None else json.dumps(post).encode()
    request = urllib.request.Request(url, data, {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=20) as reply:
        return json.loads(reply.read())


def test_a_dashboard_serves_curves_histograms_text_and_hparams(served):
    wait_for_runs(served, {"good", "bad"})
    tags = ask(f"{served}/data/plugin/scalars/tags")
    assert set(tags["good"]) >= TAGS
    url = f"{served}/data/plugin/scalars/scalars?run=good&tag={quote('objective/train')}"
    assert [point[1] for point in ask(url)] == [0, 1, 2, 3]
    histograms = ask(f"{served}/data/plugin/histograms/tags")
    assert set(histograms["good"]) == {"parameters/weight", "parameters/bias"}
    assert "config/text_summary" in ask(f"{served}/data/plugin/text/tags")["good"]
    groups = sessions(served)
    shown = {group["hparams"]["variant"]: group["hparams"] for group in groups}
    assert shown["sgd"]["Status"] == "max_epochs"
    assert shown["batch"]["Status"] == "diverged"
    assert shown["sgd"]["lr"] == 0.01
    assert all(s["status"] == "STATUS_SUCCESS" for group in groups for s in group["sessions"])


def test_a_dashboard_shows_charts_in_the_order_of_the_questions(served):
    wait_for_runs(served, {"good", "bad"})
    layout = ask(f"{served}/data/plugin/custom_scalars/layout")["category"]
    assert [group["title"] for group in layout] == [
        "1. Is it descending?", "2. Is it stable?", "3. Is it generalising?", "4. Which layer?",
    ]  # fmt: skip
    charts = {chart["title"]: chart["multiline"]["tag"] for g in layout for chart in g["chart"]}

    def matched(chart, run="good"):
        tags = set()
        for tag in charts[chart]:
            url = f"{served}/data/plugin/custom_scalars/scalars?run={run}&tag={quote(tag)}"
            tags |= set(ask(url)["tag_to_events"])
        return tags

    assert matched("objective") == {"objective/train"}
    assert matched("loss, training and validation") == {"loss/train", "loss/validation"}
    assert "metric/validation_r2" in matched("metrics, validation")
    assert matched("gradient norm by parameter") == {"gradient_norm/weight", "gradient_norm/bias"}
    assert matched("update to weight by parameter") == {"update_ratio/weight", "update_ratio/bias"}
    assert matched("gap to the minimum", "bad") == {"theory/gap"}
    empty = [chart for chart in charts if not matched(chart) | matched(chart, "bad")]
    assert not empty  # neither run measures curvature, and there is no chart for it


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("chromium") is None, reason="there is no Chromium")
def test_a_browser_shows_the_dashboard(served, tmp_path):
    wait_for_runs(served, {"good", "bad"})
    picture = tmp_path / "dashboard.png"
    subprocess.run(
        ["chromium", "--headless", "--no-sandbox", "--disable-gpu", "--no-first-run",
         f"--user-data-dir={tmp_path / 'browser'}", "--window-size=1100,1600",
         "--virtual-time-budget=20000", f"--screenshot={picture}", f"{served}/#custom_scalars"],
        capture_output=True, timeout=120, check=True,
    )  # fmt: skip
    shown = np.asarray(Image.open(picture).convert("RGB")).reshape(-1, 3)
    print(f"saved as {picture}")
    assert len(np.unique(shown, axis=0)) > 200  # curves and labels, not an empty page


@pytest.mark.parametrize("variant", ["batch", "minibatch"])
def test_updates_are_written_relative_to_the_weights(tmp_path, variant):
    class Keeps(gd.Observer):
        def __init__(self):
            self.seen = []

        def on_start(self, run):
            self.on_epoch(run)

        def on_epoch(self, run):
            self.seen.append({n: p.double().numpy().copy() for n, p in run.parameters().items()})

    data = gd.Diabetes(validation=0.2).load()
    model = gd.Linear(data.features)
    gd.initialize(model, gd.Normal(std=0.3), seed=0)
    size = data.rows if variant == "batch" else 32
    loader = gd.MiniBatch(data.rows, batch_size=size)
    keeps = Keeps()
    gd.Trainer(
        model, gd.MSE(), gd.GD(model.parameters(), lr=0.01), loader, data, epochs=5,
        observers=[gd.TensorBoard(tmp_path), keeps],
    ).fit()  # fmt: skip
    (first, *_), pairs = keeps.seen, list(pairwise(keeps.seen))
    ratios = scalars(tmp_path, "update_ratio/weight")
    assert [epoch for epoch, _ in ratios] == [1, 2, 3, 4, 5]
    norm = np.linalg.norm
    expected = [norm(b["weight"] - a["weight"]) / norm(a["weight"]) for a, b in pairs]
    assert [value for _, value in ratios] == pytest.approx(expected, rel=1e-5)
    zero = not first["bias"].any()
    assert len(scalars(tmp_path, "update_ratio/bias")) == 5 - zero


def test_a_dashboard_of_a_sweep_serves_all_runs_their_means_and_pictures(tmp_path):
    for optimizer in (("optimizer=gd",), ("optimizer=momentum", "optimizer.beta=0.5,0.9")):
        gd.sweep(*optimizer, "lr=0.01,100", "seed=0,1", "epochs=3", folder=tmp_path / "sweep")
    with dashboard(tmp_path / "sweep") as url:
        momentum = [f"optimizer=momentum,lr=0.01,optimizer.beta={beta}" for beta in (0.5, 0.9)]
        means = {f"mean/{name}" for name in ("optimizer=gd,lr=0.01", *momentum)}
        names = {"mean", *map(str, range(12)), *means}
        wait_for_runs(url, names)
        groups = sessions(url)
        assert len(groups) == 12
        shown = [group["hparams"] for group in groups]
        assert {s["Status"] for s in shown} == {"max_epochs", "diverged"}
        assert {(s["optimizer"], s.get("optimizer.beta")) for s in shown} == {
            ("gd", None), ("momentum", 0.5), ("momentum", 0.9),
        }  # fmt: skip
        assert {(s["lr"], s["seed"]) for s in shown} == {
            (a, b) for a in (0.01, 100) for b in (0, 1)
        }
        for s in shown:  # a diverged run has no value that would set the range of an axis
            assert ("Objective" in s) == ("Validation r2" in s) == (s["Status"] != "diverged")
        first = sorted(name for name in shown[0])[:3]  # TensorBoard sorts by name
        assert set(first) <= {"Objective", "Status", "Validation r2", "batch_size", "data"}
        metrics = {v["name"]["tag"] for group in groups for v in group["metricValues"]}
        assert {"objective/train", "loss/validation", "metric/validation_r2"} <= metrics
        images = ask(f"{url}/data/plugin/images/tags")
        assert set(images["mean"]) == {"sweep/learning_rates", "sweep/heat_map"}


@pytest.mark.parametrize("runs", [4, 45])
def test_the_overview_of_a_sweep_has_no_more_runs_than_tensorboard_selects(tmp_path, runs):
    folders = [tmp_path / str(number) for number in range(runs)]
    curves, configurations = Curves(), []
    for folder in folders:
        folder.mkdir()
        epochs = np.arange(3.0)
        curves._histories[str(folder)] = {
            "epochs/epoch": epochs, "epochs/objective": epochs, "steps/step": epochs,
            "steps/loss": epochs, "steps/gradient_norm": epochs,
        }  # fmt: skip
        record = Record({"lr": folder.name}, {"status": "max_epochs"}, str(folder))
        configurations.append(Configuration({"lr": folder.name}, records=[record]))
    curves.write_means(tmp_path, configurations)
    curves.write_overview(tmp_path, {})
    means = sorted(path.name for path in (tmp_path / "mean").iterdir() if path.is_dir())
    assert len(means) == (39 if runs == 45 else 0)  # with the pictures, 40
    assert means == sorted(f"lr={number}" for number in range(len(means)))  # the best


def test_hparams_contain_all_keys_that_a_sweep_varies(tmp_path):
    gd.sweep("stopping.tolerance=1e-3,null", "engine=eager,linear", "epochs=1", folder=tmp_path)
    with dashboard(tmp_path) as url:
        files = tmp_path.rglob("events.out.tfevents.*")
        wait_for_runs(url, {str(file.parent.relative_to(tmp_path)) for file in files})
        shown = [group["hparams"] for group in sessions(url)]
    seen = {(str(row.get("stopping.tolerance")), row.get("engine")) for row in shown}
    seen = {pair for pair in seen if pair[1]}
    assert {engine for _, engine in seen} == {"eager", "linear"}
    assert len(seen) == 4


@pytest.mark.parametrize(
    ("which", "whole"), [("all", [0, 1, 2, 3]), ("best", [2, 3]), ("mean", [])]
)
def test_logging_runs_decides_which_curves_of_a_sweep_are_kept(tmp_path, which, whole):
    result = gd.sweep(
        "lr=0.001,0.01", "seed=0,1", "epochs=4", f"logging.runs={which}", folder=tmp_path
    )
    assert result.configurations[0].settings["lr"] == "0.01"
    for number in range(4):
        epochs = [epoch for epoch, _ in scalars(tmp_path / str(number), "objective/train")]
        assert epochs == ([0, 1, 2, 3, 4] if number in whole else [4])
    runs = [scalars(tmp_path / str(number), "objective/train")[-1][1] for number in (2, 3)]
    means = [folder for folder in (tmp_path / "mean").iterdir() if "lr=0.01" in folder.name]
    assert len(means) == 1
    curve = scalars(means[0], "objective/train")
    assert [epoch for epoch, _ in curve] == [0, 1, 2, 3, 4]
    assert curve[-1][1] == pytest.approx(sum(runs) / 2)


def test_the_best_curves_are_kept_for_reused_runs(tmp_path):
    settings = "seed=0,1", "epochs=4", "logging.runs=best", "checkpoint.every=1"
    gd.sweep("lr=0.01", *settings, folder=tmp_path)
    gd.sweep("lr=0.01,0.0001", *settings, "sweep.reuse=true", folder=tmp_path)
    lengths = [len(scalars(tmp_path / str(number), "objective/train")) for number in range(4)]
    assert lengths == [5, 5, 1, 1]


def test_the_best_curves_are_those_of_runs_with_event_files(tmp_path, monkeypatch):
    settings = "seed=0,1", "epochs=4", "logging.runs=best", "checkpoint.every=1", "observer=csv"
    gd.sweep("lr=0.0001", *settings, folder=tmp_path)
    built, build = [], OBSERVERS.configured

    def counted(chosen, **words):
        built.append(chosen["name"])
        return build(chosen, **words)

    monkeypatch.setattr(OBSERVERS, "configured", counted)
    without = ("lr=0.01,0.0001", *settings, "logging.tensorboard=false", "sweep.reuse=true")
    gd.sweep(*without, folder=tmp_path)
    assert built == ["csv", "checkpoint"] * 2  # of the two new runs, to train them
    assert not list((tmp_path / "2").glob("events*"))
    gd.sweep("lr=0.0001", *settings, folder=tmp_path / "one")
    assert built[4:].count("csv") == 2  # for the curves of the best, TensorBoard alone is built


@pytest.mark.parametrize("value", ["x" * 200, "字" * 200, "a/b", "a\0b", "\ud800"])
def test_names_of_mean_curves_are_different_and_can_be_made(tmp_path, value):
    settings = {"lr": "0.1", "value": value}
    names = {_name(Configuration(settings | {"last": end})) for end in "ab"}
    assert len(names) == 2
    for name in names:
        (tmp_path / name).mkdir()
    assert _name(Configuration({"lr": "0.1"})) == "lr=0.1"


def test_a_checkpoint_is_never_ahead_of_the_events(tmp_path, monkeypatch):
    """Events after the newest checkpoint may be lost by a kill, events before it may not."""
    monkeypatch.setattr("gdframe.observers.tensorboard.FLUSH_SECONDS", 1e9)
    seen = []

    class Looks(gd.Observer):
        def on_epoch(self, run):
            epochs = scalars(tmp_path, "objective/train")
            steps = scalars(tmp_path, "loss/step") if len(epochs) > 1 else [(0, 0)]
            seen.append((run.step, steps[-1][0], epochs[-1][0]))

    data = gd.Diabetes(validation=0.2).load()
    model = gd.Linear(data.features)
    watching = [
        gd.TensorBoard(tmp_path),
        gd.Checkpoint(tmp_path, every=2),
        Looks(),
    ]
    gd.Trainer(
        model, gd.MSE(), gd.GD(model.parameters(), lr=0.01), gd.MiniBatch(data.rows, batch_size=32),
        data, epochs=4, observers=watching,
    ).fit()  # fmt: skip
    assert seen == [(12, 0, 0), (24, 24, 2), (36, 24, 2), (48, 48, 4)]


@pytest.mark.parametrize("values", [[0.5], [1.0, 2.0, 2.5, 4.0], list(range(100)), [3.0, 3.0]])
def test_histograms_count_every_value_once(tmp_path, values):
    file = RunFolder(tmp_path).open_events()
    file.histogram("h", np.array(values, np.float32), 3)
    file.histogram("h", np.array([np.nan, 1.0]), 4)  # nothing to cut into bins
    file.close()
    accumulator = EventAccumulator(str(tmp_path))
    accumulator.Reload()
    (event,) = accumulator.Histograms("h")
    histogram = event.histogram_value
    assert event.step == 3
    assert (histogram.num, histogram.sum) == (len(values), sum(values))
    edges = np.array([histogram.min, *histogram.bucket_limit])
    assert histogram.bucket == np.histogram(values, edges)[0].tolist()
    assert edges[0] <= min(values)
    assert edges[-1] >= max(values)
