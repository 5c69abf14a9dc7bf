"""Optimizers: update rules that are pure functions of their arguments."""

from gdframe.optimizers.adagrad import Adagrad
from gdframe.optimizers.adam import Adam
from gdframe.optimizers.base import Hyper, Optimizer, State
from gdframe.optimizers.gd import GD
from gdframe.optimizers.momentum import Momentum
from gdframe.optimizers.nesterov import Nesterov
from gdframe.optimizers.rmsprop import RMSprop
from gdframe.optimizers.tensors import counters, global_norm

__all__ = [
    "GD",
    "Adagrad",
    "Adam",
    "Hyper",
    "Momentum",
    "Nesterov",
    "Optimizer",
    "RMSprop",
    "State",
    "counters",
    "global_norm",
]
