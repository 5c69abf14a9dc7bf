"""Engines: how steps are executed. They differ in speed, not in results."""

from gdframe.engines.auto import build_engine, choose_engine
from gdframe.engines.base import CannotExecute, Engine, Estimate, Problem, Trace
from gdframe.engines.compiled import Compiled
from gdframe.engines.eager import Eager
from gdframe.engines.gram import Gram
from gdframe.engines.linear import LinearLoops

__all__ = [
    "CannotExecute",
    "Compiled",
    "Eager",
    "Engine",
    "Estimate",
    "Gram",
    "LinearLoops",
    "Problem",
    "Trace",
    "build_engine",
    "choose_engine",
]
