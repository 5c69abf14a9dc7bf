"""The linear engine: Numba loops for models that are linear in their parameters."""

from gdframe.engines.linear.engine import LinearLoops

__all__ = ["LinearLoops"]
