"""Event files of a run hold its curves, its updates and its histograms."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from dashboards import scalars
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from thinned import thinned

import gdframe as gd
from gdframe.runs.run_folder import RunFolder


def test_curves_equal_the_history(tmp_path):
    result = gd.train("epochs=5", "stopping.tolerance=null", folder=tmp_path / "run")
    steps = scalars(tmp_path / "run", "loss/step")
    assert [step for step, _ in steps] == list(range(1, 61))
    assert [v for _, v in steps] == pytest.approx(result.history.steps["loss"].tolist())
    epochs = scalars(tmp_path / "run", "objective/train")
    assert [epoch for epoch, _ in epochs] == list(range(6))
    assert [v for _, v in epochs] == pytest.approx(result.history["objective"].tolist())


@pytest.mark.parametrize("limit", thinned([10, 3, 100], 3))
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
