"""Folders that strangers made: nothing outside them is read, written or removed."""

from __future__ import annotations

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO

import pytest
from command import locked_elsewhere
from matplotlib.figure import Figure

from gdframe.drawing.look import png
from gdframe.errors import UserError
from gdframe.runs.files import cache_folder
from gdframe.runs.folder import DamagedError, Folder
from gdframe.runs.log import append_log
from gdframe.runs.picture_files import read_pictures, remove_pictures
from gdframe.runs.run_folder import RunFolder
from gdframe.runs.sweep_folder import SweepFolder

NAMES = ("result.json", ".hydra/config.yaml", "checkpoint/step-000000000001.safetensors")


@pytest.fixture
def secret(tmp_path):
    path = tmp_path / "secret"
    path.write_text('{"status": "secret"}')
    return path


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "run" / ".hydra").mkdir(parents=True)
    (tmp_path / "run" / "checkpoint").mkdir()
    return Folder(tmp_path / "run")


def place(kind, path, secret):
    """Put something that is no file at a path."""
    if kind == "link":
        path.symlink_to(secret)
    elif kind == "dangling link":
        path.symlink_to(secret.with_name("nothing"))
    elif kind == "pipe":
        os.mkfifo(path)
    elif kind == "device":
        path.symlink_to("/dev/zero")
    else:
        path.mkdir()


@pytest.mark.parametrize("kind", ["link", "dangling link", "pipe", "device", "folder"])
@pytest.mark.parametrize("name", NAMES)
def test_only_files_are_read_and_written(folder, secret, name, kind):
    place(kind, folder.path / name, secret)
    before = secret.read_text()
    for attempt in (
        lambda: folder.read(name), lambda: folder.write(name, "x"), lambda: folder.append(name),
    ):  # fmt: skip
        with pytest.raises(DamagedError, match=name):
            attempt()
    assert not folder.has(name)
    assert folder.files(name) == []
    assert secret.read_text() == before
    assert not secret.with_name("nothing").exists()


@pytest.mark.parametrize("inner", [".hydra", "checkpoint"])
def test_linked_folders_inside_are_not_entered(folder, tmp_path, inner):
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    remaining = elsewhere / "step-000000000001.safetensors"
    remaining.write_text("remaining")
    (folder.path / inner).rmdir()
    (folder.path / inner).symlink_to(elsewhere)
    with pytest.raises(DamagedError, match="is a link"):
        folder.write(f"{inner}/file", "x")
    with pytest.raises(DamagedError, match="is a link"):
        folder.subfolder(inner)
    assert folder.files(f"{inner}/*") == []
    assert [path.name for path in elsewhere.iterdir()] == [remaining.name]


@pytest.mark.parametrize("name", ["../secret", "/etc/hostname", "a/../../secret", ""])
def test_names_that_lead_outside_are_refused(folder, secret, name):
    for attempt in (lambda: folder.read(name), lambda: folder.write(name, "x")):
        with pytest.raises(DamagedError, match="not inside"):
            attempt()


def test_a_folder_may_itself_be_a_link(folder, tmp_path):
    (tmp_path / "link").symlink_to(folder.path)
    Folder(tmp_path / "link").write("result.json", "{}")
    assert folder.read("result.json") == b"{}"


def test_large_files_and_files_that_are_no_text_are_refused(folder):
    with (folder.path / "result.json").open("wb") as file:
        file.truncate(1 << 40)  # a file with a hole, which takes no space
    with pytest.raises(DamagedError, match="bytes"):
        folder.read("result.json")
    (folder.path / "result.json").write_bytes(b'{"status": "\xff"}')
    with pytest.raises(DamagedError, match="UTF-8"):
        folder.read_text("result.json")


def test_linked_results_checkpoints_events_logs_and_pictures_are_not_used(tmp_path, secret):
    run = RunFolder(tmp_path / "run")
    (run.path / "checkpoint").mkdir(parents=True)
    for name in ("result.json", "events.out.tfevents.1.a.gdframe", "heat_map.png", "gdframe.log"):
        (run.path / name).symlink_to(secret)
    (run.path / NAMES[2]).symlink_to(secret)
    before = secret.read_text()
    with pytest.raises(DamagedError, match=r"result\.json: is a link"):
        run.read_result()
    assert not run.has_training_output()
    assert run.load_checkpoint() == (None, [])
    assert run.read_curves() == {}
    assert read_pictures(run.path, "heat_map") == {}
    remove_pictures(run.path, "heat_map")
    run.clear_events()
    append_log(run, "text")
    with pytest.raises(DamagedError, match=r"gdframe\.log: is a link"):
        run.file("gdframe.log")
    assert secret.read_text() == before


def test_the_files_of_a_start_are_removed_and_no_others(tmp_path):
    run = RunFolder(tmp_path / "run")
    run.write_config_files("lr: 1", ["lr=1"], "hydra: {}", {"a.py": "1"})
    assert run.is_run()
    run.remove_config_files()
    assert list(run.path.iterdir()) == []
    run.write_config_files("lr: 1", [])
    (run.path / ".hydra" / "notes.txt").write_text("mine")
    run.remove_config_files()
    assert [path.name for path in run.path.rglob("*")] == [".hydra", "notes.txt"]


