"""A real TensorBoard serves curves, charts, histograms, text and hyperparameters."""

from __future__ import annotations

import shutil
import subprocess
from urllib.parse import quote

import numpy as np
import pytest
from dashboards import ask, dashboard, sessions, wait_for_runs
from PIL import Image

import gdframe as gd

TAGS = {
    "loss/step", "gradient_norm/step", "loss/train", "loss/validation", "objective/train",
    "gradient_norm/epoch", "lr", "metric/train_r2", "metric/validation_r2",
    "gradient_norm/weight", "gradient_norm/bias",
}  # fmt: skip


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    """Serve two runs, of which one has diverged, by TensorBoard on loopback; yield the address."""
    folder = tmp_path_factory.mktemp("runs")
    gd.train("variant=sgd", "lr=0.01", "epochs=3", folder=folder / "good")
    theory = "diagnostics.theory=true"
    gd.train("variant=batch", "lr=100", "epochs=3", theory, folder=folder / "bad")
    with dashboard(folder) as url:
        yield url


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
