"""A folder from a stranger runs no code: its plugins wait for the user's word."""

from __future__ import annotations

import hashlib
import json
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from thinned import thinned

RULE = (
    "from gdframe import GD, OPTIMIZERS\n"
    "from pathlib import Path\n"
    "Path({mark!r}).touch()\n"
    "@OPTIMIZERS.register('mine')\n"
    "class Mine(GD): ...\n"
)
QUICK = ("data=regression", "data.rows=80", "epochs=2", "logging.progress=false")


@pytest.fixture(autouse=True)
def _fresh_cache(tmp_path_factory, monkeypatch):
    monkeypatch.setenv("GDFRAME_CACHE", str(tmp_path_factory.mktemp("cache")))


@pytest.fixture
def forget(tmp_path_factory, monkeypatch):
    """Return a function after which this is another user, who has trained with no plugin."""
    return lambda: monkeypatch.setenv("GDFRAME_CACHE", str(tmp_path_factory.mktemp("other")))


class Stranger:
    """Somebody who trains a run or a sweep with a plugin, and sends the folder."""

    def __init__(self, folder, gdframe):
        self.folder, self.gdframe = folder, gdframe
        self.mark, self.plugin = folder / "ran", folder / "mine.py"
        self.plugin.write_text(RULE.format(mark=str(self.mark)))
        columns = ",".join(f"x{i}" for i in range(20))
        (folder / "rows.csv").write_text(f"{columns}\n{','.join(['1'] * 20)}\n")

    def train(self, *words):
        done = self.gdframe(*words, *QUICK, "plugins=[mine.py]", "optimizer=mine")
        assert done.code == 0, done.err
        self.mark.unlink()

    def runs_code(self, *arguments):
        done = self.gdframe(*arguments)
        assert "Traceback" not in done.err
        has_run = self.mark.exists()
        self.mark.unlink(missing_ok=True)
        return has_run, done


@pytest.fixture
def stranger(tmp_path, gdframe):
    return Stranger(tmp_path, gdframe)


VERBS = [
    ("resume", "run", "epochs=3"), ("predict", "run", "rows.csv"), ("landscape", "run"),
]  # fmt: skip


@pytest.mark.parametrize("arguments", VERBS, ids=lambda words: words[0])
def test_plugins_of_a_strangers_folder_wait_for_the_users_word(stranger, forget, arguments):
    stranger.train("hydra.run.dir=run")
    has_run, done = stranger.runs_code(*arguments)
    assert has_run  # by the user who trained with it
    assert done.code == 0
    forget()
    has_run, done = stranger.runs_code(*arguments)
    assert not has_run
    assert done.code == 2
    option = shlex.split(done.err.rpartition(" name it again: ")[2])  # what the message prints
    has_run, done = stranger.runs_code(*arguments, *option)
    assert has_run
    assert done.code == 0, done.err


def test_report_and_watch_load_no_unknown_plugin(stranger, forget):
    stranger.train("hydra.run.dir=run")
    forget()
    for arguments in (("report", "run"), ("watch", "run")):
        has_run, done = stranger.runs_code(*arguments)
        assert not has_run
        assert done.code == 0, done.err


def test_a_strangers_sweep_waits_for_the_users_word(stranger, forget):
    stranger.train("-m", "lr=0.01,0.02", "sweep.dir=made")
    forget()
    (stranger.folder / "made" / "1" / "result.json").unlink()
    has_run, done = stranger.runs_code("resume", "made")
    assert (has_run, done.code) == (False, 2)
    option = shlex.split(done.err.rpartition(" name it again: ")[2])
    has_run, done = stranger.runs_code("resume", "made", *option)
    assert (has_run, done.code) == (True, 0), done.err


def test_a_sweep_resumes_with_a_plugin_that_has_moved(stranger):
    stranger.train("-m", "lr=0.01,0.02", "sweep.dir=made")
    folder = stranger.folder / "made"
    before = (folder / "1" / "result.json").read_text()
    (folder / "1" / "result.json").unlink()
    moved = stranger.folder / "elsewhere" / "mine.py"
    moved.parent.mkdir()
    stranger.plugin.rename(moved)
    _, done = stranger.runs_code("resume", "made")
    assert done.code == 2
    has_run, done = stranger.runs_code("resume", "made", "plugins=[elsewhere/mine.py]")
    assert (has_run, done.code) == (True, 0), done.err
    assert "excluded" not in done.out
    after = (folder / "1" / "result.json").read_text()
    assert json.loads(after)["objective"] == json.loads(before)["objective"]
    assert list(json.loads((folder / "sweep.json").read_text())["plugins"]) == [str(moved)]
    _, done = stranger.runs_code("resume", "made")
    assert done.code == 0, done.err


def changed(stranger):
    stranger.plugin.write_text(stranger.plugin.read_text() + "\n# changed\n")


def changed_with_its_digest(stranger):
    changed(stranger)
    forge(stranger, str(stranger.plugin))


def inside(stranger):
    moved = stranger.folder / "run" / "mine.py"
    shutil.copy(stranger.plugin, moved)
    forge(stranger, str(moved))


