"""Digests of what users' components hold when they are built, compared in a later process.

A constructor may depend on the hash of a text, which is another one in each process. Then what no
checkpoint holds differs in resumed runs and predictions.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from contextlib import suppress
from itertools import islice
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np
from torch import Tensor

from gdframe.config.code_values import code_values_of
from gdframe.config.constructed import values_of
from gdframe.hidden_state import HiddenState
from gdframe.loaders.base import Loader
from gdframe.registry import is_built_in
from gdframe.runs.log import warn_once
from gdframe.training.run_spec import RunSpec

MOST_PLACES, MOST_NUMBERS = 500, 65_536
"""Most values of a component; about as many numbers of an array are read, evenly spaced."""

BITS = 16
"""Bits of a number that are compared: another processor may round the others in another way."""


def digests_of(spec: RunSpec) -> dict[str, str]:
    """Return a digest of each value of users' components that no checkpoint holds, by its place.

    The rows of the first two epochs stand for a loader.
    """
    components = {**spec.objective.components, "optimizer": spec.optimizer, "loader": spec.loader}
    return digests_by_place(components, spec.seed)


def digests_by_place(
    components: Mapping[str, Any], seed: int = 0, *, skip_tensors: bool = False
) -> dict[str, str]:
    """Return the digests of what components hold.

    Args:
        components: by their kind.
        seed: for the rows of a loader.
        skip_tensors: whether to leave out tensors of the model, which its file holds.
    """
    digests: dict[str, str] = {}
    for kind, component in components.items():
        if component is None or is_built_in(component):
            continue
        values: list[tuple[str, Any]] = []
        with suppress(Exception):  # of a user's component; training will tell
            values += [*values_of(component, saved=False)][:MOST_PLACES]
            if isinstance(component, Loader):
                with HiddenState({"loader": component}):
                    orders = [component.order(epoch, seed) for epoch in range(2)]
                values.append(("order", [0 if order is None else order for order in orders]))
        for place, value in values:
            if skip_tensors and kind == "model" and isinstance(value, Tensor):
                continue
            key = f"{kind}.{place}"
            digests[key] = _digest(digests.get(key, ""), value)
        digests |= {f"{kind} {place}": text for place, text in _of_code(component).items()}
    return digests


_known: WeakKeyDictionary[type, dict[str, str]] = WeakKeyDictionary()
"""Digests by the class of a component, from when it was built first: later runs may change them."""


def _of_code(component: object) -> dict[str, str]:
    """Return digests of the values that the code of a component refers to, by place."""
    kind, digests = type(component), dict[str, str]()
    if kind not in _known:
        with suppress(Exception):  # of a user's value
            for place, value in islice(code_values_of(component), MOST_PLACES):
                digests[place] = _digest(digests.get(place, ""), value)
        _known[kind] = digests
    return _known[kind]


def warn_of_other_values(before: Mapping[str, str], now: Mapping[str, str], result: str) -> None:
    """Warn if a component holds other values than in the process that trained a run.

    Args:
        before: digests by place, of the run folder; none of an earlier version.
        now: those of this process.
        result: of the difference, for the message.
    """
    places = [place for place, digest in before.items() if now.get(place, digest) != digest]
    if places:
        warn_once(
            f"{places[0]} has another value than in the process that trained the run, so {result}; "
            "it may come from hash() of a text, from the order of a set, from a generator without "
            "a seed, or from a file that has changed: use zlib.crc32, sorted() and seeds"
        )


def _digest(before: str, value: Any) -> str:
    sha = hashlib.sha256(before.encode())
    _feed(sha, value)
    return sha.hexdigest()[:12]


def _feed(sha: Any, value: Any) -> None:
    """Add a value to a digest; numbers with their leading bits."""
    if isinstance(value, Tensor):
        value = value.detach().cpu()
        value = value.double().numpy() if value.is_floating_point() else value.numpy()
    if isinstance(value, dict):
        for key, item in value.items():
            sha.update(repr(key).encode())
            _feed(sha, item)
    elif isinstance(value, (list, tuple)):
        sha.update(f"{type(value).__name__} {len(value)}".encode())
        for item in value:
            _feed(sha, item)
    elif isinstance(value, (float, complex, np.generic, np.ndarray)):
        array = np.asarray(value)
        sha.update(repr(array.shape).encode())
        if array.size > MOST_NUMBERS:
            array = array.reshape(-1)[:: array.size // MOST_NUMBERS]
        if array.dtype.kind in "fc":
            fractions, powers = np.frexp(np.stack([array.real, array.imag]).astype(np.float64))
            array = np.ldexp(np.round(np.nan_to_num(fractions) * 2.0**BITS), powers)
        sha.update(array.tobytes() if array.dtype != object else repr(array.tolist()).encode())
    else:
        sha.update(repr(value).encode())
