"""A digest of the settings that change the computation of a run."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

NEUTRAL_KEYS = ("sweep", "debug", "logging", "checkpoint", "observer", "preflight")
"""Keys that do not change the computation of a run."""


def computation_digest(config: Mapping[str, Any]) -> str:
    """Return a hash of all settings that change the computation of a run.

    A plugin counts by its file name: it may have moved.

    Example:
        >>> a, b = {"lr": 0.1, "debug": True}, {"debug": False, "lr": 0.1}
        >>> computation_digest(a) == computation_digest(b)
        True
    """
    chosen = {key: value for key, value in config.items() if key not in NEUTRAL_KEYS}
    chosen["plugins"] = [Path(plugin).name for plugin in config.get("plugins", ())]
    text = json.dumps(chosen, sort_keys=True, default=str)
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()
