"""A request to fetch a row of an array into the cache, for which Numba has no name."""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba.core import cgutils, types
from numba.extending import intrinsic

LINE = 64
"""Bytes fetched at a time; where a processor's lines are longer, some requests are idle."""

_I32, _I64 = ir.IntType(32), ir.IntType(64)
_POINTER = ir.IntType(8).as_pointer()


@intrinsic
def prefetch(typing_context: Any, rows: Any, row: Any) -> Any:
    """Ask for all of ``rows[row]``, which must lie within the array; nothing is read."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        array = context.make_array(signature.args[0])(context, builder, arguments[0])
        stride = cgutils.unpack_tuple(builder, array.strides)[0]
        start = builder.add(builder.ptrtoint(array.data, _I64), builder.mul(stride, arguments[1]))
        request = cgutils.get_or_insert_function(
            builder.module,
            ir.FunctionType(ir.VoidType(), [_POINTER, _I32, _I32, _I32]),
            "llvm.prefetch.p0",
        )
        lines = builder.udiv(
            builder.add(stride, ir.Constant(_I64, LINE - 1)), ir.Constant(_I64, LINE)
        )
        with cgutils.for_range(builder, lines) as loop:
            address = builder.add(start, builder.mul(loop.index, ir.Constant(_I64, LINE)))
            pointer = builder.inttoptr(address, _POINTER)
            read, keep, data = (ir.Constant(_I32, value) for value in (0, 3, 1))
            builder.call(request, [pointer, read, keep, data])
        return context.get_dummy_value()

    return types.none(rows, types.int64), generate
