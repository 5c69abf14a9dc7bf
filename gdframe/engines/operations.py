"""PyTorch's elementwise operations on one number, as text of Python arithmetic.

Each entry takes the texts of its operands. Operands are names, calls or numbers in brackets, so
the texts need no further brackets. NumPy, Numba and plain Python understand the texts alike.
"""

from __future__ import annotations

from collections.abc import Callable

ARITHMETIC: dict[str, Callable[..., str]] = {
    "add": lambda a, b: f"{a} + {b}",
    "sub": lambda a, b: f"{a} - {b}",
    "rsub": lambda a, b: f"{b} - {a}",
    "mul": lambda a, b: f"{a} * {b}",
    "div": lambda a, b: f"{a} / {b}",
    "neg": lambda a: f"-{a}",
    "abs": lambda a: f"abs({a})",
    "sqrt": lambda a: f"sqrt({a})",
    "sign": lambda a: f"sign({a})",
    "exp": lambda a: f"exp({a})",
    "log": lambda a: f"log({a})",
    "tanh": lambda a: f"tanh({a})",
    "floor": lambda a: f"floor({a})",
    "pow": lambda a, b: f"{a} ** {b}",
    # as PyTorch's, these give NaN where either operand is NaN
    "maximum": lambda a, b: f"{a} if ({a} > {b}) | ({a} != {a}) else {b}",
    "minimum": lambda a, b: f"{a} if ({a} < {b}) | ({a} != {a}) else {b}",
}
"""Operations on numbers that return numbers."""

COMPARISONS: dict[str, Callable[..., str]] = {
    "lt": lambda a, b: f"{a} < {b}",
    "le": lambda a, b: f"{a} <= {b}",
    "gt": lambda a, b: f"{a} > {b}",
    "ge": lambda a, b: f"{a} >= {b}",
    "eq": lambda a, b: f"{a} == {b}",
    "ne": lambda a, b: f"{a} != {b}",
}
"""Operations on numbers that return truth values."""

LOGIC: dict[str, Callable[..., str]] = {
    "logical_and": lambda a, b: f"{a} & {b}",
    "logical_or": lambda a, b: f"{a} | {b}",
    "logical_xor": lambda a, b: f"{a} ^ {b}",
    "logical_not": lambda a: f"{a} ^ True",
    "bitwise_and": lambda a, b: f"{a} & {b}",
    "bitwise_or": lambda a, b: f"{a} | {b}",
    "bitwise_xor": lambda a, b: f"{a} ^ {b}",
    "bitwise_not": lambda a: f"{a} ^ True",
}
"""Operations on truth values."""
