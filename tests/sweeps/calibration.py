"""False alarms, power and coverage of the comparison of a sweep, on simulated values.

``python tests/sweeps/calibration.py`` prints the tables, and with
``--write gdframe/guide/sweeps.md`` replaces them there, between the marks. It takes some minutes.
"""

from __future__ import annotations

import argparse
import functools
import itertools
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from gdframe.sweeps.comparing.intervals import mean_interval
from gdframe.sweeps.comparing.sign_flips import CHANCE, best_first, order, p_values

BEGIN, END = "<!-- calibration: begin -->", "<!-- calibration: end -->"

POWER_SWEEPS = 200
"""Simulated sweeps of each cell of the table of power."""

SEEDS, LEVELS, RATES = (6, 8, 10, 20), (2, 6), (1, 2, 6, 12)

UNEQUAL = ((1, 12), (12, 1), (2, 6, 1, 12))
"""Numbers of learning rates of levels that have different numbers."""

Draw = Callable[[np.random.Generator, tuple[int, int]], np.ndarray]

VALUES: dict[str, Draw] = {
    "normal": lambda rng, shape: rng.standard_normal(shape),
    "lognormal": lambda rng, shape: np.exp(rng.standard_normal(shape)),
    "t, 2 degrees": lambda rng, shape: rng.standard_t(2, shape),
    "ties": lambda rng, shape: rng.integers(0, 3, shape).astype(float),
    "rare events": lambda rng, shape: (rng.random(shape) < 0.15).astype(float),
    "accuracy": lambda rng, shape: -rng.binomial(30, 0.8, shape) / 30,
}
"""Values of (learning rates, seeds), lower is better, by name."""


def lost_anywhere(draw: Draw) -> Draw:
    """Lose 15 % of the runs of all levels."""

    def values(rng: np.random.Generator, shape: tuple[int, int]) -> np.ndarray:
        return np.where(rng.random(shape) < 0.15, np.inf, draw(rng, shape))

    return values


def losing_worst(draw: Draw) -> Draw:
    """Lose the runs whose value is among the worst 15 %."""

    limit = np.quantile(draw(np.random.default_rng(0), (1, 100_000)), 0.85)

    def values(rng: np.random.Generator, shape: tuple[int, int]) -> np.ndarray:
        drawn = draw(rng, shape)
        return np.where(drawn > limit, np.inf, drawn)

    return values


Case = tuple[Draw, Draw]
"""Samplers of the values of the first level and of the others."""

CASES: dict[str, Case] = {
    **{name: (draw, draw) for name, draw in VALUES.items()},
    "one level loses its worst runs": (losing_worst(VALUES["normal"]), VALUES["normal"]),
    "the same, lognormal": (losing_worst(VALUES["lognormal"]), VALUES["lognormal"]),
    "all levels lose runs": (lost_anywhere(VALUES["normal"]),) * 2,
}


def levels_of(
    rng: np.random.Generator, case: Case, rates: Sequence[int], seeds: int, gain: float = 0.0
) -> list[np.ndarray]:
    """Return simulated levels, best first; the first that is drawn is better by ``gain``."""
    first, others = case
    levels = [others(rng, (count, seeds)) for count in rates]
    levels[0] = first(rng, (rates[0], seeds)) - gain
    return sorted(map(best_first, levels), key=lambda level: order(level[0]))


def false_alarms(case: Case, rates: Sequence[int], seeds: int, sweeps: int, seed: int = 0) -> int:
    """Return in how many of some sweeps levels that are alike differ beyond chance."""
    rng = np.random.default_rng((seed, seeds, *rates))
    return sum(
        bool(p_values(levels_of(rng, case, rates, seeds)).min() <= CHANCE) for _ in range(sweeps)
    )


def power(rates: Sequence[int], seeds: int, t: float, sweeps: int, seed: int = 0) -> float:
    """Return the share of found differences between the first level and the others.

    Values are normal. The mean of the paired differences is ``t`` of its standard errors.
    Differences between the best level and the others are counted, as a sweep prints them.
    """
    rng = np.random.default_rng((seed, seeds, *rates))
    gain = t * np.sqrt(2 / seeds)
    case = CASES["normal"]
    differ = [p_values(levels_of(rng, case, rates, seeds, gain)) <= CHANCE for _ in range(sweeps)]
    return float(np.mean(differ))


