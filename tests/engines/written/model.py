"""Where models as researchers write them are registered."""

from __future__ import annotations

from collections.abc import Callable

from torch import nn

MODELS: dict[str, Callable[[int], nn.Module]] = {}
"""By name, a function of the run's number that returns a model of 3 features and 1 output."""

LINEAR: set[str] = set()
"""Those whose class is one of gdframe's linear models."""


def model(name: str, *, linear: bool = False):
    def decorate(make: Callable[[int], nn.Module]) -> Callable[[int], nn.Module]:
        MODELS[name] = make
        if linear:
            LINEAR.add(name)
        return make

    return decorate
