"""Builds components, with draws of their constructors that depend on the run's seed alone."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeVar

import numpy as np
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from gdframe.engines.component_difference import VALUES, first_difference
from gdframe.hidden_state import HiddenState
from gdframe.randomness import Purpose, seeded
from gdframe.registry import Registry, is_built_in
from gdframe.runs.log import warn_once

T = TypeVar("T")

OF_PYTORCH = set(vars(nn.Module()))  # hooks have a new number each time
_built_twice: set[type] = set()


def construct(
    registry: Registry[T], settings: Mapping[str, Any], *, seed: int, **supplied: Any
) -> T:
    """Return the component that settings name.

    What its constructor draws by PyTorch, NumPy and ``random`` is a function of the seed and the
    kind of the component, so a resumed run and predictions have the same values.

    Args:
        registry: of the kind.
        settings: name and arguments.
        seed: of the run; of data, the data's own.
        supplied: arguments that the run supplies.

    Raises:
        UserError: as ``Registry.configured``.
    """

    def build() -> T:
        with seeded(seed, Purpose.CONSTRUCT, zlib.crc32(registry.kind.encode())):
            return registry.configured(settings, **supplied)

    component = build()
    if registry.kind != "optimizer":  # which is bound to the parameters
        warn_of_own_draws(f"{registry.kind} {settings['name']}", component, build)
    return component


def warn_of_own_draws(what: str, component: object, build: Callable[[], object]) -> None:
    """Warn if a user's component holds other values when it is built again, once for each class.

    ``what`` names it. What building it again changes in its class is put back.
    """
    kind = type(component)
    if is_built_in(kind) or kind in _built_twice:
        return
    _built_twice.add(kind)
    with HiddenState({"class": kind}):
        again = build()
    pairs = zip(_values(component), _values(again), strict=False)
    place = next((n for (n, a), (_, b) in pairs if first_difference([a], [b]) is not None), None)
    if place is not None:
        warn_once(
            f"{what}: {place} has another value each time it is built, so runs of one seed differ, "
            "and what no checkpoint holds is another in resumed runs and predictions; draw it by "
            "torch, NumPy or random, whose generators follow the seed"
        )


def _values(component: object) -> Iterator[tuple[str, Any]]:
    """Yield plain values that a component holds, and its modules, with their places."""
    modules = component.named_modules() if isinstance(component, nn.Module) else [("", component)]
    for path, part in modules:
        for name, value in getattr(part, "__dict__", {}).items():
            if isinstance(part, nn.Module) and name in ("_parameters", "_buffers"):
                tensors = {n: t for n, t in value.items() if t is not None and not is_lazy(t)}
                yield from ((f"{path}.{n}".lstrip("."), t.detach()) for n, t in tensors.items())
            elif _is_plain(value) and not (isinstance(part, nn.Module) and name in OF_PYTORCH):
                yield f"{path}.{name}".lstrip("."), value


def _is_plain(value: Any) -> bool:
    if isinstance(value, (list, tuple, dict)):
        return all(map(_is_plain, value.values() if isinstance(value, dict) else value))
    return isinstance(value, (Tensor, np.ndarray, np.generic, *VALUES))
