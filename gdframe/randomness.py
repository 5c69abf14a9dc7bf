"""Random numbers as a function of (seed, purpose, index), independent of earlier draws.

Draws are made on the CPU, so that a run on a GPU gets the same numbers.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager
from enum import IntEnum

import numpy as np
import torch

_MASK = (1 << 64) - 1


class Purpose(IntEnum):
    """The uses of random numbers; the streams of one seed are independent."""

    INITIALIZE = 1
    ORDER = 2
    SPLIT = 3
    DATA = 4
    MODEL = 5
    STATE = 6
    EVALUATION = 7
    CONSTRUCT = 8


def derive(seed: int, purpose: Purpose, index: int = 0) -> int:
    """Return 63 bits mixed from (seed, purpose, index); neighbouring values share no pattern.

    The mixer is the finaliser of SplitMix64 (Steele, Lea and Flood, 2014), applied once a word.
    """
    state = 0
    for word in (seed, int(purpose), index):
        state = (state + (word & _MASK) + 0x9E3779B97F4A7C15) & _MASK
        state = ((state ^ (state >> 30)) * 0xBF58476D1CE4E5B9) & _MASK
        state = ((state ^ (state >> 27)) * 0x94D049BB133111EB) & _MASK
        state ^= state >> 31
    return state >> 1


def generator(seed: int, purpose: Purpose, index: int = 0) -> torch.Generator:
    """Return a CPU generator at the start of the stream (seed, purpose, index).

    Example:
        >>> a = torch.randperm(5, generator=generator(0, Purpose.ORDER, 3))
        >>> b = torch.randperm(5, generator=generator(0, Purpose.ORDER, 3))
        >>> bool((a == b).all())
        True
    """
    return torch.Generator().manual_seed(derive(seed, purpose, index))


@contextmanager
def seeded(
    seed: int, purpose: Purpose, index: int = 0, *, device: torch.device | str = "cpu",
    all_libraries: bool = True,
) -> Iterator[None]:  # fmt: skip
    """Make the draws of PyTorch, NumPy and Python inside a function of (seed, purpose, index).

    The global generators get their former state back at the end, of PyTorch those of the CPU and of
    ``device``. Without ``all_libraries`` only PyTorch's are seeded.

    Example:
        >>> before = torch.get_rng_state()
        >>> with seeded(0, Purpose.STATE): first = torch.rand(2)
        >>> with seeded(0, Purpose.STATE): second = torch.rand(2)
        >>> torch.equal(first, second), torch.equal(torch.get_rng_state(), before)
        (True, True)
    """
    with restored_generators(device, all_libraries=all_libraries):
        seed_generators(derive(seed, purpose, index), device, all_libraries=all_libraries)
        yield


@contextmanager
def restored_generators(device: torch.device | str, *, all_libraries: bool) -> Iterator[None]:
    """Give the global generators their former state back at the end, as ``seeded`` does."""
    with torch.random.fork_rng(devices=gpus(device)):
        if not all_libraries:
            yield
            return
        states = random.getstate(), np.random.get_state()
        try:
            yield
        finally:
            random.setstate(states[0])
            np.random.set_state(states[1])


def seed_generators(
    state: int, device: torch.device | str = "cpu", *, all_libraries: bool
) -> None:  # fmt: skip
    """Seed PyTorch's generators of the CPU and of ``device``, and those of NumPy and Python."""
    torch.default_generator.manual_seed(state)  # torch.manual_seed records a stack at each call
    for gpu in gpus(device):
        torch.cuda.default_generators[gpu].manual_seed(state)
    if all_libraries:
        random.seed(state)
        np.random.seed(state % (1 << 32))


def gpus(device: torch.device | str) -> list[int]:
    """Return a list of the index of a CUDA device; an empty list for any other device."""
    device = torch.device(device)
    if device.type != "cuda":
        return []
    return [torch.cuda.current_device() if device.index is None else device.index]


def normal(like: torch.Tensor, random: torch.Generator) -> torch.Tensor:
    """Return a tensor of normal draws with the shape and type of another."""
    return torch.randn(like.shape, generator=random, dtype=torch.float64).to(like)
