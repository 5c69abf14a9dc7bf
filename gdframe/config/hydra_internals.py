"""The parts of Hydra that gdframe needs and that have no public interface.

- Only Hydra's basic sweeper makes every combination of values. The sweeper in ``gdframe/_hydra/``
  derives from it, and imports it there: Hydra loads the class again when it looks for plugins, so
  that a class imported before is a different class.
- Each launcher receives run groups, whichever sweeper drives it. A plugin cannot change how Hydra
  makes launchers. So the method that makes them is wrapped while the application runs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from hydra.core.override_parser.types import Override
from hydra.core.plugins import Plugins


def combinations(overrides: Sequence[Override]) -> list[list[str]]:
    """Return the overrides of each run: every combination of the values in ``overrides``."""
    from hydra._internal.core_plugins.basic_sweeper import BasicSweeper

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
