"""A sweep of a thousand runs, beside the same sweep with Hydra's own launcher.

``python tests/benchmarks/sweep.py`` prints the comparison, and with
``--write gdframe/guide/sweeps.md`` replaces it there, between the marks. The whole process is
timed: composing, training, events, summary. Hydra's launcher gets a part of the sweep, and its time
is extrapolated; its start-up, measured on a sweep of one, is counted once.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from report import write

BEGIN, END = "<!-- sweep: begin -->", "<!-- sweep: end -->"

RATES, SEEDS, PART = 200, 5, 10

COMMON = (
    "data=regression", "data.rows=10000", "data.features=20", "variant=sgd", "epochs=5",
    "checkpoint.every=null", "logging.progress=false",
)  # fmt: skip


def rates(count: int) -> str:
    return ",".join(f"{10 ** (-4 + 2.5 * i / RATES):.5g}" for i in range(count))


def seconds(root: str, *arguments: str) -> float:
    folder = tempfile.mkdtemp(dir=root)  # removed at the end: it slows down what comes next
    begun = time.perf_counter()
    subprocess.run(
        [sys.executable, "-m", "gdframe", "-m", *COMMON, *arguments], cwd=folder, check=True,
        stdout=subprocess.DEVNULL,
    )  # fmt: skip
    return time.perf_counter() - begun


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--write", type=Path, help="the file with the marks")
    parser.add_argument("--rounds", type=int, default=3)
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as root:
        text = compare(root, chosen.rounds)
    print(text)
    if chosen.write:
        write(chosen.write, text, BEGIN, END)


def compare(root: str, rounds: int) -> str:
    """Measure both sides in turns; return what there is to say."""
    seeds = f"seed=range({SEEDS})"
    basic = ("hydra/launcher=basic", "hydra/sweeper=basic")
    seconds(root, "lr=0.001", seeds)  # compiles what is kept
    ours, theirs, starts = [], [], []
    for number in range(rounds):
        ours.append(seconds(root, f"lr={rates(RATES)}", seeds))
        starts.append(seconds(root, *basic, "lr=0.001"))
        theirs.append(seconds(root, *basic, f"lr={rates(PART)}", seeds))
        print(f"{number + 1}: {ours[-1]:.1f} s; {PART * SEEDS} runs by basic {theirs[-1]:.1f} s")
    ours_seconds, start, part = map(statistics.median, (ours, starts, theirs))
    each = (part - start) / (PART * SEEDS - 1)
    runs = RATES * SEEDS
    whole = start + (runs - 1) * each
    return (
        f"{runs:,} runs ({RATES} learning rates, {SEEDS} seeds, per-sample linear regression on "
        f"10,000 x 20, 5 epochs), whole process, events and summary written, medians of "
        f"{rounds}: **{ours_seconds:.1f} s**. Hydra's basic launcher takes {part:.1f} s for "
        f"{PART * SEEDS} of them, {each:.2f} s each, so {whole / 60:.1f} minutes for all "
        f"(extrapolated): **{whole / ours_seconds:.0f} times** as long."
    )


if __name__ == "__main__":
    main()
