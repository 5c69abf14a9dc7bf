"""Initialisers: starting values as a function of the seed."""

from gdframe.initializers.base import Initializer, initialize
from gdframe.initializers.kaiming import Kaiming
from gdframe.initializers.normal import Normal
from gdframe.initializers.uniform import Uniform
from gdframe.initializers.xavier import Xavier
from gdframe.initializers.zeros import Zeros

__all__ = ["Initializer", "Kaiming", "Normal", "Uniform", "Xavier", "Zeros", "initialize"]
