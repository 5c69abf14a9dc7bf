"""The loop nest for many runs that visit rows in one order, side by side.

As in ``single.py``, but the innermost loops go along the runs, so that a row is read once for all
of them and each run's numbers are its own. What the arguments hold is in ``arguments.py``.
"""

from __future__ import annotations

from math import sqrt
from typing import Any

import numpy as np

from gdframe.engines.linear.arguments import (
    Buffers,
    Gradient,
    Numbers,
    Parameters,
    RowArrays,
    RuleState,
    Schedule,
    StepTrace,
)
from gdframe.engines.linear.pieces import (
    COUPLED,
    ONE,
    OUTPUTS,
    PENALIZE_BIASES,
    ZERO,
    F,
    compiled,
    coupled_loss,
    inner,
    loss,
    named,
    penalty,
    prefetch,
    prepare,
    update,
    update_bias,
)


@inner
def respond(
    row: Any, y: Any, parameters: Parameters, numbers: Numbers, z: Any, buffers: Buffers
) -> None:
    """Predict one row (features,); fill in outputs z and slopes (outputs, runs), add losses."""
    weight, bias, slope, total = parameters.weight, parameters.bias, buffers.slopes, buffers.total
    outputs, features, runs = OUTPUTS or weight.shape[0], weight.shape[1], weight.shape[2]
    for k in range(outputs):
        output, b = z[k], bias[k]
        for r in range(runs):
            output[r] = b[r]
        for j in range(features):
            w, xj = weight[k, j], row[j]
            for r in range(runs):
                output[r] += xj * w[r]
        if not COUPLED:
            s, target = slope[k], y[k]
            for r in range(runs):
                value, sr = loss(output[r], target, numbers.loss, r)
                s[r] = F(sr)
                total[r] += value
    if COUPLED:
        for r in range(runs):
            total[r] += coupled_loss(z[:, r], y[0], slope[:, r], numbers.loss, r)


@compiled
def accumulate(
    rows: RowArrays,
    begin: int,
    end: int,
    parameters: Parameters,
    numbers: Numbers,
    sums: Gradient,
    buffers: Buffers,
) -> None:
    """Sum the loss over rows ``order[begin:end]`` into ``buffers.total``; fill in its gradient.

    ``buffers.responses`` takes the outputs of row ``begin`` onwards, in order.
    """
    x, y, order, ahead = rows.x, rows.y, rows.order, rows.ahead
    weight, gradient, bias_gradient = parameters.weight, sums.weight, sums.bias
    outputs, features, runs = OUTPUTS or weight.shape[0], weight.shape[1], weight.shape[2]
    gradient[:] = ZERO
    bias_gradient[:] = ZERO
    buffers.total[:] = 0.0
    for position in range(begin, end):
        if position + ahead < len(order):
            prefetch(x, order[position + ahead])
        row = x[order[position]]
        z = buffers.responses[position - begin]
        respond(row, y[order[position]], parameters, numbers, z, buffers)
        for k in range(outputs):
            s, gb = buffers.slopes[k], bias_gradient[k]
            for r in range(runs):
                gb[r] += s[r]
            for j in range(features):
                g, xj = gradient[k, j], row[j]
                for r in range(runs):
                    g[r] += s[r] * xj


@compiled
def mean_gradient(
    parameters: Parameters, sums: Gradient, share: Any, numbers: Numbers, squared: Any
) -> None:
    """Divide gradients by the number of terms, add the penalty's; sum their squares (runs,)."""
    weight = parameters.weight
    outputs, features, runs = OUTPUTS or weight.shape[0], weight.shape[1], weight.shape[2]
    squared[:] = ZERO
    for k in range(outputs):
        for j in range(features):
            w, g = weight[k, j], sums.weight[k, j]
            for r in range(runs):
                gr = g[r] * share + F(penalty(w[r], numbers.penalty, r)[1])
                g[r] = gr
                squared[r] += gr * gr
        if parameters.has_bias:
            w, g = parameters.bias[k], sums.bias[k]
            for r in range(runs):
                gr = g[r] * share
                if PENALIZE_BIASES:
                    gr += F(penalty(w[r], numbers.penalty, r)[1])
                g[r] = gr
                squared[r] += gr * gr


@inner
def renew(w: Any, g: Any, states: Any, scale: Any, values: Any) -> None:
    """Update one coordinate of all runs, w (runs,)."""
    for r in range(len(w)):
        w[r] = update(w[r], g[r] * scale[r], states, r, values)


@inner
def renew_bias(w: Any, g: Any, states: Any, scale: Any, values: Any) -> None:
    """Update one bias of all runs, w (runs,)."""
    for r in range(len(w)):
        w[r] = update_bias(w[r], g[r] * scale[r], states, r, values)


@inner
def descend(
    parameters: Parameters, state: RuleState, gradient: Gradient, scale: Any, values: Any
) -> None:
    """Update all parameters with gradients, times ``scale`` (runs,)."""
    weight = parameters.weight
    outputs, features, _ = weight.shape
    for k in range(outputs):
        for j in range(features):
            renew(weight[k, j], gradient.weight[k, j], state.weight[k, j], scale, values)
        if parameters.has_bias:
            renew_bias(parameters.bias[k], gradient.bias[k], state.bias[k], scale, values)


