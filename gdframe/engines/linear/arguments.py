"""What the compiled loops take: arrays that belong together, as named tuples.

The shapes are those of one run. Where many runs are trained side by side, arrays that differ from
run to run have the run as their last axis.
"""

from __future__ import annotations

from typing import Any, NamedTuple


class RowArrays(NamedTuple):
    """Rows, and the order in which they are visited.

    ``x`` is (rows, features); ``y`` is (rows, outputs), or (rows, 1) class indices; ``order`` holds
    indices of rows; each row asks for the row that is ``ahead`` places on.
    """

    x: Any
    y: Any
    order: Any
    ahead: int


class Parameters(NamedTuple):
    """``weight`` (outputs, features) and ``bias`` (outputs,), which is zero without a bias."""

    weight: Any
    bias: Any
    has_bias: bool


class RuleState(NamedTuple):
    """State of the update rule.

    ``weight`` is (outputs, states, features), of many runs (outputs, features, states, runs);
    ``bias`` (outputs, states, 1), of many (outputs, states, runs); ``counters`` (counters,).
    """

    weight: Any
    bias: Any
    counters: Any


class Numbers(NamedTuple):
    """Hyperparameters of the rule, arguments of the kernels, and the limit of gradient norms."""

    hyper: Any
    loss: Any
    penalty: Any
    clip: Any


class Gradient(NamedTuple):
    """A gradient by parameter, in the shapes of the parameters."""

    weight: Any
    bias: Any


class Schedule(NamedTuple):
    """Steps to execute: the first one's place in the epoch, rows of a step, factors of the rate.

    ``factors`` is (steps,); of many runs (schedules, steps), of which run r has row ``which[r]``.
    """

    first: int
    size: int
    factors: Any
    which: Any


class StepTrace(NamedTuple):
    """Loss and gradient norm of each step, (steps,) or (steps, runs)."""

    losses: Any
    norms: Any


class Buffers(NamedTuple):
    """Arrays for results in between.

    ``responses`` (rows, outputs) takes outputs of rows, ``slopes`` (outputs,) the loss's slopes.
    ``values`` takes what the rule prepares for a step. For one run, ``rows`` (3, several times
    outputs) holds outputs, targets and slopes of a few rows. For many runs, ``total``, ``squared``
    and ``scale`` (runs,) hold sums of losses, squared gradient norms and factors that clip.
    """

    responses: Any
    slopes: Any
    values: Any
    rows: Any
    total: Any
    squared: Any
    scale: Any
