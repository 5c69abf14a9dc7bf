"""Times gdframe beside its peers: ``python tests/benchmarks`` prints the table.

    python tests/benchmarks                     all rows, and how cost grows
    python tests/benchmarks 'full batch'        rows whose name holds the text
    python tests/benchmarks --write gdframe/guide/engines.md
                                                all rows, and replace the tables of the guide

Each contender of a row runs in a process of its own, pinned to the row's threads. A round runs
every contender of every row once, so that what disturbs the machine for a while costs a row one
round; figures are medians over rounds, and a ratio is the median of its rounds' ratios. The peers
come with ``pip install gdframe[bench]``; one that is missing is left out.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))

from problems import PROBLEMS, Problem  # noqa: E402

SECONDS = 1.0
"""Seconds that a contender is timed in a round, at least."""

FEW = 2000
"""Updates that a plain PyTorch loop is timed over, and compared after."""


def child(name: str, who: str, started: float) -> dict[str, Any]:
    """Do a row's work as one contender, in this process; return what it took."""
    import contenders
    import numpy as np

    problem = next(p for p in PROBLEMS if p.name == name)
    train = getattr(contenders, who)(problem)
    setup = getattr(train, "built", 0.0)
    steps = max(1, problem.rows // problem.size)
    updates = problem.updates.get(who, FEW if who == "torch" else steps)
    begun = time.perf_counter()
    train(updates)
    elapsed = time.perf_counter() - begun
    whole = time.time() - started - getattr(train, "choosing", 0.0)
    samples = [] if problem.updates.get(who, 0) >= 1000 else [elapsed]
    if not samples:  # set-up is part of the work: XᵀX is most of it
        samples = [elapsed + setup]
    while sum(samples) < SECONDS and len(samples) < 200 and not problem.updates:
        begun = time.perf_counter()
        train(updates)
        samples.append(time.perf_counter() - begun)
    alone = problem.runs if who in ("gdframe", "jax") else 1
    ends = {}
    if problem.updates:  # full batches: all steps are alike, and a few show whether they agree
        counts = {min(problem.updates["gdframe"], problem.updates["torch"])}
    else:
        counts = {"torch": {FEW}, "gdframe": {FEW, steps}}.get(who, {steps})
        counts = {min(count, steps) for count in counts}
    for count in counts if who != "product" else ():
        end = getattr(contenders, who)(problem, shuffle=False)(count)
        ends[str(count)] = np.asarray(end, dtype=np.float64).tolist()
    return {
        "setup": setup, "update": statistics.median(samples[1:] or samples) / updates / alone,
        "whole": whole, "updates": updates, "ends": ends,
    }  # fmt: skip


def measure(problem: Problem, who: str, cache: str) -> dict[str, Any] | None:
    """Run a contender in a process of its own; None where it is not installed."""
    threads = str(problem.threads)
    pinned = dict.fromkeys(
        ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS"), threads
    )
    pinned["XLA_FLAGS"] = (
        "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1"
        if threads == "1"
        else ""
    )
    environment = {
        **os.environ, **pinned, "GDFRAME_CACHE": cache, "TORCHINDUCTOR_CACHE_DIR": cache,
    }  # fmt: skip
    command = [sys.executable, str(HERE), "--child", problem.name, who, repr(time.time())]
    cores = sorted(os.sched_getaffinity(0))[: problem.threads]
    done = subprocess.run(
        command, env=environment, capture_output=True, text=True,
        preexec_fn=lambda: os.sched_setaffinity(0, cores),
    )  # fmt: skip
    if "ModuleNotFoundError" in done.stderr or "No such file or directory: 'cc'" in done.stderr:
        return None
    if done.returncode:
        raise RuntimeError(f"{problem.name}, {who}:\n{done.stderr}")
    result: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return result


def measured(problems: list[Problem], rounds: int) -> list[dict[str, list[dict[str, Any]]]]:
    """Run every contender of every row once in each round; return what each took, by row."""
    samples_of_rows: list[dict[str, list[dict[str, Any]]]] = [
        {who: [] for who in ("gdframe", *problem.peers)} for problem in problems
    ]
    with tempfile.TemporaryDirectory() as caches:
        for number in range(rounds):
            for place, (problem, row) in enumerate(zip(problems, samples_of_rows, strict=True)):
                print(f"{number + 1}/{rounds} {problem.name}", file=sys.stderr)
                for who, samples in row.items():
                    if (one := measure(problem, who, f"{caches}/{place}")) is not None:
                        samples.append(one)
                        print(f"  {who}: {one['update'] * 1e6:.4g} µs an update", file=sys.stderr)
    return samples_of_rows


def summary(problem: Problem, samples: dict[str, list[dict[str, Any]]]) -> dict[str, Any]:
    """Medians, ratios and agreement of a row's contenders."""
    ours = samples.pop("gdframe")
    peers = {}
    for who, theirs in samples.items():
        if not theirs:
            continue
        ratios = [b["update"] / a["update"] for a, b in zip(ours, theirs, strict=True)]
        if who == "product":  # one product against all epochs and the set-up
            ratios = [b["update"] / (a["update"] * a["updates"]) for a, b in zip(ours, theirs)]
        peers[who] = {
            "update": statistics.median(t["update"] for t in theirs),
            "setup": theirs[0]["setup"],
            "whole": statistics.median(t["whole"] for t in theirs),
            "ratio": statistics.median(ratios),
            "agrees": agreement(problem, who, ours[0]["ends"], theirs[0]["ends"]),
        }
    return {
        "update": statistics.median(o["update"] for o in ours),
        "cold": ours[0]["setup"],
        "warm": statistics.median(o["setup"] for o in ours[1:] or ours),
        "whole": statistics.median(o["whole"] for o in ours[1:] or ours),
        "peers": peers,
    }


def agreement(problem: Problem, who: str, ours: Any, theirs: Any) -> str:
    """Return in words whether two contenders end at the same parameters, rows in stored order."""
    shared = [count for count in theirs if count in ours]
    if not shared:
        return "another result"
    if problem.loss == "cross_entropy" and who == "sklearn":
        return "one-vs-rest"
    import numpy as np

    a, b = np.array(ours[shared[0]]), np.array(theirs[shared[0]])
    off = np.abs(a - b).max() / np.abs(b).max()
    return f"{off:.0e}" if off < 1e-2 else f"NO ({off:.0e})"


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("only", nargs="?", default="", help="text in the names of rows to run")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--write", type=Path, help="file whose marked part the tables replace")
    parser.add_argument("--child", nargs=3, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.child:
        name, who, started = arguments.child
        print(json.dumps(child(name, who, float(started))))
        return
    import growth
    import report

    problems = [problem for problem in PROBLEMS if arguments.only in problem.name]
    samples_of_rows = measured(problems, arguments.rounds)
    results = {p.name: summary(p, row) for p, row in zip(problems, samples_of_rows, strict=True)}
    grown = {} if arguments.only else growth.measure()
    text = report.tables(results, grown, arguments.rounds)
    print(text)
    if arguments.write:
        report.write(arguments.write, text)


if __name__ == "__main__":
    main()
