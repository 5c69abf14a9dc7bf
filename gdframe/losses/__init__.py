"""Losses: the error of a prediction."""

from gdframe.losses.base import BinaryLoss, ClassificationLoss, Loss
from gdframe.losses.binary_cross_entropy import BinaryCrossEntropy
from gdframe.losses.cross_entropy import CrossEntropy
from gdframe.losses.hinge import Hinge
from gdframe.losses.huber import Huber
from gdframe.losses.mae import MAE
from gdframe.losses.mse import MSE
from gdframe.losses.poisson import Poisson
from gdframe.losses.squared_hinge import SquaredHinge

__all__ = [
    "MAE",
    "MSE",
    "BinaryCrossEntropy",
    "BinaryLoss",
    "ClassificationLoss",
    "CrossEntropy",
    "Hinge",
    "Huber",
    "Loss",
    "Poisson",
    "SquaredHinge",
]
