"""The loop nest for one run: a step's gradient in one pass over each row, then the update.

One nest serves all three variants: they differ in the number of rows of a step. The innermost
loops run along the features, which are contiguous, so that they compile to vector instructions.
What the arguments hold is in ``arguments.py``.
"""

from __future__ import annotations

from math import sqrt
from typing import Any

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
def respond(row: Any, y: Any, parameters: Parameters, numbers: Numbers, buffers: Buffers) -> Any:
    """Predict one row (features,); return its loss, fill in outputs and slopes (outputs,)."""
    weight, bias, z, slope = parameters.weight, parameters.bias, buffers.responses, buffers.slopes
    outputs, features = OUTPUTS or weight.shape[0], weight.shape[1]
    total = ZERO
    for k in range(outputs):
        w = weight[k]
        output = bias[k]
        for j in range(features):
            output += row[j] * w[j]
        z[k] = output
        if not COUPLED:
            value, s = loss(output, y[k], numbers.loss, 0)
            slope[k] = F(s)
            total += F(value)
    if COUPLED:
        total += F(coupled_loss(z, y[0], slope, numbers.loss, 0))
    return total


@compiled
def accumulate(
    rows: RowArrays,
    begin: int,
    end: int,
    parameters: Parameters,
    numbers: Numbers,
    sums: Gradient,
    buffers: Buffers,
) -> float:
    """Return the sum of the loss over rows ``order[begin:end]``; fill in its gradient.

    ``buffers.responses`` takes the outputs of row ``begin`` onwards, in order. A few rows are
    predicted at a time, so that their losses compile to vector instructions.
    """
    x, y, order, ahead = rows.x, rows.y, rows.order, rows.ahead
    weight, bias, responses = parameters.weight, parameters.bias, buffers.responses
    gradient, bias_gradient = sums.weight, sums.bias
    outputs, features = OUTPUTS or weight.shape[0], weight.shape[1]
    gradient[:] = ZERO
    bias_gradient[:] = ZERO
    z, target, slope = buffers.rows[0], buffers.rows[1], buffers.rows[2]
    group = len(z) // outputs
    total = 0.0
    for start in range(begin, end, group):
        count = min(group, end - start)
        for i in range(count):
            if start + i + ahead < len(order):
                prefetch(x, order[start + i + ahead])
            row = x[order[start + i]]
            for k in range(outputs):
                w = weight[k]
                output = bias[k]
                for j in range(features):
                    output += row[j] * w[j]
                z[i * outputs + k] = output
                responses[start - begin + i, k] = output
                if not COUPLED:
                    target[i * outputs + k] = y[order[start + i], k]
        if COUPLED:
            for i in range(count):
                at, to = i * outputs, (i + 1) * outputs
                label = y[order[start + i], 0]
                total += coupled_loss(z[at:to], label, slope[at:to], numbers.loss, 0)
        else:
            for i in range(count * outputs):
                value, s = loss(z[i], target[i], numbers.loss, 0)
                slope[i] = F(s)
                total += value
        whole = count - count % 4
        for i in range(0, whole, 4):
            at = start + i
            a, b, c, d = x[order[at]], x[order[at + 1]], x[order[at + 2]], x[order[at + 3]]
            for k in range(outputs):
                g, of = gradient[k], i * outputs + k
                sa, sb = slope[of], slope[of + outputs]
                sc, sd = slope[of + 2 * outputs], slope[of + 3 * outputs]
                bias_gradient[k] += (sa + sb) + (sc + sd)
                for j in range(features):
                    g[j] += (sa * a[j] + sb * b[j]) + (sc * c[j] + sd * d[j])
        for i in range(whole, count):
            row = x[order[start + i]]
            for k in range(outputs):
                s, g = slope[i * outputs + k], gradient[k]
                bias_gradient[k] += s
                for j in range(features):
                    g[j] += s * row[j]
    return total


@compiled
def mean_gradient(parameters: Parameters, sums: Gradient, share: Any, numbers: Numbers) -> Any:
    """Divide a gradient by the number of terms, add the penalty's; return its squared norm."""
    weight, bias = parameters.weight, parameters.bias
    outputs, features = OUTPUTS or weight.shape[0], weight.shape[1]
    squared = ZERO
    for k in range(outputs):
        w, g = weight[k], sums.weight[k]
        for j in range(features):
            gj = g[j] * share + F(penalty(w[j], numbers.penalty, 0)[1])
            g[j] = gj
            squared += gj * gj
        if parameters.has_bias:
            gb = sums.bias[k] * share
            if PENALIZE_BIASES:
                gb += F(penalty(bias[k], numbers.penalty, 0)[1])
            sums.bias[k] = gb
            squared += gb * gb
    return squared


