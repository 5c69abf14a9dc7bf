"""The registries, one for each kind of component."""

from __future__ import annotations

from typing import Any

from gdframe.registry.registry import Registry

DATASETS: Registry[Any] = Registry("data", package="gdframe.data")
LOADERS: Registry[Any] = Registry(
    "loader", package="gdframe.loaders", supplied=("rows", "batch_size")
)
MODELS: Registry[Any] = Registry(
    "model", package="gdframe.models", supplied=("features", "outputs")
)
LOSSES: Registry[Any] = Registry("loss", package="gdframe.losses")
PENALTIES: Registry[Any] = Registry("penalty", package="gdframe.penalties")
INITIALIZERS: Registry[Any] = Registry("initializer", package="gdframe.initializers")
OPTIMIZERS: Registry[Any] = Registry(
    "optimizer", package="gdframe.optimizers", supplied=("params", "lr")
)
SCHEDULES: Registry[Any] = Registry("schedule", package="gdframe.schedules")
METRICS: Registry[Any] = Registry("metric", package="gdframe.metrics", several=True)
STOPPING: Registry[Any] = Registry("stopping", package="gdframe.stopping", several=True)
OBSERVERS: Registry[Any] = Registry(
    "observer",
    package="gdframe.observers",
    supplied=("folder", "hyperparameters", "text", "console"),
    several=True,
)
ENGINES: Registry[Any] = Registry(
    "engine", package="gdframe.engines", supplied=("runs", "data", "loader", "epochs")
)

REGISTRIES: dict[str, Registry[Any]] = {
    registry.kind: registry
    for registry in (
        DATASETS, LOADERS, MODELS, LOSSES, METRICS, PENALTIES, INITIALIZERS, OPTIMIZERS, SCHEDULES,
        ENGINES, STOPPING, OBSERVERS,
    )
}  # fmt: skip
