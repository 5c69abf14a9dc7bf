"""Reads the state of PyTorch outside of a run that changes its operations, such as autocast."""

from __future__ import annotations

from typing import Any

import torch

DEVICES = ("cpu", "cuda")
"""Types of devices whose autocast is looked at."""


def surroundings() -> tuple[Any, ...]:
    """Return what is on now; the lengths of two stacks stand for modes, which have no public form.

    Engines that do not execute a user's code in each step must find this as it was when they were
    compared with the plain loop.
    """
    casts = [
        (torch.is_autocast_enabled(device), torch.get_autocast_dtype(device)) for device in DEVICES
    ]
    modes = torch._C._len_torch_function_stack(), torch._C._len_torch_dispatch_stack()
    return torch.is_grad_enabled(), torch.is_inference_mode_enabled(), *casts, *modes