@inner
def descend(
    parameters: Parameters, state: RuleState, gradient: Gradient, scale: Any, values: Any
) -> None:
    """Update all parameters with a gradient, times ``scale``."""
    weight, bias = parameters.weight, parameters.bias
    outputs, features = OUTPUTS or weight.shape[0], weight.shape[1]
    for k in range(outputs):
        w, g, s = weight[k], gradient.weight[k], state.weight[k]
        for j in range(features):
            w[j] = update(w[j], g[j] * scale, s, j, values)
        if parameters.has_bias:
            bias[k] = update_bias(bias[k], gradient.bias[k] * scale, state.bias[k], 0, values)


@inner
def descend_at_row(
    row: Any,
    slope: Any,
    share: Any,
    parameters: Parameters,
    state: RuleState,
    numbers: Numbers,
    values: Any,
) -> Any:
    """Update all parameters for one row (features,), in one pass; return the squared norm."""
    weight, bias = parameters.weight, parameters.bias
    outputs, features = OUTPUTS or weight.shape[0], weight.shape[1]
    squared = ZERO
    for k in range(outputs):
        w, s, factor = weight[k], state.weight[k], slope[k] * share
        for j in range(features):
            wj = w[j]
            gj = factor * row[j] + F(penalty(wj, numbers.penalty, 0)[1])
            squared += gj * gj
            w[j] = update(wj, gj, s, j, values)
        if parameters.has_bias:
            gb = factor
            if PENALIZE_BIASES:
                gb += F(penalty(bias[k], numbers.penalty, 0)[1])
            squared += gb * gb
            bias[k] = update_bias(bias[k], gb, state.bias[k], 0, values)
    return squared


@compiled
def finish(
    sums: Gradient,
    terms: float,
    parameters: Parameters,
    state: RuleState,
    numbers: Numbers,
    factor: float,
) -> Any:
    """Update with the summed gradient of a step; return the norm of the mean one."""
    values = prepare(numbers.hyper, state.counters, factor)
    squared = mean_gradient(parameters, sums, F(1.0 / terms), numbers)
    norm = sqrt(squared)
    scale = numbers.clip / norm if norm > numbers.clip else ONE
    descend(parameters, state, sums, scale, values)
    return norm


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
    factors, losses, norms = schedule.factors, trace.losses, trace.norms
    terms = 1 if COUPLED else parameters.weight.shape[0]
    share = F(1.0 / terms)
    for t in range(len(factors)):
        position = schedule.first + t
        if position + ahead < len(order):
            prefetch(x, order[position + ahead])
        at = order[position]
        total = respond(x[at], y[at], parameters, numbers, buffers)
        values = prepare(numbers.hyper, state.counters, factors[t])
        squared = descend_at_row(x[at], buffers.slopes, share, parameters, state, numbers, values)
        losses[t] = total * share
        norms[t] = sqrt(squared)


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
    factors, count, size = schedule.factors, len(rows.order), schedule.size
    outputs = 1 if COUPLED else parameters.weight.shape[0]
    for t in range(len(factors)):
        begin = (schedule.first + t) * size
        end = min(begin + size, count)
        terms = float((end - begin) * outputs)
        total = accumulate(rows, begin, end, parameters, numbers, sums, buffers)
        trace.losses[t] = total / terms
        trace.norms[t] = finish(sums, terms, parameters, state, numbers, factors[t])


# Entries. Numba recognises plain tuples in a fraction of the time that named ones take.


@compiled
def call_accumulate(rows: Any, begin: int, end: int, block: Any, sums: Any) -> Any:
    """Call ``accumulate``."""
    parameters, _, numbers, buffers = named(block)
    return accumulate(RowArrays(*rows), begin, end, parameters, numbers, Gradient(*sums), buffers)


@compiled
def call_mean_gradient(block: Any, sums: Any, share: Any) -> Any:
    """Call ``mean_gradient``."""
    parameters, _, numbers, _ = named(block)
    return mean_gradient(parameters, Gradient(*sums), share, numbers)


@compiled
def call_finish(block: Any, sums: Any, terms: float, factor: Any) -> Any:
    """Call ``finish``."""
    parameters, state, numbers, _ = named(block)
    return finish(Gradient(*sums), terms, parameters, state, numbers, factor)


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
