"""Options for PyTorch's compiler, Inductor, and helpers for the code it compiles."""

from __future__ import annotations

import logging
import os
import shutil
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from torch.utils._pytree import tree_map

from gdframe.engines.onednn import is_faster
from gdframe.runs.files import cache_folder

log = logging.getLogger("gdframe")

OPTIONS: dict[str, Any] = {
    # it takes 0 * x for 0 where x is not finite, and a run would not diverge
    "joint_graph_constant_folding": False,
}
"""Options of Inductor: PyTorch's results."""

VECTORS = "cpp.vec_isa_ok"
"""Option: whether the compiler is known to have the processor's vector instructions."""

OF_FILES: dict[str, Any] = {
    # headers and facts for debuggers take longer to compile than the loop
    "aot_inductor.precompile_headers": False,
    "aot_inductor.enable_line_tables": False,
    "aot_inductor.enable_frame_pointer": False,
    # PyTorch else tries each kind of vector instruction in a process of its own
    VECTORS: True,
}
"""Options for code that is compiled into a file."""

OF_PROCESSES: dict[str, Any] = {
    "cpp_wrapper": True,
    # PyTorch caches compiled code only for operations that it marks as dependent on their graph
    # alone; its loops are such operations, but are not marked yet
    "unsafe_marked_cacheable_functions": dict.fromkeys(
        ("torch.ops.higher_order.scan", "torch.ops.higher_order.while_loop"), torch.__version__
    ),
}
"""Options for code that is compiled into the process: no Python between steps, and a cache."""

PATIENCE = 5.0
"""Seconds of compiling after which the user is told."""

_temporary: list[tempfile.TemporaryDirectory[str]] = []


def options(*, to_file: bool) -> dict[str, Any]:
    """Return the options for Inductor.

    Args:
        to_file: whether it compiles into a file. Else its cache moves to gdframe's, unless the user
            named one: PyTorch keeps it in the folder for temporary files, where others can put code
            in advance.
    """
    from gdframe.engines.onednn_pass import OneDNN  # which imports Inductor

    chosen = OPTIONS | ({"post_grad_custom_post_pass": OneDNN()} if is_faster() else {})
    if to_file:
        return chosen | OF_FILES
    if "TORCHINDUCTOR_CACHE_DIR" not in os.environ:
        folder = cache_folder("inductor")
        if folder is None:
            _temporary.append(tempfile.TemporaryDirectory(prefix="gdframe-"))
        os.environ["TORCHINDUCTOR_CACHE_DIR"] = str(folder or _temporary[-1].name)
    return chosen | OF_PROCESSES


@contextmanager
def compiling() -> Iterator[None]:
    """Log a line if the block takes longer than ``PATIENCE`` seconds; Inductor tells nothing."""
    words = "engine: PyTorch compiles the training loop; large models and rules take minutes once"
    timer = threading.Timer(PATIENCE, log.info, [words])
    timer.daemon = True
    timer.start()
    inductor = logging.getLogger("torch._inductor")
    level = inductor.level
    inductor.setLevel(logging.ERROR)  # it warns of operations that it calls as PyTorch does
    try:
        yield
    finally:
        inductor.setLevel(level)
        timer.cancel()


def compiler() -> str | None:
    """Return the path of the C++ compiler that Inductor would use, or None."""
    names = [os.environ.get("CXX") or "g++", "clang++", "c++"]
    return next((path for name in names if (path := shutil.which(name))), None)


def cloned(tensors: Any) -> Any:
    """Return copies of all tensors: a scan's results may not share memory with its inputs."""
    return tree_map(torch.clone, tuple(tensors))


def selected(is_active: Tensor, after: Any, before: Any) -> Any:
    """Return all tensors after a step, or before it if the step is not active."""
    return tree_map(lambda a, b: torch.where(is_active, a, b), tuple(after), tuple(before))
