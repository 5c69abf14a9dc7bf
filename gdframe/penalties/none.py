"""No penalty."""

from __future__ import annotations

from torch import Tensor, nn

from gdframe.penalties.base import Penalty
from gdframe.registry import PENALTIES


@PENALTIES.register("none")
class NoPenalty(Penalty):
    """The penalty 0: the objective equals the loss."""

    def __init__(self) -> None:
        super().__init__(strength=0.0)

    def select(self, model: nn.Module) -> list[Tensor]:
        """Return an empty list."""
        return []

    @property
    def curvature(self) -> float:
        """Zero."""
        return 0.0

    def value(self, weights: list[Tensor]) -> Tensor | float:
        """Return 0."""
        return 0.0
