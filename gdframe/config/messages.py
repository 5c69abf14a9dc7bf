"""Turns Hydra's errors into one clear line: the override, what is expected, what to do."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Any

from hydra.core.config_store import ConfigStore
from hydra.core.override_parser.types import Glob, Override
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf, open_dict
from omegaconf.errors import OmegaConfBaseException

from gdframe.config.compose import compose_config
from gdframe.config.hints import instead_of_choice, instead_of_number, suggestion
from gdframe.config.hydra_internals import UNKNOWN_PATH, configures_logging
from gdframe.config.override_syntax import parse
from gdframe.config.schema import GROUPS, SEVERAL_GROUPS, Schema, names
from gdframe.errors import InputError, UserError, bad_value, first_line, in_words, unknown
from gdframe.registry import REGISTRIES
from gdframe.registry.signatures import describe, shown


def refuse_choices(overrides: Sequence[str]) -> None:
    """Refuse choices of groups for which Hydra has no clear message.

    Raises:
        UserError: a group is null or empty, or a name or a group of keys is set as if it were a
            setting.
    """
    for text in overrides:
        group, _, choices = text.lstrip("+").partition("=")
        if group.endswith(".name") and group.partition(".")[0] in GROUPS:
            group = group.partition(".")[0]
            raise InputError(text, f"a name is no setting; write {group}={choices}")
        if group in ("sweep", "evaluation"):
            raise InputError(text, f"is a group of keys; set one of them, as in {group}.KEY=VALUE")
        if group in GROUPS and {"null", ""} & set(choices.lower().split(",")):
            choices = in_words(names(group))
            raise bad_value(text, "a name", f"leave {group} out for its default, or use {choices}")


def refuse_several(overrides: Sequence[str]) -> None:
    """Refuse several values for a key of ``sweep``, which has one value for all runs.

    Raises:
        UserError: a key of ``sweep`` has several values.
    """
    for text in overrides:
        if text.startswith("sweep.") and parse([text])[0].is_sweep_override():
            raise bad_value(text, "one value for the whole sweep")


SWEEP = "add -m to train all of them, as in python -m gdframe -m ..."
"""Advice on several values for a key."""


def explain(error: BaseException, overrides: Sequence[str], several: str = SWEEP) -> UserError:
    """Return the clearest error for a config that could not be composed.

    Args:
        error: the error that Hydra or OmegaConf raised.
        overrides: the overrides that the user typed.
        several: what to do about several values for a key.
    """
    for cause in _chain(error):
        if isinstance(cause, UserError):
            return cause
    message = text_of(error)
    if (unknown_path := UNKNOWN_PATH.search(message)) is not None:
        return UserError(f"hydra.searchpath: '{unknown_path[1]}' is not a folder with configs")
    if configures_logging(error):
        return UserError(f"hydra.job_logging, hydra.hydra_logging: Python refuses them ({message})")
    if message.startswith("Ambiguous value") or "requires --multirun" in message:
        text = message.split("'")[1]
        return InputError(text, f"gives several values; {several}{_or_as_a_list(text, overrides)}")
    try:
        parsed = parse(overrides)
        _check_choices(parsed)
        _check_keys(parsed)
    except UserError as clearer:
        return clearer
    except (HydraException, OmegaConfBaseException):
        pass
    return UserError(message)


def text_of(error: BaseException) -> str:
    """Return the first line of an error of Hydra or OmegaConf, after the key that it is about."""
    key = getattr(error, "full_key", None) if "interpolation" in str(error).lower() else None
    return f"{key}: {first_line(error)}" if key else first_line(error)


def _or_as_a_list(text: str, overrides: Sequence[str]) -> str:
    """Return how to write several values as one: as a list, or as text with commas."""
    key, _, values = text.lstrip("+").partition("=")
    if not values or "(" in values:
        return ""
    group = key.partition(".")[0]
    if key in SEVERAL_GROUPS:
        return f"; or, for one run with all of them, write {key}=[{values}]"
    try:
        chosen = [text for text in overrides if key != group and text.startswith(f"{group}=")]
        value = OmegaConf.select(compose_config(chosen), key)
    except (HydraException, OmegaConfBaseException):
        value = None
    if OmegaConf.is_list(value):
        return f"; or, for a list, write {key}=[{values}]"
    return "" if isinstance(value, (int, float)) else "; text with commas needs quotes"


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def _values(override: Override) -> list[Any]:
    """Return the values of an override; of a sweep override, at most ``MOST_CHECKED``."""
    if override.is_discrete_sweep() and not isinstance(override.value(), Glob):
        return list(islice(override.sweep_string_iterator(), MOST_CHECKED))
    return [override.value()]


MOST_CHECKED = 1000
"""Most values of a sweep that are checked to explain an error."""


EXTRAS = {
    "joblib": "joblib",
    "submitit_local": "submitit",
    "submitit_slurm": "submitit",
    "ray": "ray",
    "ray_aws": "ray",
    "optuna": "optuna",
}
"""The extra that each launcher and sweeper of Hydra's family needs."""


