"""Runs that signals end or kill at random moments, and launches that want one folder.

A sample runs with the other tests. ``python -m pytest -m slow tests/runs/test_signals.py`` runs
``CASES`` runs with several signals each, and ``TRIES`` pairs of launches.
"""

from __future__ import annotations

import os
import random
import signal
import time
from contextlib import suppress

import pytest
from command import begin, call, command_line, output, start, wait_for
from kills import contents, differing
from thinned import thinned

CASES, TRIES = 100, 20

SHORT = (
    "data=regression", "data.rows=200", "lr=0.001", "checkpoint.every=2", "logging.progress=false",
    "logging.max_points=20", "stopping.tolerance=null",
)  # fmt: skip
SETTINGS = (*SHORT, "epochs=60")

CHOICES = {
    "engine": ("eager", "linear"),
    "variant": ("batch", "minibatch", "sgd"),
    "optimizer": ("gd", "momentum", "adam", "nesterov", "rmsprop"),
    "dtype": ("float32", "float64"),
}

ENDING = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
SIGNALS = (signal.SIGKILL,) * 5 + ENDING + (signal.SIGSTOP,)


def command(draw):
    """Return the words of a run."""
    return [*SETTINGS, *(f"{key}={draw.choice(values)}" for key, values in CHOICES.items())]


def disturbed(folder, words, draw):
    """Train with signals at random moments; resume after each, and at last undisturbed."""
    signals = list(SIGNALS)
    draw.shuffle(signals)
    for number in signals:
        made = (folder / "made" / ".hydra" / "config.yaml").is_file()
        again = ("resume", "made") if made else (*words, "hydra.run.dir=made")
        process = begin(command_line, again, folder)
        time.sleep(draw.uniform(0.0, 1.5))  # any moment will do
        with suppress(ProcessLookupError):  # it has ended
            os.kill(process.pid, number)
            if number == signal.SIGSTOP:
                time.sleep(0.1)
                os.kill(process.pid, signal.SIGCONT)
        process.join(120)
        expected = {0, 130, -number} if number in ENDING else {0, -number}
        if output(folder) == ("", ""):  # Ctrl-C came before gdframe, and Python raised
            expected.add(1)
        assert process.exitcode in expected, (number, process.exitcode, output(folder))
    assert (code := call(("resume", "made"), folder, {})) == 0, (code, output(folder))


def assert_nothing_is_lost(number, folder):
    """Compare a disturbed run with one that was never disturbed."""
    draw = random.Random(number)
    words = command(draw)
    whole, other = folder / f"whole-{number}", folder / f"other-{number}"
    for place in (whole, other):
        place.mkdir()
    assert call([*words, "hydra.run.dir=made"], whole, {}) == 0, output(whole)
    disturbed(other, words, draw)
    problems = list(differing(contents(whole / "made"), contents(other / "made")))
    assert not problems, (words, problems)


@pytest.mark.slow
@pytest.mark.parametrize("number", range(CASES))
def test_signals_at_random_moments_lose_nothing(number, tmp_path):
    assert_nothing_is_lost(number, tmp_path)


@pytest.mark.parametrize(
    "number", [ENDING[0], *(pytest.param(number, marks=pytest.mark.slow) for number in ENDING[1:])],
    ids=lambda number: number.name,
)  # fmt: skip
def test_a_signal_ends_a_run_that_can_be_resumed(number, tmp_path):
    run = start(tmp_path, *SHORT, "epochs=30", "engine=eager", "variant=sgd",
                "hydra.run.dir=made")  # fmt: skip
    wait_for(lambda: list(tmp_path.glob("made/checkpoint/step-*")))
    run.send_signal(number)
    _, err = run.communicate(timeout=60)
    assert run.returncode == 130, err
    assert "Traceback" not in err
    assert '"status": "interrupted"' in (tmp_path / "made" / "result.json").read_text()
    assert call(("resume", "made"), tmp_path, {}) == 0, output(tmp_path)


def test_a_run_that_ignores_a_closed_terminal_goes_on(tmp_path):
    run = start(tmp_path, *SETTINGS, "engine=eager", "hydra.run.dir=made",
                preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_IGN))  # fmt: skip
    wait_for(lambda: list(tmp_path.glob("made/checkpoint/step-*")))
    run.send_signal(signal.SIGHUP)
    _, err = run.communicate(timeout=60)
    assert run.returncode == 0, err


LAUNCHES = {
    "run": ("hydra.run.dir=made",),
    "sweep": ("-m", "sweep.dir=made", "seed=0,1"),
}


def assert_one_wins(kind, folder):
    """Launch twice into one folder at one moment: one launch trains, and the other leaves nothing.

    The loser finds the folder locked, or a run in it that has ended.
    """
    short = [word for word in SETTINGS if not word.startswith("lr=")]
    rates = ("0.011", "0.012")
    launches = [start(folder, *short, *LAUNCHES[kind], f"lr={lr}", "engine=eager") for lr in rates]
    ends = [launch.communicate(timeout=120) for launch in launches]
    codes = [launch.returncode for launch in launches]
    assert sorted(codes) == [0, 2], (codes, ends)
    loser = codes.index(2)
    assert ends[loser][1].count("\n") == 1, ends[loser]
    assert ends[loser][0] == ""
    winner = rates[codes.index(0)]
    written = contents(folder / "made")
    assert written["leftovers"] == []
    assert len(written["runs"]) == (1 if kind == "run" else 2)
    for run in written["runs"].values():
        assert f"\nlr: {winner}\n" in f"\n{run['config']}"
        assert run["result"]["lr"] == float(winner)
    texts = [path.read_text() for path in (folder / "made").rglob("*.yaml")]
    assert not [text for text in texts if f"lr={rates[loser]}" in text]
    assert [path.name for path in folder.iterdir()] == ["made"]


@pytest.mark.parametrize("kind", thinned(LAUNCHES, 2))
def test_one_of_two_launches_gets_the_folder(kind, tmp_path):
    assert_one_wins(kind, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("attempt", range(TRIES))
@pytest.mark.parametrize("kind", thinned(LAUNCHES, 2))
def test_one_of_many_two_launches_gets_the_folder(kind, attempt, tmp_path):
    assert_one_wins(kind, tmp_path)