@inner
def descend_at_row(
    row: Any,
    share: Any,
    parameters: Parameters,
    state: RuleState,
    numbers: Numbers,
    g: Any,
    buffers: Buffers,
) -> None:
    """Update all parameters for one row (features,), in one pass; sum gradients' squares.

    ``g`` (runs,) takes the gradient of one coordinate.
    """
    weight, squared = parameters.weight, buffers.squared
    outputs, features, runs = OUTPUTS or weight.shape[0], weight.shape[1], weight.shape[2]
    squared[:] = ZERO
    for k in range(outputs):
        s = buffers.slopes[k]
        for r in range(runs):
            s[r] *= share
        for j in range(features):
            w, xj = weight[k, j], row[j]
            for r in range(runs):
                gr = s[r] * xj + F(penalty(w[r], numbers.penalty, r)[1])
                g[r] = gr
                squared[r] += gr * gr
            renew(w, g, state.weight[k, j], buffers.scale, buffers.values)
        if parameters.has_bias:
            w = parameters.bias[k]
            for r in range(runs):
                gr = s[r]
                if PENALIZE_BIASES:
                    gr += F(penalty(w[r], numbers.penalty, r)[1])
                g[r] = gr
                squared[r] += gr * gr
            renew_bias(w, g, state.bias[k], buffers.scale, buffers.values)


@compiled
def finish(
    sums: Gradient,
    terms: float,
    parameters: Parameters,
    state: RuleState,
    numbers: Numbers,
    factors: Any,
    buffers: Buffers,
) -> None:
    """Update with the summed gradients of a step; leave the mean ones' squared norms."""
    clip, squared, scale = numbers.clip, buffers.squared, buffers.scale
    for r in range(len(clip)):
        prepare(numbers.hyper, state.counters, factors[r], buffers.values, r)
    mean_gradient(parameters, sums, F(1.0 / terms), numbers, squared)
    for r in range(len(clip)):
        norm = sqrt(squared[r])
        scale[r] = clip[r] / norm if norm > clip[r] else ONE
    descend(parameters, state, sums, scale, buffers.values)


@compiled
def row_steps(
    rows: RowArrays,
    schedule: Schedule,
    parameters: Parameters,
    state: RuleState,
    numbers: Numbers,
    trace: StepTrace,
    buffers: Buffers,
) -> None:
    """Execute steps of one row each, without clipping; one for each of ``schedule.factors``."""
    x, y, order, ahead = rows.x, rows.y, rows.order, rows.ahead
    factors, which, total = schedule.factors, schedule.which, buffers.total
    outputs, _, runs = parameters.weight.shape
    terms = 1 if COUPLED else outputs
    z, g = buffers.responses[0], buffers.rows
    buffers.scale[:] = ONE
    for t in range(factors.shape[1]):
        position = schedule.first + t
        if position + ahead < len(order):
            prefetch(x, order[position + ahead])
        at = order[position]
        total[:] = 0.0
        respond(x[at], y[at], parameters, numbers, z, buffers)
        for r in range(runs):
            prepare(numbers.hyper, state.counters, factors[which[r], t], buffers.values, r)
        descend_at_row(x[at], F(1.0 / terms), parameters, state, numbers, g, buffers)
        loss_row, norm_row = trace.losses[t], trace.norms[t]
        for r in range(runs):
            loss_row[r] = total[r] / terms
            norm_row[r] = sqrt(buffers.squared[r])


@compiled
def batch_steps(
    rows: RowArrays,
    schedule: Schedule,
    parameters: Parameters,
    state: RuleState,
    numbers: Numbers,
    trace: StepTrace,
    sums: Gradient,
    buffers: Buffers,
) -> None:
    """Execute steps of ``schedule.size`` rows each; the last of an epoch takes what is left."""
    factors, which, size = schedule.factors, schedule.which, schedule.size
    count, runs = len(rows.order), len(numbers.clip)
    outputs = 1 if COUPLED else parameters.weight.shape[0]
    current = np.ones(runs)
    for t in range(factors.shape[1]):
        begin = (schedule.first + t) * size
        end = min(begin + size, count)
        terms = float((end - begin) * outputs)
        for r in range(runs):
            current[r] = factors[which[r], t]
        accumulate(rows, begin, end, parameters, numbers, sums, buffers)
        finish(sums, terms, parameters, state, numbers, current, buffers)
        loss_row, norm_row = trace.losses[t], trace.norms[t]
        for r in range(runs):
            loss_row[r] = buffers.total[r] / terms
            norm_row[r] = sqrt(buffers.squared[r])


# Entries. Numba recognises plain tuples in a fraction of the time that named ones take.


@compiled
def call_accumulate(rows: Any, begin: int, end: int, block: Any, sums: Any) -> Any:
    """Call ``accumulate``."""
    parameters, _, numbers, buffers = named(block)
    accumulate(RowArrays(*rows), begin, end, parameters, numbers, Gradient(*sums), buffers)


@compiled
def call_mean_gradient(block: Any, sums: Any, share: Any) -> Any:
    """Call ``mean_gradient``."""
    parameters, _, numbers, buffers = named(block)
    mean_gradient(parameters, Gradient(*sums), share, numbers, buffers.squared)


@compiled
def call_finish(block: Any, sums: Any, terms: float, factors: Any) -> Any:
    """Call ``finish``."""
    parameters, state, numbers, buffers = named(block)
    finish(Gradient(*sums), terms, parameters, state, numbers, factors, buffers)


@compiled
def call_row_steps(rows: Any, schedule: Any, block: Any, trace: Any) -> None:
    """Call ``row_steps``."""
    parameters, state, numbers, buffers = named(block)
    steps, to = Schedule(*schedule), StepTrace(*trace)
    row_steps(RowArrays(*rows), steps, parameters, state, numbers, to, buffers)


@compiled
def call_batch_steps(rows: Any, schedule: Any, block: Any, trace: Any, sums: Any) -> None:
    """Call ``batch_steps``."""
    parameters, state, numbers, buffers = named(block)
    steps, to = Schedule(*schedule), StepTrace(*trace)
    batch_steps(RowArrays(*rows), steps, parameters, state, numbers, to, Gradient(*sums), buffers)
