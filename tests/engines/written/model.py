"""The register of models as researchers write them."""

from __future__ import annotations

from collections.abc import Callable

from torch import nn

MODELS: dict[str, Callable[[int], nn.Module]] = {}
"""Functions by name; each takes the run's index and returns a model (3 features, 1 output)."""

LINEAR: set[str] = set()
"""Names of models that are subclasses of gdframe's linear models."""


def model(name: str, *, linear: bool = False):
    def decorate(make: Callable[[int], nn.Module]) -> Callable[[int], nn.Module]:
        MODELS[name] = make
        if linear:
            LINEAR.add(name)
        return make

    return decorate
