"""Stopping rules: they decide that a run is over, and tell why."""

from gdframe.stopping.base import (
    EpochEnd,
    Memory,
    Status,
    StoppingRule,
    Verdict,
    divergence_verdict,
)
from gdframe.stopping.divergence import Divergence
from gdframe.stopping.early import Early
from gdframe.stopping.gradient_norm import GradientNorm
from gdframe.stopping.improvement import Improvement
from gdframe.stopping.objective_target import ObjectiveTarget
from gdframe.stopping.rule_set import Stopping
from gdframe.stopping.time_limit import TimeLimit

__all__ = [
    "Divergence",
    "Early",
    "EpochEnd",
    "GradientNorm",
    "Improvement",
    "Memory",
    "ObjectiveTarget",
    "Status",
    "Stopping",
    "StoppingRule",
    "TimeLimit",
    "Verdict",
    "divergence_verdict",
]
