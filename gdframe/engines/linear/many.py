"""The loop nest for many runs that visit rows in one order, side by side.

As in ``single.py``, but the innermost loops go along the runs, so that a row is read once for all
of them and each run's numbers are its own. Whatever differs from run to run (hyperparameters,
arguments of the loss and the penalty, limits) has the run as its last axis.

Shapes: x (rows, features), y as in ``single.py``, weight (outputs, features, runs), bias (outputs,
runs), states (outputs, features, states, runs) and (outputs, states, runs).
"""

from __future__ import annotations

from math import sqrt
from typing import Any

import numpy as np

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
def respond(
    x: Any, y: Any, weight: Any, bias: Any, loss_arguments: Any, z: Any, slope: Any, total: Any
) -> None:
    """Predict one row x (features,); fill in outputs and slopes (outputs, runs), add losses."""
    outputs, features, runs = OUTPUTS or weight.shape[0], weight.shape[1], weight.shape[2]
    for k in range(outputs):
        output, b = z[k], bias[k]
        for r in range(runs):
            output[r] = b[r]
        for j in range(features):
            w, xj = weight[k, j], x[j]
            for r in range(runs):
                output[r] += xj * w[r]
        if not COUPLED:
            s, target = slope[k], y[k]
            for r in range(runs):
                value, sr = loss(output[r], target, loss_arguments, r)
                if WEIGHTED:
                    value, sr = value * y[outputs], sr * y[outputs]
                s[r] = F(sr)
                total[r] += value
    if COUPLED:
        for r in range(runs):
            value = coupled_loss(z[:, r], int(y[0]), slope[:, r], loss_arguments, r)
            if WEIGHTED:
                value *= y[1]
                slope[:, r] *= y[1]
            total[r] += value


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
    slope: Any,
    total: Any,
) -> None:
    """Do what ``accumulate`` in ``single.py`` does; ``total`` (runs,) takes the sums of losses."""
    outputs, features, runs = OUTPUTS or weight.shape[0], weight.shape[1], weight.shape[2]
    gradient[:] = ZERO
    bias_gradient[:] = ZERO
    total[:] = 0.0
    for position in range(begin, end):
        if position + ahead < len(order):
            prefetch(x, order[position + ahead])
        row = x[order[position]]
        respond(
            row, y[order[position]], weight, bias, loss_arguments, responses[position - begin],
            slope, total,
        )  # fmt: skip
        for k in range(outputs):
            s, gb = slope[k], bias_gradient[k]
            for r in range(runs):
                gb[r] += s[r]
            for j in range(features):
                g, xj = gradient[k, j], row[j]
                for r in range(runs):
                    g[r] += s[r] * xj


