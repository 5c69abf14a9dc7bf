"""Writes the loops out for one loss, penalty, rule and type, and has Numba compile them.

The text is a module of its own, named by a digest of its content and kept in the user's cache
folder, so that Numba finds what it compiled before. Where that folder cannot be written, the loops
are compiled anew in each process.
"""

from __future__ import annotations

import ast
import hashlib
import importlib.util
import inspect
import math
import sys
import textwrap
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

from gdframe.engines.rule import Rule, Update
from gdframe.runs.files import cache_folder, write_atomically

COPIED = "\n# copied from here on\n"
"""The line of ``single.py`` and ``many.py`` after which a generated module holds their text."""

_HEADER = '''\
"""Loops of gdframe's linear engine for one loss, penalty, update rule and type."""

from __future__ import annotations

import math
from math import exp, log, sqrt, tanh

import numba
import numpy as np
from numpy import floor

from gdframe.engines.linear.intrinsics import prefetch

F = np.{dtype}
ZERO, ONE = F(0), F(1)
COUPLED = {coupled}
WEIGHTED = {weighted}
PENALIZE_BIASES = {biases}
OUTPUTS = {outputs}
# sums may be regrouped, so that they compile to vector instructions; NaN and infinity are kept
settings = {{
    "error_model": "numpy",
    "fastmath": {{"reassoc", "contract", "arcp", "nsz"}},
}}
compiled = numba.njit(cache={cached}, nogil=True, **settings)  # called from Python
inlined = {{
    "no_cpython_wrapper": True, "no_cfunc_wrapper": True, "forceinline": True, "_nrt": False,
}}
inner = numba.njit(**inlined, **settings)
exact = numba.njit(**inlined, error_model="numpy", fastmath={{"contract"}})


@inner
def sign(value):
    return F(value > ZERO) - F(value < ZERO)


# exp(x) = 2^n exp(r) with |r| <= log(2) / 2: without branches, so that loops over it compile to
# vector instructions, and without regrouping, which would undo the reduction of x to r; below twice
# the smallest normal number it is zero
@exact
def exponential(x):
    x = F(x)
    low, high = F({low}), F({high})
    inside = high if x > high else x
    inside = low if inside < low else inside
    n = np.floor(inside * F(1.4426950408889634) + F(0.5))
    r = inside - n * F({log2_high}) - n * F({log2_low})
    series = {series}
    power = {integer}(({integer}(n) + {integer}({bias})) << {integer}({mantissa}))
    value = (series * r * r + r + ONE) * power.view(F) * F(2)
    return ZERO if x < low else value
'''

_EXPONENTIAL: dict[str, dict[str, Any]] = {
    "float32": {"low": -86.9, "high": 89.0, "log2_high": 0.693359375, "log2_low": -2.12194440e-4,
                "integer": "np.int32", "bias": 126, "mantissa": 23, "terms": 8},
    "float64": {"low": -708.0, "high": 710.0, "log2_high": 6.93147180369123816490e-1,
                "log2_low": 1.90821492927058770002e-10, "integer": "np.int64", "bias": 1022,
                "mantissa": 52, "terms": 14},
}  # fmt: skip
"""Constants of the exponential by type: range, log(2) in two parts, bits, terms of Taylor's."""

_NO_LOSS = "def loss(z, y, arguments, r):\n    return ZERO, ZERO\n"
_NO_COUPLED_LOSS = "def coupled_loss(z, label, slope, arguments, r):\n    return ZERO\n"
_NO_PENALTY = "def penalty(w, arguments, r):\n    return ZERO, ZERO\n"


