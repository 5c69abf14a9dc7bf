"""gdframe: gradient descent on PyTorch, many runs at once, with a plain verdict for each.

The public names and their homes are in ``__init__.pyi``. Each is imported when it is first used, so
that ``import gdframe`` costs nothing and the command line starts without torch.
"""

from __future__ import annotations

import ast
import importlib
from pathlib import Path
from typing import Any

_HOME = {
    alias.name: str(node.module)
    for node in ast.parse(Path(__file__).with_suffix(".pyi").read_text()).body
    if isinstance(node, ast.ImportFrom)
    for alias in node.names
}

__all__ = sorted(_HOME)


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'gdframe' has no attribute '{name}'")
    value = getattr(importlib.import_module(_HOME[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return __all__