def coverage(draw: Draw, mean: float, seeds: int, samples: int, seed: int = 0) -> float:
    """Return the share of samples whose interval contains the true mean."""
    rng = np.random.default_rng((seed, seeds))
    intervals = [mean_interval(draw(rng, (1, seeds))[0].tolist()) for _ in range(samples)]
    return float(np.mean([low <= mean <= high for low, high in filter(None, intervals)]))


TRUE_MEANS = {"normal": 0.0, "lognormal": float(np.exp(0.5)), "t, 2 degrees": 0.0, "ties": 1.0}


def grid() -> list[tuple[str, tuple[int, ...], int]]:
    """Return name, numbers of learning rates and seeds of each null case."""
    rates = [(count,) * levels for count in RATES for levels in LEVELS]
    return list(itertools.product(CASES, [*rates, *UNEQUAL], SEEDS))


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def report(sweeps: int, few: int) -> str:
    """Return the tables.

    Args:
        sweeps: simulated sweeps of each cell that is printed.
        few: those of each cell of several learning rates, of which the largest is printed.
    """
    percent = "{:.1f}".format
    columns = [(levels, seeds) for levels in LEVELS for seeds in SEEDS]
    rows = []
    for name, case in CASES.items():
        shares = [false_alarms(case, (1,) * k, seeds, sweeps) / sweeps for k, seeds in columns]
        rows.append([name, *(percent(100 * share) for share in shares)])
        print(rows[-1], flush=True)
    several = [cell for cell in grid() if set(cell[1]) != {1}]
    count = functools.partial(false_alarms, sweeps=few)
    alarms = {cell: count(CASES[cell[0]], *cell[1:]) for cell in several}
    equal = max(100 * n / few for (_, rates, _), n in alarms.items() if len(set(rates)) == 1)
    unequal = sum(n for (_, rates, _), n in alarms.items() if len(set(rates)) > 1)
    of = few * sum(len(set(rates)) > 1 for _, rates, _ in alarms)
    text = [
        f"False alarms in % of {sweeps:,} sweeps whose levels are alike, with one learning rate:",
        table(["values", *(f"{k} levels, {seeds} seeds" for k, seeds in columns)], rows),
        f"With 2, 6 or 12 learning rates to choose from, no cell of this table has more than "
        f"{equal:.1f} % (of {few:,} sweeps). With 1 rate for one level and up to 12 for another, "
        f"all cells together have {100 * unequal / of:.1f} % (of {of:,} sweeps).",
    ]
    rows = []
    sizes = [(t, seeds) for t in (4, 6, 8) for seeds in (6, 8, 10)]
    for rates in ((1, 1), (12, 12), (1,) * 3, (6,) * 3, (1,) * 6, (6,) * 6):
        shares = [power(rates, seeds, t, POWER_SWEEPS) for t, seeds in sizes]
        rows.append([str(len(rates)), str(rates[0]), *(f"{100 * share:.0f}" for share in shares)])
        print(rows[-1], flush=True)
    text += [
        "Power: differences found, in %, if the first of the levels is better by t standard errors "
        f"of the paired difference (normal values, {POWER_SWEEPS} sweeps):",
        table(["levels", "rates", *(f"t = {t}, {seeds} seeds" for t, seeds in sizes)], rows),
    ]
    rows = [
        [name, *(percent(100 * coverage(VALUES[name], mean, n, sweeps)) for n in SEEDS)]
        for name, mean in TRUE_MEANS.items()
    ]
    text += [
        f"Coverage: intervals of the mean that contain the true mean, in % of {sweeps:,}:",
        table(["values", *(f"{n} seeds" for n in SEEDS)], rows),
    ]
    return "\n\n".join(text)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--write", type=Path, help="the file with the marks")
    parser.add_argument("--sweeps", type=int, default=2000)
    parser.add_argument("--few", type=int, default=60)
    chosen = parser.parse_args()
    text = report(chosen.sweeps, chosen.few)
    print(text)
    if chosen.write:
        page = chosen.write.read_text()
        before, rest = page.split(BEGIN)
        _, after = rest.split(END)
        chosen.write.write_text(f"{before}{BEGIN}\n{text}\n{END}{after}")


if __name__ == "__main__":
    main()
