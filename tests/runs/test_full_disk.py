"""A disk that becomes full at any moment of a command line: one message, and nothing is lost.

A sample runs with the other tests. ``python -m pytest -m slow tests/runs/test_full_disk.py`` leaves
every number of pages free, up to what a command line needs.
"""

from __future__ import annotations

import shutil

import pytest
from command import call, fork, output
from kills import contents, differing
from scenarios import COMMANDS, again, prepare
from surroundings import LEFT, OnSmallDisk
from thinned import thinned

PAGE = 4096

MOST = 400
"""Pages in which each command line has room."""


@pytest.fixture(scope="module")
def expected(tmp_path_factory):
    """Return what a scenario starts from, and its contents at the end on a large disk."""
    folder = tmp_path_factory.mktemp("probe") / "there"
    folder.mkdir()
    if fork(OnSmallDisk(None), (), folder) != 0:
        pytest.skip("small disks cannot be mounted here")
    known = {}

    def find(scenario):
        if scenario not in known:
            folder = tmp_path_factory.mktemp("whole") / "there"
            prepare(scenario, "linear", folder)
            start = folder.with_name("start")
            shutil.copytree(folder, start)
            assert call(COMMANDS[scenario]("linear"), folder, {}) == 0, output(folder)
            known[scenario] = start, contents(folder / "made")
        return known[scenario]

    return find


def assert_nothing_is_lost(expected, scenario, pages, tmp_path):
    """Leave some pages free; check the message and the files; return whether the pages suffice."""
    start, whole = expected(scenario)
    folder = tmp_path / f"{pages}" / "there"
    shutil.copytree(start, folder)
    command = COMMANDS[scenario]("linear")
    code = fork(OnSmallDisk(pages * PAGE), command, folder)
    shown = f"{scenario} with {pages} pages: exit code {code}\n{output(folder)}"
    assert code in (0, 1, 2), shown
    out, err = output(folder)
    assert "Traceback" not in out + err, shown
    if code:
        assert err.count("No space left on device") == 1, shown
    left = folder.with_name(LEFT)
    if code:
        command = again(scenario, "linear", left)
        assert call(command, left, {}) == 0, (shown, command, output(left))
    problems = list(differing(whole, contents(left / "made")))
    assert not problems, (shown, problems)
    shutil.rmtree(folder.parent)
    return code == 0


SAMPLE = [("run", 19), ("report", 199)]
"""Scenario, and every how many pages it is tried."""


@pytest.mark.parametrize(("scenario", "stride"), thinned(SAMPLE, 2))
def test_a_sample_of_full_disks_loses_nothing(expected, scenario, stride, tmp_path):
    assert not assert_nothing_is_lost(expected, scenario, 0, tmp_path)
    sizes = range(stride, MOST, stride)
    assert any(assert_nothing_is_lost(expected, scenario, pages, tmp_path) for pages in sizes)


@pytest.mark.slow
@pytest.mark.parametrize("scenario", COMMANDS)
def test_a_full_disk_loses_nothing(expected, scenario, tmp_path):
    pages = 0
    while not assert_nothing_is_lost(expected, scenario, pages, tmp_path):
        pages += 1
        assert pages < MOST
    print(f"{scenario}: disks with 0 to {pages - 1} free pages lost nothing")
