"""Components of a config are built once: data are loaded on the CPU, then moved."""

from __future__ import annotations

import pytest
import torch

import gdframe as gd
from gdframe.api import composed, plain
from gdframe.cli.main import main
from gdframe.config import build as building
from gdframe.config.build import build
from gdframe.config.load_data import load_data
from gdframe.registry import LOSSES, SCHEDULES
from gdframe.runs.run_folder import RunFolder
from gdframe.sweeps.executing.datasets import Datasets


@pytest.fixture
def loads(monkeypatch):
    """Collect the devices on which data are loaded."""
    devices, load = [], gd.data.Source.load

    def counted(self, *, device, **settings):
        devices.append(device)
        return load(self, device=device, **settings)

    monkeypatch.setattr(gd.data.Source, "load", counted)
    return devices


@pytest.fixture
def other_device(monkeypatch):
    """Name a device beside the CPU that every machine has, and that should be faster."""
    pick = building.pick_device
    monkeypatch.setattr(
        building, "pick_device", lambda name: "cpu:0" if name == "auto" else pick(name)
    )
    monkeypatch.setattr(building, "gpu_is_faster", lambda *_, **__: True)


def test_data_are_loaded_once_and_moved(loads, other_device):
    auto = build(plain(composed(["device=auto", "lr=0.01"])))
    assert loads == ["cpu"]
    cpu = build(plain(composed(["device=cpu", "lr=0.01"])))
    assert torch.equal(auto.data.train.features, cpu.data.train.features)
    assert auto.data.digest == cpu.data.digest
    for a, b in zip(auto.model.parameters(), cpu.model.parameters(), strict=True):
        assert torch.equal(a, b)


def test_runs_of_a_sweep_share_data_on_every_device(loads, other_device):
    datasets = Datasets()
    configs = [
        plain(composed([f"device={d}", f"lr={lr}"])) for d in ("auto", "cpu") for lr in (1, 2)
    ]
    specs = [build(config, datasets.load) for config in configs]
    assert loads == ["cpu"]
    assert specs[0].data is specs[1].data
    assert specs[2].data is specs[3].data
    assert specs[0].data is not specs[2].data


def test_data_without_rows_to_validate_are_moved():
    data = load_data(plain(composed(["data.validation=0"])))
    assert data.on("cpu") is data
    moved = data.on("meta")
    assert moved.validation is None
    assert moved.train.targets.device.type == "meta"
    assert data.on("meta") is moved


def test_components_are_built_from_their_settings():
    settings = {"name": "huber", "delta": 2.0}
    assert LOSSES.configured(settings).delta == 2.0
    assert settings == {"name": "huber", "delta": 2.0}
    assert isinstance(SCHEDULES.configured({"name": "constant"}), gd.Constant)
    with pytest.raises(gd.UserError, match="loss=nothing: "):
        LOSSES.configured({"name": "nothing"})


def test_the_config_of_a_resumed_run_is_read_once(tmp_path, monkeypatch):
    gd.train("epochs=1", folder=tmp_path)
    reads, read = [], RunFolder.read_config_text
    monkeypatch.setattr(
        RunFolder, "read_config_text", lambda self: (reads.append(self.path), read(self))[1]
    )
    assert main(["resume", str(tmp_path), "epochs=2"]) == 0
    assert reads == [tmp_path]


@pytest.mark.parametrize("words", [["checkpoint.every=1"], ["checkpoint.every=null"]])
def test_a_report_reads_event_files_once(tmp_path, monkeypatch, words):
    gd.train("epochs=2", *words, folder=tmp_path)
    reads, read = [], RunFolder.read_curves
    monkeypatch.setattr(
        RunFolder,
        "read_curves",
        lambda self, *more: (reads.append(self.path), read(self, *more))[1],
    )
    assert main(["report", str(tmp_path), "--no-landscape"]) == 0
    assert reads == [tmp_path]


def test_the_default_batch_fits_a_small_table(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text("\n".join(["a,y", *(f"{i},{2 * i + 0.5}" for i in range(10))]))
    words = ["data=table", f"data.path={path}", "data.target=y", "data.validation=0", "lr=0.1"]
    result = gd.train(*words, "epochs=2", folder=tmp_path / "run")
    assert (result.steps, result.samples) == (2, 20)
    with pytest.raises(gd.UserError, match="batch_size=11"):
        gd.train(*words, "batch_size=11", folder=tmp_path / "other")
