"""Surroundings in which files, folders, streams or the locale are not as a command line hopes."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
from thinned import thinned

QUICK = ("epochs=2", "logging.progress=false", "hydra.run.dir=made")


def shell(folder, redirection="", prefix="", **environment):
    """Run a command line by a shell, without the streams that it closes; return how it ended."""
    line = f"{prefix} {sys.executable} -m gdframe {' '.join(QUICK)} {redirection}"
    variables = {**os.environ, "OMP_NUM_THREADS": "1", **environment}
    return subprocess.run(
        ["bash", "-c", line], cwd=folder, env=variables, capture_output=True, text=True, timeout=120
    )


REDIRECTIONS = ["| true; exit ${PIPESTATUS[0]}", "<&- >&- 2>&-", ">&-", ">&- 2>&-", "2>/dev/full"]


@pytest.mark.parametrize("redirection", thinned(REDIRECTIONS, 5))
def test_a_run_ends_without_its_streams(tmp_path, redirection):
    done = shell(tmp_path, redirection)
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    assert (tmp_path / "made" / "result.json").is_file()


@pytest.mark.slow
def test_output_that_a_full_disk_loses_is_told_after_the_run_is_saved(tmp_path):
    done = shell(tmp_path, ">/dev/full")
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert "standard output: No space left on device" in done.stderr
    assert (tmp_path / "made" / "result.json").is_file()


ASCII = {"LC_ALL": "C", "PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}


ENVIRONMENTS = [ASCII, {"HOME": "/nowhere"}, {"TMPDIR": "/nowhere"}, {"GDFRAME_CACHE": "/dev/null"}]


@pytest.mark.parametrize(
    "environment", thinned(ENVIRONMENTS, 4), ids=lambda environment: next(iter(environment))
)
def test_a_run_needs_no_temporary_folder_home_cache_or_utf_8(tmp_path, environment):
    done = shell(tmp_path, **environment)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "made" / "result.json").is_file()


def test_a_deleted_working_folder_is_told(tmp_path):
    gone = tmp_path / "gone"
    gone.mkdir()
    done = shell(gone, prefix=f"rmdir {gone};", PYTHONPATH=os.environ.get("PYTHONPATH", ""))
    assert done.returncode == 2, done.stderr
    assert "Traceback" not in done.stderr
    assert "the working folder is removed" in done.stderr
