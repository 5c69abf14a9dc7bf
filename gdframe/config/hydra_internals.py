"""The parts of Hydra that gdframe needs and that have no public interface.

- Only Hydra's basic sweeper makes every combination of values. The sweeper in ``gdframe/_hydra/``
  derives from it, and imports it there: Hydra loads the class again when it looks for plugins, so
  that a class imported before is a different class.
- The parser of the command line prints its usage for a flag that it does not know.
- Each launcher receives run groups, whichever sweeper drives it. A plugin cannot change how Hydra
  makes launchers. So the method that makes them is wrapped while the application runs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NoReturn

from hydra._internal.utils import get_args_parser
from hydra.core.override_parser.types import Override
from hydra.core.plugins import Plugins

from gdframe.errors import UserError


def combinations(overrides: Sequence[Override]) -> list[list[str]]:
    """Return the overrides of each run: every combination of the values in ``overrides``."""
    from hydra._internal.core_plugins.basic_sweeper import BasicSweeper

    return [list(words) for words in BasicSweeper.split_arguments(list(overrides), None)[0]]


def unknown_words(argv: Sequence[str]) -> tuple[list[str], list[str]]:
    """Return the words of a command line that Hydra cannot read, and the flags that it knows.

    Raises:
        UserError: a flag of Hydra's has no value, or another one.
    """
    parser = get_args_parser()

    def error(message: str) -> NoReturn:
        raise UserError(f"{message}; see python -m gdframe --hydra-help")

    parser.error = error  # type: ignore[method-assign]
    chosen, strange = parser.parse_known_args(argv)
    strange += [word for word in chosen.overrides if "=" not in word and not word.startswith("~")]
    return strange, list(parser._option_string_actions)


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
