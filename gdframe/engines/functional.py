"""Whether a module is a function of its parameters and its input: found by trying it."""

from __future__ import annotations

import torch

from gdframe.data.dataset import Dataset
from gdframe.engines.base import Run

PROBE = 4
"""Rows it is tried on."""


def why_not_functional(run: Run, data: Dataset) -> str | None:
    """Say what a run's model does besides computing its outputs, or None.

    The model is called once in training mode on a few rows, and left as it was.
    """
    objective = run.objective
    model = objective.model
    rows = objective.encode(data.train)
    features, targets = rows.features[:PROBE], rows.targets[:PROBE]
    name = type(model).__name__
    buffers = {key: value.clone() for key, value in model.named_buffers()}
    device = features.device
    mode = model.training
    parameters = list(model.parameters())
    try:
        with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
            before = _generator_state(device)
            model.train()
            value = objective.batch_loss(features, targets) + objective.penalty_value()
            drawn = not torch.equal(before, _generator_state(device))
            grads = torch.autograd.grad(value, parameters, allow_unused=True)
        changed = [
            key for key, value in model.named_buffers() if not torch.equal(value, buffers[key])
        ]
    except (RuntimeError, ValueError, TypeError, AssertionError) as error:
        return f"its model ({name}) fails on {len(features)} rows ({str(error).splitlines()[0]})"
    finally:
        model.train(mode)
        with torch.no_grad():
            for key, buffer in model.named_buffers():
                buffer.copy_(buffers[key])
    if drawn:
        return f"its model ({name}) draws random numbers in training, as dropout does"
    if changed:
        return f"its model ({name}) changes its buffer '{changed[0]}', as batch-norm does"
    if any(grad is None for grad in grads):
        return f"its model ({name}) has a parameter without a gradient"
    return None


def _generator_state(device: torch.device) -> torch.Tensor:
    return torch.cuda.get_rng_state(device) if device.type == "cuda" else torch.get_rng_state()
