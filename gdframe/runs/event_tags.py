"""Translation between columns of a history and TensorBoard tags."""

from __future__ import annotations

STEP_TAGS = {"loss": "loss/step", "gradient_norm": "gradient_norm/step"}
"""Tags of columns by step. The x axis of all other tags is the epoch."""

TAGS = {
    "train_loss": "loss/train",
    "validation_loss": "loss/validation",
    "objective": "objective/train",
    "gradient_norm": "gradient_norm/epoch",
    "lr": "lr",
}
"""Tags of columns by epoch. Gradient norms of parameters and metrics follow a pattern."""

_COLUMNS = {tag: column for column, tag in TAGS.items()}


def tag_of(column: str) -> str | None:
    """Return the tag of a column by epoch, or None if it has none.

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
    """Return the column by epoch that a tag shows.

    Example:
        >>> column_of("loss/train"), column_of("metric/train_r2"), column_of("theory/gap")
        ('train_loss', 'train/r2', 'theory/gap')
    """
    if tag in _COLUMNS:
        return _COLUMNS[tag]
    return tag.removeprefix("metric/").replace("_", "/", 1) if tag.startswith("metric/") else tag
