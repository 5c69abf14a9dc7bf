"""The loop nest for one run: a step's gradient in one pass over each row, then the update.

One nest serves all three variants: they differ in the number of rows of a step. The innermost
loops run along the features, which are contiguous, so that they compile to vector instructions.

Shapes: x (rows, features), y (rows, outputs) or class indices (rows, 1), with the weight of the row
as another column if rows differ in weight, weight (outputs, features), bias (outputs,) and states
(outputs, states, features) and (outputs, states, 1).
"""

from __future__ import annotations

from math import sqrt
from typing import Any

from gdframe.engines.linear.pieces import (
    COUPLED,
    ONE,
    OUTPUTS,
    PENALIZE_BIASES,
    WEIGHTED,
    ZERO,
    F,
    compiled,
    coupled_loss,
    inner,
    loss,
    penalty,
    prefetch,
    prepare,
    update,
    update_bias,
)

# copied from here on


@inner
def weigh(slope: Any, begin: int, end: int, y: Any) -> Any:
    """Multiply slopes of a row by its weight, the last of its targets y; return the weight."""
    share = y[len(y) - 1]
    for k in range(begin, end):
        slope[k] *= share
    return share


@inner
def respond(x: Any, y: Any, weight: Any, bias: Any, loss_arguments: Any, z: Any, slope: Any) -> Any:
    """Predict one row x (features,); return its loss, fill in outputs and slopes (outputs,)."""
    outputs, features = OUTPUTS or weight.shape[0], weight.shape[1]
    total = ZERO
    for k in range(outputs):
        w = weight[k]
        output = bias[k]
        for j in range(features):
            output += x[j] * w[j]
        z[k] = output
        if not COUPLED:
            value, s = loss(output, y[k], loss_arguments, 0)
            slope[k] = F(s)
            total += F(value)
    if COUPLED:
        total += F(coupled_loss(z, int(y[0]), slope, loss_arguments, 0))
    if WEIGHTED:
        total *= weigh(slope, 0, outputs, y)
    return total


