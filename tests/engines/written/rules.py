"""All rules as researchers write them."""

from __future__ import annotations

from . import branches, hidden, spellings, states
from .rule import ELEMENTWISE, RULES

__all__ = ["ELEMENTWISE", "RULES", "branches", "hidden", "spellings", "states"]
