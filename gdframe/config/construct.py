"""Builds components, with draws of their constructors that depend on the run's seed alone."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from torch import Tensor, nn

from gdframe.config.constructed import values_of
from gdframe.engines.component_difference import first_difference
from gdframe.hidden_state import HiddenState
from gdframe.randomness import Purpose, seeded
from gdframe.registry import Registry, is_built_in
from gdframe.runs.log import is_first, warn_once

T = TypeVar("T")


def construct(
    registry: Registry[T], settings: Mapping[str, Any], *, seed: int, **supplied: Any
) -> T:
    """Return the component that settings name.

    What its constructor draws by PyTorch, NumPy and ``random`` is a function of the seed and the
    kind of the component, so a resumed run and predictions have the same values.

    Args:
        registry: of the kind.
        settings: name and arguments.
        seed: of the run; of data, the data's own.
        supplied: arguments that the run supplies.

    Raises:
        UserError: as ``Registry.configured``.
    """
    is_bound = registry.kind == "optimizer"
    if is_bound:
        supplied["params"] = list(supplied["params"])

    def build() -> T:
        with seeded(seed, Purpose.CONSTRUCT, zlib.crc32(registry.kind.encode())):
            return registry.configured(settings, **supplied)

    def build_again() -> T:
        if is_bound:  # to copies, which most runs do not need
            supplied["params"] = [_copied(parameter) for parameter in supplied["params"]]
        return build()

    component = build()
    warn_of_own_draws(f"{registry.kind} {settings['name']}", component, build_again)
    return component


def _copied(parameter: Tensor) -> Tensor:
    """Return a copy of a parameter with its attributes."""
    copy = nn.Parameter(parameter.detach().clone(), requires_grad=parameter.requires_grad)
    vars(copy).update(vars(parameter))
    return copy


def warn_of_own_draws(what: str, component: object, build: Callable[[], object]) -> None:
    """Warn if a user's component holds other values when it is built again, once for each class.

    ``what`` names it. What building it again changes in its class is put back.
    """
    kind = type(component)
    if is_built_in(kind) or not is_first(("built twice", kind)):
        return
    with HiddenState({"class": kind}):
        try:
            again = build()
        except Exception:  # of a user's constructor, which may ask for the very same parameters
            return
    pairs = zip(values_of(component), values_of(again), strict=False)
    place = next((n for (n, a), (_, b) in pairs if first_difference([a], [b]) is not None), None)
    if place is not None:
        warn_once(
            f"{what}: {place} has another value each time it is built, so runs of one seed differ, "
            "and what no checkpoint holds is another in resumed runs and predictions; draw it by "
            "torch, NumPy or random, whose generators follow the seed"
        )