def linked_inside(stranger):
    inside(stranger)
    link = stranger.folder / "elsewhere.py"
    link.symlink_to(stranger.folder / "run" / "mine.py")
    forge(stranger, str(link))


def relative(stranger):
    forge(stranger, "mine.py")


def missing(stranger):
    stranger.plugin.rename(stranger.plugin.with_name("moved.py"))


def a_module_beside_it(stranger):
    forge(stranger, "mine")


def a_module_of_a_library(stranger):
    forge(stranger, "numpy.testing")


def a_users_other_script(stranger):
    other = stranger.folder / "script.py"
    shutil.copy(stranger.plugin, other)
    forge(stranger, str(other))


def forge(stranger, plugin):
    """Write another plugin, with its right digest, into the folder."""
    run = stranger.folder / "run"
    config = run / ".hydra" / "config.yaml"
    config.write_text(config.read_text().replace(str(stranger.plugin), plugin))
    path = Path(plugin) if Path(plugin).is_absolute() else stranger.folder / plugin
    if path.is_file():
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        (run / ".hydra" / "plugins.json").write_text(json.dumps({plugin: digest}))


FORGERIES = [
    changed, changed_with_its_digest, inside, linked_inside, relative, missing,
    a_module_beside_it, a_module_of_a_library, a_users_other_script,
]  # fmt: skip


@pytest.mark.parametrize("forgery", thinned(FORGERIES, 3), ids=lambda function: function.__name__)
def test_a_plugin_that_the_user_did_not_train_with_is_not_loaded(stranger, forgery):
    stranger.train("hydra.run.dir=run")
    forgery(stranger)
    has_run, done = stranger.runs_code("resume", "run", "epochs=3")
    assert not has_run
    assert done.code == 2
    assert "plugin" in done.err


def test_nothing_is_imported_from_the_working_folder(tmp_path):
    mark = tmp_path / "ran"
    code = f"open({str(mark)!r}, 'w').close()\nraise SystemExit(9)\n"
    for name in ("torch", "hydra", "lazy_loader", "msgpack", "matplotlib", "yaml", "numpy", "rich"):
        (tmp_path / f"{name}.py").write_text(code)
    package = tmp_path / "evil-1.0.dist-info"
    package.mkdir()
    (package / "METADATA").write_text("Metadata-Version: 2.1\nName: evil\nVersion: 1.0\n")
    (package / "entry_points.txt").write_text("[gdframe.plugins]\nevil = evil\n")
    (tmp_path / "evil.py").write_text(code)
    words = [*QUICK, "engine=eager", "hydra.run.dir=run"]
    for arguments in (words, ["landscape", "run"]):
        done = subprocess.run(
            [sys.executable, "-m", "gdframe", *arguments],
            cwd=tmp_path, capture_output=True, text=True,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        assert not mark.exists()


@pytest.mark.parametrize("is_link", [False, True])
def test_settings_of_pictures_in_the_working_folder_are_not_read(tmp_path, is_link):
    mark = tmp_path / "ran"
    program = tmp_path / "ffmpeg.sh"
    program.write_text(f"#!/bin/sh\ntouch {mark}\n")
    program.chmod(0o755)
    settings = tmp_path / ("sub/matplotlibrc" if is_link else "matplotlibrc")
    if is_link:
        (tmp_path / "matplotlibrc").symlink_to("sub/matplotlibrc")
        settings.parent.mkdir()
    settings.write_text(f"animation.ffmpeg_path: {program}\nbackend: module://evil\n")
    (tmp_path / "evil.py").write_text(f"open({str(mark)!r}, 'w').close()\n")
    code = (
        "import gdframe.drawing, matplotlib; "
        "print(matplotlib.rcParams['animation.ffmpeg_path'], matplotlib.get_backend())"
    )
    done = subprocess.run(
        [sys.executable, "-P", "-c", code], cwd=tmp_path, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert str(program) not in done.stdout
    assert "evil" not in done.stdout
    assert not mark.exists()


def test_settings_of_numba_in_the_working_folder_are_refused_before_numba_reads_them(tmp_path):
    (tmp_path / ".numba_config.yaml").write_text("chrome_trace: trace.json\ncache_dir: cached\n")
    done = subprocess.run(
        [sys.executable, "-m", "gdframe", *QUICK, "engine=linear"],
        cwd=tmp_path, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 2
    assert done.stderr.startswith("gdframe: .numba_config.yaml: ")
    assert [path.name for path in tmp_path.iterdir()] == [".numba_config.yaml"]


def test_processes_that_libraries_start_import_nothing_from_the_working_folder(tmp_path):
    mark = tmp_path / "ran"
    (tmp_path / "ctypes.py").write_text(f"open({str(mark)!r}, 'w').close()\n")
    (tmp_path / "plugin.py").write_text(
        "import subprocess, sys\n"
        "subprocess.run([sys.executable, '-c', 'import ctypes'], check=True)\n"
    )
    script = "import sys; from gdframe.cli.main import main; sys.exit(main())"
    for start in (["-m", "gdframe"], ["-P", "-c", script]):
        words = ["list", "loss", "plugins=[plugin.py]"]
        done = subprocess.run(
            [sys.executable, *start, *words], cwd=tmp_path, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr
        assert not mark.exists()
