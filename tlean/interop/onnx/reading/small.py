"""Arrays of ONNX's small dtypes: a wider dtype of this library holds their numbers, and their dtype is known by name.

Each operator's result is that of the wider dtype, rounded to the smaller one; whole numbers wrap.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from tlean.dtypes import SIZES
from tlean.ops.layout import converted

from ..package import SMALL


class Small(NamedTuple):
    """A reference whose numbers are those of a smaller dtype."""

    ref: Any
    dtype: str

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape."""
        return tuple(self.ref.shape)


#: What holds a small dtype.
WIDE = {name: "float32" if "float" in name else "int64" for name in SMALL.values()}
#: Digits of the mantissa after the first, the least exponent, and the largest number.
_FORMATS = {
    "float16": (10, -14, 65504.0),
    "bfloat16": (7, -126, 255 * 2.0**120),
    "float8_e4m3fn": (3, -6, 448.0),
    "float8_e4m3fnuz": (3, -7, 240.0),
    "float8_e5m2": (2, -14, 57344.0),
    "float8_e5m2fnuz": (2, -15, 57344.0),
    "float4_e2m1fn": (1, 0, 6.0),
}
_BITS = {"int2": 2, "uint2": 2, "int4": 4, "uint4": 4, "int8": 8, "uint8": 8, "int16": 16, "uint16": 16, "int32": 32, "uint32": 32}
#: Operators whose numbers are among those that they read, or are rounded by what reads them.
_MOVES = frozenset((
    "ArrayFeatureExtractor", "Clip", "Compress", "Concat", "DepthToSpace", "Expand", "Flatten", "Gather", "GatherElements", "GatherND",
    "Identity", "Max", "MaxPool", "Min", "Pad", "ReduceMax", "ReduceMin", "Relu", "Reshape", "ReverseSequence", "ScatterElements",
    "Cast", "CastLike", "Slice", "SpaceToDepth", "Split", "Squeeze", "Tile", "TopK", "Transpose", "Trilu", "Unsqueeze", "Where",
))  # fmt: skip
#: Operators that are several to a small float, each of which is rounded.
IN_PARTS = frozenset(("LogSoftmax", "Softmax"))
#: Operators that mean the same of an unsigned number of 64 bits as of the signed one with its bits.
SAME_BITS = (_MOVES - {"Cast", "CastLike", "Clip", "Max", "MaxPool", "Min", "ReduceMax", "ReduceMin", "Relu", "TopK"}) | {
    "Add", "BitwiseAnd", "BitwiseNot", "BitwiseOr", "BitwiseXor", "EyeLike", "Equal", "Mul", "ReduceSum", "Shape", "Size", "Sub", "Sum",
}  # fmt: skip
_WRITTEN = {"float": "float32", "double": "float64"}


def dtype_name(value: Any) -> str | None:
    """The dtype of a value; None for no value."""
    return None if value is None else str(value.dtype)


def widened(array: Any) -> np.ndarray:
    """An array of a small dtype in the one that holds it; any other as it is."""
    array = np.asarray(array)
    wide = WIDE.get(str(array.dtype))
    return array if wide is None else array.astype(wide)


def narrowed(ops: Any, x: Any, dtype: str, saturate: bool = True) -> Any:
    """The numbers of a reference, cast to a small dtype, in the dtype that holds it.

    Args:
        ops: a backend.
        x: a reference of any dtype.
        dtype: the name of the small one.
        saturate: whether a float of 8 bits has the largest number where the cast one would be larger.
    """
    if WIDE[dtype] == "float32":
        if str(x.dtype) not in ("float32", "float64"):
            x = converted(ops, x, "float32" if str(x.dtype) == "bool" else "float64")
        return converted(ops, rounded(ops, x, dtype, saturate), "float32")
    return wrapped(ops, converted(ops, x, "int64"), dtype)


def wrapped(ops: Any, x: Any, dtype: str) -> Any:
    """Whole numbers modulo what the small dtype counts to."""
    bits = _BITS.get(dtype)
    if bits is None:
        return x
    mask, half = (ops._own_constant(np.array(v, np.int64)) for v in ((1 << bits) - 1, 1 << (bits - 1)))
    if dtype.startswith("u"):
        return ops.bitwise_and(x, mask)
    return ops.sub(ops.bitwise_and(ops.add(x, half), mask), half)


