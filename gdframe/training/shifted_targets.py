"""Refuses losses and metrics whose values a shift or a scale of the targets would change.

A table's target that is too far from zero for float32 is shifted by its mean, and targets are
standardised where training depends on their scale. Whoever computes with the size of the target
would silently compute with that of the changed one.
"""

from __future__ import annotations

from collections.abc import Mapping

from gdframe.data.dataset import Dataset
from gdframe.engines.declared import declares
from gdframe.errors import UserError
from gdframe.losses.base import Loss
from gdframe.metrics.base import Metric

DEFINITIONS = ("__call__", "by_row", "encode", "predict", "sums", "from_sums")
"""Names that define the values of a loss or a metric."""


def refuse_shifted_targets(loss: Loss | None, metrics: Mapping[str, Metric], data: Dataset) -> None:
    """Refuse components that are not known to be indifferent to a shift, if targets are shifted.

    Raises:
        UserError: names the component, and what to do.
    """
    if not data.encoding.offset:
        return
    losses = {} if loss is None else {f"loss {loss.name}": loss}
    components: dict[str, Loss | Metric] = {
        **losses,
        **{f"metric {name}": metric for name, metric in metrics.items()},
    }
    for what, component in components.items():
        if not _is_shift_invariant(component):
            raise UserError(
                f"{what} depends on the size of the target '{data.encoding.target_name}', which "
                "is shifted, because float32 cannot tell its values apart: set dtype=float64; or "
                "let its class set is_shift_invariant = True, if a constant added to predictions "
                "and targets does not change it"
            )


def depends_on_units(component: Loss | Metric) -> bool:
    """Return whether it is unknown how shifted and scaled targets change a loss or a metric."""
    return not (_is_shift_invariant(component) and _declares(component, "degree"))


def _is_shift_invariant(component: Loss | Metric) -> bool:
    return component.is_shift_invariant and _declares(component, "is_shift_invariant")


def _declares(component: Loss | Metric, declaration: str) -> bool:
    """Return whether the class that defines a component's values, or one below, declares it."""
    names = [name for name in DEFINITIONS if hasattr(component, name)]
    return all(declares(component, declaration, name) for name in names)
