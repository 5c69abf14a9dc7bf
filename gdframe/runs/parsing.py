"""Parses text that may be damaged or hostile: JSON and YAML, checked against a schema."""

from __future__ import annotations

import json
import re
from typing import Any

import yaml

DEEPEST, MOST_VALUES = 50, 10_000
"""Most mappings and lists inside each other in a text, and most values in a YAML text."""

_HALF = re.compile(r"\\u[dD][89a-fA-F]")
"""An escaped half of a character; most have their other half."""

_NUMBERS = {
    "int": r"[-+]?(?:0b[01_]+|0x[0-9a-fA-F_]+|0[0-7_]*|[1-9][0-9_]*)",
    "float": r"[-+]?[0-9][0-9_]*\.[0-9_]*(?:[eE][-+][0-9]+)?|\.[0-9][0-9_]*(?:[eE][-+][0-9]+)?"
    r"|[-+]?[0-9]+(?:_[0-9]+)*(?:\.[0-9_]*)?[eE][-+]?[0-9]+|[-+]?\.(?:inf|Inf|INF)"
    r"|\.(?:nan|NaN|NAN)",
}
"""Texts of numbers, as OmegaConf reads them, not the base 60 of YAML 1.1 (``1:30`` is 90), whose
conversion takes a time that grows with the square of the length."""


class _Loader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]
    """Reads YAML as OmegaConf does: ``1e3`` is a number, a date is text, keys are unique."""

    def construct_mapping(self, node: Any, deep: bool = False) -> Any:
        keys = [key.value for key, _ in node.value if isinstance(key, yaml.ScalarNode)]
        if len(set(keys)) < len(keys):
            raise ValueError("a mapping has the same key twice")
        return super().construct_mapping(node, deep)


_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag.split(":")[-1]
            not in ("timestamp", *_NUMBERS)]
    for first, resolvers in _Loader.yaml_implicit_resolvers.items()
}  # fmt: skip
for _kind, _pattern in _NUMBERS.items():
    _Loader.add_implicit_resolver(
        f"tag:yaml.org,2002:{_kind}", re.compile(rf"(?:{_pattern})\Z"), list("-+0123456789.")
    )


def parse_json(text: str) -> Any:
    """Return the content of a JSON text, with ``?`` for halves of characters.

    JSON can hold half of a character, which no other file can.

    Raises:
        ValueError: it is no JSON, or nested too deeply.
    """
    try:
        content = json.loads(text)
        if _HALF.search(text):
            whole = json.dumps(content, ensure_ascii=False).encode(errors="replace")
            content = json.loads(whole)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    _check_depth(content)
    return content


def _check_depth(content: Any) -> None:
    """Raise ValueError if mappings and lists lie deeper inside each other than ``DEEPEST``."""
    level = [content] if isinstance(content, (dict, list)) else []
    for _ in range(DEEPEST):
        groups = [group.values() if isinstance(group, dict) else group for group in level]
        level = [value for group in groups for value in group if isinstance(value, (dict, list))]
        if not level:
            return
    raise ValueError("it is nested too deeply")


def parse_yaml(text: str) -> Any:
    """Return the content of a YAML text.

    Raises:
        ValueError: see ``check_yaml``.
    """
    check_yaml(text)
    try:
        return yaml.load(text, Loader=_Loader)
    except yaml.YAMLError as error:
        raise ValueError(" ".join(str(error).split())) from error


def check_yaml(text: str) -> None:
    """Check that YAML is plain: it has no tags, and no aliases, which make a small file large.

    Raises:
        ValueError: it is no YAML, has tags or aliases, is nested too deeply, or has more than
            ``MOST_VALUES`` values.
    """
    depth = values = 0
    try:
        for event in yaml.parse(text, Loader=_Loader):
            values += isinstance(event, yaml.NodeEvent)
            if values > MOST_VALUES:
                raise ValueError(f"it has more than {MOST_VALUES:,} values")
            if isinstance(event, yaml.AliasEvent):
                raise ValueError(f"it has the alias *{event.anchor}")
            if (tag := getattr(event, "tag", None)) not in (None, "!"):
                raise ValueError(f"it has the tag {tag}")
            if isinstance(event, yaml.CollectionStartEvent):
                depth += 1
                if depth > DEEPEST:
                    raise ValueError("it is nested too deeply")
            elif isinstance(event, yaml.CollectionEndEvent):
                depth -= 1
    except yaml.YAMLError as error:
        raise ValueError(" ".join(str(error).split())) from error


def conform(content: Any, schema: str) -> None:
    """Check that content has the keys and types of a schema.

    Args:
        content: plain values.
        schema: name of a class in ``schemas.py``.

    Raises:
        ValueError: names the place, what was expected and what is there.
    """
    import msgspec  # takes a tenth of a second

    from gdframe.runs import schemas

    try:
        msgspec.convert(content, getattr(schemas, schema))
    except msgspec.ValidationError as error:
        what, _, place = str(error).replace("`", "").partition(" - at $")
        where = f"{place.lstrip('.')}: " if place else ""
        raise ValueError(f"{where}{what[:1].lower()}{what[1:]}") from error
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
