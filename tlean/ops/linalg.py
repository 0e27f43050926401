"""Matrix products and the fully connected layer.

Products are closed under differentiation: with either operand read transposed where a flag says so, both gradients of a product are
products again, so no transposed copy is ever made.
"""

from __future__ import annotations

from typing import Any

from ..errors import ShapeError
from ..shapes import Shape, size
from .registry import defop, multilinear_jvp
from .samples import bad, good


def _product_sizes(a: Shape, b: Shape, transpose_a: bool, transpose_b: bool) -> tuple[Shape, int, int, int]:
    """(leading axes, m, n, k) of the product (*lead, m, k) (*lead, k, n)."""
    if len(a) < 2 or len(b) < 2:
        raise ShapeError("a and b must have at least two axes")
    if a[:-2] != b[:-2]:
        raise ShapeError(f"a and b must have the same leading axes, not {a[:-2]} and {b[:-2]}")
    m, k = a[-2:][::-1] if transpose_a else a[-2:]
    inner, n = b[-2:][::-1] if transpose_b else b[-2:]
    if k != inner:
        raise ShapeError(f"inner dimensions must match, but are {k} and {inner}")
    return a[:-2], m, n, k


def _grad_a(ops: Any, g: Any, a: Any, b: Any, transpose_a: bool, transpose_b: bool) -> Any:
    # With A', B' the operands as multiplied: dA' = g B'ᵀ, and dA = dA'ᵀ = B' gᵀ where A' = Aᵀ.
    if transpose_a:
        return ops.matmul(b, g, transpose_a=transpose_b, transpose_b=True)
    return ops.matmul(g, b, transpose_a=False, transpose_b=not transpose_b)


def _grad_b(ops: Any, g: Any, a: Any, b: Any, transpose_a: bool, transpose_b: bool) -> Any:
    # dB' = A'ᵀ g, and dB = dB'ᵀ = gᵀ A' where B' = Bᵀ.
    if transpose_b:
        return ops.matmul(g, a, transpose_a=True, transpose_b=transpose_a)
    return ops.matmul(a, g, transpose_a=not transpose_a, transpose_b=False)


def matmul_samples() -> list:
    """Calls of `matmul`: every combination of flags, leading axes, sizes 1 and 0, and calls that must raise."""
    return [
        good((3, 4), (4, 5)),
        good((4, 3), (4, 5), transpose_a=True),
        good((3, 4), (5, 4), transpose_b=True),
        good((4, 3), (5, 4), transpose_a=True, transpose_b=True),
        good((2, 3, 4), (2, 4, 2)),
        good((2, 3, 4, 2), (2, 3, 5, 2), transpose_b=True),
        good((2, 4, 3), (2, 4, 1), transpose_a=True),
        good((1, 7), (7, 1)),
        good((5, 1), (1, 6)),
        good((1, 1), (1, 1)),
        good((17, 9), (9, 33)),
        good((3, 0), (0, 2)),
        good((0, 3), (3, 2)),
        good((0, 2, 3), (0, 3, 2)),
        bad("ShapeError", (3, 4), (5, 4)),
        bad("ShapeError", (3, 4), (4, 5), transpose_a=True),
        bad("ShapeError", (4,), (4, 5)),
        bad("ShapeError", (3, 4), (2, 4, 5)),
        bad("ShapeError", (3, 2, 4), (2, 4, 5)),
    ]


@defop("matmul", samples=matmul_samples)
class Matmul:
    """Matrix product over the last two axes, with either operand read transposed where asked."""

    def options(a, b, *, transpose_a=False, transpose_b=False):
        return {"transpose_a": bool(transpose_a), "transpose_b": bool(transpose_b)}

    def shape(a, b, *, transpose_a, transpose_b):
        lead, m, n, _ = _product_sizes(a, b, transpose_a, transpose_b)
        return (*lead, m, n)

    def kernel_params(a, b, *, transpose_a, transpose_b):
        """Ints: batch, m, n, k, transpose_a, transpose_b, of A' (m, k) times B' (k, n)."""
        lead, m, n, k = _product_sizes(a, b, transpose_a, transpose_b)
        return (size(lead), m, n, k, transpose_a, transpose_b), ()

    def vjp(ops, g, y, a, b, *, transpose_a, transpose_b):
        return _grad_a(ops, g, a, b, transpose_a, transpose_b), _grad_b(ops, g, a, b, transpose_a, transpose_b)

    jvp = multilinear_jvp("matmul", (0, 1))

    def flops(a, b, *, transpose_a, transpose_b):
        lead, m, n, k = _product_sizes(a, b, transpose_a, transpose_b)
        return 2.0 * size(lead) * m * n * k


