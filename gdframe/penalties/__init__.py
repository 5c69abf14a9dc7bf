"""Penalties: regularisation terms that depend on parameters alone."""

from gdframe.penalties.base import Penalty
from gdframe.penalties.elastic_net import ElasticNet
from gdframe.penalties.l1 import L1
from gdframe.penalties.l2 import L2
from gdframe.penalties.none import NoPenalty

__all__ = ["L1", "L2", "ElasticNet", "NoPenalty", "Penalty"]
