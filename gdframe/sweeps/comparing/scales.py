"""Which runs of a sweep are measured on one scale, so that the lower of two is the better."""

from __future__ import annotations

from collections.abc import Sequence

from gdframe.sweeps.comparing.comparison import Record

LOSSES = ("objective", "train_loss", "validation_loss", "gradient_norm")
"""Metrics in units of the loss."""

PENALISED = ("objective", "gradient_norm")
"""Metrics that the penalty is a part of."""


def scale_keys(records: Sequence[Record], keys: Sequence[str], metric: str) -> list[str]:
    """Return the varied keys whose levels are each measured on a scale of their own.

    Other data are another problem, whatever is measured; another loss is one where losses are
    compared, a penalty where it is a part of them, and a function always.

    Args:
        records: the runs.
        keys: what is varied, but the seed.
        metric: what they are compared by.

    Example:
        >>> scale_keys([], ["loss", "lr", "penalty.strength"], "validation_loss")
        ['loss']
    """
    functions = any((record.result or {}).get("point") for record in records)
    apart = {"data", "data.path", "data.target"}
    apart |= {"loss"} if metric in LOSSES else set()
    apart |= {"penalty"} if metric in PENALISED else set()
    apart |= {"model"} if functions else set()
    inner = tuple(f"{group}." for group in ("loss", "penalty") if group in apart)
    return [key for key in keys if key in apart or (inner and key.startswith(inner))]
