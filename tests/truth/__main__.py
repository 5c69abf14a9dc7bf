"""``python -m tests.truth [SEED] [COUNT]``: train runs, judge each sentence, print the shares."""

from __future__ import annotations

import sys
import tempfile
import warnings
from collections import Counter
from pathlib import Path

from .judge import FALSE, RIGHT, SILENT, judge
from .problems import cases
from .trained import Trained

KINDS = ("status", "gap", "rate", "slow rate", "limits", "point", "cause", "try", "poor",
         "overfits", "separable", "lowered", "trap")  # fmt: skip


def score(seed: int, count: int, folder: Path, *, verbose: bool = False) -> Counter:
    """Return how often sentences of each kind were right, silent and false."""
    counts: Counter = Counter()
    tables = folder / "tables"
    tables.mkdir(exist_ok=True)
    for index, case in enumerate(cases(seed, count, tables)):
        place = folder / str(index)
        place.mkdir()
        run = Trained(case, place)
        for kind, verdict, sentence in judge(run):
            counts[kind, verdict] += 1
            if verbose and verdict != RIGHT:
                print(f"{verdict} {kind}: {sentence!r}\n    {case}\n    {run.status}: "
                      f"{run.result.reason}", flush=True)  # fmt: skip
        counts["status", RIGHT] += run.status == "converged" and run.is_near is not False
    return counts


def report(counts: Counter) -> str:
    """Return a table of the counts, in Markdown."""
    lines = ["| sentences on | right | silent | false |", "|---|---|---|---|"]
    kinds = [*KINDS, *sorted({kind for kind, _ in counts} - {*KINDS, "end"})]
    for kind in kinds:
        row = [counts[kind, verdict] for verdict in (RIGHT, SILENT, FALSE)]
        lines.append(f"| {kind} | {' | '.join(map(str, row))} |")
    total = [sum(counts[k, v] for k in kinds) for v in (RIGHT, SILENT, FALSE)]
    lines.append(f"| all | {' | '.join(map(str, total))} |")
    return "\n".join([*lines, f"right: {total[0] / max(sum(total), 1):.1%}"])


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    seed, count = (int(word) for word in [*sys.argv[1:], *("1", "60")[len(sys.argv) - 1 :]])
    with tempfile.TemporaryDirectory() as name:
        print(report(score(seed, count, Path(name), verbose=True)))
