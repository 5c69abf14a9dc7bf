"""A command line that is killed at any file operation loses nothing.

A sample runs with the other tests. ``python -m pytest -m slow tests/runs/test_kills.py`` kills at
every operation.
"""

from __future__ import annotations

import json
import shutil

import pytest
from command import call, fork, output
from kills import OPERATIONS, Kill, contents, differing
from scenarios import COMMANDS, again, prepare
from thinned import thinned


@pytest.fixture(scope="module")
def expected(tmp_path_factory):
    """Return the start, the contents at the end, and the operations of a scenario."""
    known = {}

    def find(scenario, engine):
        if (scenario, engine) not in known:
            folder = tmp_path_factory.mktemp("whole") / "there"
            prepare(scenario, engine, folder)
            start = folder.with_name("start")
            shutil.copytree(folder, start)
            code = fork(Kill(folder), COMMANDS[scenario](engine), folder)
            assert code == 0, output(folder)
            operations = json.loads((folder.parent / OPERATIONS).read_text())
            known[scenario, engine] = start, contents(folder / "made"), operations
        return known[scenario, engine]

    return find


def assert_nothing_is_lost(expected, scenario, engine, at, opened, tmp_path):
    """Kill a command line at an operation, go on, and compare with the command line at once."""
    start, whole, operations = expected(scenario, engine)
    folder = tmp_path / f"{at}-{opened}" / "there"
    shutil.copytree(start, folder)
    code = fork(Kill(folder, at, opened), COMMANDS[scenario](engine), folder)
    assert code in (-9, 0), output(folder)  # threads may take another order
    command = again(scenario, engine, folder)
    code = call(command, folder, {})
    where = f"{scenario}, {engine}, {operations[at]}, opened={opened}: {command}"
    assert code == 0, (where, output(folder))
    problems = list(differing(whole, contents(folder / "made")))
    assert not problems, (where, problems)
    shutil.rmtree(folder.parent)


SAMPLE = [
    ("run", "linear", 29), ("resume", "linear", 29), ("sweep", "linear", 131),
    ("prediction", "linear", 2),
]  # fmt: skip
"""Scenario, engine, and every how many operations it is killed."""


@pytest.mark.parametrize(("scenario", "engine", "stride"), thinned(SAMPLE, 2))
def test_a_sample_of_kills_loses_nothing(expected, scenario, engine, stride, tmp_path):
    operations = expected(scenario, engine)[2]
    assert operations
    for at in range(stride // 2, len(operations), stride):
        assert_nothing_is_lost(expected, scenario, engine, at, at % 2 == 0, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("engine", ["linear", "eager"])
@pytest.mark.parametrize("scenario", COMMANDS)
def test_a_kill_at_any_operation_loses_nothing(expected, scenario, engine, tmp_path):
    operations = expected(scenario, engine)[2]
    failed = []
    for at, (event, _) in enumerate(operations):
        for opened in (False, True) if event == "open" else (False,):
            try:
                assert_nothing_is_lost(expected, scenario, engine, at, opened, tmp_path)
            except AssertionError as error:
                failed.append(str(error))
    points = sum(1 + (event == "open") for event, _ in operations)
    print(f"{scenario}, {engine}: {points - len(failed)} of {points} kills lost nothing")
    assert not failed, "\n".join(failed)
