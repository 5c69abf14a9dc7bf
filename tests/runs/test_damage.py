"""Damaged and hostile folders: every verb answers in one line or works, and touches nothing else.

``pytest -m slow tests/runs/test_damage.py`` tries 2,000 cases, which differ by their seed.
"""

from __future__ import annotations

import random
import resource
import shutil
from collections.abc import Sequence
from pathlib import Path

import command
import pytest
from command import command_line, fork, output
from damage import DAMAGES, snapshot
from scenarios import RUN_VERBS, VERBS
from thinned import thinned

CASES, SAMPLE = 2_000, 10
"""Cases of the long test, and of the short one."""

SECONDS, BYTES = 60.0, 2 << 30
"""Most seconds of a case, and most memory."""

LARGEST = "largest.txt"


def limited(arguments: Sequence[str]) -> int:
    """Run a command line, and write its most memory into a file beside its folder."""
    code = command_line(arguments)
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    (Path.cwd().parent / LARGEST).write_text(str(most))
    return code


def owned(verb: Sequence[str]) -> tuple[str, ...]:
    """Return what a verb may write, as beginnings of paths."""
    if verb[0] == "report":
        return (f"{verb[1]}/report.html",)
    if verb[0] == "landscape":
        return (f"{verb[1]}/landscape.png", f"{verb[1]}/landscape.dark.png")
    if verb[0] in ("watch", "predict"):
        return ()
    return ("run/", "sweep/")


def assert_named_or_used(stored: Path, tmp_path: Path, seed: int, monkeypatch) -> None:
    """Damage a file by a seed, run a verb, and check what it prints, takes and leaves."""
    draw = random.Random(seed)
    folder = tmp_path / "cwd"
    shutil.copytree(stored, folder)
    verb = draw.choice(VERBS)
    inner = folder / ("run" if verb in RUN_VERBS else "sweep")
    files = [path for path in sorted(inner.rglob("*")) if path.is_file()]
    path, damage = draw.choice(files), draw.choice(DAMAGES)
    what = f"{' '.join(verb)}: {damage.__name__} {path.relative_to(folder)}, seed {seed}"
    damage(path, draw)
    before = snapshot(folder)
    monkeypatch.setattr(command, "LIMIT", SECONDS)
    monkeypatch.setenv("SECRET", "secret")
    code = fork(limited, verb, folder)
    out, err = output(folder)
    shown = f"{what}: exit code {code}\n{out}\n{err}"
    assert code in (0, 1, 2, 3), shown
    assert "Traceback" not in out + err, shown
    assert "secret" not in out + err, shown
    assert all(line.isprintable() for line in (out + err).split("\n")), shown
    if code == 2:
        assert len([line for line in err.splitlines() if line.startswith("gdframe: ")]) == 1, shown
    assert int((tmp_path / LARGEST).read_text()) < BYTES, shown
    after = snapshot(folder)
    changed = {name for name in before.keys() | after.keys() if before.get(name) != after.get(name)}
    assert not [name for name in changed if not name.startswith(owned(verb))], (shown, changed)


@pytest.mark.parametrize("seed", thinned(range(SAMPLE), 4))
def test_sample(stored, tmp_path, seed, monkeypatch):
    assert_named_or_used(stored, tmp_path, seed, monkeypatch)


@pytest.mark.slow
@pytest.mark.parametrize("block", range(SAMPLE, CASES, 100), ids=lambda block: f"{block}-")
def test_cases(stored, tmp_path, block, monkeypatch):
    for seed in range(block, min(block + 100, CASES)):
        case = tmp_path / str(seed)
        case.mkdir()
        assert_named_or_used(stored, case, seed, monkeypatch)
        shutil.rmtree(case)
