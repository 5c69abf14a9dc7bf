"""Models: prediction from features, and functions to minimise without data."""

from gdframe.models.cnn import CNN
from gdframe.models.double_well import DoubleWell
from gdframe.models.function import Function
from gdframe.models.himmelblau import Himmelblau
from gdframe.models.linear import Linear
from gdframe.models.mlp import MLP
from gdframe.models.polynomial import Polynomial
from gdframe.models.quadratic import Quadratic
from gdframe.models.rastrigin import Rastrigin
from gdframe.models.rosenbrock import Rosenbrock

__all__ = [
    "CNN",
    "MLP",
    "DoubleWell",
    "Function",
    "Himmelblau",
    "Linear",
    "Polynomial",
    "Quadratic",
    "Rastrigin",
    "Rosenbrock",
]
