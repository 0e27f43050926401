"""Products of every entry with every other, and sums of them over axes."""

from __future__ import annotations

from typing import Any

from ...dtypes import INTEGERS
from ...errors import OptionError, ShapeError, completing
from ...shapes import size
from ..registry import array, composite, whole
from .axes import in_order, is_sequence, named_axes


def _outer(ops: Any, a: Any, b: Any) -> Any:
    # Every element of a with every one of b. A matrix product computes in floats.
    n, m = size(a.shape), size(b.shape)
    column, row = ops.reshape(a, (n, 1)), ops.reshape(b, (1, m))
    if str(a.dtype) in INTEGERS and str(b.dtype) in INTEGERS:
        return ops.mul(ops.broadcast_to(column, (n, m)), ops.broadcast_to(row, (n, m)))
    return ops.matmul(column, row)


@composite
def outer(ops: Any, a: Any, b: Any, *, name: str | None = None) -> Any:
    """The products of every element of a with every element of b."""
    a, b = array(ops, a, "outer: a"), array(ops, b, "outer: b")
    with completing("outer", a=a, b=b):
        return ops.reshape(_outer(ops, a, b), (size(a.shape), size(b.shape)), name=name)


@composite
def kron(ops: Any, a: Any, b: Any, *, name: str | None = None) -> Any:
    """The Kronecker product: b in place of every element of a, times it."""
    a, b = array(ops, a, "kron: a"), array(ops, b, "kron: b")
    with completing("kron", a=a, b=b):
        n = max(len(a.shape), len(b.shape))
        first, second = ((1,) * (n - len(x.shape)) + tuple(x.shape) for x in (a, b))
        apart = ops.reshape(_outer(ops, a, b), (*first, *second))
        paired = in_order(ops, apart, tuple(k for pair in zip(range(n), range(n, 2 * n), strict=True) for k in pair))
        return ops.reshape(paired, tuple(d * e for d, e in zip(first, second, strict=True)), name=name)


@composite
def tensordot(ops: Any, a: Any, b: Any, axes: Any = 2, *, name: str | None = None) -> Any:
    """The sum of the products over pairs of axes: the last of a with the first of b, or those named."""
    a, b = array(ops, a, "tensordot: a"), array(ops, b, "tensordot: b")
    with completing("tensordot", a=a, b=b, axes=axes):
        n, m = len(a.shape), len(b.shape)
        if is_sequence(axes):
            pair = tuple(axes)
            if len(pair) != 2:
                raise OptionError("axes must be an int, or the axes of a and those of b")
            first, second = named_axes(pair[0], n), named_axes(pair[1], m)
        else:
            count = whole("axes", axes)
            if not 0 <= count <= min(n, m):
                raise OptionError(f"axes must be at least 0 and at most {min(n, m)}")
            first, second = tuple(range(n - count, n)), tuple(range(count))
        if [a.shape[k] for k in first] != [b.shape[k] for k in second]:
            raise ShapeError("axes that are summed over together must have one size")
        rows, columns = [k for k in range(n) if k not in first], [k for k in range(m) if k not in second]
        terms = size([a.shape[k] for k in first])
        shape = (*(a.shape[k] for k in rows), *(b.shape[k] for k in columns))
        left = ops.reshape(in_order(ops, a, (*rows, *first)), (size([a.shape[k] for k in rows]), terms))
        right = ops.reshape(in_order(ops, b, (*second, *columns)), (terms, size([b.shape[k] for k in columns])))
        return ops.reshape(ops.matmul(left, right), shape, name=name)
