"""Parses text that may be damaged or hostile: JSON and YAML, checked against a schema."""

from __future__ import annotations

import json
import re
from typing import Any

import yaml

DEEPEST = 50
"""Most mappings and lists inside each other."""

_HALF = re.compile(r"\\u[dD][89a-fA-F]")
"""An escaped half of a character; most have their other half."""

_Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


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
    return content


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
        ValueError: it is no YAML, has tags or aliases, or is nested too deeply.
    """
    depth = 0
    try:
        for event in yaml.parse(text, Loader=_Loader):
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
