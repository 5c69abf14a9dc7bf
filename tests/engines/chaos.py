"""Cases in which rounding errors grow, and their comparison by eager's own spread."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import torch

from .problems import PARTS, TOLERANCE, Case, compare_evaluations, near, train

ADAPTIVE = {"adagrad", "rmsprop", "adam"}
"""Rules that divide by the size of the gradient. Slopes of kinked losses are multiples of one
number. Their sum is zero in one order and about 1e-17 in another, which such rules turn into 1e-9.
"""

KINKED = {"l1", "elastic_net", "mae", "hinge"}
"""Losses and penalties whose slope jumps. At a weight or an error within rounding of the kink, two
engines may be on different sides of it for one step."""

EXPLODED = 1e6
"""Loss beyond which a run has diverged by the default ``divergence_factor``; starts are near 1."""


def is_chaotic(case: Case) -> bool:
    """Return whether rounding errors grow: the case explodes, its slope jumps, or it divides."""
    explodes = case.loss == "poisson" and case.optimizer not in ADAPTIVE
    rough = [
        bool(KINKED & {case.loss, case.penalty}),
        case.optimizer in ADAPTIVE,
        case.dtype == torch.float32,
    ]
    return explodes or sum(rough) > 1


def assert_follows_eager(case: Case, epochs: int = 20) -> None:
    """Compare traces, parameters and evaluations of an engine with eager's."""
    tolerance = TOLERANCE[case.dtype]
    if case.optimizer in ADAPTIVE and case.loss in KINKED:
        tolerance = max(tolerance, 1e-8)
    eager, expected = train(case, "eager", epochs)
    engine, results = train(case, case.engine, epochs)
    assert expected.keys() == results.keys()
    exact, loose = None, 1.0
    alive, engine_alive = _before_explosion(expected), _before_explosion(results)
    if (alive != engine_alive).any():  # allowed only where eager itself is not reproducible
        exact = _itself(case, epochs)
        together = _near_itself(expected, exact)
        assert (alive == engine_alive)[together].all()
        alive = alive & engine_alive & together
    for name in expected:
        assert expected[name].shape == results[name].shape
        values, actual = (_calm(name, part[name], alive) for part in (expected, results))
        allowed = tolerance * (np.abs(values).max(initial=0) + 1e-300)
        gaps = np.abs(values - actual)
        if (
            name == "gradient_norm"
            and case.dtype == torch.float32
            and KINKED & {case.loss, case.penalty}
        ):
            gaps = _without_jumps(gaps, values)
        off = gaps.max(initial=0)
        if off > allowed:
            # a rule that divides by small gradients, or a run that does not settle, magnifies
            # rounding: the difference of two eager runs then limits the accuracy of any engine
            exact = exact or _itself(case, epochs)
            allowed = 10 * np.abs(values - _calm(name, exact[name], alive)).max()
            loose = max(loose, float(off) / (tolerance * (float(np.abs(values).max()) + 1e-300)))
        assert off <= allowed, name
    tolerance *= loose
    for part in PARTS:
        if eager.rows[part] is None:
            continue
        pairs = zip(eager.evaluate(part), engine.evaluate(part), strict=True)
        for a, b in (pair for pair, ended in zip(pairs, alive[:, -1], strict=True) if ended):
            compare_evaluations(a, b, tolerance)
            if case.dtype == torch.float64 or not KINKED & {case.loss, case.penalty}:
                assert a.gradient_norm == near(b.gradient_norm, 100 * tolerance)


def _itself(case: Case, epochs: int) -> dict[str, Any]:
    """Train on eager with less rounding or, in float64, from a start with other rounding."""
    if case.dtype == torch.float32:
        return train(replace(case, dtype=torch.float64), "eager", epochs)[1]
    return train(case, "eager", epochs, nudge=2.0**-52)[1]


def _near_itself(expected: dict[str, Any], exact: dict[str, Any]) -> np.ndarray:
    """Return the steps (runs, steps) up to which two eager trainings agree within 1 %."""
    gaps = np.abs(expected["loss"] - exact["loss"])
    calm = gaps <= 0.01 * (1 + np.abs(expected["loss"]))
    return np.logical_and.accumulate(calm, axis=1)


def _before_explosion(results: dict[str, Any]) -> np.ndarray:
    """Return which steps (runs, steps) come before a run explodes, at the same step on each engine.

    After that step, an exponential magnifies rounding errors without limit.
    """
    calm = (np.abs(results["loss"]) < EXPLODED) & (results["gradient_norm"] < EXPLODED)
    return np.logical_and.accumulate(calm, axis=1)


def _calm(name: str, values: np.ndarray, alive: np.ndarray) -> np.ndarray:
    """Return steps with zeros after an explosion, or parameters of runs without an explosion."""
    traced = name in ("loss", "gradient_norm")
    return np.where(alive, values, 0) if traced else values[alive[:, -1]]


def _without_jumps(gaps: np.ndarray, norms: np.ndarray) -> np.ndarray:
    """Return gaps with zeros at the few steps where the slope jumped."""
    jumped = (gaps > 1e-4 * norms.max()) & (gaps < 0.2 * norms.max())
    return np.where(jumped, 0.0, gaps) if jumped.mean() <= 0.005 else gaps
