"""TensorBoard tags of a history's columns, and back."""

from __future__ import annotations

STEP_TAGS = {"loss": "loss/step", "gradient_norm": "gradient_norm/step"}
"""Tags of a step's columns: their x axis is the step; that of all others is the epoch."""

TAGS = {
    "train_loss": "loss/train",
    "validation_loss": "loss/validation",
    "objective": "objective/train",
    "gradient_norm": "gradient_norm/epoch",
    "lr": "lr",
}
"""Tags of an epoch's columns; gradient norms of parameters and metrics follow a pattern."""

_COLUMNS = {tag: column for column, tag in TAGS.items()}


def tag_of(column: str) -> str | None:
    """Return the tag of an epoch's column, or None for a column that has none.

    Example:
        >>> tag_of("train/r2"), tag_of("samples")
        ('metric/train_r2', None)
    """
    part, _, name = column.partition("/")
    if column in TAGS:
        return TAGS[column]
    if part in ("gradient_norm", "curvature", "theory"):
        return column
    return f"metric/{part}_{name}" if name else None


def column_of(tag: str) -> str:
    """Return the epoch's column that a tag shows.

    Example:
        >>> column_of("loss/train"), column_of("metric/train_r2"), column_of("theory/gap")
        ('train_loss', 'train/r2', 'theory/gap')
    """
    if tag in _COLUMNS:
        return _COLUMNS[tag]
    return tag.removeprefix("metric/").replace("_", "/", 1) if tag.startswith("metric/") else tag
