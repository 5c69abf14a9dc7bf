"""Loaders: the rows of each step. Each variant of gradient descent has its loader."""

from gdframe.loaders.base import Loader
from gdframe.loaders.full_batch import FullBatch
from gdframe.loaders.mini_batch import MiniBatch
from gdframe.loaders.per_sample import PerSample

__all__ = ["FullBatch", "Loader", "MiniBatch", "PerSample"]