def bmm_samples() -> list:
    """Calls of `bmm`, and calls that must raise."""
    return [
        good((2, 3, 4), (2, 4, 5)),
        good((1, 1, 3), (1, 3, 1)),
        good((3, 2, 0), (3, 0, 2)),
        bad("ShapeError", (3, 4), (4, 5)),
        bad("ShapeError", (2, 3, 4), (3, 4, 5)),
        bad("ShapeError", (2, 3, 4), (2, 3, 4)),
    ]


@defop("bmm", samples=bmm_samples, kernel="matmul")
class Bmm:
    """Matrix product of each pair in a batch."""

    def shape(a, b):
        if len(a) != 3 or len(b) != 3:
            raise ShapeError("a and b must have three axes: (batch, rows, columns)")
        lead, m, n, _ = _product_sizes(a, b, False, False)
        return (*lead, m, n)

    def kernel_params(a, b):
        """As `matmul`."""
        (batch,), m, n, k = _product_sizes(a, b, False, False)
        return (batch, m, n, k, 0, 0), ()

    def vjp(ops, g, y, a, b):
        return _grad_a(ops, g, a, b, False, False), _grad_b(ops, g, a, b, False, False)

    jvp = multilinear_jvp("bmm", (0, 1))

    def flops(a, b):
        (batch,), m, n, k = _product_sizes(a, b, False, False)
        return 2.0 * batch * m * n * k


def _as_rows(ops: Any, x: Any) -> Any:
    # (*k, n) -> (size of k, n): the same memory.
    rows = (size(x.shape[:-1]), x.shape[-1])
    return x if x.shape == rows else ops.reshape(x, shape=rows)


def _like(ops: Any, x: Any, shape: Shape) -> Any:
    return x if x.shape == shape else ops.reshape(x, shape=shape)


def _spread_bias(ops: Any, t: Any, shape: Shape, *_: Any) -> Any:
    return t if t.shape == shape else ops.broadcast_to(t, shape=shape)


def linear_samples() -> list:
    """Calls of `linear`: with and without bias and leading axes, sizes 1 and 0, and calls that must raise."""
    return [
        good((4, 3), (4,), (3,)),
        good((4, 3), None, (3,)),
        good((4, 3), (4,), (5, 3)),
        good((4, 3), None, (2, 5, 3)),
        good((10, 33), (10,), (17, 33)),
        good((1, 3), (1,), (5, 3)),
        good((4, 1), (4,), (2, 1)),
        good((1, 1), (1,), (1, 1)),
        good((4, 3), (4,), (0, 3)),
        good((4, 0), (4,), (2, 0)),
        bad("ShapeError", (4, 3), (4,), (4,)),
        bad("ShapeError", (4, 3), (3,), (3,)),
        bad("ShapeError", (3,), None, (3,)),
        bad("ShapeError", (4, 3), (4,), ()),
    ]


@defop("linear", samples=linear_samples, optional=("b",))
class Linear:
    """Fully connected layer: y = W x + b for every vector along the last axis of x."""

    def shape(w, b, x):
        if len(w) != 2:
            raise ShapeError("w must have two axes: (out, in)")
        if not x or x[-1] != w[1]:
            raise ShapeError(f"the last axis of x must have w's {w[1]} inputs")
        if b is not None and b != (w[0],):
            raise ShapeError(f"b must have shape ({w[0]},): one entry per output")
        return (*x[:-1], w[0])

    def kernel_params(w, b, x):
        """Ints: rows, out, in."""
        return (size(x[:-1]), *w), ()

    def vjp(ops, g, y, w, b, x):
        # As rows, y = x Wᵀ + b: dW = gᵀ x, dx = g W, db = the sum of g's rows.
        rows = _as_rows(ops, g)
        dw = ops.matmul(rows, _as_rows(ops, x), transpose_a=True, transpose_b=False)
        dx = _like(ops, ops.matmul(rows, w, transpose_a=False, transpose_b=False), x.shape)
        if b is None:
            db = None
        else:
            db = g if len(g.shape) == 1 else ops.reduce_sum(rows, axis=(0,), keepdims=False)
        return dw, db, dx

    jvp = multilinear_jvp("linear", (0, 2), addend=1, spread=_spread_bias)

    def decompose(ops, w, b, x):
        y = _like(ops, ops.matmul(_as_rows(ops, x), w, transpose_a=False, transpose_b=True), (*x.shape[:-1], w.shape[0]))
        return y if b is None else ops.add(y, _spread_bias(ops, b, y.shape))

    def flops(w, b, x):
        return 2.0 * size(x[:-1]) * size(w)
