"""Engines: how epochs are executed. They change the speed, never the answer."""

from gdframe.engines.base import Engine, Run, Trace
from gdframe.engines.eager import Eager

__all__ = ["Eager", "Engine", "Run", "Trace"]
