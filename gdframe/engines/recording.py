"""The scalar code of an update rule, recorded by calling its pure ``update`` once.

A rule is written once, over lists of tensors. Where it treats every coordinate alike, calling it
with operands that write down what is done to them gives the same arithmetic for one coordinate, in
the same order. What depends on hyperparameters and counters alone is separated from what depends on
a coordinate: the first is computed once a step, the second once a coordinate.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from gdframe.engines.base import Run
from gdframe.engines.structure import is_number
from gdframe.optimizers.base import Optimizer

STEP, COORDINATE = False, True


class NotElementwiseError(Exception):
    """The rule does something that has no meaning for one coordinate; the message says what."""


@dataclass(frozen=True)
class Rule:
    """An update rule as lines of Python arithmetic on numbers.

    Args:
        hyper: names of the hyperparameters that may differ from run to run, in order.
        states: names of the states with a value for each coordinate, in order.
        counters: names of the states with one value for a parameter, in order.
        step_lines: assignments computed once a step, from ``h0, h1, ...`` (hyperparameters) and
            ``c0, c1, ...`` (counters).
        step_values: names in ``step_lines`` that ``lines`` use.
        new_counters: what each counter becomes.
        lines: assignments computed once a coordinate, from ``w`` (parameter), ``g`` (gradient),
            ``s0, s1, ...`` (states) and the step values.
        new_parameter: what the parameter becomes.
        new_states: what each state becomes.
    """

    hyper: tuple[str, ...]
    states: tuple[str, ...]
    counters: tuple[str, ...]
    step_lines: tuple[str, ...]
    step_values: tuple[str, ...]
    new_counters: tuple[str, ...]
    lines: tuple[str, ...]
    new_parameter: str
    new_states: tuple[str, ...]


@dataclass
class _Tape:
    lines: dict[bool, list[str]] = field(default_factory=lambda: {STEP: [], COORDINATE: []})
    carried: list[str] = field(default_factory=list)

    def write(self, expression: str, kind: bool) -> Operand:
        name = f"{'v' if kind else 'u'}{len(self.lines[kind])}"
        self.lines[kind].append(f"{name} = {expression}")
        return Operand(self, name, kind)

    def text(self, value: Any, kind: bool) -> str:
        """Name an operand, or write a number, as the lines of ``kind`` spell it."""
        if isinstance(value, Operand):
            if kind and not value.kind:
                return self.carry(value.name)
            return value.name
        if isinstance(value, (bool, int, float)):
            return f"F({float(value)!r})" if kind else repr(float(value))
        if isinstance(value, Tensor) and value.ndim == 0:
            return self.text(value.item(), kind)
        raise NotElementwiseError(f"it combines a coordinate with {type(value).__name__}")

    def carry(self, name: str) -> str:
        """Make a value of the step known to the coordinates' lines."""
        if name not in self.carried:
            self.carried.append(name)
        return name


_PREFIX = {"neg": "-{}", "sqrt": "sqrt({})", "abs": "abs({})", "sign": "sign({})",
           "exp": "exp({})", "log": "log({})", "tanh": "tanh({})", "square": "{0} * {0}",
           "reciprocal": "ONE / {}", "rsqrt": "ONE / sqrt({})"}  # fmt: skip
_INFIX = {"add": "+", "sub": "-", "mul": "*", "div": "/", "true_divide": "/", "pow": "**",
          "lt": "<", "le": "<=", "gt": ">", "ge": ">=", "eq": "==", "ne": "!="}  # fmt: skip


