"""Times whole commands beside the scripts that people write: from a file to a scored model.

    python tests/benchmarks/commands.py                 all rows
    python tests/benchmarks/commands.py MLP             rows whose name holds the text
    python tests/benchmarks/commands.py --write gdframe/guide/engines.md
                                                        all rows, and replace the table of the guide
    python tests/benchmarks/commands.py --profile MLP   where gdframe's command of a row spends time

Each row is done by every contender in turns, for some rounds; figures are medians. gdframe's first
round begins with an empty cache. Peak memory is that of the process, with all that it imports.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path

import numpy as np
from scripts import SCRIPTS, SETTINGS

BEGIN, END = "<!-- commands: begin -->", "<!-- commands: end -->"
RATES = ",".join(f"{rate:.4g}" for rate in np.geomspace(1e-4, 1e-2, 64))
TABLE = ("data=table", "data.path=table.csv", "data.target=y")
MLP = ("model=mlp", "model.hidden=[64]", "engine=compiled", "lr=0.01", "epochs=10")


@dataclass(frozen=True)
class Row:
    """One row of the table.

    Args:
        name: what it is called.
        command: gdframe's overrides.
        peers: who else does it, by names of scripts.
        rows: of the file; 0 where the data come with the contenders.
        settings: of the scripts.
    """

    name: str
    command: tuple[str, ...]
    peers: tuple[str, ...] = ("scikit-learn", "PyTorch", "JAX")
    rows: int = 100_000
    settings: str = ""


ROWS = [
    Row("the default run: diabetes, sgd, 100 epochs", ("variant=sgd", "lr=0.01"), rows=0,
        settings="BATCH, EPOCHS, RATE, PATH = 1, 100, 0.01, None"),
    Row("100,000 x 20, CSV, batch 32, 10 epochs", (*TABLE, "epochs=10")),
    Row("the same, Parquet", ("data=table", "data.path=table.parquet", "data.target=y",
                              "epochs=10"), settings="PATH = 'table.parquet'"),
    Row("1,000,000 x 20, CSV, batch 32, 10 epochs", (*TABLE, "epochs=10"),
        peers=("scikit-learn", "JAX"), rows=1_000_000),
    Row("100,000 x 20, CSV, MLP 20-64-1, batch 32, 10 epochs", (*TABLE, *MLP),
        settings="HIDDEN = 64"),
    Row("100,000 x 20, CSV, 64 learning rates, 5 epochs", ("-m", *TABLE, "epochs=5", f"lr={RATES}"),
        peers=("scikit-learn", "JAX"), settings=f"EPOCHS, RATES = 5, [{RATES}]"),
    Row("100,000 x 20, CSV, 5-fold cross-validation, 10 epochs",
        ("-m", *TABLE, "epochs=10", "data.fold=range(5)"), settings="FOLDS = 5"),
]  # fmt: skip


def make_files(folder: Path, rows: int) -> None:
    """Write the table of a row as CSV and as Parquet."""
    import pyarrow as pa
    from pyarrow import csv, parquet

    draw = np.random.default_rng(0)
    x = draw.standard_normal((rows, 20))
    y = x @ draw.standard_normal(20) + draw.standard_normal(rows)
    columns = {f"x{i}": np.round(x[:, i], 6) for i in range(20)} | {"y": np.round(y, 6)}
    csv.write_csv(pa.table(columns), folder / "table.csv")
    parquet.write_table(pa.table(columns), folder / "table.parquet")


def seconds_and_memory(command: list[str], folder: Path, cache: Path) -> tuple[float, float] | None:
    """Return the seconds and the peak bytes of a command; None if a peer is not installed."""
    environment = {**os.environ, "GDFRAME_CACHE": str(cache)}
    begun = time.perf_counter()
    with tempfile.TemporaryFile() as errors:
        process = subprocess.Popen(
            command, cwd=folder, env=environment, stdout=subprocess.DEVNULL, stderr=errors
        )
        _, status, usage = os.wait4(process.pid, 0)
        elapsed = time.perf_counter() - begun
        process.returncode = os.waitstatus_to_exitcode(status)
        errors.seek(0)
        text = errors.read().decode()
    if "ModuleNotFoundError" in text:
        return None
    if process.returncode:
        raise RuntimeError(f"{' '.join(command)[:200]}:\n{text}")
    return elapsed, usage.ru_maxrss * 1024.0


def commands(row: Row) -> dict[str, list[str]]:
    """Return the command of each contender."""
    scripts = {peer: f"{SETTINGS}\n{row.settings}\n{SCRIPTS[peer]}" for peer in row.peers}
    ours = {"gdframe": [sys.executable, "-m", "gdframe", *row.command]}
    return ours | {peer: [sys.executable, "-c", text] for peer, text in scripts.items()}


def measure(row: Row, rounds: int) -> dict[str, list[tuple[float, float]]]:
    """Return seconds and peak bytes of each contender by round."""
    samples: dict[str, list[tuple[float, float]]] = {who: [] for who in commands(row)}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        if row.rows:  # in a process of its own: a child's peak begins with its parent's memory
            maker = get_context("spawn").Process(target=make_files, args=(folder, row.rows))
            maker.start()
            maker.join()
        for number in range(rounds + 1):  # gdframe's first round fills its cache
            for who, command in commands(row).items():
                if number and not samples[who]:
                    continue
                if (one := seconds_and_memory(command, folder, folder / "cache")) is not None:
                    samples[who].append(one)
                    print(f"{row.name}, {who}: {one[0]:.2f} s", file=sys.stderr)
    return samples


def cells(row: Row, samples: dict[str, list[tuple[float, float]]]) -> list[str]:
    """Return a row of the table: gdframe's first and later seconds, then those of its peers."""
    ours = samples["gdframe"]
    size = f" ({ours[-1][1] / (row.rows * 20 * 4):.1f} times the features)" if row.rows else ""
    memory = f"{ours[-1][1] / 1e9:.2f} GB{size}"
    later = statistics.median(seconds for seconds, _ in ours[1:])
    shown = [row.name, f"{ours[0][0]:.1f} s", f"{later:.1f} s", memory]
    for peer in SCRIPTS:
        theirs = samples.get(peer) or []
        if not theirs:
            shown.append("")
            continue
        middle = statistics.median(seconds for seconds, _ in theirs[1:])
        shown.append(f"{middle:.1f} s, {theirs[-1][1] / 1e9:.2f} GB")
    return shown


