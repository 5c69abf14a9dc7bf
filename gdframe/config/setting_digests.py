"""Digests of the settings that decide a run's steps, so that a resumed run has those of before."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from gdframe.errors import UserError, in_words
from gdframe.runs.log import warn_once
from gdframe.runs.run_folder import CONFIG, RunFolder
from gdframe.training.run_spec import RunSpec

SETTINGS = (
    "model", "loss", "penalty", "initializer", "loader", "optimizer", "schedule", "batch_size",
    "lr", "seed", "dtype",
)  # fmt: skip
"""Keys of a config that decide the steps of a run. Its data have a digest of their own, and its
variant is the name of the loader."""

SETTING, HELD_OUT = "setting ", ("validation rows", "test rows")
"""Beginning of the name of a setting's digest, and names of those of rows that steps do not see."""


def setting_digests(config: Mapping[str, Any], spec: RunSpec) -> dict[str, str]:
    """Return a digest of each setting of a run, and of its held-out rows, by name.

    Args:
        config: plain values.
        spec: built from it.
    """
    values = {key: config[key] for key in SETTINGS if key in config}
    values["data.standardize_target"] = spec.data.encoding.target_scale
    schedule = dict(config.get("schedule") or {})
    length = schedule.pop("epochs", None)
    if length is not None:  # else a resumed run may set it
        values["schedule.epochs"] = length
    values["schedule"] = schedule
    digests = {f"{SETTING}{key}": _digest(value) for key, value in values.items()}
    held_out = zip(HELD_OUT, spec.data.digests_of_held_out, strict=True)
    return digests | {name: digest for name, digest in held_out if digest is not None}


def check_settings(before: Mapping[str, str], now: Mapping[str, str], folder: RunFolder) -> None:
    """Refuse a config that has changed since a checkpoint, and warn of other held-out rows.

    Args:
        before: digests of the checkpoint; none of an earlier version.
        now: those of the run.
        folder: of the run.

    Raises:
        UserError: names the settings that differ.
    """
    differing = [name for name, digest in before.items() if now.get(name, digest) != digest]
    settings = [name.removeprefix(SETTING) for name in differing if name.startswith(SETTING)]
    if settings:
        raise UserError(
            f"{folder}: {in_words(settings)} in {CONFIG} {'is' if len(settings) == 1 else 'are'} "
            "not as in the checkpoint, whose steps they decided: restore the config, or start a "
            "new run in another folder"
        )
    for rows in HELD_OUT:
        if rows in differing:
            warn_once(
                f"the {rows} are not those of the run before: its losses and metrics on them "
                "cannot be compared with those from here on"
            )


def _digest(value: Any) -> str:
    text = json.dumps(value, sort_keys=True, default=str)
    return hashlib.blake2b(text.encode(), digest_size=6).hexdigest()
