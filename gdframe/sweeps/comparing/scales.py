"""The varied keys that change the scale of a metric, so that values cannot be compared."""

from __future__ import annotations

from collections.abc import Sequence

from gdframe.sweeps.comparing.comparison import Record

IN_UNITS_OF_LOSS = ("objective", "train_loss", "validation_loss", "gradient_norm")
"""Metrics in units of the loss."""

PENALISED = ("objective", "gradient_norm")
"""Metrics that include the penalty."""


def scale_keys(records: Sequence[Record], keys: Sequence[str], metric: str) -> list[str]:
    """Return the varied keys whose levels have different scales of a metric.

    Data always change the scale, and so do functions. The loss changes the scale of metrics in
    units of the loss. The penalty changes the scale of metrics that include it.

    Args:
        records: the runs.
        keys: the varied keys, without the seed.
        metric: to compare the runs by.

    Example:
        >>> scale_keys([], ["loss", "lr", "penalty.strength"], "validation_loss")
        ['loss']
    """
    has_functions = any((record.result or {}).get("point") for record in records)
    scales = {"data", "data.path", "data.target"}
    scales |= {"loss"} if metric in IN_UNITS_OF_LOSS else set()
    scales |= {"penalty"} if metric in PENALISED else set()
    scales |= {"model"} if has_functions else set()
    prefixes = tuple(f"{group}." for group in ("loss", "penalty") if group in scales)
    return [key for key in keys if key in scales or (prefixes and key.startswith(prefixes))]
