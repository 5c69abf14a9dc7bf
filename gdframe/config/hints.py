"""Suggestions for a word, a flag, a key or a value that does not exist."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from gdframe.config.schema import GROUPS, Schema, defaults, names
from gdframe.errors import InputError, UserError, unknown
from gdframe.registry import REGISTRIES, Registry

TRAINING = ("train", "run", "fit", "start", "learn")
"""Words for what the command line does without a verb."""


def unknown_word(words: Sequence[str], verbs: Sequence[str]) -> UserError:
    """Return the error for a command line that begins with a word that is not a verb.

    Args:
        words: of the command line.
        verbs: that exist.
    """
    word = words[0]
    if override := override_of(words):
        return InputError(f"'{word}'", f"expected KEY=VALUE; write {override}")
    if word in TRAINING:
        return InputError(f"'{word}'", "training has no verb; leave it out, as in lr=0.1")
    if word == "help":
        return InputError("'help'", "there is no such verb; use --help, or guide for the documents")
    error = unknown(f"'{word}'", "verb", word, verbs)
    return UserError(f"{error}, or train a run with KEY=VALUE words")


def strange_word(word: str, words: Sequence[str], flags: Sequence[str]) -> UserError:
    """Return the error for a word that a command line cannot hold.

    Args:
        word: what was typed, such as ``--lr=0.1``.
        words: of the command line.
        flags: that exist.
    """
    override = override_of(words[words.index(word) :])
    if word.startswith("-"):
        if override:
            return InputError(word, f"there is no such flag; write {override}, without dashes")
        return unknown(word, "flag", word.partition("=")[0], flags)
    return InputError(f"'{word}'", f"expected KEY=VALUE; write {override or 'it as in lr=0.1'}")


def override_of(words: Sequence[str]) -> str | None:
    """Return KEY=VALUE for a key at the start of words that are written otherwise, or None.

    Example:
        >>> override_of(["epochs", "10"]), override_of(["lr:0.1"]), override_of(["--lr=0.1"])
        ('epochs=10', 'lr=0.1', 'lr=0.1')
    """
    key, sign, value = re.match(r"-*([\w.]*)([=:]?)(.*)", words[0], re.DOTALL).groups()  # type: ignore[union-attr]
    if key.partition(".")[0] not in (*Schema.__dataclass_fields__, *GROUPS):
        return None
    follows = not sign and len(words) > 1 and not re.match(r"-\D|[^=]*=", words[1])
    return f"{key}={value or (words[1] if follows else 'VALUE')}"


def suggestion(key: str, config: Mapping[str, Any]) -> str | None:
    """Return what a key that does not exist may mean: a component, or a setting of one.

    The text ends a question of ``errors.py`` and brings its own quotes, as ``'lr'`` does.

    Args:
        key: such as ``momentum``, ``beta`` or ``optimizer.beta``.
        config: without the key.
    """
    group, _, rest = key.partition(".")
    registry = REGISTRIES.get(group)
    if registry is None:
        return None if rest else _somewhere(key, config)
    if registry.several:
        name = rest.partition(".")[0]
        is_missing = name in names(group) and name not in (config.get(group) or {})
        return f"to choose it with {group}={name}" if is_missing else None
    if owners := _owners(registry, rest):
        return f"'{rest}' of {' or '.join(f'{group}={name}' for name in owners[:3])}"
    return None


def _somewhere(key: str, config: Mapping[str, Any]) -> str | None:
    """Return the components that have the name ``key``, else the settings of this name."""
    choices = [f"'{group}={key}'" for group in REGISTRIES if key in names(group)]
    if choices:
        return " or ".join(choices)
    settings = []
    for group, registry in REGISTRIES.items():
        chosen = config.get(group) or {}
        if key in chosen and key not in names(group):
            settings.append(f"'{group}.{key}'")
        elif owners := _owners(registry, key):
            place = registry.key_of(owners[0])
            settings.append(f"'{group}={owners[0]} {place}.{key}=VALUE'")
    return " or ".join(settings[:3]) or None


def _owners(registry: Registry[Any], setting: str) -> list[str]:
    """Return the components of a kind that have a setting."""
    built_in = [name for name in names(registry.kind) if setting in _settings(registry.kind, name)]
    user_components = [
        name for name in registry.user_components() if setting in registry.settings(name)
    ]
    return list(dict.fromkeys([*built_in, *user_components]))


def _settings(group: str, name: str) -> Mapping[str, Any]:
    content = defaults(group, name) or {}
    return content if content.pop("name", None) is not None else {}


def instead_of_choice(group: str, choice: str) -> str | None:
    """Return what to write for a choice of a group that is a file, or None."""
    if choice.endswith(".py"):
        return f"'plugins=[{choice}] {group}=NAME'"
    if group == "data" and re.search(r"[./\\]", choice):
        return f"'data=table data.path={choice} data.target=COLUMN'"
    return None


def instead_of_number(key: str, value: Any) -> str:
    """Return what to write for a number with another spelling of a range, or an empty text."""
    match = re.fullmatch(r"(\d+)(?:\.\.+|-|:|to)(\d+)", str(value).replace(" ", ""))
    if match is None:
        return ""
    return f"for several values, add -m and write '{key}=range({match[1]},{int(match[2]) + 1})'"