def profile(row: Row) -> None:
    """Print where gdframe's command of a row spends its time, by cProfile."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        if row.rows:
            make_files(folder, row.rows)
        command = [sys.executable, "-m", "cProfile", "-s", "cumulative", "-m", "gdframe"]
        subprocess.run([sys.executable, "-m", "gdframe", *row.command], cwd=folder, check=True,
                       stdout=subprocess.DEVNULL)  # fmt: skip
        done = subprocess.run([*command, *row.command], cwd=folder, check=True,
                              capture_output=True, text=True)  # fmt: skip
    print("\n".join(done.stdout.splitlines()[:120]))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("only", nargs="?", default="", help="text in the names of rows")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--write", type=Path, help="file whose marked part the table replaces")
    parser.add_argument("--profile", action="store_true", help="show where time goes, and no table")
    chosen = parser.parse_args()
    rows = [row for row in ROWS if chosen.only in row.name]
    if chosen.profile:
        for row in rows:
            profile(row)
        return
    from report import machine, write

    lines = [
        f"Measured on {machine()}; medians of {chosen.rounds} rounds, all threads. Memory is the "
        "peak of the process, with what it imports.",
        "",
        f"| from file to verdict | gdframe, first | gdframe | its memory | {' | '.join(SCRIPTS)} |",
        f"|---|---|---|---|{'---|' * len(SCRIPTS)}",
    ]
    lines += [f"| {' | '.join(cells(row, measure(row, chosen.rounds)))} |" for row in rows]
    text = "\n".join(lines)
    print(text)
    if chosen.write:
        write(chosen.write, text, BEGIN, END)


if __name__ == "__main__":
    main()
