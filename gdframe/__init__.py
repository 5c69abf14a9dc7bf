"""gdframe: gradient descent on PyTorch, many runs at once, with a plain verdict for each.

Names are imported when they are first used, so that ``import gdframe`` costs nothing.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from gdframe.config.api import train
    from gdframe.data import (
        BreastCancer,
        Classification,
        Dataset,
        Diabetes,
        Digits,
        Frame,
        Iris,
        Regression,
        Source,
        Table,
        Wine,
    )
    from gdframe.engines import Eager, Engine, Run, Trace
    from gdframe.errors import UserError
    from gdframe.history import History
    from gdframe.initializers import (
        Initializer,
        Kaiming,
        Normal,
        Uniform,
        Xavier,
        Zeros,
        initialize,
    )
    from gdframe.loaders import FullBatch, Loader, MiniBatch, PerSample
    from gdframe.losses import (
        MAE,
        MSE,
        BinaryCrossEntropy,
        CrossEntropy,
        Hinge,
        Huber,
        Loss,
        Poisson,
        SquaredHinge,
    )
    from gdframe.models import (
        CNN,
        MLP,
        DoubleWell,
        Function,
        Himmelblau,
        Linear,
        Polynomial,
        Quadratic,
        Rastrigin,
        Rosenbrock,
    )
    from gdframe.objective import Evaluation, Objective
    from gdframe.observers import Checkpoint, Observer, ProgressBar, TensorBoard
    from gdframe.optimizers import GD, Adagrad, Adam, Momentum, Nesterov, Optimizer, RMSprop
    from gdframe.penalties import L1, L2, ElasticNet, NoPenalty, Penalty
    from gdframe.prediction import predict
    from gdframe.registry import (
        DATASETS,
        ENGINES,
        INITIALIZERS,
        LOADERS,
        LOSSES,
        MODELS,
        OPTIMIZERS,
        PENALTIES,
        SCHEDULES,
        Registry,
    )
    from gdframe.result import Result
    from gdframe.schedules import (
        Clock,
        Constant,
        Cosine,
        Exponential,
        InverseTime,
        Schedule,
        Step,
        Warmup,
    )
    from gdframe.stopping import Status, Stopping, Verdict
    from gdframe.trainer import Trainer

_HOMES = {
    "gdframe.config.api": ["train"],
    "gdframe.data": [
        "BreastCancer", "Classification", "Dataset", "Diabetes", "Digits", "Frame", "Iris",
        "Regression", "Source", "Table", "Wine",
    ],
    "gdframe.engines": ["Eager", "Engine", "Run", "Trace"],
    "gdframe.errors": ["UserError"],
    "gdframe.history": ["History"],
    "gdframe.initializers": [
        "Initializer", "Kaiming", "Normal", "Uniform", "Xavier", "Zeros", "initialize",
    ],
    "gdframe.loaders": ["FullBatch", "Loader", "MiniBatch", "PerSample"],
    "gdframe.losses": [
        "BinaryCrossEntropy", "CrossEntropy", "Hinge", "Huber", "Loss", "MAE", "MSE", "Poisson",
        "SquaredHinge",
    ],
    "gdframe.models": [
        "CNN", "DoubleWell", "Function", "Himmelblau", "Linear", "MLP", "Polynomial", "Quadratic",
        "Rastrigin", "Rosenbrock",
    ],
    "gdframe.objective": ["Evaluation", "Objective"],
    "gdframe.observers": ["Checkpoint", "Observer", "ProgressBar", "TensorBoard"],
    "gdframe.optimizers": [
        "Adagrad", "Adam", "GD", "Momentum", "Nesterov", "Optimizer", "RMSprop",
    ],
    "gdframe.penalties": ["ElasticNet", "L1", "L2", "NoPenalty", "Penalty"],
    "gdframe.prediction": ["predict"],
    "gdframe.registry": [
        "DATASETS", "ENGINES", "INITIALIZERS", "LOADERS", "LOSSES", "MODELS", "OPTIMIZERS",
        "PENALTIES", "Registry", "SCHEDULES",
    ],
    "gdframe.result": ["Result"],
    "gdframe.schedules": [
        "Clock", "Constant", "Cosine", "Exponential", "InverseTime", "Schedule", "Step", "Warmup",
    ],
    "gdframe.stopping": ["Status", "Stopping", "Verdict"],
    "gdframe.trainer": ["Trainer"],
}  # fmt: skip
_HOME = {name: home for home, names in _HOMES.items() for name in names}

__all__ = sorted(_HOME)  # pyright: ignore[reportUnsupportedDunderAll]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'gdframe' has no attribute '{name}'")
    value = getattr(importlib.import_module(_HOME[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return __all__