@dataclass(frozen=True)
class LoopSpec:
    """The parts of a specialisation.

    Args:
        rule: the update rule.
        loss: the loss's kernel.
        penalty: the penalty's kernel; None for no penalty.
        coupled: whether the loss couples the outputs of a row.
        weighted: whether rows differ in weight.
        biases: whether biases are penalised.
        dtype: ``float32`` or ``float64``.
        outputs: 1 if the model has one output, else 0.
        has_many_runs: whether the loops are those of ``many.py``.
        is_built_in: whether the rule is built in.
    """

    rule: Rule
    loss: Callable[..., Any]
    penalty: Callable[..., Any] | None
    coupled: bool
    weighted: bool
    biases: bool
    dtype: str
    outputs: int
    has_many_runs: bool
    is_built_in: bool = True


def write_module(spec: LoopSpec, *, cached: bool = True) -> str:
    """Return the text of a module with the loops for one run, or for many at once.

    Args:
        spec: its parts.
        cached: whether Numba keeps what it compiles.
    """
    rule, loss, penalty = spec.rule, spec.loss, spec.penalty
    coupled, many, dtype = spec.coupled, spec.has_many_runs, spec.dtype
    kernels = [
        _NO_LOSS if coupled else _kernel(loss, "loss", many=many),
        _kernel(loss, "coupled_loss", many=many) if coupled else _NO_COUPLED_LOSS,
        _NO_PENALTY if penalty is None else _kernel(penalty, "penalty", many=many),
    ]
    rules = [
        _prepare(rule, many=many),
        _update(rule, rule.updates[0], "update", many=many),
        _update(rule, rule.updates[-1], "update_bias", many=many),
    ]
    # a rule with compensated summation needs the written order
    kind = "inner" if spec.is_built_in else "exact"
    text = _HEADER.format(
        dtype=dtype,
        coupled=coupled,
        weighted=spec.weighted,
        biases=spec.biases,
        outputs=spec.outputs,
        cached=cached,
        series=_series(_EXPONENTIAL[dtype]["terms"]),
        **_EXPONENTIAL[dtype],
    )
    text += "".join(f"\n\n@inner\n{kernel.strip()}\n" for kernel in kernels)
    text += "".join(f"\n\n@{kind}\n{rule}\n" for rule in rules)
    loops = Path(__file__).with_name("many.py" if many else "single.py").read_text()
    return text + loops.partition(COPIED)[2]


def _kernel(kernel: Callable[..., Any], name: str, *, many: bool) -> str:
    """Return the text of a kernel as a function ``name`` whose last argument is a tuple."""
    (function,) = ast.parse(textwrap.dedent(inspect.getsource(kernel))).body
    assert isinstance(function, ast.FunctionDef)
    body = function.body[1:] if ast.get_docstring(function) else function.body
    signature = list(inspect.signature(kernel).parameters)
    fixed = 3 if name == "coupled_loss" else 1 if name == "penalty" else 2
    head = f"def {name}({', '.join([*signature[:fixed], 'arguments', 'r'])}):"
    index_format = "[{}, r]" if many else "[{}]"
    arguments = [
        f"    {name} = arguments{index_format.format(i)}"
        for i, name in enumerate(signature[fixed:])
    ]
    lines = [ast.unparse(_InOneType().visit(statement)) for statement in body]
    return "\n".join([head, *arguments, *(textwrap.indent(line, "    ") for line in lines)])


class _InOneType(ast.NodeTransformer):
    """Has a kernel compute in the type of the parameters, with the exponential written out."""

    def visit_Constant(self, node: ast.Constant) -> ast.expr:
        if not isinstance(node.value, float):
            return node
        return ast.Call(ast.Name("F", ast.Load()), [node], [])

    def visit_Call(self, node: ast.Call) -> ast.AST:
        if ast.unparse(node.func) == "math.exp":
            node.func = ast.Name("exponential", ast.Load())
        return self.generic_visit(node)


def _series(terms: int) -> str:
    """Return Taylor's series of (exp(r) - 1 - r) / r^2 by Horner's rule."""
    text = f"F({1 / math.factorial(terms - 1)!r})"
    for power in range(terms - 2, 1, -1):
        text = f"({text} * r + F({1 / math.factorial(power)!r}))"
    return text


