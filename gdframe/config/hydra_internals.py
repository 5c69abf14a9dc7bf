"""The parts of Hydra that gdframe needs and that have no public interface.

- Hydra's parser of flags prints its usage and ends the process for an unknown flag, and takes no
  flag between overrides. A launch uses a copy of it that does neither.
- Only Hydra's basic sweeper makes every combination of values. The sweeper in ``gdframe/_hydra/``
  derives from it, and imports it there: Hydra loads the class again when it looks for plugins, so
  that a class imported before is a different class.
- Each launcher receives run groups, whichever sweeper drives it. A plugin cannot change how Hydra
  makes launchers. So the method that makes them is wrapped while the application runs.
- Hydra composes the config of a launch twice, first only to read its mode, which takes 200 ms.
  It need not where nothing sets the mode.
"""

from __future__ import annotations

import re
import traceback
import warnings
from argparse import ArgumentError
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from hydra._internal.hydra import Hydra
from hydra._internal.utils import get_args_parser
from hydra.core.override_parser.types import Override
from hydra.core.plugins import Plugins
from hydra.errors import HydraException
from omegaconf.errors import OmegaConfBaseException

from gdframe.config.hints import strange_word
from gdframe.config.overrides import check_sweep
from gdframe.errors import UserError


def split(argv: Sequence[str]) -> tuple[list[str], list[str]]:
    """Return the flags of a command line with their values, and its overrides.

    Raises:
        UserError: a flag is unknown, or its value is missing or wrong.
    """
    parser = get_args_parser()
    parser.exit_on_error = False
    try:
        chosen, unknown = parser.parse_known_intermixed_args(list(argv))
    except ArgumentError as error:
        raise UserError(f"{error}; python -m gdframe --hydra-help shows all flags") from error
    if chosen.experimental_rerun is not None:
        raise UserError(
            "--experimental-rerun: it loads a pickle, which may run code; python -m gdframe resume "
            "continues a run"
        )
    overrides = list(chosen.overrides)
    unknown += [word for word in overrides if "=" not in word and not word.startswith("~")]
    if unknown:
        raise strange_word(unknown[0], argv, list(parser._option_string_actions))
    return [word for word in argv if word not in overrides], overrides


def is_of_hydra(error: BaseException) -> bool:
    """Return whether an error came from Hydra or from a library that it calls.

    Such an error means wrong overrides. It need not be a HydraException.
    """
    package = str(Path(__file__).parents[1])
    is_inside = False
    for frame in reversed(traceback.extract_tb(error.__traceback__)):
        if frame.filename.startswith(package):
            break
        is_inside |= bool({"hydra", "omegaconf", "antlr4", "yaml"} & {*Path(frame.filename).parts})
    is_error_of_hydra = isinstance(error, (HydraException, OmegaConfBaseException))
    return is_inside or is_error_of_hydra or configures_logging(error)


def configures_logging(error: BaseException) -> bool:
    """Return whether an error was raised while Hydra configured Python's logging."""
    frames = traceback.extract_tb(error.__traceback__)
    return any(frame.name == "configure_logging" for frame in frames)


@contextmanager
def refusing_unknown_paths() -> Iterator[None]:
    """Raise where Hydra would only warn that a folder of ``hydra.searchpath`` does not exist."""
    with warnings.catch_warnings():
        warnings.filterwarnings(
            "error", message=f".*{UNKNOWN_PATH.pattern}", category=UserWarning, module=r"hydra\."
        )
        yield


UNKNOWN_PATH = re.compile(r"path=(.*) is not available")
"""Hydra's message about a folder of ``hydra.searchpath`` that does not exist."""


def combinations(overrides: Sequence[Override]) -> list[list[str]]:
    """Return the overrides of each run: every combination of the values in ``overrides``."""
    from hydra._internal.core_plugins.basic_sweeper import BasicSweeper

    check_sweep(overrides)
    return [list(words) for words in BasicSweeper.split_arguments(list(overrides), None)[0]]


@contextmanager
def wrapping_launchers(wrap: Callable[..., Any]) -> Iterator[None]:
    """Replace each launcher that Hydra makes by ``wrap(launcher, hydra_context=..., ...)``."""
    instantiate = Plugins.instantiate_launcher

    def wrapped(self: Plugins, *args: Any, **settings: Any) -> Any:
        return wrap(instantiate(self, *args, **settings), *args, **settings)

    Plugins.instantiate_launcher = wrapped  # type: ignore[method-assign]
    try:
        yield
    finally:
        Plugins.instantiate_launcher = instantiate  # type: ignore[method-assign]


@contextmanager
def no_mode() -> Iterator[None]:
    """Tell Hydra that no config file and no override sets ``hydra.mode``."""
    get_mode = Hydra.get_mode
    Hydra.get_mode = lambda *_, **__: None  # type: ignore[method-assign]
    try:
        yield
    finally:
        Hydra.get_mode = get_mode  # type: ignore[method-assign]