def test_a_temporary_file_that_is_a_link_is_not_written_through(folder, secret):
    (folder.path / f".result.json.{os.getpid()}.gdframe.tmp").symlink_to(secret)
    before = secret.read_text()
    folder.write("result.json", "{}")
    assert secret.read_text() == before
    assert folder.read("result.json") == b"{}"


def test_temporary_files_of_dead_processes_are_removed_with_the_next_lock(tmp_path):
    run = RunFolder(tmp_path / "run")
    (run.path / ".hydra").mkdir(parents=True)
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    names = [f"{name}.{dead.pid}.gdframe.tmp" for name in (".result.json", ".hydra/.config.yaml")]
    remaining = [f".result.json.{os.getppid()}.gdframe.tmp", f".mine.{dead.pid}.tmp", "notes.tmp"]
    for name in (*names, *remaining):
        (run.path / name).write_text("")
    with run.lock():
        assert not any((run.path / name).exists() for name in names)
        assert all((run.path / name).exists() for name in remaining)


@pytest.mark.parametrize("kind", [RunFolder, SweepFolder])
def test_a_lock_keeps_other_processes_out_and_is_reentrant(tmp_path, kind):
    folder = kind(tmp_path)
    with folder.lock(), folder.lock():
        assert folder.is_training()
    assert not folder.is_training()
    with locked_elsewhere(tmp_path):
        assert folder.is_training()
        with pytest.raises(UserError, match="another process"), folder.lock():
            pass
    assert not folder.is_training()


def test_a_lock_keeps_other_threads_out(tmp_path):
    def lock() -> None:
        with RunFolder(tmp_path).lock():
            pass

    with ThreadPoolExecutor(1) as pool:
        with (
            RunFolder(tmp_path).lock(),
            pytest.raises(UserError, match="process or thread"),
        ):
            pool.submit(lock).result()
        pool.submit(lock).result()


def test_a_file_system_without_locks_is_named(tmp_path, monkeypatch, caplog):
    def flock(descriptor, operation):
        raise OSError(95, "Operation not supported")

    monkeypatch.setattr("fcntl.flock", flock)
    with RunFolder(tmp_path).lock():
        pass
    assert str(tmp_path) in caplog.text
    assert "no locks" in caplog.text
    assert not RunFolder(tmp_path).is_training()


def test_mean_curves_are_not_written_through_a_link(tmp_path):
    (tmp_path / "outside").mkdir()
    (tmp_path / "sweep").mkdir()
    (tmp_path / "sweep" / "mean").symlink_to(tmp_path / "outside")
    with pytest.raises(DamagedError, match="is a link"):
        SweepFolder(tmp_path / "sweep").mean("all")


OTHERS = (
    "events.out.tfevents.1.host.1", "model.safetensors", "coefficients.csv", "history.csv",
    "summary.csv", "result.json",
)  # fmt: skip


@pytest.mark.parametrize("name", OTHERS)
@pytest.mark.parametrize("words", [("hydra.run.dir=made",), ("-m", "sweep.dir=made", "seed=0,1")])
def test_a_folder_with_files_of_our_names_is_refused(gdframe, tmp_path, name, words):
    (tmp_path / "made").mkdir()
    (tmp_path / "made" / name).write_text("of somebody else")
    done = gdframe(*words, "epochs=1", "logging.progress=false")
    assert done.code == 2
    assert [path.name for path in (tmp_path / "made").iterdir()] == [name]
    assert (tmp_path / "made" / name).read_text() == "of somebody else"


def test_pictures_of_users_stay(tmp_path):
    figure, by_matplotlib = Figure(), BytesIO()
    drawn = png(figure)
    figure.savefig(by_matplotlib)
    for name in ("heat_map.png", "heat_map-a=1.png"):
        (tmp_path / name).write_bytes(drawn)
    for name in ("heat_map_paper.png", "heat_map-annotated.png"):
        (tmp_path / name).write_bytes(by_matplotlib.getvalue())
    remove_pictures(tmp_path, "heat_map")
    names = sorted(path.name for path in tmp_path.iterdir())
    assert names == ["heat_map-annotated.png", "heat_map_paper.png"]


def test_a_refused_launch_leaves_folders_that_were_there(gdframe, tmp_path):
    (tmp_path / "exp" / "keep").mkdir(parents=True)
    for folder in ("exp/keep/new/run", "exp/keep"):
        assert gdframe(f"hydra.run.dir={folder}", "lr=-1").code == 2
        assert [str(p.relative_to(tmp_path)) for p in sorted(tmp_path.rglob("*"))] == [
            "exp", "exp/keep"
        ]  # fmt: skip


@pytest.mark.parametrize("mode", [0o700, 0o777])
def test_a_cache_that_all_may_write_is_not_used(tmp_path, monkeypatch, mode):
    monkeypatch.delenv("GDFRAME_CACHE", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    (tmp_path / "gdframe").mkdir()
    (tmp_path / "gdframe").chmod(mode)
    assert (cache_folder("linear") is not None) == (mode == 0o700)