class Operand:
    """Stands for a tensor, or for a hyperparameter, while a rule is recorded."""

    def __init__(self, tape: _Tape, name: str, kind: bool) -> None:
        self.tape, self.name, self.kind = tape, name, kind

    @classmethod
    def __torch_function__(
        cls,
        function: Callable[..., Any],
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        return _apply(function.__name__, *args, **(kwargs or {}))

    def __getattr__(self, name: str) -> Callable[..., Any]:
        if name.startswith("__"):
            raise AttributeError(name)
        return lambda *args, **kwargs: _apply(name, self, *args, **kwargs)

    def __bool__(self) -> bool:
        raise NotElementwiseError("it decides by a value that is only known while it trains")

    def __float__(self) -> float:
        raise NotElementwiseError("it turns a tensor into a Python number")

    def __iter__(self) -> Any:
        raise NotElementwiseError("it takes a tensor apart")

    def __getitem__(self, key: Any) -> Any:
        raise NotElementwiseError("it takes a tensor apart")

    def __neg__(self) -> Operand:
        return _apply("neg", self)

    def __abs__(self) -> Operand:
        return _apply("abs", self)


def _infix(name: str, *, reflected: bool) -> Callable[[Operand, Any], Operand]:
    def operate(self: Operand, other: Any) -> Operand:
        return _apply(name, other, self) if reflected else _apply(name, self, other)

    return operate


for _method, _name in (
    ("add", "add"), ("sub", "sub"), ("mul", "mul"), ("truediv", "div"), ("pow", "pow")
):  # fmt: skip
    setattr(Operand, f"__{_method}__", _infix(_name, reflected=False))
    setattr(Operand, f"__r{_method}__", _infix(_name, reflected=True))
for _name in ("lt", "le", "gt", "ge"):
    setattr(Operand, f"__{_name}__", _infix(_name, reflected=False))


def _apply(name: str, *args: Any, **kwargs: Any) -> Operand:
    """Write down one operation."""
    name = name.removesuffix("_")
    tape = next(a.tape for a in (*args, *kwargs.values()) if isinstance(a, Operand))
    kind = any(a.kind for a in (*args, *kwargs.values()) if isinstance(a, Operand))
    if name in ("add", "sub") and set(kwargs) == {"alpha"}:
        args, kwargs = (args[0], _apply("mul", args[1], kwargs["alpha"])), {}
    texts = [tape.text(a, kind) for a in args]
    if name in _PREFIX and len(texts) == 1 and not kwargs:
        return tape.write(_PREFIX[name].format(texts[0]), kind)
    if name in _INFIX and len(texts) == 2 and not kwargs:
        return tape.write(f"{texts[0]} {_INFIX[name]} {texts[1]}", kind)
    if name in ("maximum", "minimum") and len(texts) == 2 and not kwargs:
        return tape.write(f"{name[:3]}({texts[0]}, {texts[1]})", kind)
    if name == "where" and len(texts) == 3 and not kwargs:
        return tape.write(f"{texts[1]} if {texts[0]} else {texts[2]}", kind)
    if name == "lerp" and len(args) == 3 and not kwargs:
        start, end, weight = args
        return _apply("add", start, _apply("mul", weight, _apply("sub", end, start)))
    if name == "zeros_like" and not kwargs:
        return tape.write("F(0.0)" if kind else "0.0", kind)
    if name == "ones_like" and not kwargs:
        return tape.write("F(1.0)" if kind else "1.0", kind)
    if name in ("clone", "detach") and len(texts) == 1:
        return next(a for a in args if isinstance(a, Operand))
    if name in ("clamp", "clip"):
        return _clamp(*args, **kwargs)
    raise NotElementwiseError(f"it uses {name}")


def _clamp(value: Operand, min: Any = None, max: Any = None) -> Operand:  # noqa: A002
    if min is not None:
        value = _apply("maximum", value, min)
    return value if max is None else _apply("minimum", value, max)


def rule_of(run: Run) -> Rule:
    """Record the update rule of a run, whose optimizer is one of gdframe's.

    Raises:
        NotElementwiseError: it is not elementwise.
    """
    group = run.optimizer.param_groups[0]
    hyper = {key: v for key, v in group.items() if key not in ("params", "clip_norm")}
    rule = type(run.optimizer)
    assert issubclass(rule, Optimizer)
    return record(rule, hyper, next(run.objective.model.parameters()).dtype)


def record(optimizer: type[Optimizer], hyper: Mapping[str, Any], dtype: torch.dtype) -> Rule:
    """Call a rule's ``update`` once with operands and return what it did.

    Args:
        optimizer: the rule's class.
        hyper: its hyperparameters; numbers become variables, anything else stays as it is.
        dtype: of the parameters.

    Raises:
        NotElementwiseError: the rule mixes coordinates, or does what has no scalar form.
    """
    tape = _Tape()
    example = torch.zeros(2, 3, dtype=dtype)
    initial = optimizer.init_state([example])
    states: list[str] = []
    counters: list[str] = []
    for name, values in initial.items():
        if len(values) != 1 or not isinstance(values[0], Tensor):
            raise NotElementwiseError(f"its state '{name}' is not one tensor for each parameter")
        if values[0].shape not in (example.shape, ()):
            raise NotElementwiseError(f"its state '{name}' has a shape of its own")
        if values[0].any():
            raise NotElementwiseError(f"its state '{name}' does not start at zero")
        (counters if values[0].ndim == 0 else states).append(name)
    varying = [name for name, value in hyper.items() if is_number(value)]
    numbers = {name: Operand(tape, f"h{i}", STEP) for i, name in enumerate(varying)}
    state = {name: [Operand(tape, f"s{i}", COORDINATE)] for i, name in enumerate(states)}
    state |= {name: [Operand(tape, f"c{i}", STEP)] for i, name in enumerate(counters)}
    w, g = Operand(tape, "w", COORDINATE), Operand(tape, "g", COORDINATE)
    given: Any = ([w], [g], state, {**hyper, **numbers})
    try:
        (new_parameter,), new_state = optimizer.update(*given)
        final = {name: new_state[name][0] for name in initial}
    except NotElementwiseError:
        raise
    except Exception as error:  # whatever a rule does with operands that are no tensors
        raise NotElementwiseError(f"it fails on single coordinates ({error})") from error
    changed: list[Any] = [new_parameter, *(final[name] for name in states)]
    for value in changed:
        if isinstance(value, Operand) and not value.kind:
            tape.carry(value.name)
    counted: list[Any] = [final[name] for name in counters]
    if any(isinstance(value, Operand) and value.kind for value in counted):
        raise NotElementwiseError("a counter of it depends on coordinates")
    return Rule(
        hyper=tuple(varying),
        states=tuple(states),
        counters=tuple(counters),
        step_lines=tuple(tape.lines[STEP]),
        step_values=tuple(tape.carried),
        new_counters=tuple(tape.text(final[name], STEP) for name in counters),
        lines=tuple(tape.lines[COORDINATE]),
        new_parameter=tape.text(new_parameter, COORDINATE),
        new_states=tuple(tape.text(final[name], COORDINATE) for name in states),
    )
