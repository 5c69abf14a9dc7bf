"""Pictures of a sweep: which suit it, and their files."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from matplotlib.figure import Figure

from gdframe.drawing import LIGHT, Look, png
from gdframe.runs.picture_files import HEAT_MAP, LEARNING_RATES, remove_pictures, write_picture
from gdframe.sweeps.comparing.comparison import Configuration
from gdframe.sweeps.writing.heat_map import heat_map
from gdframe.sweeps.writing.rate_curves import rate_curves

MOST_PROBLEMS = 8
"""Most scales, such as losses or data sets, with their own pictures."""


def draw(folder: Path, ranked: Sequence[Configuration], metric: str) -> dict[str, bytes]:
    """Write the pictures that suit a sweep's varied keys, and return them as PNG by name.

    Args:
        folder: the sweep folder.
        ranked: configurations, best first.
        metric: to compare the runs by.

    Raises:
        OSError: a file cannot be written.
    """
    for name in (LEARNING_RATES, HEAT_MAP):  # of earlier launches
        remove_pictures(folder, name)
    saved = {}
    for (name, part), figure in figures(ranked, metric).items():
        content = png(figure)
        saved[write_picture(folder, name, content, part).stem] = content
    return saved


def figures(
    ranked: Sequence[Configuration], metric: str, look: Look = LIGHT
) -> dict[tuple[str, str], Figure]:
    """Return the pictures that suit a sweep's varied keys.

    Each scale, such as that of each loss, has its own pictures.

    Args:
        ranked: configurations, best first.
        metric: to compare the runs by.
        look: the colours.

    Returns:
        Figures by name, and by the part of the sweep that each shows, which is empty for one part.
    """
    problems: dict[str, list[Configuration]] = {}
    for configuration in ranked:
        problem = "-".join(f"{key}={value}" for key, value in configuration.problem.items())
        problems.setdefault(problem, []).append(configuration)
    drawn = {}
    for problem, group in list(problems.items())[:MOST_PROBLEMS]:
        part = re.sub(r"[^a-zA-Z0-9_.=-]+", "_", problem)[:80] if len(problems) > 1 else ""
        candidates = {
            LEARNING_RATES: rate_curves(group, metric, look),
            HEAT_MAP: heat_map(group, metric, look),
        }
        for name, figure in candidates.items():
            if figure is not None:
                drawn[name, part] = figure
    return drawn
