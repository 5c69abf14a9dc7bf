"""The cost of diagnostics on the benchmark's network; ``python -m pytest -m slow`` runs these."""

from __future__ import annotations

import os
import time
from statistics import median

import pytest
import torch

import gdframe as gd
from gdframe.cli.landscape import landscape
from gdframe.diagnostics.diagnostics import Diagnostics

MLP = (
    "data=classification", "data.rows=10000", "data.features=784", "data.classes=10", "model=mlp",
    "model.hidden=[256]", "variant=minibatch", "batch_size=128", "lr=0.01", "engine=eager",
    "stopping.tolerance=null", "preflight=false", "logging.tensorboard=false",
)  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("engine", ["eager", "compiled"])
def test_curvature_every_ten_epochs_costs_at_most_a_fifth(engine):
    source = gd.Classification(rows=10_000, features=784, classes=10, validation=0.2)
    data = source.load()

    def seconds(diagnosis):
        model = gd.MLP(784, 10, hidden=[256])
        trainer = gd.Trainer(
            model, gd.CrossEntropy(), gd.GD(model.parameters(), lr=0.01),
            gd.MiniBatch(data.rows, batch_size=128), data, epochs=21, engine=engine,
            stopping=gd.Stopping(tolerance=None), diagnosis=diagnosis,
        )  # fmt: skip
        trainer.fit()
        epochs = trainer.run.history["seconds"]
        return epochs[-1] - epochs[1]  # the first epoch compiles

    measured, plain = [], []
    for _ in range(3):
        measured.append(seconds(Diagnostics(curvature=True, every=10, evidence=False)))
        plain.append(seconds(None))
    ratio = median(measured) / median(plain)
    print(f"{engine}: {median(measured):.2f} s with, {median(plain):.2f} s without: {ratio:.3f}")
    assert ratio <= 1.2


@pytest.mark.slow
def test_the_landscape_of_the_benchmark_network_takes_at_most_ten_seconds(tmp_path):
    folder = gd.train(*MLP, "epochs=3", folder=tmp_path).folder
    torch.set_num_threads(os.cpu_count() or 1)  # as on the command line
    start = time.perf_counter()
    plane = landscape(folder, points=50)
    seconds = time.perf_counter() - start
    torch.set_num_threads(1)
    print(f"{seconds:.1f} s")
    assert plane.values.shape == (50, 50)
    assert seconds <= 10