def _check_plugin(group: str, values: Sequence[Any]) -> None:
    """Raise UserError for a launcher or sweeper that is not installed or does not exist."""
    known = {"hydra/launcher": ["gdframe", "basic"], "hydra/sweeper": ["gdframe", "basic"]}[group]
    stored = [name.removesuffix(".yaml") for name in _stored(group)]
    for value in values:
        choice = str(value).strip("'\"")
        if choice in EXTRAS and choice not in stored:
            raise UserError(
                f"{group}={choice} needs an extra that is not installed: "
                f"pip install 'gdframe[{EXTRAS[choice]}]'"
            )
        if choice not in (*known, *stored):
            choices = sorted({*known, *stored})
            kind = group.removeprefix("hydra/")
            raise unknown(f"{group}={choice}", kind, choice, choices)


def _stored(group: str) -> list[str]:
    repository: Any = ConfigStore.instance().repo
    for part in group.split("/"):
        repository = repository.get(part, {})
    return [str(name) for name in repository]


def _check_choices(parsed: Sequence[Override]) -> None:
    """Raise UserError for the first choice of a group that does not exist."""
    for override in parsed:
        group = override.key_or_group
        if group in ("hydra/launcher", "hydra/sweeper") and not override.is_delete():
            _check_plugin(group, _values(override))
        if group not in GROUPS or override.is_delete():
            continue
        registry = REGISTRIES.get(group)
        known = [name for name in names(group) if name != "default" or registry is None]
        noun = group if registry is None else registry.noun
        for value in _values(override):
            choices = value if isinstance(value, list) else [value]
            for choice in (str(choice).strip("'\"") for choice in choices if choice is not None):
                if choice not in names(group):
                    typed = str(override.input_line) if choices is value else f"{group}={choice}"
                    noun += f" as '{choice}'" if choices is value else ""
                    remedy = instead_of_choice(group, choice)
                    raise unknown(typed, noun, choice, known, suggestion=remedy)


def _check_keys(parsed: Sequence[Override]) -> None:
    """Raise UserError for the first key that does not exist or has a value of the wrong type."""
    choices = []
    for override in parsed:
        if override.key_or_group in GROUPS and not override.is_delete():
            choices.append(f"{override.key_or_group}={_values(override)[0] or 'null'}")
    config = compose_config(choices)
    for override in parsed:
        key = override.key_or_group
        if key == "hydra.launcher.batch":
            raise UserError(
                "hydra.launcher.batch is for gdframe's launcher only; for another launcher, use "
                f"hydra.sweeper.batch={_values(override)[0]}, the most runs that a worker trains "
                "together"
            )
        if key in GROUPS or key.startswith("hydra"):
            continue
        _check_key(config, key)
        if override.is_delete():
            raise UserError(f"~{key}: a key of gdframe cannot be deleted")
        for value in _values(override):
            _check_value(config, key, value)


def _check_key(config: DictConfig, key: str) -> None:
    node: Any = config
    parts = key.split(".")
    for depth, part in enumerate(parts):
        known = [str(name) for name in node] if isinstance(node, DictConfig) else []
        if part not in known:
            place = ".".join(parts[:depth])
            name = node.get("name") if isinstance(node, DictConfig) else None
            owner = f" of {parts[0]}={name}" if name else ""
            settings = [other for other in known if other != "name" or not place]
            is_misplaced = place and part in Schema.__dataclass_fields__
            remedy = f"'{part}', without '{place}.'" if is_misplaced else suggestion(key, config)
            raise unknown(key, f"key{owner}", part, settings, suggestion=remedy)
        node = OmegaConf.select(node, part, throw_on_missing=False)


def apply_override(config: DictConfig, override: Override) -> None:
    """Set a key of a composed config to the value of an override.

    Of a group that takes several components, an override chooses them all, as for a new run;
    those in the config keep their settings.

    Raises:
        UserError: the key does not exist, or the value has the wrong type.
    """
    if (group := override.key_or_group) in SEVERAL_GROUPS and not override.is_delete():
        _choose(config, group, str(override.input_line))
        return
    _check_key(config, override.key_or_group)
    _check_value(config, override.key_or_group, override.value())


def _choose(config: DictConfig, group: str, line: str) -> None:
    """Choose the components of a group that takes several."""
    names = parse([line])[0].value()
    if not all(isinstance(name, str) for name in (names if isinstance(names, list) else [names])):
        raise bad_value(line, f"names, such as {group}=[NAME,NAME]")
    refuse_choices([line])
    try:
        chosen = compose_config([line])[group] or {}
    except (HydraException, OmegaConfBaseException) as error:
        raise explain(error, [line]) from error
    before = config[group] or {}
    settings = {k: v for k, v in before.items() if not isinstance(v, DictConfig)}
    named = {k: before.get(k, v) for k, v in chosen.items() if isinstance(v, DictConfig)}
    with open_dict(config):
        config[group] = {**settings, **named}


def _check_value(config: DictConfig, key: str, value: Any) -> None:
    try:
        OmegaConf.update(config, key, value)
    except OmegaConfBaseException as error:
        expected = Schema.__annotations__.get(key, "")
        words = {
            "float": "a number",
            "int": "a whole number",
            "str": "text",
            "bool": "true or false",
        }
        reason = words.get(expected) or _expected(config, key) or str(error).splitlines()[0]
        hint = instead_of_number(key, value)
        raise bad_value(f"{key}={shown(value)}", reason, hint) from error


def _expected(config: DictConfig, key: str) -> str | None:
    node = OmegaConf.select(config, key.rpartition(".")[0])
    if isinstance(node, DictConfig):
        kind = OmegaConf.get_type(node)
        hints = getattr(kind, "__annotations__", {})
        if key.rpartition(".")[2] in hints:
            return describe(hints[key.rpartition(".")[2]])
    return None