@compiled
def mean_gradient(
    weight: Any,
    bias: Any,
    gradient: Any,
    bias_gradient: Any,
    has_bias: bool,
    share: Any,
    penalty_arguments: Any,
    squared: Any,
) -> None:
    """Divide gradients by the number of terms, add the penalty's; sum their squares."""
    outputs, features, runs = OUTPUTS or weight.shape[0], weight.shape[1], weight.shape[2]
    squared[:] = ZERO
    for k in range(outputs):
        for j in range(features):
            w, g = weight[k, j], gradient[k, j]
            for r in range(runs):
                gr = g[r] * share + F(penalty(w[r], penalty_arguments, r)[1])
                g[r] = gr
                squared[r] += gr * gr
        if has_bias:
            w, g = bias[k], bias_gradient[k]
            for r in range(runs):
                gr = g[r] * share
                if PENALIZE_BIASES:
                    gr += F(penalty(w[r], penalty_arguments, r)[1])
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
    """Update all parameters with gradients, times ``scale`` (runs,)."""
    outputs, features, _ = weight.shape
    for k in range(outputs):
        for j in range(features):
            renew(weight[k, j], gradient[k, j], states[k, j], scale, values)
        if has_bias:
            renew_bias(bias[k], bias_gradient[k], bias_states[k], scale, values)


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
    scale: Any,
    values: Any,
    squared: Any,
    g: Any,
) -> None:
    """Update all parameters for one row x (features,), in one pass; sum gradients' squares."""
    outputs, features, runs = OUTPUTS or weight.shape[0], weight.shape[1], weight.shape[2]
    squared[:] = ZERO
    for k in range(outputs):
        s = slope[k]
        for r in range(runs):
            s[r] *= share
        for j in range(features):
            w, xj = weight[k, j], x[j]
            for r in range(runs):
                gr = s[r] * xj + F(penalty(w[r], penalty_arguments, r)[1])
                g[r] = gr
                squared[r] += gr * gr
            renew(w, g, states[k, j], scale, values)
        if has_bias:
            w = bias[k]
            for r in range(runs):
                gr = s[r]
                if PENALIZE_BIASES:
                    gr += F(penalty(w[r], penalty_arguments, r)[1])
                g[r] = gr
                squared[r] += gr * gr
            renew_bias(w, g, bias_states[k], scale, values)


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
    factors: Any,
    values: Any,
    scale: Any,
    squared: Any,
) -> None:
    """Update with the summed gradients of a step; leave the mean ones' squared norms."""
    for r in range(len(clip)):
        prepare(hyper, counters, factors[r], values, r)
    mean_gradient(
        weight, bias, gradient, bias_gradient, has_bias, F(1.0 / terms), penalty_arguments, squared
    )
    for r in range(len(clip)):
        norm = sqrt(squared[r])
        scale[r] = clip[r] / norm if norm > clip[r] else ONE
    descend(weight, bias, states, bias_states, gradient, bias_gradient, has_bias, scale, values)


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
    which: Any,
    losses: Any,
    norms: Any,
    z: Any,
    slope: Any,
    values: Any,
) -> None:
    """Execute steps of one row each, without clipping: ``first``, ``first + 1``, ... of an epoch.

    There is one for each column of ``factors`` (schedules, steps); row ``which[r]`` is of run r.
    ``losses`` and ``norms`` are (steps, runs).
    """
    runs, terms = weight.shape[2], 1 if COUPLED else weight.shape[0]
    total, squared = np.zeros(runs), np.zeros(runs, F)
    g, scale = np.zeros(runs, F), np.ones(runs, F)
    for t in range(factors.shape[1]):
        position = first + t
        if position + ahead < len(order):
            prefetch(x, order[position + ahead])
        row = order[position]
        total[:] = 0.0
        respond(x[row], y[row], weight, bias, loss_arguments, z, slope, total)
        for r in range(runs):
            prepare(hyper, counters, factors[which[r], t], values, r)
        descend_at_row(
            x[row], slope, F(1.0 / terms), weight, bias, states, bias_states, has_bias,
            penalty_arguments, scale, values, squared, g,
        )  # fmt: skip
        loss_row, norm_row = losses[t], norms[t]
        for r in range(runs):
            loss_row[r] = total[r] / terms
            norm_row[r] = sqrt(squared[r])


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
    which: Any,
    losses: Any,
    norms: Any,
    gradient: Any,
    bias_gradient: Any,
    z: Any,
    slope: Any,
    values: Any,
) -> None:
    """Execute steps of ``size`` rows each; the last of an epoch takes what is left."""
    rows, runs = len(order), len(clip)
    outputs = 1 if COUPLED else weight.shape[0]
    total, current = np.zeros(runs), np.ones(runs)
    squared, scale = np.zeros(runs, F), np.ones(runs, F)
    for t in range(factors.shape[1]):
        begin = (first + t) * size
        end = min(begin + size, rows)
        terms = float((end - begin) * outputs)
        for r in range(runs):
            current[r] = factors[which[r], t]
        accumulate(
            x, y, order, begin, end, ahead, weight, bias, loss_arguments, gradient, bias_gradient,
            z, slope, total,
        )  # fmt: skip
        finish(
            gradient, bias_gradient, terms, weight, bias, states, bias_states, has_bias, counters,
            hyper, penalty_arguments, clip, current, values, scale, squared,
        )  # fmt: skip
        loss_row, norm_row = losses[t], norms[t]
        for r in range(runs):
            loss_row[r] = total[r] / terms
            norm_row[r] = sqrt(squared[r])
