"""All models as researchers write them."""

from __future__ import annotations

from . import linear_models, networks
from .model import LINEAR, MODELS

__all__ = ["LINEAR", "MODELS", "linear_models", "networks"]
