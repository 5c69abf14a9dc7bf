"""The recorder of an update rule's operations on tensors without values.

PyTorch resolves the rule's code (operators, methods, in-place forms, type promotion) into basic
operations and passes each of them to the recorder. The recorder refuses all operations that it does
not know, such as a reduction, a matrix product, a random draw or a decision by a value.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_flatten, tree_map

from gdframe.engines.nodes import SHARED, Node, NotElementwiseError, Place, number, owner_of, truth
from gdframe.engines.operations import ARITHMETIC, COMPARISONS, LOGIC
from gdframe.engines.symbol import Symbol

VALUE_NEEDED = "it decides by a value that is known only during training"
ALIASES = ("detach", "alias", "lift_fresh")
UNDECIDED = frozenset(("_local_scalar_dense", "is_nonzero", "equal", "item"))
KNOWN_AS = {"linalg_vector_norm": "norm", "mm": "a matrix product", "mv": "a matrix product"}
"""Names of PyTorch's basic operations for messages."""


class Recorder(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Sees every basic operation of an update rule, and records those on symbols.

    Args:
        dtype: the type of the parameters.
    """

    def __init__(self, dtype: torch.dtype) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.dtype = dtype
        # these keep tensors and nodes alive, so that ids stay unique
        self._constants: dict[int, Tensor] = {}
        self._nodes: list[Node] = []
        self._shapes: dict[int, torch.Size] = {}

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        return False  # else PyTorch would import its compiler, which takes a second

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        name = func.overloadpacket.__name__
        flat, _ = tree_flatten((args, kwargs))
        if torch.Tag.nondeterministic_seeded in func.tags:
            raise NotElementwiseError(f"it draws random numbers ({name})")
        if not any(isinstance(value, Symbol) for value in flat):
            constant = func(*args, **kwargs)
            for tensor in tree_flatten(constant)[0]:
                if isinstance(tensor, Tensor):
                    self._constants[id(tensor)] = tensor
            return constant
        if name in UNDECIDED:
            raise NotElementwiseError(VALUE_NEEDED)
        like = self._like(func, name, args, kwargs)
        in_place = name.endswith("_") and not name.endswith("__")
        if name in ALIASES:
            return Symbol(args[0].place, like)
        node = self._node(name.removesuffix("_") if in_place else name, like, args, kwargs)
        if not in_place:
            return Symbol(Place(node), like)
        target = args[0]
        if not isinstance(target, Symbol):
            raise NotElementwiseError("it changes a constant tensor in place")
        if node.is_coordinate and not target.place.node.is_coordinate:
            raise NotElementwiseError("it writes coordinates into a counter")
        target.place.node = self._cast(node, target.like)
        return target

    def _like(self, func: Any, name: str, args: Any, kwargs: Any) -> Tensor:
        """Return a tensor of the shape and type of the result; its values are meaningless."""

        def bare(value: Any) -> Any:
            return value.like if isinstance(value, Symbol) else value

        try:
            result = func(*tree_map(bare, args), **tree_map(bare, kwargs))
        except Exception as error:
            raise NotElementwiseError(f"it uses {KNOWN_AS.get(name, name)} ({error})") from error
        if not isinstance(result, Tensor):
            raise NotElementwiseError(f"it uses {name}")
        return result

    def _node(self, name: str, like: Tensor, args: Any, kwargs: Any) -> Node:
        """Return the node of an operation."""
        if rewrite := REWRITTEN.get(name):
            return rewrite(self, like, *args, **kwargs)
        extra = {k: v for k, v in kwargs.items() if v is not None and k not in IGNORED}
        if name in ("add", "sub", "rsub") and "alpha" in extra:
            del extra["alpha"]
            first, second, alpha = args[0], args[1], kwargs["alpha"]
            args = (first, self._combine("mul", like, (second, alpha)))
        if extra:
            raise NotElementwiseError(f"it uses {name} with {', '.join(extra)}")
        if name == "pow":
            return self._power(like, *args)
        if name in ARITHMETIC or name in COMPARISONS or name in LOGIC:
            return self._combine(name, like, args)
        raise NotElementwiseError(f"it uses {KNOWN_AS.get(name, name)}")

    def _combine(self, name: str, like: Tensor, args: Sequence[Any]) -> Node:
        """Return the node of an operation, its operands converted to one type."""
        nodes = [self._operand(value) for value in args]
        is_coordinate = any(node.is_coordinate for node in nodes)
        are_settings = not is_coordinate and owner_of(nodes) == SHARED
        if name == "div" and are_settings and nodes[1].number is None:
            raise NotElementwiseError("it divides by a setting, which Python refuses at zero")
        if name in COMPARISONS:
            dtype = self._common(nodes, is_coordinate)
            text = COMPARISONS[name]
        elif name in LOGIC:
            dtype, text = torch.bool, LOGIC[name]
            if any(node.dtype != torch.bool for node in nodes):
                raise NotElementwiseError(f"it uses {name} on numbers")
        else:
            dtype, text = like.dtype, ARITHMETIC[name]
            self._check(dtype, is_coordinate)
        operands = tuple(self._typed(node, dtype, is_coordinate) for node in nodes)
        result = dtype if name in ARITHMETIC else torch.bool
        return self._checked(Node(text, operands, result, is_coordinate, owner_of(operands)), like)

    def _common(self, nodes: Sequence[Node], is_coordinate: bool) -> torch.dtype:
        if all(node.dtype == torch.bool for node in nodes):
            return torch.bool
        return self.dtype if is_coordinate else torch.float64

    def _check(self, dtype: torch.dtype, is_coordinate: bool) -> None:
        expected = self.dtype if is_coordinate else torch.float64
        if dtype != expected:
            what = "coordinates" if is_coordinate else "counters or settings"
            numbers = (
                "; two numbers alone, as in torch.where(a, 0.5, 1.0), have that type: make one "
            )
            hint = f"{numbers}a tensor of the parameters' type" if is_coordinate else ""
            raise NotElementwiseError(f"it computes {what} in {dtype}, not in {expected}{hint}")

    def _checked(self, node: Node, like: Tensor) -> Node:
        """Return the node, after checking that its operands have one shape."""
        if not node.is_coordinate and like.ndim:
            raise NotElementwiseError("it makes a tensor from a counter or a setting")
        for operand in node.operands:
            if operand.is_coordinate and self._shapes.get(id(operand), like.shape) != like.shape:
                raise NotElementwiseError("it combines different coordinates")
        if node.is_coordinate:
            self._shapes[id(node)] = like.shape
            self._nodes.append(node)
        return node

    def _operand(self, value: Any) -> Node:
        """Return the node of an argument."""
        if isinstance(value, Node):
            return value
        if isinstance(value, Symbol):
            return value.place.node
        if isinstance(value, bool):
            return truth(value)
        if isinstance(value, (int, float)):
            return number(float(value), torch.float64)
        if isinstance(value, Tensor):
            return self._constant(value)
        raise NotElementwiseError(f"it combines a coordinate with {type(value).__name__}")

    def _constant(self, tensor: Tensor) -> Node:
        """Return the node of a tensor that the rule has created with one value throughout."""
        if self._constants.get(id(tensor)) is not tensor:
            raise NotElementwiseError(
                "it uses a tensor that is neither an argument nor created in it"
            )
        if not tensor.numel() or not bool((tensor == tensor.reshape(-1)[0]).all()):
            raise NotElementwiseError("it uses a tensor of several values")
        value = tensor.reshape(-1)[0].item()
        if tensor.dtype == torch.bool:
            node = truth(bool(value))
        elif tensor.ndim == 0 or tensor.dtype == self.dtype:  # a 0-d tensor counts as a number
            node = number(float(value), torch.float64)
        else:
            raise NotElementwiseError(f"it computes coordinates in {tensor.dtype}")
        if tensor.ndim:
            node = self._typed(node, self.dtype, True) if tensor.dtype != torch.bool else node
            self._shapes[id(node)] = tensor.shape
            self._nodes.append(node)
        return node

    def _typed(self, node: Node, dtype: torch.dtype, is_coordinate: bool) -> Node:
        """Return a node converted to a type, as a value of a coordinate or of the step."""
        if node.number is not None:
            return number(node.number, dtype, is_coordinate=is_coordinate)
        if node.dtype == torch.bool and dtype != torch.bool:
            yes, no = (number(v, dtype, is_coordinate=is_coordinate) for v in (1.0, 0.0))
            text = lambda c, a, b: f"{a} if {c} else {b}"  # noqa: E731
            node = Node(text, (node, yes, no), dtype, is_coordinate, node.owner)
        if not is_coordinate and node.dtype != dtype:
            raise NotElementwiseError(f"it computes counters or settings in {node.dtype}")
        if is_coordinate and node.is_coordinate and node.dtype != dtype:
            raise NotElementwiseError(f"it computes coordinates in {node.dtype}")
        return node

    def _cast(self, node: Node, like: Tensor) -> Node:
        """Return a node converted to the shape and type of the tensor that it is written to."""
        is_coordinate = like.ndim > 0
        if like.dtype != torch.bool:
            self._check(like.dtype, is_coordinate)
        node = self._typed(node, like.dtype, is_coordinate)
        if is_coordinate and not node.is_coordinate:
            node = Node(lambda a: a, (node,), like.dtype, True, node.owner)
        if is_coordinate:
            self._shapes.setdefault(id(node), like.shape)
            self._nodes.append(node)
        return node

    def _power(self, like: Tensor, base: Any, exponent: Any) -> Node:
        """Return the node of a power; common exponents are computed as PyTorch does."""
        fixed = exponent if isinstance(exponent, (int, float)) else None
        self._check_power(self._operand(base), self._operand(exponent), fixed)
        if fixed == 2:
            return self._combine("mul", like, (base, base))
        if fixed == 3:
            square = self._combine("mul", like, (base, base))
            return self._combine("mul", like, (square, base))
        if fixed == 0.5:
            return self._combine("sqrt", like, (base,))
        if fixed == -1:
            return self._combine("div", like, (1.0, base))
        return self._combine("pow", like, (base, exponent))

    def _check_power(self, base: Node, exponent: Node, fixed: float | None) -> None:
        """Check that Python takes a setting to a power as NumPy does, whatever the setting is."""
        if base.is_coordinate or exponent.is_coordinate or owner_of((base, exponent)) != SHARED:
            return
        if base.number is not None:
            is_defined = base.number > 0 or exponent.number is not None
        elif fixed is not None and fixed >= 0:
            is_defined = float(fixed).is_integer() or not base.operands
        else:
            is_defined = False
        if not is_defined:
            raise NotElementwiseError("it takes a setting to a power that Python may refuse")

    # operations that are rewritten with others

    def _clamp(self, like: Tensor, value: Any, min: Any = None, max: Any = None) -> Node:  # noqa: A002
        node = self._operand(value)
        if min is not None:
            node = self._combine("maximum", like, (node, min))
        return node if max is None else self._combine("minimum", like, (node, max))

    def _where(self, like: Tensor, test: Any, yes: Any, no: Any) -> Node:
        condition = self._operand(test)
        nodes = [self._operand(yes), self._operand(no)]
        if condition.dtype != torch.bool:
            raise NotElementwiseError("it uses where on numbers")
        is_coordinate = any(n.is_coordinate for n in (condition, *nodes))
        if like.dtype != torch.bool:
            self._check(like.dtype, is_coordinate)
        typed = [self._typed(node, like.dtype, is_coordinate) for node in nodes]
        operands = (condition, *typed)
        text = lambda c, a, b: f"{a} if {c} else {b}"  # noqa: E731
        owner = owner_of(operands)
        return self._checked(Node(text, operands, like.dtype, is_coordinate, owner), like)

    def _addcmul(self, like: Tensor, start: Any, a: Any, b: Any, value: Any = 1.0) -> Node:
        product = self._combine("mul", like, (self._combine("mul", like, (value, a)), b))
        return self._combine("add", like, (start, product))

    def _addcdiv(self, like: Tensor, start: Any, a: Any, b: Any, value: Any = 1.0) -> Node:
        quotient = self._combine("div", like, (self._combine("mul", like, (value, a)), b))
        return self._combine("add", like, (start, quotient))

    def _is_nan(self, like: Tensor, value: Any) -> Node:
        return self._combine("ne", like, (value, value))

    def _masked_fill(self, like: Tensor, value: Any, mask: Any, new: Any) -> Node:
        return self._where(like, mask, new, value)

    def _sigmoid(self, like: Tensor, value: Any) -> Node:
        power = self._combine("exp", like, (self._combine("neg", like, (value,)),))
        return self._combine("div", like, (1.0, self._combine("add", like, (1.0, power))))

    def _reciprocal(self, like: Tensor, value: Any) -> Node:
        return self._combine("div", like, (1.0, value))

    def _rsqrt(self, like: Tensor, value: Any) -> Node:
        return self._combine("div", like, (1.0, self._combine("sqrt", like, (value,))))

    def _full(self, like: Tensor, _: Any, value: Any, **settings: Any) -> Node:
        return self._cast(self._operand(value), like)

    def _zeros(self, like: Tensor, _: Any, **settings: Any) -> Node:
        return self._cast(self._operand(0.0), like)

    def _ones(self, like: Tensor, _: Any, **settings: Any) -> Node:
        return self._cast(self._operand(1.0), like)

    def _copy(self, like: Tensor, value: Any, **settings: Any) -> Node:
        return self._cast(self._operand(value), like)

    def _write(self, like: Tensor, _: Any, value: Any, non_blocking: bool = False) -> Node:
        return self._cast(self._operand(value), like)

    def symbol(self, name: str, owner: int, like: Tensor, *, is_coordinate: bool) -> Symbol:
        """Return a symbol for an argument of the rule."""
        node = Node(lambda: name, (), like.dtype, is_coordinate, owner)
        self._nodes.append(node)
        if is_coordinate:
            self._shapes[id(node)] = like.shape
        return Symbol(Place(node), torch.zeros(like.shape, dtype=like.dtype))


REWRITTEN: dict[str, Callable[..., Node]] = {
    "clamp": Recorder._clamp,
    "clamp_min": lambda r, like, value, low: r._clamp(like, value, low),
    "clamp_max": lambda r, like, value, high: r._clamp(like, value, None, high),
    "where": Recorder._where,
    "addcmul": Recorder._addcmul,
    "addcdiv": Recorder._addcdiv,
    "isnan": Recorder._is_nan,
    "masked_fill": Recorder._masked_fill,
    "sigmoid": Recorder._sigmoid,
    "reciprocal": Recorder._reciprocal,
    "rsqrt": Recorder._rsqrt,
    "full_like": Recorder._full,
    "zeros_like": Recorder._zeros,
    "ones_like": Recorder._ones,
    "clone": Recorder._copy,
    "_to_copy": Recorder._copy,
    "copy": Recorder._write,
    "fill": Recorder._write,
    "zero": Recorder._zeros,
    "relu": lambda r, like, value: r._clamp(like, value, 0.0),
}
"""Operations that are rewritten with others."""

IGNORED = ("dtype", "layout", "device", "pin_memory", "memory_format", "non_blocking")
"""Arguments of an operation that the type of its result already reflects."""
