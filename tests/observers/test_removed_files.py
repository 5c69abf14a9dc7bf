"""What somebody removes from a run folder while the run trains is told; the run is saved."""

from __future__ import annotations

import shutil

import pytest

import gdframe as gd
from gdframe.runs.run_folder import RunFolder


class Removes(gd.Observer):
    """Calls a function with the run folder once, amid the run."""

    def __init__(self, folder, remove):
        self.folder, self.remove = folder, remove

    def on_epoch(self, run):
        if run.step == 3:
            self.remove(self.folder)


def remove_events(folder):
    for path in folder.glob("events.*"):
        path.unlink()


def link_events(folder):
    for path in folder.glob("events.*"):
        path.unlink()
        path.symlink_to(folder / "gdframe.log")


def remove_configs(folder):
    shutil.rmtree(folder / ".hydra")


def link_checkpoints(folder):
    shutil.rmtree(folder / "checkpoint")
    (folder / "checkpoint").symlink_to(folder.parent)


def hide_checkpoints(folder):
    shutil.rmtree(folder / "checkpoint")
    (folder / "checkpoint").write_text("")


@pytest.mark.parametrize(("remove", "told"), [
    (remove_events, "the event file was removed while the run trained"),
    (link_events, "the event file was removed while the run trained"),
    (remove_configs, "its config was removed, and is written again"),
    (link_checkpoints, "checkpoint: is a link, where gdframe writes a folder"),
    (hide_checkpoints, "checkpoint: is a file, where gdframe writes a folder"),
])  # fmt: skip
def test_the_run_goes_on_and_is_saved(tmp_path, caplog, remove, told):
    folder = tmp_path / "run"
    words = ["variant=batch", "lr=0.01", "epochs=6", "checkpoint.every=1", "logging.progress=false"]
    result = gd.train(*words, folder=folder, observers=[Removes(folder, remove)])
    assert sum(told in record.getMessage() for record in caplog.records) == 1
    assert result.epochs == 6
    run = RunFolder(folder)
    assert run.is_run()
    assert run.read_result()["objective"] == result.objective
    assert run.has("model.safetensors")
    assert not (tmp_path / "step-000000000006.safetensors").exists()
