"""Reads and writes overrides in Hydra's syntax."""

from __future__ import annotations

import re
from collections.abc import Sequence

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.errors import HydraException

from gdframe.errors import UserError, bad_value, override_value


def parse(overrides: Sequence[str]) -> list[Override]:
    """Parse overrides by Hydra's grammar.

    Raises:
        UserError: an override is malformed.
    """
    parsed = []
    for text in overrides:
        if re.search(r"[\d_]{309}", text):  # neither Python nor OmegaConf can convert it
            raise bad_value(text, "numbers of at most 308 digits")
        try:
            parsed.append(OverridesParser.create().parse_override(text))
        except HydraException as error:
            raise UserError(
                f"cannot read '{text}': expected KEY=VALUE, as in lr=0.01; text with commas, "
                "spaces, brackets or = needs quotes, as in 'data.target=\"my column\"'"
            ) from error
        if not str(parsed[-1].key_or_group).strip():
            raise UserError(f"cannot read '{text}': expected KEY=VALUE, as in lr=0.01")
    return parsed


def quoted(text: str) -> str:
    r"""Return text as the value of an override, in quotes if Hydra would read it as another.

    Example:
        >>> quoted("runs/a"), quoted("runs/a, b")
        ('runs/a', "'runs/a, b'")
    """
    if re.fullmatch(r"[\w.-]*/[\w./-]*", text, re.ASCII):  # a path
        return text
    return override_value(text)


def with_plugins(word: str, plugins: Sequence[str]) -> str:
    """Return a word of a command line, with the plugins in ``plugins=[...]`` replaced."""
    return f"plugins=[{','.join(map(quoted, plugins))}]" if word.startswith("plugins=") else word


def named_plugins(overrides: Sequence[str]) -> list[str]:
    """Return the plugins in the last override ``plugins=[...]``.

    Raises:
        UserError: the value is not a list.
    """
    matches = [text for text in overrides if text.startswith("plugins=")]
    if not matches:
        return []
    value = parse(matches[-1:])[0].value()
    if not isinstance(value, list):
        raise bad_value(matches[-1], "a list", f"write plugins=[{value}]")
    return [str(plugin) for plugin in value]