def rounded(ops: Any, x: Any, dtype: str, saturate: bool = True) -> Any:
    """Floats rounded to the nearest number of a small dtype, ties to even; the derivative is that of no rounding.

    Args:
        ops: a backend.
        x: a reference of float32 or float64.
        dtype: the name of the small one.
        saturate: whether a float of 8 bits has the largest number where the rounded one would be larger.
    """
    # By adding, and taking away again, a number whose last bit is that of the result.
    digits, exponent, top = _FORMATS[dtype]
    bits, kept, least = (24 if str(x.dtype) == "float32" else 53), digits + 1, 2.0**exponent

    def number(value: float) -> Any:
        return ops._own_constant(np.array(value, str(x.dtype)))

    wide = top > 1e30 and bits == 24
    # A float32 as large as its dtype has them leaves no room: it is rounded at a lower power of 2.
    far = ops.greater(ops.abs(x), number(2.0**60)) if wide else None
    z = ops.where(far, ops.scale(x, 2.0**-40), x) if wide else ops.clamp(x, -4 * top, 4 * top)
    # The largest power of 2 in z (Rump, Zimmermann, Boldo, Melquiond 2009).
    q = ops.scale(ops.detach(z), 2.0 ** (bits - 1) + 1)
    power = ops.max(ops.abs(ops.sub(q, ops.scale(q, 1 - 2.0**-bits))), number(least))
    shift = ops.scale(power, 1.5 * 2.0 ** (bits - kept))
    y = ops.sub(ops.add(z, shift), shift)
    y = ops.where(far, ops.scale(y, 2.0**40), y) if wide else y
    y = ops.where(ops.isinf(x), x, y)
    bounded = dtype.startswith("float4") or (dtype.startswith("float8") and saturate)
    endless = dtype in ("float16", "bfloat16", "float8_e5m2")
    large = ops.greater(ops.abs(y), number(top))
    beyond = top if bounded else np.inf if endless else np.nan
    y = ops.where(large, ops.where(ops.greater(y, number(0)), number(beyond), number(-beyond)), y)
    if "fnuz" in dtype:
        y = ops.add(y, number(0))
    return ops.where(ops.isnan(x), number(np.nan), y)


def result_dtypes(library: Any, node: Any, given: Sequence[str | None], attributes: dict[str, Any]) -> list[str | None]:
    """The dtypes of an operator's results, as its schema says; None where that does not say.

    Args:
        library: what nodes mean.
        node: the node.
        given: the dtypes of its inputs.
        attributes: of the node.
    """
    schema = library.schema(node)
    if schema is None or not schema.inputs:
        return [None] * len(node.output)
    kinds: dict[str, str] = {}
    for k, dtype in enumerate(given):
        if dtype is not None:
            kinds.setdefault(schema.inputs[min(k, len(schema.inputs) - 1)].type_str, dtype)
    results: list[str | None] = []
    for k in range(len(node.output)):
        kind = schema.outputs[min(k, len(schema.outputs) - 1)].type_str
        if kind in kinds:
            results.append(kinds[kind])
        elif kind.startswith("tensor("):
            results.append(_WRITTEN.get(kind[7:-1], kind[7:-1]))
        else:
            number = next((attributes[n] for n in ("to", "dtype", "output_dtype") if n in attributes), None)
            results.append(library.dtypes.get(number))
    return results


def named(ops: Any, kind: str, value: Any, dtype: str | None) -> Any:
    """A result of an operator with its dtype.

    Args:
        ops: a backend.
        kind: the operator.
        value: what its reader made.
        dtype: the dtype; None leaves it as it is.
    """
    if value is None or dtype is None or isinstance(value, Small | np.ndarray | np.generic):
        return value
    if dtype in SIZES:
        return converted(ops, value, dtype)
    if dtype not in WIDE:
        return value
    value = converted(ops, value, WIDE[dtype])
    if kind in _MOVES:
        return Small(value, dtype)
    return Small(rounded(ops, value, dtype) if WIDE[dtype] == "float32" else wrapped(ops, value, dtype), dtype)
