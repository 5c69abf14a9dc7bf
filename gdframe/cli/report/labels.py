"""Labels of the columns of a history, as people say them."""

from __future__ import annotations

WORDS = {
    "objective": "objective", "train_loss": "training loss", "validation_loss": "validation loss",
    "gradient_norm": "gradient norm", "lr": "learning rate",
    "theory/gap": "objective minus its minimum",
    "curvature/lambda_max": "largest eigenvalue of the Hessian",
    "curvature/lambda_min": "smallest eigenvalue of the Hessian",
    "curvature/lr_times_lambda_max": "learning rate times largest eigenvalue",
    "loss/step": "loss of a step's batch", "gradient_norm/step": "gradient norm of a step's batch",
}  # fmt: skip
"""Labels by column."""


def word(column: str) -> str:
    """Return the label of a column in a figure.

    Example:
        >>> word("objective"), word("train/r2"), word("gradient_norm/weight")
        ('objective', 'r2, training', 'gradient norm of weight')
    """
    if column in WORDS:
        return WORDS[column]
    part, _, name = column.partition("/")
    if part == "gradient_norm":
        return f"gradient norm of {name}"
    if part == "update_ratio":
        return f"update to weight of {name}"
    return f"{name}, {'training' if part == 'train' else part}" if name else column