def _prepare(rule: Rule, *, many: bool) -> str:
    lines = ["def prepare(hyper, counters, factor, values, r):" if many
             else "def prepare(hyper, counters, factor):"]  # fmt: skip
    index_format = "[{}, r]" if many else "[{}]"
    for i, name in enumerate(rule.hyper):
        factor = " * factor" if name == "lr" else ""
        lines.append(f"    h{i} = hyper{index_format.format(i)}{factor}")
    lines += [f"    c{i} = counters{index_format.format(i)}" for i in range(len(rule.counters))]
    lines += [f"    {line}" for line in rule.step_lines]
    lines += [
        f"    counters{index_format.format(i)} = {v}" for i, v in enumerate(rule.new_counters)
    ]
    if many:
        lines += [f"    values[{i}, r] = F({v})" for i, v in enumerate(rule.step_values)]
    else:
        lines.append(f"    return ({''.join(f'F({v}), ' for v in rule.step_values) or 'ZERO,'})")
    return "\n".join(lines)


def _update(rule: Rule, update: Update, name: str, *, many: bool) -> str:
    lines = [f"def {name}(w, g, states, i, values):"]
    for i in range(len(rule.step_values)):
        lines.append(f"    u{i} = values[{i}, i]" if many else f"    u{i} = values[{i}]")
    lines += [f"    s{i} = states[{i}, i]" for i in range(len(rule.states))]
    lines += [f"    {line}" for line in update.lines]
    lines += [f"    states[{i}, i] = {v}" for i, v in enumerate(update.states)]
    return "\n".join([*lines, f"    return {update.parameter}"])


@cache
def load_module(text: str, uncached_text: str) -> ModuleType:
    """Return the module of a text.

    If the cache folder cannot be written, return the module of ``uncached_text``, the same text
    without Numba's cache.
    """
    folder = cache_folder("linear")
    if folder is not None:
        name = f"loops_{hashlib.blake2b(text.encode(), digest_size=12).hexdigest()}"
        path = folder / f"{name}.py"
        try:
            if not path.is_file() or path.read_bytes() != text.encode():
                write_atomically(path, text)
            spec = importlib.util.spec_from_file_location(name, path)
            assert spec is not None
            assert spec.loader is not None
            module = importlib.util.module_from_spec(spec)
            sys.modules[name] = module  # where Numba looks for it when it loads what it compiled
            spec.loader.exec_module(module)
            _forget_damaged(module)
            _load_without_registries(module)
        except (OSError, RuntimeError):  # Numba raises the latter where it cannot write
            sys.modules.pop(name, None)
        else:
            return module
    module = ModuleType("gdframe_linear_loops")
    exec(compile(uncached_text, "<gdframe linear loops>", "exec"), module.__dict__)
    return module


def _forget_damaged(module: ModuleType) -> None:
    """Empty Numba's caches whose files it cannot read, as after a power cut; it would raise."""
    for function in vars(module).values():
        if (file := getattr(getattr(function, "_cache", None), "_cache_file", None)) is not None:
            try:
                for name in file._load_index().values():
                    file._load_data(name)
            except OSError:  # Numba compiles anew
                pass
            except Exception:
                file.flush()


def _load_without_registries(module: ModuleType) -> None:
    """Have Numba load what it compiled without importing all that it could compile with.

    The import takes half a second. What a loop calls is part of it, or a function of C's library
    or of Numba's runtime. A function that was not compiled before imports the rest by itself.
    """
    from numba.core import runtime

    for function in vars(module).values():
        cache: Any = getattr(function, "_cache", None)
        if hasattr(cache, "_load_overload"):
            runtime.rtsys.initialize(function.targetctx)  # type: ignore[attr-defined]
            cache.load_overload = cache._load_overload  # which is called after a refresh otherwise


@cache
def specialized(spec: LoopSpec) -> Mapping[str, Any]:
    """Return the compiled functions of a specialisation by name."""
    text, uncached_text = (write_module(spec, cached=cached) for cached in (True, False))
    return vars(load_module(text, uncached_text))
