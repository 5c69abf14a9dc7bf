"""Puts a number in place of ``lr=auto``, before a run is built for good."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from gdframe.config.build import build
from gdframe.config.load_data import load_data
from gdframe.config.optimizer_rate import factor_of_rate
from gdframe.data.dataset import Dataset
from gdframe.diagnostics.learning_rate import AUTO, FALLBACK
from gdframe.diagnostics.learning_rate.automatic import choose_rate


def with_chosen_rate(
    config: Mapping[str, Any], load: Callable[[Mapping[str, Any]], Dataset]
) -> tuple[dict[str, Any], str]:
    """Return a config whose ``lr`` is a number, and why ``lr=auto`` chose it, if it did.

    Args:
        config: plain values, checked.
        load: returns the data that a config names; the data must not be changed.

    Raises:
        UserError: the run cannot be built.
    """
    if config["lr"] != AUTO:
        return dict(config), ""
    config = {**config, "lr": FALLBACK}
    spec = build(config, load)
    if not (factor := factor_of_rate(config, spec)):
        name = config["optimizer"]["name"]
        return config, f"lr=auto has no effect: optimizer={name} sets its rate to {spec.lr:g}"
    choice = choose_rate(
        spec.problem, spec.data, spec.loader, epochs=spec.epochs, stopping=spec.stopping
    )
    lr = choice.lr if factor == 1 else float(f"{choice.lr / factor:.12g}")
    return {**config, "lr": lr}, choice.reason


def loading_once() -> Callable[[Mapping[str, Any]], Dataset]:
    """Return a function that loads the data of one config, and returns them when called again."""
    loaded: list[Dataset] = []

    def load(config: Mapping[str, Any]) -> Dataset:
        if not loaded:
            loaded.append(load_data(config))
        return loaded[0]

    return load
