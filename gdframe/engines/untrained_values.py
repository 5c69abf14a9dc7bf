"""The values of a model that steps do not change: buffers and frozen parameters."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor, nn

from gdframe.errors import UserError
from gdframe.sameness import same_values


def constants_of(model: nn.Module) -> dict[str, Tensor]:
    """Return copies of the buffers and frozen parameters in ``state_dict``, as ``model.NAME``."""
    trained = {n for n, p in model.named_parameters(remove_duplicate=False) if p.requires_grad}
    state = model.state_dict()
    constants = {n: v for n, v in state.items() if n not in trained and isinstance(v, Tensor)}
    return {f"model.{name}": value.detach().clone() for name, value in constants.items()}


def trained_values(model: nn.Module, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return a state's values of trained parameters by name; its constants must be the model's.

    Raises:
        UserError: names the first constant that differs.
    """
    constants = constants_of(model)
    for name, value in constants.items():
        stored = state.get(name)
        if stored is not None and not same_values(stored.to(value.device), value):
            short = name.removeprefix("model.")
            kind = "buffer" if short in dict(model.named_buffers()) else "frozen parameter"
            raise UserError(
                f"the state is of a model with other values of the {kind} '{short}': build the "
                "model with these values, drawn inside gdframe.seeded, or go on with engine=eager, "
                "which restores them"
            )
    return {
        name.removeprefix("model."): value
        for name, value in state.items()
        if name.startswith("model.") and name not in constants
    }
