"""What gdframe needs of Hydra and Hydra has no public way for.

- Every combination of values is what Hydra's basic sweeper makes; it can only be had from there.
  The sweeper in ``gdframe/_hydra/`` derives from it, and imports it itself: Hydra loads the class
  anew when it looks for plugins, so that a class imported before is another one.
- Another launcher than gdframe's must be given groups of runs, whichever sweeper drives it. Hydra
  gives a plugin no say in how launchers are made, so that the method that makes them is wrapped
  while the application runs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from hydra.core.override_parser.types import Override
from hydra.core.plugins import Plugins


def combinations(overrides: Sequence[Override]) -> list[list[str]]:
    """Return every combination of the values that overrides give, as overrides of one run each."""
    from hydra._internal.core_plugins.basic_sweeper import BasicSweeper

    return [list(words) for words in BasicSweeper.split_arguments(list(overrides), None)[0]]


@contextmanager
def wrapping_launchers(wrap: Callable[..., Any]) -> Iterator[None]:
    """Have ``wrap(launcher, hydra_context=..., ...)`` replace each launcher that Hydra makes."""
    instantiate = Plugins.instantiate_launcher

    def wrapped(self: Plugins, *args: Any, **settings: Any) -> Any:
        return wrap(instantiate(self, *args, **settings), *args, **settings)

    Plugins.instantiate_launcher = wrapped  # type: ignore[method-assign]
    try:
        yield
    finally:
        Plugins.instantiate_launcher = instantiate  # type: ignore[method-assign]
