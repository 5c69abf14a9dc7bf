"""Configs in folders, which may come from strangers: they are read without running anything.

A config may refer to its own keys, as ``${seed}``. A resolver, as ``${oc.env:HOME}``, would read
what is not in the folder, so that configs are written with the values that resolvers had.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from omegaconf import DictConfig, ListConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from gdframe.config.schema import Schema
from gdframe.diagnostics.learning_rate import AUTO
from gdframe.errors import UserError, escaped, printable
from gdframe.runs.parsing import MOST_VALUES, conform, parse_yaml
from gdframe.runs.run_folder import MOST_CONFIG, MOST_REASON

MOST_REFERENCES = 16
"""Largest number of references in a stored config; each may double the size of the config."""

_REFERENCE = re.compile(r"\$\{[\w\[\].-]+\}")
_INTERPOLATION = re.compile(r"(?<!\\)(?:\\\\)*\$\{")


def parse_config(text: str) -> DictConfig:
    """Return the config that a folder holds as YAML.

    Raises:
        ValueError: it is damaged, is not a config of gdframe, or has a resolver.
    """
    try:
        check_size(text)
        content = parse_yaml(text)
        if not isinstance(content, dict) or "stopping" not in content:
            raise ValueError("it is not a config of gdframe")
        stored = OmegaConf.create(content)
        references = references_in(stored)
        config = OmegaConf.merge(OmegaConf.structured(Schema), stored)
        if references:
            check_growth(config)
        check_resolved(OmegaConf.to_container(config, resolve=True))
    except (OmegaConfBaseException, TypeError, AttributeError) as error:
        raise ValueError(" ".join(str(error).split())) from error
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    assert isinstance(config, DictConfig)
    return config


def config_text(config: DictConfig) -> str:
    """Return the text of a config for a folder, from which it can be read again.

    Raises:
        UserError: it could not be read again.
    """
    text = OmegaConf.to_yaml(config)
    try:
        parse_config(text)
    except ValueError as error:
        raise UserError(f"the config of the run could not be read again: {error}") from error
    return text


def text_with_rate(config: DictConfig, text: str, lr: float, reason: str) -> str:
    """Return the text of a config for a folder, with the learning rate that ``lr=auto`` chose.

    Args:
        config: of the run.
        text: of the config.
        lr: the learning rate of the run.
        reason: why it was chosen, which becomes a comment: a run that ends before its first
            checkpoint starts again with it. Empty if the user set the rate.
    """
    if config.lr == AUTO:
        config.lr = lr
        text = config_text(config)
    return f"{text}# {printable(reason)}\n" if reason else text


def stored_reason(text: str) -> str:
    """Return the reason that ``text_with_rate`` added to the text of a config; else nothing."""
    last = text.rstrip().rpartition("\n")[2].removeprefix("# ")
    return printable(last[:MOST_REASON]) if last.startswith(f"lr={AUTO} ") else ""


def check_size(text: str) -> None:
    """Check that the text of a config is not too long for a folder.

    Raises:
        ValueError: it is, or it cannot be encoded.
    """
    if len(text.encode()) > MOST_CONFIG:
        raise ValueError(f"it has more than {MOST_CONFIG:,} bytes")


def check_values(content: Any, references: int = 0) -> int:
    """Check that stored values are few, and have few references and no resolvers.

    Args:
        content: the values.
        references: number of references in the config that receives the values.

    Returns:
        The number of references in both.

    Raises:
        ValueError: names the text that is refused.
    """
    check_size(str(content))
    if sum(1 for _ in _leaves(content, object)) > MOST_VALUES:
        raise ValueError(f"it has more than {MOST_VALUES:,} values")
    for text in _texts(content):
        if has_resolver(text):
            raise ValueError(
                f"'{text}' is an interpolation that a folder may not have; if you trust it, write "
                "its value there"
            )
        references += len(_INTERPOLATION.findall(text))
    if references > MOST_REFERENCES:
        raise ValueError(f"it has {references} interpolations, more than {MOST_REFERENCES}")
    return references


def references_in(config: DictConfig | ListConfig) -> int:
    """Return the number of references in a config.

    Raises:
        ValueError: see ``check_values``.
    """
    return check_values(OmegaConf.to_container(config, resolve=False))


def check_growth(config: DictConfig | ListConfig) -> None:
    """Check that a config stays small when its references are replaced by what they name.

    Raises:
        UserError: it does not. OmegaConfBaseException: a reference names nothing.
    """
    values = characters = 0
    remaining: list[Any] = [config]
    while remaining:
        node = remaining.pop()
        for key in range(len(node)) if OmegaConf.is_list(node) else node:
            value = None if OmegaConf.is_missing(node, key) else node[key]
            values += 1
            characters += len(value) if isinstance(value, str) else 0
            if OmegaConf.is_config(value):
                remaining.append(value)
            if values > MOST_VALUES or characters > MOST_CONFIG:
                raise UserError(
                    f"its references make it larger than {MOST_VALUES:,} values or {MOST_CONFIG:,} "
                    "characters; write the values there"
                )


def check_resolved(content: Any) -> None:
    """Check the keys and types of a config, and the size of its whole numbers.

    Raises:
        ValueError: names the place, what was expected and what is there.
    """
    conform(content, "ConfigFile")
    for number in _leaves(content, int):
        if not -(1 << 63) <= number < 1 << 63:
            raise ValueError("it has a whole number of more than 64 bits")


def _leaves(content: Any, kind: type) -> Iterator[Any]:
    if isinstance(content, Mapping):
        for value in content.values():
            yield from _leaves(value, kind)
    elif isinstance(content, list):
        for value in content:
            yield from _leaves(value, kind)
    elif isinstance(content, kind):
        yield content


def _texts(content: Any) -> Iterator[str]:
    return _leaves(content, str)


def has_resolver(text: str) -> bool:
    r"""Return whether text has an interpolation other than a reference to a key.

    Example:
        >>> [has_resolver(text) for text in ("${seed}", "${oc.env:HOME}", r"\${oc.env:HOME}")]
        [False, True, False]
    """
    before = None
    while before != text:  # references may be inside others
        before, text = text, _REFERENCE.sub("0", text)
    return _INTERPOLATION.search(text) is not None


def resolve(config: DictConfig) -> DictConfig:
    """Replace resolvers in a config by their values, in place; references to keys stay."""
    for key, value in resolved(config).items():
        OmegaConf.update(config, key, value, merge=False)
    return config


def resolved(config: DictConfig) -> dict[str, Any]:
    """Return the values of the keys whose text has resolvers, by dotted key."""
    raw = OmegaConf.to_container(config, resolve=False, enum_to_str=True)
    if not any(map(has_resolver, _texts(raw))):
        return {}
    return dict(_resolved(raw, OmegaConf.to_container(config, resolve=True, enum_to_str=True)))


def _resolved(raw: Any, values: Any, place: str = "") -> Iterator[tuple[str, Any]]:
    for key, text in raw.items():
        if isinstance(text, Mapping):
            yield from _resolved(text, values[key], f"{place}{key}.")
        elif any(map(has_resolver, _texts(text))):
            yield f"{place}{key}", _escaped(values[key])


def _escaped(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _escaped(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_escaped(item) for item in value]
    return escaped(value) if isinstance(value, str) else value
