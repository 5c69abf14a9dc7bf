"""Registries of components by name, checks of their arguments, and plugins."""

from gdframe.registry.origins import is_built_in, origin
from gdframe.registry.registries import (
    DATASETS,
    ENGINES,
    INITIALIZERS,
    LOADERS,
    LOSSES,
    METRICS,
    MODELS,
    OBSERVERS,
    OPTIMIZERS,
    PENALTIES,
    REGISTRIES,
    SCHEDULES,
    STOPPING,
)
from gdframe.registry.registry import Registry

__all__ = [
    "DATASETS",
    "ENGINES",
    "INITIALIZERS",
    "LOADERS",
    "LOSSES",
    "METRICS",
    "MODELS",
    "OBSERVERS",
    "OPTIMIZERS",
    "PENALTIES",
    "REGISTRIES",
    "Registry",
    "SCHEDULES",
    "STOPPING",
    "is_built_in",
    "origin",
]
