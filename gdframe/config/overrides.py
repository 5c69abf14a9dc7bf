"""Checks the overrides of a launch as a whole, before any config is composed."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from hydra.core.override_parser.types import ChoiceSweep, Override, RangeSweep

from gdframe.config.override_syntax import parse
from gdframe.errors import UserError, require_memory

BYTES_OF_RUN = 4_000
"""Approximate memory that a run of a sweep takes before it is trained."""


def named_folder(override: str) -> Path:
    """Return the folder in an override such as ``sweep.dir=FOLDER``, without ``..`` in its path.

    Raises:
        UserError: the override is malformed, or names no folder.
    """
    value = parse([override])[0].value()
    if not isinstance(value, str) or not value.strip():
        raise UserError(f"{override}: expected the name of a folder")
    folder = Path(value)
    # to make a/../b would make a, too
    return Path(os.path.realpath(folder)) if ".." in folder.parts else folder


def check_texts(overrides: Sequence[Any]) -> None:
    """Check that each override that Python was given is a text.

    Raises:
        UserError: one is of another kind.
    """
    for override in overrides:
        if not isinstance(override, str):
            raise UserError(
                f"an override was given as a {type(override).__name__}: expected texts, as in "
                'gdframe.train("variant=sgd", "lr=0.01")'
            )


def refuse_unheard(overrides: Sequence[str]) -> None:
    """Refuse overrides that would have no effect, or a wrong one, without a word.

    Raises:
        UserError: a key is given twice, would make Hydra write files of its own, or is malformed.
    """
    first: dict[str, str] = {}
    for text in overrides:
        override = parse([text])[0]
        key = f"{override.key_or_group}@{override.package}"
        if override.key_or_group == "hydra.output_subdir":
            raise UserError(f"{text}: gdframe writes the config of a run itself; leave it out")
        if key in first:
            raise UserError(f"{first[key]} {text}: gives one key twice; leave one of them out")
        first[key] = text


OF_WORKERS = "sweep.pack: a sweep gives it to its workers; leave it out"
"""The message about a key that is not the user's."""


def check_sweep(overrides: Sequence[Override]) -> None:
    """Check the overrides of a sweep, before its runs are listed.

    Raises:
        UserError: its runs do not fit in memory, or ``sweep.pack`` is set.
    """
    refuse_pack(overrides)
    runs = math.prod(max(1.0, _count_of_values(override)) for override in overrides)
    require_memory(f"a sweep of {runs:,.3g} runs", BYTES_OF_RUN * runs)


def refuse_pack(overrides: Sequence[Override]) -> None:
    """Refuse ``sweep.pack`` on a command line.

    Raises:
        UserError: it is set.
    """
    if any(override.key_or_group == "sweep.pack" for override in overrides):
        raise UserError(OF_WORKERS)


def _count_of_values(override: Override) -> float:
    """Return the number of values of an override."""
    value = override.value()
    if isinstance(value, ChoiceSweep):
        return len(value.list)
    if isinstance(value, RangeSweep) and value.step:
        assert value.start is not None
        assert value.stop is not None
        with suppress(OverflowError):
            return abs(value.stop - value.start) / abs(value.step)
        return math.inf
    return 1
