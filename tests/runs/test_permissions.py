"""Folders that may not be written to, and files that may not be read, as those of other users.

``python -m pytest -m slow tests/runs/test_permissions.py`` forbids each file to each verb.
"""

from __future__ import annotations

import random
import shutil
from pathlib import Path

import pytest
from command import fork, output
from damage import snapshot
from scenarios import RUN_VERBS, VERBS
from surroundings import without_privileges

READING = ("watch", "predict")
"""Verbs that write nothing."""


@pytest.fixture
def copied(stored, tmp_path):
    """Return a copy of that folder, whose files may be removed in the end."""
    folder = tmp_path / "cwd"
    shutil.copytree(stored, folder)
    yield folder
    for path in (folder, *folder.rglob("*")):
        path.chmod(0o755)


def assert_refused_or_used(verb, folder, what) -> int:
    """Run a verb; check that a refusal is one line that tells why, and return the exit code."""
    code = fork(without_privileges, verb, folder)
    out, err = output(folder)
    shown = f"{' '.join(verb)}, {what}: exit code {code}\n{out}\n{err}"
    assert code in (0, 1, 2), shown
    assert "Traceback" not in out + err, shown
    if code:
        lines = [line for line in err.splitlines() if line.startswith("gdframe: ")]
        assert len(lines) == 1, shown
        assert "ermission" in lines[0] or "already holds a run" in lines[0], shown
    return code


@pytest.mark.parametrize("verb", VERBS, ids=" ".join)
def test_a_folder_that_is_only_read_is_not_changed(copied, verb):
    before = snapshot(copied)
    for path in (*copied.rglob("*"), copied):
        path.chmod(0o555 if path.is_dir() else 0o444)
    code = assert_refused_or_used(verb, copied, "only read")
    assert (code == 0) == (verb[0] in READING)
    for path in (copied, *copied.rglob("*")):
        path.chmod(0o755 if path.is_dir() else 0o644)
    assert {name: content for name, (_, content) in snapshot(copied).items()} == {
        name: content for name, (_, content) in before.items()
    }


def unreadable(stored: Path) -> list[tuple[tuple[str, ...], Path]]:
    """Return each verb with each file and folder below its run or sweep."""
    inner = [("run" if verb in RUN_VERBS else "sweep", verb) for verb in VERBS]
    return [
        (verb, path.relative_to(stored))
        for name, verb in inner
        for path in (stored / name, *sorted((stored / name).rglob("*")))
    ]


def assert_nothing_is_lost_without(copied, verb, path) -> None:
    """Forbid a file to a verb; check that it refuses or does without, and that the file stays."""
    before = snapshot(copied)[str(path)]
    (copied / path).chmod(0)
    code = assert_refused_or_used(verb, copied, f"{path} forbidden")
    if (copied / path).exists():  # curves that are written anew have other names
        (copied / path).chmod(0o755)
    if code:
        assert snapshot(copied)[str(path)][1] == before[1]


@pytest.mark.parametrize("number", range(8))
def test_a_sample_of_files_that_may_not_be_read(stored, copied, number):
    assert_nothing_is_lost_without(copied, *random.Random(number).choice(unreadable(stored)))


@pytest.mark.slow
@pytest.mark.parametrize("verb", VERBS, ids=" ".join)
def test_files_that_may_not_be_read(stored, tmp_path, verb):
    cases = [path for other, path in unreadable(stored) if other == verb]
    assert len(cases) > 10
    for number, path in enumerate(cases):
        folder = tmp_path / str(number) / "cwd"
        shutil.copytree(stored, folder)
        assert_nothing_is_lost_without(folder, verb, path)
        shutil.rmtree(folder.parent)
    print(f"{' '.join(verb)}: {len(cases)} files that may not be read")
