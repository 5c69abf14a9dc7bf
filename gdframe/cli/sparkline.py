"""A curve as a line of characters."""

from __future__ import annotations

import numpy as np

from gdframe.runs.recorded_history import Array

BLOCKS, PLAIN_BLOCKS = "▁▂▃▄▅▆▇█", "_.-=+*%#"
"""Characters of a sparkline, and characters for a terminal without block characters."""


def spark(values: Array, width: int, blocks: str = BLOCKS) -> str:
    """Return a sparkline of a curve, on a logarithmic scale if all values are above 0.

    Args:
        values: (points,) of the curve; non-finite values are blank.
        width: most characters.
        blocks: characters from low to high.

    Example:
        >>> spark(np.array([8.0, 4.0, 2.0, 1.0]), 10)
        '█▆▃▁'
    """
    values = np.asarray(values, dtype=np.float64)
    if len(values) > width:  # each character shows the mean of its part
        parts = np.array_split(values, width)
        values = np.array([part[np.isfinite(part)].mean() if np.isfinite(part).any() else np.nan
                           for part in parts])  # fmt: skip
    finite = values[np.isfinite(values)]
    if len(finite) == 0:
        return ""
    # halved, so that no difference is infinite
    values = np.log(values) if (finite > 0).all() else values / 2
    finite = values[np.isfinite(values)]
    low, high = float(finite.min()), float(finite.max())
    scale = (len(blocks) - 1) / (high - low) if high > low else 0.0
    return "".join(
        blocks[round((value - low) * scale)] if np.isfinite(value) else " "
        for value in values.tolist()
    )