@compiled
def accumulate(
    x: Any,
    y: Any,
    order: Any,
    begin: int,
    end: int,
    ahead: int,
    weight: Any,
    bias: Any,
    loss_arguments: Any,
    gradient: Any,
    bias_gradient: Any,
    responses: Any,
    scratch: Any,
) -> float:
    """Return the sum of the loss over rows ``order[begin:end]``; fill in its gradient.

    Each row asks for the one ``ahead`` places on. ``responses`` (rows, outputs) takes the outputs
    of row ``begin`` onwards, in order. A few rows are predicted at a time, so that their losses
    compile to vector instructions; ``scratch`` (3, several times outputs) holds their outputs,
    targets and slopes.
    """
    outputs, features = OUTPUTS or weight.shape[0], weight.shape[1]
    gradient[:] = ZERO
    bias_gradient[:] = ZERO
    z, target, slope = scratch[0], scratch[1], scratch[2]
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
                label = int(y[order[start + i], 0])
                value = coupled_loss(z[at:to], label, slope[at:to], loss_arguments, 0)
                if WEIGHTED:
                    value *= weigh(slope, at, to, y[order[start + i]])
                total += value
        else:
            for i in range(count * outputs):
                value, s = loss(z[i], target[i], loss_arguments, 0)
                if WEIGHTED:
                    share = y[order[start + i // outputs], outputs]
                    value, s = value * share, s * share
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
def mean_gradient(
    weight: Any,
    bias: Any,
    gradient: Any,
    bias_gradient: Any,
    has_bias: bool,
    share: Any,
    penalty_arguments: Any,
) -> Any:
    """Divide a gradient by the number of terms, add the penalty's; return its squared norm."""
    outputs, features = OUTPUTS or weight.shape[0], weight.shape[1]
    squared = ZERO
    for k in range(outputs):
        w, g = weight[k], gradient[k]
        for j in range(features):
            gj = g[j] * share + F(penalty(w[j], penalty_arguments, 0)[1])
            g[j] = gj
            squared += gj * gj
        if has_bias:
            gb = bias_gradient[k] * share
            if PENALIZE_BIASES:
                gb += F(penalty(bias[k], penalty_arguments, 0)[1])
            bias_gradient[k] = gb
            squared += gb * gb
    return squared


@inner
def descend(
    weight: Any,
    bias: Any,
    states: Any,
    bias_states: Any,
    gradient: Any,
    bias_gradient: Any,
    has_bias: bool,
    scale: Any,
    values: Any,
) -> None:
    """Update all parameters with a gradient, times ``scale``."""
    outputs, features = OUTPUTS or weight.shape[0], weight.shape[1]
    for k in range(outputs):
        w, g, s = weight[k], gradient[k], states[k]
        for j in range(features):
            w[j] = update(w[j], g[j] * scale, s, j, values)
        if has_bias:
            bias[k] = update_bias(bias[k], bias_gradient[k] * scale, bias_states[k], 0, values)


@inner
def descend_at_row(
    x: Any,
    slope: Any,
    share: Any,
    weight: Any,
    bias: Any,
    states: Any,
    bias_states: Any,
    has_bias: bool,
    penalty_arguments: Any,
    values: Any,
) -> Any:
    """Update all parameters for one row x (features,), in one pass; return the squared norm."""
    outputs, features = OUTPUTS or weight.shape[0], weight.shape[1]
    squared = ZERO
    for k in range(outputs):
        w, s, factor = weight[k], states[k], slope[k] * share
        for j in range(features):
            wj = w[j]
            gj = factor * x[j] + F(penalty(wj, penalty_arguments, 0)[1])
            squared += gj * gj
            w[j] = update(wj, gj, s, j, values)
        if has_bias:
            gb = factor
            if PENALIZE_BIASES:
                gb += F(penalty(bias[k], penalty_arguments, 0)[1])
            squared += gb * gb
            bias[k] = update_bias(bias[k], gb, bias_states[k], 0, values)
    return squared


@inner
def clipping(squared: Any, clip: Any) -> Any:
    """Return the factor that brings a gradient's norm down to ``clip``."""
    norm = sqrt(squared)
    return clip / norm if norm > clip else ONE


@compiled
def finish(
    gradient: Any,
    bias_gradient: Any,
    terms: float,
    weight: Any,
    bias: Any,
    states: Any,
    bias_states: Any,
    has_bias: bool,
    counters: Any,
    hyper: Any,
    penalty_arguments: Any,
    clip: Any,
    factor: float,
) -> Any:
    """Update with the summed gradient of a step; return the norm of the mean one."""
    values = prepare(hyper, counters, factor)
    share = F(1.0 / terms)
    squared = mean_gradient(
        weight, bias, gradient, bias_gradient, has_bias, share, penalty_arguments
    )
    scale = clipping(squared, clip)
    descend(weight, bias, states, bias_states, gradient, bias_gradient, has_bias, scale, values)
    return sqrt(squared)


@compiled
def row_steps(
    x: Any,
    y: Any,
    order: Any,
    first: int,
    ahead: int,
    weight: Any,
    bias: Any,
    states: Any,
    bias_states: Any,
    has_bias: bool,
    counters: Any,
    hyper: Any,
    loss_arguments: Any,
    penalty_arguments: Any,
    factors: Any,
    losses: Any,
    norms: Any,
    z: Any,
    slope: Any,
) -> None:
    """Execute steps of one row each, without clipping: ``first``, ``first + 1``, ... of an epoch.

    There is one for each of ``factors``.
    """
    terms = 1 if COUPLED else weight.shape[0]
    share = F(1.0 / terms)
    for t in range(len(factors)):
        position = first + t
        if position + ahead < len(order):
            prefetch(x, order[position + ahead])
        row = order[position]
        total = respond(x[row], y[row], weight, bias, loss_arguments, z, slope)
        values = prepare(hyper, counters, factors[t])
        squared = descend_at_row(
            x[row], slope, share, weight, bias, states, bias_states, has_bias, penalty_arguments,
            values,
        )  # fmt: skip
        losses[t] = total * share
        norms[t] = sqrt(squared)


@compiled
def batch_steps(
    x: Any,
    y: Any,
    order: Any,
    first: int,
    size: int,
    ahead: int,
    weight: Any,
    bias: Any,
    states: Any,
    bias_states: Any,
    has_bias: bool,
    counters: Any,
    hyper: Any,
    loss_arguments: Any,
    penalty_arguments: Any,
    clip: Any,
    factors: Any,
    losses: Any,
    norms: Any,
    gradient: Any,
    bias_gradient: Any,
    responses: Any,
    scratch: Any,
) -> None:
    """Execute steps of ``size`` rows each; the last of an epoch takes what is left."""
    rows = len(order)
    outputs = 1 if COUPLED else weight.shape[0]
    for t in range(len(factors)):
        begin = (first + t) * size
        end = min(begin + size, rows)
        terms = float((end - begin) * outputs)
        total = accumulate(
            x, y, order, begin, end, ahead, weight, bias, loss_arguments, gradient, bias_gradient,
            responses, scratch,
        )  # fmt: skip
        losses[t] = total / terms
        norms[t] = finish(
            gradient, bias_gradient, terms, weight, bias, states, bias_states, has_bias, counters,
            hyper, penalty_arguments, clip, factors[t],
        )  # fmt: skip
